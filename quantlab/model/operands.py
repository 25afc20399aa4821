"""What a transformer multiplies: the two operands of each product, as they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quantlab.pairs import EmpiricalPair

Array = NDArray[np.float32]
Kind = Literal["linear", "logits", "values"]
KINDS: tuple[Kind, ...] = ("linear", "logits", "values")


@dataclass(frozen=True, eq=False)
class Operands:
    r"""The operands of one product X Y^T of a model.

    .. math:: \text{linear: } X W^\top, \qquad \text{logits: } Q K^\top, \qquad
              \text{values: } P V

    Attributes
    ----------
    name : str
        The module's, and for attention ".logits.H" or ".values.H" for each key head H.
    kind : {"linear", "logits", "values"}
    x, y : tuple of ndarray, float32
        Rows of X, and rows of Y: columns of B. linear: one of each, tokens (m, k) and weights
        (n, k). logits: queries (m, d) of all heads that share the keys (n, d), which positions
        have turned where the model does so. values: one of each a text, probabilities (m, t)
        of the heads that share the values, and those values (d, t): the inner index is the token.
    """

    name: str
    kind: Kind
    x: tuple[Array, ...]
    y: tuple[Array, ...]

    @property
    def group(self) -> str:
        """The name without the head.

        Examples
        --------
        >>> Operands("h.0.attn.logits.3", "logits", (), ()).group
        'h.0.attn.logits'
        """
        return self.name if self.kind == "linear" else self.name.rpartition(".")[0]

    @property
    def entries(self) -> int:
        """Entries of both operands."""
        return sum(part.size for part in (*self.x, *self.y))

    def pair(self) -> EmpiricalPair:
        """The matrices A (m, k) and B (k, n); texts of "values" side by side along k.

        Rows of A are then filled with zeros where a text is shorter than the longest.
        """
        if self.kind != "values":
            return EmpiricalPair(self.x[0], self.y[0].T)
        rows = max(len(part) for part in self.x)
        wide = [np.pad(part, ((0, rows - len(part)), (0, 0))) for part in self.x]
        return EmpiricalPair(np.hstack(wide), np.hstack(self.y).T)


def joined(parts: Sequence[Operands]) -> Operands:
    """One product's operands on several batches."""
    first = parts[0]
    if first.kind == "values":
        x, y = (sum((getattr(p, side) for p in parts), ()) for side in ("x", "y"))
        return Operands(first.name, first.kind, x, y)
    x = (np.vstack([part.x[0] for part in parts]),)
    y = first.y if first.kind == "linear" else (np.vstack([part.y[0] for part in parts]),)
    return Operands(first.name, first.kind, x, y)
