"""Tiles to try, and launches of the product kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import triton

from quantlab.codes.device import DeviceCodedMatrix
from quantlab.gemm.cuda.kernels import bytes_kernel, product_kernel
from quantlab.gemm.cuda.plan import inner_group


@dataclass(frozen=True)
class Tile:
    """Block of C for one program, k at a time, into how many parts k is split, and how it runs."""

    m: int
    n: int
    k: int
    split: int = 1
    warps: int = 4
    stages: int = 3

    def suits(self, m: int, k: int) -> bool:
        """Not a tile of many rows for few, nor parts of k that are shorter than a tile."""
        return (self.m == 16 or m > self.m // 2) and (self.split == 1 or k >= self.split * self.k)

    def within(self, group: int) -> Tile:
        """The tile with a k that divides `group`, a multiple of 32, or 0: any does."""
        return replace(self, k=min(self.k, group & -group)) if group else self


class Scales:
    """Operands' scales along the inner dimension, as the kernels take them."""

    def __init__(self, a: Any, b: Any, stand_in: Any) -> None:
        self.groups = inner_group(a, 1), inner_group(b, 0)
        held = zip((a, b), self.groups, strict=True)
        self.tensors = [x.scale if group else stand_in for x, group in held]
        self.strides = [x.stride(0) for x in self.tensors]


FUSED_CONFIGS = (
    Tile(16, 128, 64),
    Tile(16, 128, 128, split=8, stages=4),
    Tile(16, 256, 64, split=8, warps=8, stages=4),
    Tile(16, 256, 64, split=16, stages=4),
    Tile(64, 128, 64, split=4),
    Tile(128, 128, 64, warps=8),
)
BYTE_CONFIGS = (
    Tile(128, 256, 128, warps=8, stages=3),
    Tile(128, 128, 128, warps=8, stages=4),
    Tile(64, 128, 128, warps=4, stages=4),
)
_BAND = 8


def bytes_product(
    left: Any, right: Any, c: Any, scale: float, tile: Tile, k: int, scales: Scales
) -> None:
    """c = scale left right^T over k; left (m', k'), right (n', k') of int8 or FP8, zero from k to
    whole tiles; c (m, n) float32, m <= m', n <= n'."""
    m, n = c.shape
    grid = (triton.cdiv(m, tile.m) * triton.cdiv(n, tile.n),)
    bytes_kernel[grid](
        left, right, c, *scales.tensors, m, n, k, left.stride(0), right.stride(0), c.stride(0),
        *scales.strides, scale, *scales.groups, tile.m, tile.n, tile.k, _BAND,
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip


def fused_product(
    a: Any, b: DeviceCodedMatrix, c: Any, tables: Sequence[Any], grids: Sequence[Any],
    scale: float, tile: Tile,
) -> None:  # fmt: skip
    """c = scale tables[0][a] tables[1][b]; a may be a tensor of halves.

    The tables are of halves; grids: of an operand whose table holds a grid's integers, else None.
    """
    import torch

    m, n = c.shape
    k = b.shape[0]
    coded = isinstance(a, DeviceCodedMatrix)
    left: Any = a._data if coded else a.contiguous()
    right: Any = b._data
    bits = (a._held_bits if coded else 0, b._held_bits)
    nibbles = [
        takes_ptx(c.device) and x == 4 and grid is not None
        for x, grid in zip(bits, grids, strict=True)
    ]
    words = [
        _words(grid.table.tobytes(), str(c.device)) if ours else table
        for ours, grid, table in zip(nibbles, grids, tables, strict=True)
    ]
    direct = tile.split == 1 and c.is_contiguous()
    parts = c if direct else torch.empty((tile.split, m, n), dtype=c.dtype, device=c.device)
    scales = Scales(a, b, c)
    grid = (triton.cdiv(n, tile.n), triton.cdiv(m, tile.m), tile.split)
    product_kernel[grid](
        left, right, parts, *tables, *words, *scales.tensors, m, n, k, left.shape[1],
        right.shape[1], left.stride(0), right.stride(0), *scales.strides, scale, *scales.groups,
        *bits, *nibbles, tile.m, tile.n, tile.k,
        tile.split, num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    if not direct:
        torch.sum(parts, dim=0, out=c)


def takes_ptx(device: Any) -> bool:
    """Triton's interpreter has no PTX: there a table gives the same integers."""
    return bool(device.type == "cuda")


@lru_cache(maxsize=64)
def _words(table: bytes, device: str) -> Any:
    """Integers + 128 of sixteen codes, four to a word."""
    import torch

    integers = np.frombuffer(table, np.int16)[:16]
    return torch.from_numpy((integers + 128).astype(np.uint8).view(np.int32).copy()).to(device)
