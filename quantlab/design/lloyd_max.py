"""Codebooks by the (weighted) Lloyd-Max conditions."""

from __future__ import annotations

import numpy as np
import scipy  # its subpackages load on first use

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.density import PointDensity
from quantlab.design._books import two_codebooks
from quantlab.pairs import Operand, Pair
from quantlab.pairs.base import FloatArray

_MAX_STEPS = 500
# of a standard deviation, or of the centre beyond one: below _ROUNDING, Newton moves that stop
# shrinking are rounding
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
        If a number of levels is not an integer of at least 2; ValueError too if E[X^2 Y^2] is
        infinite (weighted), or if a law's mass cannot be told apart in that many cells.

    Notes
    -----
    Newton's method on the conditions, whose Jacobian is tridiagonal; where that step is not
    downhill, the borders' part of the Jacobian is reduced, down to Lloyd's own step, which
    always is. A symmetric law gives a symmetric codebook. Centres are right to about 1e-13
    standard deviations, and those further out to as much of themselves: under Student-t tails
    with nu near 4 the best weighted codebooks reach very far (1e6 at nu = 4.1, K = 16).

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

    law, e_x, e_y = pair.unit()

    def centers(operand: Operand, k: int) -> tuple[FloatArray, dict[str, object]]:
        found, steps = _solve(law, operand, k, weighted)
        return np.ldexp(found, e_x if operand == "x" else e_y), {"steps": steps}

    return two_codebooks(name, n_levels, centers)


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
    law, e_x, e_y = pair.unit()
    density = (PointDensity.optimal if weighted else PointDensity.mse)(law, operand)
    trace = [density.centers(k)]
    for _ in range(steps):
        mass, moment = law.cell_moments(_midpoints(trace[-1]), operand, weighted=weighted)
        trace.append(moment / mass)
    return np.ldexp(np.array(trace), e_x if operand == "x" else e_y)


def _solve(pair: Pair, operand: Operand, k: int, weighted: bool) -> tuple[FloatArray, int]:
    c, moments, scale = _start(pair, operand, k, weighted)
    # a symmetric codebook can be a saddle (odd K, bimodal f w): rounding must not tip it over
    symmetric = bool(np.all(np.abs(c + c[::-1]) < _SYMMETRIC * np.maximum(scale, np.abs(c))))
    if symmetric:
        c = 0.5 * (c - c[::-1])
        moments = pair.cell_moments(_midpoints(c), operand, weighted=weighted)
    previous = np.inf
    steps = 0
    while steps < _MAX_STEPS:
        steps += 1
        trial = None
        for share in _BORDER_SHARES:
            trial_c = _newton_step(pair, operand, c, moments, share, weighted, scale, symmetric)
            if not (np.all(np.isfinite(trial_c)) and np.all(np.diff(trial_c) > 0)):
                continue
            trial = pair.cell_moments(_midpoints(trial_c), operand, weighted=weighted)
            # the change of sum(m_2 - 2 c m_1 + c^2 m_0), whose m_2 is the same for all c
            gain = _explained(trial_c, trial) - _explained(c, moments)
            if share == 0.0 or gain > -1e-14 * abs(_explained(c, moments)):
                break
        if trial is None:
            raise ValueError(
                f"Lloyd-Max needs mass in every cell; {pair!r} has too little beyond "
                f"{np.max(np.abs(c)):.3g} to tell {k} centres apart"
            )
        size = np.max(np.abs(trial_c - c) / np.maximum(scale, np.abs(trial_c)))
        c, moments = trial_c, trial
        if size < _TOLERANCE or (share == 1.0 and previous < 2 * size < _ROUNDING):
            break
        previous = size
    return c, steps


def _start(
    pair: Pair, operand: Operand, k: int, weighted: bool
) -> tuple[FloatArray, FloatArray, float]:
    """The compander's centres, the moments of their cells, and the operand's deviation.

    Under heavy tails and few levels l*'s centres lie so far out that they are worse than none:
    then those of w = 1.
    """
    for make in (PointDensity.optimal, PointDensity.mse) if weighted else (PointDensity.mse,):
        density = make(pair, operand)
        c = density.centers(k)
        moments = pair.cell_moments(_midpoints(c), operand, weighted=weighted)
        if _explained(c, moments) > 0:
            break
    return c, moments, density.scale


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
    scale: float,
    symmetric: bool,
) -> FloatArray:
    """The next centres, by Newton's method in v = arsinh(c / scale); NaN unless downhill.

    With s = scale cosh(v) = dc/dv: s (diag(mass) - share * borders) s dv = s (first - c mass),
    and share times that gradient's own derivative by s. In v, centres many decades apart are
    alike; a symmetric codebook is solved for its upper half.
    """
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
    fall = first - c * mass
    half = (c.size + 1) // 2 if symmetric else 0
    if symmetric and c.size % 2 == 0:
        bands[1, half] += border[half - 1]  # the threshold at 0 stays
    c, mass, fall, bands = c[half:], mass[half:], fall[half:], bands[:, half:]

    slope = np.hypot(scale, c)
    bands[1] -= share * fall * c / slope**2
    bands[0, 0] = 0.0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        unit = 1 / np.sqrt(mass)  # of slope * dv: the diagonal is near 1 whatever the cell holds
        bands *= unit * unit
        bands[0, 1:] *= unit[:-1] / unit[1:]
        move = unit * _solve_banded(bands, unit * fall) / slope
        following = scale * np.sinh(np.arcsinh(c / scale) + move) if share else c + move * slope
    if not symmetric:
        return following
    middle = np.zeros(moments.shape[1] % 2)
    return np.concatenate([-following[::-1], middle, following])


def _solve_banded(bands: FloatArray, right: FloatArray) -> FloatArray:
    """Solve a symmetric tridiagonal system; NaN unless it is positive definite."""
    if not (np.all(np.isfinite(bands)) and np.all(np.isfinite(right)) and np.all(bands[1] > 0)):
        return np.full_like(right, np.nan)
    if right.size == 1:
        return right / bands[1]
    try:
        return scipy.linalg.solveh_banded(bands, right)
    except np.linalg.LinAlgError:
        return np.full_like(right, np.nan)
