"""Codes to numbers by vector permutes (AVX512-VBMI): 64 look-ups an instruction, in registers.

Every argument but the literals is an address or a number of bytes. `size` is the table's, 64 or
256; 0 emits nothing, so that kernels for other processors hold no instruction they lack.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from quantlab._llvm import BYTE, LANE, call, load

_BYTES = ir.VectorType(BYTE, 64)


def _look_up(builder, table, size, planes, codes):  # type: ignore[no-untyped-def]
    """table[codes] of 64 bytes each, for one plane of 256 bytes or two (low bytes, high bytes)."""
    constant = lambda value: ir.Constant(ir.IntType(64), value)  # noqa: E731
    found = []
    for plane in range(planes):
        parts = [
            load(builder, builder.gep(table, [constant(256 * plane + start)]), _BYTES)
            for start in range(0, size, 64)
        ]
        if size == 64:
            name = "llvm.x86.avx512.permvar.qi.512"
            found.append(call(builder, name, _BYTES, [parts[0], codes]))
            continue
        name = "llvm.x86.avx512.vpermi2var.qi.512"  # 7 bits of the index; the sign tells the half
        lower, upper = (
            call(builder, name, _BYTES, [parts[i], codes, parts[i + 1]]) for i in (0, 2)
        )
        negative = builder.icmp_signed("<", codes, ir.Constant(_BYTES, [0] * 64))
        found.append(builder.select(negative, upper, lower))
    return found


def shuffle(builder, left, right, order):  # type: ignore[no-untyped-def]
    mask = ir.Constant(ir.VectorType(LANE, len(order)), order)
    return builder.shuffle_vector(left, right, mask)


def _rows(builder, source, stride, kind, count):  # type: ignore[no-untyped-def]
    offsets = [builder.mul(stride, ir.Constant(stride.type, r)) for r in range(count)]
    return [load(builder, builder.gep(source, [offset]), kind) for offset in offsets]


def _store(builder, vectors, out):  # type: ignore[no-untyped-def]
    for i, value in enumerate(vectors):
        place = builder.gep(out, [ir.Constant(ir.IntType(64), 64 * i)])
        builder.store(value, builder.bitcast(place, value.type.as_pointer()), align=1)


def zipped(width, high):  # type: ignore[no-untyped-def]
    """Order that interleaves the lower or upper halves of two vectors of `width` elements."""
    half = width // 2
    return [i + side for i in range(high * half, high * half + half) for side in (0, width)]


@intrinsic(prefer_literal=True)
def decode_group(typingctx, size, words, source, stride, table, out):  # type: ignore[no-untyped-def]
    """out (64 columns, group) = table[codes of one group of rows], a byte a code; addresses.

    Four rows of bytes or two of words; a table of `size` 64 or 256, words as two planes of bytes.
    """
    planes = 2 if words.literal_value else 1

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        if not size.literal_value:
            return context.get_dummy_value()  # unreachable, and unknown to other processors
        source, stride, table, out = _pointers(builder, args[2:])
        quarters = [
            found
            for row in _rows(builder, source, stride, _BYTES, 4 // planes)
            for found in _look_up(builder, table, size.literal_value, planes, row)
        ]
        halves = ir.VectorType(ir.IntType(16), 32)
        quads = []
        for high in (0, 1):
            pairs = [
                builder.bitcast(
                    shuffle(builder, quarters[i], quarters[i + 1], zipped(64, high)), halves
                )
                for i in (0, 2)
            ]
            quads += [shuffle(builder, pairs[0], pairs[1], zipped(32, h)) for h in (0, 1)]
        _store(builder, quads, out)
        return context.get_dummy_value()

    return types.void(size, words, *[types.intp] * 4), codegen


@intrinsic(prefer_literal=True)
def decode_packed_group(typingctx, size, source, stride, table, out):  # type: ignore[no-untyped-def]
    """`decode_group` for four rows of packed nibbles; 16 bytes stand in `table` four times."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        if not size.literal_value:
            return context.get_dummy_value()
        source, stride, table, out = _pointers(builder, args[1:])
        rows = _rows(builder, source, stride, ir.VectorType(BYTE, 32), 4)
        upper, lower = (shuffle(builder, rows[i], rows[i + 1], list(range(64))) for i in (0, 2))
        lanes = ir.VectorType(LANE, 16)
        quads = []
        for j in (0, 16):
            order = [i for c in range(j, j + 16) for i in (c, c + 32, c + 64, c + 96)]
            both = shuffle(builder, upper, lower, order)
            # the look-up ignores an index's two upper bits, the table's repeats the next two
            wide = builder.bitcast(both, lanes)
            shifted = builder.lshr(wide, ir.Constant(lanes, [4] * 16))
            even, odd = (
                builder.bitcast(
                    _look_up(builder, table, 64, 1, builder.bitcast(v, _BYTES))[0], lanes
                )
                for v in (wide, shifted)
            )
            quads += [shuffle(builder, even, odd, zipped(16, half)) for half in (0, 1)]
        _store(builder, quads, out)
        return context.get_dummy_value()

    return types.void(size, *[types.intp] * 4), codegen


@intrinsic(prefer_literal=True)
def decode_row(typingctx, size, words, source, table, out):  # type: ignore[no-untyped-def]
    """out (64,) bytes or words = table[64 codes], a byte a code; addresses."""
    planes = 2 if words.literal_value else 1

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        if not size.literal_value:
            return context.get_dummy_value()  # unreachable, and unknown to other processors
        source, table, out = _pointers(builder, args[2:])
        codes = load(builder, source, _BYTES)
        found = _look_up(builder, table, size.literal_value, planes, codes)
        if planes == 2:
            low, high = found
            found = [shuffle(builder, low, high, zipped(64, half)) for half in (0, 1)]
        _store(builder, found, out)
        return context.get_dummy_value()

    return types.void(size, words, *[types.intp] * 3), codegen


@intrinsic(prefer_literal=True)
def decode_packed_row(typingctx, size, source, table, out):  # type: ignore[no-untyped-def]
    """`decode_row` for 64 packed nibbles; 16 bytes stand in `table` four times."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        if not size.literal_value:
            return context.get_dummy_value()
        source, table, out = _pointers(builder, args[1:])
        wide = ir.VectorType(ir.IntType(16), 32)
        pairs = builder.zext(load(builder, source, ir.VectorType(BYTE, 32)), wide)
        spread = builder.or_(pairs, builder.shl(pairs, ir.Constant(wide, [4] * 32)))
        codes = builder.bitcast(spread, _BYTES)
        _store(builder, _look_up(builder, table, 64, 1, codes), out)
        return context.get_dummy_value()

    return types.void(size, *[types.intp] * 3), codegen


def _pointers(builder, args):  # type: ignore[no-untyped-def]
    """Addresses as pointers; a stride, the second of four, stays a number."""
    return [
        value if i == 1 and len(args) == 4 else builder.inttoptr(value, BYTE.as_pointer())
        for i, value in enumerate(args)
    ]
