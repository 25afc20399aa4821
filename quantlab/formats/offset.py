"""A coded matrix plus an offset for each group: zero points and least values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.codes import CodedMatrix, storage
from quantlab.codes.layout import checked_scale, contiguous, group_axis
from quantlab.codes.operand import CodedOperand


class OffsetMatrix(CodedOperand):
    r"""A coded matrix and what is added to all entries of a group.

    .. math:: \hat A_{il} = s_{ib} c_{\mathrm{code}(i, l)} + o_{ib}

    Parameters
    ----------
    coded : CodedMatrix
        With a scale for each group, row or column.
    offset : array_like
        o, float32, of the scales' shape.

    Raises
    ------
    ValueError
        If the shapes differ, or an offset is not finite.
    """

    __array_ufunc__ = None  # array @ coded comes to __rmatmul__
    ndim = 2

    def __init__(self, coded: CodedMatrix, offset: ArrayLike) -> None:
        found, _ = checked_scale(offset, coded.group, coded.shape)
        assert found is not None
        if coded.scale is None or found.shape != coded.scale.shape:
            raise ValueError(
                f"offset must have the scale's shape; got {found.shape} and "
                f"{None if coded.scale is None else coded.scale.shape}"
            )
        self.coded, self.offset, self.shape = coded, found, coded.shape

    @property
    def codebook(self) -> Any:
        return self.coded.codebook

    @property
    def nbytes(self) -> int:
        """Bytes held, the codebook aside."""
        return self.coded.nbytes + self.offset.nbytes

    @property
    def T(self) -> OffsetMatrix:
        return OffsetMatrix(self.coded.T, contiguous(self.offset.T))

    def decode(self, dtype: DTypeLike = np.float32) -> NDArray:
        """The matrix that the codes stand for, of `shape`."""
        rows, columns = self.shape
        offset = self.offset
        if self._along == 1:
            offset = np.repeat(offset, self.coded.group or columns, axis=1)[:, :columns]
        else:
            offset = np.repeat(offset, self.coded.group or rows, axis=0)[:rows]
        return self.coded.decode(dtype) + offset.astype(dtype)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("a coded matrix is decoded into a new array; copy=False is impossible")
        return self.decode(np.float32 if dtype is None else dtype)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def _along(self) -> int:
        """1 if groups lie along a row, 0 if along a column."""
        if self.coded.group is None:
            return int(self.offset.shape[1] == 1)
        return group_axis(self.offset, self.coded.group, self.shape)

    def product(self, a: Any, b: Any) -> NDArray[np.float32]:
        r"""C = A B, float32, with offsets taken out of the product of the codes.

        .. math:: (S_A + O_A)(S_B + O_B) = S_A S_B + O_A \hat B + S_A O_B

        O_A B needs the sums of B over A's groups alone, S_A O_B those of S_A over B's. Offsets
        across k are added after decoding.
        """
        left, right = _operand(a, "a"), _operand(b, "b")
        check.multipliable(left.shape, right.shape)
        if isinstance(left, OffsetMatrix) and left._along == 0:
            left = left.decode()
        if isinstance(right, OffsetMatrix) and right._along == 1:
            right = right.decode()
        c = _codes(left) @ _codes(right)
        if isinstance(left, OffsetMatrix):
            sums = _group_sums(_decoded(right), left.coded.group, 0)
            c = c + left.offset @ sums
        if isinstance(right, OffsetMatrix):
            sums = _group_sums(_decoded(_codes(left)), right.coded.group, 1)
            c = c + sums @ right.offset
        return np.asarray(c, np.float32)

    def save(self, path: str | Path) -> None:
        """Write safetensors as `CodedMatrix.save` does, with the offsets beside the scales.

        Raises
        ------
        FileNotFoundError
            If the folder is not there.
        """
        coded = self.coded
        storage.write(
            path, coded.packed, coded.codebook, coded.scale, coded.group, self.shape, self.offset
        )

    @classmethod
    def load(cls, path: str | Path) -> OffsetMatrix:
        """Read what `save` wrote, packed.

        Raises
        ------
        ValueError
            If the file holds something else; it is named, and what is wrong with it.
        OSError
            If there is no such file.
        """
        with storage.named(path):
            parts, offset = storage.read_with_offset(path)
            return cls(CodedMatrix.from_packed(*parts), offset)

    def __repr__(self) -> str:
        return f"OffsetMatrix({self.coded!r})"


def _operand(factor: Any, name: str) -> Any:
    if isinstance(factor, (CodedMatrix, OffsetMatrix)):
        return factor
    if isinstance(factor, CodedOperand):
        return np.asarray(factor)
    return finite_matrix(factor, name).astype(np.float32, copy=False)


def _codes(factor: Any) -> Any:
    return factor.coded if isinstance(factor, OffsetMatrix) else factor


def _decoded(factor: Any) -> NDArray:
    return factor if isinstance(factor, np.ndarray) else factor.decode()


def _group_sums(values: NDArray, group: int | None, axis: int) -> NDArray[np.float32]:
    k = values.shape[axis]
    starts = np.arange(0, k, group or k)
    return np.add.reduceat(values, starts, axis=axis, dtype=np.float32)
