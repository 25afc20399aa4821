"""One operand's half of a scheme: its basis, its rounding, what its codes stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantlab.scheme.books import IndexBooks
from quantlab.scheme.lengths import EntropyGrid
from quantlab.scheme.rounding import feedback_matrix, feedback_order

FloatArray = NDArray[np.float64]


_SUSPECT = 2.0  # times the usual error: the rows may lie elsewhere
_PAYS = 0.5  # of the error that is left, at most, where the books are moved
_STRETCHES = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 8.0)
USUAL = ("mean", "spread", "prices", "error")  # what they are called in a file
_SAMPLE = 512  # rows that moves are tried on, fewer where rounding them takes long
_PRODUCTS = 1 << 24
_TURNS = 2  # of feedback by the rows at hand and the error that it leaves


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
class Spares:
    """Plainer ways to code the same operand, for rows that are not as those of the fit.

    Attributes
    ----------
    coders : tuple of Coder
    moment : ndarray, shape (k, k)
        The other operand's, in the basis of the rows: what errors meet.
    margin : float
        A spare is taken where its error is below this many times the first one's: with few rows
        the moment flatters a coder that was fitted to it.
    alike : bool
        Whether the operands were one matrix, A = B^T: the product's error is then known.
    """

    coders: tuple[Coder, ...]
    moment: FloatArray
    margin: float
    alike: bool = False

    def lost(self, coder: Coder, rows: FloatArray, codes: NDArray) -> float:
        """Sum over the rows x (m, k), in the coder's unit, of e S e^T; or ||X X^T - Xq Xq^T||^2."""
        if self.alike:
            return coder._lost_alike(rows, codes)
        coded = replace(coder, exponent=0).restored(coder.values(codes)).astype(np.float64)
        return float(np.vdot((coded - rows) @ self.moment, coded - rows))


def product_error(x: NDArray, y: NDArray, x_coded: NDArray, y_coded: NDArray) -> float:
    """||X Y' - Xq Yq'||_F^2 = ||(X - Xq) Y' + Xq (Y - Yq)'||_F^2 from k x k moments."""
    x_error, y_error = (
        own.astype(np.float64) - coded for own, coded in ((x, x_coded), (y, y_coded))
    )
    return float(
        np.vdot(cross_moment(x_error, x_error), cross_moment(y, y))
        + 2 * np.vdot(cross_moment(x_error, x_coded), cross_moment(y, y_error))
        + np.vdot(cross_moment(x_coded, x_coded), cross_moment(y_error, y_error))
    )


def cross_moment(left: NDArray, right: NDArray) -> FloatArray:
    """Sum of outer products of rows, (k, k)."""
    return left.T.astype(np.float64) @ right.astype(np.float64)


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
    spares : Spares, or None
        What `code` compares itself to.
    partners : int
        Rows that the moment behind `upper` is of, where A = B^T; else 0.
    grids : tuple of float, or None
        One codebook for all indices: what products lose more on grids of bytes and of words, over
        what they lose by the codes.
    """

    forward: FloatArray | None
    inverse: FloatArray | None
    upper: FloatArray
    order: NDArray[np.intp]
    books: IndexBooks | EntropyGrid
    exponent: int = 0
    usual: Usual | None = None
    moved_numbers: int = 0
    spares: Spares | None = None
    partners: int = 0
    grids: tuple[float, float] | None = None

    @property
    def inner_dim(self) -> int:
        return len(self.upper)

    @property
    def side_bytes(self) -> int:
        """What products need beside the codes; the basis and the feedback only coding needs."""
        spares = () if self.spares is None else self.spares.coders
        return self.books.side_bytes + sum(spare.side_bytes for spare in spares)

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

    def code(self, rows: NDArray, slack: int = 48) -> tuple[Coder, NDArray]:
        r"""The coder for rows (m, k), and their codes.

        Rows that lie where those of the fit did not (a trend, another scale) would be coded by the
        outermost levels. Then all centres are moved:

        .. math:: c_l \to \bar x_l + s_l (c_l - \bar c_l)

        by a shift an index, a stretch for all, both, or a shift and a stretch an index. Each number
        counts 32 bits, and b bits an entry must lower the error by 4^b; and by half at least. A
        spare takes over where these rows lose less by it.

        Steps of codes of variable length are those at which these rows, and `slack` bits more, are
        written in the bits: one number more to tell.

        Where A = B^T errors of rows meet the rows themselves. Feedback then follows the moment of
        all that is known, the rows of the fit and these, if the product of these loses less by it;
        what codes stand for stays as it is.
        """
        if isinstance(self.books, EntropyGrid):
            there = self.moved(rows)
            grid = self.books.keeping_to(there, self.upper, self.order, slack)
            return replace(self, books=grid), grid.round(there, self.upper, self.order)
        coder, codes = self._placed(rows)
        if self.partners:
            coder, codes = coder._steered(rows, codes)
        if self.spares is None:
            return coder, codes
        plain = (np.ldexp(rows, -self.exponent) if self.exponent else rows).astype(np.float64)
        best, least = (coder, codes), self.spares.margin * self.spares.lost(coder, plain, codes)
        for spare in self.spares.coders:
            other = spare.encode(rows)
            lost = self.spares.lost(spare, plain, other)
            if lost < least:
                best, least = (spare, other), lost
        return best

    def _placed(self, rows: NDArray) -> tuple[Coder, NDArray]:
        """The coder with its codebooks where the rows are, if that pays; and their codes."""
        there = self.moved(rows)
        codes = self.books.round(there, self.upper, self.order)
        usual = self.usual
        if usual is None:
            return self, codes
        steer = steering(self.upper)
        if self.lost(there, codes, steer) <= _SUSPECT * usual.error:
            return self, codes
        assert isinstance(self.books, IndexBooks)  # a grid has no end
        most = min(len(there), _SAMPLE, max(32, _PRODUCTS // self.inner_dim**2))
        few = there[np.linspace(0, len(there) - 1, most).astype(int)]
        now = self.lost(few, self.books.round(few, self.upper, self.order), steer)
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
            error = other.lost(few, books.round(few, self.upper, self.order), steer)
            pays = min(_PAYS, 4.0 ** (-32 * numbers / there.size))
            worth = error * 4.0 ** (32 * numbers / there.size)
            if error < pays * now and worth < least:
                best, least = other, worth
        if best is self:
            return self, codes
        return best, best.books.round(there, self.upper, self.order)

    def _steered(self, rows: NDArray, codes: NDArray) -> tuple[Coder, NDArray]:
        """With feedback by the moment of the fit's rows and these, if that pays; and the codes."""
        assert self.usual is not None
        plain = (np.ldexp(rows, -self.exponent) if self.exponent else rows).astype(np.float64)
        partner = plain if self.inverse is None else plain @ self.inverse.T
        there, k = self.moved(rows), self.inner_dim
        best, least = (self, codes), self._lost_alike(plain, codes)
        fit = np.empty((k, k))
        upper = np.triu(self.upper, 1) + np.eye(k)
        prices = self.usual.prices[self.order]
        fit[np.ix_(self.order, self.order)] = upper.T * prices @ upper
        own = cross_moment(partner, partner)
        for _ in range(_TURNS):
            error = np.square(best[0].values(best[1]) - there.astype(np.float64)).mean()
            pooled = self.partners * fit + own + len(rows) * error * np.eye(k)
            upper, order, _ = steered(pooled / (self.partners + len(rows)))
            other = replace(self, upper=upper, order=order, grids=best[0].grids)
            found = self.books.round(there, upper, order)
            lost = self._lost_alike(plain, found)
            if not lost < least:
                break
            if other.grids is not None and lost > 0:
                bytes_, words = (share * least / lost for share in other.grids)
                other = replace(other, grids=(bytes_, words))
            best, least = (other, found), lost
        return best

    def _lost_alike(self, rows: FloatArray, codes: NDArray) -> float:
        """||X X^T - Xq Xq^T||^2 for rows x (m, k) in the coder's unit."""
        coded = replace(self, exponent=0).restored(self.values(codes)).astype(np.float64)
        return product_error(rows, rows, coded, coded)

    def lost(self, there: NDArray, codes: NDArray, steer: FloatArray | None) -> float:
        """Mean over rows in the basis of the codes of price times squared cell error, summed."""
        assert self.usual is not None
        cells: NDArray = (self.values(codes) - there.astype(np.float64))[:, self.order]
        if steer is not None:
            cells = cells @ steer
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

    def in_units(self, exponent: int) -> Coder:
        """The same for rows that are 2^exponent as large."""
        spares = self.spares
        if spares is not None:
            spares = replace(spares, coders=tuple(c.in_units(exponent) for c in spares.coders))
        return replace(self, exponent=exponent, spares=spares)

    def tensors(self) -> dict[str, NDArray]:
        held: dict[str, NDArray] = {"upper": self.upper, "order": self.order.astype(np.int64)}
        if self.forward is not None and self.inverse is not None:
            held |= {"forward": self.forward, "inverse": self.inverse}
        if self.exponent:
            held["exponent"] = np.array([self.exponent], np.int64)
        if self.partners:
            held["partners"] = np.array([self.partners], np.int64)
        if self.grids is not None:
            held["grids"] = np.array(self.grids)
        if self.moved_numbers:
            held["moved"] = np.array([self.moved_numbers], np.int64)
        if self.usual is not None:
            own = self.usual
            held |= {"mean": own.mean, "spread": own.spread, "prices": own.prices,
                     "error": np.array([own.error])}  # fmt: skip
        if self.spares is not None:
            own_margin = np.array([self.spares.margin])
            held |= {"moment": self.spares.moment, "margin": own_margin}
            held["alike"] = np.array([self.spares.alike], np.int64)
            for at, spare in enumerate(self.spares.coders):
                held |= {f"spare{at}.{name}": tensor for name, tensor in spare.tensors().items()}
        return held | self.books.tensors()

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray], kind: str) -> Coder:
        upper = tensors["upper"]
        books: IndexBooks | EntropyGrid
        if "steps" in tensors:
            books = EntropyGrid.from_tensors(tensors, kind)
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
        spares = None
        if "moment" in tensors:
            own = tuple(cls.from_tensors(each, "matrix") for each in spare_tensors(tensors))
            margin, alike = float(tensors["margin"][0]), bool(tensors["alike"][0])
            spares = Spares(own, tensors["moment"], margin, alike)
        partners = int(tensors["partners"][0]) if "partners" in tensors and usual else 0
        grids = None
        if "grids" in tensors:
            grids = float(tensors["grids"][0]), float(tensors["grids"][1])
        return cls(*turn, upper, order, books, exponent, usual, moved, spares, partners, grids)


def steered(moment: FloatArray) -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
    """U, its order, and what each index's own cell error costs, for what errors of rows meet."""
    order = feedback_order(moment)
    upper, pivots = feedback_matrix(moment[np.ix_(order, order)])
    prices = np.empty(len(moment))
    prices[order] = pivots
    return upper, order, prices


def met_by(
    rows: FloatArray, books: IndexBooks | EntropyGrid, upper: FloatArray, order: NDArray[np.intp]
) -> FloatArray:
    """What the codebooks are given with feedback: the rows less the errors already made."""
    errors = (books.values(books.round(rows, upper, order)) - rows)[:, order]
    met = np.empty_like(rows)
    met[:, order] = rows[:, order] - errors @ np.triu(upper, 1).T
    return met


def steering(upper: FloatArray) -> FloatArray | None:
    """What errors of rows are multiplied by for those of their cells; None: they are the same."""
    above = np.triu(upper, 1)
    return (above + np.eye(len(upper))).T if above.any() else None


def spare_tensors(tensors: Mapping[str, NDArray]) -> list[dict[str, NDArray]]:
    """The tensors of each spare, by the names that they have in its coder."""
    found: list[dict[str, NDArray]] = []
    while True:
        start = f"spare{len(found)}."
        own = {n[len(start) :]: t for n, t in tensors.items() if n.startswith(start)}
        if not own:
            return found
        found.append(own)
