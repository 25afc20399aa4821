"""Coded matrices whose codes are torch tensors: on a CUDA device, or in the host's memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quantlab._matrices import is_tensor
from quantlab.codebook import Codebook
from quantlab.codes.device_coding import center_table, codes_of, decoded, pack_codes
from quantlab.codes.layout import group_axis, packed_width
from quantlab.codes.matrix import CodedMatrix, fills_in


class DeviceCodedMatrix(CodedMatrix):
    """A `CodedMatrix` whose codes and scale are torch tensors of one device.

    Made by `encode` from a CUDA tensor, by `CodedMatrix.to(device)`, and by `of_codes` from codes
    that `round_feedback` found there. `codes`, `packed`, `decode` and products with it are tensors
    of that device; `numpy()` copies it back.
    """

    __slots__ = ()
    _data: Any
    scale: Any

    def __init__(self, *_: Any) -> None:
        raise TypeError("a DeviceCodedMatrix is made by encode or by CodedMatrix.to(device)")

    @classmethod
    def of_codes(cls, codes: Any, codebook: Codebook, packed: bool = False) -> DeviceCodedMatrix:
        """From codes, a uint8 tensor (rows, columns) whose device it stays on.

        Raises ValueError if the tensor is of another kind, or a code is K or more.
        """
        import torch

        if not is_tensor(codes) or codes.dtype != torch.uint8 or codes.ndim != 2 or not len(codes):
            raise ValueError(
                "codes must be a uint8 tensor, a matrix with entries (2-D); got "
                f"{getattr(codes, 'dtype', type(codes))} of shape {tuple(codes.shape)}"
            )
        if (most := int(codes.max())) >= codebook.n_levels:
            raise ValueError(f"codes must lie in 0 .. {codebook.n_levels - 1}; got {most}")
        bits = codebook.bits if packed else 8
        data = pack_codes(codes, bits) if packed else codes.contiguous()
        return device_matrix(data, bits, (codes.shape[0], codes.shape[1]), codebook)

    @property
    def device(self) -> Any:
        """The torch.device that holds the codes."""
        return self._data.device

    @property
    def codes(self) -> Any:
        """Codes, uint8 tensor (rows, columns); a new one where they are held packed."""
        if self._held_bits == 8:
            return self._data
        import torch

        return decoded(self, torch.arange(256, dtype=torch.uint8, device=self.device))

    @property
    def packed(self) -> Any:
        """Packed codes, uint8 tensor (rows, ceil(columns bits / 8))."""
        return self._data if self._held_bits == self.bits else pack_codes(self._data, self.bits)

    def decode(self, dtype: Any = None) -> Any:
        """centers[codes] * scale, a tensor of `dtype` (torch.float32)."""
        import torch

        kind = dtype or torch.float32
        wide = torch.float64 if kind == torch.float64 else torch.float32
        values = decoded(self, center_table(self.codebook, wide, str(self.device)))
        if self.scale is not None:
            values *= self._full_scale()
        return values.to(kind)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        return self.numpy().__array__(dtype, copy)

    def decode_rows(self, start: int, stop: int, dtype: Any = None) -> Any:
        return self.rows(start, stop).decode(dtype)

    def rows(self, start: int, stop: int) -> DeviceCodedMatrix:
        """Rows start .. stop - 1, sharing memory; none of several groups along the rows."""
        data = self._data[start:stop]
        part = self._like(data, self._held_bits, (data.shape[0], self.shape[1]))
        if self.scale is not None and self.scale.shape[0] == self.shape[0] > 1:
            part.scale = self.scale[start:stop]
        return part

    def columns(self, start: int, stop: int) -> DeviceCodedMatrix:
        """Columns start .. stop - 1, sharing memory; start is a multiple of 8."""
        stop = min(stop, self.shape[1])
        first, last = (packed_width(column, self._held_bits) for column in (start, stop))
        data = self._data[:, first:last]
        part = self._like(data, self._held_bits, (self.shape[0], stop - start))
        if self.scale is not None and self.scale.shape[1] == self.shape[1] > 1:
            part.scale = self.scale[:, start:stop]
        return part

    def numpy(self) -> CodedMatrix:
        """The same matrix in the host's memory, held in numpy arrays."""
        data = np.ascontiguousarray(self._data.cpu().numpy())
        coded = CodedMatrix._trusted(data, self._held_bits, self.shape, self.codebook)
        if self.scale is not None:
            coded.scale, coded.group = self.scale.cpu().numpy(), self.group
        return coded

    def to(self, device: Any) -> DeviceCodedMatrix:
        moved = self._like(self._data.to(device), self._held_bits, self.shape)
        if self.scale is not None:
            moved.scale = self.scale.to(device)
        return moved

    def prepare(self) -> DeviceCodedMatrix:
        """As it is: products on a device decode while they multiply."""
        return self

    def save(self, path: Any) -> None:
        self.numpy().save(path)

    def _full_scale(self) -> Any:
        """The scale in a shape that broadcasts to the matrix."""
        if self.group is None:
            return self.scale
        axis = group_axis(self.scale, self.group, self.shape)
        return self.scale.repeat_interleave(self.group, axis).narrow(axis, 0, self.shape[axis])

    def _like(self, data: Any, held_bits: int, shape: tuple[int, int]) -> DeviceCodedMatrix:
        coded = device_matrix(data, held_bits, shape, self.codebook)
        coded.scale, coded.group, coded._snapped = self.scale, self.group, self._snapped
        return coded

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, {self.device})".replace("Coded", "DeviceCoded", 1)


def device_matrix(
    data: Any, held_bits: int, shape: tuple[int, int], codebook: Codebook
) -> DeviceCodedMatrix:
    """Wrap a tensor of codes that is known to be right."""
    coded = DeviceCodedMatrix.__new__(DeviceCodedMatrix)
    coded._data, coded._held_bits, coded.shape, coded.codebook = data, held_bits, shape, codebook
    coded.scale = coded.group = None
    coded._snapped, coded._lanes = {}, None
    return coded


def encode_tensor(
    matrix: Any, codebook: Codebook, packed: bool = False, out: Any = None
) -> DeviceCodedMatrix:
    """`encode` for a checked matrix (2-D tensor): codes stay on its device."""
    bits = codebook.bits if packed else 8
    return device_matrix(codes_of(matrix, codebook, bits, out), bits, matrix.shape, codebook)


@fills_in("to_device")
def to_device(coded: CodedMatrix, device: Any) -> DeviceCodedMatrix:
    """Copy a host matrix's codes and scale to tensors of `device`."""
    import torch

    data = torch.tensor(coded._data, device=device)
    moved = device_matrix(data, coded._held_bits, coded.shape, coded.codebook)
    if coded.scale is not None:
        moved.scale, moved.group = torch.tensor(coded.scale, device=device), coded.group
    return moved


def is_on_device(operand: Any) -> bool:
    """Whether this is a `DeviceCodedMatrix` or a tensor outside the host's memory."""
    if isinstance(operand, DeviceCodedMatrix):
        return True
    return is_tensor(operand) and operand.device.type not in ("cpu", "meta")
