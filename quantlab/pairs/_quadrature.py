"""Panels and nodes for laws without closed moments: the numerical fallback of `Pair`."""

from __future__ import annotations

import itertools
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
    """Split panels so that none within 8 widths of a step is wider than 2 widths."""
    if steps.size == 0 or not width < np.diff(edges).max():
        return edges
    steps = np.sort(steps)
    pieces = [edges]
    for left, right in itertools.pairwise(edges):
        near = np.searchsorted(steps, [left - _STEP_REACH * width, right + _STEP_REACH * width])
        if near[0] == near[1] or right - left <= 2 * width:
            continue
        lo = max(left, steps[near[0]] - _STEP_REACH * width)
        hi = min(right, steps[near[1] - 1] + _STEP_REACH * width)
        pieces.append(np.linspace(lo, hi, int(np.ceil((hi - lo) / (2 * width))) + 1))
    return np.unique(np.concatenate(pieces))


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
