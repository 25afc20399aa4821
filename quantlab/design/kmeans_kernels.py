"""Compiled loops of `weighted_kmeans`: plain, unchecked; imported on first use."""

# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np
from numba import njit

#: Coarse cells of the first pass: 2^8 to the octave of 1 + |z|.
PART_BITS = 8
_ONE = int(np.float32(1.0).view(np.int32))


@njit(cache=True, nogil=True)
def cell_kernel(x, half):
    # the upper bits of a float are a logarithm that is linear within each octave
    position = (np.float32(1.0 + abs(x)).view(np.int32) - _ONE) >> (23 - PART_BITS)
    position = min(position, half - 1)
    return half + position if x >= 0 else half - 1 - position


@njit(cache=True, nogil=True)
def count_kernel(matrix, row_weight, column_weight, center, inverse, half):
    mass = np.zeros(2 * half)
    count = np.zeros(2 * half, np.int64)
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            weight = row_weight[i] * column_weight[j]
            if weight > 0.0:
                cell = cell_kernel((matrix[i, j] - center) * inverse, half)
                mass[cell] += weight
                count[cell] += 1
    return mass, count


@njit(cache=True, nogil=True)
def moments_kernel(
    matrix, row_weight, column_weight, center, inverse, half, edges, density, offset
):
    moments = np.zeros((2, offset[-1]))
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            weight = row_weight[i] * column_weight[j]
            if weight > 0.0:
                x = (matrix[i, j] - center) * inverse
                cell = cell_kernel(x, half)
                part = int((x - edges[cell]) * density[cell])
                # the float32 logarithm may put x just outside its cell's edges
                bin_ = min(max(offset[cell] + part, offset[cell]), offset[cell + 1] - 1)
                moments[0, bin_] += weight
                moments[1, bin_] += weight * x
    return moments


@njit(cache=True, nogil=True)
def laplace_cdf_kernel(mass, mean, decay, edges):
    # at an edge e: sum_{x <= e} w (1 - exp((x - e) / h) / 2) + sum_{x > e} w exp((e - x) / h) / 2;
    # both exponential sums decay from one edge to the next
    below = np.zeros(edges.size)
    i, passed, decaying, last = 0, 0.0, 0.0, edges[0]
    for j in range(edges.size):
        decaying *= np.exp((last - edges[j]) / decay)
        while i < mean.size and mean[i] <= edges[j]:
            passed += mass[i]
            decaying += mass[i] * np.exp((mean[i] - edges[j]) / decay)
            i += 1
        below[j] = passed - 0.5 * decaying
        last = edges[j]
    i, decaying = mean.size - 1, 0.0
    for j in range(edges.size - 1, -1, -1):
        decaying *= np.exp((edges[j] - last) / decay)
        while i >= 0 and mean[i] > edges[j]:
            decaying += mass[i] * np.exp((edges[j] - mean[i]) / decay)
            i -= 1
        below[j] += 0.5 * decaying
        last = edges[j]
    return below


@njit(cache=True, nogil=True)
def cell_cost_kernel(mass, first, second):
    # a mass that vanishes beside the running sum, and a variance below rounding, cost nothing
    return max(second - first * first / mass, 0.0) if mass > 0.0 else 0.0


@njit(cache=True, nogil=True)
def best_cells_kernel(s0, s1, s2, n_levels):
    # s0, s1, s2 (B + 1,): running sums of w, w x, w x^2 over the bins' means x
    n = s0.size - 1
    split = np.zeros((n_levels, n + 1), np.int32)
    before = np.empty(n + 1)
    cost = np.empty(n + 1)
    for j in range(1, n + 1):
        cost[j] = cell_cost_kernel(s0[j] - s0[0], s1[j] - s1[0], s2[j] - s2[0])
    for level in range(1, n_levels):
        before, cost = cost, before
        # ends j = level + 1 .. n; halving strides, so that both neighbours' splits are known
        stride = 1
        while stride <= n - level:
            stride *= 2
        while stride >= 1:
            for j in range(level + stride, n + 1, 2 * stride):
                low = split[level, j - stride] if j - stride > level else level
                high = split[level, j + stride] if j + stride <= n else j - 1
                best = np.inf
                where = low
                for i in range(low, min(high, j - 1) + 1):
                    own = cell_cost_kernel(s0[j] - s0[i], s1[j] - s1[i], s2[j] - s2[i])
                    value = before[i] + own
                    if value < best:
                        best = value
                        where = i
                cost[j] = best
                split[level, j] = where
            stride //= 2
    ends = np.empty(n_levels, np.int64)
    end = n
    for level in range(n_levels - 1, -1, -1):
        ends[level] = end
        end = split[level, end]
    return ends
