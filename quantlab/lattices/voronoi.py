"""Voronoi codes q L / L with a scale a block out of a few."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _threads
from quantlab import _validate as check
from quantlab._jit import kernel
from quantlab._matrices import finite_matrix
from quantlab.lattices.matrix import LatticeMatrix
from quantlab.lattices.points import DIMENSIONS, nearest_kernel
from quantlab.pairs import Operand

# the code's centre, off 0 so that no point lies on a border of it
_OFFSET = 0.003 * np.array([0.2915, 0.7071, 0.1234, 0.9273, 0.4142, 0.8319, 0.0557, 0.6180])
#: (lattice, bits) -> multipliers and unit of about the least error for unit Gaussian entries, of
#: those whose integers fit a byte
GAUSSIAN: dict[tuple[str, int], tuple[tuple[int, ...], float]] = {
    ("E8", 2): ((3, 4, 5, 6), 0.2235), ("E8", 3): ((5, 6, 7, 9), 0.0807),
    ("E8", 4): ((2, 3, 4, 5), 0.0730), ("D4", 2): ((2, 3, 4, 5), 0.2494),
    ("D4", 3): ((2, 3, 4, 5), 0.1239), ("D4", 4): ((2, 3, 4, 5), 0.0680),
}  # fmt: skip


@kernel
def _wrapped(point, n, halves, q, offset, x, found, other):  # type: ignore[no-untyped-def]
    """The point of the code that is congruent to a doubled one, in place; whether it moved."""
    for i in range(n):
        x[i] = 0.5 * point[i] / q + offset[i]
    nearest_kernel(x, n, halves, found, other)
    moved = False
    for i in range(n):
        moved |= found[i] != 0
        point[i] -= q * found[i]
    return moved


@kernel
def _to_index(point, n, halves, q, codes):  # type: ignore[no-untyped-def]
    """Coordinates mod q in the basis 2 e_1, e_2 - e_1, .. (E8: the last (1/2, .., 1/2))."""
    p = point.copy()
    if halves:
        last = p[n - 1]
        codes[n - 1] = last % q
        for i in range(n):
            p[i] -= last
    for i in range(n - 2 if halves else n - 1, 0, -1):
        codes[i] = (p[i] // 2) % q
        p[i - 1] += p[i]
    codes[0] = (p[0] // 4) % q


@kernel
def _from_index(codes, n, halves, point):  # type: ignore[no-untyped-def]
    for i in range(n):
        point[i] = codes[n - 1] if halves else 0
    point[0] += 4 * codes[0]
    for i in range(1, n - 1 if halves else n):
        point[i] += 2 * codes[i]
        point[i - 1] -= 2 * codes[i]


@kernel
def _encode_kernel(values, n, halves, q, scales, offset, codes, which, overloaded):  # type: ignore[no-untyped-def]
    # values (blocks, n) -> codes (blocks, n), which (blocks,); the blocks that no scale holds
    x, other = np.empty(n), np.empty(n, np.int32)
    point, found, best = (np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32))
    for block in range(values.shape[0]):
        held = False
        for s in range(scales.size):
            for i in range(n):
                x[i] = values[block, i] / scales[s]
            nearest_kernel(x, n, halves, point, other)
            moved = _wrapped(point, n, halves, q, offset, x, found, other)
            if moved and s < scales.size - 1:
                continue
            if not moved:
                best[:] = point[:]
                which[block] = s
                held = True
                break
            # beyond the largest scale: drawn in along the ray until the code holds it
            for step in range(1, 200):
                for i in range(n):
                    x[i] = values[block, i] / scales[s] * 0.97**step
                nearest_kernel(x, n, halves, point, other)
                if not _wrapped(point, n, halves, q, offset, x, found, other):
                    break
            best[:] = point[:]
            which[block] = s
        if not held:
            overloaded[0] += 1
        _to_index(best, n, halves, q, codes[block])


@kernel
def _decode_kernel(codes, n, halves, q, offset, points):  # type: ignore[no-untyped-def]
    x, found, other = np.empty(n), np.empty(n, np.int32), np.empty(n, np.int32)
    point = np.empty(n, np.int32)
    for block in range(codes.shape[0]):
        _from_index(codes[block], n, halves, point)
        _wrapped(point, n, halves, q, offset, x, found, other)
        for i in range(n):
            points[block, i] = point[i]


@dataclass(frozen=True)
class VoronoiCode:
    r"""Points of a lattice L in the Voronoi cell of q L, q = 2^bits, times one of a few scales.

    .. math:: \hat x = s_j p / 2, \qquad p / 2 \in L \cap q V(L), \qquad s_j = m_j\, \delta

    with whole multipliers m: entries are integers m_j p times one unit delta / 2, which
    the integer product takes as they are.

    Attributes
    ----------
    lattice : {"E8", "D4"}
    bits : int
        Of an entry, scales aside: 2 to 4.
    multipliers : tuple of int
        m, increasing; a power of two many.
    unit : float
        delta, for entries of unit standard deviation.

    Notes
    -----
    Source: Conway, Sloane, IEEE Trans. Inf. Theory 29, 1983. A block takes the least scale whose
    code holds its nearest point. A block that none holds is drawn in along its ray until the code
    holds it, and counted in `LatticeMatrix.overloaded`.

    Examples
    --------
    >>> code = VoronoiCode.gaussian("E8", 4)
    >>> code.bits_per_entry
    4.25
    """

    lattice: str
    bits: int
    multipliers: tuple[int, ...]
    unit: float
    _offset: NDArray = field(default_factory=lambda: _OFFSET, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.lattice not in DIMENSIONS:
            raise ValueError(f"lattice must be one of {tuple(DIMENSIONS)}; got {self.lattice!r}")
        check.count(self.bits, "bits", 2, 4)
        check.positive_real(self.unit, "unit")

    @classmethod
    def gaussian(cls, lattice: str, bits: int) -> VoronoiCode:
        """Four scales for unit Gaussian entries."""
        if (lattice, bits) not in GAUSSIAN:
            raise ValueError(f"codes exist for {list(GAUSSIAN)}; got {(lattice, bits)}")
        return cls(lattice, bits, *GAUSSIAN[lattice, bits])

    @property
    def dimension(self) -> int:
        return DIMENSIONS[self.lattice]

    @property
    def bits_per_entry(self) -> float:
        """Bits of an entry, its share of the scale's choice among them."""
        return self.bits + (len(self.multipliers) - 1).bit_length() / self.dimension

    def encode(self, matrix: ArrayLike, operand: Operand = "x") -> LatticeMatrix:
        """Code a (m, k), or b (k, n) as operand "y", in blocks along k.

        Entries are divided by the matrix's root mean square first; a short last block is filled
        up with zeros.

        Raises
        ------
        ValueError, TypeError
            If the matrix is not finite and real, or operand is neither.
        """
        values = finite_matrix(matrix, "matrix")
        if check.operand(operand) == "y":
            values = values.T
        rows, k = values.shape
        n = self.dimension
        largest = float(np.max(np.abs(values)))
        deviation = largest * float(np.sqrt(np.mean(np.square(values / (largest or 1.0)))))
        blocks = -(-k // n)
        codes = np.empty((rows, blocks, n), np.uint8)
        which = np.empty((rows, blocks), np.uint8)
        scales = np.array(self.multipliers) * self.unit
        counts: list[int] = []

        def encode_rows(span: tuple[int, int]) -> None:
            part = np.zeros((span[1] - span[0], blocks * n))
            if deviation:
                part[:, :k] = values[slice(*span)] / deviation
            count = np.zeros(1, np.int64)
            _encode_kernel(
                part.reshape(-1, n), n, self.lattice == "E8", 1 << self.bits, scales,
                self._offset[:n], codes[slice(*span)].reshape(-1, n),
                which[slice(*span)].reshape(-1), count,
            )  # fmt: skip
            counts.append(int(count[0]))

        _threads.for_each(encode_rows, _threads.split(rows, max(1, rows * k >> 15)))
        return LatticeMatrix(self, codes, which, deviation, k, operand, sum(counts))

    def points(self, codes: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Twice the points (..., n) of codes (..., n)."""
        n = self.dimension
        found = np.empty(codes.shape, np.int8)
        _decode_kernel(
            codes.reshape(-1, n), n, self.lattice == "E8", 1 << self.bits, self._offset[:n],
            found.reshape(-1, n),
        )  # fmt: skip
        return found
