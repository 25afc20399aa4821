"""design_scheme: choose the parts of a scheme by the error that they leave on data left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from quantlab import _validate as check
from quantlab.pairs import EmpiricalPair
from quantlab.progress import Meter, Progress
from quantlab.scheme.calibration import Calibration, Parts
from quantlab.scheme.coder import Coder, Spares
from quantlab.scheme.scheme import Scheme
from quantlab.scheme.trials import (
    Coders,
    Trial,
    coders_of,
    folds_of,
    trials,
    with_gain,
)

BASES = ("none", "balanced", "diagonal")
RATES = ("equal", "allocated")
ROUNDINGS = ("nearest", "feedback")
LENGTHS = ("fixed", "entropy")
BOOKS = ("matrix", "index", "shape")
#: What "auto" tries: (basis, rates, rounding, books), the plainest first. In the diagonal basis
#: feedback has nothing to steer: it rounds to the nearest.
_TRIED = (
    ("none", "equal", "nearest", "matrix"),
    ("none", "equal", "feedback", "matrix"),
    ("balanced", "equal", "nearest", "matrix"),
    ("balanced", "equal", "feedback", "matrix"),
    ("none", "equal", "feedback", "index"),
    ("none", "allocated", "feedback", "index"),
    ("none", "allocated", "feedback", "shape"),
    ("diagonal", "allocated", "nearest", "index"),
    ("diagonal", "allocated", "nearest", "shape"),
)
_TRIED_ENTROPY = (
    ("diagonal", "allocated", "nearest", "shape"),
    ("diagonal", "allocated", "nearest", "index"),
    ("none", "allocated", "feedback", "shape"),
    ("none", "allocated", "feedback", "index"),
    ("balanced", "allocated", "feedback", "shape"),
)
_DECIDED = 1.5  # times the error in every fold: plain designs so much worse are not kept
_FLATTERY = 0.0  # of the moment that a coder was fitted to, times k / rows: benchmarks/settle.py
_MOST_IN_BASIS = 2048  # inner dimension of a change of basis: its time grows as the cube


def design_scheme(
    pair: EmpiricalPair | tuple[ArrayLike, ArrayLike],
    bits: float | tuple[float | None, float | None],
    *,
    basis: str = "auto",
    rates: str = "auto",
    rounding: str = "auto",
    lengths: str = "fixed",
    books: str = "auto",
    most_bits: int = 8,
    held_out: Iterable[tuple[ArrayLike, ArrayLike]] | None = None,
    progress: Progress = None,
) -> Scheme:
    r"""Code two matrices for their product: in the best basis, with bits where they count.

    .. math::
        \mathrm{E} \lVert A B - \hat A \hat B \rVert_F^2 \approx
        n \sum_{\text{rows of } A} e\, S_B\, e^\top + m \sum_{\text{columns of } B} e^\top S_A\, e,
        \qquad S_A = A^\top A / m, \quad S_B = B B^\top / n

    Four free choices lower this at the same number of bits.

    Parameters
    ----------
    pair : EmpiricalPair or (array_like, array_like)
        The matrices a (m, k) and b (k, n), or calibration data that stand for them.
    bits : float or (float, float)
        R, mean bits of an entry, for A and B: any number from 0.1 to 8. None in a pair leaves that
        operand as it is: weights beside activations, of which `pair` holds examples (GPTQ is
        basis="none", rounding="feedback" of one operand).
    basis : {"auto", "none", "balanced", "diagonal"}
        As it is; A B = (A T)(T^-1 B) with all indices alike (`balance`); or each operand in the
        basis in which its covariance and the other's moment are the same diagonal: its indices are
        then as different as they can be.
    rates : {"auto", "equal", "allocated"}
        Bits an index: the same, or as the error's fall a bit says (reverse water-filling).
    rounding : {"auto", "nearest", "feedback"}
        Each entry by itself, or making up for the errors of the entries before (`round_feedback`).
    lengths : {"fixed", "entropy"}
        Codes of fixed length, or uniform grids whose integers an entropy coder writes (extra
        `entropy`), with steps that are wide where an error costs little.
    books : {"auto", "matrix", "index", "shape"}
        One codebook a matrix (fixed length); one an index; or one shape for all, with a mean and a
        deviation an index, which takes less side information. Of entropy-coded lengths: the tables.
    most_bits : int
        Of an index, 1 to 8.
    held_out : iterable of (a, b), optional
        Choose by the error on these. By default halves of the rows and columns are left out from a
        fit to the others: the first and the second, and every other one.
    progress : callable or True, optional
        progress(done, total, seconds left) at each fit; True: a bar of tqdm's.

    Returns
    -------
    Scheme

    Raises
    ------
    ValueError, TypeError
        If a matrix, a part or the bits are not valid, or parts exclude each other: one codebook a
        matrix goes with equal rates and whole bits.

    Notes
    -----
    Derived in notebooks/08. Moments are shrunk as in `balance`, so that fewer rows than k, constant
    columns and matrices of low rank are taken; feedback follows the other's moment shrunk, or as it
    is with the mean squared error of its codes on the diagonal, as the left-out error says: where
    rows are alike, shrinking hides most of what feedback could make up for. Codebooks
    follow a smoothed estimate of the entries or the entries themselves, as the left-out error says:
    the latter where entries take few values.

    The choice is the least of nmse 4^s: nmse the geometric mean over the halves, s the bits of
    `side_bytes` an entry of `pair`, since a bit more in the codes would divide the error by 4.
    `info["tried"]` lists what it was made by. Fewer than 4 rows or columns are not halved: the
    choice is then made on themselves.

    Where it was not clear in every half, codebooks of `design_empirical` and of `balance` are kept
    as spares: `Scheme.encode` takes one where the rows at hand would lose less by it, for rows that
    are not as those of the fit. Where such codebooks were chosen themselves, and A is not B^T, rows
    at hand do not tell which are better, and none are kept.

    Steps of entropy-coded lengths are those at which the rows of the fit are written in the bits;
    `Scheme.encode` takes the finest at which the rows at hand are, and tells them in 16 bits. What
    was settled once and for all was settled inside the calibration texts of the shipped heads, and
    on small sets and drawn rows that no result is told of (benchmarks/results/settle.md).

    Choosing: for two matrices, or calibration data of what will be multiplied later, where the
    error of the product is what counts; `design_empirical` where one codebook a matrix must do,
    without any state but its centres.

    Examples
    --------
    >>> import quantlab as ql
    >>> from quantlab.data import load_attention
    >>> head = load_attention().head(layer=2, head=5)
    >>> a, b = head.calibration_pair()
    >>> scheme = design_scheme((a, b), bits=4)
    >>> scheme.inner_dim, scheme.bits_per_entry
    (32, (4.0, 4.0))
    >>> c = scheme.encode(a, "x") @ scheme.encode(b, "y")
    >>> c.shape, f"{((c - a @ b) ** 2).mean() / ((a @ b) ** 2).mean():.1e}"
    ((576, 576), '4.4e-03')
    """
    data = pair if isinstance(pair, EmpiricalPair) else EmpiricalPair(*pair)
    both = _bits(bits, check.count(most_bits, "most_bits", 1, 8))
    data, *exponents = data.unit()
    candidates = _candidates(data, both, basis, rates, rounding, lengths, books)
    energy = float(np.vdot(data.row_weight, data.column_weight))
    if not (np.any(data.a) and np.any(data.b)) or energy == 0:
        raise ValueError("a scheme needs a product that is not zero: an operand is zero everywhere")
    whole = Calibration(data)
    parts, tried = candidates[0], dict[Parts, Trial]()
    if len(candidates) > 1:
        folds = folds_of(whole, held_out, *exponents)
        folds = folds if lengths == "fixed" else folds[:2]  # grids take long to fit
        with Meter(progress, len(folds) * len(candidates), label="design_scheme") as meter:
            size = data.inner_dim * sum(
                count
                for count, rate in zip((data.a.shape[0], data.b.shape[1]), both, strict=True)
                if rate is not None
            )
            tried = trials(candidates, folds, both, most_bits, size, meter)
        able = {each: trial for each, trial in tried.items() if len(trial.errors) == len(folds)}
        parts = min(able, key=lambda each: tried[each].cost(size))
    coders = coders_of(whole, parts, both, most_bits)
    (x, y), gain, predicted = with_gain(whole, parts, coders)
    alike = None not in both and whole.alike
    reach = np.inf if alike else _DECIDED  # an encoder of A = B^T can tell for sure
    plain = [
        each
        for each, trial in tried.items()
        if each != parts and _is_plain(each) and trial.is_near(tried[parts], reach)
    ]
    x, y = _with_spares((x, y), whole, parts, plain, alike, both, most_bits)
    info: dict[str, Any] = {
        "bits": bits if isinstance(bits, (int, float)) else list(bits),
        "m": data.a.shape[0], "k": data.inner_dim, "n": data.b.shape[1], "most_bits": most_bits,
        "smoothing": parts.smoothing, "gain": gain,
        "tried": [
            {
                **vars(each), "nmse": trial.nmse, "side_bytes": trial.side_bytes,
                "excess": float(np.mean(trial.excess)),
            }
            for each, trial in tried.items()
        ],
    }  # fmt: skip
    x, y = (
        None if coder is None else coder.in_units(exponent)
        for coder, exponent in zip((x, y), exponents, strict=True)
    )
    return Scheme(
        x, y, parts.basis, parts.rates, parts.rounding, parts.lengths, parts.books, predicted, info
    )


def _is_plain(parts: Parts) -> bool:
    """What `design_empirical` finds, in the basis of `balance` or without."""
    return (parts.rounding, parts.books) == ("nearest", "matrix")


def _with_spares(
    coders: Coders,
    data: Calibration,
    parts: Parts,
    plain: Sequence[Parts],
    alike: bool,
    bits: tuple[float | None, float | None],
    most_bits: int,
) -> Coders:
    """The halves, each with the plain designs that are not clearly worse on data left out.

    Of plain designs the rows at hand do not tell the better one, but where A = B^T.
    """
    if not plain or (_is_plain(parts) and not alike):
        return coders
    spares = [with_gain(data, each, coders_of(data, each, bits, most_bits))[0] for each in plain]
    found: list[Coder | None] = []
    for which, (coder, side) in enumerate(zip(coders, data.sides("none"), strict=True)):
        own = tuple(replace(s, usual=None) for each in spares if (s := each[which]) is not None)
        few = side.rows.shape[1] / len(data.sides("none")[1 - which].rows)
        margin = 1.0 if alike else 1 + _FLATTERY * few
        found.append(coder and replace(coder, spares=Spares(own, side.moment, margin, alike)))
    return found[0], found[1]


def _bits(bits: Any, most_bits: int) -> tuple[float | None, float | None]:
    each = bits if isinstance(bits, (tuple, list)) else (bits, bits)
    if len(each) != 2 or each[0] is each[1] is None:
        raise ValueError(f"bits must be a number or a pair, not both None; got {bits!r}")
    for rate in each:
        if rate is not None and not 0.1 <= check.finite_real(rate, "bits") <= most_bits:
            raise ValueError(f"bits must lie from 0.1 to most_bits = {most_bits}; got {rate:g}")
    return each[0], each[1]


def _candidates(
    data: EmpiricalPair,
    bits: tuple[float | None, float | None],
    basis: str,
    rates: str,
    rounding: str,
    lengths: str,
    books: str,
) -> list[Parts]:
    """All that "auto" leaves open, or the one way that was asked for."""
    asked = {"basis": (basis, BASES), "rates": (rates, RATES), "rounding": (rounding, ROUNDINGS),
             "books": (books, BOOKS)}  # fmt: skip
    for name, (value, known) in asked.items():
        if value not in ("auto", *known):
            raise ValueError(f"{name} must be one of {('auto', *known)}; got {value!r}")
    if lengths not in LENGTHS:
        raise ValueError(f"lengths must be one of {LENGTHS}; got {lengths!r}")
    whole = all(rate is None or rate == int(rate) for rate in bits)
    if books == "matrix" and (rates == "allocated" or not whole):
        raise ValueError(
            'books="matrix" goes with rates="equal" and whole bits; '
            f"got rates={rates!r} and bits {bits}"
        )

    def possible(b: str, r: str, o: str, c: str) -> bool:
        fits = all(value in ("auto", own) for (value, _), own in
                   zip(asked.values(), (b, r, o, c), strict=True))  # fmt: skip
        small = b == "none" or data.inner_dim <= _MOST_IN_BASIS or basis == b
        return fits and small and (c != "matrix" or whole) and (c != "matrix" or r == "equal")

    tried: Sequence[tuple[str, str, str, str]] = _TRIED if lengths == "fixed" else _TRIED_ENTROPY
    found = [parts for parts in tried if possible(*parts)]
    if not found:  # a combination that "auto" does not think of, taken at its word
        every = product(BASES, RATES, ROUNDINGS, ("index", "shape", "matrix"))
        found = [parts for parts in every if possible(*parts)][:1]
    smoothings = (1.0,) if lengths == "entropy" else (0.0, 1.0)
    return [
        Parts(b, r, o, lengths, c, smoothing, shrunk)
        for b, r, o, c in found
        for smoothing in smoothings
        for shrunk in ((True, False) if o == "feedback" and b != "diagonal" else (True,))
        if not (smoothing == 0.0 and (b != "none" or c == "shape"))  # a basis leaves no few values
    ]
