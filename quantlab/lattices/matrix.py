"""A matrix of lattice points, and its products on integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.codebook import Codebook
from quantlab.codes import CodedMatrix
from quantlab.codes.operand import CodedOperand
from quantlab.codes.storage import named
from quantlab.lattices import storage
from quantlab.lattices.code import LatticeCode
from quantlab.pairs import Operand

_BYTES = Codebook(np.arange(-127.0, 128.0), info={"design": "integers"})


class LatticeMatrix(CodedOperand):
    """Codes of a `VoronoiCode`; made by its `encode`.

    Attributes
    ----------
    code : LatticeCode
    codes : ndarray of uint8, shape (rows, blocks, n)
        Coordinates mod q, each of `code.bits` bits; rows of A or columns of B.
    which : ndarray of uint8, shape (rows, blocks)
        Which scale a block has.
    deviation : float
        What entries were divided by.
    overloaded : int
        Blocks that no scale held.
    """

    __array_ufunc__ = None
    ndim = 2

    def __init__(
        self,
        code: LatticeCode,
        codes: NDArray[np.uint8],
        which: NDArray[np.uint8],
        deviation: float,
        k: int,
        operand: Operand,
        overloaded: int = 0,
    ) -> None:
        self.code, self.codes, self.which, self.deviation = code, codes, which, deviation
        self.operand, self.overloaded, self._k = operand, overloaded, k
        rows = codes.shape[0]
        self.shape = (rows, k) if operand == "x" else (k, rows)

    @property
    def bits_per_entry(self) -> float:
        """Bits of codes and scales over entries; a short last block pays whole."""
        n = self.code.dimension
        return (
            self.which.size
            * (n * self.code.bits + self.code.choice_bits)
            / (self.shape[0] * self.shape[1])
        )

    def integers(self) -> NDArray[np.int16]:
        """Multiplier times doubled point of each entry, (rows, k): entries over `step`."""
        points = self.code.points(self.codes)
        multipliers = np.array(self.code.multipliers, np.int16)[self.which]
        return (points * multipliers[..., None]).reshape(len(points), -1)[:, : self._k]

    @property
    def step(self) -> float:
        """What an integer stands for."""
        return 0.5 * self.code.unit * self.deviation

    def decode(self, dtype: DTypeLike = np.float32) -> NDArray:
        """The matrix that the codes stand for, of `shape`."""
        values = (self.integers() * self.step).astype(dtype)
        return values if self.operand == "x" else np.ascontiguousarray(values.T)

    def as_bytes(self) -> CodedMatrix | None:
        """The integers as bytes under one scale, for the int8 route; None if one exceeds 127."""
        found = self.integers()
        if np.abs(found).max() > 127:
            return None
        codes = (found + 127).astype(np.uint8)
        codes = codes if self.operand == "x" else np.ascontiguousarray(codes.T)
        return CodedMatrix(codes, _BYTES, self.step)

    def product(self, a: Any, b: Any) -> Any:
        """C = A B, float32: on bytes where the integers fit, else decoded."""
        left, right = _factor(a, "a"), _factor(b, "b")
        check.multipliable(left.shape, right.shape)
        return left @ right

    def save(self, path: str | Path) -> None:
        """Write safetensors that explain themselves: packed codes and scales, and their code.

        Raises
        ------
        FileNotFoundError
            If the folder is not there.

        Examples
        --------
        >>> import tempfile
        >>> from quantlab.lattices import LatticeMatrix, VoronoiCode
        >>> coded = VoronoiCode.gaussian("E8", 4).encode(np.eye(8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     coded.save(f"{folder}/a.safetensors")
        ...     LatticeMatrix.load(f"{folder}/a.safetensors")
        LatticeMatrix(E8, 8 x 8, 4.25 bits an entry, 0 overloaded)
        """
        parts = (self.codes, self.which, self.deviation, self._k, self.operand, self.overloaded)
        storage.write(path, self.code, parts)

    @classmethod
    def load(cls, path: str | Path) -> LatticeMatrix:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file holds something else; it is named, and what is wrong with it.
        OSError
            If there is no such file.
        """
        with named(path):
            code, parts = storage.read(path)
            return cls(code, *parts)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("a coded matrix is decoded into a new array; copy=False is impossible")
        return self.decode(np.float32 if dtype is None else dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return (
            f"LatticeMatrix({self.code.lattice}, {self.shape[0]} x {self.shape[1]}, "
            f"{self.bits_per_entry:.4g} bits an entry, {self.overloaded} overloaded)"
        )


def _factor(factor: Any, name: str) -> Any:
    if isinstance(factor, LatticeMatrix):
        held = factor.as_bytes()
        return factor.decode() if held is None else held
    if isinstance(factor, CodedMatrix):
        return factor
    if isinstance(factor, CodedOperand):
        return np.asarray(factor)
    return finite_matrix(factor, name).astype(np.float32, copy=False)
