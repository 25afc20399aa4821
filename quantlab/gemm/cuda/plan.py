"""Which route a product on a device takes, and why."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np

from quantlab.codes.device import DeviceCodedMatrix
from quantlab.codes.device_coding import has_kernels
from quantlab.codes.layout import group_axis
from quantlab.codes.matrix import CodedMatrix
from quantlab.gemm.cuda.fp8 import has_fp8, snap_fp8
from quantlab.gemm.dispatch import GRID_LIMITS, TOLERANCE, Plan
from quantlab.gemm.grid import Snapped, snap

ROUTES = ("int8", "fp8", "fused", "half", "fp32")

#: Rows that one tile of the fused kernel holds: up to here each packed code is decoded once.
FEW_ROWS = 128
#: Entries along the inner dimension that share a scale: kernels take multiples of the first, and
#: past FEW_ROWS rows they are chosen from the second up (each group's sums are scaled apart, at
#: about the cost of 128 multiplications on the tensor cores).
LEAST_GROUP, WORTHY_GROUP = 32, 128
# products of 127 x 127 that an int32 holds, rounded down to whole tiles
_MOST_INNER = 131072
_SAMPLES = 1024


def choose(a: Any, b: Any, route: str | None = None) -> Plan:
    """Choose the route of a product of two operands of one device, or judge a given one.

    In order, the first that holds (what each should cost: benchmarks/results/cuda.md):

    1. "fp32", decode and multiply in float32: where an operand is a float32 or float64 tensor.
    2. "fused", with Triton, at most 128 rows: packed codes are read once and decoded on chip into
       halves; the left operand may be a float16 or bfloat16 tensor. Up to 16 levels the halves are
       integers of a grid, where that adds under 1 % to the codes' error: nibbles become those in
       two instructions each.
    3. "int8", where snapping the centres to a grid adds under 1 % to the codes' error (up to about
       K = 32): decode to bytes, multiply bytes on the tensor cores. Past 128 rows a code would be
       decoded once for every tile that needs it; decoding once, ahead, costs less.
    4. "fp8", the same with the values of FP8 E4M3 as the grid (formats of FP8, whatever their
       unit), where the device multiplies those.
    5. "half", decode to halves, multiply those with float32 sums: the rest.

    Scales that vary along the inner dimension: "fused", "int8" and "fp8" sum each group apart and
    scale its sum, with Triton and groups of a multiple of 32 (by themselves past 128 rows: of
    128); else "half", which decodes to scaled values.

    Halves hold centres over the largest one to 2^-12, far below the error of 256 levels. Sums of
    FP8 are float32 from one tile of the inner dimension to the next; within a tile, of 128 products
    at most, Hopper's tensor cores keep fewer bits.
    """
    if route is not None and route not in ROUTES:
        raise ValueError(f'on a device, route must be one of {ROUTES} or None; got "{route}"')
    coded = [isinstance(x, DeviceCodedMatrix) for x in (a, b)]
    group = common_group(a, b)
    kernels = has_kernels(b.device)
    tiled = group == 0 or (group % LEAST_GROUP == 0 and kernels)
    possible = {
        "int8": all(coded) and tiled and (group > 0 or a.shape[1] <= _MOST_INNER),
        "fp8": all(coded) and tiled and has_fp8(b.device),
        "fused": coded[1] and tiled and (coded[0] or is_half(a)) and kernels,
        "half": True,
        "fp32": True,
    }
    if route is not None and not possible[route]:
        raise ValueError(f'route "{route}" is not possible here: {_obstacle(route, tiled)}')
    if route is None and any(not c and not is_half(x) for c, x in zip(coded, (a, b), strict=True)):
        return Plan("fp32", "a float32 operand is multiplied as it is", 0.0, 0.0)
    few = a.shape[0] <= FEW_ROWS
    if route == "fused" or (route is None and possible["fused"] and few):
        reason = "asked for" if route else f"{a.shape[0]} rows: packed codes are read once"
        operands = [x for x in (a, b) if isinstance(x, DeviceCodedMatrix)]
        if all(x.codebook.n_levels <= 16 for x in operands):
            extra, coding, grids = _snapped("int8", operands)
            if extra <= TOLERANCE * coding:
                return Plan("fused", reason, extra, coding, grids)
        return Plan("fused", reason, 0.0, 0.0)
    added = {}
    for name in ("int8", "fp8"):
        if route == name or (route is None and possible[name] and group % WORTHY_GROUP == 0):
            extra, coding, grids = _snapped(name, [a, b])
            share = f"{extra / max(coding, 1e-300):.2%}"
            if route or extra <= TOLERANCE * coding:
                reason = "asked for" if route else f"the grid adds {share} of the error"
                return Plan(name, reason, extra, coding, grids)
            added[name] = f"an {name} grid would add {share}"
    if route is not None:
        return Plan(route, "asked for", 0.0, 0.0)
    reason = "scales vary along the inner dimension" if group else "an operand is of halves"
    if added:
        reason = f"{', '.join(added.values())} of the error"
    return Plan("half", reason, 0.0, 0.0)


def _obstacle(route: str, tiled: bool) -> str:
    if not tiled:
        return (
            "scales vary along the inner dimension, which takes Triton and groups of a multiple "
            f"of {LEAST_GROUP}"
        )
    if route == "fused":
        return "b must be coded, a coded or of halves, and Triton installed"
    if route == "int8":
        return f"both operands must be coded, with an inner dimension up to {_MOST_INNER}"
    return "both operands must be coded, and the device multiply FP8 (Ada, Hopper or later)"


def common_group(a: Any, b: Any) -> int:
    """Entries along the inner dimension that share both operands' scales; 0 if all do."""
    return gcd(inner_group(a, 1), inner_group(b, 0))


def inner_group(operand: Any, axis: int) -> int:
    """Entries along `axis` that share a scale; 0 if all do."""
    if not varies(operand, axis):
        return 0
    grouped = operand.group and group_axis(operand.scale, operand.group, operand.shape) == axis
    return operand.group if grouped else 1


def varies(operand: Any, axis: int) -> bool:
    """Whether the operand has scales that vary along `axis`."""
    scale = getattr(operand, "scale", None)
    return scale is not None and scale.shape[axis] > 1


def is_half(operand: Any) -> bool:
    return str(getattr(operand, "dtype", "")) in ("torch.float16", "torch.bfloat16")


def _snapped(name: str, operands: list[DeviceCodedMatrix]) -> tuple[float, float, tuple]:
    """Errors as in `dispatch.plan`, from codes of 1024 entries copied to the host, once."""
    grids: list[Snapped] = []
    for coded in operands:
        key: Any = name if name == "fp8" else GRID_LIMITS[name]
        if key not in coded._snapped:
            sample = _sample(coded)
            coded._snapped[key] = snap_fp8(sample) if name == "fp8" else snap(sample, key)
        grids.append(coded._snapped[key])
    extra = sum(grid.added / grid.energy for grid in grids if grid.energy)
    coding = sum(grid.coding / grid.energy for grid in grids if grid.energy)
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
