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


@kernel
def ladder_kernel(points, mass, total, first, steps, errors):  # type: ignore[no-untyped-def]
    # errors (b + 1,) gets what codebooks of 1, 2, .. 2^b levels leave; the rest as above
    centers = np.empty(1 << (errors.size - 1))
    for bits in range(errors.size):
        levels = 1 << bits
        if points.size <= levels:
            errors[bits] = 0.0
        else:
            errors[bits] = lloyd_kernel(points, mass, total, first, levels, steps, centers)


@kernel
def cells_kernel(middle, running, moment, borders, mass, first):  # type: ignore[no-untyped-def]
    # middle (G + 1,): ends of bins, increasing; running, moment (G + 1,): what lies below each end,
    # mass even inside a bin; borders (count,) do not decrease, the last inf; mass, first (count,)
    # get each cell's share of both
    size = middle.size
    at = 0
    below, below_first = 0.0, 0.0
    for cell in range(mass.size):
        cut = borders[cell]
        while at < size and middle[at] <= cut:
            at += 1
        here, here_first = running[max(at - 1, 0)], moment[max(at - 1, 0)]
        if 0 < at < size:
            low = middle[at - 1]
            part = (running[at] - here) * (cut - low) / (middle[at] - low)
            here += part
            here_first += part * 0.5 * (low + cut)
        mass[cell], first[cell] = here - below, here_first - below_first
        below, below_first = here, here_first


@kernel
def cheapest_kernel(values, prices, borders):  # type: ignore[no-untyped-def]
    # cell i costs (t - values[i])^2 + prices[i] at t; values (count,) do not decrease; borders
    # (count,): cell i is cheapest from borders[i - 1] to borders[i], or nowhere where they agree.
    # The least of parabolas of one width is the least of lines: a hull, built from the left
    count = values.size
    kept = np.empty(count, np.int64)
    start = np.empty(count)  # from where the kept one is cheaper than the one kept before it
    top = -1
    for i in range(count):
        cut = -np.inf
        while top >= 0:
            j = kept[top]
            apart = values[i] - values[j]
            if apart > 0:
                middle = 0.5 * (values[i] + values[j])
                cut = middle + 0.5 * (prices[i] - prices[j]) / apart
            else:
                cut = -np.inf if prices[i] < prices[j] else np.inf
            if cut > start[top]:
                break
            top -= 1
            cut = -np.inf
        if cut < np.inf:
            top += 1
            kept[top], start[top] = i, cut
    at = 0
    for i in range(count):
        if at < top and i >= kept[at + 1]:
            at += 1
        if i < kept[0]:
            borders[i] = -np.inf
        else:
            borders[i] = start[at + 1] if at < top else np.inf
