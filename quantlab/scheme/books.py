"""Codebooks an index: fitted to what the index meets, at every number of bits at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quantlab import _threads
from quantlab.codebook import Codebook
from quantlab.scheme.rounding import one_book, round_feedback

FloatArray = NDArray[np.float64]

_GRID = 1024
_STEPS = 30  # of Lloyd's iteration, from a companded start
_ROUGH = 8  # where the error alone is asked for
TOLD = 33  # points that tell a density
_PARTS = 16  # of a bin between two of them
_GRAINS = 55_440  # between an index's outermost centres; a multiple of 1 to 12, 14, 15 and 16
_REACH = 4.0  # standard deviations of the smoothing kernel
_SMOOTHING = 1.0  # of densities that are told by few numbers


@dataclass(frozen=True, eq=False)
class IndexBooks:
    """A codebook for each index, of 2^b levels at most; codes of fixed length.

    Attributes
    ----------
    centers, thresholds : ndarray, shapes (k, K) and (k, K - 1)
        Index l's in row l, padded with inf behind its own levels.
    n_levels : ndarray of int, shape (k,)
        One level drops the index: its centre stands for all its entries.
    kind : {"index", "matrix", "shape"}
        Each index has its own; all rows are one; or all indices of as many bits have one, moved to
        their mean and stretched to their deviation.
    """

    centers: FloatArray
    thresholds: FloatArray
    n_levels: NDArray[np.int64]
    kind: str = "index"

    @classmethod
    def of(cls, centers: Sequence[FloatArray], kind: str = "index") -> IndexBooks:
        """From increasing centres an index, with thresholds halfway between them."""
        k, most = len(centers), max(c.size for c in centers)
        table, cuts = np.full((k, most), np.inf), np.full((k, max(most - 1, 1)), np.inf)
        for index, c in enumerate(centers):
            table[index, : c.size] = c
            cuts[index, : c.size - 1] = 0.5 * c[1:] + 0.5 * c[:-1]
        return cls(table, cuts, np.array([c.size for c in centers]), kind)

    @classmethod
    def one(cls, codebook: Codebook, inner_dim: int) -> IndexBooks:
        """The same codebook for every index."""
        return cls(*one_book(codebook, inner_dim), kind="matrix")

    @property
    def bits(self) -> NDArray[np.int64]:
        """Bits of a code, an index."""
        return np.array([int(n - 1).bit_length() for n in self.n_levels])

    @property
    def bits_per_entry(self) -> float:
        return float(self.bits.mean())

    @property
    def side_bytes(self) -> int:
        """What decoding needs beside the codes.

        A codebook: its outermost centres in float32, and two bytes for each between. With a
        codebook an index a byte more, for its bits; with one shape a codebook for each number of
        bits there is, and a byte, a mean and a deviation an index.
        """
        each = np.where(self.n_levels > 1, 8 + 2 * (self.n_levels - 2), 4)
        if self.kind == "matrix":
            return int(each[0])
        if self.kind == "shape":
            return 9 * each.size + 2 * TOLD + 4
        return int(each.sum()) + each.size

    def round(self, rows: NDArray, upper: FloatArray, order: NDArray[np.intp]) -> NDArray:
        """Codes uint8 (m, k); see `round_feedback`."""
        return round_feedback(
            rows, upper, self.centers, self.thresholds, self.n_levels, order=order
        )

    def values(self, codes: NDArray) -> NDArray[np.float32]:
        """What the codes (m, k) stand for, float32."""
        flat = np.where(np.isfinite(self.centers), self.centers, 0).astype(np.float32).ravel()
        start = self.centers.shape[1] * np.arange(len(self.centers))
        return flat[start + codes]

    def scaled(self, gain: float) -> IndexBooks:
        """The same cells, every centre times `gain`."""
        return replace(self, centers=self.centers * gain)

    def at(self, mean: FloatArray, shift: FloatArray, stretch: FloatArray) -> IndexBooks:
        """Every index's centres moved by its shift, and stretched about its mean."""
        base, wide = (mean + shift)[:, None], stretch[:, None]
        centers, cuts = (
            np.where(np.isfinite(each), base + wide * (each - mean[:, None]), np.inf)
            for each in (self.centers, self.thresholds)
        )
        alike = self.kind != "matrix" or (np.ptp(centers[:, 0]) == 0 and np.ptp(stretch) == 0)
        return replace(self, centers=centers, thresholds=cuts, kind=self.kind if alike else "index")

    def tensors(self) -> dict[str, NDArray]:
        rows = slice(0, 1 if self.kind == "matrix" else None)
        return {
            "centers": self.centers[rows],
            "thresholds": self.thresholds[rows],
            "n_levels": self.n_levels[rows],
        }

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, NDArray], inner_dim: int, kind: str = "index"
    ) -> IndexBooks:
        parts = [tensors[name] for name in ("centers", "thresholds", "n_levels")]
        whole = [np.broadcast_to(part, (inner_dim, *part.shape[1:])) for part in parts]
        return cls(whole[0], whole[1], whole[2], kind)


@dataclass(frozen=True, eq=False)
class Density:
    """Where an index's entries lie: increasing points (G,), and the mass at each."""

    points: FloatArray
    mass: FloatArray

    @classmethod
    def of(cls, column: FloatArray, smoothing: float) -> Density:
        """The distinct entries (`smoothing` 0), or their Gaussian kernel estimate on a grid.

        The kernel's width is `smoothing` times Silverman's rule: for entries still to come.
        """
        width = smoothing * 1.06 * float(column.std()) * column.size**-0.2
        low, high = float(column.min()), float(column.max())
        if width <= 1e-9 * max(abs(low), abs(high)):
            points, count = np.unique(column, return_counts=True)
            return cls(points, count / column.size)
        low, high = low - _REACH * width, high + _REACH * width
        step = (high - low) / (_GRID - 1)
        place = np.rint((column - low) / step).astype(np.int64)
        count = np.bincount(place, minlength=_GRID).astype(np.float64)
        frequency = 2 * np.pi * np.fft.rfftfreq(2 * _GRID)
        kernel = np.exp(-0.5 * (frequency * width / step) ** 2)
        mass = np.fft.irfft(np.fft.rfft(count, 2 * _GRID) * kernel)[:_GRID]
        return cls(low + step * np.arange(_GRID), np.maximum(mass / column.size, 1e-15))

    def told(self) -> Density:
        """The same, told by few numbers: points of equal compander share.

        Density^(1/3) is the slope of a monotone cubic through them.
        """
        from scipy.interpolate import PchipInterpolator

        ends = np.concatenate([self.points[:1], 0.5 * (self.points[1:] + self.points[:-1]),
                               self.points[-1:]])  # fmt: skip
        share = np.cumsum(np.cbrt(self.mass * np.square(np.diff(ends))))
        at = np.interp(np.linspace(0, share[-1], TOLD), np.append(0.0, share), ends)
        knots = grained(at)
        width = np.diff(knots)
        if width.size < TOLD - 1 or not np.all(width > 0):
            return self
        part = np.arange(0.5, _PARTS) / _PARTS
        points = (knots[:-1, None] + width[:, None] * part).ravel()
        slope = PchipInterpolator(knots, np.arange(TOLD), extrapolate=False)(points, 1)
        mass = np.maximum(slope, 0.0) ** 3 * np.repeat(width, _PARTS) + 1e-300
        return Density(points, mass / mass.sum())

    def books(self, rates: Sequence[int]) -> tuple[list[FloatArray], FloatArray]:
        """Centres and mean squared error of a codebook of 2^b levels, for each b of `rates`."""
        from quantlab.scheme.index_kernels import lloyd_kernel

        found, errors = [], np.empty(len(rates))
        for at, bits in enumerate(rates):
            if self.points.size <= 1 << bits:
                found.append(self.points)
                errors[at] = 0.0
                continue
            centers = np.empty(1 << bits)
            errors[at] = lloyd_kernel(
                self.points, self.mass, *self._sums, centers.size, _STEPS, centers
            )
            found.append(centers[np.append(True, np.diff(centers) > 0)])
        return found, errors

    def errors(self, most_bits: int) -> FloatArray:
        """Mean squared error of a codebook of 2^b levels, roughly fitted, for b = 0 .. most."""
        from quantlab.scheme.index_kernels import ladder_kernel

        found = np.empty(most_bits + 1)
        ladder_kernel(self.points, self.mass, *self._sums, _ROUGH, found)
        return found

    @cached_property
    def _sums(self) -> tuple[FloatArray, FloatArray]:
        """Running sums of mass, and of mass times point, (G + 1,)."""
        total = np.concatenate([[0.0], np.cumsum(self.mass)])
        return total, np.concatenate([[0.0], np.cumsum(self.mass * self.points)])


def densities(columns: FloatArray, smoothing: float) -> list[Density]:
    """`Density` of each column of (m, k)."""
    rows = np.ascontiguousarray(columns.T)
    return [Density.of(row, smoothing) for row in rows]


def ladders(columns: list[Density], most_bits: int) -> FloatArray:
    """Mean squared error of each index at 0 .. most_bits bits, (k, most_bits + 1)."""
    errors = np.empty((len(columns), most_bits + 1))

    def climb(index: int) -> None:
        errors[index] = columns[index].errors(most_bits)

    _threads.for_each(climb, range(len(columns)))
    return errors


def fitted(columns: list[Density], bits: NDArray[np.int64]) -> IndexBooks:
    """The codebook of each index at its own bits."""
    found: list[FloatArray] = [np.empty(0)] * len(columns)

    def fit(index: int) -> None:
        found[index] = columns[index].books([int(bits[index])])[0][0]

    _threads.for_each(fit, range(len(columns)))
    return IndexBooks.of([grained(centers) for centers in found])


def shape_of(rows: FloatArray) -> Density:
    """Where entries lie, in deviations from their index's mean: of all indices of (m, k) alike."""
    spread = rows.std(axis=0)
    own = (rows - rows.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    return Density.of(own.ravel() if own.size else np.zeros(1), _SMOOTHING).told()


def own_shapes(rows: FloatArray) -> list[Density]:
    """Each index's density, told by few points."""
    return [density.told() for density in densities(rows, _SMOOTHING)]


def shapes(rows: FloatArray) -> list[Density]:
    """One density for all indices, moved to each one's mean and stretched to its deviation."""
    shape = shape_of(rows)
    return [
        Density(mean + (spread or 1e-300) * shape.points, shape.mass)
        for mean, spread in zip(rows.mean(axis=0), rows.std(axis=0), strict=True)
    ]


def shaped_books(rows: FloatArray, bits: NDArray[np.int64]) -> IndexBooks:
    """Codebooks of one shape, moved and stretched to each index's mean and deviation."""
    shape, mean, spread = shape_of(rows), rows.mean(axis=0), rows.std(axis=0)
    own = {each: shape.books([int(each)])[0][0] for each in np.unique(bits)}
    return IndexBooks.of(
        [
            np.unique(middle + width * own[each])
            for middle, width, each in zip(mean, spread, bits, strict=True)
        ],
        "shape",
    )


def grained(centers: FloatArray) -> FloatArray:
    """On a grid between the outermost, so that two bytes tell each."""
    low, width = centers[0], centers[-1] - centers[0]
    if width <= 1e-9 * np.abs(centers).max():
        return centers
    return np.unique(low + width * (np.rint((centers - low) / width * _GRAINS) / _GRAINS))
