"""The ladder of attention heads: each way to code them, a rung nearer to the limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.balancing import balance, second_moment
from quantlab.codebook import Codebook
from quantlab.data import AttentionHead, Sequences
from quantlab.experiments.attention import logit_nmse
from quantlab.experiments.designs import (
    BALANCED,
    EMPIRICAL,
    Activations,
    by_scheme,
    calibrated,
    in_basis,
)
from quantlab.experiments.recording import Head
from quantlab.limits import limit_nmse
from quantlab.pairs import EmpiricalPair
from quantlab.scheme import Scheme, design_scheme
from quantlab.scheme.rounding import feedback_of, one_book, round_feedback
from quantlab.sweep import Row

#: A scheme in the diagonal basis: bits where they count, a codebook an index.
ALLOCATED = "allocated"
#: name -> design, and whether it is rounded with feedback; from the plainest to the best.
RUNGS: dict[str, tuple[str, bool]] = {
    "INT absmax": ("int_absmax", False),
    "Gaussian compander": ("gaussian_compander", False),
    "closed form": ("closed_form", False),
    "fitted": (EMPIRICAL, False),
    "balanced": (BALANCED, False),
    "fitted + feedback": (EMPIRICAL, True),
    "balanced + feedback": (BALANCED, True),
    "allocated bits": (ALLOCATED, False),
}
LIMIT = "limit"

_Part = Sequences | Head


def head_ladder(
    calibration: Activations,
    held_out: Activations,
    bits: int,
    rungs: Iterable[str] = tuple(RUNGS),
) -> dict[str, float]:
    r"""Error of the held-out logits of one head on every rung, and the limit.

    .. math:: \mathrm{nmse} = \frac{\sum_s \lVert Q_s K_s^\top - \hat Q_s \hat K_s^\top \rVert_F^2}
              {\sum_s \lVert Q_s K_s^\top \rVert_F^2}

    Parameters
    ----------
    calibration, held_out : Sequences or Head
        Queries and keys (sequences, tokens, d): everything is made from the first, and the second
        is coded. A causal model's logits all count.
    bits : int
        From 2 to 8, of both operands' codes.
    rungs : iterable of str
        Names of `RUNGS`.

    Returns
    -------
    dict
        Rung -> nmse, and "limit": `limit_nmse` of the calibration data.

    Raises
    ------
    ValueError, TypeError
        If a rung is unknown, or bits out of range.

    Notes
    -----
    Feedback has the moments of the calibration data, shrunk as in `balance`, with the other
    codebook's mean squared error on their diagonal, in the order of `feedback_order`. Codes have
    the same mean length on all rungs; "allocated bits" is `design_scheme` in the diagonal basis,
    whose codebooks an index are side information that is not counted. The limit is that of the
    calibration data as they are; of few rows it is lower than that of the law behind them.

    Examples
    --------
    >>> from quantlab.data import load_attention
    >>> head = load_attention().head(2, 5)
    >>> rungs = head_ladder(head.calibration, head.held_out, 4, ["fitted", "balanced + feedback"])
    >>> rungs["limit"] < rungs["balanced + feedback"] < 0.6 * rungs["fitted"]
    True
    """
    n_levels = 2 ** check.count(bits, "bits", 2, 8)
    plain = _pair(calibration)
    basis = balance(plain)
    moved = EmpiricalPair(*basis.apply(plain.a, plain.b))
    made: dict[str, tuple[Codebook, Codebook]] = {}
    errors = {}
    for rung in rungs:
        if rung not in RUNGS:
            raise ValueError(f"rung must be one of {tuple(RUNGS)}; got {rung!r}")
        design, fed_back = RUNGS[rung]
        if design == ALLOCATED:
            errors[rung] = logit_nmse(held_out, *by_scheme(_allocated(plain, bits), held_out))
            continue
        pair, data = plain, held_out
        if design == BALANCED:
            pair, data = moved, in_basis(basis, held_out)
        if design not in made:
            made[design] = calibrated(pair, design, n_levels)
        errors[rung] = logit_nmse(data, *_decoded(pair, data, *made[design], fed_back))
    return {**errors, LIMIT: limit_nmse(plain, bits)}


def ladder_rows(
    heads: Sequence[AttentionHead] | Sequence[tuple[_Part, _Part]], bits: Iterable[int]
) -> list[Row]:
    """`head_ladder` of every head at every number of bits: a row each, with `bits`.

    heads : of `load_attention`, or pairs of calibration and held-out parts.
    """
    parts: list[tuple[Any, Any]] = [
        (head.calibration, head.held_out) if isinstance(head, AttentionHead) else head
        for head in heads
    ]
    return [{"bits": b, **head_ladder(*each, b)} for b in bits for each in parts]


def ladder_table(rows: Sequence[Row]) -> list[Row]:
    """One row for each number of bits and rung: the geometric mean over the heads.

    With `over_limit_db`, and `wins`: on how many heads the rung is better than "balanced".
    """
    table = []
    for bits in dict.fromkeys(row["bits"] for row in rows):
        own = [row for row in rows if row["bits"] == bits]
        names = [name for name in own[0] if name != "bits"]
        mean = {name: _geometric_mean([row[name] for row in own]) for name in names}
        for name in names:
            over = 10 * np.log10(mean[name] / mean[LIMIT])
            wins = sum(row[name] < row["balanced"] for row in own)
            table.append({
                "bits": bits, "rung": name, "nmse": mean[name], "over_limit_db": float(over),
                "wins": wins, "heads": len(own),
            })  # fmt: skip
    return table


def _decoded(
    pair: EmpiricalPair, data: _Part, codebook_q: Codebook, codebook_k: Codebook, fed_back: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Queries and keys after coding; feedback from the calibration pair."""
    operands = (data.queries, pair.a, codebook_q), (data.keys, pair.b.T, codebook_k)
    decoded = []
    for (x, _, book), (_, others, other_book) in (operands, operands[::-1]):
        if not fed_back:
            decoded.append(book.quantize(x))
            continue
        error = np.mean(np.square(other_book.quantize(others) - others))
        k = x.shape[-1]
        upper, order = feedback_of(second_moment(others.astype(np.float64)) + error * np.eye(k))
        codes = round_feedback(x.reshape(-1, k), upper, *one_book(book, k), order)
        decoded.append(book.centers[codes].reshape(x.shape))
    return decoded[0], decoded[1]


def _allocated(pair: EmpiricalPair, bits: int) -> Scheme:
    return design_scheme(
        pair, bits, basis="diagonal", rates="allocated", rounding="nearest", books="index"
    )


def _pair(data: _Part) -> EmpiricalPair:
    d = data.queries.shape[-1]
    return EmpiricalPair(data.queries.reshape(-1, d), data.keys.reshape(-1, d).T)


def _geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
