"""Float rows times a coded matrix: decode 16 entries by one permute, multiply, add (AVX512).

A vector of 64 bytes of a row of B, a line, holds 16 lanes of 32 bits. Shifted right by v codes,
each lane has its code v in the lowest bits, which are all that the permute looks at: 16 floats of
the codebook at once, for the columns 32 / bits apart. The sums of a line lie in that order:

    sums[row, line, v, lane]      column (512 / bits) line + (32 / bits) lane + v

8 rows of B are read at a time, line by line; their products, decoded once for up to 6 rows of A,
are summed in registers and then added to the sums. What rows of B that share scales have summed is
scaled, brought into the columns' order and added to C.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

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
from quantlab.gemm.permutes import shuffle, zipped

#: Multiply-adds from which a second thread helps.
THREADED = 1 << 24
_LINE = 64
#: Rows of B whose products are summed in registers: more would share sets of the nearest cache.
_GROUP = 8
#: Most rows of B whose sums are rounded as one, before they are added to the others'.
_SPAN = 1024
#: Rows of A of a tile: 6 by 4 vectors of sums in registers; up to 3 by 8.
_TILE_ROWS, _FEW = 6, 3
_FLOATS, _LANES = ir.VectorType(ir.FloatType(), 16), ir.VectorType(LANE, 16)


def multiply_fused(a: NDArray[np.float32], b: CodedMatrix) -> NDArray[np.float32]:
    """a (m, k) times b (k, n) of at most 16 levels, in float32; reads the codes once."""
    (m, k), n, bits = a.shape, b.shape[1], b._held_bits
    held = bits if 8 % bits == 0 else 8  # bits of a code that is multiplied: 3 bits are unpacked
    # the permute takes four bits of an index, those of the next code too: a short table repeats
    table = np.zeros(1 << min(held, 4), np.float32)
    table[: b.codebook.n_levels] = b.codebook.centers
    table = np.resize(table, 16)
    columns = 8 * _LINE // held
    factors = np.ones((1, 1), np.float32) if b.scale is None else b.scale
    scale, shared = factors, k if len(factors) == 1 else b.group
    if n % columns or factors.shape[1] != n:  # in whole lines
        scale = np.ones((len(factors), -(-n // columns) * columns), np.float32)
        scale[:, :n] = factors
    rows, c = np.ascontiguousarray(a), np.zeros((m, n), np.float32)

    def multiply(span: tuple[int, int]) -> None:
        _fused_kernel(held)(rows, b._data, bits, table, scale, shared, *span, c)

    parts = 2 * _threads.count() if m * k * n >= THREADED else 1
    _threads.for_each(multiply, _threads.split(n, parts, columns))
    return c


def _spread(builder: Any, value: Any) -> Any:
    """16 lanes of a number."""
    vector = ir.Constant(ir.VectorType(value.type, 16), ir.Undefined)
    single = builder.insert_element(vector, value, ir.Constant(LANE, 0))
    return builder.shuffle_vector(single, single, ir.Constant(_LANES, [0] * 16))


def _multiply_add(
    builder: Any, lut: Any, held: Any, which: tuple[int, int], places: list, totals: list
) -> list:
    """totals (row, v) + the rows' factors, by code first + v of all lanes, decoded."""
    (bits, first), vectors = which, len(totals) // len(places)
    following = list(totals)

    def entry(v: int) -> Any:
        code = builder.lshr(held, ir.Constant(_LANES, [bits * (first + v)] * 16))
        return call(builder, "llvm.x86.avx512.permvar.sf.512", _FLOATS, [lut, code])

    def factor(r: int) -> Any:
        return _spread(builder, load(builder, places[r], ir.FloatType()))

    def add(r: int, v: int, x: Any, y: Any) -> None:
        i = r * vectors + v
        following[i] = call(builder, "llvm.fma.v16f32", _FLOATS, [x, y, following[i]])

    # in this order registers hold the sums beside a few factors, or else four vectors of B
    if len(places) <= _FEW:
        factors = [factor(r) for r in range(len(places))]
        for v in range(vectors):
            y = entry(v)
            for r, x in enumerate(factors):
                add(r, v, x, y)
    else:
        entries = [entry(v) for v in range(vectors)]
        for r in range(len(places)):
            x = factor(r)
            for v, y in enumerate(entries):
                add(r, v, x, y)
    return following


@intrinsic(prefer_literal=True)
def _add_lines(typingctx, bits, height, a, a_stride, codes, stride, lines, lut, sums, row_bytes):  # type: ignore[no-untyped-def]
    """sums (height, lines, 512 / bits) += A (height, 8) by lut[codes (8, 64 lines)].

    Addresses, and the rows' bytes.
    """
    if not all(isinstance(t, types.Literal) for t in (bits, height)):
        return None
    width, rows = bits.literal_value, height.literal_value
    vectors = min(32 // width, 8 if rows <= _FEW else 4)
    # registers hold the sums of as many of a lane's codes; the others take their turns
    halves = min(2, 32 // width // vectors)
    turns = 32 // width // vectors // halves

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        a, a_stride, codes, stride, lines, table, sums, row_bytes = args[2:]
        constant = lambda value: ir.Constant(lines.type, value)  # noqa: E731

        def at(address: Any, *offsets: Any) -> Any:
            for offset in offsets:
                address = builder.add(
                    address, constant(offset) if isinstance(offset, int) else offset
                )
            return builder.inttoptr(address, BYTE.as_pointer())

        def times(value: Any, count: int) -> Any:
            return builder.mul(value, constant(count))

        lut = load(builder, at(table), _FLOATS)
        before = builder.block
        loop, done = builder.append_basic_block("lines"), builder.append_basic_block("done")
        builder.branch(loop)  # lines >= 1
        builder.position_at_end(loop)
        index = builder.phi(lines.type)
        index.add_incoming(constant(0), before)
        line, turn = builder.udiv(index, constant(turns)), builder.urem(index, constant(turns))
        skip = _spread(builder, builder.trunc(times(turn, width * vectors * halves), LANE))
        for half in range(halves):
            totals = [ir.Constant(_FLOATS, [0.0] * 16)] * (rows * vectors)
            for step in range(_GROUP):
                place = at(codes, times(line, _LINE), times(stride, step))
                held = load(builder, place, _LANES)
                if not half:
                    fetch(builder, at(codes, times(line, _LINE), times(stride, step + _GROUP)))
                held = builder.lshr(held, skip) if turns > 1 else held
                places = [at(a, times(a_stride, r), 4 * step) for r in range(rows)]
                first = half * vectors
                totals = _multiply_add(builder, lut, held, (width, first), places, totals)
            for i, total in enumerate(totals):
                r, v = divmod(i, vectors)
                of_line = times(index, 64 * vectors * halves)
                place = at(sums, of_line, times(row_bytes, r), 64 * (half * vectors + v))
                added = builder.fadd(load(builder, place, _FLOATS, 64), total)
                builder.store(added, builder.bitcast(place, _FLOATS.as_pointer()), align=64)
        increased = builder.add(index, constant(1))
        index.add_incoming(increased, loop)
        builder.cbranch(builder.icmp_signed("<", increased, times(lines, turns)), loop, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(bits, height, *[types.intp] * 8), codegen


@intrinsic(prefer_literal=True)
def _finish_line(typingctx, bits, sums, scale, out):  # type: ignore[no-untyped-def]
    """out += scale times one line's sums, both in order of columns; addresses."""
    if not isinstance(bits, types.Literal):
        return None
    vectors = 32 // bits.literal_value

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        sums, scale, out = (builder.inttoptr(x, BYTE.as_pointer()) for x in args[1:])

        def at(address: Any, v: int) -> Any:
            return builder.gep(address, [ir.Constant(ir.IntType(64), _LINE * v)])

        values = [load(builder, at(sums, v), _FLOATS) for v in range(vectors)]
        # interleaving the lower half with the upper one moves the highest bit of a place's number
        # to its end: v moves behind the lane
        for _ in range(vectors.bit_length() - 1):
            pairs = list(zip(values[: vectors // 2], values[vectors // 2 :], strict=True))
            values = [shuffle(builder, *pair, zipped(16, h)) for pair in pairs for h in (0, 1)]
        for v, value in enumerate(values):
            factors, before = (load(builder, at(base, v), _FLOATS) for base in (scale, out))
            added = call(builder, "llvm.fma.v16f32", _FLOATS, [value, factors, before])
            builder.store(added, builder.bitcast(at(out, v), _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(bits, *[types.intp] * 3), codegen


@cache
def _fused_kernel(held: int) -> Callable[..., None]:
    """Kernel for codes of 1, 2, 4 or 8 bits."""
    per_line, group, span, tile_rows = 8 * _LINE // held, _GROUP, _SPAN, _TILE_ROWS

    @kernel
    def fused_kernel(a, codes, bits, table, scale, shared, left, right, c):  # type: ignore[no-untyped-def]
        # a (m, k), codes (k, bytes), scale (k / shared, n in whole lines), c (m, n), zeros
        # columns left .. right - 1, from a whole line
        (m, k), row_bytes = a.shape, codes.shape[1]
        lines = (right - left + per_line - 1) // per_line
        whole = (right - left) // per_line
        room = np.empty(m * lines * per_line + 16, np.float32)
        sums = room[-room.ctypes.data % 64 // 4 :]  # its address alone would not keep it
        sums_stride = 4 * lines * per_line
        start, stop = left * held // 8, (right * held + 7) // 8
        last_codes = np.zeros((group, 64 * lines), np.uint8)
        last_rows = np.zeros((m, group), np.float32)
        rest, lut = np.empty(per_line, np.float32), table.ctypes.data
        together = span if shared % span == 0 or shared == k else shared
        for begin in range(0, k, together):
            end = min(k, begin + together)
            sums[:] = 0
            for first in range(begin, end, group):
                steps = min(group, end - first)
                at = first * row_bytes + start
                source, stride = codes.ctypes.data + at, row_bytes
                inside = at + (group - 1) * row_bytes + 64 * lines <= codes.size
                if bits != held or steps < group or not inside:
                    # codes of 3 bits; or the last vectors would end behind the codes
                    for step in range(steps):
                        if bits != held:
                            unpacked = last_codes[step, : right - left]
                            unpack_row_kernel(codes[first + step], bits, left, unpacked)
                        else:
                            last_codes[step, : stop - start] = codes[first + step, start:stop]
                    source, stride = last_codes.ctypes.data, last_codes.shape[1]
                x, a_stride = a.ctypes.data + 4 * first, 4 * k
                if steps < group:
                    last_rows[:, :steps] = a[:, first:end]
                    last_rows[:, steps:] = 0
                    x, a_stride = last_rows.ctypes.data, 4 * group
                top = 0
                for tiles in range((m + tile_rows - 1) // tile_rows, 0, -1):
                    height = (m - top + tiles - 1) // tiles
                    y = sums.ctypes.data + top * sums_stride
                    if height == 1:
                        _add_lines(held, 1, x, a_stride, source, stride, lines, lut, y, sums_stride)
                    elif height == 2:
                        _add_lines(held, 2, x, a_stride, source, stride, lines, lut, y, sums_stride)
                    elif height == 3:
                        _add_lines(held, 3, x, a_stride, source, stride, lines, lut, y, sums_stride)
                    elif height == 4:
                        _add_lines(held, 4, x, a_stride, source, stride, lines, lut, y, sums_stride)
                    elif height == 5:
                        _add_lines(held, 5, x, a_stride, source, stride, lines, lut, y, sums_stride)
                    else:
                        _add_lines(held, 6, x, a_stride, source, stride, lines, lut, y, sums_stride)
                    x += height * a_stride
                    top += height
            factors = scale[begin // shared].ctypes.data + 4 * left
            for i in range(m):
                for line in range(lines):
                    column = left + line * per_line
                    y = sums.ctypes.data + i * sums_stride + 4 * line * per_line
                    own = factors + 4 * line * per_line
                    if line < whole:
                        to = c.ctypes.data + 4 * (i * c.shape[1] + column)
                        _finish_line(held, y, own, to)
                    else:
                        rest[:] = 0
                        _finish_line(held, y, own, rest.ctypes.data)
                        c[i, column:right] += rest[: right - column]

    return fused_kernel
