"""Triton kernels of products: packed codes decoded on chip, and matrices of bytes. No checks.

Scales of groups along k: scales_a (m, k / A_GROUP), scales_b (k / B_GROUP, n), of strides sa and
sb; a tile of k lies within a group, whose sums are scaled before they are added. GROUP 0: none.
"""

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
def scaled(
    sums, scales_a, scales_b, row, column, start, m, n, sa, sb, A_GROUP: tl.constexpr,
    B_GROUP: tl.constexpr,
):  # fmt: skip
    # float32 sums over a tile of k from `start`, times its groups' scales; zero outside (m, n)
    sums = sums.to(tl.float32)
    if A_GROUP > 0:
        place = scales_a + row.to(tl.int64) * sa + start // A_GROUP
        sums *= tl.load(place, row < m, other=0.0)[:, None]
    if B_GROUP > 0:
        place = scales_b + start // B_GROUP * sb + column
        sums *= tl.load(place, column < n, other=0.0)[None, :]
    return sums


@triton.jit
def product_kernel(
    a, b, c, table_a, table_b, words_a, words_b, scales_a, scales_b, m, n, k, a_width, b_width,
    a_stride, b_stride, sa, sb, scale, A_GROUP: tl.constexpr, B_GROUP: tl.constexpr,
    A_BITS: tl.constexpr, B_BITS: tl.constexpr, A_NIBBLES: tl.constexpr, B_NIBBLES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, SPLIT: tl.constexpr,
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
            if A_GROUP == 0 and B_GROUP == 0:
                even = tl.dot(left, right_even.to(kind), even)
                odd = tl.dot(left, right_odd.to(kind), odd)
            else:
                column = first + 2 * tl.arange(0, HALF)
                even += scaled(
                    tl.dot(left, right_even.to(kind)), scales_a, scales_b, row, column, start, m, n,
                    sa, sb, A_GROUP, B_GROUP,
                )  # fmt: skip
                odd += scaled(
                    tl.dot(left, right_odd.to(kind)), scales_a, scales_b, row, column + 1, start, m,
                    n, sa, sb, A_GROUP, B_GROUP,
                )  # fmt: skip
        else:
            codes = code_tile(b, b_stride, inner, first, k, n, b_width, B_BITS, BLOCK_K, BLOCK_N)
            right = tl.load(table_b + codes)
            if A_GROUP == 0 and B_GROUP == 0:
                total = tl.dot(left, right, total)
            else:
                total += scaled(
                    tl.dot(left, right), scales_a, scales_b, row, first + tl.arange(0, BLOCK_N),
                    start, m, n, sa, sb, A_GROUP, B_GROUP,
                )  # fmt: skip
    if B_NIBBLES:
        total = tl.interleave(even, odd)
    column = first + tl.arange(0, BLOCK_N)
    place = (part.to(tl.int64) * m + row)[:, None] * n + column[None, :]
    tl.store(c + place, total * scale, in_rows & (column < n)[None, :])


@triton.jit
def bytes_kernel(
    a, b, c, scales_a, scales_b, m, n, k, a_stride, b_stride, c_stride, sa, sb, scale,
    A_GROUP: tl.constexpr, B_GROUP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr, BAND: tl.constexpr,
):  # fmt: skip
    # c (m, n) float32 = scale a b^T; a (m, k), b (n, k) int8 or FP8, zero from k to whole tiles
    # BAND rows of tiles run together: their operands stay in the second-level cache
    tiles_m, tiles_n = tl.cdiv(m, BLOCK_M), tl.cdiv(n, BLOCK_N)
    tile = tl.program_id(0)
    band = tile // (BAND * tiles_n)
    height = min(tiles_m - band * BAND, BAND)
    within = tile % (BAND * tiles_n)
    row = (band * BAND + within % height) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = (within // height) * BLOCK_N + tl.arange(0, BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    # rows beyond the matrix repeat others: their sums are not stored
    a_place = a + (row % m).to(tl.int64)[:, None] * a_stride + inner[None, :]
    b_place = b + (column % n).to(tl.int64)[None, :] * b_stride + inner[:, None]
    INTEGERS: tl.constexpr = a.dtype.element_ty == tl.int8
    KIND: tl.constexpr = tl.int32 if INTEGERS else tl.float32
    # Hopper sums products of FP8 in fewer bits: for a tile at most, then in float32
    ROUGH: tl.constexpr = None if INTEGERS else BLOCK_K
    GROUPED: tl.constexpr = A_GROUP + B_GROUP > 0
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32 if GROUPED else KIND)
    for start in range(0, k, BLOCK_K):
        left, right = tl.load(a_place), tl.load(b_place)
        if GROUPED:
            total += scaled(
                tl.dot(left, right, out_dtype=KIND), scales_a, scales_b, row, column, start, m, n,
                sa, sb, A_GROUP, B_GROUP,
            )  # fmt: skip
        else:
            total = tl.dot(left, right, total, out_dtype=KIND, max_num_imprecise_acc=ROUGH)
        a_place += BLOCK_K
        b_place += BLOCK_K
    place = c + row.to(tl.int64)[:, None] * c_stride + column[None, :]
    inside = (row < m)[:, None] & (column < n)[None, :]
    tl.store(place, total.to(tl.float32) * scale, inside)
