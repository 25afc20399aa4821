"""Products of matrices whose groups along the inner dimension have scales: integers a group."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quantlab import _threads
from quantlab._jit import kernel
from quantlab.codes import CodedMatrix
from quantlab.gemm import vector
from quantlab.gemm.cpu_kernels import (
    PANEL_BYTES,
    decode_panels_kernel,
    integer_kernels,
    portable_dot_kernel,
)
from quantlab.gemm.grid import Snapped
from quantlab.gemm.vector import tile_dot

#: Multiply-adds from which a second thread helps.
THREADED = 1 << 22


class _Grouped(NamedTuple):
    multiply: Callable[..., None]
    rows: int
    columns: int
    words: bool


def group_size(a: CodedMatrix, b: CodedMatrix) -> int | None:
    """g where one group of both lies in one group of each: multiples of 4 that divide; else None.

    A matrix without scales along k takes the other's groups.
    """
    found = [
        coded.group
        for coded, axis in ((a, 1), (b, 0))
        if coded.scale is not None and coded.group is not None and coded.scale.shape[axis] > 1
    ]
    if not found or any(g is None or g % 4 for g in found):
        return None
    small, large = min(found), max(found)
    return small if large % small == 0 else None


def multiply_grouped(
    a: CodedMatrix, b: CodedMatrix, grids: tuple[Snapped, Snapped], group: int
) -> NDArray[np.float32]:
    r"""C = A B, float32 (m, n).

    .. math:: C_{ij} = \sum_b s_{ib} t_{bj} \sum_{l \in b} q_{il} r_{lj}

    with integers q and r: the inner sums are exact, the outer ones in float32.
    """
    (m, k), n = a.shape, b.shape[1]
    most_levels = max(a.codebook.n_levels, b.codebook.n_levels)
    tile = vector.TILES[vector.best_tile()]
    words = not (tile.dot_bytes or tile.name == "portable")
    permute = 64 if most_levels <= 64 else 256
    permute = permute if tile.lanes == 16 and vector.has_byte_permute() else 0
    decoders, kernels = (
        integer_kernels(tile.name, words, permute),
        _kernels(tile.name, words, permute),
    )
    kind = np.dtype(np.int16 if words else np.int8)
    lines = -(-k * kind.itemsize // 64) | 1
    padded_rows = -(-m // kernels.rows) * kernels.rows
    decoded = np.empty((padded_rows, lines * 64 // kind.itemsize), kind)
    sums = np.empty(m, np.int32)
    table_a = grids[0].table if words else grids[0].signed
    table_b = grids[1].table if words else grids[1].unsigned
    groups = -(-k // group)
    shifts = np.zeros((padded_rows, groups), np.int32)
    row_scale = np.zeros((padded_rows, groups), np.float32)
    row_scale[:m] = _each_group(a, 1, group, groups)
    columns = -(-n // kernels.columns) * kernels.columns
    column_scale = np.zeros((groups, columns), np.float32)
    column_scale[:, :n] = _each_group(b, 0, group, groups)
    column_scale *= grids[0].scale * grids[1].scale
    starts = np.arange(0, k, group)

    def decode_rows(span: tuple[int, int]) -> None:
        decoders.decode_rows(a._data, a._held_bits, table_a, *span, k, decoded, sums)
        if not words:
            part = np.add.reduceat(decoded[slice(*span), :k], starts, axis=1, dtype=np.int32)
            shifts[slice(*span)] = 128 * part

    parts = 4 * _threads.count() if m * k * n >= THREADED else 1
    _threads.for_each(decode_rows, _threads.split(m, parts))
    c = np.empty((m, n), np.float32)

    def multiply(span: tuple[int, int]) -> None:
        kernels.multiply(
            decoded, shifts, row_scale, b._data, b._held_bits, table_b, column_scale, k, group,
            span, m, c,
        )  # fmt: skip

    _threads.for_each(multiply, _threads.split(n, parts, kernels.columns))
    return c


def _each_group(coded: CodedMatrix, axis: int, group: int, groups: int) -> NDArray[np.float32]:
    """A scale for every `group` entries along `axis`, in a shape that broadcasts."""
    if coded.scale is None:
        return np.ones((1, 1), np.float32)
    if coded.scale.shape[axis] == 1 or coded.group is None:
        return coded.scale
    repeats = coded.group // group
    return np.repeat(coded.scale, repeats, axis=axis).take(range(groups), axis=axis)


@kernel
def _add_kernel(sums, shifts, row_scale, i, step, height, column_scale, total):  # type: ignore[no-untyped-def]
    for r in range(np.uintp(height)):
        shift = shifts[np.uintp(i) + r, step]
        factor = row_scale[np.uintp(i) + r, step]
        for column in range(np.uintp(sums.shape[1])):
            exact = np.float32(sums[r, column] - shift)
            total[r, column] += exact * (factor * column_scale[column])


@cache
def _kernels(tile_name: str, words: bool, permute: int) -> _Grouped:
    tile = vector.TILES[tile_name]
    rows, columns, lane = tile.rows, tile.columns, 2 if words else 4
    nibbles = 64 if permute == 64 and not words else 0
    portable = tile_name == "portable"

    @kernel
    def multiply_kernel(  # type: ignore[no-untyped-def]
        a, shifts, row_scale, b, bits, table, column_scale, k, group, column_range, m, c
    ):
        # a (m padded to a tile, stride), shifts and row_scale (m padded, groups), b (k, bytes),
        # column_scale (groups, n padded), c (m, n)
        group_steps = group // lane
        depth = max(1, min(k, PANEL_BYTES // columns // a.itemsize) // group) * group
        depth_steps = (min(depth, k) + lane - 1) // lane
        n_panels = (column_range[1] - column_range[0] + columns - 1) // columns
        n_panels = min(n_panels, max(1, PANEL_BYTES // (4 * columns * depth_steps)))
        panel_size = (depth_steps + 1) * columns * lane
        block = np.empty(n_panels * panel_size + 64, table.dtype)
        skip = -block.ctypes.data % 64 // block.itemsize
        panels = block[skip : skip + n_panels * panel_size].reshape((n_panels, panel_size))
        staging = np.zeros((lane, columns), np.uint8)
        sums = np.empty((rows, columns), np.int32)
        total = np.empty((rows, columns), np.float32)
        row_bytes = a.shape[1] * a.itemsize
        a_base, panels_base, out = a.ctypes.data, panels.ctypes.data, sums.ctypes.data
        for left in range(column_range[0], column_range[1], n_panels * columns):
            right = min(column_range[1], left + n_panels * columns)
            for first in range(0, k, depth):
                last = min(k, first + depth)
                decode_panels_kernel(
                    permute, nibbles, words, columns, b, bits, table, first, last, left, right,
                    staging, panels
                )  # fmt: skip
                all_steps = (last - first + lane - 1) // lane
                for i in range(0, m, rows):
                    for p in range((right - left + columns - 1) // columns):
                        j = left + p * columns
                        total[:] = np.float32(0)
                        at = first // group
                        for step in range(0, all_steps, group_steps):
                            steps = min(group_steps, all_steps - step)
                            if portable:
                                portable_dot_kernel(
                                    words, columns, a, i, rows, first, panels[p], step, steps, sums
                                )
                            else:
                                a_at = a_base + i * row_bytes + first * a.itemsize + 4 * step
                                b_at = panels_base + 4 * columns * (p * (depth_steps + 1) + step)
                                tile_dot(tile_name, words, rows, a_at, row_bytes, b_at, steps, out)
                            _add_kernel(
                                sums, shifts, row_scale, i, at, rows,
                                column_scale[at, j : j + columns], total
                            )  # fmt: skip
                            at += 1
                        for r in range(min(rows, m - i)):
                            for column in range(min(columns, right - j)):
                                if first:
                                    c[i + r, j + column] += total[r, column]
                                else:
                                    c[i + r, j + column] = total[r, column]

    return _Grouped(multiply_kernel, rows, columns, words)
