"""Which route a product on a device takes, and why."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.codes.device import DeviceCodedMatrix
from quantlab.codes.device_coding import has_kernels
from quantlab.codes.matrix import CodedMatrix
from quantlab.gemm.dispatch import TOLERANCE, Plan

ROUTES = ("int8", "fused", "half", "fp32")

#: Rows that one tile of the fused kernel holds: up to here each packed code is decoded once.
FEW_ROWS = 128
# products of 127 x 127 that an int32 holds, rounded down to whole tiles
_MOST_INNER = 131072
_SAMPLES = 1024


def choose(a: Any, b: Any, route: str | None = None) -> Plan:
    """Choose the route of a product of two operands of one device, or judge a given one.

    In order, the first that holds (what each should cost: benchmarks/results/cuda.md):

    1. "fp32", decode and multiply in float32: where an operand is a float32 or float64 tensor.
    2. "fused", with Triton, at most 128 rows, and no scale that varies along the inner dimension:
       packed codes are read once and decoded on chip into halves; the left operand may be a
       float16 or bfloat16 tensor. Up to 16 levels the halves are integers of a grid, where that
       adds under 1 % to the codes' error: nibbles become those in two instructions each.
    3. "int8", where snapping the centres to a grid adds under 1 % to the codes' error (up to about
       K = 32): decode to bytes, multiply bytes on the tensor cores. Past 128 rows a code would be
       decoded once for every tile that needs it; decoding once, ahead, costs less.
    4. "half", decode to halves, multiply those with float32 sums: the rest.

    Halves hold centres over the largest one to 2^-12, far below the error of 256 levels.
    """
    if route is not None and route not in ROUTES:
        raise ValueError(f'on a device, route must be one of {ROUTES} or None; got "{route}"')
    coded = [isinstance(x, DeviceCodedMatrix) for x in (a, b)]
    grouped = varies(a, 1) or varies(b, 0)
    fused = coded[1] and not grouped and (coded[0] or is_half(a)) and has_kernels(b.device)
    possible = {
        "int8": all(coded) and not grouped and a.shape[1] <= _MOST_INNER,
        "fused": fused,
        "half": True,
        "fp32": True,
    }
    if route is not None and not possible[route]:
        raise ValueError(
            f'route "{route}" is not possible here: '
            + (
                "scales vary along the inner dimension"
                if grouped
                else f"both operands must be coded, with an inner dimension up to {_MOST_INNER}"
                if route == "int8"
                else "b must be coded, a coded or of halves, and Triton installed"
            )
        )
    if route is None and any(not c and not is_half(x) for c, x in zip(coded, (a, b), strict=True)):
        return Plan("fp32", "a float32 operand is multiplied as it is", 0.0, 0.0)
    few = a.shape[0] <= FEW_ROWS
    if route == "fused" or (route is None and fused and few):
        reason = "asked for" if route else f"{a.shape[0]} rows: packed codes are read once"
        operands = [x for x in (a, b) if isinstance(x, DeviceCodedMatrix)]
        if all(x.codebook.n_levels <= 16 for x in operands):
            extra, coding, grids = _snapped(operands)
            if extra <= TOLERANCE * coding:
                return Plan("fused", reason, extra, coding, grids)
        return Plan("fused", reason, 0.0, 0.0)
    if route == "int8" or (route is None and possible["int8"]):
        extra, coding, grids = _snapped([a, b])
        if route or extra <= TOLERANCE * coding:
            reason = "asked for" if route else f"the grid adds {extra / coding:.2%} of the error"
            return Plan("int8", reason, extra, coding, grids)
        return Plan("half", f"an int8 grid would add {extra / coding:.2%} of the error", 0.0, 0.0)
    if route is not None:
        return Plan(route, "asked for", 0.0, 0.0)
    reason = "scales vary along the inner dimension" if grouped else "an operand is of halves"
    return Plan("half", reason, 0.0, 0.0)


def varies(operand: Any, axis: int) -> bool:
    """Whether the operand has scales that vary along `axis`."""
    scale = getattr(operand, "scale", None)
    return scale is not None and scale.shape[axis] > 1


def is_half(operand: Any) -> bool:
    return str(getattr(operand, "dtype", "")) in ("torch.float16", "torch.bfloat16")


def _snapped(operands: list[DeviceCodedMatrix]) -> tuple[float, float, tuple]:
    """Errors as in `dispatch.plan`, from codes of 1024 entries copied to the host, once."""
    from quantlab.gemm.dispatch import GRID_LIMITS
    from quantlab.gemm.grid import snap

    grids = []
    for coded in operands:
        limit = GRID_LIMITS["int8"]
        if limit not in coded._snapped:
            coded._snapped[limit] = snap(_sample(coded), limit)
        grids.append(coded._snapped[limit])
    extra = sum(grid.added / grid.energy for grid in grids)
    coding = sum(grid.coding / grid.energy for grid in grids)
    return extra, coding, tuple(grids)


def _sample(coded: DeviceCodedMatrix) -> CodedMatrix:
    import torch

    rows, columns = coded.shape
    # steps of the golden ratio: spread evenly, in step with neither rows nor columns
    entry = (np.arange(1, _SAMPLES + 1) * 0.6180339887498949 % 1 * rows * columns).astype(np.int64)
    row, column = np.divmod(entry, columns)
    bit = column * coded._held_bits
    last = coded._data.shape[1] - 1
    byte = np.stack([bit >> 3, np.minimum((bit >> 3) + 1, last)])
    index = [torch.from_numpy(x).to(coded.device) for x in (np.stack([row, row]), byte)]
    low, high = coded._data[index[0], index[1]].cpu().numpy().astype(np.int64)
    codes = (low | high << 8) >> (bit & 7) & (1 << coded._held_bits) - 1
    return CodedMatrix(codes[None], coded.codebook)
