"""The error of the product: what theory says of any pair of codebooks."""

from __future__ import annotations

from quantlab import _validate as check
from quantlab.density import PointDensity
from quantlab.pairs import Operand, Pair


def leading_constant(pair: Pair, operand: Operand = "x") -> float:
    r"""Constant c of one operand in the high-resolution law mse / k -> c_X / K_X^2 + c_Y / K_Y^2.

    .. math:: c_X = \frac{1}{12} \Big( \int (f_X w_X)^{1/3} dx \Big)^3

    For a Gaussian pair c_X = s_X^2 s_Y^2 Z(rho)^3 / (12 sqrt(2 pi)). Source: [1].

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> round(leading_constant(GaussianPair(rho=0.8)), 10)
    4.3875891617
    """
    density = PointDensity.optimal(pair, operand)
    return (density.scale * density.normalizer) ** 3 / 12


def asymptotic_mse(pair: Pair, n_levels: int | tuple[int, int], inner_dim: int = 1) -> float:
    r"""Error per entry of C that the optimal density tends to as K grows (inner_dim fixed).

    .. math:: \mathrm{mse}(k) \sim k \left( \frac{c_X}{K_X^2} + \frac{c_Y}{K_Y^2} \right)

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    n_levels : int or (int, int)
        K, or (K_X, K_Y).
    inner_dim : int
        k, the number of products summed in one entry of C.

    Returns
    -------
    float
        mse per entry of C, in the unit of C squared.

    Raises
    ------
    ValueError, TypeError
        If a number of levels is below 2 or inner_dim below 1, or not an integer.

    Notes
    -----
    Source: [1]. The law hides the bias term k(k-1) E[e]^2, of order k^2/K^4: see `exact_mse`.

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> round(asymptotic_mse(GaussianPair(rho=0.0), 16), 6)
    0.021255
    """
    k_x, k_y = check.levels(n_levels)
    k = check.count(inner_dim, "inner_dim")
    return k * (leading_constant(pair, "x") / k_x**2 + leading_constant(pair, "y") / k_y**2)
