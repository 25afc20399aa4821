"""Special correlations: where the optimum splits, in the limit and at finite K; the hardest."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from quantlab import _validate as check
from quantlab.design import design_bilinear
from quantlab.distortion import leading_constant
from quantlab.pairs import GaussianPair, Operand, Pair
from quantlab.progress import Meter, Progress

# distances from 0, in standard deviations, from which the curvature there is extrapolated
_DISTANCES = 2.0 ** -np.arange(3.0, 9.0)
_RHO_TOLERANCE = 1e-10


def critical_rho(
    family: Callable[[float], Pair] = GaussianPair,
    operand: Operand = "x",
    *,
    entropy_coded: bool = False,
) -> float:
    r"""The correlation at which the optimal point density gains its dip at 0.

    .. math:: \frac{d^2}{dx^2} \log (f w) \Big|_{x = 0} = 0

    Parameters
    ----------
    family : callable
        rho -> Pair, with marginals symmetric about 0, for 0 <= rho < 1. ValueError from it ends
        the search: `lambda rho: IntermittentPair(rho, share=0.5)` has no |rho| > 0.5.
    operand : {"x", "y"}
    entropy_coded : bool
        Of the best density under entropy coding, sqrt(w): there f is left out of the equation.

    Returns
    -------
    float
        rho to about 1e-8; 0.0 if l* dips for every rho > 0, NaN if it never does.

    Raises
    ------
    ValueError
        If operand is unknown; what `family` raises.

    Notes
    -----
    1/sqrt(3) for every elliptical law (derived in notebooks/03), and 0 for every elliptical law
    under entropy coding (derived in notebooks/09). The curvature is extrapolated
    from finite distances, so that a kink of f at 0 (Laplace) does no harm.

    Examples
    --------
    >>> from quantlab import UniformCopulaPair
    >>> bool(abs(critical_rho(GaussianPair) - 3**-0.5) < 1e-7)
    True
    >>> critical_rho(UniformCopulaPair)
    0.0
    """
    from scipy.optimize import brentq  # here: quantlab must import at once

    check.operand(operand)
    low, high = 1e-3, 1.0
    if _curvature(family(low), operand, entropy_coded) >= 0:
        return 0.0
    for step in range(1, 51):
        try:
            bends_up = _curvature(family(0.02 * step * (1 - 1e-9)), operand, entropy_coded) > 0
        except ValueError:
            return np.nan
        if bends_up:
            high = 0.02 * step * (1 - 1e-9)
            low = max(low, high - 0.02)
            root = brentq(
                lambda rho: _curvature(family(rho), operand, entropy_coded),
                low,
                high,
                xtol=_RHO_TOLERANCE,
            )
            return float(root)
    return np.nan


def _curvature(pair: Pair, operand: Operand, entropy_coded: bool = False) -> float:
    """Limit of (log g (d) - log g (0)) / d^2 as d -> 0, g = f w or w: Neville's extrapolation."""
    d = _DISTANCES
    x = np.concatenate([[0.0], d]) * pair.sigma(operand)
    weight = pair.weight(x, operand)
    height = np.log(weight if entropy_coded else pair.pdf(x, operand) * weight)
    table = (height[1:] - height[0]) / d**2
    for order in range(1, d.size):
        table = (d[:-order] * table[1:] - d[order:] * table[:-1]) / (d[:-order] - d[order:])
    return float(table[0])


def finite_size_critical_rho(
    n_levels: int, inner_dim: int = 1, *, progress: Progress = None
) -> float:
    r"""The correlation at which the exact optimal K-level codebook itself splits.

    .. math:: c_{h+1} - c_h = c_{h+2} - c_{h+1}

    with c_h the last centre at or below 0: the innermost gap has grown as wide as the next one
    out. For even K the innermost gap is the central one, between the two middle centres; for odd
    K, whose middle centre is 0, it is either gap next to that centre.

    Parameters
    ----------
    n_levels : int
        K of both operands, at least 4: fewer levels have no second gap.
    inner_dim : int
        k for which the codebooks are optimal (`design_bilinear`).
    progress : callable or True, optional
        progress(done, total, seconds left) at each codebook; True: a bar of tqdm's.

    Returns
    -------
    float
        rho in (0, 1), to about 1e-6; tends to 1/sqrt(3) as K grows. NaN if the innermost gap is
        never as wide as the next.

    Raises
    ------
    ValueError, TypeError
        If n_levels is below 4 or inner_dim below 1, or not an integer.

    Notes
    -----
    Derived in notebooks/04: the transition of the Gaussian pair, seen at finite size.

    Examples
    --------
    >>> round(finite_size_critical_rho(16), 4)
    0.591
    """
    from scipy.optimize import brentq

    k = check.count(n_levels, "n_levels", 4)
    check.count(inner_dim, "inner_dim")

    grid = np.linspace(0.0, 0.85, 18)
    with Meter(progress, grid.size, label="critical rho") as meter:

        def excess(rho: float) -> float:
            book, _ = design_bilinear(GaussianPair(rho), k, inner_dim, symmetric=True)
            inner, outer = np.diff(book.centers[(k - 1) // 2 :])[:2]
            meter.add()
            return float(inner / outer - 1)

        previous = excess(grid[0])
        for left, right in pairwise(grid.tolist()):
            following = excess(right)
            if previous < 0 <= following:
                return float(brentq(excess, left, right, xtol=1e-7))
            previous = following
    return np.nan


def worst_rho(family: Callable[[float], Pair] = GaussianPair) -> float:
    r"""The correlation at which scalar quantization of the product is hardest.

    .. math:: \rho_\mathrm{worst} = \arg\max_{0 \le \rho \le 1} c(\rho)

    with c the `leading_constant` of `family(rho)`, X and Y alike.

    Parameters
    ----------
    family : callable
        rho -> Pair; the Gaussian pair by default.

    Returns
    -------
    float
        rho in [0, 1], to about 1e-7: a maximum is flat.

    Raises
    ------
    ValueError, TypeError
        What `family` raises.

    Notes
    -----
    Derived in notebooks/03: c is not monotone, perfect correlation is easier than 0.91.

    Examples
    --------
    >>> from quantlab import leading_constant
    >>> rho = worst_rho()
    >>> round(rho, 5), round(leading_constant(GaussianPair(rho)), 5)
    (0.90872, 4.49802)
    """
    from scipy.optimize import minimize_scalar  # here: quantlab must import at once

    found = minimize_scalar(
        lambda rho: -leading_constant(family(rho)),
        bounds=(0.0, 1.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(found.x)
