"""Codebooks by the (weighted) Lloyd-Max conditions."""

from __future__ import annotations

import numpy as np
import scipy  # its subpackages load on first use

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.density import PointDensity
from quantlab.pairs import OPERANDS, Operand, Pair
from quantlab.pairs.base import FloatArray

_MAX_STEPS = 500
# of a standard deviation: below _ROUNDING, Newton moves that stop shrinking are rounding
_TOLERANCE, _ROUNDING, _SYMMETRIC = 1e-13, 1e-9, 1e-6
# share of the cells' borders in the Hessian: 1 is Newton's step, 0 is Lloyd's
_BORDER_SHARES = (1.0, 0.9, 0.6, 0.0)


def design_lloyd_max(
    pair: Pair,
    n_levels: int | tuple[int, int],
    inner_dim: int | None = None,
    *,
    weighted: bool = False,
) -> tuple[Codebook, Codebook]:
    r"""Nearest-centre codebooks whose centres are the (weighted) centroids of their cells.

    .. math::
        \min_c \int f(x)\, w(x)\, (x - q_c(x))^2 dx: \qquad
        c_i = \frac{\int_{t_i}^{t_{i+1}} x f w\, dx}{\int_{t_i}^{t_{i+1}} f w\, dx}, \quad
        t_i = \tfrac12 (c_{i-1} + c_i)

    with f the operand's pdf and w = 1, or, weighted, w_X(x) = E[Y^2 | X = x].

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    n_levels : int or (int, int)
        K, or (K_X, K_Y); each at least 2.
    inner_dim : int, optional
        Unused: the criterion does not depend on it.
    weighted : bool
        False: the least error of the entries (Lloyd 1982, Max 1960).
        True: the least leading error of the product.

    Returns
    -------
    (Codebook, Codebook)
        For X and for Y, in the data's own unit; `info["steps"]` counts the iterations.

    Raises
    ------
    ValueError, TypeError
        If a number of levels is not an integer of at least 2.

    Notes
    -----
    Newton's method on the conditions, whose Jacobian is tridiagonal; where that step is not
    downhill, the borders' part of the Jacobian is reduced, down to Lloyd's own step, which
    always is. A symmetric law gives a symmetric codebook. Centres are right to about 1e-13
    standard deviations.

    Choosing: a finite-K refinement of `design_companding`. A Lloyd-Max codebook shrinks the
    product (`exact_mse(...).gain` > 1); `design_bilinear` does not, and is better at any K.

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> cb_x, cb_y = design_lloyd_max(GaussianPair(rho=0.5), n_levels=4)
    >>> cb_x.centers.round(4)
    array([-1.5104, -0.4528,  0.4528,  1.5104])
    """
    name = "weighted_lloyd_max" if weighted else "lloyd_max"
    books = []
    for operand, k in zip(OPERANDS, check.levels(n_levels), strict=True):
        centers, steps = _solve(pair, operand, k, weighted)
        books.append(Codebook(centers, info={"design": name, "operand": operand, "steps": steps}))
    return books[0], books[1]


def lloyd_trace(
    pair: Pair, n_levels: int, operand: Operand = "x", *, weighted: bool = False, steps: int = 60
) -> FloatArray:
    r"""Centres at each step of Lloyd's own iteration, from the compander's.

    .. math:: c_i \leftarrow \frac{\int_{t_i}^{t_{i+1}} x\, g(x)\,dx}
                                  {\int_{t_i}^{t_{i+1}} g(x)\,dx}, \qquad
              t_i = \tfrac12 (c_{i-1} + c_i)

    with g = f, or g = f w where `weighted`. `design_lloyd_max` reaches the same fixed point by
    Newton steps; this is the slower path that textbooks draw.

    Parameters
    ----------
    pair : Pair
    n_levels : int
        K, at least 2.
    operand : {"x", "y"}
    weighted : bool
    steps : int
        Iterations, at least 1.

    Returns
    -------
    ndarray, shape (steps + 1, K)
        In the data's own unit; row 0 is the start.

    Raises
    ------
    ValueError, TypeError
        If n_levels < 2, steps < 1, or the operand does not exist.

    Notes
    -----
    S. P. Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28 (1982).

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> trace = lloyd_trace(GaussianPair(0.0), 2, steps=3)
    >>> trace.round(4)[:, 1]
    array([1.1683, 0.7979, 0.7979, 0.7979])
    """
    k = check.count(n_levels, "n_levels", 2)
    steps = check.count(steps, "steps", 1)
    density = (PointDensity.optimal if weighted else PointDensity.mse)(pair, operand)
    trace = [density.scale * density.ppf((np.arange(k) + 0.5) / k)]
    for _ in range(steps):
        mass, moment = pair.cell_moments(_midpoints(trace[-1]), operand, weighted=weighted)
        trace.append(moment / mass)
    return np.array(trace)


def _solve(pair: Pair, operand: Operand, k: int, weighted: bool) -> tuple[FloatArray, int]:
    density = (PointDensity.optimal if weighted else PointDensity.mse)(pair, operand)
    c = density.scale * density.ppf((np.arange(k) + 0.5) / k)
    # a symmetric codebook can be a saddle (odd K, bimodal f w): rounding must not tip it over
    symmetric = np.max(np.abs(c + c[::-1])) < _SYMMETRIC * density.scale
    if symmetric:
        c = 0.5 * (c - c[::-1])
    moments = pair.cell_moments(_midpoints(c), operand, weighted=weighted)
    previous = np.inf
    steps = 0
    while steps < _MAX_STEPS:
        steps += 1
        for share in _BORDER_SHARES:
            move = _newton_step(pair, operand, c, moments, share, weighted)
            if symmetric:
                move = 0.5 * (move - move[::-1])
            trial_c = c + move
            if not np.all(np.diff(trial_c) > 0):
                continue
            trial = pair.cell_moments(_midpoints(trial_c), operand, weighted=weighted)
            # the change of sum(m_2 - 2 c m_1 + c^2 m_0), whose m_2 is the same for all c
            gain = _explained(trial_c, trial) - _explained(c, moments)
            if share == 0.0 or gain > -1e-14 * abs(_explained(c, moments)):
                break
        c, moments = trial_c, trial
        size = np.max(np.abs(move)) / density.scale
        if size < _TOLERANCE or (share == 1.0 and previous < 2 * size < _ROUNDING):
            break
        previous = size
    return c, steps


def _midpoints(c: FloatArray) -> FloatArray:
    return 0.5 * (c[:-1] + c[1:])


def _explained(c: FloatArray, moments: FloatArray) -> float:
    return float(np.sum(c * (2 * moments[1] - c * moments[0])))


def _newton_step(
    pair: Pair,
    operand: Operand,
    c: FloatArray,
    moments: FloatArray,
    share: float,
    weighted: bool,
) -> FloatArray:
    """Solve (diag(mass) - share * borders) step = first - c mass; NaN unless downhill."""
    mass, first = moments
    t = _midpoints(c)
    density = pair.pdf(t, operand)
    if weighted:
        density = density * pair.weight(t, operand)
    border = 0.25 * share * np.diff(c) * density
    bands = np.zeros((2, c.size))
    bands[1] = mass
    bands[1, :-1] -= border
    bands[1, 1:] -= border
    bands[0, 1:] = -border
    try:
        return scipy.linalg.solveh_banded(bands, first - c * mass)
    except np.linalg.LinAlgError:
        return np.full_like(c, np.nan)
