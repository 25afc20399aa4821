"""The error of the product: what theory says of any pair of codebooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from quantlab import _display
from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.density import PointDensity, Rounding
from quantlab.pairs import OPERANDS, Operand, Pair
from quantlab.pairs.base import FloatArray, times_power


@dataclass(frozen=True)
class ExactError:
    r"""Exact error of one entry of C, as `exact_mse` returns it.

    .. math:: \mathrm{mse} = k\,\mathrm{Var}(e) + k^2 (E[e])^2, \qquad e = XY - \hat X \hat Y

    Attributes
    ----------
    mse : float
        E[(C_ij - Cq_ij)^2] = variance + bias, in the unit of C squared.
    nmse : float
        mse / E[C_ij^2].
    variance : float
        k Var(e), the part that averaging over l makes harmless; the unit of mse.
    bias : float
        k^2 E[e]^2, the squared mean of C_ij - Cq_ij; the unit of mse.
    gain : float
        Best scalar on Cq; `codebook.scaled(gain)` on ONE operand folds it in.
    mse_with_gain, nmse_with_gain : float
        The same errors of C_ij - gain Cq_ij.
    mean_error : float
        E[e], per product; the unit of C.
    inner_dim : int
        k.

    Examples
    --------
    >>> from quantlab import GaussianPair, design_companding
    >>> pair = GaussianPair(rho=0.8)
    >>> error = exact_mse(pair, *design_companding(pair, 16), inner_dim=256)
    >>> round(error.gain, 4), f"{error.nmse_with_gain:.2e}"
    (1.0031, '2.01e-04')
    """

    mse: float
    nmse: float
    variance: float
    bias: float
    gain: float
    mse_with_gain: float
    nmse_with_gain: float
    mean_error: float
    inner_dim: int

    @property
    def bias_share(self) -> float:
        """bias / mse, in [0, 1], which is what one gain could mend at best.

        Examples
        --------
        >>> from quantlab import GaussianPair, design_companding
        >>> pair = GaussianPair(rho=0.8)
        >>> round(exact_mse(pair, *design_companding(pair, 16), inner_dim=4096).bias_share, 2)
        0.45
        """
        return self.bias / self.mse if self.mse else 0.0

    def _repr_html_(self) -> str:
        values = asdict(self) | {"bias_share": self.bias_share}
        return _display.properties("Exact error of an entry of C", values)


def exact_mse(
    pair: Pair, codebook_x: Codebook, codebook_y: Codebook, inner_dim: int = 1
) -> ExactError:
    r"""Exact error of one entry of the coded product, without sampling.

    .. math::
        \mathrm{mse}(k) = k E[e^2] + k(k-1) (E[e])^2 = k\,\mathrm{Var}(e) + k^2 (E[e])^2,
        \qquad e = XY - \hat X \hat Y

    and, with p = Xq Yq, the gain that minimises it over g in e_g = XY - g p:

    .. math:: g = \frac{E[XY p] + (k-1) E[XY] E[p]}{E[p^2] + (k-1) E[p]^2}

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    codebook_x, codebook_y : Codebook
        Quantizers of X and of Y, in the data's own unit, with any thresholds.
    inner_dim : int
        k, the number of products summed in one entry of C.

    Returns
    -------
    ExactError

    Raises
    ------
    ValueError, TypeError
        If inner_dim is not a positive integer, an argument is not a Codebook, or E[X^2 Y^2] is
        infinite (Student-t with nu <= 4).

    Notes
    -----
    The pair-i.i.d. model of [1], any K and any k. The joint cell moments P(i, j) and
    E[XY; i, j] are closed forms for normal pairs and their mixtures (Owen's T function, derived
    in notebooks/04), so that the cost is K_X K_Y evaluations. Relative error of nmse: about
    1e-14 K^2.

    Examples
    --------
    >>> import quantlab as ql
    >>> pair = ql.GaussianPair(rho=0.8)
    >>> report = ql.exact_mse(pair, *ql.design_companding(pair, 16), inner_dim=256)
    >>> f"{report.nmse:.3e} {report.nmse_with_gain:.3e}"
    '2.106e-04 2.010e-04'
    """
    k = check.count(inner_dim, "inner_dim")
    for book, name in ((codebook_x, "codebook_x"), (codebook_y, "codebook_y")):
        if not isinstance(book, Codebook):
            raise TypeError(f"{name} must be a Codebook; got {type(book).__name__}")
    law, e_x, e_y = pair.unit()
    energy = law.energy(k)
    if not np.isfinite(energy):
        raise ValueError(f"the exact error needs a finite E[X^2 Y^2]; {pair!r} has {energy}")
    codebook_x, codebook_y, pair = codebook_x.in_units(-e_x), codebook_y.in_units(-e_y), law
    mass, first = pair.joint_cells(codebook_x.thresholds, codebook_y.thresholds)
    c_x, c_y = codebook_x.centers, codebook_y.centers
    product = float(c_x @ mass @ c_y)
    square = float(c_x**2 @ mass @ c_y**2)
    cross = float(c_x @ first @ c_y)
    mean_error = pair.mean_product - product
    square_error = pair.mean_square_product - 2 * cross + square

    # g = 1 + d and e_g = e - d p: the moments of e cancel less than those of XY and p
    with_error = cross - square
    curvature = square + (k - 1) * product**2
    slope = with_error + (k - 1) * mean_error * product
    d = slope / curvature if curvature > 0 else 0.0
    variance, bias = _split(square_error, mean_error, k)
    remaining = square_error - d * (2 * with_error - d * square)
    mse_with_gain = sum(_split(remaining, mean_error - d * product, k), 0.0)
    exponent = 2 * (e_x + e_y)
    return ExactError(
        mse=times_power(variance + bias, exponent),
        nmse=(variance + bias) / energy,
        variance=times_power(variance, exponent),
        bias=times_power(bias, exponent),
        gain=float(1 + d),
        mse_with_gain=times_power(mse_with_gain, exponent),
        nmse_with_gain=mse_with_gain / energy,
        mean_error=times_power(mean_error, e_x + e_y),
        inner_dim=k,
    )


def _split(square_error: float, mean_error: float, k: int) -> tuple[float, float]:
    """k Var(e) and k^2 E[e]^2."""
    return float(k * max(square_error - mean_error**2, 0.0)), float(k * mean_error) ** 2


def leading_constant(
    pair: Pair,
    operand: Operand = "x",
    density: PointDensity | None = None,
    rounding: Rounding = "nearest",
) -> float:
    r"""Constant c of one operand in the high-resolution law mse / k -> c_X / K_X^2 + c_Y / K_Y^2.

    .. math:: c_X = \frac{1}{12} \int \frac{f_X w_X}{\lambda^2} dx \;\ge\;
              \frac{1}{12} \Big( \int (f_X w_X)^{1/3} dx \Big)^3

    with equality for l*. For a Gaussian pair that is s_X^2 s_Y^2 Z(rho)^3 / (12 sqrt(2 pi)).

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    operand : {"x", "y"}
    density : PointDensity, optional
        lambda, any point density of that operand; None: the optimal one.
    rounding : {"nearest", "feedback"}
        With feedback w is `Pair.feedback_weight`, and for a Gaussian pair
        c = (1 - |rho|) s_X^2 s_Y^2 sqrt(3) pi / 2.

    Returns
    -------
    float
        c, in the unit of (XY)^2; infinite where the integral diverges (`PointDensity.mse` on a
        Student-t pair with nu <= 8, for one).

    Raises
    ------
    ValueError
        If operand or rounding is unknown, or E[X^2 Y^2] is infinite and no density is given.

    Notes
    -----
    Source: [1], after Bennett.

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> pair = GaussianPair(rho=0.8)
    >>> round(leading_constant(pair), 10)
    4.3875891617
    >>> round(leading_constant(pair, density=PointDensity.mse(pair)), 6)
    6.203194
    """
    law, e_x, e_y = pair.unit()
    weight = law.weight if check.rounding(rounding) == "nearest" else law.feedback_weight
    if density is None:
        density = PointDensity.optimal(law, operand, rounding)
        if rounding == "nearest":
            return times_power((density.scale * density.normalizer) ** 3 / 12, 2 * (e_x + e_y))
    else:
        scale = times_power(density.scale, -(e_x if operand == "x" else e_y))
        density = replace(density, scale=scale)
    found = density.scale**3 / 12 * density.integrate(_bennett(law, operand, density, weight))
    return times_power(found, 2 * (e_x + e_y))


def _bennett(
    pair: Pair, operand: Operand, density: PointDensity, weight: Callable[..., FloatArray]
) -> Callable[[FloatArray], FloatArray]:
    def integrand(u: FloatArray) -> FloatArray:
        x = u * density.scale
        mass = pair.pdf(x, operand) * weight(x, operand)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where(mass > 0, mass / np.square(density(u)), 0.0)

    return integrand


def asymptotic_mse(
    pair: Pair,
    n_levels: int | tuple[int, int],
    inner_dim: int = 1,
    *,
    weighted: bool = True,
    rounding: Rounding = "nearest",
) -> float:
    r"""Error per entry of C that a companding design tends to as K grows (inner_dim fixed).

    .. math:: \mathrm{mse}(k) \sim k \left( \frac{c_X}{K_X^2} + \frac{c_Y}{K_Y^2} \right)

    With feedback, for a Gaussian pair and the plain density, which is then the best at every rho,

    .. math:: \mathrm{mse}(k) \sim k\, (1 - |\rho|)\, \sigma_X^2 \sigma_Y^2\, c(0)
              \left( \frac{1}{K_X^2} + \frac{1}{K_Y^2} \right), \qquad c(0) = 2.7207

    Parameters
    ----------
    pair : Pair
        Joint law of (X, Y).
    n_levels : int or (int, int)
        K, or (K_X, K_Y).
    inner_dim : int
        k, the number of products summed in one entry of C.
    weighted : bool
        Which density: True l* of that rounding, False the plain MSE density.
    rounding : {"nearest", "feedback"}
        How entries are rounded; with feedback as m, n and then k grow.

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

    Feedback (derived in notebooks/08): B B^T / n tends to one large direction, what all columns
    share, beside a diagonal. Errors along the direction are steered to zero; every pivot but the
    last few is what an entry of B has of its own. Correlation then helps, and the second peak of
    l* is gone: it pays for errors along z, which nearest rounding cannot avoid. Measured, 3000 x 64
    x 3000: 0.93 to 1.04 times the law (K = 16 and 64, rho from 0.3 to 0.9).

    Examples
    --------
    >>> from quantlab import GaussianPair
    >>> round(asymptotic_mse(GaussianPair(rho=0.0), 16), 6)
    0.021255
    """
    k_x, k_y = check.levels(n_levels)
    k = check.count(inner_dim, "inner_dim")
    c_x, c_y = (
        leading_constant(
            pair, operand, None if weighted else PointDensity.mse(pair, operand), rounding
        )
        for operand in OPERANDS
    )
    return k * (c_x / k_x**2 + c_y / k_y**2)
