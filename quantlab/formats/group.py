"""What formats with a scale for each group have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.codebook import Codebook
from quantlab.codes import CodedMatrix
from quantlab.formats.offset import OffsetMatrix
from quantlab.pairs import Operand

FloatArray = NDArray[np.float64]

#: (rows, groups, scales of a group, entries) -> levels of the same shape, scales without the last
#: axis, and offsets like the scales or None.
Rule = Callable[[FloatArray], tuple[NDArray, NDArray, NDArray | None]]


@dataclass(frozen=True)
class GroupFormat:
    r"""A format whose entries are a level, times a scale and plus an offset of their group.

    .. math:: \hat A_{il} = s_{ib} q_{il} + o_{ib}, \qquad b = \lfloor l / g \rfloor

    Attributes
    ----------
    name : str
        As in `GROUP_FORMATS`.
    levels : tuple of float
        What q can be, increasing.
    group : int or None
        g, the entries along k that share a scale; None: all of a row of A or a column of B.
    header : (int, int)
        Entries along k, or 0 for all, and the bits that they share beside their codes: scales,
        offsets and zero points.
    rule : callable
        How levels, scales and offsets are found, a group at a time.
    source : str
        Where the format comes from.
    tensor_bits : int
        Bits that the whole matrix shares.
    """

    name: str
    levels: tuple[float, ...]
    group: int | None
    header: tuple[int, int]
    rule: Rule
    source: str
    tensor_bits: int = 0

    @property
    def code_bits(self) -> int:
        """Bits of an entry's code alone."""
        return (len(self.levels) - 1).bit_length()

    @property
    def label(self) -> str:
        """The name as people write it.

        Examples
        --------
        >>> from quantlab.formats import GROUP_FORMATS
        >>> [GROUP_FORMATS[name].label for name in ("nvfp4", "int4_g32_zero", "mxfp8_e4m3", "q4_0")]
        ['NVFP4', 'INT4/32, zero point', 'MXFP8 E4M3', 'Q4_0']
        """
        kind, _, rest = self.name.partition("_")
        if not kind.startswith("int"):
            return self.name.upper().replace("_", " " if kind.startswith("mx") else "_")
        group, _, zero = rest.partition("_")
        return f"{kind.upper()}/{group.removeprefix('g')}" + (", zero point" if zero else "")

    def bits(self, shape: tuple[int, int], operand: Operand = "x") -> float:
        """Bits an entry of a matrix of `shape`, codes and scales; a short last group pays whole.

        Examples
        --------
        >>> from quantlab.formats import GROUP_FORMATS
        >>> GROUP_FORMATS["q4_k"].bits((8, 4096)), GROUP_FORMATS["mxfp4"].bits((8, 40))
        (4.5, 4.4)
        """
        rows, k = shape if check.operand(operand) == "x" else shape[::-1]
        every, shared = self.header
        headers = rows * -(-k // (every or k)) * shared
        return self.code_bits + (headers + self.tensor_bits) / (rows * k)

    def encode(self, matrix: ArrayLike, operand: Operand = "x") -> CodedMatrix | OffsetMatrix:
        """Code a (m, k), or b (k, n) as operand "y": groups lie along k.

        Returns
        -------
        CodedMatrix or OffsetMatrix
            The second for formats with a zero point or a least value.

        Raises
        ------
        ValueError, TypeError
            If the matrix is not finite and real, or operand is neither.

        Notes
        -----
        A scale beyond its type is the type's largest, and what then lies outside goes to the
        nearest end. A group of zeros decodes to zeros.

        Examples
        --------
        >>> from quantlab.formats import GROUP_FORMATS
        >>> GROUP_FORMATS["mxfp4"].encode([[0.1, -0.5, 3.0, 7.0]]).decode()
        array([[ 0. , -0.5,  3. ,  6. ]], dtype=float32)
        """
        values = finite_matrix(matrix, "matrix").astype(np.float64)
        if check.operand(operand) == "y":
            return self.encode(values.T, "x").T
        rows, k = values.shape
        g = self.group or k
        block = max(self.header[0], g) if self.group else k
        whole = -(-k // block) * block
        # repeating the last entry changes neither the largest nor the least
        padded = np.pad(values, ((0, 0), (0, whole - k)), mode="edge")
        levels, scale, offset = self.rule(padded.reshape(rows, whole // block, block // g, g))
        codes = np.searchsorted(self.levels, levels.reshape(rows, whole)[:, :k]).astype(np.uint8)
        groups = -(-k // g)
        coded = CodedMatrix(
            codes,
            Codebook(self.levels, info={"design": self.name}),
            _of_groups(scale, rows, groups),
            g if self.group else None,
        )
        if offset is None:
            return coded
        return OffsetMatrix(coded, _of_groups(offset, rows, groups))


def _of_groups(values: NDArray, rows: int, groups: int) -> NDArray[np.float32]:
    return values.reshape(rows, -1)[:, :groups].astype(np.float32)


def divided(values: NDArray, by: NDArray) -> NDArray:
    """values / by; 0 where `by` is 0."""
    return np.divide(values, by, out=np.zeros(np.broadcast(values, by).shape), where=by != 0)


def half(values: NDArray) -> NDArray[np.float32]:
    """As float16 holds them, at most its largest."""
    return np.clip(values, -65504, 65504).astype(np.float16).astype(np.float32)


def single(values: NDArray) -> NDArray[np.float32]:
    """As float32 holds them, at most its largest."""
    largest = float(np.finfo(np.float32).max)
    return np.clip(values, -largest, largest).astype(np.float32)
