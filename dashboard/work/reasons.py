"""Why a design's error is what it is: its parts, computed where a law has a formula."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from quantlab import encode, matmul
from quantlab.measure import code

from ..state import LEVELS, Problem
from .error_study import exact
from .measurements import SIZE, codebooks, most_levels


@dataclass(frozen=True)
class Reason:
    """Parts of an error, as shares of the product's energy.

    Attributes
    ----------
    nmse, gain, nmse_with_gain : float
        As `quantlab.ExactError` has them.
    variance, bias : float or None
        None where only a sample says what the error is: given matrices, or rounding with feedback.
    doubled : float or None
        nmse at twice the levels of both; None where the design is not made for so many.
    """

    nmse: float
    gain: float
    nmse_with_gain: float
    variance: float | None = None
    bias: float | None = None
    doubled: float | None = None


@lru_cache(maxsize=512)
def reason(problem: Problem, design: str, k_x: int, k_y: int) -> Reason:
    """The parts of one design's error at these levels."""
    if problem.given is not None or problem.fed_back:
        return _sampled(problem, design, k_x, k_y)
    error = exact(problem, design, k_x, k_y)
    share = error.nmse / error.mse if error.mse else 0.0
    more = 2 * max(k_x, k_y) <= min(most_levels(problem, design), LEVELS[1])
    return Reason(
        error.nmse, error.gain, error.nmse_with_gain, error.variance * share, error.bias * share,
        exact(problem, design, 2 * k_x, 2 * k_y).nmse if more else None,
    )  # fmt: skip


def _sampled(problem: Problem, design: str, k_x: int, k_y: int) -> Reason:
    """Of what was held out, or of one product with feedback."""
    books = codebooks(problem, design, k_x, k_y)
    if (given := problem.given) is not None:
        pairs = given.held_out
    else:
        law = problem.law()
        pairs = (law.sample_matrices(SIZE, problem.inner_dim, SIZE, rng=problem.seed),)
    exact_sum = cross = coded_sum = 0.0
    for a, b in pairs:
        coded = (
            code(a, b, *books, problem.rounding)
            if problem.fed_back
            else (encode(a, books[0]), encode(b, books[1]))
        )
        c, found = (np.asarray(m, np.float64) for m in (a @ b, matmul(*coded, route="fp32")))
        exact_sum += float(np.sum(c * c))
        cross += float(np.sum(c * found))
        coded_sum += float(np.sum(found * found))
    gain = cross / coded_sum if coded_sum else 1.0
    lost = (exact_sum - 2 * cross + coded_sum) / exact_sum
    return Reason(lost, gain, max(0.0, 1 - cross * gain / exact_sum))
