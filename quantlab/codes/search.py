"""Thresholds found by halving, 64 entries at once, in registers (AVX512).

The 2^L - 1 thresholds, padded with infinity, are a binary tree: node h = 1 is the middle one, its
halves' middles are 2 h and 2 h + 1. An entry goes down by

    h <- 2 h + [x > t_h]        L times, from h = 1: code = h - 2^L

and t_h is a permute of a table of 16 nodes, 32, 64 or 128, whose index is h itself: permutes ignore
an index's upper bits, which tell the level.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from quantlab._jit import kernel
from quantlab._llvm import BYTE, LANE, call, forced_tile, host_features, load
from quantlab.codes.kernels import finite_kernel

_BLOCK = 1024
#: Vectors of 16 entries that go down the tree side by side.
_VECTORS = 4
_STEP = 16 * _VECTORS
_FLOATS, _INTS = ir.VectorType(ir.FloatType(), 16), ir.VectorType(LANE, 16)


@cache
def here() -> bool:
    """Whether this processor searches by permutes."""
    return "avx512f" in host_features() and forced_tile() in (None, "avx512vnni")


def tree(thresholds: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """Nodes h = 0 .. 2^levels - 1 (0 is none) of sorted thresholds, at least 16 of them.

    Examples
    --------
    >>> [float(t) for t in tree(np.array([1, 2, 3, 4], np.float32), 3)[:8]]
    [inf, 4.0, 2.0, inf, 1.0, 3.0, inf, inf]
    """
    padded = np.full((1 << levels) - 1, np.inf, np.float32)
    padded[: thresholds.size] = thresholds
    nodes = np.full(max(16, 1 << levels), np.inf, np.float32)
    for level in range(levels):
        step = 1 << (levels - level)
        nodes[1 << level : 2 << level] = padded[step // 2 - 1 :: step]
    return nodes


@intrinsic(prefer_literal=True)
def _search(typingctx, levels, values, count, nodes, codes):  # type: ignore[no-untyped-def]
    """codes (count,) bytes of values (count,) float32, count a multiple of 64; addresses."""
    if not isinstance(levels, types.Literal):
        return None
    depth = levels.literal_value

    def node(builder, tables, level, h):  # type: ignore[no-untyped-def]
        """t_h at a level: one permute to 16 nodes, a permute of two registers for each 32."""
        if level < 4:
            return call(builder, "llvm.x86.avx512.permvar.sf.512", _FLOATS, [tables[0], h])
        own = tables[1 << (level - 4) : 2 << (level - 4)]
        if level == 4:
            return call(builder, "llvm.x86.avx512.permvar.sf.512", _FLOATS, [own[0], h])
        found = [
            call(builder, "llvm.x86.avx512.vpermi2var.ps.512", _FLOATS, [low, h, high])
            for low, high in zip(own[::2], own[1::2], strict=True)
        ]
        bit = 32
        while len(found) > 1:
            mask = builder.and_(h, ir.Constant(_INTS, [bit] * 16))
            upper = builder.icmp_signed("!=", mask, ir.Constant(_INTS, [0] * 16))
            found = [
                builder.select(upper, high, low)
                for low, high in zip(found[::2], found[1::2], strict=True)
            ]
            bit *= 2
        return found[0]

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        _, values, count, nodes, codes = args
        values, nodes, codes = (
            builder.inttoptr(x, BYTE.as_pointer()) for x in (values, nodes, codes)
        )
        constant = lambda value: ir.Constant(count.type, value)  # noqa: E731
        tables = [
            load(builder, builder.gep(nodes, [constant(64 * i)]), _FLOATS)
            for i in range(max(1, (1 << depth) // 16))
        ]
        before = builder.block
        loop, done = builder.append_basic_block("search"), builder.append_basic_block("done")
        builder.branch(loop)  # count >= 64
        builder.position_at_end(loop)
        at = builder.phi(count.type)
        at.add_incoming(constant(0), before)
        spots = [builder.add(at, constant(16 * v)) for v in range(_VECTORS)]
        floats = [
            load(builder, builder.gep(values, [builder.mul(spot, constant(4))]), _FLOATS)
            for spot in spots
        ]
        nodes_at = [ir.Constant(_INTS, [1] * 16)] * _VECTORS
        for level in range(depth):  # a level of all vectors, then the next: none waits for itself
            for v in range(_VECTORS):
                above = builder.fcmp_ordered(
                    ">", floats[v], node(builder, tables, level, nodes_at[v])
                )
                h = builder.add(nodes_at[v], nodes_at[v])
                nodes_at[v] = builder.select(above, builder.or_(h, ir.Constant(_INTS, [1] * 16)), h)
        for spot, h in zip(spots, nodes_at, strict=True):
            code = builder.trunc(
                builder.and_(h, ir.Constant(_INTS, [(1 << depth) - 1] * 16)),
                ir.VectorType(BYTE, 16),
            )
            place = builder.gep(codes, [spot])
            builder.store(code, builder.bitcast(place, code.type.as_pointer()), align=1)
        following = builder.add(at, constant(_STEP))
        at.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(levels, *[types.intp] * 4), codegen


@cache
def search_kernel(levels: int) -> Callable[..., bool]:
    """Kernel for up to 2^levels - 1 thresholds, levels 1 to 8, of float32 values."""

    @kernel
    def search_thresholds_kernel(x, nodes, codes):  # type: ignore[no-untyped-def]
        # x (N,) float32, nodes as `tree` makes them, codes (N,) uint8
        finite = True
        rest, found = np.zeros(_STEP, np.float32), np.empty(_STEP, np.uint8)
        for start in range(0, x.size, _BLOCK):
            block = x[start : start + _BLOCK]
            whole = block.size // _STEP * _STEP
            if whole:
                _search(
                    levels, block.ctypes.data, whole, nodes.ctypes.data, codes.ctypes.data + start
                )
            left = block.size - whole
            if left:
                rest[:left] = block[whole:]
                _search(levels, rest.ctypes.data, _STEP, nodes.ctypes.data, found.ctypes.data)
                codes[start + whole : start + block.size] = found[:left]
            finite &= finite_kernel(block)
        return finite

    return search_thresholds_kernel
