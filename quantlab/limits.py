"""The least error at a given rate: of any code for i.i.d. matrices, and a reference for others."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab.pairs import EmpiricalPair

FloatArray = NDArray[np.float64]


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
    rate = _rate(bits)
    if rate < _TANGENT_RATE:
        return 1.0 - _SLOPE * rate
    return _curve(rate)


def limit_nmse(
    matrices: EmpiricalPair | tuple[ArrayLike, ArrayLike] | ArrayLike, bits: float
) -> float:
    r"""What error is left at R bits an entry where each direction is coded at its own best rate.

    .. math::
        \min_{R_l \ge 0} \frac{\sum_l s_l^2\, G(R_l)}{\sum_l s_l^2}
        \quad\text{where}\quad \sum_l R_l = k R

    with s_l^2 the eigenvalues of S_A S_B, S_A = A^T A / m and S_B = B B^T / n, and G the curve of
    `floor_nmse`, its straight line included. At a high rate it is
    2 4^-R GM(s)^2 / mean(s^2), GM the geometric mean.

    Parameters
    ----------
    matrices : EmpiricalPair, (array_like, array_like) or array_like of shape (k,)
        The matrices a (m, k) and b (k, n), or the spectrum s itself: k numbers, not negative. A
        tuple is two matrices; a spectrum is an array or a list.
    bits : float
        R >= 0, the mean over both matrices' entries.

    Returns
    -------
    float
        nmse, from 1 at no bits; falling and convex in bits.

    Raises
    ------
    ValueError, TypeError
        If bits or a number of the spectrum is negative, or anything is not finite; if the product
        A B is zero.

    Notes
    -----
    A reference, not a theorem: it is `floor_nmse` of each direction by itself, for matrices whose
    rows and columns are Gaussian with these moments. It is the floor where all s_l are equal.
    Matrices of few values, or far from Gaussian, can be coded below it. The s_l are the singular
    values of the product, A B / sqrt(m n), with zeros up to k. Derived in notebooks/08.

    Every direction that gets bits has the same slope s_l^2 G'(R_l) = -theta; theta is found by
    bisection, and what the rate then leaves is spent at that slope, along the straight line.

    Choosing: `floor_nmse` for i.i.d. entries, this for two matrices of one's own.

    Examples
    --------
    >>> f"{limit_nmse([1.0, 1.0], 4):.6f} {floor_nmse(4):.6f}"
    '0.007797 0.007797'
    >>> f"{limit_nmse([2.0, 0.1], 4):.6f}"  # the second direction gets fewer bits
    '0.000763'
    """
    rate = _rate(bits)
    if isinstance(matrices, (EmpiricalPair, tuple)):
        pair = matrices if isinstance(matrices, EmpiricalPair) else EmpiricalPair(*matrices)
        spectrum = product_spectrum(pair.unit()[0])
    else:
        spectrum = check.finite_vector(matrices, "spectrum")
        if spectrum.size == 0 or spectrum.min() < 0:
            raise ValueError(
                "spectrum must hold numbers that are not negative, one at least; got "
                + (f"{spectrum.min():g}" if spectrum.size else "none")
            )
    if spectrum.max() == 0:
        raise ValueError("nmse is divided by the energy of the product, which is zero here")
    energy = np.square(spectrum / spectrum.max())
    budget = spectrum.size * rate
    # the slope is 2^-exponent of the straight line's; bits grow with the exponent
    few, many = 0.0, min(2 * budget + 2, _STEEPEST)
    for _ in range(_BISECTIONS):
        middle = (few + many) / 2
        if _spent(energy, _SLOPE * 2.0**-middle)[0] > budget:
            many = middle
        else:
            few = middle
    slope = _SLOPE * 2.0**-few
    spent, left = _spent(energy, slope)
    return max(float((left - slope * (budget - spent)) / energy.sum()), 0.0)


def _spent(energy: FloatArray, slope: float) -> tuple[float, float]:
    """Bits and error of all directions where each stops at this slope of its own curve."""
    coded = energy * _SLOPE > slope
    active = energy[coded]
    y = slope / (active * math.log(4))  # y (1 - y) = half of it, for y = 4^-R
    y /= 1 + np.sqrt(1 - 2 * y)
    error = float((active * y * (2 - y)).sum() + energy[~coded].sum())
    return float(-np.log2(y).sum() / 2), error


def product_spectrum(pair: EmpiricalPair) -> FloatArray:
    """Singular values of A B / sqrt(m n), k of them, without forming the product."""
    pair, e_x, e_y = pair.unit()
    a, b = pair.a.astype(np.float64), pair.b.astype(np.float64)
    (m, k), n = a.shape, b.shape[1]
    left = np.asarray(np.linalg.qr(a / math.sqrt(m), mode="r"))
    right = np.asarray(np.linalg.qr(b.T / math.sqrt(n), mode="r"))
    spectrum = np.zeros(k)
    found = np.linalg.svd(left @ right.T, compute_uv=False)
    with np.errstate(over="ignore", under="ignore"):
        spectrum[: found.size] = np.ldexp(found, e_x + e_y)
    return spectrum


def _rate(bits: object) -> float:
    rate = check.finite_real(bits, "bits")
    if rate < 0:
        raise ValueError(f"bits must be at least 0; got {rate:g}")
    return rate


def _curve(rate: float) -> float:
    return 2.0 ** (1 - 2 * rate) - 2.0 ** (-4 * rate)


def _tangent_rate() -> float:
    rate = 1.0
    for _ in range(8):  # Newton's steps from the right of a convex function's root
        excess = 4.0**rate - 1 - 4 * rate * math.log(2)
        rate -= excess / (4.0**rate * math.log(4) - 4 * math.log(2))
    return rate


_TANGENT_RATE = _tangent_rate()
_SLOPE = (1.0 - _curve(_TANGENT_RATE)) / _TANGENT_RATE  # of the straight line, downwards
_BISECTIONS = 80
_STEEPEST = 1000.0  # float64 ends there
