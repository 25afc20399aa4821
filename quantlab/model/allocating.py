"""Bits for each product of a model under one budget."""

from __future__ import annotations

import heapq
from collections.abc import Mapping


def allocate_bits(
    losses: Mapping[str, Mapping[int, float]], sizes: Mapping[str, float], mean: float
) -> dict[str, int]:
    r"""Whole bits a product that lower the sum of losses most.

    .. math:: \min_b \sum_p L_p(b_p) \quad\text{where}\quad
              \sum_p n_p b_p \le R \sum_p n_p

    Parameters
    ----------
    losses : mapping
        Product -> bits -> L_p: what the model loses where this product alone has so many bits.
        The same numbers of bits for all; the least of them is where each starts.
    sizes : mapping
        Product -> n_p, entries that have these bits.
    mean : float
        R.

    Returns
    -------
    dict
        Product -> bits.

    Raises
    ------
    ValueError
        If R is below the least number of bits, or products differ in them.

    Notes
    -----
    Greedy on the gain a bit and entry along the lower convex hull of each product's losses, among
    the steps that still fit. It supposes that losses add up.

    Examples
    --------
    >>> losses = {"a": {2: 9.0, 3: 3.0, 4: 1.0}, "b": {2: 1.0, 3: 0.5, 4: 0.2}}
    >>> allocate_bits(losses, {"a": 10, "b": 10}, mean=3)
    {'a': 4, 'b': 2}
    """
    rungs = sorted(next(iter(losses.values())))
    if any(sorted(each) != rungs for each in losses.values()):
        raise ValueError(f"losses must have the same bits for every product; the first has {rungs}")
    if mean < rungs[0]:
        raise ValueError(f"mean must be at least the least bits, {rungs[0]}; got {mean:g}")
    found = dict.fromkeys(losses, rungs[0])
    left = (mean - rungs[0]) * sum(sizes[name] for name in losses) * (1 + 1e-12)
    waiting: list[tuple[float, str, int]] = []

    def offer(name: str) -> None:
        own, now = losses[name], found[name]
        steps = [
            ((own[more] - own[now]) / ((more - now) * sizes[name]), name, more)
            for more in rungs
            if more > now and (more - now) * sizes[name] <= left
        ]
        if steps and min(steps)[0] < 0:
            heapq.heappush(waiting, min(steps))

    for name in losses:
        offer(name)
    while waiting:
        _, name, more = heapq.heappop(waiting)
        cost = (more - found[name]) * sizes[name]
        if cost <= left:
            found[name], left = more, left - cost
        offer(name)  # where it no longer fitted, a smaller step
    return found


def mean_bits(bits: Mapping[str, int], sizes: Mapping[str, float]) -> float:
    r"""Bits of an entry over all products, :math:`\sum_p n_p b_p / \sum_p n_p`.

    Examples
    --------
    >>> mean_bits({"a": 4, "b": 2}, {"a": 30, "b": 10})
    3.5
    """
    return sum(sizes[name] * each for name, each in bits.items()) / sum(
        sizes[name] for name in bits
    )
