"""The least error that any code of a given rate can reach."""

from __future__ import annotations

import math

from quantlab import _validate as check


def floor_nmse(bits: float) -> float:
    r"""Least nmse of a product of two i.i.d. Gaussian matrices at R bits an entry each.

    .. math::
        G(R) = 2^{1-2R} - 2^{-4R} \quad (R \ge R^\star), \qquad
        1 - (1 - G(R^\star)) R / R^\star \quad (R < R^\star)

    with R* = 0.906..., where the straight line from (0, 1) touches G: 4^R* = 1 + 4 R* ln 2.

    Parameters
    ----------
    bits : float
        R >= 0, the same for both matrices.

    Returns
    -------
    float
        No code, vector quantization included, has E ||C - Cq||_F^2 / E ||C||_F^2 below it as the
        matrices grow. It holds for independent operands (rho = 0) only.

    Raises
    ------
    ValueError, TypeError
        If bits is negative, not finite or not a real number.

    Notes
    -----
    Source: Ordentlich, Polyanskiy, "Optimal Quantization for Matrix Multiplication",
    arXiv 2410.13780. The equation for R* is the tangent's, with y = 4^-R and G = 2 y - y^2.

    Examples
    --------
    >>> floor_nmse(0), floor_nmse(4)
    (1.0, 0.0077972412109375)
    """
    rate = check.finite_real(bits, "bits")
    if rate < 0:
        raise ValueError(f"bits must be at least 0; got {rate:g}")
    if rate < _TANGENT_RATE:
        return 1.0 - (1.0 - _curve(_TANGENT_RATE)) * rate / _TANGENT_RATE
    return _curve(rate)


def _curve(rate: float) -> float:
    return 2.0 ** (1 - 2 * rate) - 2.0 ** (-4 * rate)


def _tangent_rate() -> float:
    rate = 1.0
    for _ in range(8):  # Newton's steps from the right of a convex function's root
        excess = 4.0**rate - 1 - 4 * rate * math.log(2)
        rate -= excess / (4.0**rate * math.log(4) - 4 * math.log(2))
    return rate


_TANGENT_RATE = _tangent_rate()
