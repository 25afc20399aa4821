"""Panels and nodes for laws without closed moments: the numerical fallback of `Pair`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_NEGLIGIBLE = 1e-18
_STEP_REACH = 8.0


def marginal_edges(
    pdf: Callable[[FloatArray], FloatArray], sigma: float, support: tuple[float, float]
) -> FloatArray:
    """Panel edges on the operand's axis: half octaves about 0, out to where u^5 f(u) vanishes."""
    half = np.sqrt(2.0) ** np.arange(-40, 120) * sigma
    mass = np.maximum(pdf(half), pdf(-half)) * sigma * (half / sigma) ** 5
    inner = half[: int(np.flatnonzero(mass > _NEGLIGIBLE)[-1]) + 2]
    edges = np.concatenate([-inner[::-1], [0.0], inner])
    low, high = support
    ends = [end for end in support if np.isfinite(end)]
    return np.unique(np.concatenate([edges[(edges > low) & (edges < high)], ends]))


def resolve_steps(edges: FloatArray, steps: FloatArray, width: float) -> FloatArray:
    """Split panels so that none within 8 widths of a step is wider than 2 widths.

    Adds about 8 panels a step at most, however narrow they are; at width 0 the steps are edges.
    """
    if steps.size == 0 or not width < np.diff(edges).max():
        return edges
    steps = np.unique(steps)
    if width == 0:
        added = steps
    else:
        # runs of steps whose surroundings overlap
        last = np.flatnonzero(np.append(np.diff(steps) > 2 * _STEP_REACH * width, True))
        first = np.append(0, last[:-1] + 1)
        lows, highs = steps[first] - _STEP_REACH * width, steps[last] + _STEP_REACH * width
        added = np.concatenate([
            np.linspace(low, high, int(np.ceil((high - low) / (2 * width))) + 1)
            for low, high in zip(lows, highs, strict=True)
        ])  # fmt: skip
    return np.union1d(edges, added[(added > edges[0]) & (added < edges[-1])])


def gauss_nodes(edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """16-point Gauss-Legendre nodes and weights, shape (panels, 16)."""
    half = 0.5 * np.diff(edges)[:, None]
    return 0.5 * (edges[1:] + edges[:-1])[:, None] + half * _NODES, half * _WEIGHTS


def cell_sums(values: FloatArray, edges: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Sum per-panel values (panels, ...) into the cells between thresholds (all of them edges)."""
    cell = np.searchsorted(thresholds, 0.5 * (edges[1:] + edges[:-1]))
    total = np.zeros((thresholds.size + 1, *values.shape[1:]))
    np.add.at(total, cell, values)
    return total
