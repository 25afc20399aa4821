"""Fit one operand's half of a scheme to its rows and to the moment that its errors meet."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    own_shapes,
    shape_of,
    shaped_books,
    shapes,
)
from quantlab.scheme.coder import Coder, Usual, steering
from quantlab.scheme.lengths import EntropyGrid
from quantlab.scheme.rates import allocated_bits, equal_bits
from quantlab.scheme.rounding import feedback_matrix, feedback_order

FloatArray = NDArray[np.float64]

_BLOCKS = 6
_MARGIN = 3.3  # standard errors: texts differ more than blocks of one
_REFITS = 1  # with feedback an index meets other values than its own, but by little


@dataclass(frozen=True)
class Parts:
    """One way to code: the choices of `design_scheme`, and the smoothing of its books."""

    basis: str
    rates: str
    rounding: str
    lengths: str
    books: str
    smoothing: float


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

    def sides(self, basis: str) -> tuple[Side, Side]:
        if basis not in self._sides:
            a = self.pair.a.astype(np.float64)
            b = np.ascontiguousarray(self.pair.b.T, dtype=np.float64)
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

    def fit(self, parts: Parts, which: int, bits: float, most_bits: int) -> Coder:
        """The half for A (`which` 0) or for B (1)."""
        side = self.sides(parts.basis)[which]
        upper, order, prices = _feedback(side.moment, parts.rounding == "feedback")

        def coder(books: IndexBooks | EntropyGrid) -> Coder:
            made = Coder(side.forward, side.inverse, upper, order, books)
            if isinstance(books, EntropyGrid):
                return made
            usual = Usual(side.rows.mean(axis=0), side.rows.std(axis=0), prices, 0.0)
            made = replace(made, usual=usual)
            error = made.lost(side.rows, books.round(side.rows, upper, order), steering(upper))
            return replace(made, usual=replace(usual, error=error))

        if parts.lengths == "entropy":
            found = self._entropy_grid(parts, which, bits, prices, upper, order)
            return coder(found)
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
                met = _met(side.rows, books, upper, order)
                if shaped:
                    books = shaped_books(met, each)
                else:
                    books = fitted(densities(met, parts.smoothing), each)
        return coder(books)

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
        met = _met(side.rows, self._plain[key], upper, order)
        return _one_book(met, prices, bits, parts.smoothing)

    def _entropy_grid(
        self,
        parts: Parts,
        which: int,
        bits: float,
        prices: FloatArray,
        upper: FloatArray,
        order: NDArray[np.intp],
    ) -> EntropyGrid:
        """Steps c / sqrt(price); c for which left-out rows keep to the bits, with a margin.

        Halves of the rows are written by each other's tables; the mean length of blocks of rows,
        the coder's last word included, and some of its standard errors more, are the bits.
        """
        rows = self.sides(parts.basis)[which].rows
        offsets = rows.mean(axis=0)
        unit = 1 / np.sqrt(np.maximum(prices, 1e-12 * prices.max()))
        halves = np.array_split(rows, 2)
        # 2 pi e / 12 over the rate: where a Gaussian row would land
        sizes = np.log2(np.maximum(rows.std(axis=0) / unit, 1e-300))
        low, high = float(sizes.min()) - 40, float(sizes.max()) + 4.0
        exponent = float(sizes.mean()) + 2.05 - bits

        def grid(columns: list[Density]) -> EntropyGrid:
            # feedback makes up for the errors of plain cells
            steps, fitted = 2.0**exponent * unit, parts.rounding == "nearest"
            return EntropyGrid.of(steps, offsets, columns, fitted, parts.books)

        told = shapes if parts.books == "shape" else own_shapes
        columns = [told(half) for half in halves]
        for _ in range(30):
            plain = [grid(each) for each in columns]
            lengths: list[float] = []
            for half, other in ((0, 1), (1, 0)):
                tables = plain[half]
                codes = tables.round(halves[other], upper, order)
                if parts.rounding == "feedback":
                    seen = _met(halves[half], tables, upper, order)
                    tables = grid(told(seen))
                blocks = np.array_split(codes, min(_BLOCKS, len(codes)))
                # the coder ends in a word
                lengths += [tables.ideal_bits(block) + 32 / block.size for block in blocks]
            spread = np.std(lengths, ddof=1) if len(lengths) > 1 else 0.0
            spent = float(np.mean(lengths) + _MARGIN * spread / np.sqrt(len(lengths)))
            if abs(spent - bits) < 2e-3:
                break
            low, high = (exponent, high) if spent > bits else (low, exponent)
            following = exponent + spent - bits
            exponent = following if low < following < high else (low + high) / 2
        whole = grid(told(rows))
        if parts.rounding == "feedback":
            whole = grid(told(_met(rows, whole, upper, order)))
        return whole


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


def _feedback(
    moment: FloatArray, feedback: bool
) -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
    """U, its order, and what the product pays for each index's own cell error."""
    k = len(moment)
    if not feedback:
        return np.eye(k), np.arange(k), np.diag(moment).copy()
    order = feedback_order(moment)
    upper, pivots = feedback_matrix(moment[np.ix_(order, order)])
    prices = np.empty(k)
    prices[order] = pivots
    return upper, order, prices


def _met(
    rows: FloatArray, books: IndexBooks | EntropyGrid, upper: FloatArray, order: NDArray[np.intp]
) -> FloatArray:
    """What the codebooks are given with feedback: the rows less the errors already made."""
    errors = (books.values(books.round(rows, upper, order)) - rows)[:, order]
    met = np.empty_like(rows)
    met[:, order] = rows[:, order] - errors @ np.triu(upper, 1).T
    return met


def _one_book(rows: FloatArray, prices: FloatArray, bits: float, smoothing: float) -> IndexBooks:
    """One codebook for all indices, weighted by their prices."""
    n_levels = check.count(round(2**bits), "n_levels", 2, 256)
    weight = or_ones(prices)
    width = bandwidth(rows, weight, "auto" if smoothing else 0.0)
    centers = weighted_kmeans(rows, np.ones(len(rows)), weight, n_levels, width)
    apart = np.diff(centers) > 1e-12 * np.abs(centers).max()  # else no threshold is between them
    centers = at_least_two(centers[np.append(True, apart)])
    return IndexBooks.one(Codebook(grained(centers)), rows.shape[1])
