"""design_scheme: choose the parts of a scheme by the error that they leave on data left out."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.pairs import EmpiricalPair
from quantlab.progress import Meter, Progress
from quantlab.scheme.coder import Coder, Spares, cross_moment, product_error
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
_LEFT_OUT = 2048  # rows, and columns, that a choice is measured on at most
_FAR = 3.0  # times the best, in the first folds of both kinds
_DECIDED = 1.5  # times the error in every fold: plain designs so much worse are not kept
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
    columns and matrices of low rank are taken; for few rows that is what limits feedback. Codebooks
    follow a smoothed estimate of the entries or the entries themselves, as the left-out error says:
    the latter where entries take few values.

    The choice is the least of nmse 4^s: nmse the geometric mean over the halves, s the bits of
    `side_bytes` an entry of `pair`, since a bit more in the codes would divide the error by 4.
    `info["tried"]` lists what it was made by. Fewer than 4 rows or columns are not halved: the
    choice is then made on themselves.

    Where it was not clear in every half, codebooks of `design_empirical` and of `balance` are kept
    as spares: `Scheme.encode` takes one where the rows at hand would lose less by it, for rows that
    are not as those of the fit.

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
    parts, tried = candidates[0], dict[Parts, _Trial]()
    if len(candidates) > 1:
        folds = _folds(whole, held_out, *exponents)
        folds = folds if lengths == "fixed" else folds[:2]  # grids take long to fit
        with Meter(progress, len(folds) * len(candidates), label="design_scheme") as meter:
            size = data.inner_dim * sum(
                count
                for count, rate in zip((data.a.shape[0], data.b.shape[1]), both, strict=True)
                if rate is not None
            )
            tried = _tried(candidates, folds, both, most_bits, size, meter)
        able = [each for each, trial in tried.items() if len(trial.errors) == len(folds)]
        parts = min(able, key=lambda each: tried[each].cost(size))
    coders = _coders(whole, parts, both, most_bits)
    (x, y), gain, predicted = _with_gain(whole, parts, coders)
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
            {**vars(each), "nmse": trial.nmse, "side_bytes": trial.side_bytes}
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


@dataclass
class _Trial:
    """What a way to code left on data left out of its fit, fold by fold."""

    errors: list[float]
    side_bytes: int = 0

    @property
    def nmse(self) -> float:
        """Geometric mean: each fold's word counts alike, however hard it is."""
        return float(np.exp(np.mean(np.log(np.maximum(self.errors, np.finfo(float).tiny)))))

    def costs(self, size: int) -> list[float]:
        """nmse 4^s of each fold: of s bits an entry of side information, for `size` entries."""
        return [error * 4.0 ** min(8 * self.side_bytes / size, 500.0) for error in self.errors]

    def cost(self, size: int) -> float:
        return self.nmse * 4.0 ** min(8 * self.side_bytes / size, 500.0)

    def is_near(self, other: _Trial, reach: float) -> bool:
        pairs = zip(self.errors, other.errors, strict=False)
        return any(own < reach * best for own, best in pairs)


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
    """The halves, each with the plain designs that are not clearly worse on data left out."""
    if not plain:
        return coders
    spares = [_with_gain(data, each, _coders(data, each, bits, most_bits))[0] for each in plain]
    found: list[Coder | None] = []
    for which, (coder, side) in enumerate(zip(coders, data.sides("none"), strict=True)):
        own = tuple(replace(s, usual=None) for each in spares if (s := each[which]) is not None)
        few = side.rows.shape[1] / len(data.sides("none")[1 - which].rows)
        margin = 1.0 if alike or _is_plain(parts) else 1 + few
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
        Parts(b, r, o, lengths, c, smoothing)
        for b, r, o, c in found
        for smoothing in smoothings
        if not (smoothing == 0.0 and (b != "none" or c == "shape"))  # a basis leaves no few values
    ]


def _coders(
    data: Calibration, parts: Parts, bits: tuple[float | None, float | None], most_bits: int
) -> Coders:
    if data.alike and parts.basis == "none" and None is not bits[0] == bits[1]:
        one = data.fit(parts, 0, bits[0], most_bits)
        return one, one
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
    halves = (
        ((a[:m], b[:, :n]), (a[m:], b[:, n:])),
        ((a[::2], b[:, ::2]), (a[1::2], b[:, 1::2])),
    )
    folds = [
        (Calibration(EmpiricalPair(*own)), [other])
        for turn in (1, -1)
        for first, second in halves
        for own, other in ((first, second)[::turn],)
        if all(np.any(each) for each in (*own, *other))
    ]
    return folds or [(whole, [(a, b)])]


def _tried(
    candidates: Sequence[Parts],
    folds: Sequence[Fold],
    bits: tuple[float | None, float | None],
    most_bits: int,
    size: int,
    meter: Meter,
) -> dict[Parts, _Trial]:
    """nmse of each on data left out of its fit, a fold; fewer folds for those that are far off."""
    first = candidates[0]
    rough = [parts for parts in candidates if replace(parts, smoothing=first.smoothing) == first]
    found = _errors(rough, folds[:2], bits, most_bits, meter)
    # entries or their smoothed density: what is better for the first is taken for all
    best = min(found, key=lambda parts: found[parts].nmse).smoothing
    rest = [parts for parts in candidates if parts not in found]
    rest = [each for each in rest if each.basis != "none" or each.smoothing == best]
    found |= _errors(rest, folds[:2], bits, most_bits, meter)
    costs = {parts: trial.costs(size) for parts, trial in found.items()}
    least = [_FAR * min(each) for each in zip(*costs.values(), strict=True)]
    near = [parts for parts, each in costs.items() if any(map(operator.le, each, least))]
    for parts, trial in _errors(near, folds[2:], bits, most_bits, meter).items():
        found[parts].errors += trial.errors
    return found


def _errors(
    candidates: Sequence[Parts],
    folds: Sequence[Fold],
    bits: tuple[float | None, float | None],
    most_bits: int,
    meter: Meter,
) -> dict[Parts, _Trial]:
    found = {parts: _Trial([]) for parts in candidates}
    for data, given in folds:
        exact = [(_few(x), _few(y.T)) for x, y in given]
        energy = sum(float(np.vdot(cross_moment(x, x), cross_moment(y, y))) for x, y in exact)
        for parts, trial in found.items():
            made = _coders(data, parts, bits, most_bits)
            if _shrinks(parts):
                made = _with_gain(data, parts, made)[0]
            error = 0.0
            for both in exact:
                if (one := made[0]) is not None and one is made[1] and np.array_equal(*both):
                    coded = [_coded(one, both[0])] * 2
                else:
                    coded = [
                        rows if coder is None else _coded(coder, rows)
                        for rows, coder in zip(both, made, strict=True)
                    ]
                error += product_error(*both, *coded)
            trial.errors.append(error / energy if energy else error)
            trial.side_bytes = sum(coder.side_bytes for coder in made if coder is not None)
            meter.add()
    return found


def _few(rows: NDArray) -> NDArray:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _LEFT_OUT)).astype(int)]


def _coded(coder: Coder, rows: NDArray) -> NDArray:
    own, codes = coder.code(rows)
    return own.restored(own.values(codes))


def _shrinks(parts: Parts) -> bool:
    """Not fine grids; and feedback has made up for what codebooks do."""
    return parts.lengths == "fixed" and parts.rounding == "nearest"


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
    if not _shrinks(parts):
        gain = 1.0
    elif x is not None:
        x = x.scaled(gain)
    elif y is not None:
        y = y.scaled(gain)
    return (x, y), gain, max(float(lost / energy), 0.0) if energy else 0.0
