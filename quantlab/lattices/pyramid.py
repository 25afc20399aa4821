"""Pyramid codes: integer vectors of one L1 norm as directions, and a coded gain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _threads
from quantlab import _validate as check
from quantlab._jit import kernel
from quantlab._matrices import finite_matrix


@cache
def pyramid_size(dimension: int, pulses: int) -> int:
    """Integer vectors of n entries whose magnitudes add up to K (Fischer's recursion).

    Examples
    --------
    >>> pyramid_size(8, 4)
    2816
    """
    if pulses == 0:
        return 1
    if dimension == 0:
        return 0
    return (
        pyramid_size(dimension - 1, pulses)
        + pyramid_size(dimension, pulses - 1)
        + pyramid_size(dimension - 1, pulses - 1)
    )


@kernel
def _search_kernel(x, pulses, points):  # type: ignore[no-untyped-def]
    # points (blocks, n): of L1 norm `pulses`, about the largest cosine with x (blocks, n)
    n = x.shape[1]
    for block in range(x.shape[0]):
        row, y = x[block], points[block]
        norm = 0.0
        for i in range(n):
            norm += abs(row[i])
        left, along, square = pulses, 0.0, 0.0
        for i in range(n):
            # rounded down, so that pulses are only added
            y[i] = int(abs(row[i]) / norm * max(pulses - 1, 0)) if norm > 0 else 0
            left -= y[i]
            along += y[i] * abs(row[i])
            square += y[i] * y[i]
        for _ in range(left):
            best, at = -1.0, 0
            for i in range(n):
                top = along + abs(row[i])
                worth = top * top / (square + 2 * y[i] + 1)
                if worth > best:
                    best, at = worth, i
            along += abs(row[at])
            square += 2 * y[at] + 1
            y[at] += 1
        for i in range(n):
            if row[i] < 0:
                y[i] = -y[i]


@dataclass(frozen=True)
class PyramidCode:
    r"""x ~ g y / ||y||, y integer with ||y||_1 = K, and g one of 2^b Lloyd-Max levels.

    Attributes
    ----------
    dimension, pulses, gain_bits : int
        n, K and b.

    Notes
    -----
    Source: Fischer, IEEE Trans. Inf. Theory 32, 1986. The gain's levels are those of the length of
    n unit normal entries (least squared error, from its quantiles). The direction is found by
    adding pulses where the cosine grows most; ties go to the first entry.

    Examples
    --------
    >>> code = PyramidCode(8, 6, 3)
    >>> round(code.bits_per_entry, 3)
    2.25
    """

    dimension: int
    pulses: int
    gain_bits: int

    def __post_init__(self) -> None:
        check.count(self.dimension, "dimension", 2, 64)
        check.count(self.pulses, "pulses", 1, 127)
        check.count(self.gain_bits, "gain_bits", 1, 8)

    @property
    def bits_per_entry(self) -> float:
        """Whole bits of a block's direction and gain, over its entries."""
        direction = (pyramid_size(self.dimension, self.pulses) - 1).bit_length()
        return (direction + self.gain_bits) / self.dimension

    @property
    def gains(self) -> NDArray[np.float64]:
        """The levels of g for unit normal entries."""
        return _gains(self.dimension, 1 << self.gain_bits)

    def encode(self, matrix: ArrayLike) -> tuple[NDArray[np.int8], NDArray[np.uint8], float]:
        """Points (m, blocks, n), gain numbers (m, blocks) and the matrix's root mean square.

        The last block of a row is filled up with zeros.
        """
        values = finite_matrix(matrix, "matrix").astype(np.float64)
        deviation = float(np.sqrt(np.mean(np.square(values)))) or 1.0
        n, (rows, k) = self.dimension, values.shape
        blocks = -(-k // n)
        padded = np.zeros((rows, blocks * n))
        padded[:, :k] = values / deviation
        x = padded.reshape(-1, n)
        points = np.empty(x.shape, np.int8)

        def search(span: tuple[int, int]) -> None:
            _search_kernel(x[slice(*span)], self.pulses, points[slice(*span)])

        _threads.for_each(search, _threads.split(len(x), max(1, len(x) >> 12)))
        unit = points / np.linalg.norm(points, axis=1, keepdims=True)
        gains = self.gains
        place = np.searchsorted(0.5 * (gains[1:] + gains[:-1]), (x * unit).sum(axis=1))
        shape = (rows, blocks)
        return points.reshape(*shape, n), place.astype(np.uint8).reshape(shape), deviation

    def decode(
        self, points: NDArray[np.int8], place: NDArray[np.uint8], deviation: float
    ) -> NDArray[np.float64]:
        """The matrix that they stand for, (m, blocks n)."""
        scale = deviation * self.gains[place] / np.linalg.norm(points, axis=-1)
        return (points * scale[..., None]).reshape(len(points), -1)

    def index(self, point: NDArray) -> int:
        """The number of a point, 0 .. pyramid_size - 1.

        Examples
        --------
        >>> code = PyramidCode(8, 6, 3)
        >>> code.point(code.index(np.array([0, -2, 0, 1, 0, 0, 3, 0]))).tolist()
        [0, -2, 0, 1, 0, 0, 3, 0]
        """
        left, found = self.pulses, 0
        for at, entry in enumerate(int(v) for v in point):
            rest = self.dimension - at - 1
            for value in _order(abs(entry)):
                if value == entry:
                    break
                found += pyramid_size(rest, left - abs(value))
            left -= abs(entry)
        return found

    def point(self, index: int) -> NDArray[np.int8]:
        """The point of a number: `index` backwards."""
        check.count(index, "index", 0, pyramid_size(self.dimension, self.pulses) - 1)
        left, found = self.pulses, np.zeros(self.dimension, np.int8)
        for at in range(self.dimension):
            rest = self.dimension - at - 1
            for value in _order(left):
                size = pyramid_size(rest, left - abs(value))
                if index < size:
                    break
                index -= size
            found[at] = value
            left -= abs(value)
        return found


def _order(most: int) -> list[int]:
    """0, 1, -1, 2, -2, .. up to `most`."""
    return [0, *(sign * v for v in range(1, most + 1) for sign in (1, -1))]


@cache
def _gains(dimension: int, levels: int) -> NDArray[np.float64]:
    from scipy.stats import chi

    points = chi.ppf((np.arange(20_000) + 0.5) / 20_000, dimension)
    centers = points[((np.arange(levels) + 0.5) * 20_000 / levels).astype(int)]
    for _ in range(200):
        cell = np.searchsorted(0.5 * (centers[1:] + centers[:-1]), points)
        centers = np.bincount(cell, points, levels) / np.maximum(np.bincount(cell, None, levels), 1)
    return centers
