"""Tiles to try, and launches of the product kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import triton

from quantlab.codes.device import DeviceCodedMatrix
from quantlab.gemm.cuda.kernels import int8_kernel, product_kernel


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


FUSED_CONFIGS = (
    Tile(16, 128, 64),
    Tile(16, 128, 128, split=8, stages=4),
    Tile(16, 256, 64, split=8, warps=8, stages=4),
    Tile(16, 256, 64, split=16, stages=4),
    Tile(64, 128, 64, split=4),
    Tile(128, 128, 64, warps=8),
)
INT8_CONFIGS = (
    Tile(128, 256, 128, warps=8, stages=3),
    Tile(128, 128, 128, warps=8, stages=4),
    Tile(64, 128, 128, warps=4, stages=4),
)
_GROUP = 8


def int8_product(left: Any, right: Any, c: Any, scale: float, tile: Tile) -> None:
    """c = scale left right^T; left (m', k), right (n', k) int8, c (m, n) float32, m <= m'."""
    m, n = c.shape
    k = left.shape[1]
    grid = (triton.cdiv(m, tile.m) * triton.cdiv(n, tile.n),)
    int8_kernel[grid](
        left, right, c, m, n, k, left.stride(0), right.stride(0), c.stride(0), scale,
        tile.m, tile.n, tile.k, _GROUP, num_warps=tile.warps, num_stages=tile.stages,
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
    # in the interpreter there is no PTX: the same integers are looked up
    on_chip = c.device.type == "cuda"
    nibbles = [on_chip and x == 4 and grid is not None for x, grid in zip(bits, grids, strict=True)]
    words = [
        _words(grid.table.tobytes(), str(c.device)) if ours else table
        for ours, grid, table in zip(nibbles, grids, tables, strict=True)
    ]
    direct = tile.split == 1 and c.is_contiguous()
    parts = c if direct else torch.empty((tile.split, m, n), dtype=c.dtype, device=c.device)
    grid = (triton.cdiv(n, tile.n), triton.cdiv(m, tile.m), tile.split)
    product_kernel[grid](
        left, right, parts, *tables, *words, m, n, k, left.shape[1], right.shape[1],
        left.stride(0), right.stride(0), scale, *bits, *nibbles, tile.m, tile.n, tile.k,
        tile.split, num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    if not direct:
        torch.sum(parts, dim=0, out=c)


@lru_cache(maxsize=64)
def _words(table: bytes, device: str) -> Any:
    """Integers + 128 of sixteen codes, four to a word."""
    import torch

    integers = np.frombuffer(table, np.int16)[:16]
    return torch.from_numpy((integers + 128).astype(np.uint8).view(np.int32).copy()).to(device)
