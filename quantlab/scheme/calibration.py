"""What a scheme is fitted to: two matrices in each basis, with what has been computed of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quantlab.balancing import balance, second_moment
from quantlab.pairs import EmpiricalPair
from quantlab.scheme.books import Density, IndexBooks, densities, ladders
from quantlab.scheme.coder import steered

FloatArray = NDArray[np.float64]

_PANTER_DITE = np.sqrt(3) * np.pi / 2  # mean squared error of a unit normal entry, over 4^-bits


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
        self.plain: dict[tuple[str, int, float, float], IndexBooks] = {}
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
