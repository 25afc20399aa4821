"""One operand's half of a scheme: its basis, its rounding, what its codes stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantlab.scheme.books import IndexBooks
from quantlab.scheme.lengths import EntropyGrid

FloatArray = NDArray[np.float64]


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
    """

    forward: FloatArray | None
    inverse: FloatArray | None
    upper: FloatArray
    order: NDArray[np.intp]
    books: IndexBooks | EntropyGrid
    exponent: int = 0

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
        return cls(*turn, upper, tensors["order"].astype(np.intp), books, exponent)
