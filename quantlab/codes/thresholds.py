"""Thresholds as the kernels search them: exact in the entries' own precision."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.codebook import Codebook

# more thresholds than this are found by a table: 31 comparisons a value take about as long
_MOST_COUNTED = 31
# a comparison with each of so few takes no longer than halving
_FEWEST_SEARCHED = 7
_MOST_BUCKETS = 1 << 14


def exact_thresholds(codebook: Codebook, dtype: np.dtype) -> NDArray:
    """Thresholds of `dtype` that part its values just as the float64 ones do."""
    # x > t for x of a coarser precision is x > (t rounded down to it)
    return rounded_down(codebook.thresholds, dtype)


def rounded_down(values: NDArray[np.float64], dtype: np.dtype) -> NDArray:
    """The largest number of `dtype` that is not above each value."""
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    above = rounded > values
    rounded[above] = np.nextafter(rounded[above], dtype.type(-np.inf))
    return rounded


@lru_cache(maxsize=64)
def finder(codebook: Codebook, dtype: np.dtype) -> Any:
    """find(values, codes) -> all finite, for values of `dtype`."""
    from quantlab.codes import kernels, search

    thresholds = exact_thresholds(codebook, dtype)
    n = thresholds.size
    if n > _FEWEST_SEARCHED and dtype == np.float32 and search.here():
        nodes = search.tree(thresholds, n.bit_length())
        down = search.search_kernel(n.bit_length())
        return lambda values, codes: down(values, nodes, codes)
    if n <= _MOST_COUNTED:
        padded = np.full((1 << n.bit_length()) - 1, np.inf, dtype)
        padded[:n] = thresholds
        count = kernels.count_kernel(padded.size)
        return lambda values, codes: count(values, padded, codes)
    start = thresholds[0]
    n_buckets = 4 * n
    while True:
        own, inverse = _buckets(thresholds, n_buckets)
        most = int(np.bincount(own).max())
        if most <= 1 or n_buckets >= _MOST_BUCKETS or inverse == 0:
            break
        n_buckets *= 2
    first = np.searchsorted(own, np.arange(n_buckets), side="left").astype(np.uint8)
    padded = np.concatenate([thresholds, np.full(2 * most + 1, np.inf, dtype)])
    bucket = kernels.bucket_kernel(most.bit_length())
    last = dtype.type(n_buckets - 1)
    return lambda values, codes: bucket(values, start, inverse, first, last, padded, codes)


def _buckets(thresholds: NDArray, n_buckets: int) -> tuple[NDArray[np.intp], Any]:
    """The bucket of each threshold, by the same arithmetic as in the kernel."""
    own = np.zeros(thresholds.size, np.intp)
    with np.errstate(over="ignore", divide="ignore"):
        reach = thresholds[-1] - thresholds[0]
        inverse = thresholds.dtype.type(n_buckets) / reach
    # a range that overflows or vanishes: one bucket, the first, where 0, inf * 0 and NaN land
    if not (np.isfinite(reach) and np.isfinite(inverse)):
        return own, thresholds.dtype.type(0)
    own[:] = np.minimum((thresholds - thresholds[0]) * inverse, n_buckets - 1)
    return own, inverse
