"""Rounding with feedback for tensors, by Torch: the same codes as on the host, to the bit.

Leading axes are batches: rows (..., m, k) with upper (..., k, k), as many trials as there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quantlab.codes.thresholds import rounded_down


def round_feedback_tensor(
    rows: Any, upper: Any, centers: np.ndarray, cuts: np.ndarray, order: np.ndarray
) -> Any:
    """Codes of checked rows; centers and cuts (k, width) are float64, padded with inf."""
    import torch

    x = _rows(rows, len(centers))
    kind = np.dtype(str(x.dtype).removeprefix("torch."))
    table = torch.from_numpy(centers[order].astype(kind)).to(x.device)
    thresholds = torch.from_numpy(rounded_down(cuts[order], kind)).to(x.device)

    def cell(at: int, v: Any) -> tuple[Any, Any]:
        code = torch.bucketize(v, thresholds[at], out_int32=True)
        return code, table[at][code]

    return _fed_back(x, upper, order, cell, torch.uint8)


def round_uniform_tensor(
    rows: Any,
    upper: Any,
    steps: np.ndarray,
    offsets: np.ndarray,
    lo: np.ndarray,
    hi: np.ndarray,
    order: np.ndarray,
) -> Any:
    """Integers of checked rows on uniform grids."""
    import torch

    x = _rows(rows, steps.size)
    step, offset, least, most = (
        torch.from_numpy(a[order]).to(x.device, x.dtype) for a in (steps, offsets, lo, hi)
    )

    def cell(at: int, v: Any) -> tuple[Any, Any]:
        z = ((v - offset[at]) / step[at]).round().clamp(least[at], most[at])
        return z, offset[at] + step[at] * z

    return _fed_back(x, upper, order, cell, torch.int32)


def _fed_back(
    rows: Any,
    upper: Any,
    order: np.ndarray,
    cell: Callable[[int, Any], tuple[Any, Any]],
    dtype: Any,
) -> Any:
    """Codes of `dtype` (..., m, k): the indices one by one, each error off all that come before.

    Products and differences are apart, so that none is fused into one rounding.
    """
    import torch

    turn = torch.from_numpy(order).to(rows.device)
    u = torch.as_tensor(upper).to(rows.device, rows.dtype)
    x = rows.transpose(-1, -2)[..., turn, :]  # an index's entries side by side
    v = x.clone()
    codes = torch.empty_like(v, dtype=dtype)
    for at in range(x.shape[-2] - 1, -1, -1):
        code, value = cell(at, v[..., at, :].contiguous())
        codes[..., order[at], :] = code
        error = value - x[..., at, :]
        v[..., :at, :] -= u[..., :at, at, None] * error[..., None, :]
    return codes.transpose(-1, -2).contiguous()


def _rows(rows: Any, k: int) -> Any:
    import torch

    if rows.is_complex() or rows.ndim < 2 or 0 in rows.shape:
        raise ValueError(
            f"rows must be a matrix of real numbers, not empty; got {rows.dtype} of shape "
            f"{tuple(rows.shape)}"
        )
    if rows.shape[-1] != k:
        raise ValueError(f"rows must have {k} entries, one an index; got shape {tuple(rows.shape)}")
    half = rows.dtype.is_floating_point and rows.dtype != torch.float64
    x = rows.detach().to(torch.float32 if half else torch.float64)
    if not bool(torch.isfinite(x).all()):
        at = torch.nonzero(~torch.isfinite(x))[0].tolist()
        raise ValueError(f"rows must be finite; rows{at} = {x[tuple(at)].item()}")
    return x
