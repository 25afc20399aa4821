"""Triton kernels over codes on a device: find cells and pack, unpack, decode. No checks.

Codes lie as in `CodedMatrix`: rows of bytes, entry j of a row in bits j BITS .. (j + 1) BITS - 1.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

# mypy: disable-error-code="no-untyped-def, untyped-decorator"


@triton.jit
def encode_kernel(
    x, thresholds, out, bad, columns, width, x_stride, out_stride, lowest,
    BITS: tl.constexpr, STEPS: tl.constexpr, N_COUNTED: tl.constexpr, GROUPS: tl.constexpr,
):  # fmt: skip
    # x (rows, columns); lowest: finite, below the thresholds; out (rows, width) uint8; bad (1,)
    # thresholds: increasing if N_COUNTED, else a search tree of 2^STEPS nodes, node i's children
    # at 2i and 2i + 1
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    place = tl.arange(0, 8)
    column = group[:, None] * 8 + place[None, :]
    inside = column < columns
    # beyond the last column: a value of code 0
    value = tl.load(x + row * x_stride + column, inside, other=lowest)
    value = value.to(thresholds.dtype.element_ty)
    # zero times a value is zero, unless that is not finite
    if tl.sum((value * 0).reshape([GROUPS * 8]), 0) != 0:
        tl.atomic_max(bad, 1)

    if N_COUNTED > 0:
        code = tl.zeros([GROUPS, 8], tl.int32)
        for j in tl.static_range(N_COUNTED):
            code += (value > tl.load(thresholds + j)).to(tl.int32)
    else:
        node = tl.full([GROUPS, 8], 1, tl.int32)
        for _ in tl.static_range(STEPS):
            node = 2 * node + (value > tl.load(thresholds + node)).to(tl.int32)
        code = node - (1 << STEPS)

    start = out + row * out_stride
    if BITS == 8:
        tl.store(start + column, code.to(tl.uint8), inside)
    else:
        # eight codes are BITS whole bytes
        KIND: tl.constexpr = tl.uint32 if BITS <= 4 else tl.uint64
        BYTES: tl.constexpr = 4 if BITS <= 4 else 8
        word = tl.sum(code.to(KIND) << (place * BITS)[None, :].to(KIND), 1)
        at = tl.arange(0, BYTES)
        byte = group[:, None] * BITS + at[None, :]
        held = (word[:, None] >> (8 * at)[None, :].to(KIND)).to(tl.uint8)
        tl.store(start + byte, held, (at < BITS)[None, :] & (byte < width))


@triton.jit
def code_tile(
    codes, stride, row, first, rows, columns, width,
    BITS: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    # int32 (HEIGHT, WIDTH): codes of rows `row` (HEIGHT,), columns first .. first + WIDTH - 1;
    # first is a multiple of 8; 0 outside the matrix; a row has `width` bytes, passed in because
    # loads of 16 bytes need it to be a number that is known to be a multiple of 16
    start = codes + row.to(tl.int64)[:, None] * stride
    in_rows = (row < rows)[:, None]
    if BITS == 8:
        column = first + tl.arange(0, WIDTH)[None, :]
        tile = tl.load(start + column, in_rows & (column < columns), other=0).to(tl.int32)
    elif BITS == 4:
        byte = first // 2 + tl.arange(0, WIDTH // 2)[None, :]
        held = tl.load(start + byte, in_rows & (byte < width), other=0).to(tl.int32)
        tile = tl.interleave(held & 15, held >> 4)
    elif BITS == 2:
        byte = first // 4 + tl.arange(0, WIDTH // 4)[None, :]
        held = tl.load(start + byte, in_rows & (byte < width), other=0).to(tl.int32)
        even = tl.interleave(held & 3, (held >> 4) & 3)
        tile = tl.interleave(even, tl.interleave((held >> 2) & 3, held >> 6))
    else:
        bit = (first + tl.arange(0, WIDTH)[None, :]) * BITS
        byte = bit >> 3
        held = tl.load(start + byte, in_rows & (byte < width), other=0).to(tl.int32)
        if 8 % BITS != 0:
            more = in_rows & (byte + 1 < width)
            held |= tl.load(start + byte + 1, more, other=0).to(tl.int32) << 8
        tile = (held >> (bit & 7)) & ((1 << BITS) - 1)
    return tile


@triton.jit
def decode_kernel(
    codes, table, out, rows, columns, width, out_rows, out_columns, stride, out_stride,
    BITS: tl.constexpr, TRANSPOSED: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    # out (out_rows, out_columns) = table[codes], or TRANSPOSED its transpose (out_columns,
    # out_rows) in memory; zero beyond (rows, columns)
    row = tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT)
    first = tl.program_id(1) * WIDTH
    column = first + tl.arange(0, WIDTH)
    code = code_tile(codes, stride, row, first, rows, columns, width, BITS, HEIGHT, WIDTH)
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    value = tl.load(table + code, inside, other=0)
    if TRANSPOSED:
        place = out + column.to(tl.int64)[:, None] * out_stride + row[None, :]
        within = (column < out_columns)[:, None] & (row < out_rows)[None, :]
        tl.store(place, tl.trans(value), within)
    else:
        place = out + row.to(tl.int64)[:, None] * out_stride + column[None, :]
        tl.store(place, value, (row < out_rows)[:, None] & (column < out_columns)[None, :])


def decode(codes: Any, bits: int, shape: tuple[int, int], table: Any, out: Any) -> None:
    """out = table[codes], padded with zeros; `out` may be a transposed view."""
    transposed = out.stride(1) != 1
    height, width = (64, 128) if transposed else (16, 512)
    grid = (triton.cdiv(out.shape[0], height), triton.cdiv(out.shape[1], width))
    decode_kernel[grid](
        codes, table, out, *shape, codes.shape[1], *out.shape, codes.stride(0),
        out.stride(1 if transposed else 0), bits, transposed, height, width,
    )  # fmt: skip


def encode(x: Any, thresholds: Any, n_counted: int, bits: int, out: Any, bad: Any) -> None:
    """Codes of x (rows, columns) into `out`, packed at `bits`; bad[0] = 1 if one is not finite."""
    import torch

    groups = 128
    steps = thresholds.numel().bit_length() - 1
    # an argument of a kernel is a float32
    lowest = max(torch.finfo(x.dtype).min, torch.finfo(torch.float32).min)
    grid = (x.shape[0], triton.cdiv(x.shape[1], 8 * groups))
    encode_kernel[grid](
        x, thresholds, out, bad, x.shape[1], out.shape[1], x.stride(0), out.stride(0), lowest,
        bits, steps, n_counted, groups,
    )  # fmt: skip
