"""A scalar quantizer: K centres and the K - 1 thresholds between their cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _display
from quantlab import _validate as check
from quantlab._files import whole_file
from quantlab._matrices import converted, real_values


@dataclass(frozen=True, eq=False)
class Codebook:
    r"""Scalar quantizer: K centres c_0 < ... < c_{K-1}, thresholds t_1 < ... < t_{K-1}.

    .. math:: q(x) = c_i \quad\text{for}\quad t_i < x \le t_{i+1}, \quad t_0 = -\infty, t_K = \infty

    A value equal to a threshold goes to the LOWER cell.

    Parameters
    ----------
    centers : array_like, shape (K,)
        Reproduction points in the data's own unit, strictly increasing, K >= 2.
    thresholds : array_like, shape (K - 1,), optional
        Cell borders in the data's own unit, strictly increasing. Default: the midpoints of
        neighbouring centres (nearest-centre cells).
    info : mapping, optional
        How the codebook was made (design, law, levels, ...): JSON values, saved along.

    Raises
    ------
    ValueError
        If K < 2, a value is NaN or infinite, an order is not strict, or the lengths disagree.

    Examples
    --------
    >>> cb = Codebook([-1.0, 0.0, 2.0])
    >>> cb.thresholds
    array([-0.5,  1. ])
    >>> cb.quantize([-0.5, 0.9, 7.0])
    array([-1.,  0.,  2.])
    """

    centers: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    info: Mapping[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        centers: ArrayLike,
        thresholds: ArrayLike | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        c = check.finite_vector(centers, "centers")
        if c.size < 2:
            raise ValueError(f"a codebook needs at least 2 centers; got {c.size}")
        check.increasing(c, "centers")
        # halving first: the sum of two large centres must not overflow
        t = 0.5 * c[:-1] + 0.5 * c[1:] if thresholds is None else thresholds
        t = check.finite_vector(t, "thresholds")
        if t.size != c.size - 1:
            raise ValueError(
                f"{c.size} centers need {c.size - 1} thresholds; got {t.size} thresholds"
            )
        check.increasing(t, "thresholds")
        c.flags.writeable = t.flags.writeable = False
        object.__setattr__(self, "centers", c)
        object.__setattr__(self, "thresholds", t)
        object.__setattr__(self, "info", dict(info or {}))

    @property
    def n_levels(self) -> int:
        """K, the number of centres."""
        return self.centers.size

    @property
    def bits(self) -> int:
        """Bits of one stored code: ceil(log2 K)."""
        return int(self.n_levels - 1).bit_length()

    def quantize(self, x: ArrayLike) -> NDArray[np.float64]:
        """q(x) in float64, any shape: the definition that every fast path is tested against."""
        values = converted(real_values(x, "x"), np.dtype(np.float64))
        return self.centers[np.searchsorted(self.thresholds, values, side="left")]

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """`quantize`."""
        return self.quantize(x)

    def scaled(self, gain: float) -> Codebook:
        """The same cells, every centre times `gain` > 0: folds a gain on the product in."""
        g = check.positive_real(gain, "gain")
        info = {**self.info, "gain": self.info.get("gain", 1.0) * g}
        return Codebook(self.centers * g, self.thresholds, info)

    def in_units(self, exponent: int) -> Codebook:
        """The quantizer of 2^exponent x, in that unit: no digit changes."""
        if exponent == 0:
            return self
        centers, thresholds = (np.ldexp(v, exponent) for v in (self.centers, self.thresholds))
        return Codebook(centers, thresholds, self.info)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers; `Codebook.from_dict` restores every bit."""
        return {
            "centers": self.centers.tolist(),
            "thresholds": self.thresholds.tolist(),
            "info": dict(self.info),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Codebook:
        """Inverse of `to_dict`; ValueError names a missing key."""
        missing = {"centers", "thresholds"} - set(record)
        if missing:
            raise ValueError(
                f"a codebook record needs centers and thresholds; missing {sorted(missing)}"
            )
        return cls(record["centers"], record["thresholds"], record.get("info"))

    def save(self, path: str | Path) -> None:
        """Write JSON; float64 values survive the round trip exactly."""
        with whole_file(path) as beside:
            beside.write_text(json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Codebook:
        """Read what `save` wrote; ValueError names the file and what is wrong with it."""
        try:
            record = json.loads(Path(path).read_text())
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a codebook in JSON: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path} must hold a JSON object; got {type(record).__name__}")
        info = record.get("info") or {}
        if not isinstance(info, dict):
            raise ValueError(f"{path}: info must be a JSON object; got {type(info).__name__}")
        try:
            return cls.from_dict({**record, "info": info})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Codebook):
            return NotImplemented
        return np.array_equal(self.centers, other.centers) and np.array_equal(
            self.thresholds, other.thresholds
        )

    def __hash__(self) -> int:
        return hash((self.centers.tobytes(), self.thresholds.tobytes()))

    def __repr__(self) -> str:
        name = self.info.get("design", "custom")
        return (
            f"Codebook({name}, K={self.n_levels}, "
            f"[{self.centers[0]:.4g} .. {self.centers[-1]:.4g}])"
        )

    def _repr_html_(self) -> str:
        made = {name: value for name, value in self.info.items() if name != "design"}
        values = {"levels": self.n_levels, "bits": self.bits, **made}
        title = f"Codebook: {self.info.get('design', 'custom')}"
        return _display.properties(title, values, self._rug())

    def _rug(self) -> str:
        return _display.rug(self.centers, self.thresholds)
