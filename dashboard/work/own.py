"""Codebooks of one's own: their exact error, and the best design to measure them by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab import Codebook, Pair, exact_mse
from quantlab.files.codebooks import Books
from quantlab.pairs import Operand

from ..state import DESIGN_LABELS, Problem
from .measurements import codebooks, most_levels


def own_books(problem: Problem, x: Sequence[float], y: Sequence[float]) -> Books:
    """Codebooks of the centres in standard deviations; B's are A's where there are none."""
    pair = problem.law()
    own_x = Codebook([u * pair.sigma("x") for u in x])
    return own_x, Codebook([u * pair.sigma("y") for u in y or x])


def exact_shares(problem: Problem, books: Books) -> dict[str, float]:
    """What browser/exact.js returns: variance and bias as shares of E[C_ij^2], nmse and the gain.

    ValueError where they overflow.
    """
    pair, k = problem.law(), problem.inner_dim
    error, energy = exact_mse(pair, *books, k), pair.energy(k)
    return {
        "variance": error.variance / energy,
        "bias": error.bias / energy,
        "nmse": error.nmse,
        "gain": error.gain,
        "nmse_with_gain": error.nmse_with_gain,
    }


def cell_shares(
    pair: Pair, book: Codebook, operand: Operand
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each cell's probability, and its share of E[w(X) (X - c(X))^2], what its errors cost C."""
    sigma = pair.sigma(operand)
    v = np.linspace(-8, 8, 16001)  # u = sinh(v): tails up to 1,500 sigma
    x = np.sinh(v) * sigma
    mass = pair.pdf(x, operand) * np.cosh(v) * sigma * (v[1] - v[0])
    code = np.searchsorted(book.thresholds, x)
    cost = mass * pair.weight(x, operand) * (x - book.centers[code]) ** 2
    total = float(np.sum(cost))
    costs = np.bincount(code, cost, book.n_levels) / (total or 1.0)
    return np.bincount(code, mass, book.n_levels).astype(np.float64), costs


@lru_cache(maxsize=1024)
def best_known(problem: Problem, k_x: int, k_y: int) -> dict[str, Any]:
    """Of the designs that are quick at these levels, the one of least exact error.

    Centres are in standard deviations, `problem` is repr(problem).
    """
    pair, found = problem.law(), list[tuple[float, str, Books]]()
    for name in ("closed_form", "weighted_lloyd_max", "bilinear"):
        if max(k_x, k_y) <= most_levels(problem, name):
            books = codebooks(problem, name, k_x, k_y)
            found.append((exact_mse(pair, *books, problem.inner_dim).nmse, name, books))
    nmse, name, books = min(found, key=lambda row: row[0])
    return {
        "problem": repr(problem),
        "name": DESIGN_LABELS[name],
        "nmse": nmse,
        "x": (books[0].centers / pair.sigma("x")).tolist(),
        "y": (books[1].centers / pair.sigma("y")).tolist(),
    }
