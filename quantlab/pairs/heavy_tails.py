"""Elliptical pairs between the normal and the Student-t: Laplace, and mixtures of normals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # its subpackages load on first use
from numpy.typing import ArrayLike

from quantlab import _validate as check
from quantlab.pairs._mixture import Components
from quantlab.pairs.base import FloatArray, Operand
from quantlab.pairs.elliptical import (
    LOG_STEP,
    EllipticalPair,
    both_sides,
    level,
    log_nodes,
    quadratic_form,
)


@dataclass(frozen=True)
class LaplacePair(EllipticalPair):
    r"""Symmetric bivariate Laplace law: Laplace marginals, f = exp(-sqrt2 |u|) / sqrt2.

    .. math::
        w_X(x) = \sigma_Y^2 \Big( \rho^2 u^2 + (1-\rho^2) \frac{1 + \sqrt2 |u|}{2} \Big), \qquad
        |u_\mathrm{peak}| = (3 - 1/\rho^2) / \sqrt2

    Above 1/sqrt(3) the peaks leave 0 linearly, not by a square root: f has a kink there.

    Parameters
    ----------
    rho : float
        Correlation, in [-1, 1].
    sigma_x, sigma_y : float
        Standard deviations of X and Y, in the data's own unit.

    Raises
    ------
    ValueError, TypeError
        As in `GaussianPair`.

    Notes
    -----
    Derived in notebooks/03; (X, Y) is normal given a shared exponential variance. Conditional
    cells are right to 1e-14, but within 1e-9 of x = 0, where the law is singular, to 1e-9.

    Examples
    --------
    >>> [round(u, 4) for u in LaplacePair(rho=0.8).peaks()]
    [-1.0165, 1.0165]
    """

    rho: float
    sigma_x: float = 1.0
    sigma_y: float = 1.0

    def __post_init__(self) -> None:
        self._check_parameters()

    @property
    def mean_square_product(self) -> float:
        unit = self.sigma_x * self.sigma_y
        return 2 * (1 + 2 * self.rho**2) * (unit * unit)

    def pdf(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        sigma = self.sigma(operand)
        u = np.asarray(x, dtype=np.float64) / sigma
        return np.exp(-np.sqrt(2) * np.abs(u)) / (np.sqrt(2) * sigma)

    def weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        u = np.asarray(x, dtype=np.float64) / self.sigma(operand)
        noise = 0.5 * (1 + np.sqrt(2) * np.abs(u))
        other = self.sigma_y if operand == "x" else self.sigma_x
        return other**2 * ((self.rho * u) ** 2 + (1 - self.rho**2) * noise)

    def joint_pdf(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        # infinite, logarithmically, at the origin: there the value is that at distance 1e-8
        square, peak = quadratic_form(self, x, y)
        return peak / np.pi * scipy.special.k0(np.sqrt(2 * np.maximum(square, 1e-16)))

    def score(self, u: ArrayLike) -> FloatArray:
        return np.sqrt(2) * np.abs(np.asarray(u, dtype=np.float64))

    def peaks(self, operand: Operand = "x") -> tuple[float, ...]:
        return both_sides(level(self.rho) / np.sqrt(2))

    @cached_property
    def components(self) -> Components:
        return log_nodes(lambda log_square: log_square - np.exp(log_square), LOG_STEP, self.rho)

    def _draw(self, k: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        return np.sqrt(rng.exponential(size=k)), np.full(k, self.rho)


@dataclass(frozen=True)
class GaussianMixturePair(EllipticalPair):
    r"""Normal pair whose variance is one of a few values: mostly small entries, some outliers.

    .. math:: f(u) = \sum_n p_n\, \mathcal N(u; 0, v_n), \qquad \sum_n p_n v_n = 1

    Parameters
    ----------
    rho : float
        Correlation, in [-1, 1], the same in every component.
    variances : sequence of float
        v_n up to a common factor; positive.
    masses : sequence of float
        p_n up to a common factor; positive.
    sigma_x, sigma_y : float
        Standard deviations of X and Y, in the data's own unit.

    Raises
    ------
    ValueError, TypeError
        As in `GaussianPair`; also if variances and masses differ in length, are empty, or hold a
        value that is not positive.

    Examples
    --------
    >>> pair = GaussianMixturePair(rho=0.8, variances=(1, 16), masses=(0.9, 0.1))
    >>> round(float(pair.weight(0.0)), 6)
    0.202378
    """

    rho: float
    variances: tuple[float, ...] = (1.0, 9.0)
    masses: tuple[float, ...] = (0.9, 0.1)
    sigma_x: float = 1.0
    sigma_y: float = 1.0

    def __post_init__(self) -> None:
        self._check_parameters()
        for name in ("variances", "masses"):
            values = check.finite_vector(getattr(self, name), name)
            if values.size == 0 or np.any(values <= 0):
                raise ValueError(f"{name} must be positive numbers; got {getattr(self, name)}")
            object.__setattr__(self, name, tuple(values.tolist()))
        if len(self.variances) != len(self.masses):
            raise ValueError(
                "variances and masses must have one value for each component; "
                f"got {len(self.variances)} and {len(self.masses)}"
            )

    @cached_property
    def components(self) -> Components:
        masses = np.array(self.masses) / np.sum(self.masses)
        variances = np.array(self.variances)
        scales = np.sqrt(variances / (masses @ variances))
        return Components(masses, scales, np.full(masses.size, self.rho))

    def score(self, u: ArrayLike) -> FloatArray:
        u = np.asarray(u, dtype=np.float64)
        return u * u * (self._posterior(u) @ self.components.scales**-2)

    def _draw(self, k: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        parts = self.components
        return rng.choice(parts.scales, k, p=parts.masses), np.full(k, self.rho)
