"""CodedMatrix: codes, the codebook that decodes them, and scales; in memory and on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from quantlab import _threads
from quantlab import _validate as check
from quantlab.codebook import Codebook

_TILE_ROWS = 256


def packed_width(columns: int, bits: int) -> int:
    """Bytes of one packed row."""
    return -(-columns * bits // 8)


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
    Choosing: `pack()` for memory, files, and products with few rows; unpacked otherwise. Products
    decode while they multiply and keep nothing behind: memory stays as `nbytes` says.

    Examples
    --------
    >>> coded = CodedMatrix([[0, 1, 2]], Codebook([-1.0, 0.0, 1.0]))
    >>> coded.pack().packed
    array([[36]], dtype=uint8)
    >>> coded.pack().codes
    array([[0, 1, 2]], dtype=uint8)
    """

    __slots__ = ("_data", "_held_bits", "_snapped", "codebook", "group", "scale", "shape")

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
        _check_codes(array, codebook.n_levels)
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
        """Wrap packed codes, uint8 (rows, ceil(columns bits / 8)); checked as by `CodedMatrix`."""
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
                _check_codes(coded._rows(start, start + _TILE_ROWS), codebook.n_levels, start)
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
        coded._snapped = {}
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
        self.scale, self.group = _checked_scale(scale, group, self.shape)
        self._snapped: dict = {}  # the centres on integer grids, filled by quantlab.gemm.plan

    @property
    def bits(self) -> int:
        """Bits of one code, packed."""
        return self.codebook.bits

    @property
    def is_packed(self) -> bool:
        return self._held_bits < 8

    @property
    def codes(self) -> NDArray[np.uint8]:
        """Codes, uint8 (rows, columns); a new array where they are held packed."""
        return self._data if self._held_bits == 8 else self._rows(0, self.shape[0])

    @property
    def packed(self) -> NDArray[np.uint8]:
        """Packed codes, uint8 (rows, ceil(columns bits / 8)); a new array where held unpacked."""
        if self._held_bits == self.bits:
            return self._data
        from quantlab.codes.kernels import pack_kernel

        packed = np.empty((self.shape[0], packed_width(self.shape[1], self.bits)), np.uint8)
        pack_kernel(self._data, self.bits, packed)
        return packed

    @property
    def nbytes(self) -> int:
        """Bytes held, the codebook aside."""
        return self._data.nbytes + (0 if self.scale is None else self.scale.nbytes)

    def pack(self) -> CodedMatrix:
        """The same matrix, held packed: `bits` bits an entry."""
        coded = CodedMatrix._trusted(self.packed, self.bits, self.shape, self.codebook)
        coded.scale, coded.group = self.scale, self.group
        return coded

    def to(self, device: Any) -> CodedMatrix:
        """The same codes held as torch tensors on `device` ("cuda", "cuda:1", "cpu", ...).

        `codes`, `packed`, `decode` and products of the result are tensors there; its `numpy()`
        comes back.
        """
        from quantlab.codes.device import to_device

        return to_device(self, device)

    def decode(self, dtype: DTypeLike = np.float32) -> NDArray:
        """centers[codes] * scale as `dtype`, C-ordered (rows, columns)."""
        return self.decode_rows(0, self.shape[0], dtype)

    def decode_rows(self, start: int, stop: int, dtype: DTypeLike = np.float32) -> NDArray:
        """Rows start .. stop - 1 of `decode`."""
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
        if self.scale.shape[0] == self.shape[0]:
            scale = self.scale[start:stop]
            if self.group is not None:
                scale = np.repeat(scale, self.group, axis=1)[:, : self.shape[1]]
            return scale
        return self.scale[np.arange(start, stop) // self.group] if self.group else self.scale

    def _rows(self, start: int, stop: int) -> NDArray[np.uint8]:
        from quantlab.codes.kernels import unpack_kernel

        block = self._data[start:stop]
        codes = np.empty((block.shape[0], self.shape[1]), np.uint8)
        unpack_kernel(block, self._held_bits, codes)
        return codes

    def save(self, path: str | Path) -> None:
        """Write safetensors that explain themselves; see quantlab.codes.storage."""
        from quantlab.codes.storage import save

        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> CodedMatrix:
        """Read what `save` wrote, packed; ValueError if the file holds something else."""
        from quantlab.codes.storage import load

        return load(path)

    def __repr__(self) -> str:
        held = f"{self._held_bits}-bit" if self.is_packed else "uint8"
        return f"CodedMatrix({self.shape[0]} x {self.shape[1]}, {held} codes, {self.codebook!r})"


def _check_codes(codes: NDArray, n_levels: int, first_row: int = 0) -> None:
    if codes.max() >= n_levels or (codes.dtype.kind == "i" and codes.min() < 0):
        i, j = np.argwhere((codes >= n_levels) | (codes < 0))[0]
        raise ValueError(
            f"codes must lie in 0 .. {n_levels - 1} (K = {n_levels}); "
            f"codes[{first_row + i}, {j}] = {codes[i, j]}"
        )


def _checked_scale(
    scale: ArrayLike | None, group: int | None, shape: tuple[int, int]
) -> tuple[NDArray[np.float32] | None, int | None]:
    if scale is None:
        if group is not None:
            raise ValueError(f"group needs a scale; got group {group} and no scale")
        return None, None
    array = np.asarray(scale, dtype=np.float32)
    if array.ndim == 0:
        array = array.reshape(1, 1)
    rows, columns = shape
    if group is None:
        allowed = [(1, 1), (rows, 1), (1, columns)]
    else:
        g = check.count(group, "group")
        allowed = [(rows, -(-columns // g)), (-(-rows // g), columns)]
    if array.shape not in allowed:
        raise ValueError(f"scale must have one of the shapes {allowed}; got {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"scale must be finite; got {array[~np.isfinite(array)][0]}")
    return np.ascontiguousarray(array), group
