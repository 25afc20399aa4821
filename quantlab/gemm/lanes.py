"""Few rows times an operand that stays: codes along the inner index, one look-up for 64 entries.

`CodedMatrix.prepare` lays B's codes out once, by columns: a cache line holds 64 bytes of one
column's codes, and eight columns alternate, so that a product reads memory from front to back:

    lanes[block, step, column, byte]      column 8 block + column of B, shape (n / 8, steps, 8, 64)

Up to 16 levels, a byte holds the codes of entries 128 step + byte (low nibble) and 64 further on;
beyond, the code of entry 64 step + byte. A is bytes along the inner index as well, so that a step
is a look-up (AVX512-VBMI) and a dot product of bytes (VNNI) in registers; the lanes of the sums are
added up at the end. The integers are those of every other int8 product, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from quantlab import _threads
from quantlab._jit import kernel
from quantlab._llvm import BYTE, LANE, call, fetch, load
from quantlab.codes import CodedMatrix
from quantlab.codes.kernels import unpack_row_kernel
from quantlab.gemm import vector
from quantlab.gemm.cpu_kernels import integer_kernels
from quantlab.gemm.grid import Snapped

#: Most levels that one look-up decodes.
MOST_LEVELS = 64
#: Columns of a block.
_COLUMNS = 8
_LINE = 64
#: Bytes ahead of the codes in hand that memory is asked for: by itself the processor asks too late.
_AHEAD = 12288
#: Multiply-adds from which a second thread helps: fewer than elsewhere, as it waits for memory.
THREADED = 1 << 21


@cache
def here() -> bool:
    """Whether this processor multiplies by lanes."""
    return vector.best_tile() == "avx512vnni" and vector.has_byte_permute()


def lay_out(coded: CodedMatrix) -> NDArray[np.uint8] | None:
    """Codes (k, n) laid out for few rows; None where products gain nothing by it."""
    if coded.codebook.n_levels > MOST_LEVELS or not here():
        return None
    (k, n), nibbles = coded.shape, coded.codebook.n_levels <= 16
    depth = 2 * _LINE if nibbles else _LINE
    lanes = np.zeros((-(-n // _COLUMNS), -(-k // depth), _COLUMNS, _LINE), np.uint8)

    def lay(span: tuple[int, int]) -> None:
        _lay_kernel(coded._data, coded._held_bits, nibbles, *span, k, n, lanes)

    _threads.for_each(lay, _threads.split(lanes.shape[1], 4 * _threads.count()))
    return lanes


def multiply_lanes(
    a: CodedMatrix, b: CodedMatrix, grids: tuple[Snapped, Snapped],
    row_scale: NDArray[np.float64], column_scale: NDArray[np.float64],
) -> NDArray[np.float32]:  # fmt: skip
    """C = a b, float32 (m, n), of at most 16 rows by a prepared b, on grids of bytes."""
    (m, k), n, lanes = a.shape, b.shape[1], b._lanes
    assert lanes is not None
    nibbles = b.codebook.n_levels <= 16
    decoded = np.empty((m, lanes.shape[1] * _LINE * (2 if nibbles else 1)), np.int8)
    sums = np.empty(m, np.int32)
    decode_rows = integer_kernels("avx512vnni", False, MOST_LEVELS).decode_rows
    decode_rows(a._data, a._held_bits, grids[0].signed, 0, m, k, decoded, sums)
    table = grids[1].unsigned[:MOST_LEVELS]
    c = np.empty((m, n), np.float32)
    scale = grids[0].scale * grids[1].scale

    def multiply(span: tuple[int, int]) -> None:
        _lanes_kernel(nibbles)(
            decoded, sums, lanes, table, span, n, scale, row_scale, column_scale, c
        )

    parts = 4 * _threads.count() if m * k * n >= THREADED else 1
    _threads.for_each(multiply, _threads.split(lanes.shape[0], parts))
    return c


@kernel
def _lay_kernel(codes, bits, nibbles, start, stop, k, n, lanes):  # type: ignore[no-untyped-def]
    # codes (k, bytes); steps start .. stop - 1 of lanes
    rows = np.zeros((2, n), np.uint8)
    for step in range(start, stop):
        for byte in range(_LINE):
            upper = step * (2 * _LINE if nibbles else _LINE) + byte
            rows[:] = 0
            if upper < k:
                unpack_row_kernel(codes[upper], bits, 0, rows[0])
            if nibbles and upper + _LINE < k:
                unpack_row_kernel(codes[upper + _LINE], bits, 0, rows[1])
            for j in range(n):
                lanes[j // _COLUMNS, step, j % _COLUMNS, byte] = rows[0, j] | (rows[1, j] << 4)


@intrinsic(prefer_literal=True)
def _lanes_dot(typingctx, nibbles, rows, columns, a, row_bytes, lanes, steps, table, out):  # type: ignore[no-untyped-def]
    """out (rows, 8) int32 = A (rows, entries) int8 by the next columns' table[codes]; addresses."""
    if not all(isinstance(t, types.Literal) for t in (nibbles, rows, columns)):
        return None
    height, width = rows.literal_value, columns.literal_value
    halves = 2 if nibbles.literal_value else 1
    sums_type, bytes_type = ir.VectorType(LANE, 16), ir.VectorType(BYTE, _LINE)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        _, _, _, a_address, stride, b_address, n_steps, table_address, out_address = args
        pointer = BYTE.as_pointer()
        a_base, b_base, table_base, out_base = (
            builder.inttoptr(x, pointer) for x in (a_address, b_address, table_address, out_address)
        )
        constant = lambda value: ir.Constant(n_steps.type, value)  # noqa: E731
        zero = ir.Constant(sums_type, [0] * 16)
        lut = load(builder, table_base, bytes_type)
        before = builder.block
        loop, done = builder.append_basic_block("lanes"), builder.append_basic_block("done")
        builder.branch(loop)  # steps >= 1
        builder.position_at_end(loop)
        index = builder.phi(n_steps.type)
        index.add_incoming(constant(0), before)
        sums = [builder.phi(sums_type) for _ in range(height * width)]
        for value in sums:
            value.add_incoming(zero, before)
        following = list(sums)
        a_at = builder.mul(index, constant(_LINE * halves))
        b_at = builder.mul(index, constant(_LINE * _COLUMNS))
        for half in range(halves):  # one after the other: the sums leave few registers
            offset = builder.add(a_at, constant(half * _LINE))
            a_vectors = [
                load(
                    builder,
                    builder.gep(a_base, [builder.add(offset, builder.mul(stride, constant(r)))]),
                    sums_type,
                )
                for r in range(height)
            ]
            for column in range(width):
                place = builder.gep(b_base, [builder.add(b_at, constant(_LINE * column))])
                codes = load(builder, place, sums_type)
                if not half:
                    later = ir.Constant(ir.IntType(64), _AHEAD)
                    fetch(builder, builder.gep(place, [later]))
                # the look-up ignores an index's two upper bits, the table repeats the next two
                if half:
                    codes = builder.lshr(codes, ir.Constant(sums_type, [4] * 16))
                found = call(
                    builder, "llvm.x86.avx512.permvar.qi.512", bytes_type,
                    [lut, builder.bitcast(codes, bytes_type)],
                )  # fmt: skip
                numbers = builder.bitcast(found, sums_type)
                for r in range(height):
                    i = r * width + column
                    following[i] = call(
                        builder, "llvm.x86.avx512.vpdpbusd.512", sums_type,
                        [following[i], numbers, a_vectors[r]],
                    )  # fmt: skip
        increased = builder.add(index, constant(1))
        index.add_incoming(increased, loop)
        for value, new in zip(sums, following, strict=True):
            value.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", increased, n_steps), loop, done)
        builder.position_at_end(done)
        for i, value in enumerate(following):
            total = call(builder, "llvm.vector.reduce.add.v16i32", LANE, [value])
            place = builder.gep(out_base, [constant(4 * (i // width * _COLUMNS + i % width))])
            builder.store(total, builder.bitcast(place, LANE.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(nibbles, rows, columns, *[types.intp] * 6), codegen


@cache
def _lanes_kernel(nibbles: bool) -> Callable[..., None]:
    """Kernel for codes of up to 4 bits, two a byte, or of a byte each."""

    @kernel
    def lanes_kernel(a, a_sums, lanes, table, span, n, scale, row_scale, column_scale, c):  # type: ignore[no-untyped-def]
        # a (m, stride) int8, zeros behind k; table (64,) uint8, offset by 128; c (m, n)
        m, steps = a.shape[0], lanes.shape[1]
        sums = np.empty((4, _COLUMNS), np.int32)
        a_base, stride, lut, out = a.ctypes.data, a.shape[1], table.ctypes.data, sums.ctypes.data
        block_bytes = steps * _COLUMNS * _LINE
        for block in range(*span):
            at = lanes.ctypes.data + block * block_bytes
            left = block * _COLUMNS
            i = 0
            while i < m:
                # what registers hold the sums of: a row or two by eight columns, or four by four
                height = min(m - i, 4)
                row = a_base + i * stride
                if height == 1:
                    _lanes_dot(nibbles, 1, 8, row, stride, at, steps, lut, out)
                elif height == 2:
                    _lanes_dot(nibbles, 2, 8, row, stride, at, steps, lut, out)
                else:
                    for column in (0, 4):
                        place, into = at + column * _LINE, out + 4 * column
                        if height == 3:
                            _lanes_dot(nibbles, 3, 4, row, stride, place, steps, lut, into)
                        else:
                            _lanes_dot(nibbles, 4, 4, row, stride, place, steps, lut, into)
                for r in range(height):
                    factor = scale * row_scale[i + r]
                    for column in range(min(_COLUMNS, n - left)):
                        exact = np.float64(sums[r, column] - 128 * a_sums[i + r])
                        c[i + r, left + column] = exact * factor * column_scale[left + column]
                i += height

    return lanes_kernel
