"""Fit one operand's half of a scheme to its rows and to the moment that its errors meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.balancing import balance, second_moment
from quantlab.codebook import Codebook
from quantlab.design.empirical import at_least_two, bandwidth, or_ones
from quantlab.design.weighted_kmeans import weighted_kmeans
from quantlab.pairs import EmpiricalPair
from quantlab.scheme.books import (
    Density,
    IndexBooks,
    densities,
    fitted,
    grained,
    ladders,
    shape_of,
    shaped_books,
)
from quantlab.scheme.coder import Coder, Usual, met_by, steered, steering
from quantlab.scheme.grids import BLOCKS, entropy_grid
from quantlab.scheme.lengths import EntropyGrid
from quantlab.scheme.rates import allocated_bits, equal_bits

FloatArray = NDArray[np.float64]

_PANTER_DITE = np.sqrt(3) * np.pi / 2  # mean squared error of a unit normal entry, over 4^-bits
_REFITS = 1  # with feedback an index meets other values than its own, but by little


@dataclass(frozen=True)
class Parts:
    """One way to code: the choices of `design_scheme`, and the smoothing of its books.

    `shrunk`: whether feedback follows the other's moment shrunk as in `balance`, or as it is with
    the mean squared error of its codes on the diagonal.
    """

    basis: str
    rates: str
    rounding: str
    lengths: str
    books: str
    smoothing: float
    shrunk: bool = True


@dataclass(frozen=True, eq=False)
class Side:
    """One operand's calibration rows in the basis of the codes, and the other's moment there."""

    rows: FloatArray
    moment: FloatArray  # shrunk
    forward: FloatArray | None
    inverse: FloatArray | None


class Calibration:
    """Two matrices in each basis, computed when it is asked for."""

    def __init__(self, pair: EmpiricalPair) -> None:
        self.pair = pair
        #: A = B^T: both operands are coded alike.
        self.alike = np.array_equal(pair.a, pair.b.T)
        self._sides: dict[str, tuple[Side, Side]] = {}
        self._densities: dict[tuple[str, int, float], list[Density]] = {}
        self._plain: dict[tuple[str, int, float, float], IndexBooks] = {}
        self._ladders: dict[tuple[str, int, float, int], FloatArray] = {}

    @cached_property
    def rows(self) -> tuple[FloatArray, FloatArray]:
        """A's, and B's columns as rows."""
        return (
            self.pair.a.astype(np.float64),
            np.ascontiguousarray(self.pair.b.T, dtype=np.float64),
        )

    def sides(self, basis: str) -> tuple[Side, Side]:
        if basis not in self._sides:
            a, b = self.rows
            if basis == "diagonal":
                self._sides[basis] = _diagonal(a, b), _diagonal(b, a)
            elif basis == "balanced":
                turn = balance(self.pair)
                forward, inverse = turn.forward, turn.inverse
                x, y = a @ forward, b @ inverse.T
                self._sides[basis] = (
                    Side(x, second_moment(y), forward, inverse),
                    Side(y, second_moment(x), inverse.T, forward.T),
                )
            else:
                self._sides[basis] = (
                    Side(a, second_moment(b), None, None),
                    Side(b, second_moment(a), None, None),
                )
        return self._sides[basis]

    def densities(self, basis: str, which: int, smoothing: float) -> list[Density]:
        key = basis, which, smoothing
        if key not in self._densities:
            self._densities[key] = densities(self.sides(basis)[which].rows, smoothing)
        return self._densities[key]

    def ladders(self, basis: str, which: int, smoothing: float, most_bits: int) -> FloatArray:
        key = basis, which, smoothing, most_bits
        if key not in self._ladders:
            self._ladders[key] = ladders(self.densities(basis, which, smoothing), most_bits)
        return self._ladders[key]

    @cached_property
    def left_out(self) -> list[tuple[Calibration, tuple[FloatArray, FloatArray]]]:
        """Blocks of rows of A and of B's columns; and each time all others, to be fitted to."""
        a, b = self.rows
        count = min(BLOCKS, len(a), len(b))
        if count < 2:
            return [(self, (a, b))]
        found = []
        places = (np.array_split(np.arange(len(rows)), count) for rows in (a, b))
        for own_a, own_b in zip(*places, strict=True):
            rest = EmpiricalPair(np.delete(a, own_a, axis=0), np.delete(b, own_b, axis=0).T)
            found.append((Calibration(rest), (a[own_a], b[own_b])))
        return found

    def fit(
        self, parts: Parts, which: int, bits: float, most_bits: int, rough: bool = False
    ) -> Coder:
        """The half for A (`which` 0) or for B (1).

        `rough`: codes of variable length keep to the bits on these rows themselves.
        """
        side = self.sides(parts.basis)[which]
        upper, order, prices = self.feedback(parts, which, bits)
        # where A = B^T rows at hand tell what their errors meet
        partners = len(side.rows) if self.alike and parts.rounding == "feedback" else 0

        def coder(books: IndexBooks | EntropyGrid) -> Coder:
            made = Coder(side.forward, side.inverse, upper, order, books)
            if isinstance(books, EntropyGrid):
                return made
            usual = Usual(side.rows.mean(axis=0), side.rows.std(axis=0), prices, 0.0)
            made = replace(made, usual=usual, partners=partners)
            error = made.lost(side.rows, books.round(side.rows, upper, order), steering(upper))
            return replace(made, usual=replace(usual, error=error))

        if parts.lengths == "entropy":
            return coder(entropy_grid(self, parts, which, bits, rough))
        if parts.books == "matrix":
            return coder(self._one_book(parts, which, bits, prices, upper, order))
        shaped = parts.books == "shape"
        if parts.rates == "equal":
            each = equal_bits(prices * side.rows.var(axis=0), bits, most_bits)
        elif shaped:
            own = side.rows.var(axis=0)[:, None] * shape_of(side.rows).errors(most_bits)
            each = allocated_bits(prices[:, None] * own, bits)
        else:
            errors = self.ladders(parts.basis, which, parts.smoothing, most_bits)
            each = allocated_bits(prices[:, None] * errors, bits)
        if shaped:
            books = shaped_books(side.rows, each)
        else:
            books = fitted(self.densities(parts.basis, which, parts.smoothing), each)
        if parts.rounding == "feedback":
            for _ in range(_REFITS):
                met = met_by(side.rows, books, upper, order)
                if shaped:
                    books = shaped_books(met, each)
                else:
                    books = fitted(densities(met, parts.smoothing), each)
        return coder(books)

    def feedback(
        self, parts: Parts, which: int, bits: float
    ) -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
        """U, its order, and what the product pays for each index's own cell error."""
        sides = self.sides(parts.basis)
        moment, k = sides[which].moment, self.pair.inner_dim
        if parts.rounding == "nearest":
            return np.eye(k), np.arange(k), np.diag(moment).copy()
        if not parts.shrunk:
            others = sides[1 - which].rows
            of = None if parts.books == "matrix" else 0  # what a codebook's levels are spread over
            error = _PANTER_DITE * 4.0**-bits * float(np.mean(others.var(axis=of)))
            moment = others.T @ others / len(others) + error * np.eye(k)
        return steered(moment)

    def _one_book(
        self,
        parts: Parts,
        which: int,
        bits: float,
        prices: FloatArray,
        upper: FloatArray,
        order: NDArray[np.intp],
    ) -> IndexBooks:
        side = self.sides(parts.basis)[which]
        key = parts.basis, which, bits, parts.smoothing
        if key not in self._plain:
            own = np.diag(side.moment)
            if parts.basis != "diagonal":  # as design_empirical weights entries
                own = np.square(self.sides(parts.basis)[1 - which].rows).mean(axis=0)
            self._plain[key] = _one_book(side.rows, own, bits, parts.smoothing)
        if parts.rounding == "nearest":
            return self._plain[key]
        met = met_by(side.rows, self._plain[key], upper, order)
        return _one_book(met, prices, bits, parts.smoothing)


def _diagonal(rows: FloatArray, others: FloatArray) -> Side:
    """The basis in which these rows' covariance and the others' moment are the same diagonal."""
    lower = np.linalg.cholesky(second_moment(rows - rows.mean(axis=0)))
    moment = second_moment(others)
    squares, vectors = np.linalg.eigh(lower.T @ moment @ lower)
    common = np.sqrt(np.maximum(squares, np.finfo(float).tiny))
    root = np.sqrt(common)
    forward = np.linalg.solve(lower.T, vectors * root)
    inverse = vectors.T @ lower.T / root[:, None]
    return Side(np.ascontiguousarray(rows @ forward), np.diag(common), forward, inverse)


def _one_book(rows: FloatArray, prices: FloatArray, bits: float, smoothing: float) -> IndexBooks:
    """One codebook for all indices, weighted by their prices."""
    n_levels = check.count(round(2**bits), "n_levels", 2, 256)
    weight = or_ones(prices)
    width = bandwidth(rows, weight, "auto" if smoothing else 0.0)
    centers = weighted_kmeans(rows, np.ones(len(rows)), weight, n_levels, width)
    apart = np.diff(centers) > 1e-12 * np.abs(centers).max()  # else no threshold is between them
    centers = at_least_two(centers[np.append(True, apart)])
    return IndexBooks.one(Codebook(grained(centers)), rows.shape[1])
