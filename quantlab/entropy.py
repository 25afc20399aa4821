"""Codes of variable length: what entropy-coded codebooks reach, and where their density splits."""

from __future__ import annotations

import numpy as np

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.density import PointDensity
from quantlab.pairs import OPERANDS, Operand, Pair
from quantlab.pairs.base import FloatArray, times_power


def entropy_constant(pair: Pair, operand: Operand = "x", *, uniform: bool = False) -> float:
    r"""Constant c_EC of one operand in mse / k -> c_X 2^(-2 H_X) + c_Y 2^(-2 H_Y).

    .. math:: c_{EC} = \frac{1}{12}\, e^{2 h(X)}\, e^{E \ln w_X(X)}

    with h the differential entropy in nats and H the entropy of the codes in bits. For a Gaussian
    pair exp(2 h) = 2 pi e s_X^2 and, with c = (1 - rho^2) / rho^2,

    .. math::
        E \ln w_X = \ln(\rho^2 s_Y^2) - \gamma - \ln 2
            + 2 \sqrt\pi \int_0^{\sqrt{c/2}} e^{s^2} \mathrm{erfc}(s)\, ds

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    operand : {"x", "y"}
    uniform : bool
        Of a uniform grid instead of the best density: E w in place of exp(E ln w).

    Returns
    -------
    float
        In the unit of (XY)^2.

    Raises
    ------
    ValueError
        If operand is neither "x" nor "y".

    Notes
    -----
    The density that reaches it is lambda ~ sqrt(w): minimise int f w / (12 lambda^2) at fixed
    H = h(X) + int f ln lambda. Jensen's inequality puts it below the uniform grid's. Derived in
    notebooks/09.

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> round(entropy_constant(GaussianPair(0.8)), 10)
    1.0931052108
    >>> round(entropy_constant(GaussianPair(0.8), uniform=True), 10)
    1.4232890371
    """
    law, e_x, e_y = pair.unit()
    scale = law.sigma(operand)
    low, high = law.support(operand)

    def mass(u: FloatArray) -> FloatArray:
        return scale * law.pdf(u * scale, operand)

    def log_weight(u: FloatArray) -> FloatArray:
        return np.log(law.weight(u * scale, operand))

    density = PointDensity(mass, scale, (low / scale, high / scale))

    def integrand(u: FloatArray) -> FloatArray:
        f = mass(u)
        with np.errstate(divide="ignore", invalid="ignore"):
            told = -2 * np.log(f / scale) + (0 if uniform else log_weight(u))
            return np.where(f > 0, f * told, 0.0)

    exponent = density.integrate(integrand)
    other: Operand = "y" if operand == "x" else "x"
    mean = law.sigma(other) ** 2 if uniform else 1.0
    return times_power(mean * float(np.exp(exponent)) / 12, 2 * (e_x + e_y))


def codebook_entropy(pair: Pair, codebook: Codebook, operand: Operand = "x") -> float:
    r"""Entropy of the codes of one operand, which is what an ideal coder writes an entry.

    .. math:: H = -\sum_i p_i \log_2 p_i, \qquad p_i = P(X \in \mathrm{cell}\ i)

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    codebook : Codebook
        Of that operand, in the data's own unit.
    operand : {"x", "y"}

    Returns
    -------
    float
        Bits, at most log2 K.

    Raises
    ------
    ValueError
        If operand is neither "x" nor "y".

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> codebook_entropy(GaussianPair(0.0), Codebook([-1.0, 1.0]))
    1.0
    """
    mass = pair.cell_moments(codebook.thresholds, check.operand(operand))[0]  # type: ignore[arg-type]
    return entropy_bits(mass)


def entropy_bits(mass: FloatArray) -> float:
    """-sum p log2 p."""
    p = mass[mass > 0]
    return float(-(p * np.log2(p)).sum())


def entropy_asymptotic_mse(
    pair: Pair, bits: float, inner_dim: int = 1, *, uniform: bool = False
) -> float:
    r"""Error per entry of C at an entropy of some bits an entry of A and of B, as the bits grow.

    .. math:: \mathrm{mse} \to k\, (c_X + c_Y)\, 4^{-H}

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    bits : float
        H.
    inner_dim : int
        k.
    uniform : bool
        Of uniform grids instead of the best densities.

    Returns
    -------
    float
        In the unit of C squared; c_X and c_Y are `entropy_constant`.

    Raises
    ------
    ValueError, TypeError
        If inner_dim is not a positive integer, or bits is not a finite number.

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> round(entropy_asymptotic_mse(GaussianPair(0.8), bits=0.0), 6)
    2.18621
    """
    k, rate = check.count(inner_dim, "inner_dim"), check.finite_real(bits, "bits")
    constants = (entropy_constant(pair, operand, uniform=uniform) for operand in OPERANDS)
    return k * sum(constants) * 4.0**-rate
