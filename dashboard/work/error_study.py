"""Exact errors for the Error page, without a GUI: curves over K and k, and one sampled product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quantlab import ExactError, exact_mse, matmul
from quantlab.measure import code

from ..state import INNER_DIMS, Problem
from .measurements import SWEEP, Point, codebooks, measure_points, most_levels

#: Rows and columns of the product whose error is drawn entry by entry.
SIDE = 64


@dataclass(frozen=True)
class Split:
    """Exact variance and bias of one design against the inner dimension, as shares of E[C^2]."""

    inner_dims: tuple[int, ...]
    variance: NDArray[np.float64]
    bias: NDArray[np.float64]
    with_gain: NDArray[np.float64]
    takeover: float
    gain: NDArray[np.float64]

    def at(self, inner_dim: int) -> tuple[float, float, float, float]:
        """Variance, bias, the best gain and the error with it at one inner dimension."""
        i = self.inner_dims.index(inner_dim)
        parts = (self.variance, self.bias, self.gain, self.with_gain)
        variance, bias, gain, left = (float(part[i]) for part in parts)
        return variance, bias, gain, left

    @property
    def total(self) -> NDArray[np.float64]:
        return self.variance + self.bias


@lru_cache(maxsize=2048)
def exact(problem: Problem, design: str, k_x: int, k_y: int) -> ExactError:
    """Exact error of a design under the problem's law."""
    return exact_mse(problem.law(), *codebooks(problem, design, k_x, k_y), problem.inner_dim)


def levels_shown(problem: Problem, design: str) -> tuple[int, ...]:
    """The K at which a design is fast enough to be drawn."""
    return tuple(k for k in SWEEP if k <= most_levels(problem, design))


@lru_cache(maxsize=2048)
def held_out(problem: Problem, design: str, k_x: int, k_y: int) -> Point:
    """Measured error of a design on the part of given matrices that is held out."""
    return measure_points(problem, k_x, k_y, (design,), 1)[design]


@lru_cache(maxsize=256)
def split(problem: Problem, design: str, k_x: int, k_y: int) -> Split:
    """Variance grows like k and bias like k^2: they cross at the inner dimension `takeover`.

    The codebooks are those made for the problem's own inner dimension.
    """
    law = problem.law()
    books = codebooks(problem, design, k_x, k_y)
    errors = [exact_mse(law, *books, k) for k in INNER_DIMS]
    energy = np.array([law.energy(k) for k in INNER_DIMS])
    one = errors[0]
    takeover = one.variance / one.bias if one.bias > 0 else np.inf
    return Split(
        INNER_DIMS,
        np.array([e.variance for e in errors]) / energy,
        np.array([e.bias for e in errors]) / energy,
        np.array([e.nmse_with_gain for e in errors]),
        takeover,
        np.array([e.gain for e in errors]),
    )


def sampled_errors(
    problem: Problem, designs: tuple[str, ...], k_x: int, k_y: int, gain: bool = False
) -> dict[str, tuple[NDArray[np.float32], float]]:
    """C - Cq of one sampled product, over the rms of C, and its mean square, for each design.

    Of given matrices the first rows and columns of a product that is held out.
    """
    if (given := problem.given) is None:
        law = problem.law()
        a, b = law.sample_matrices(SIDE, problem.inner_dim, SIDE, rng=problem.seed)
        energy = law.energy(problem.inner_dim)
    else:
        a, b = given.held_out[0]
        a, b = a[:SIDE], b[:, :SIDE]
        energy = float(np.mean(np.square(a @ b, dtype=np.float64)))
    c, unit = a @ b, float(np.sqrt(energy))
    found = {}
    for name in designs:
        cb_x, cb_y = codebooks(problem, name, k_x, k_y)
        if gain:
            cb_x = cb_x.scaled(exact(problem, name, k_x, k_y).gain)
        error = (c - matmul(*code(a, b, cb_x, cb_y, problem.rounding), route="fp32")) / unit
        found[name] = (error, float(np.mean(np.square(error, dtype=np.float64))))
    return found
