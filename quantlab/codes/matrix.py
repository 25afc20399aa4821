"""CodedMatrix: codes, the codebook that decodes them, and scales; in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from quantlab import _display, _threads
from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.codes import storage
from quantlab.codes.layout import (
    check_codes,
    checked_scale,
    contiguous,
    group_axis,
    packed_width,
    taken,
)

_TILE_ROWS = 256
_Method = Callable[..., Any]
#: What later rooms of the house do with a coded matrix: each fills in its own when it is imported,
#: so that imports run one way.
_LATER: dict[str, _Method] = {}


def fills_in(name: str) -> Callable[[_Method], _Method]:
    """Mark a later room's function as the one behind a method of `CodedMatrix`."""

    def fill_in(function: _Method) -> _Method:
        _LATER[name] = function
        return function

    return fill_in


class CodedMatrix:
    r"""A matrix held as one code per entry and the codebook that decodes it.

    .. math:: \hat A_{ij} = c_{\mathrm{code}(i, j)}\, s_{ij}

    with c the codebook's centres and s an optional scale that rows, columns or groups share.

    Layout: row-major. Unpacked, a byte a code. Packed, each row is a stream of `bits`-bit codes,
    least significant bit first (4 bits: low nibble first), padded to whole bytes.

    Parameters
    ----------
    codes : array_like of uint8, shape (rows, columns)
        Indices of centres, each below K.
    codebook : Codebook
        At most 256 levels.
    scale : array_like, optional
        Positive or negative factors s, float32: shape () or (1, 1) for all entries; (rows, 1) or
        (1, columns) for each row or column; with `group` g, (rows, ceil(columns / g)) for each
        g consecutive entries of a row, or (ceil(rows / g), columns) of a column.
    group : int, optional
        g, the number of entries that share a scale.

    Attributes
    ----------
    shape : (int, int)
    bits : int
        ceil(log2 K).
    is_packed : bool
        Whether codes are held packed.

    Raises
    ------
    ValueError
        If a code is K or more (the first one is named), a shape does not fit, or a scale is not
        finite.
    TypeError
        If codes are not integers.

    Notes
    -----
    It behaves as a matrix: `coded @ other` and `other @ coded` are `matmul`, `np.asarray(coded)`
    decodes, `coded.T`, `coded[2:5]` and `len(coded)` are what they are for an array.

    Choosing: `pack()` for memory, files, and products with few rows; `prepare()` for weights that
    multiply few rows again and again; unpacked otherwise. Products decode while they multiply and
    keep nothing behind: memory stays as `nbytes` says.

    Examples
    --------
    >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
    >>> coded.pack().packed
    array([[36]], dtype=uint8)
    >>> coded.pack().codes
    array([[0, 1, 2]], dtype=uint8)
    """

    __slots__ = (
        "_data", "_held_bits", "_lanes", "_snapped", "codebook", "group", "scale", "shape",
    )  # fmt: skip
    __array_ufunc__ = None  # array @ coded comes to __rmatmul__
    __iter__ = None  # rows are taken by a slice
    ndim = 2

    def __init__(
        self,
        codes: ArrayLike,
        codebook: Codebook,
        scale: ArrayLike | None = None,
        group: int | None = None,
    ) -> None:
        array = np.asarray(codes)
        if array.dtype.kind not in "iu":
            raise TypeError(f"codes must be integers; got dtype {array.dtype}")
        if array.ndim != 2 or array.size == 0:
            raise ValueError(f"codes must be a matrix with entries (2-D); got shape {array.shape}")
        check_codes(array, codebook.n_levels)
        self._set(np.ascontiguousarray(array, np.uint8), 8, array.shape, codebook, scale, group)

    @classmethod
    def from_packed(
        cls,
        packed: NDArray[np.uint8],
        shape: tuple[int, int],
        codebook: Codebook,
        scale: ArrayLike | None = None,
        group: int | None = None,
    ) -> CodedMatrix:
        """Wrap packed codes without a copy.

        Parameters
        ----------
        packed : ndarray of uint8, shape (rows, ceil(columns bits / 8))
            Each row a stream of codes, least significant bit first.
        shape : (int, int)
            (rows, columns).
        codebook : Codebook
            At most 256 levels.
        scale, group
            As in `CodedMatrix`.

        Returns
        -------
        CodedMatrix

        Raises
        ------
        ValueError, TypeError
            If packed has another shape or type, a code is K or more, or a scale does not fit.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> CodedMatrix.from_packed(coded.packed, (1, 3), coded.codebook).decode()
        array([[-1.,  0.,  1.]], dtype=float32)
        """
        rows, columns = (check.count(size, "shape") for size in shape)
        array = np.asarray(packed)
        expected = (rows, packed_width(columns, codebook.bits))
        if array.dtype != np.uint8 or array.shape != expected:
            raise ValueError(
                f"packed must be uint8 of shape {expected} for {rows} x {columns} codes of "
                f"{codebook.bits} bits; got {array.dtype} of shape {array.shape}"
            )
        coded = cls.__new__(cls)
        data = np.ascontiguousarray(array)
        coded._set(data, codebook.bits, (rows, columns), codebook, scale, group)
        if codebook.n_levels < 1 << codebook.bits:
            for start in range(0, rows, _TILE_ROWS):
                check_codes(coded._rows(start, start + _TILE_ROWS), codebook.n_levels, start)
        return coded

    @classmethod
    def _trusted(
        cls, data: NDArray[np.uint8], held_bits: int, shape: tuple[int, int], codebook: Codebook
    ) -> CodedMatrix:
        coded = cls.__new__(cls)
        coded._data, coded._held_bits, coded.shape, coded.codebook = (
            data,
            held_bits,
            shape,
            codebook,
        )
        coded.scale = coded.group = None
        coded._snapped, coded._lanes = {}, None
        return coded

    def _like(self, data: Any, held_bits: int, shape: tuple[int, int]) -> CodedMatrix:
        """Other codes of the same codebook and scales."""
        coded = CodedMatrix._trusted(data, held_bits, shape, self.codebook)
        coded.scale, coded.group = self.scale, self.group
        return coded

    def _set(
        self,
        data: NDArray[np.uint8],
        held_bits: int,
        shape: tuple[int, ...],
        codebook: Codebook,
        scale: ArrayLike | None,
        group: int | None,
    ) -> None:
        if codebook.n_levels > 256:
            raise ValueError(f"codes are uint8: at most 256 levels; got {codebook.n_levels}")
        self._data, self._held_bits, self.codebook = data, held_bits, codebook
        self.shape: tuple[int, int] = (shape[0], shape[1])
        self.scale, self.group = checked_scale(scale, group, self.shape)
        self._snapped: dict = {}  # the centres on integer grids, filled by quantlab.gemm.plan
        self._lanes: NDArray[np.uint8] | None = None  # by `prepare`, see quantlab.gemm.lanes

    @property
    def bits(self) -> int:
        """Bits of one code, packed.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.bits
        2
        """
        return self.codebook.bits

    @property
    def is_packed(self) -> bool:
        """Whether the codes are held packed, `bits` bits each, and not a byte each.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.is_packed, coded.pack().is_packed
        (False, True)
        """
        return self._held_bits < 8

    @property
    def codes(self) -> NDArray[np.uint8]:
        """Codes, uint8 of shape (rows, columns); a new array where they are held packed.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.codes
        array([[0, 1, 2]], dtype=uint8)
        """
        return self._data if self._held_bits == 8 else self._rows(0, self.shape[0])

    @property
    def packed(self) -> NDArray[np.uint8]:
        """Packed codes, uint8 of shape (rows, ceil(columns bits / 8)).

        A new array where they are held unpacked.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.packed
        array([[36]], dtype=uint8)
        """
        if self._held_bits == self.bits:
            return self._data
        from quantlab.codes.kernels import pack_kernel

        packed = np.empty((self.shape[0], packed_width(self.shape[1], self.bits)), np.uint8)
        pack_kernel(self._data, self.bits, packed)
        return packed

    @property
    def nbytes(self) -> int:
        """Bytes held, the codebook aside.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.nbytes, coded.pack().nbytes
        (3, 1)
        """
        beside = (array.nbytes for array in (self.scale, self._lanes) if array is not None)
        return self._data.nbytes + sum(beside)

    def pack(self) -> CodedMatrix:
        """The same matrix, held packed: `bits` bits an entry.

        Returns
        -------
        CodedMatrix
            Whose `packed` is of shape (rows, ceil(columns bits / 8)).

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.pack().nbytes
        1
        """
        return self._like(self.packed, self.bits, self.shape)

    def prepare(self) -> CodedMatrix:
        r"""The same matrix, ready for products `x @ coded` of up to 16 rows that come again.

        Its codes are laid out once more, by columns, so that each product reads them once at the
        memory's pace: `nbytes` counts both, and files hold the codes alone. The numbers of a
        product stay the same, bit for bit.

        Returns
        -------
        CodedMatrix
            Of the same shape (k, n), sharing codes and scales with this one. Where nothing is
            gained (more than 64 levels, a processor without AVX512-VNNI and -VBMI), it holds no
            second layout.

        Examples
        --------
        >>> import quantlab as ql
        >>> weights = CodedMatrix([[0, 1], [1, 0], [1, 1]], Codebook([-1.0, 1.0]))
        >>> row = CodedMatrix([[1, 0, 1]], Codebook([-1.0, 1.0]))
        >>> row @ weights.prepare()
        array([[-1.,  3.]], dtype=float32)
        """
        coded = self._like(self._data, self._held_bits, self.shape)
        coded._snapped = self._snapped
        coded._lanes = _LATER["prepare"](coded)
        return coded

    @property
    def T(self) -> CodedMatrix:
        """The transpose, of shape (columns, rows), held as this is; its scales go along.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.T.shape
        (3, 1)
        """
        coded = self._like(contiguous(self.codes.T), 8, self.shape[::-1])
        if self.scale is not None:
            coded.scale = contiguous(self.scale.T)
        return coded.pack() if self.is_packed else coded

    def __getitem__(self, rows: slice) -> CodedMatrix:
        """Rows by a slice, as in coded[:64]; unit steps share memory."""
        if not isinstance(rows, slice):
            raise TypeError(f"rows are taken by a slice, as in coded[2:5]; got [{rows!r}]")
        span = range(*rows.indices(self.shape[0]))
        if not span:
            raise ValueError(f"no row of {self.shape[0]} is in [{_shown(rows)}]")
        coded = self._like(taken(self._data, rows), self._held_bits, (len(span), self.shape[1]))
        if self.scale is None or self.scale.shape[0] == 1 < self.shape[0]:
            return coded
        if self.scale.shape[0] == self.shape[0]:
            coded.scale = taken(self.scale, rows)
        elif self.group and span.step == 1 and span.start % self.group == 0:
            coded.scale = self.scale[span.start // self.group : -(-span.stop // self.group)]
        else:
            raise ValueError(
                f"groups of {self.group} rows share scales: a slice starts at a multiple of "
                f"{self.group}, with step 1; got [{_shown(rows)}]"
            )
        return coded

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError("a coded matrix is decoded into a new array; copy=False is impossible")
        return self.decode(np.float32 if dtype is None else dtype)

    def __matmul__(self, other: Any) -> Any:
        return _LATER["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _LATER["matmul"](other, self)

    def to(self, device: Any) -> CodedMatrix:
        """The same codes held as torch tensors on a device.

        `codes`, `packed`, `decode` and products of the result are tensors there; its `numpy()`
        comes back.

        Parameters
        ----------
        device : torch.device or str
            "cuda", "cuda:1", "cpu", ...

        Returns
        -------
        DeviceCodedMatrix
            Of the same shape (rows, columns).

        Raises
        ------
        ImportError
            If torch is not installed.
        RuntimeError
            If there is no such device.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.to("cpu").decode()  # doctest: +SKIP
        tensor([[-1.,  0.,  1.]])
        """
        return _LATER["to_device"](self, device)

    def decode(self, dtype: DTypeLike = np.float32) -> NDArray:
        r"""The matrix that the codes stand for.

        .. math:: \hat A_{ij} = c_{\mathrm{code}(i, j)}\, s_{ij}

        Parameters
        ----------
        dtype : dtype
            float32 unless said otherwise.

        Returns
        -------
        ndarray of dtype, shape (rows, columns), C-ordered

        Raises
        ------
        TypeError
            If dtype is none of numpy's.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.decode()
        array([[-1.,  0.,  1.]], dtype=float32)
        """
        return self.decode_rows(0, self.shape[0], dtype)

    def decode_rows(self, start: int, stop: int, dtype: DTypeLike = np.float32) -> NDArray:
        """Some rows of `decode`, without the others.

        Parameters
        ----------
        start, stop : int
            Rows start .. stop - 1, of those that are there.
        dtype : dtype
            float32 unless said otherwise.

        Returns
        -------
        ndarray of dtype, shape (stop - start, columns)

        Raises
        ------
        ValueError
            If stop is below start.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> coded.decode_rows(0, 1)
        array([[-1.,  0.,  1.]], dtype=float32)
        """
        kind = np.dtype(dtype)
        if kind not in (np.float32, np.float64):
            return self.decode_rows(start, stop, np.float64).astype(kind)
        stop = min(stop, self.shape[0])
        out = np.empty((stop - start, self.shape[1]), kind)
        centers = self.codebook.centers.astype(kind)
        from quantlab.codes.kernels import decode_kernel

        def decode_span(span: tuple[int, int]) -> None:
            first, last = span[0] + start, span[1] + start
            block = out[slice(*span)]
            decode_kernel(self._data[first:last], self._held_bits, centers, block)
            if self.scale is not None:
                block *= self._expanded_scale(first, last)

        _threads.for_each(decode_span, _threads.split(stop - start, max(1, out.size >> 15)))
        return out

    def _expanded_scale(self, start: int, stop: int) -> NDArray[np.float32]:
        """s for rows start .. stop - 1, in a shape that broadcasts to them."""
        assert self.scale is not None
        if self.group is None:
            return self.scale[start:stop] if self.scale.shape[0] == self.shape[0] else self.scale
        if group_axis(self.scale, self.group, self.shape) == 0:
            return self.scale[np.arange(start, stop) // self.group]
        return np.repeat(self.scale[start:stop], self.group, axis=1)[:, : self.shape[1]]

    def _rows(self, start: int, stop: int) -> NDArray[np.uint8]:
        from quantlab.codes.kernels import unpack_kernel

        block = self._data[start:stop]
        codes = np.empty((block.shape[0], self.shape[1]), np.uint8)
        unpack_kernel(block, self._held_bits, codes)
        return codes

    def save(self, path: str | Path) -> None:
        """Write safetensors that explain themselves: the header says the layout in words.

        Parameters
        ----------
        path : path
            The file; see quantlab.codes.storage for what it holds.

        Raises
        ------
        FileNotFoundError
            If the folder is not there.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     coded.save(f"{folder}/a.safetensors")
        ...     CodedMatrix.load(f"{folder}/a.safetensors").decode()
        array([[-1.,  0.,  1.]], dtype=float32)
        """
        storage.write(path, self.packed, self.codebook, self.scale, self.group, self.shape)

    @classmethod
    def load(cls, path: str | Path) -> CodedMatrix:
        """Read what `save` wrote, packed.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        CodedMatrix
            Of the shape that was saved.

        Raises
        ------
        ValueError
            If the file holds something else; it is named, and what is wrong with it.
        OSError
            If there is no such file.

        Examples
        --------
        >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     coded.save(f"{folder}/a.safetensors")
        ...     CodedMatrix.load(f"{folder}/a.safetensors").is_packed
        True
        """
        with storage.named(path):
            return cls.from_packed(*storage.read(path))

    def __repr__(self) -> str:
        held = f"{self._held_bits}-bit" if self.is_packed else "uint8"
        return f"CodedMatrix({self.shape[0]} x {self.shape[1]}, {held} codes, {self.codebook!r})"

    def _repr_html_(self) -> str:
        values: dict[str, object] = {
            "shape": self.shape,
            "codes": f"{self.bits} bits, {'packed' if self.is_packed else 'a byte each'}",
            "memory": f"{self.nbytes:,} bytes",
            "codebook": repr(self.codebook),
        }
        if self.scale is not None:
            along = "" if self.group is None else f", one for {self.group} entries"
            values["scales"] = _display.cell(tuple(self.scale.shape)) + along
        return _display.properties(type(self).__name__, values, self.codebook._rug())


def _shown(rows: slice) -> str:
    ends = ["" if end is None else str(end) for end in (rows.start, rows.stop, rows.step)]
    return ":".join(ends if ends[2] else ends[:2])
