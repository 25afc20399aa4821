"""A matrix coded by a scheme: codes of several widths, and the product of two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from quantlab import _validate as check
from quantlab._matrices import finite_matrix
from quantlab.codebook import Codebook
from quantlab.codes import CodedMatrix
from quantlab.codes.operand import CodedOperand
from quantlab.gemm import matmul
from quantlab.pairs import Operand
from quantlab.scheme import storage
from quantlab.scheme.books import IndexBooks
from quantlab.scheme.coder import Coder
from quantlab.scheme.lengths import TOLD_BITS, EntropyGrid

#: Of the error of a product: what a grid may add. A scheme was chosen by less.
_SHARE = 0.002


class SchemeMatrix(CodedOperand):
    """Rows of A, or columns of B, as a `Scheme` codes them; made by `Scheme.encode`.

    `coded @ other` is `matmul`; np.asarray(coded) is the matrix that the codes stand for.

    Attributes
    ----------
    codes : ndarray of integers, shape (rows, k)
        One row for each row of A or column of B.
    coder : Coder
        What they stand for.
    operand : {"x", "y"}
        Whether this is A (rows, k) or B (k, rows).
    payload : ndarray of uint32, or None
        The entropy coder's words, where the scheme has codes of variable length.

    Examples
    --------
    >>> from quantlab import GaussianPair, design_scheme
    >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
    >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
    >>> (scheme.encode(a, "x") @ scheme.encode(b, "y")).shape
    (64, 48)
    """

    def __init__(
        self, codes: NDArray, coder: Coder, operand: Operand, payload: NDArray | None = None
    ) -> None:
        self.codes, self.coder, self.operand, self.payload = codes, coder, operand, payload
        rows, k = codes.shape
        self.shape = (rows, k) if operand == "x" else (k, rows)

    @property
    def bits_per_entry(self) -> float:
        """Mean bits of an entry, those of its code or those that the entropy coder wrote.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> coded = scheme.encode(a, "x")
        >>> coded.bits_per_entry
        4.0
        """
        if self.payload is None:
            assert isinstance(self.coder.books, IndexBooks)
            return self.coder.books.bits_per_entry + 32 * self.coder.moved_numbers / self.codes.size
        return (32 * self.payload.size + self._told_bits) / self.codes.size

    @property
    def _told_bits(self) -> int:
        grid = self.coder.books
        return TOLD_BITS if isinstance(grid, EntropyGrid) and grid.finer is not None else 0

    @property
    def packed(self) -> NDArray[np.uint8]:
        """Codes of fixed length, packed; uint8 of shape (rows, ceil(sum of bits / 8)).

        A row is a stream of its indices' codes, index 0 first, each least significant bit first.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> coded = scheme.encode(a, "x")
        >>> coded.packed.shape
        (64, 4)
        """
        assert isinstance(self.coder.books, IndexBooks)
        place, bits = _bit_places(self.coder.books.bits)
        return np.packbits(self.codes[:, place] >> bits & 1, axis=1, bitorder="little")

    @property
    def nbytes(self) -> int:
        """Bytes of the codes, packed or entropy-coded, and of what moved their codebooks.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> coded = scheme.encode(a, "x")
        >>> coded.nbytes
        256
        """
        if self.payload is not None:
            return self.payload.nbytes + self._told_bits // 8
        assert isinstance(self.coder.books, IndexBooks)
        packed = len(self.codes) * -(-int(self.coder.books.bits.sum()) // 8)
        return packed + 4 * self.coder.moved_numbers

    def decode(self, dtype: DTypeLike = np.float32) -> NDArray:
        """The matrix that the codes stand for, in its own basis.

        Parameters
        ----------
        dtype : dtype
            float32 unless said otherwise.

        Returns
        -------
        ndarray of dtype, of `shape`

        Raises
        ------
        TypeError
            If dtype is none of numpy's.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> coded = scheme.encode(a, "x")
        >>> coded.decode().shape
        (64, 8)
        """
        rows = self.coder.restored(self.coder.values(self.codes)).astype(dtype, copy=False)
        return rows if self.operand == "x" else np.ascontiguousarray(rows.T)

    def product(self, a: Any, b: Any) -> Any:
        r"""C = A B from the codes; `matmul` and `@` come here.

        .. math:: \hat C = (\hat A T) (T^{-1} \hat B)

        in the scheme's basis where both factors are coded by one scheme, else decoded. Codebooks
        that all indices share are multiplied as `matmul` does, on integers: bytes where their grid
        adds under 0.2 % to the error of the product, else words, else float32: feedback keeps the
        codes' errors out of the product, and those of a grid come on top. Others are decoded for
        numpy's BLAS: indices of one width still have levels of their own, and a grid of bytes for
        all of them would add 8 % to the error at 4 bits on the shipped heads, and double it at 6.

        Parameters
        ----------
        a, b : SchemeMatrix, CodedMatrix or array_like, shapes (m, k) and (k, n)

        Returns
        -------
        ndarray of float32, shape (m, n)

        Raises
        ------
        ValueError
            If the operands are not an "x" and a "y", or the inner dimensions differ.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> coded = scheme.encode(a, "x")
        >>> coded.product(coded, scheme.encode(b, "y")).shape
        (64, 48)
        """
        if isinstance(a, SchemeMatrix) and isinstance(b, SchemeMatrix):
            if (a.operand, b.operand) != ("x", "y"):
                raise ValueError(
                    'a product is of a matrix coded as "x" and one coded as "y"; got '
                    f'"{a.operand}" and "{b.operand}"'
                )
            if a.coder.inner_dim != b.coder.inner_dim:
                raise ValueError(
                    f"a and b must share the inner dimension k; got {a.coder.inner_dim} and "
                    f"{b.coder.inner_dim}"
                )
            in_units = a.coder.exponent != 0 or b.coder.exponent != 0
            if not _share_a_basis(a.coder, b.coder):
                wide = np.float64 if in_units else np.float32
                return (a.decode(wide) @ b.decode(wide)).astype(np.float32, copy=False)
            left, right = _shared(a), _shared(b)
            if left is not None and right is not None:
                c = matmul(left, right, route=_route(a.coder, b.coder))
            else:
                c = a.coder.values(a.codes) @ b.coder.values(b.codes).T
            return np.ldexp(c, a.coder.exponent + b.coder.exponent) if in_units else c
        plain = _plain(a, "a"), _plain(b, "b")
        check.multipliable(plain[0].shape, plain[1].shape)
        return plain[0] @ plain[1]

    def save(self, path: str | Path) -> None:
        """Write safetensors that explain themselves: the codes, and what decoding needs.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        FileNotFoundError
            If the folder is not there.

        Examples
        --------
        >>> import tempfile
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scheme.encode(a, "x").save(f"{folder}/a.safetensors")
        ...     SchemeMatrix.load(f"{folder}/a.safetensors").shape
        (64, 8)
        """
        storage.write(path, self)

    @classmethod
    def load(cls, path: str | Path) -> SchemeMatrix:
        """Read what `save` wrote; its `coder` decodes and multiplies, but does not encode.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        SchemeMatrix

        Raises
        ------
        ValueError
            Names the file and what is wrong with it.
        ImportError
            If the codes have variable length and constriction is not installed.

        Examples
        --------
        >>> import tempfile
        >>> from quantlab import GaussianPair, design_scheme
        >>> a, b = GaussianPair(rho=0.8).sample_matrices(64, 8, 48, rng=0)
        >>> scheme = design_scheme((a, b), bits=4, basis="balanced", rates="equal")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scheme.encode(a, "x").save(f"{folder}/a.safetensors")
        ...     SchemeMatrix.load(f"{folder}/a.safetensors").shape
        (64, 8)
        """
        try:
            codes, coder, operand, payload = storage.read(path)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return cls(codes, coder, operand, payload)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("a coded matrix is decoded into a new array; copy=False is impossible")
        return self.decode(np.float32 if dtype is None else dtype)

    __array_ufunc__ = None  # array @ coded comes to __rmatmul__

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        how = "bits an entry" if self.payload is None else "bits an entry, entropy-coded"
        size = f"{self.shape[0]} x {self.shape[1]}"
        return f"SchemeMatrix({self.operand}, {size}, {self.bits_per_entry:.3g} {how})"


def _bit_places(bits: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """For each bit of a packed row: the index it is of, and which of its bits it is."""
    place = np.repeat(np.arange(bits.size), bits)
    own = np.arange(place.size) - np.repeat(np.cumsum(bits) - bits, bits)
    return place, own.astype(np.uint8)


def _share_a_basis(x: Coder, y: Coder) -> bool:
    if x.forward is None or y.inverse is None:
        return x.forward is None and y.forward is None
    return np.array_equal(x.forward, y.inverse.T)


def _route(x: Coder, y: Coder) -> str | None:
    """The fastest route whose grids add little to the product's error; None: nobody has said."""
    if x.grids is None or y.grids is None:
        return None
    added = [max(both) for both in zip(x.grids, y.grids, strict=True)]
    return next((r for r, a in zip(("int8", "int16"), added, strict=True) if a <= _SHARE), "fp32")


def _shared(coded: SchemeMatrix) -> CodedMatrix | None:
    """The matrix (m, k) or (k, n) with its one codebook, where it has one that products can use."""
    books = coded.coder.books
    if not isinstance(books, IndexBooks) or books.kind != "matrix":
        return None
    n = int(books.n_levels[0])
    codebook = Codebook(books.centers[0, :n], books.thresholds[0, : n - 1])
    codes = coded.codes if coded.operand == "x" else np.ascontiguousarray(coded.codes.T)
    return CodedMatrix(codes, codebook)


def _plain(factor: ArrayLike | SchemeMatrix | CodedMatrix, name: str) -> NDArray:
    if isinstance(factor, (SchemeMatrix, CodedMatrix)):
        return factor.decode()
    return finite_matrix(factor, name)
