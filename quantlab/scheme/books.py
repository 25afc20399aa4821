"""Codebooks an index: fitted to what the index meets, at every number of bits at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantlab import _threads
from quantlab.codebook import Codebook
from quantlab.scheme.rounding import one_book, round_feedback

FloatArray = NDArray[np.float64]

_GRID = 1024
_STEPS = 30  # of Lloyd's iteration, from a companded start
_ROUGH = 8  # where the error alone is asked for
_REACH = 4.0  # standard deviations of the smoothing kernel


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
        Each index has its own; all rows are one; or each is the Gaussian Lloyd-Max codebook of its
        bits, moved to a mean and stretched to a deviation.
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
        """What decoding needs beside the codes: centres, or mean and deviation, in float32."""
        if self.kind == "shape":
            return 2 * 4 * self.n_levels.size + self.n_levels.size
        return 4 * int(self.n_levels[0] if self.kind == "matrix" else self.n_levels.sum())

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

    def books(
        self, rates: Sequence[int], steps: int = _STEPS
    ) -> tuple[list[FloatArray], FloatArray]:
        """Centres and mean squared error of a codebook of 2^b levels, for each b of `rates`."""
        from quantlab.scheme.index_kernels import lloyd_kernel

        total = np.concatenate([[0.0], np.cumsum(self.mass)])
        first = np.concatenate([[0.0], np.cumsum(self.mass * self.points)])
        found, errors = [], np.empty(len(rates))
        for at, bits in enumerate(rates):
            if self.points.size <= 1 << bits:
                found.append(self.points)
                errors[at] = 0.0
                continue
            centers = np.empty(1 << bits)
            errors[at] = lloyd_kernel(
                self.points, self.mass, total, first, centers.size, steps, centers
            )
            found.append(np.unique(centers))
        return found, errors


def densities(columns: FloatArray, smoothing: float) -> list[Density]:
    """`Density` of each column of (m, k)."""
    return [Density.of(np.ascontiguousarray(column), smoothing) for column in columns.T]


def ladders(columns: list[Density], most_bits: int) -> FloatArray:
    """Mean squared error of each index at 0 .. most_bits bits, (k, most_bits + 1)."""
    rates = range(most_bits + 1)
    errors = np.empty((len(columns), most_bits + 1))

    def climb(index: int) -> None:
        errors[index] = columns[index].books(rates, _ROUGH)[1]

    _threads.for_each(climb, range(len(columns)))
    return errors


def fitted(columns: list[Density], bits: NDArray[np.int64]) -> IndexBooks:
    """The codebook of each index at its own bits."""
    found: list[FloatArray] = [np.empty(0)] * len(columns)

    def fit(index: int) -> None:
        found[index] = columns[index].books([int(bits[index])])[0][0]

    _threads.for_each(fit, range(len(columns)))
    return IndexBooks.of(found)
