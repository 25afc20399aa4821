"""Few float rows times a coded matrix: decode 16 entries by one permute, multiply, add (AVX512)."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from quantlab import _threads
from quantlab._jit import kernel
from quantlab._llvm import BYTE, LANE, call, load
from quantlab.codes import CodedMatrix
from quantlab.codes.kernels import unpack_row_kernel

#: Columns and rows of B that one step decodes: 4 vectors of sums for 4 rows.
_COLUMNS, _ROWS = 64, 4
_FLOATS = ir.VectorType(ir.FloatType(), 16)


def multiply_fused(a: NDArray[np.float32], b: CodedMatrix) -> NDArray[np.float32]:
    """a (m, k) times b (k, n) of at most 16 levels, in float32; reads the codes once."""
    (m, k), n = a.shape, b.shape[1]
    table = np.zeros(16, np.float32)
    table[: b.codebook.n_levels] = b.codebook.centers
    padded = np.zeros((m, -(-k // _ROWS) * _ROWS), np.float32)
    padded[:, :k] = a
    c = np.zeros((m, -(-n // _COLUMNS) * _COLUMNS), np.float32)

    def columns(span: tuple[int, int]) -> None:
        _fused_kernel(padded, b._data, b._held_bits, table, k, n, *span, c)

    _threads.for_each(columns, _threads.split(n, 4 * _threads.count(), _COLUMNS))
    if b._held_bits == 4:  # each 32 columns came as the even, then the odd ones
        c = c.reshape(m, -1, 2, 16).swapaxes(2, 3).reshape(m, -1)
    c = c[:, :n]
    if b.scale is not None:  # by columns, or one for all
        c = c * b.scale
    return np.ascontiguousarray(c)


@intrinsic(prefer_literal=True)
def _add_rows(typingctx, nibbles, sums, codes, stride, factors, table):  # type: ignore[no-untyped-def]
    """sums (64,) += factors (4,) @ table[codes (4, 64)], float32; addresses.

    A byte a code; or nibbles, whose sums are in order of columns 0, 2, .. 30, 1, 3, .. 31, 32, ...
    """

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        pointer = BYTE.as_pointer()
        sums, codes, stride, factors, table = (
            value if i == 2 else builder.inttoptr(value, pointer)
            for i, value in enumerate(args[1:])
        )
        at = lambda base, offset: builder.gep(  # noqa: E731
            base, [ir.Constant(stride.type, offset) if isinstance(offset, int) else offset]
        )
        lut = load(builder, table, _FLOATS)
        totals = [load(builder, at(sums, 64 * v), _FLOATS) for v in range(4)]
        for r in range(_ROWS):
            row = at(codes, builder.mul(stride, ir.Constant(stride.type, r)))
            factor = load(builder, at(factors, 4 * r), ir.FloatType())
            first = builder.insert_element(
                ir.Constant(_FLOATS, ir.Undefined), factor, ir.Constant(LANE, 0)
            )
            spread = builder.shuffle_vector(
                first, first, ir.Constant(ir.VectorType(LANE, 16), [0] * 16)
            )
            wide = ir.VectorType(LANE, 16)
            if nibbles.literal_value:  # the permute ignores all but an index's four lowest bits
                pairs = [
                    builder.zext(load(builder, at(row, 16 * v), ir.VectorType(BYTE, 16)), wide)
                    for v in (0, 1)
                ]
                shift = ir.Constant(wide, [4] * 16)
                indices = [x for pair in pairs for x in (pair, builder.lshr(pair, shift))]
            else:
                indices = [
                    builder.zext(load(builder, at(row, 16 * v), ir.VectorType(BYTE, 16)), wide)
                    for v in range(4)
                ]
            for v, index in enumerate(indices):
                found = call(builder, "llvm.x86.avx512.permvar.sf.512", _FLOATS, [lut, index])
                totals[v] = call(builder, "llvm.fma.v16f32", _FLOATS, [spread, found, totals[v]])
        for v in range(4):
            place = builder.bitcast(at(sums, 64 * v), _FLOATS.as_pointer())
            builder.store(totals[v], place, align=4)
        return context.get_dummy_value()

    return types.void(nibbles, *[types.intp] * 5), codegen


@kernel
def _fused_kernel(a, codes, bits, table, k, n, left, right, c):  # type: ignore[no-untyped-def]
    # a (m, k padded to 4), codes (k, bytes), c (m, n padded to 64); columns left .. right - 1
    held = 4 if bits == 4 else 8  # bits of a code in the rows below; others are unpacked first
    block_bytes = 8 * held
    blocks = (right - left + 63) // 64
    buffer = np.zeros((4, blocks * block_bytes), np.uint8)
    start, stop = left * bits // 8, (right * bits + 7) // 8
    lut, a_base, c_base = table.ctypes.data, a.ctypes.data, c.ctypes.data
    # the last block may be short, so that the buffer stands in for it throughout
    whole = (right - left) // 64 if bits == held else 0
    for first in range(0, k, 4):
        rows = min(4, k - first)
        in_place = whole if rows == 4 else 0
        if in_place < blocks:
            for r in range(rows):
                if bits == held:
                    used = in_place * block_bytes
                    buffer[r, used : stop - start] = codes[first + r, start + used : stop]
                else:
                    unpack_row_kernel(codes[first + r], bits, left, buffer[r, : right - left])
        for block in range(blocks):
            source, stride = buffer.ctypes.data + block_bytes * block, buffer.shape[1]
            if block < in_place:
                stride = codes.shape[1]
                source = codes.ctypes.data + first * stride + start + block_bytes * block
            for i in range(a.shape[0]):
                sums = c_base + 4 * (i * c.shape[1] + left + 64 * block)
                factors = a_base + 4 * (i * a.shape[1] + first)
                if held == 4:
                    _add_rows(True, sums, source, stride, factors, lut)
                else:
                    _add_rows(False, sums, source, stride, factors, lut)
