"""float16 and bfloat16 entries as float32, a tile at a time: numpy takes 1.5 ns for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from quantlab._jit import kernel
from quantlab._llvm import BYTE, host_features, load

_LANES = 16


def widened(block: Any) -> NDArray[np.float32] | None:
    """The entries of a float16 array or a bfloat16 tensor, exactly; None for any other.

    Also None where this processor has no instruction for float16.
    """
    if isinstance(block, np.ndarray):
        if block.dtype != np.float16 or not block.dtype.isnative or "f16c" not in host_features():
            return None
        source = np.ascontiguousarray(block).view(np.uint16)
        widen = _widen_float16
    elif "bfloat16" in str(block.dtype):
        import torch

        source = block.contiguous().view(torch.int16).numpy().view(np.uint16)
        widen = _widen_bfloat16
    else:
        return None
    target = np.empty(source.shape, np.float32)
    widen(source.reshape(-1), target.reshape(-1))
    return target


@kernel
def _widen_bfloat16(source, target):  # type: ignore[no-untyped-def]
    # bfloat16 is the upper half of a float32
    bits = target.view(np.uint32)
    for i in range(np.uintp(source.size)):
        bits[i] = np.uint32(source[i]) << np.uint32(16)


@intrinsic
def _widen_lanes(typingctx, source, target):  # type: ignore[no-untyped-def]
    """target (16,) float32 = source (16,) float16; addresses."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        pointers = [builder.inttoptr(value, BYTE.as_pointer()) for value in args]
        halves = load(builder, pointers[0], ir.VectorType(ir.HalfType(), _LANES), align=2)
        wide = ir.VectorType(ir.FloatType(), _LANES)
        place = builder.bitcast(pointers[1], wide.as_pointer())
        builder.store(builder.fpext(halves, wide), place, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@kernel
def _widen_float16(source, target):  # type: ignore[no-untyped-def]
    whole = source.size // _LANES * _LANES
    at, to = source.ctypes.data, target.ctypes.data
    for i in range(0, whole, _LANES):
        _widen_lanes(at + 2 * i, to + 4 * i)
    if whole < source.size:
        last, wide = np.zeros(_LANES, np.uint16), np.empty(_LANES, np.float32)
        last[: source.size - whole] = source[whole:]
        _widen_lanes(last.ctypes.data, wide.ctypes.data)
        target[whole:] = wide[: source.size - whole]
