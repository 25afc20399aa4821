"""Attention logits of a real transformer: codebooks of each head, calibrated, then held out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.balancing import balance
from quantlab.codebook import Codebook
from quantlab.codes import encode
from quantlab.data import AttentionHead, Sequences, load_attention
from quantlab.experiments.designs import (
    BALANCED,
    SCHEME,
    by_scheme,
    calibrated,
    in_basis,
    made_at,
)
from quantlab.experiments.recording import Head
from quantlab.formats import GROUP_FORMATS, group_formats_at
from quantlab.pairs import EmpiricalPair
from quantlab.scheme import design_scheme

#: Designs compared unless asked otherwise; those that do not exist at a size are left out.
ATTENTION_DESIGNS = (
    "int_absmax", "int_mse", "uniform", "fp8_e4m3", "fp8_e5m2", "dynamic8", "fp4_e2m1", "nf4",
    "gaussian_compander", "lloyd_max", "closed_form", "weighted_lloyd_max", "empirical",
    "balanced",
)  # fmt: skip


@dataclass(frozen=True)
class AttentionTable:
    """Logit nmse of every design on every head.

    Attributes
    ----------
    bits : int
        Of a code.
    heads : tuple of (int, int)
        Layer and head.
    nmse : dict
        Design -> ndarray, one value a head, on the held-out sequences.
    """

    bits: int
    heads: tuple[tuple[int, int], ...]
    nmse: dict[str, NDArray[np.float64]]

    def wins(self, design: str, over: str) -> int:
        """On how many heads `design` has the lower error."""
        return int(np.sum(self.nmse[design] < self.nmse[over]))

    def ratio(self, design: str, over: str) -> float:
        """Geometric mean over the heads of the errors' ratio."""
        return float(np.exp(np.mean(np.log(self.nmse[design] / self.nmse[over]))))

    def lost(self, design: str, over: str) -> list[tuple[int, int]]:
        """The heads where `design` does not have the lower error."""
        behind = self.nmse[design] >= self.nmse[over]
        return [head for head, lost in zip(self.heads, behind, strict=True) if lost]

    def to_markdown(self, design: str = "empirical") -> str:
        """Mean error of each design, and how `design` compares with it."""
        lines = [
            f"| {self.bits} bits | mean nmse | {design} wins, of {len(self.heads)} | error ratio |",
            "|---|---|---|---|",
        ]
        for name in sorted(self.nmse, key=lambda n: float(self.nmse[n].mean())):
            line = f"| {name} | {self.nmse[name].mean():.3e} "
            if name != design:
                line += f"| {self.wins(design, name)} | {self.ratio(design, name):.3f} |"
            lines.append(line if name != design else line + "| | |")
        return "\n".join(lines)


def attention_errors(
    bits: int,
    designs: Sequence[str] = ATTENTION_DESIGNS,
    heads: Iterable[tuple[int, int] | AttentionHead] | None = None,
) -> AttentionTable:
    r"""Error of coded attention logits, per head and design, on sequences not calibrated on.

    .. math::
        \mathrm{nmse} = \frac{\sum_s \lVert Q_s K_s^\top - \hat Q_s \hat K_s^\top \rVert_F^2}
                             {\sum_s \lVert Q_s K_s^\top \rVert_F^2}

    summed over the held-out sequences s.

    Parameters
    ----------
    bits : int
        From 2 to 8; both operands have up to 2^bits levels.
    designs : sequence of str
        Names as in `DESIGNS`, `FORMATS` and `GROUP_FORMATS`, whose scales are those of the
        sequences themselves and come beside the codes' bits; "empirical", and "balanced": empirical
        in the basis of `balance`, which the projections of queries and keys absorb; "scheme":
        `design_scheme`.
    heads : iterable of (layer, head) or of AttentionHead, optional
        All 72 of `load_attention` unless given.

    Returns
    -------
    AttentionTable

    Raises
    ------
    ValueError, TypeError
        If bits, a design's name or a head does not exist.

    Notes
    -----
    The protocol of [1] on the activations of `load_attention`: one codebook pair for each
    head, made by `calibrated` from the calibration sequences.

    Examples
    --------
    >>> table = attention_errors(4, designs=["nf4", "empirical"], heads=[(2, 5)])
    >>> table.wins("empirical", over="nf4")
    1
    """
    n_levels = 2 ** check.count(bits, "bits", 2, 8)
    plain_designs = [name for name in designs if name not in (SCHEME, *GROUP_FORMATS)]
    made = made_at(plain_designs, n_levels)
    made += [name for name in group_formats_at(bits) if name in designs]
    made += [SCHEME] * (SCHEME in designs)
    data = load_attention()
    chosen = [
        each if isinstance(each, AttentionHead) else data.head(*each)
        for each in (data.heads() if heads is None else heads)
    ]
    errors = np.empty((len(made), len(chosen)))
    for j, head in enumerate(chosen):
        plain = EmpiricalPair(*head.calibration_pair())
        for i, name in enumerate(made):
            pair, held_out = plain, head.held_out
            if name == BALANCED:
                basis = balance(plain)
                pair = EmpiricalPair(*basis.apply(plain.a, plain.b))
                held_out = in_basis(basis, held_out)
            if name == SCHEME:
                coded = by_scheme(design_scheme(plain, bits), held_out)
            elif name in GROUP_FORMATS:
                coded = _in_groups(held_out, name)
            else:
                coded = _decoded(held_out, *calibrated(pair, name, n_levels))
            errors[i, j] = logit_nmse(held_out, *coded)
    places = tuple((head.layer, head.head) for head in chosen)
    return AttentionTable(bits, places, dict(zip(made, errors, strict=True)))


def _decoded(
    sequences: Sequences, codebook_q: Codebook, codebook_k: Codebook
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    coded_q, coded_k = (
        encode(x.reshape(-1, x.shape[-1]), book).decode(np.float64).reshape(x.shape)
        for x, book in ((sequences.queries, codebook_q), (sequences.keys, codebook_k))
    )
    return coded_q, coded_k


def _in_groups(sequences: Sequences, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    encoded = (
        GROUP_FORMATS[name].encode(x.reshape(-1, x.shape[-1])).decode(np.float64).reshape(x.shape)
        for x in (sequences.queries, sequences.keys)
    )
    coded_q, coded_k = encoded
    return coded_q, coded_k


def logit_nmse(data: Sequences | Head, q: NDArray[np.float64], k: NDArray[np.float64]) -> float:
    """Pooled nmse of the logits of all sequences from coded q and k, each multiplied by itself."""
    logits = data.queries.astype(np.float64) @ data.keys.astype(np.float64).swapaxes(1, 2)
    error = logits - q @ k.swapaxes(1, 2)
    return float(np.vdot(error, error) / np.vdot(logits, logits))
