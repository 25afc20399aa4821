"""Codes of tensors: encode, decode, pack and unpack, by Triton where it runs, else by Torch."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from quantlab._matrices import is_tensor
from quantlab.codebook import Codebook
from quantlab.codes.layout import packed_width
from quantlab.codes.thresholds import exact_thresholds

# a table of up to this many thresholds is faster to pass one by one than to search
_MOST_COUNTED = 7
# entries that the Torch code unpacks or looks up at once: its indices take 8 bytes each
_TILE = 1 << 24


class Held(Protocol):
    """What is decoded here: codes in a tensor, `_held_bits` each."""

    _data: Any
    _held_bits: int
    shape: tuple[int, int]

    @property
    def device(self) -> Any: ...


def has_kernels(device: Any) -> bool:
    """Whether Triton can run on this device: on CUDA, or anywhere in its interpreter."""
    if find_spec("triton") is None:
        return False
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def codes_of(matrix: Any, codebook: Codebook, bits: int, out: Any = None) -> Any:
    """Codes of a checked matrix (2-D tensor), held at `bits` bits, in a tensor on its device."""
    import torch

    rows, columns = matrix.shape
    shape = (rows, packed_width(columns, bits))
    if out is None:
        out = torch.empty(shape, dtype=torch.uint8, device=matrix.device)
    elif (
        not is_tensor(out)
        or (tuple(out.shape), out.dtype, out.device) != (shape, torch.uint8, matrix.device)
        or not out.is_contiguous()
    ):
        raise ValueError(
            f"out must be a contiguous uint8 tensor of shape {shape} on {matrix.device}; got "
            f"{getattr(out, 'dtype', type(out))} of shape {tuple(getattr(out, 'shape', ()))} on "
            f"{getattr(out, 'device', 'no device')}"
        )
    if matrix.dtype.itemsize == 1 and matrix.dtype.is_floating_point:
        matrix = matrix.float()  # float8, which has no comparisons
    wide = matrix.dtype == torch.float64 or not matrix.dtype.is_floating_point
    kind = torch.float64 if wide else torch.float32
    numpy_kind = np.dtype(np.float64 if wide else np.float32)
    if has_kernels(matrix.device):
        from quantlab.codes import device_kernels

        source = matrix if matrix.dtype.is_floating_point else matrix.double()
        table, counted = _search_table(codebook, numpy_kind, str(matrix.device))
        bad = torch.zeros(1, dtype=torch.int32, device=matrix.device)
        device_kernels.encode(source.contiguous(), table, counted, bits, out, bad)
        finite = not bad.item()
    else:
        thresholds = torch.from_numpy(exact_thresholds(codebook, numpy_kind)).to(matrix.device)
        step = max(1, _TILE // columns)
        for start in range(0, rows, step):
            block = matrix[start : start + step].to(kind).contiguous()
            codes = torch.bucketize(block, thresholds, out_int32=True).to(torch.uint8)
            out[start : start + step] = codes if bits == 8 else pack_codes(codes, bits)
        finite = not matrix.dtype.is_floating_point or bool(torch.isfinite(matrix).all())
    if not finite:
        i, j = torch.nonzero(~torch.isfinite(matrix))[0].tolist()
        raise ValueError(f"matrix must be finite; matrix[{i}, {j}] = {matrix[i, j].item()}")
    return out


@lru_cache(maxsize=64)
def _search_table(codebook: Codebook, kind: np.dtype, device: str) -> tuple[Any, int]:
    """Thresholds in order and their number, or, if many, a search tree in level order and 0."""
    thresholds = exact_thresholds(codebook, kind)
    n = thresholds.size
    if n <= _MOST_COUNTED:
        return _device_tensor(thresholds, device), n
    steps = n.bit_length()
    padded = np.full((1 << steps) - 1, np.inf, kind)
    padded[:n] = thresholds
    tree = np.empty(1 << steps, kind)
    for level in range(steps):
        first = (1 << (steps - level - 1)) - 1  # of this level's thresholds, in their order
        tree[1 << level : 2 << level] = padded[first :: 1 << (steps - level)]
    return _device_tensor(tree, device), 0


def decoded(coded: Held, table: Any, out: Any = None) -> Any:
    """table[codes] without the scale; `out` may be larger (padded with zeros) or transposed."""
    import torch

    data, shape = coded._data, coded.shape
    if out is None:
        out = torch.empty(shape, dtype=table.dtype, device=table.device)
    if has_kernels(coded.device):
        from quantlab.codes import device_kernels

        device_kernels.decode(data, coded._held_bits, shape, table, out)
        return out
    out[shape[0] :] = 0
    out[:, shape[1] :] = 0
    step = max(1, _TILE // shape[1])
    for start in range(0, shape[0], step):
        codes = unpack_codes(data[start : start + step], coded._held_bits, shape[1])
        out[start : start + codes.shape[0], : shape[1]] = table[codes]
    return out


def unpack_codes(packed: Any, bits: int, columns: int) -> Any:
    """Codes, int32 tensor (rows, columns), by Torch alone."""
    import torch

    if bits == 8:
        return packed.int()
    bit = torch.arange(columns, device=packed.device) * bits
    last = packed.shape[1] - 1
    byte = bit >> 3
    word = packed[:, byte].int() | packed[:, (byte + 1).clamp(max=last)].int() << 8
    return word >> (bit & 7).int() & (1 << bits) - 1


def pack_codes(codes: Any, bits: int) -> Any:
    """Packed uint8 tensor of uint8 codes, by Torch alone."""
    import torch

    rows, columns = codes.shape
    if bits == 8:
        return codes
    groups = -(-columns // 8)
    padded = torch.nn.functional.pad(codes, (0, 8 * groups - columns)).view(rows, groups, 8)
    place = torch.arange(8, device=codes.device)
    # eight codes are `bits` whole bytes
    word = (padded.long() << place * bits).sum(dim=2, keepdim=True)
    data = (word >> 8 * place[:bits] & 255).to(torch.uint8).view(rows, groups * bits)
    return data[:, : packed_width(columns, bits)].contiguous()


@lru_cache(maxsize=256)
def center_table(codebook: Codebook, dtype: Any, device: str) -> Any:
    """The centres as a tensor of 256 entries, zero beyond K."""
    padded = np.zeros(256)
    padded[: codebook.n_levels] = codebook.centers
    return _device_tensor(padded, device).to(dtype)


def _device_tensor(array: np.ndarray, device: Any) -> Any:
    import torch

    return torch.from_numpy(array).to(device)
