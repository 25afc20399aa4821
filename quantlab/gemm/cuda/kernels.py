"""Triton kernels of products: packed codes decoded on chip, and int8 matrices. No checks."""

from __future__ import annotations

import triton
import triton.language as tl

from quantlab.codes.device_kernels import code_tile

# mypy: disable-error-code="no-untyped-def, untyped-decorator"

# $4: four bytes, eight codes; $5, $9, $13, $17: the integers q + 128 of the codes, four a word.
# A nibble's lower three bits choose a byte among words 0, 1 and among words 2, 3; its highest bit
# chooses between the two. 0x64 above a byte u is the half 1024 + u; 1024 + 128 leaves q.
DECODE_NIBBLES = """
{
.reg .b32 low, high, x, y, z, bias;
mov.b32 bias, 0x64806480;
and.b32 low, $4, 0x77777777;
shr.u32 high, $4, 1;
lop3.b32 high, high, 0x44444444, 0x32103210, 0xEA;
prmt.b32 x, $5, $9, low;
prmt.b32 y, $13, $17, low;
prmt.b32 z, x, y, high;
prmt.b32 $0, z, 0x64646464, 0x4240;
prmt.b32 $2, z, 0x64646464, 0x4341;
shr.u32 low, low, 16;
shr.u32 high, high, 16;
prmt.b32 x, $5, $9, low;
prmt.b32 y, $13, $17, low;
prmt.b32 z, x, y, high;
prmt.b32 $1, z, 0x64646464, 0x4240;
prmt.b32 $3, z, 0x64646464, 0x4341;
sub.rn.f16x2 $0, $0, bias;
sub.rn.f16x2 $1, $1, bias;
sub.rn.f16x2 $2, $2, bias;
sub.rn.f16x2 $3, $3, bias;
}
"""
_DECODE_NIBBLES: tl.constexpr = tl.constexpr(DECODE_NIBBLES)
_REGISTERS: tl.constexpr = tl.constexpr("=&r,=&r,=&r,=&r" + ",r" * 17)


@triton.jit
def nibbles(held, words):
    # two tensors of halves: integers of the lower and of the higher nibbles of bytes `held`
    return tl.inline_asm_elementwise(
        _DECODE_NIBBLES, _REGISTERS,
        [held, tl.load(words), tl.load(words + 1), tl.load(words + 2), tl.load(words + 3)],
        dtype=(tl.float16, tl.float16), is_pure=True, pack=4,
    )  # fmt: skip


@triton.jit
def product_kernel(
    a, b, c, table_a, table_b, words_a, words_b, m, n, k, a_width, b_width, a_stride, b_stride,
    scale, A_BITS: tl.constexpr, B_BITS: tl.constexpr, A_NIBBLES: tl.constexpr,
    B_NIBBLES: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    SPLIT: tl.constexpr,
):  # fmt: skip
    # a (m, k): codes, or halves if A_BITS = 0; b (k, n): codes; rows of a_width and b_width bytes
    # c (SPLIT, m, n) float32: sums over SPLIT parts of k; tables: 256 halves
    # words (4,): integers of 4-bit codes as in DECODE_NIBBLES, instead of a table, if NIBBLES
    row = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    first = tl.program_id(0) * BLOCK_N
    part = tl.program_id(2)
    span = tl.cdiv(tl.cdiv(k, SPLIT), BLOCK_K) * BLOCK_K
    kind: tl.constexpr = table_b.dtype.element_ty
    in_rows = (row < m)[:, None]
    # of nibbles, even and odd columns apart: putting them together here would take a third more
    HALF: tl.constexpr = BLOCK_N // 2
    even = tl.zeros([BLOCK_M, HALF], tl.float32)
    odd = tl.zeros([BLOCK_M, HALF], tl.float32)
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for start in range(part * span, min(k, part * span + span), BLOCK_K):
        inner = start + tl.arange(0, BLOCK_K)
        # zeros of the left operand end the sum at k, whatever the right one holds there
        inside = in_rows & (inner < k)[None, :]
        if A_BITS == 0:
            place = row.to(tl.int64)[:, None] * a_stride + inner[None, :]
            left = tl.load(a + place, inside, other=0.0)
        elif A_NIBBLES:
            byte = start // 2 + tl.arange(0, BLOCK_K // 2)
            place = row.to(tl.int64)[:, None] * a_stride + byte[None, :]
            held = tl.load(a + place, in_rows & (byte < a_width)[None, :], other=0)
            left_even, left_odd = nibbles(held, words_a)
            left = tl.where(inside, tl.interleave(left_even, left_odd), 0.0)
        else:
            codes = code_tile(a, a_stride, row, start, m, k, a_width, A_BITS, BLOCK_M, BLOCK_K)
            left = tl.load(table_a + codes, inside, other=0.0)
        if B_NIBBLES:
            byte = first // 2 + tl.arange(0, HALF)
            there = (inner < k)[:, None] & (byte < b_width)[None, :]
            place = inner.to(tl.int64)[:, None] * b_stride + byte[None, :]
            right_even, right_odd = nibbles(tl.load(b + place, there, other=0), words_b)
            even = tl.dot(left, right_even.to(kind), even)
            odd = tl.dot(left, right_odd.to(kind), odd)
        else:
            codes = code_tile(b, b_stride, inner, first, k, n, b_width, B_BITS, BLOCK_K, BLOCK_N)
            total = tl.dot(left, tl.load(table_b + codes), total)
    if B_NIBBLES:
        total = tl.interleave(even, odd)
    column = first + tl.arange(0, BLOCK_N)
    place = (part.to(tl.int64) * m + row)[:, None] * n + column[None, :]
    tl.store(c + place, total * scale, in_rows & (column < n)[None, :])


@triton.jit
def int8_kernel(
    a, b, c, m, n, k, a_stride, b_stride, c_stride, scale,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    # c (m, n) float32 = scale a b^T; a (m, k), b (n, k) int8, k a multiple of BLOCK_K
    # GROUP rows of tiles run together: their operands stay in the second-level cache
    tiles_m, tiles_n = tl.cdiv(m, BLOCK_M), tl.cdiv(n, BLOCK_N)
    tile = tl.program_id(0)
    group = tile // (GROUP * tiles_n)
    height = min(tiles_m - group * GROUP, GROUP)
    within = tile % (GROUP * tiles_n)
    row = (group * GROUP + within % height) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = (within // height) * BLOCK_N + tl.arange(0, BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    # rows beyond the matrix repeat others: their sums are not stored
    a_place = a + (row % m).to(tl.int64)[:, None] * a_stride + inner[None, :]
    b_place = b + (column % n).to(tl.int64)[None, :] * b_stride + inner[:, None]
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.int32)
    for _ in range(0, k, BLOCK_K):
        total = tl.dot(tl.load(a_place), tl.load(b_place), total, out_dtype=tl.int32)
        a_place += BLOCK_K
        b_place += BLOCK_K
    place = c + row.to(tl.int64)[:, None] * c_stride + column[None, :]
    inside = (row < m)[:, None] & (column < n)[None, :]
    tl.store(place, total.to(tl.float32) * scale, inside)
