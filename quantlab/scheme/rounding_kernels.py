"""Loops of rounding with feedback. No checks; every array is C-ordered.

A block of rows is laid out with the rows side by side, (k, _ROWS), so that each step works on
vectors. An index takes its errors in one pass, in the order that all backends keep.
"""

from __future__ import annotations

import numpy as np

from quantlab._jit import kernel

_ROWS = 32
# up to this many thresholds are counted in vectors, more are searched
_MOST_COUNTED = 31


@kernel
def load_kernel(rows, start, order, x):  # type: ignore[no-untyped-def]
    # x (k, _ROWS) gets rows[start : start + _ROWS, order], zero where there are no more
    x[:] = 0
    for r in range(min(_ROWS, rows.shape[0] - start)):
        for j in range(rows.shape[1]):
            x[j, r] = rows[start + r, order[j]]


@kernel
def store_kernel(found, start, order, out):  # type: ignore[no-untyped-def]
    # found (k, _ROWS) goes to out[start : start + _ROWS, order]
    for r in range(min(_ROWS, out.shape[0] - start)):
        for j in range(out.shape[1]):
            out[start + r, order[j]] = found[j, r]


@kernel
def steer_kernel(x, error, upper, at, v):  # type: ignore[no-untyped-def]
    # v (_ROWS,) = x[at] - sum_{j > at} upper[at, j] error[j], from the last j down
    for r in range(_ROWS):
        v[r] = x[at, r]
    j = x.shape[0] - 1
    while j > at + 3:  # four at a time: v is loaded and stored once for all
        u_0, u_1 = upper[at, j], upper[at, j - 1]
        u_2, u_3 = upper[at, j - 2], upper[at, j - 3]
        for r in range(_ROWS):
            first = v[r] - u_0 * error[j, r] - u_1 * error[j - 1, r]
            v[r] = first - u_2 * error[j - 2, r] - u_3 * error[j - 3, r]
        j -= 4
    while j > at:
        for r in range(_ROWS):
            v[r] -= upper[at, j] * error[j, r]
        j -= 1


@kernel
def cell_kernel(v, cuts, n_levels, found):  # type: ignore[no-untyped-def]
    # found (_ROWS,) = thresholds below v; cuts: padded with inf to a power of two, 4 at least
    for r in range(_ROWS):
        found[r] = 0
    if n_levels <= _MOST_COUNTED + 1:
        for i in range(0, n_levels - 1, 4):
            t_0, t_1, t_2, t_3 = cuts[i], cuts[i + 1], cuts[i + 2], cuts[i + 3]
            for r in range(_ROWS):
                passed = np.int32(v[r] > t_0) + np.int32(v[r] > t_1)
                found[r] += passed + np.int32(v[r] > t_2) + np.int32(v[r] > t_3)
        return
    stride = np.int32(128)
    while stride > 0:
        if stride < n_levels:
            for r in range(_ROWS):
                found[r] += stride * np.int32(v[r] > cuts[found[r] + stride - 1])
        stride >>= 1


@kernel
def feedback_kernel(rows, upper, order, centers, cuts, n_levels, codes):  # type: ignore[no-untyped-def]
    # rows, codes (m, k); in this order: upper (k, k), centers, cuts (k, width), n_levels (k,)
    k = rows.shape[1]
    x = np.empty((k, _ROWS), rows.dtype)
    error = np.empty((k, _ROWS), rows.dtype)
    v = np.empty(_ROWS, rows.dtype)
    found = np.empty((k, _ROWS), np.int32)
    for start in range(0, rows.shape[0], _ROWS):
        load_kernel(rows, start, order, x)
        for at in range(k - 1, -1, -1):
            steer_kernel(x, error, upper, at, v)
            cell_kernel(v, cuts[at], n_levels[at], found[at])
            for r in range(_ROWS):
                error[at, r] = centers[at, found[at, r]] - x[at, r]
        store_kernel(found, start, order, codes)


@kernel
def feedback_uniform_kernel(rows, upper, order, steps, offsets, lo, hi, ints):  # type: ignore[no-untyped-def]
    # rows, ints (m, k); in this order: upper (k, k), steps, offsets, lo, hi (k,), of rows' dtype
    k = rows.shape[1]
    x = np.empty((k, _ROWS), rows.dtype)
    error = np.empty((k, _ROWS), rows.dtype)
    v = np.empty(_ROWS, rows.dtype)
    found = np.empty((k, _ROWS), np.int32)
    for start in range(0, rows.shape[0], _ROWS):
        load_kernel(rows, start, order, x)
        for at in range(k - 1, -1, -1):
            steer_kernel(x, error, upper, at, v)
            step, offset, least, most = steps[at], offsets[at], lo[at], hi[at]
            for r in range(_ROWS):
                z = min(max(np.rint((v[r] - offset) / step), least), most)
                found[at, r] = np.int32(z)
                error[at, r] = offset + step * z - x[at, r]
        store_kernel(found, start, order, ints)
