"""How many bits each index gets: reverse water-filling in whole bits."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def equal_bits(weights: FloatArray, bits: float, most_bits: int) -> NDArray[np.int64]:
    """The same bits for each index; what is left of a fraction goes where an error costs most."""
    k = weights.size
    each = min(int(bits), most_bits)
    found = np.full(k, each)
    extra = int(k * bits + 1e-9) - k * each
    found[np.argsort(-weights, kind="stable")[:extra]] += 1
    return np.minimum(found, most_bits)


def allocated_bits(errors: FloatArray, bits: float) -> NDArray[np.int64]:
    r"""Bits an index that lower the sum of errors most.

    .. math:: \min_b \sum_l d_l(b_l) \quad\text{where}\quad \sum_l b_l \le k R

    Parameters
    ----------
    errors : ndarray, shape (k, most_bits + 1)
        d_l(b): what the product pays for index l at b bits.
    bits : float
        R, the mean.

    Returns
    -------
    ndarray of int, shape (k,)

    Notes
    -----
    Greedy on the gain a bit along the lower convex hull of each index's errors, which is optimal
    but for the last step.

    Examples
    --------
    >>> allocated_bits(np.array([[16.0, 4.0, 1.0], [1.0, 0.25, 0.06]]), bits=1)
    array([2, 0])
    """
    k, width = errors.shape
    budget = int(k * bits + 1e-9)
    found = np.zeros(k, np.int64)
    waiting: list[tuple[float, int, int]] = []

    def offer(index: int) -> None:
        now = found[index]
        if now + 1 < width:
            gains = (errors[index, now] - errors[index, now + 1 :]) / np.arange(1, width - now)
            more = int(np.argmax(gains))
            if gains[more] > 0:
                heapq.heappush(waiting, (-float(gains[more]), index, more + 1))

    for index in range(k):
        offer(index)
    while waiting and budget > 0:
        _, index, more = heapq.heappop(waiting)
        step = min(more, budget)
        found[index] += step
        budget -= step
        offer(index)
    return found
