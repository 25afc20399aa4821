"""Loops over the levels of one index's codebook. No checks; every array is C-ordered."""

from __future__ import annotations

import numpy as np

from quantlab._jit import kernel


@kernel
def lloyd_kernel(points, mass, total, first, n_levels, steps, centers):  # type: ignore[no-untyped-def]
    # points (G,) increase; mass (G,); total, first (G + 1,): running sums of mass, mass * point;
    # centers (n_levels,) gets the codebook; returns the mean squared error that it leaves
    size = points.size
    ends = np.empty(n_levels + 1, np.int64)
    ends[0], ends[n_levels] = 0, size
    # start: equal shares of density^(1/3), which is mass^(1/3) width^(2/3)
    share = np.empty(size)
    running = 0.0
    for g in range(size):
        low = points[g - 1] if g > 0 else points[0]
        high = points[g + 1] if g + 1 < size else points[size - 1]
        running += (mass[g] * (high - low) ** 2) ** (1 / 3)
        share[g] = running
    g = 0
    for level in range(1, n_levels):
        while g < size - 1 and share[g] < running * level / n_levels:
            g += 1
        ends[level] = max(g, ends[level - 1])
    for step in range(steps + 1):
        for level in range(n_levels):
            i, j = ends[level], ends[level + 1]
            weight = total[j] - total[i]
            if weight > 0:
                centers[level] = (first[j] - first[i]) / weight
            else:  # an empty cell stands where it is
                centers[level] = points[min(i, size - 1)]
        if step == steps:
            break
        moved = False
        for level in range(1, n_levels):
            cut = 0.5 * (centers[level - 1] + centers[level])
            low, high = ends[level - 1], size
            while low < high:
                middle = (low + high) >> 1
                if points[middle] <= cut:
                    low = middle + 1
                else:
                    high = middle
            if low != ends[level]:
                ends[level] = low
                moved = True
        if not moved:
            break
    error = 0.0
    for level in range(n_levels):
        for g in range(ends[level], ends[level + 1]):
            error += mass[g] * (points[g] - centers[level]) ** 2
    return error / total[size]
