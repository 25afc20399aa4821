"""Loops of the integer product: decode A's rows, decode B's panels, multiply register tiles.

Numbers are bytes (groups of four to a 32-bit lane) or words (groups of two). No checks here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from quantlab.codes.kernels import unpack_row_kernel
from quantlab.gemm import vector
from quantlab.gemm.vector import (
    decode_four_packed_rows,
    decode_four_rows,
    decode_packed_row,
    decode_row,
    tile_dot,
)

#: Decoded panels of B held at once: half of a second-level cache.
PANEL_BYTES = 1 << 19


class Kernels(NamedTuple):
    decode_rows: Callable[..., None]
    multiply: Callable[..., None]
    rows: int
    columns: int


@cache
def integer_kernels(tile_name: str, words: bool, permute: bool) -> Kernels:
    """Kernels for one instruction set; `permute`: tables of bytes by vector permutes."""
    tile = vector.TILES[tile_name]
    rows, columns, group = tile.rows, tile.columns, 2 if words else 4
    portable = tile_name == "portable"

    @njit(cache=True, nogil=True)
    def decode_rows_kernel(codes, bits, table, start, stop, k, out, sums):  # type: ignore[no-untyped-def]
        # codes (m, bytes), out (m, stride) zero beyond k, sums (m,)
        buffer = np.empty(k, np.uint8)
        for i in range(start, stop):
            done = 0
            if permute and (bits == 8 or bits == 4):
                width = 8 * bits  # bytes of 64 codes
                for j in range(k // 64):
                    source = codes.ctypes.data + i * codes.shape[1] + j * width
                    target = out.ctypes.data + i * out.shape[1] + 64 * j
                    if bits == 8:
                        decode_row(source, table.ctypes.data, target)
                    else:
                        decode_packed_row(source, table.ctypes.data, target)
                done = k // 64 * 64
            rest = buffer[done:]
            unpack_row_kernel(codes[i], bits, done, rest)
            for j in range(done, k):
                out[i, j] = table[buffer[j]]
            total = np.int32(0)
            for j in range(k):
                total += np.int32(out[i, j])
            sums[i] = total

    @njit(cache=True, nogil=True)
    def decode_panels_kernel(codes, bits, table, first, last, left, right, staging, panels):  # type: ignore[no-untyped-def]
        # panels (panel, steps, columns, group) = table[codes[first:last, left:right]]
        # rows outermost: codes are read along their rows, as they lie
        stride = codes.shape[1]
        for step in range((last - first + group - 1) // group):
            row = first + step * group
            for p in range((right - left + columns - 1) // columns):
                j = left + p * columns
                width = min(columns, right - j)
                panel = panels[p]
                if permute and width == 64 and row + group <= last and (bits == 8 or bits == 4):
                    source = codes.ctypes.data + row * stride + j * bits // 8
                    target = panel.ctypes.data + step * (columns * group)
                    if bits == 8:
                        decode_four_rows(source, stride, table.ctypes.data, target)
                    else:
                        decode_four_packed_rows(source, stride, table.ctypes.data, target)
                    continue
                for i in range(group):
                    if row + i < last:  # rows beyond meet A's zeros
                        unpack_row_kernel(codes[row + i], bits, j, staging[i, :width])
                for column in range(columns):
                    for i in range(group):
                        panel[(step * columns + column) * group + i] = table[staging[i, column]]

    @njit(cache=True, nogil=True)
    def portable_dot_kernel(a, i, height, first, panel, steps, sums):  # type: ignore[no-untyped-def]
        sums[:height] = 0
        for step in range(steps):
            base = step * columns * group
            for r in range(height):
                for g in range(group):
                    value = np.int32(a[i + r, first + step * group + g])
                    for column in range(columns):
                        sums[r, column] += value * np.int32(panel[base + column * group + g])

    @njit(cache=True, nogil=True)
    def dot_kernel(a, i, height, first, panel, step, steps, sums):  # type: ignore[no-untyped-def]
        # sums (rows, columns) = a[i:i + height, first + step group:] times the panel from `step` on
        if portable:
            start = step * columns * group
            portable_dot_kernel(a, i, height, first + step * group, panel[start:], steps, sums)
            return
        row_bytes = a.shape[1] * a.itemsize
        a_at = a.ctypes.data + i * row_bytes + first * a.itemsize + 4 * step
        b_at = panel.ctypes.data + 4 * columns * step
        out = sums.ctypes.data
        if height == 1:
            tile_dot(tile_name, words, 1, a_at, row_bytes, b_at, steps, out)
        else:
            tile_dot(tile_name, words, rows, a_at, row_bytes, b_at, steps, out)

    @njit(cache=True, nogil=True)
    def multiply_kernel(  # type: ignore[no-untyped-def]
        a, a_sums, b, bits, table, k, depth, span, row_range, column_range, scale, row_scale,
        column_scale, c
    ):  # fmt: skip
        # a (m padded to a tile, stride), b (k, bytes), c (m, n)
        # depth: rows of B decoded at once; span: steps whose sum fits an int32
        top, bottom = row_range
        offset = 0 if words else 128  # B's bytes are unsigned: q + 128
        depth_steps = (min(depth, k) + group - 1) // group
        n_panels = (column_range[1] - column_range[0] + columns - 1) // columns
        most = PANEL_BYTES // (4 * columns * depth_steps)
        n_panels = min(n_panels, max(1, most))
        panels = np.empty((n_panels, depth_steps * columns * group), table.dtype)
        staging = np.zeros((group, columns), np.uint8)
        sums = np.empty((rows, columns), np.int32)
        direct = k <= depth and depth_steps <= span
        # sums over several depths or spans, exact in float64
        held = np.empty((n_panels, 1 if direct else bottom - top + rows, columns))
        for left in range(column_range[0], column_range[1], n_panels * columns):
            right = min(column_range[1], left + n_panels * columns)
            held[:] = 0.0
            for first in range(0, k, depth):
                last = min(k, first + depth)
                decode_panels_kernel(b, bits, table, first, last, left, right, staging, panels)
                all_steps = (last - first + group - 1) // group
                i = top
                while i < bottom:
                    # one or two rows left cost less one by one
                    height = rows if bottom - i > 2 else 1
                    for p in range((right - left + columns - 1) // columns):
                        if direct:
                            dot_kernel(a, i, height, first, panels[p], 0, all_steps, sums)
                        else:
                            total = held[p, i - top : i - top + height]
                            for step in range(0, all_steps, span):
                                steps = min(span, all_steps - step)
                                dot_kernel(a, i, height, first, panels[p], step, steps, sums)
                                for r in range(height):
                                    for column in range(columns):
                                        total[r, column] += sums[r, column]
                        if last == k:
                            j = left + p * columns
                            width = min(columns, right - j)
                            for r in range(min(height, bottom - i)):
                                shift = offset * a_sums[i + r]
                                factor = scale * row_scale[i + r]
                                row = c[i + r, j : j + width]
                                by_column = column_scale[j : j + width]
                                if direct:
                                    for column in range(width):
                                        exact = np.float64(sums[r, column] - shift)
                                        row[column] = exact * factor * by_column[column]
                                else:
                                    for column in range(width):
                                        exact = held[p, i - top + r, column] - shift
                                        row[column] = exact * factor * by_column[column]
                    i += height

    return Kernels(decode_rows_kernel, multiply_kernel, rows, columns)
