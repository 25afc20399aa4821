"""One operand's half of a scheme: its basis, its rounding, what its codes stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantlab.scheme.books import IndexBooks
from quantlab.scheme.lengths import EntropyGrid

FloatArray = NDArray[np.float64]


_SUSPECT = 2.0  # times the usual error: the rows may lie elsewhere
_PAYS = 0.5  # of the error that is left, at most, where the books are moved
_STRETCHES = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 8.0)
USUAL = ("mean", "spread", "prices", "error")  # what they are called in a file
_SAMPLE = 512  # rows that moves are tried on


@dataclass(frozen=True, eq=False)
class Usual:
    """What a coder was fitted to; what rows that lie elsewhere are told by.

    Attributes
    ----------
    mean, spread : ndarray, shape (k,)
        Of the rows, in the basis of the codes.
    prices : ndarray, shape (k,)
        What the product pays for each index's own cell error.
    error : float
        Mean over the rows of the sum over the indices of price times squared cell error.
    """

    mean: FloatArray
    spread: FloatArray
    prices: FloatArray
    error: float


@dataclass(frozen=True, eq=False)
class Coder:
    """Rows of A, or columns of B as rows, to codes and back.

    Attributes
    ----------
    forward, inverse : ndarray, shape (k, k), or None
        A row x is coded as x forward; (x forward) inverse = x. None: as it is.
    upper, order : ndarray, shapes (k, k) and (k,)
        For `round_feedback`; zeros above the diagonal round to the nearest.
    books : IndexBooks or EntropyGrid
        What the codes stand for, in that basis.
    exponent : int
        Rows are coded in units of 2^exponent.
    usual : Usual, or None
        Of rows that codebooks were fitted to.
    moved_numbers : int
        float32 numbers by which `code` moved the codebooks for the rows at hand.
    """

    forward: FloatArray | None
    inverse: FloatArray | None
    upper: FloatArray
    order: NDArray[np.intp]
    books: IndexBooks | EntropyGrid
    exponent: int = 0
    usual: Usual | None = None
    moved_numbers: int = 0

    @property
    def inner_dim(self) -> int:
        return len(self.upper)

    @property
    def side_bytes(self) -> int:
        """What products need beside the codes; the basis and the feedback only coding needs."""
        return self.books.side_bytes

    @property
    def most_levels(self) -> int:
        """Levels of the index that has most."""
        books = self.books
        return int((books.n_levels if isinstance(books, IndexBooks) else books.counts).max())

    def moved(self, rows: NDArray) -> NDArray:
        """Rows (m, k) in the basis of the codes, in their own precision."""
        if self.exponent:
            rows = np.ldexp(rows, -self.exponent)
        return rows if self.forward is None else (rows @ self.forward).astype(rows.dtype)

    def encode(self, rows: NDArray) -> NDArray:
        """Codes (m, k), integers."""
        return self.books.round(self.moved(rows), self.upper, self.order)

    def code(self, rows: NDArray) -> tuple[Coder, NDArray]:
        r"""The coder for rows (m, k), and their codes.

        Rows that lie where those of the fit did not (a trend, another scale) would be coded by the
        outermost levels. Then all centres are moved:

        .. math:: c_l \to \bar x_l + s_l (c_l - \bar c_l)

        by a shift an index, a stretch for all, both, or a shift and a stretch an index. Each number
        counts 32 bits, and b bits an entry must lower the error by 4^b; and by half at least.
        """
        there = self.moved(rows)
        codes = self.books.round(there, self.upper, self.order)
        usual = self.usual
        if usual is None or self.lost(there, codes) <= _SUSPECT * usual.error:
            return self, codes
        assert isinstance(self.books, IndexBooks)  # a grid has no end
        few = there[np.linspace(0, len(there) - 1, min(len(there), _SAMPLE)).astype(int)]
        now = self.lost(few, self.books.round(few, self.upper, self.order))
        best, least = self, now
        mean, spread = there.mean(axis=0, dtype=np.float64), there.std(axis=0, dtype=np.float64)
        own = np.divide(spread, usual.spread, out=np.ones_like(spread), where=usual.spread > 0)
        k, plain = self.inner_dim, self.books
        none, one = np.zeros(k), np.ones(k)
        tried = [(none, stretch * one, 1) for stretch in _STRETCHES]
        tried += [(mean - usual.mean, stretch * one, k + 1) for stretch in _STRETCHES]
        tried += [(mean - usual.mean, np.maximum(own, 1 / 16), 2 * k)]
        for shift, stretch, numbers in tried:
            if not np.all(stretch > 0):
                continue
            books = plain.at(usual.mean, shift, stretch)
            other = replace(self, books=books, moved_numbers=numbers)
            error = other.lost(few, books.round(few, self.upper, self.order))
            pays = min(_PAYS, 4.0 ** (-32 * numbers / there.size))
            worth = error * 4.0 ** (32 * numbers / there.size)
            if error < pays * now and worth < least:
                best, least = other, worth
        if best is self:
            return self, codes
        return best, best.books.round(there, self.upper, self.order)

    def lost(self, there: NDArray, codes: NDArray) -> float:
        """Mean over rows in the basis of the codes of price times squared cell error, summed."""
        assert self.usual is not None
        error = (self.values(codes) - there.astype(np.float64))[:, self.order]
        cells = error @ (np.triu(self.upper, 1) + np.eye(self.inner_dim)).T
        return float(np.square(cells).mean(axis=0) @ self.usual.prices[self.order])

    def values(self, codes: NDArray) -> NDArray[np.float32]:
        """What codes (m, k) stand for in their basis."""
        return self.books.values(codes)

    def restored(self, values: NDArray[np.float32]) -> NDArray:
        """Values (m, k) in the basis of the rows: float32, or float64 in a unit of their own."""
        if self.inverse is not None:
            values = (values @ self.inverse).astype(np.float32)
        return np.ldexp(values.astype(np.float64), self.exponent) if self.exponent else values

    def scaled(self, gain: float) -> Coder:
        """The same codes, which stand for `gain` times as much; for codebooks."""
        assert isinstance(self.books, IndexBooks)
        return replace(self, books=self.books.scaled(gain))

    def tensors(self) -> dict[str, NDArray]:
        held: dict[str, NDArray] = {"upper": self.upper, "order": self.order.astype(np.int64)}
        if self.forward is not None and self.inverse is not None:
            held |= {"forward": self.forward, "inverse": self.inverse}
        if self.exponent:
            held["exponent"] = np.array([self.exponent], np.int64)
        if self.moved_numbers:
            held["moved"] = np.array([self.moved_numbers], np.int64)
        if self.usual is not None:
            own = self.usual
            held |= {"mean": own.mean, "spread": own.spread, "prices": own.prices,
                     "error": np.array([own.error])}  # fmt: skip
        return held | self.books.tensors()

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray], kind: str) -> Coder:
        upper = tensors["upper"]
        books: IndexBooks | EntropyGrid
        if "steps" in tensors:
            books = EntropyGrid.from_tensors(tensors)
        else:
            books = IndexBooks.from_tensors(tensors, len(upper), kind)
        turn = tensors.get("forward"), tensors.get("inverse")
        exponent = int(tensors["exponent"][0]) if "exponent" in tensors else 0
        usual = None
        if "error" in tensors and isinstance(books, IndexBooks):
            usual = Usual(
                tensors["mean"], tensors["spread"], tensors["prices"], float(tensors["error"][0])
            )
        moved = int(tensors["moved"][0]) if "moved" in tensors else 0
        order = tensors["order"].astype(np.intp)
        return cls(*turn, upper, order, books, exponent, usual, moved)
