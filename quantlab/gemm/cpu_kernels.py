"""Loops of the integer product: decode A's rows, decode B's panels, multiply register tiles.

Numbers are bytes (groups of four to a 32-bit lane) or words (groups of two). No checks here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from quantlab._jit import kernel
from quantlab.codes.kernels import unpack_row_kernel
from quantlab.gemm import vector
from quantlab.gemm.permutes import (
    decode_group,
    decode_packed_group,
    decode_packed_row,
    decode_row,
)
from quantlab.gemm.vector import tile_dot

#: Decoded panels of B held at once: half of a second-level cache.
PANEL_BYTES = 1 << 19


class Kernels(NamedTuple):
    decode_rows: Callable[..., None]
    multiply: Callable[..., None]
    rows: int
    columns: int
    words: bool


# Below, addresses rather than views of arrays in the inner loops: a view counts references.
# permute, nibbles, words and columns are literals of the kernels that call these functions.


@kernel
def planes_kernel(table):  # type: ignore[no-untyped-def]
    # low bytes, then high bytes
    planes = np.empty(512, np.uint8)
    for i in range(256):
        planes[i] = np.uint8(table[i] & 255)
        planes[256 + i] = np.uint8((np.int32(table[i]) >> 8) & 255)
    return planes


@kernel
def decode_full_panels_kernel(  # type: ignore[no-untyped-def]
    permute, nibbles, words, source, stride, bits, lut, steps, n_panels, target, panel_bytes
):
    group = 2 if words else 4
    # rows outermost: codes are read along their rows, as they lie
    for step in range(steps):
        for p in range(n_panels):
            place = target + p * panel_bytes + step * 256
            if bits == 8:
                decode_group(permute, words, source + p * 64, stride, lut, place)
            elif nibbles:
                decode_packed_group(nibbles, source + p * 32, stride, lut, place)
        source += group * stride


@kernel
def decode_panels_kernel(  # type: ignore[no-untyped-def]
    permute, nibbles, words, columns, codes, bits, table, first, last, left, right, staging, panels
):
    # panels (panel, steps, columns, group) = table[codes[first:last, left:right]]
    group = 2 if words else 4
    full_panels, full_steps = 0, 0
    if (permute and bits == 8) or (nibbles and bits == 4):
        planes = planes_kernel(table)
        full_panels, full_steps = (right - left) // columns, (last - first) // group
        source = codes.ctypes.data + first * codes.shape[1] + left * bits // 8
        decode_full_panels_kernel(
            permute, nibbles, words, source, codes.shape[1], bits, planes.ctypes.data, full_steps,
            full_panels, panels.ctypes.data, panels.shape[1] * panels.itemsize
        )  # fmt: skip
    for step in range((last - first + group - 1) // group):
        row = first + step * group
        done = full_panels if step < full_steps else 0
        for p in range(done, (right - left + columns - 1) // columns):
            j = left + p * columns
            width = min(columns, right - j)
            for i in range(group):
                if row + i < last:  # rows beyond meet A's zeros
                    unpack_row_kernel(codes[row + i], bits, j, staging[i, :width])
            panel = panels[p]
            for column in range(columns):
                for i in range(group):
                    panel[(step * columns + column) * group + i] = table[staging[i, column]]


@kernel
def portable_dot_kernel(words, columns, a, i, height, first, panel, start, steps, sums):  # type: ignore[no-untyped-def]
    group = 2 if words else 4
    sums[:height] = 0
    for step in range(start, start + steps):
        base = step * columns * group
        for r in range(height):
            for g in range(group):
                value = np.int32(a[i + r, first + step * group + g])
                for column in range(columns):
                    sums[r, column] += value * np.int32(panel[base + column * group + g])


@kernel
def hold_kernel(columns, sums, height, total, p, i):  # type: ignore[no-untyped-def]
    for r in range(np.uintp(height)):
        for column in range(np.uintp(columns)):
            total[np.uintp(p), np.uintp(i) + r, column] += sums[r, column]


@kernel
def finish_kernel(words, sums, height, a_sums, i, j, width, scale, row_scale, column_scale, c):  # type: ignore[no-untyped-def]
    # c[i:i + height, j:j + width] = scaled sums; unsigned indices, which cannot wrap around
    left, top = np.uintp(j), np.uintp(i)
    for r in range(np.uintp(height)):
        shift = 0 if words else 128 * a_sums[top + r]
        factor = scale * row_scale[top + r]
        for column in range(np.uintp(width)):
            exact = np.float64(sums[r, column] - shift)
            c[top + r, left + column] = exact * factor * column_scale[left + column]


@cache
def integer_kernels(tile_name: str, words: bool, permute: int) -> Kernels:
    """Kernels for one instruction set; `permute`: levels that permutes decode, 0, 64, 256."""
    tile = vector.TILES[tile_name]
    rows, columns, group = tile.rows, tile.columns, 2 if words else 4
    nibbles = 64 if permute == 64 and not words else 0  # packed ones are decoded by permutes too
    portable = tile_name == "portable"

    @kernel
    def decode_rows_kernel(codes, bits, table, start, stop, k, out, sums):  # type: ignore[no-untyped-def]
        # codes (m, bytes), out (m padded to a tile, stride), sums (m,)
        done = k // 64 * 64 if (permute and bits == 8) or (nibbles and bits == 4) else 0
        rest = np.empty(k - done, np.uint8)
        planes = planes_kernel(table)
        lut = planes.ctypes.data
        stride = out.shape[1]
        for i in range(start, stop):
            source = codes.ctypes.data + i * codes.shape[1]
            target = out.ctypes.data + i * stride * out.itemsize
            for j in range(0, done, 64):
                if bits == 8:
                    decode_row(permute, words, source + j, lut, target + j * out.itemsize)
                elif nibbles:
                    decode_packed_row(nibbles, source + j // 2, lut, target + j)
            if done < k:
                unpack_row_kernel(codes[i], bits, done, rest)
                for j in range(np.uintp(k - done)):
                    out[np.uintp(i), np.uintp(done) + j] = table[rest[j]]
            out[i, k:] = 0
            total = np.int32(0)
            for j in range(np.uintp(stride)):
                total += np.int32(out[np.uintp(i), j])
            sums[i] = total
        if stop == sums.size:
            out[stop:] = 0

    @kernel
    def multiply_kernel(  # type: ignore[no-untyped-def]
        a, a_sums, b, bits, table, k, depth, span, row_range, column_range, scale, row_scale,
        column_scale, c
    ):  # fmt: skip
        # a (m padded to a tile, stride), b (k, bytes), c (m, n)
        # depth: rows of B decoded at once; span: steps whose sum fits an int32
        top, bottom = row_range
        depth_steps = (min(depth, k) + group - 1) // group
        n_panels = (column_range[1] - column_range[0] + columns - 1) // columns
        n_panels = min(n_panels, max(1, PANEL_BYTES // (4 * columns * depth_steps)))
        # from the start of a cache line, else each vector of a panel lies across two; and a step
        # apart, else the panels' same steps fall into the same sets of the cache
        panel_size = (depth_steps + 1) * columns * group
        block = np.empty(n_panels * panel_size + 64, table.dtype)
        skip = -block.ctypes.data % 64 // block.itemsize
        panels = block[skip : skip + n_panels * panel_size].reshape((n_panels, panel_size))
        staging = np.zeros((group, columns), np.uint8)
        sums = np.empty((rows, columns), np.int32)
        direct = k <= depth and depth_steps <= span
        # sums over several depths or spans, exact in float64
        held = np.empty((n_panels, 1 if direct else bottom - top + rows, columns))
        row_bytes = a.shape[1] * a.itemsize
        a_base, panels_base, out = a.ctypes.data, panels.ctypes.data, sums.ctypes.data
        for left in range(column_range[0], column_range[1], n_panels * columns):
            right = min(column_range[1], left + n_panels * columns)
            held[:] = 0.0
            for first in range(0, k, depth):
                last = min(k, first + depth)
                decode_panels_kernel(
                    permute, nibbles, words, columns, b, bits, table, first, last, left, right,
                    staging, panels
                )  # fmt: skip
                all_steps = (last - first + group - 1) // group
                i = top
                while i < bottom:
                    # one or two rows left cost less one by one
                    height = rows if bottom - i > 2 else 1
                    for p in range((right - left + columns - 1) // columns):
                        for step in range(0, all_steps, span):
                            steps = min(span, all_steps - step)
                            a_at = a_base + i * row_bytes + first * a.itemsize + 4 * step
                            b_at = panels_base + 4 * columns * (p * (depth_steps + 1) + step)
                            if portable:
                                portable_dot_kernel(
                                    words, columns, a, i, height, first, panels[p], step, steps,
                                    sums
                                )  # fmt: skip
                            elif height == 1:
                                tile_dot(tile_name, words, 1, a_at, row_bytes, b_at, steps, out)
                            else:
                                tile_dot(tile_name, words, rows, a_at, row_bytes, b_at, steps, out)
                            if not direct:
                                hold_kernel(columns, sums, height, held, p, i - top)
                        if last == k:
                            j = left + p * columns
                            valid, width = min(height, bottom - i), min(columns, right - j)
                            if direct:
                                finish_kernel(
                                    words, sums, valid, a_sums, i, j, width, scale, row_scale,
                                    column_scale, c
                                )  # fmt: skip
                            else:
                                finish_kernel(
                                    words, held[p, i - top :], valid, a_sums, i, j, width, scale,
                                    row_scale, column_scale, c
                                )  # fmt: skip
                    i += height

    return Kernels(decode_rows_kernel, multiply_kernel, rows, columns, words)
