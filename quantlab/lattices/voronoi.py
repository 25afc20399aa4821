"""Voronoi codes q L / L with a scale a block out of a few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _threads
from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.lattices.code import MAKERS
from quantlab.lattices.kernels import copy_kernel, decode_kernel, encode_kernel, squares_kernel
from quantlab.lattices.matrix import LatticeMatrix
from quantlab.lattices.points import DIMENSIONS
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

    def __post_init__(self) -> None:
        if self.lattice not in DIMENSIONS:
            raise ValueError(f"lattice must be one of {tuple(DIMENSIONS)}; got {self.lattice!r}")
        check.count(self.bits, "bits", 2, 4)
        check.positive_real(self.unit, "unit")
        m = [check.count(each, "multipliers", 1, 127) for each in self.multipliers]
        if m != sorted(set(m)) or len(m) not in (1, 2, 4, 8, 16):
            raise ValueError(f"multipliers increase and are 1, 2, 4, 8 or 16; got {m}")

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
        return self.bits + self.choice_bits / self.dimension

    @property
    def choice_bits(self) -> int:
        """Bits of the choice of a block's scale."""
        return (len(self.multipliers) - 1).bit_length()

    @property
    def offset(self) -> NDArray:
        """(n,) the code's centre, in steps of q L."""
        return _OFFSET[: self.dimension]

    def encode(self, matrix: ArrayLike, operand: Operand = "x") -> LatticeMatrix:
        """Code a (m, k), or b (k, n) as operand "y", in blocks along k.

        Entries are divided by the matrix's root mean square first; a short last block is filled
        up with zeros.

        Raises
        ------
        ValueError, TypeError
            If the matrix is not finite and real, or operand is neither.
        """
        values = np.ascontiguousarray(finite_matrix(matrix, "matrix"))
        own_rows = check.operand(operand) == "x"
        rows, k = values.shape if own_rows else values.shape[::-1]
        n = self.dimension
        deviation = _deviation(values)
        if deviation < np.finfo(values.dtype).tiny:
            values = values.astype(np.float64)
        blocks = -(-k // n)
        codes = np.empty((rows, blocks, n), np.uint8)
        which = np.empty((rows, blocks), np.uint8)
        scales = np.array(self.multipliers) * self.unit
        counts: list[int] = []

        def encode_rows(span: tuple[int, int]) -> None:
            own = slice(*span)
            if own_rows and k % n == 0:
                part = values[own]
            else:
                part = np.zeros((span[1] - span[0], blocks * n), values.dtype)
                copy_kernel(values[own].T if own_rows else values[:, own], part)
            found = encode_kernel(
                part.reshape(-1, n), values.dtype.type(deviation or 1), self.lattice == "E8",
                1 << self.bits, scales, self._offsets, codes[own].reshape(-1, n),
                which[own].reshape(-1),
            )  # fmt: skip
            counts.append(found)

        _threads.for_each(encode_rows, _threads.split(rows, max(1, rows * k >> 15), 16))
        return LatticeMatrix(self, codes, which, deviation, k, operand, sum(counts))

    def points(self, codes: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Twice the points (..., n) of codes (..., n)."""
        n = self.dimension
        found = np.empty(codes.shape, np.int8)
        flat, points = codes.reshape(-1, n), found.reshape(-1, n)

        def decode(span: tuple[int, int]) -> None:
            own = slice(*span)
            decode_kernel(
                flat[own], self.lattice == "E8", 1 << self.bits, self._offsets, points[own]
            )

        _threads.for_each(decode, _threads.split(len(flat), max(1, flat.size >> 15)))
        return found

    @property
    def _offsets(self) -> NDArray:
        """`offset` as a row of eight."""
        return np.pad(self.offset, (0, 8 - self.dimension))[None]


MAKERS["voronoi"] = VoronoiCode


def _deviation(values: NDArray) -> float:
    """Root mean square, summed in float64."""
    largest = max(float(values.max()), -float(values.min()))
    if largest == 0:
        return 0.0
    spans = _threads.split(len(values), max(1, values.size >> 16))
    sums = dict.fromkeys(spans, 0.0)

    def add(span: tuple[int, int]) -> None:
        sums[span] = sum(squares_kernel(row, largest) for row in values[slice(*span)])

    _threads.for_each(add, spans)
    return largest * float(np.sqrt(sum(sums.values()) / values.size))
