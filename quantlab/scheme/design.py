"""design_scheme: choose the parts of a scheme by the error that they leave on data left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.pairs import EmpiricalPair
from quantlab.progress import Meter, Progress
from quantlab.scheme.coder import Coder
from quantlab.scheme.fitting import Calibration, Parts
from quantlab.scheme.scheme import Scheme

FloatArray = NDArray[np.float64]
Coders = tuple[Coder | None, Coder | None]
Matrices = tuple[NDArray, NDArray]
#: What is fitted to, and what is left out to measure on.
Fold = tuple[Calibration, list[Matrices]]

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
    ("diagonal", "allocated", "nearest", "index"),
    ("diagonal", "allocated", "nearest", "shape"),
)
_TRIED_ENTROPY = (
    ("diagonal", "allocated", "nearest", "index"),
    ("none", "allocated", "feedback", "index"),
    ("balanced", "allocated", "feedback", "index"),
)
_LEFT_OUT = 2048  # rows, and columns, that a choice is measured on at most
_AS_GOOD = 1.02  # of two schemes this close the one with less side information is taken
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
        Codebooks of fixed length: one a matrix; one an index, fitted; or a Gaussian one with a mean
        and a deviation an index, which takes less side information.
    most_bits : int
        Of an index, 1 to 8.
    held_out : iterable of (a, b), optional
        Choose by the error on these. By default the first half of the rows and columns is left out
        from a fit to the second, and the other way round.
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
    columns and matrices of low rank are taken; for few rows that is what limits feedback. Codebooks
    follow a smoothed estimate of the entries or the entries themselves, as the left-out error says:
    the latter where entries take few values. `info["tried"]` lists all errors that the choice was
    made by. Fewer than 4 rows or columns are not halved: the choice is then made on themselves.

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
    >>> c.shape, bool(((c - a @ b) ** 2).mean() < 4e-3 * ((a @ b) ** 2).mean())
    ((576, 576), True)
    """
    data = pair if isinstance(pair, EmpiricalPair) else EmpiricalPair(*pair)
    both = _bits(bits, check.count(most_bits, "most_bits", 1, 8))
    data, *exponents = data.unit()
    candidates = _candidates(data, both, basis, rates, rounding, lengths, books)
    energy = float(np.vdot(data.row_weight, data.column_weight))
    if not (np.any(data.a) and np.any(data.b)) or energy == 0:
        raise ValueError("a scheme needs a product that is not zero: an operand is zero everywhere")
    whole = Calibration(data)
    tried: dict[Parts, float] = {}
    close = list(candidates)
    if len(candidates) > 1:
        folds = _folds(whole, held_out, *exponents)
        with Meter(progress, len(folds) * len(candidates), label="design_scheme") as meter:
            tried = _tried(candidates, folds, both, most_bits, meter)
        least = min(tried.values())
        close = [parts for parts, error in tried.items() if error <= _AS_GOOD * least]
    made = [(_coders(whole, parts, both, most_bits), parts) for parts in close]
    coders, parts = min(made, key=lambda each: sum(c.side_bytes for c in each[0] if c is not None))
    (x, y), gain, predicted = _with_gain(whole, parts, coders)
    info: dict[str, Any] = {
        "bits": bits if isinstance(bits, (int, float)) else list(bits),
        "m": data.a.shape[0], "k": data.inner_dim, "n": data.b.shape[1], "most_bits": most_bits,
        "smoothing": parts.smoothing, "gain": gain,
        "tried": [{**vars(each), "nmse": error} for each, error in tried.items()],
    }  # fmt: skip
    x, y = (
        None if coder is None else replace(coder, exponent=exponent)
        for coder, exponent in zip((x, y), exponents, strict=True)
    )
    return Scheme(
        x, y, parts.basis, parts.rates, parts.rounding, parts.lengths, parts.books, predicted, info
    )


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
        Parts(b, r, o, lengths, c, smoothing)
        for b, r, o, c in found
        for smoothing in smoothings
        if not (smoothing == 0.0 and (b != "none" or c == "shape"))  # a basis leaves no few values
    ]


def _coders(
    data: Calibration, parts: Parts, bits: tuple[float | None, float | None], most_bits: int
) -> Coders:
    x, y = (
        None if rate is None else data.fit(parts, which, rate, most_bits)
        for which, rate in enumerate(bits)
    )
    return x, y


def _folds(
    whole: Calibration,
    held_out: Iterable[tuple[ArrayLike, ArrayLike]] | None,
    e_x: int,
    e_y: int,
) -> list[Fold]:
    a, b = whole.pair.a, whole.pair.b
    if held_out is not None:
        given = [(finite_matrix(x, "held-out a"), finite_matrix(y, "held-out b"))
                 for x, y in held_out]  # fmt: skip
        if not given or any((x.shape[1], y.shape[0]) != 2 * (a.shape[1],) for x, y in given):
            raise ValueError(
                f"held_out must hold pairs of matrices with inner dimension {a.shape[1]}; got "
                f"{[(x.shape, y.shape) for x, y in given]}"
            )
        return [(whole, [(np.ldexp(x, -e_x), np.ldexp(y, -e_y)) for x, y in given])]
    if min(a.shape[0], b.shape[1]) < 4:
        return [(whole, [(a, b)])]
    m, n = a.shape[0] // 2, b.shape[1] // 2
    first, second = (a[:m], b[:, :n]), (a[m:], b[:, n:])
    halves = [
        (Calibration(EmpiricalPair(*own)), [other])
        for own, other in ((first, second), (second, first))
        if np.any(own[0]) and np.any(own[1])
    ]
    return halves or [(whole, [(a, b)])]


def _tried(
    candidates: Sequence[Parts],
    folds: Sequence[Fold],
    bits: tuple[float | None, float | None],
    most_bits: int,
    meter: Meter,
) -> dict[Parts, float]:
    """nmse of each on data left out of its fit."""
    first = candidates[0]
    rough = [parts for parts in candidates if replace(parts, smoothing=first.smoothing) == first]
    tried = _errors(rough, folds, bits, most_bits, meter)
    # entries or their smoothed density: what is better for the first is taken for all
    best = min(tried, key=lambda parts: tried[parts]).smoothing
    rest = [parts for parts in candidates if parts not in tried]
    rest = [each for each in rest if each.basis != "none" or each.smoothing == best]
    return tried | _errors(rest, folds, bits, most_bits, meter)


def _errors(
    candidates: Sequence[Parts],
    folds: Sequence[Fold],
    bits: tuple[float | None, float | None],
    most_bits: int,
    meter: Meter,
) -> dict[Parts, float]:
    errors = dict.fromkeys(candidates, 0.0)
    energy = 0.0
    for data, given in folds:
        exact: list[Matrices] = []
        for x, y in given:
            left = x[np.linspace(0, len(x) - 1, min(len(x), _LEFT_OUT)).astype(int)]
            right = y.T[np.linspace(0, y.shape[1] - 1, min(y.shape[1], _LEFT_OUT)).astype(int)]
            exact.append((left, right))
            energy += float(np.vdot(_moment(left, left), _moment(right, right)))
        for parts in candidates:
            made = _with_gain(data, parts, _coders(data, parts, bits, most_bits))[0]
            for both in exact:
                coded = [
                    rows if coder is None else _coded(coder, rows)
                    for rows, coder in zip(both, made, strict=True)
                ]
                errors[parts] += _lost(*both, *coded)
            meter.add()
    return {parts: error / energy if energy else error for parts, error in errors.items()}


def _coded(coder: Coder, rows: NDArray) -> NDArray:
    own, codes = coder.code(rows)
    return own.restored(own.values(codes))


def _lost(x: NDArray, y: NDArray, x_coded: NDArray, y_coded: NDArray) -> float:
    """||X Y' - Xq Yq'||_F^2 = ||(X - Xq) Y' + Xq (Y - Yq)'||_F^2 from k x k moments."""
    x_error, y_error = (
        own.astype(np.float64) - coded for own, coded in ((x, x_coded), (y, y_coded))
    )
    return float(
        np.vdot(_moment(x_error, x_error), _moment(y, y))
        + 2 * np.vdot(_moment(x_error, x_coded), _moment(y, y_error))
        + np.vdot(_moment(x_coded, x_coded), _moment(y_error, y_error))
    )


def _moment(left: NDArray, right: NDArray) -> FloatArray:
    return left.T.astype(np.float64) @ right.astype(np.float64)


def _with_gain(data: Calibration, parts: Parts, coders: Coders) -> tuple[Coders, float, float]:
    """The halves, one with the best gain on their product; the gain; equation (2)'s nmse."""
    pair: list[FloatArray] = [data.pair.a.astype(np.float64), data.pair.b.T.astype(np.float64)]
    moments = []
    for own, side, coder in zip(pair, data.sides(parts.basis), coders, strict=True):
        coded = own
        if coder is not None:
            codes = coder.books.round(side.rows, coder.upper, coder.order)
            coded = coder.restored(coder.values(codes)).astype(np.float64)
        moments.append((own.T @ own, own.T @ coded, coded.T @ coded))
    left, right = moments
    energy, cross, own_energy = (float(np.vdot(x, y)) for x, y in zip(left, right, strict=True))
    gain = cross / own_energy if cross > 0 and own_energy > 0 else 1.0
    errors = [each[0] - each[1] - each[1].T + each[2] for each in (left, right)]
    lost = np.vdot(errors[0], right[0]) + np.vdot(left[0], errors[1]) + np.vdot(*errors)
    x, y = coders
    if parts.lengths == "entropy" or parts.rounding == "feedback":
        gain = 1.0  # fine grids do not shrink, and feedback has made up for what codebooks do
    elif x is not None:
        x = x.scaled(gain)
    elif y is not None:
        y = y.scaled(gain)
    return (x, y), gain, max(float(lost / energy), 0.0) if energy else 0.0
