"""The routes of a product on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np

from quantlab.codebook import Codebook
from quantlab.codes.device import DeviceCodedMatrix
from quantlab.codes.device_coding import center_table, decoded, has_kernels
from quantlab.gemm.cuda.plan import common_group, is_half, varies
from quantlab.gemm.cuda.tune import fastest
from quantlab.gemm.dispatch import Plan

# int32 sums of this many bytes stay in the second-level cache until they are scaled
_SUMS = 32 << 20
_ALIGN = 128


def run(a: Any, b: Any, plan: Plan) -> Any:
    """C = a b by the planned route; in tiles where memory does not suffice.

    float32 (m, n); float64 by route "fp32" if an operand is a tensor of that.
    """
    import torch

    m, n = a.shape[0], b.shape[1]
    wide = plan.route == "fp32" and torch.float64 in (_dtype(a), _dtype(b))
    kind = "float64" if wide else "float32"
    try:
        c = torch.empty((m, n), dtype=getattr(torch, kind), device=b.device)
    except torch.OutOfMemoryError as error:
        raise torch.OutOfMemoryError(
            f"the product itself, {m} x {n} {kind} ({(8 if wide else 4) * m * n / 1e9:.1f} GB), "
            f"does not fit on {b.device}; multiply parts of a: {error}"
        ) from None
    _fill(_PRODUCTS[plan.route], a, b, plan, c)
    if plan.route != "fp32":
        for operand, axis in ((a, 1), (b, 0)):
            scale = getattr(operand, "scale", None)
            if scale is not None and not varies(operand, axis):
                c *= scale  # (1, 1), (m, 1) or (1, n)
    return c


def _fill(product: Callable, a: Any, b: Any, plan: Plan, c: Any) -> None:
    """c[...] = product, halved along its longer side for as long as memory runs out."""
    import torch

    try:
        product(a, b, plan, c)
        return
    except torch.OutOfMemoryError:
        m, n = c.shape
        if max(m, n) <= _ALIGN:
            raise
    # outside the handler: the exception would keep the failed attempt's tensors alive
    if c.device.type == "cuda":
        torch.cuda.empty_cache()
    if m >= n:
        half = m // 2
        _fill(product, _rows(a, 0, half), b, plan, c[:half])
        _fill(product, _rows(a, half, m), b, plan, c[half:])
    else:
        half = n // 2 & ~7
        _fill(product, a, _columns(b, 0, half), plan, c[:, :half])
        _fill(product, a, _columns(b, half, n), plan, c[:, half:])


def _product_bytes(a: DeviceCodedMatrix, b: DeviceCodedMatrix, plan: Plan, c: Any) -> None:
    import torch

    (m, k), n = a.shape, b.shape[1]
    device = a.device
    left = torch.empty((_up(m, 32), _up(k, _ALIGN)), dtype=torch.int8, device=device)
    # stored transposed: the tensor cores want bytes of both operands along k
    right = torch.empty((_up(n, 32), _up(k, _ALIGN)), dtype=torch.int8, device=device)
    for coded, grid, out in ((a, plan.grids[0], left), (b, plan.grids[1], right.T)):
        table = _grid_table(grid.table.tobytes(), grid.table.dtype.str, torch.int8, str(device))
        decoded(coded, table, out)
    scale = plan.grids[0].scale * plan.grids[1].scale
    multiply = torch._int_mm
    if plan.route == "fp8":
        left, right = (x.view(torch.float8_e4m3fn) for x in (left, right))
        one = torch.ones((), device=device)
        multiply = partial(torch._scaled_mm, scale_a=one, scale_b=one, out_dtype=torch.float32)

    def library() -> None:
        height = max(1024, _up(_SUMS // (4 * n), 32))
        for start in range(0, m, height):
            sums = multiply(left[start : start + height], right.T)
            rows = c[start : start + height]
            torch.mul(sums[: rows.shape[0], :n], scale, out=rows)

    group = common_group(a, b)
    candidates = [] if group else [library]
    if has_kernels(device):
        from quantlab.gemm.cuda.launch import BYTE_CONFIGS, Scales, bytes_product

        scales = Scales(a, b, c)
        candidates += [
            partial(bytes_product, left, right, c, scale, tile.within(group), k, scales)
            for tile in BYTE_CONFIGS
        ]
    fastest((plan.route, m, n, k, group), candidates, device)


def _product_fused(a: Any, b: DeviceCodedMatrix, plan: Plan, c: Any) -> None:
    import torch

    from quantlab.gemm.cuda.launch import FUSED_CONFIGS, fused_product

    if a.device.type == "cpu" and is_half(a):
        a = a.float()  # Triton's interpreter has no products of bfloat16
    kind = torch.float16 if isinstance(a, DeviceCodedMatrix) else a.dtype
    # a plan for the right operand alone leaves the left one's halves as they are
    grids = (None, None, *plan.grids)[-2:]
    tables, scale = [], 1.0
    for operand, grid in zip((a, b), grids, strict=True):
        if not isinstance(operand, DeviceCodedMatrix):
            tables.append(a)  # not looked at
            continue
        if grid is None:
            table, factor = _half_table(operand.codebook, kind, str(c.device))
        else:
            table = _grid_table(grid.table.tobytes(), grid.table.dtype.str, kind, str(c.device))
            factor = grid.scale
        tables.append(table)
        scale *= factor
    group = common_group(a, b)
    candidates = [
        partial(fused_product, a, b, c, tables, grids, scale, tile.within(group))
        for tile in FUSED_CONFIGS
        if tile.suits(c.shape[0], b.shape[0])
    ]
    bits = getattr(a, "_held_bits", 0), b._held_bits
    key = ("fused", *c.shape, b.shape[0], bits, str(kind), len(plan.grids), group)
    fastest(key, candidates, c.device)


def _product_half(a: Any, b: Any, plan: Plan, c: Any) -> None:
    import torch

    kind = next((x.dtype for x in (a, b) if is_half(x)), torch.float16)
    (left, scale_a), (right, scale_b) = _halves(a, kind, 1), _halves(b, kind, 0)
    if c.device.type == "cuda":
        product = torch.mm(left, right, out_dtype=torch.float32)
    else:
        product = left.float() @ right.float()
    torch.mul(product, scale_a * scale_b, out=c)


def _product_fp32(a: Any, b: Any, plan: Plan, c: Any) -> None:
    import torch

    left, right = (
        x.decode(c.dtype) if isinstance(x, DeviceCodedMatrix) else x.to(c.dtype) for x in (a, b)
    )
    with without_tf32():
        torch.mm(left, right, out=c)


_PRODUCTS: dict[str, Callable[[Any, Any, Plan, Any], None]] = {
    "int8": _product_bytes,
    "fp8": _product_bytes,
    "fused": _product_fused,
    "half": _product_half,
    "fp32": _product_fp32,
}


def _halves(operand: Any, kind: Any, inner: int) -> tuple[Any, Any]:
    """A matrix of `kind` and the factor that it lacks besides a scale for its rows or columns."""
    if not isinstance(operand, DeviceCodedMatrix):
        return operand.to(kind), 1.0
    table, scale = _half_table(operand.codebook, kind, str(operand.device))
    if not varies(operand, inner):
        return decoded(operand, table), scale
    largest = operand.scale.abs().max()
    values = operand.decode()
    values /= largest * scale
    return values.to(kind), largest * scale


@lru_cache(maxsize=256)
def _half_table(codebook: Codebook, kind: Any, device: str) -> tuple[Any, float]:
    """Centres over the largest magnitude, as halves, and that magnitude."""
    import torch

    largest = float(np.abs(codebook.centers).max())
    return (center_table(codebook, torch.float64, device) / largest).to(kind), largest


@lru_cache(maxsize=256)
def _grid_table(table: bytes, held: str, kind: Any, device: str) -> Any:
    """A grid's values by code, integers as `kind`, floats as bytes of E4M3; kept, since a copy to
    the device makes it wait."""
    import torch

    values = torch.from_numpy(np.frombuffer(table, held).astype(np.float32))
    if np.dtype(held).kind == "f":
        return values.to(torch.float8_e4m3fn).view(torch.int8).to(device)
    return values.to(device, kind)


def _dtype(operand: Any) -> Any:
    return None if isinstance(operand, DeviceCodedMatrix) else operand.dtype


def _rows(operand: Any, start: int, stop: int) -> Any:
    coded = isinstance(operand, DeviceCodedMatrix)
    return operand.rows(start, stop) if coded else operand[start:stop]


def _columns(operand: Any, start: int, stop: int) -> Any:
    coded = isinstance(operand, DeviceCodedMatrix)
    return operand.columns(start, stop) if coded else operand[:, start:stop]


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


@contextmanager
def without_tf32() -> Iterator[None]:
    """float32 products by float32 arithmetic, whatever the process allows elsewhere."""
    import torch

    # torch keeps an older and a newer setting; the older one's setter sets both, and it cannot be
    # read while they differ, where the newer one is what counts
    settings = torch.backends.cuda.matmul
    newer = getattr(settings, "fp32_precision", None)
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:
        older = "highest"
    settings.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(older)
        if newer is not None:
            settings.fp32_precision = newer
