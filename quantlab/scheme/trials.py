"""What ways to code leave on rows and columns left out of their fits: what a choice is made by."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab._matrices import finite_matrix
from quantlab.pairs import EmpiricalPair
from quantlab.progress import Meter
from quantlab.scheme.calibration import Calibration, Parts
from quantlab.scheme.coder import Coder, cross_moment, product_error
from quantlab.scheme.fitting import fit
from quantlab.scheme.lengths import EntropyGrid

FloatArray = NDArray[np.float64]
Coders = tuple[Coder | None, Coder | None]
Matrices = tuple[NDArray, NDArray]
#: What is fitted to, and what is left out to measure on.
Fold = tuple[Calibration, list[Matrices]]

_LEFT_OUT = 2048  # rows, and columns, that a choice is measured on at most
_FAR = 3.0  # times the best, in the first folds of both kinds
TINY = float(np.finfo(float).tiny)


@dataclass
class Trial:
    """What a way to code left on data left out of its fit, fold by fold."""

    errors: list[float]
    excess: list[float]  # bits an entry that were written above those asked for
    side_bytes: int = 0

    @property
    def nmse(self) -> float:
        """Geometric mean: each fold's word counts alike, however hard it is."""
        return float(np.exp(np.mean(np.log(np.maximum(self.errors, TINY)))))

    def costs(self, size: int) -> list[float]:
        """nmse 4^s of each fold: s bits an entry of `size`, side information and the excess."""
        side = 8 * self.side_bytes / size
        both = zip(self.errors, self.excess, strict=True)
        return [error * 4.0 ** min(side + more, 500.0) for error, more in both]

    def cost(self, size: int) -> float:
        side = 8 * self.side_bytes / size
        return self.nmse * 4.0 ** min(side + float(np.mean(self.excess)), 500.0)

    def is_near(self, other: Trial, reach: float) -> bool:
        pairs = zip(self.errors, other.errors, strict=False)
        return any(own < reach * best for own, best in pairs)


def folds_of(
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


def trials(
    candidates: Sequence[Parts],
    folds: Sequence[Fold],
    bits: tuple[float | None, float | None],
    most_bits: int,
    size: int,
    meter: Meter,
) -> dict[Parts, Trial]:
    """nmse of each on data left out of its fit, a fold; fewer folds for those that are far off."""
    # entries or their smoothed density, the moment shrunk or not: what is better for the first of
    # its kind is taken for all
    found, rest = dict[Parts, Trial](), list(candidates)
    for name, kind, value in (("smoothing", "basis", "none"), ("shrunk", "rounding", "feedback")):
        own = [parts for parts in rest if getattr(parts, kind) == value]
        rivals = [each for each in own if replace(each, **{name: getattr(own[0], name)}) == own[0]]
        if len(rivals) > 1:
            new = [each for each in rivals if each not in found]
            found |= _errors(new, folds[:2], bits, most_bits, meter)
            best = getattr(min(rivals, key=lambda parts: found[parts].cost(size)), name)
            rest = [
                each
                for each in rest
                if each in found or each not in own or getattr(each, name) == best
            ]
    rest = [parts for parts in rest if parts not in found]
    found |= _errors(rest, folds[:2], bits, most_bits, meter)
    costs = {parts: trial.costs(size) for parts, trial in found.items()}
    least = [_FAR * min(each) for each in zip(*costs.values(), strict=True)]
    near = [parts for parts, each in costs.items() if any(map(operator.le, each, least))]
    for parts, trial in _errors(near, folds[2:], bits, most_bits, meter).items():
        found[parts].errors += trial.errors
        found[parts].excess += trial.excess
    return found


def _errors(
    candidates: Sequence[Parts],
    folds: Sequence[Fold],
    bits: tuple[float | None, float | None],
    most_bits: int,
    meter: Meter,
) -> dict[Parts, Trial]:
    found = {parts: Trial([], []) for parts in candidates}
    for data, given in folds:
        exact = [(_few(x), _few(y.T)) for x, y in given]
        energy = sum(float(np.vdot(cross_moment(x, x), cross_moment(y, y))) for x, y in exact)
        for parts, trial in found.items():
            made = coders_of(data, parts, bits, most_bits)
            if _shrinks(parts):
                made = with_gain(data, parts, made)[0]
            error, excess = 0.0, list[float]()
            for both in exact:
                if (one := made[0]) is not None and one is made[1] and np.array_equal(*both):
                    coded = [_coded(one, both[0], bits[0])] * 2
                else:
                    coded = [
                        (rows, None) if coder is None else _coded(coder, rows, rate)
                        for rows, coder, rate in zip(both, made, bits, strict=True)
                    ]
                error += product_error(*both, *(rows for rows, _ in coded))
                excess += [more for _, more in coded if more is not None]
            trial.errors.append(error / energy if energy else error)
            trial.excess.append(float(np.mean(excess)))
            trial.side_bytes = sum(coder.side_bytes for coder in made if coder is not None)
            meter.add()
    return found


def _few(rows: NDArray) -> NDArray:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _LEFT_OUT)).astype(int)]


def _coded(coder: Coder, rows: NDArray, bits: float | None) -> tuple[NDArray, float | None]:
    """What rows become; and the bits an entry above those that were asked for."""
    own, codes = coder.code(rows)
    excess = 0.0
    if bits is not None and isinstance(own.books, EntropyGrid):
        excess = own.books.ideal_bits(codes) - bits
    return own.restored(own.values(codes)), excess


def _shrinks(parts: Parts) -> bool:
    """Not fine grids; and feedback has made up for what codebooks do."""
    return parts.lengths == "fixed" and parts.rounding == "nearest"


def with_gain(data: Calibration, parts: Parts, coders: Coders) -> tuple[Coders, float, float]:
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


def coders_of(
    data: Calibration,
    parts: Parts,
    bits: tuple[float | None, float | None],
    most_bits: int,
) -> Coders:
    if data.alike and parts.basis == "none" and None is not bits[0] == bits[1]:
        one = fit(data, parts, 0, bits[0], most_bits)
        return one, one
    x, y = (
        None if rate is None else fit(data, parts, which, rate, most_bits)
        for which, rate in enumerate(bits)
    )
    return x, y
