"""The Student-t pair: power-law tails, with everything in closed form but the joint cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # its subpackages load on first use
from numpy.typing import ArrayLike, NDArray

from quantlab.pairs._mixture import Components
from quantlab.pairs._normal import tail_differences
from quantlab.pairs._quadrature import gauss_nodes, resolve_steps
from quantlab.pairs.base import FloatArray, Operand
from quantlab.pairs.elliptical import (
    LOG_STEP,
    EllipticalPair,
    both_sides,
    level,
    log_nodes,
    quadratic_form,
)

# joint cells of operands' cells with less mass are computed apart; e^-_REACH of it is left out
_FAR, _REACH = 1e-8, 42.0


@dataclass(frozen=True)
class StudentTPair(EllipticalPair):
    r"""Bivariate Student-t with nu degrees of freedom: power-law tails f ~ |x|^-(nu + 1).

    .. math::
        w_X(x) = \sigma_Y^2 \Big( \rho^2 u^2 + (1-\rho^2) \frac{\nu - 2 + u^2}{\nu - 1} \Big),
        \qquad u_\mathrm{peak}^2 = \frac{c (\nu - 2)}{\nu + 1 - c}, \quad c = 3 - 1/\rho^2

    Parameters
    ----------
    rho : float
        Correlation, in [-1, 1].
    nu : float
        Degrees of freedom, above 2. E[X^2 Y^2], and with it l*, the product's error and every
        design of it, is finite only above 4; `PointDensity.mse` needs no more than 2.
    sigma_x, sigma_y : float
        Standard deviations of X and Y (not the t scales), in the data's own unit.

    Raises
    ------
    ValueError
        If |rho| > 1, nu <= 2, a sigma is not positive, or a value is NaN or infinite.
    TypeError
        If a value is not a real number.

    Notes
    -----
    Derived in notebooks/03; (X, Y) is normal given a shared inverse-gamma variance.

    Examples
    --------
    >>> pair = StudentTPair(rho=0.8, nu=5)
    >>> [round(u, 4) for u in pair.peaks()]
    [-0.9722, 0.9722]
    """

    rho: float
    nu: float
    sigma_x: float = 1.0
    sigma_y: float = 1.0

    def __post_init__(self) -> None:
        self._check_parameters("nu")
        if self.nu <= 2:
            raise ValueError(f"nu must exceed 2 for a finite variance; got {self.nu}")

    @property
    def mean_square_product(self) -> float:
        if self.nu <= 4:
            return np.inf
        fourth = (self.nu - 2) / (self.nu - 4)
        unit = self.sigma_x * self.sigma_y
        return fourth * (1 + 2 * self.rho**2) * (unit * unit)

    def pdf(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        sigma, nu = self.sigma(operand), self.nu
        u = np.asarray(x, dtype=np.float64) / sigma
        gamma = scipy.special.gammaln
        peak = np.exp(gamma((nu + 1) / 2) - gamma(nu / 2)) / np.sqrt(np.pi * (nu - 2))
        return peak / sigma * np.exp(-0.5 * (nu + 1) * np.log1p(u * u / (nu - 2)))

    def weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        u = np.asarray(x, dtype=np.float64) / self.sigma(operand)
        noise = (self.nu - 2 + u * u) / (self.nu - 1)
        other = self.sigma_y if operand == "x" else self.sigma_x
        return other**2 * ((self.rho * u) ** 2 + (1 - self.rho**2) * noise)

    def cell_moments(
        self, thresholds: ArrayLike, operand: Operand = "x", *, weighted: bool = False
    ) -> FloatArray:
        # closed, not the mixture's: right to rounding of each CELL, however far out it lies
        nu, sigma = self.nu, self.sigma(operand)
        t = np.pad(np.asarray(thresholds, dtype=np.float64) / sigma, 1)
        u = np.abs(t)
        # M(u) = int_u^inf x f dx, a t density of nu - 2 degrees
        m = (nu - 2 + u * u) / (nu - 1) * self.pdf(sigma * u, operand) * sigma
        if weighted:  # f w = rho^2 u^2 f + (1 - rho^2) M, by parts
            m[0] = m[-1] = 0.0
            tail = scipy.special.stdtr(nu - 2, -u) + self.rho**2 * u * m
            further = (nu - 2 + u * u) / (nu - 3) * m if nu > 3 else np.inf * m
            first = self.rho**2 * u * u * m + (1 + self.rho**2) * further
            unit = (self.sigma_y if operand == "x" else self.sigma_x) ** 2
        else:
            tail, first, unit = scipy.special.stdtr(nu, -u * np.sqrt(nu / (nu - 2))), m, 1.0
        tail[[0, -1]] = first[[0, -1]] = 0.0
        return unit * np.stack([tail_differences(tail, t), -sigma * np.diff(first)])

    def joint_pdf(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        square, peak = quadratic_form(self, x, y)
        nu = self.nu
        tail = np.exp(-0.5 * (nu + 2) * np.log1p(square / (nu - 2)))
        return peak * nu / (nu - 2) / (2 * np.pi) * tail

    def conditional_cells(
        self, x: ArrayLike, thresholds: ArrayLike, operand: Operand = "x"
    ) -> tuple[FloatArray, FloatArray]:
        # Y given X = x is Student-t with nu + 1 degrees about rho x, wider where |x| is large
        nu = self.nu
        other = self.sigma_y if operand == "x" else self.sigma_x
        u = np.asarray(x, dtype=np.float64)[:, None] / self.sigma(operand)
        q = np.sqrt((1 - self.rho) * (1 + self.rho))
        if q == 0.0:
            return super().conditional_cells(x, thresholds, operand)
        width = q * np.sqrt((nu - 2 + u * u) / (nu + 1))
        z = (np.asarray(thresholds, dtype=np.float64) / other - self.rho * u) / width
        ends = np.pad(z, ((0, 0), (1, 1)))
        tail = scipy.special.stdtr(nu + 1, -np.abs(ends))
        tail[:, [0, -1]] = 0.0
        mass = tail_differences(tail, ends)
        gamma = scipy.special.gammaln
        peak = np.exp(gamma(nu / 2 + 1) - gamma((nu + 1) / 2)) / np.sqrt(np.pi * (nu + 1))
        # int z f = -(nu + 1 + z^2) f / nu for a t density f of nu + 1 degrees
        below = -peak * (nu + 1) / nu * np.exp(-0.5 * nu * np.log1p(z * z / (nu + 1)))
        first = np.diff(np.pad(below, ((0, 0), (1, 1))))
        return mass, other * (self.rho * u * mass + width * first)

    def joint_cells(
        self, thresholds_x: ArrayLike, thresholds_y: ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        # the mixture's differences are right to 1e-16, which far centres' fourth powers magnify
        t_x = np.asarray(thresholds_x, dtype=np.float64)
        t_y = np.asarray(thresholds_y, dtype=np.float64)
        mass, first = super().joint_cells(t_x, t_y)
        if abs(self.rho) < 1:
            rare_x, rare_y = self.cell_moments(t_x, "x")[0], self.cell_moments(t_y, "y")[0]
            # a cell is taken from the rarer side, by which its error then scales
            self._far_cells(mass, first, t_x, t_y, "x", rare_x[:, None] <= rare_y)
            self._far_cells(mass.T, first.T, t_y, t_x, "y", rare_y[:, None] < rare_x)
        return mass, first

    def _far_cells(
        self,
        mass: FloatArray,
        first: FloatArray,
        own: FloatArray,
        others: FloatArray,
        operand: Operand,
        wanted: NDArray[np.bool_],
    ) -> None:
        """Overwrite the `wanted` joint cells in rows of little mass: panels in v, given X = x.

        v = arsinh(u / sqrt(nu - 2)): there the tail's panels are alike, and so are the
        conditional law's steps, of width sqrt(1 - rho^2) / (|rho| sqrt(nu + 1)).
        """
        far = self.cell_moments(own, operand)[0] < _FAR
        if not far.any():
            return
        nu, unit = self.nu, np.sqrt(self.nu - 2)
        cuts = np.arcsinh(own / (self.sigma(operand) * unit))
        low, high = cuts[0] - _REACH / (nu - 2), cuts[-1] + _REACH / (nu - 2)
        edges = np.union1d(cuts, np.linspace(low, high, int(2 * (high - low)) + 2))
        if self.rho:
            other: Operand = "y" if operand == "x" else "x"
            steps = np.arcsinh(others / (self.sigma(other) * unit * self.rho))
            width = np.sqrt((1 - self.rho) * (1 + self.rho) / (nu + 1)) / abs(self.rho)
            edges = resolve_steps(edges, steps, float(width))
        nodes, weights = gauss_nodes(edges)
        cell = np.searchsorted(cuts, 0.5 * (edges[1:] + edges[:-1]))
        for i in np.flatnonzero(far):
            v, dv = nodes[cell == i].ravel(), weights[cell == i].ravel()
            x = self.sigma(operand) * unit * np.sinh(v)
            density = self.pdf(x, operand) * self.sigma(operand) * unit * np.cosh(v) * dv
            p, e = self.conditional_cells(x, others, operand)
            mass[i, wanted[i]] = (density @ p)[wanted[i]]
            first[i, wanted[i]] = ((density * x) @ e)[wanted[i]]

    def score(self, u: ArrayLike) -> FloatArray:
        square = np.square(np.asarray(u, dtype=np.float64))
        return (self.nu + 1) * square / (self.nu - 2 + square)

    def peaks(self, operand: Operand = "x") -> tuple[float, ...]:
        c = level(self.rho)
        return both_sides(np.sqrt(c * (self.nu - 2) / (self.nu + 1 - c)))

    @cached_property
    def components(self) -> Components:
        nu = self.nu
        step = min(LOG_STEP, 0.5 * float(np.sqrt(2 / nu)))

        def log_density(log_square: FloatArray) -> FloatArray:
            return -0.5 * nu * log_square - (nu / 2 - 1) * np.exp(-log_square)

        return log_nodes(log_density, step, self.rho)

    def _draw(self, k: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        return np.sqrt((self.nu - 2) / rng.chisquare(self.nu, k)), np.full(k, self.rho)
