"""Point densities: how a fine codebook spreads its centres along the axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from math import gamma
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from quantlab import _validate as check
from quantlab.pairs import GaussianPair, Operand, Pair
from quantlab.pairs._mixture import NormalMixture
from quantlab.pairs.base import FloatArray

Rounding = Literal["nearest", "feedback"]

_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(16)
# scipy's hyperu is right to 3e-15 from here on and loses up to six digits below (1.4e-10 at 0.1)
_SMALL_RHO = 0.3
# trapezoidal nodes u = e^s: the integrand is analytic in |Im s| < pi/4 for every rho, so that a
# step of 1/8 leaves 1e-16, and below e^-40 nothing is left
_LOG_STEP = 0.125
_LOG_NODES = np.exp(_LOG_STEP * np.arange(-320, 28))


def gaussian_normalizer(rho: float) -> float:
    r"""Normaliser Z of the Gaussian pair's optimal point density.

    .. math::
        Z(\rho) = \int e^{-u^2/6} ((1-\rho^2) + \rho^2 u^2)^{1/3} du
                = a^{5/6} b^{-1/2} \sqrt\pi\, U(1/2, 11/6, a / 6b)

    with a = 1 - rho^2, b = rho^2, u = x / sigma_X and U Tricomi's confluent hypergeometric
    function. Z(0) = sqrt(6 pi), Z(1) = 6^(5/6) Gamma(5/6).

    Parameters
    ----------
    rho : float
        Correlation, in [-1, 1].

    Returns
    -------
    float
        Z, in standard deviations (relative error below 1e-13).

    Raises
    ------
    ValueError
        If rho is NaN or outside [-1, 1].

    Notes
    -----
    The integral is [1]'s; its closed form is derived in notebooks/02 and used for |rho| >= 0.3.
    Below, where floating-point U is inaccurate, the trapezoidal rule in s = log u gives the same
    integral to rounding for every rho.

    Examples
    --------
    >>> bool(np.isclose(gaussian_normalizer(0.0), np.sqrt(6 * np.pi), rtol=1e-14))
    True
    """
    rho = check.correlation(rho)
    a, b = (1 - rho) * (1 + rho), rho * rho
    if a == 0.0:
        return float(6 ** (5 / 6) * gamma(5 / 6))
    if abs(rho) < _SMALL_RHO:
        u = _LOG_NODES
        return float(2 * _LOG_STEP * np.sum(u * np.exp(-u * u / 6) * np.cbrt(a + b * u * u)))
    from scipy.special import hyperu  # here: scipy costs 0.2 s, quantlab must import at once

    return float(a ** (5 / 6) / abs(rho) * np.sqrt(np.pi) * hyperu(0.5, 11 / 6, a / (6 * b)))


def gaussian_peaks(rho: float) -> tuple[float, ...]:
    r"""Peaks of the Gaussian pair's optimal density, in standard deviations.

    .. math:: u_\mathrm{peak} = 0 \ (|\rho| \le 1/\sqrt3), \qquad \pm\sqrt{3 - 1/\rho^2}

    Parameters
    ----------
    rho : float
        Correlation, in [-1, 1].

    Returns
    -------
    tuple of float
        One or two, increasing.

    Raises
    ------
    ValueError
        If rho is NaN or outside [-1, 1].

    Notes
    -----
    Source: [1] (the phase transition); derived in notebooks/03.

    Examples
    --------
    >>> gaussian_peaks(0.5)
    (0.0,)
    >>> [round(u, 4) for u in gaussian_peaks(1.0)]
    [-1.4142, 1.4142]
    """
    return GaussianPair(rho).peaks()


@dataclass(frozen=True, eq=False)
class PointDensity:
    r"""A point density l(u): the fraction of centres per unit length, u = x / scale.

    .. math:: \lambda^\star(u) = (f w)^{1/3} \Big/ \int (f w)^{1/3}

    minimises the leading distortion int f w / (12 K^2 l^2) over l ([1], high resolution).
    Build one with `PointDensity.optimal` (the product's error) or `PointDensity.mse`
    (the entries' error, w = 1).

    Parameters
    ----------
    unnormalized : callable
        Non-negative function of u.
    scale : float
        Standard deviation of the operand: u = x / scale.
    support : (float, float)
        Interval of u that carries the density.
    known_modes : tuple of float, optional
        Peaks in closed form where they are known; searched for otherwise.

    Raises
    ------
    ValueError, TypeError
        When it is first used, what `unnormalized` raises.

    Examples
    --------
    >>> density = PointDensity.optimal(GaussianPair(rho=0.8))
    >>> [round(u, 6) for u in density.modes]
    [-1.198958, 1.198958]
    >>> round(float(density.cdf(0.0)), 12)
    0.5
    """

    unnormalized: Callable[[FloatArray], FloatArray]
    scale: float = 1.0
    support: tuple[float, float] = (-np.inf, np.inf)
    known_modes: tuple[float, ...] | None = None

    @classmethod
    def optimal(
        cls, pair: Pair, operand: Operand = "x", rounding: Rounding = "nearest"
    ) -> PointDensity:
        r"""The density that minimises the product's error ([1]).

        .. math:: \lambda^\star = (f w)^{1/3} / Z

        Parameters
        ----------
        pair : Pair
            Joint law of (X, Y).
        operand : {"x", "y"}
            Which of the two is coded.
        rounding : {"nearest", "feedback"}
            "feedback": w is `Pair.feedback_weight`, for elliptical laws the weight at rho = 0 times
            1 - |rho|, so that l* has one peak at every rho (derived in notebooks/08).

        Returns
        -------
        PointDensity

        Raises
        ------
        ValueError
            If E[X^2 Y^2] is infinite, or operand or rounding is unknown.

        Examples
        --------
        >>> density = PointDensity.optimal(GaussianPair(rho=0.8))
        >>> [round(u, 4) for u in density.modes]
        [-1.199, 1.199]
        """
        if not np.isfinite(pair.unit()[0].mean_square_product):
            raise ValueError(f"l* needs a finite E[X^2 Y^2] to be integrable; {pair!r} has none")
        if check.rounding(rounding) == "nearest":
            return cls._cube_root(pair, operand, "weight", pair.peaks(operand))
        if abs(pair.rho) == 1.0 and is_dataclass(pair):  # all is shared: the limit's shape
            pair = replace(pair, rho=pair.rho * (1 - 2.0**-20))
        # centred normals of any scales add up to one peak
        peaks = (0.0,) if isinstance(pair, NormalMixture) else None
        return cls._cube_root(pair, operand, "feedback_weight", peaks)

    @classmethod
    def mse(cls, pair: Pair, operand: Operand = "x") -> PointDensity:
        r"""The density that minimises the entries' own error (Panter-Dite; w = 1).

        .. math:: \lambda = f^{1/3} / Z

        Parameters
        ----------
        pair : Pair
            Joint law of (X, Y).
        operand : {"x", "y"}
            Which of the two is coded.

        Returns
        -------
        PointDensity

        Raises
        ------
        ValueError
            If operand is unknown.

        Examples
        --------
        >>> PointDensity.mse(GaussianPair(rho=0.8)).modes
        (0.0,)
        """
        peaks = (0.0,) if isinstance(pair, GaussianPair) else None
        return cls._cube_root(pair, operand, None, peaks)

    @classmethod
    def entropy_coded(cls, pair: Pair, operand: Operand = "x") -> PointDensity:
        r"""The density that minimises the product's error at a given entropy of the codes.

        .. math:: \lambda_{EC} \propto \sqrt{w}

        Points per unit length, not a share of all points: its integral over the whole line is
        infinite, and an entropy-coded codebook has as many points as there are. The support ends
        where the operand is with probability 2^-40, and l is normalised on it (notebooks/09).

        Parameters
        ----------
        pair : Pair
            Joint law of (X, Y).
        operand : {"x", "y"}
            Which of the two is coded.

        Returns
        -------
        PointDensity

        Raises
        ------
        ValueError
            If operand is neither "x" nor "y".

        Examples
        --------
        >>> density = PointDensity.entropy_coded(GaussianPair(rho=0.8))
        >>> float((density(2.0) / density(0.0)).round(4))
        2.848
        """
        law = pair.unit()[0]
        scale = law.sigma(operand)
        low, high = law.support(operand)
        reach = 1.0
        while reach < 1e9 and _outside(law, operand, reach * scale) > 2.0**-40:
            reach *= 1.0625
        ends = (max(low / scale, -reach), min(high / scale, reach))
        return cls(lambda u: np.sqrt(law.weight(u * scale, operand)), pair.sigma(operand), ends)

    @classmethod
    def _cube_root(
        cls,
        pair: Pair,
        operand: Operand,
        weight: str | None,
        known_modes: tuple[float, ...] | None,
    ) -> PointDensity:
        law = pair.unit()[0]
        scale = law.sigma(operand)
        low, high = law.support(operand)

        def unnormalized(u: FloatArray) -> FloatArray:
            x = u * scale
            mass = law.pdf(x, operand)
            return np.cbrt(mass if weight is None else mass * getattr(law, weight)(x, operand))

        return cls(unnormalized, pair.sigma(operand), (low / scale, high / scale), known_modes)

    def __call__(self, u: ArrayLike) -> FloatArray:
        """l(u) per standard deviation, at u in standard deviations."""
        u = np.asarray(u, dtype=np.float64)
        inside = (u >= self.support[0]) & (u <= self.support[1])
        return np.where(inside, self.unnormalized(u), 0.0) / self.normalizer

    @property
    def normalizer(self) -> float:
        """The integral of `unnormalized`, by Gauss-Legendre on panels graded towards 0.

        Examples
        --------
        >>> density = PointDensity.optimal(GaussianPair(rho=0.8))
        >>> density.normalizer > 0
        True
        """
        return float(self._cumulative[-1])

    def cdf(self, u: ArrayLike) -> FloatArray:
        r"""The share of centres at or below u.

        .. math:: F(u) = \int_{-\infty}^u \lambda

        Parameters
        ----------
        u : array_like, any shape
            In standard deviations.

        Returns
        -------
        ndarray, the shape of u
            To about 1e-14.

        Raises
        ------
        ValueError, TypeError
            If u does not hold real numbers.

        Examples
        --------
        >>> density = PointDensity.optimal(GaussianPair(rho=0.8))
        >>> density.cdf([-1.0, 0.0]).round(4)
        array([0.3481, 0.5   ])
        """
        u = np.clip(np.asarray(u, dtype=np.float64), self._edges[0], self._edges[-1])
        panel = np.clip(np.searchsorted(self._edges, u, side="right") - 1, 0, self._edges.size - 2)
        left = self._edges[panel]
        return (self._cumulative[panel] + self._integral(left, u)) / self.normalizer

    def ppf(self, p: ArrayLike) -> FloatArray:
        """The place below which a share p of the centres lies, by safeguarded Newton steps.

        .. math:: F^{-1}(p)

        Parameters
        ----------
        p : array_like, any shape
            Shares, 0 < p < 1.

        Returns
        -------
        ndarray, the shape of p
            In standard deviations.

        Raises
        ------
        ValueError
            If a share is not strictly between 0 and 1.

        Examples
        --------
        >>> density = PointDensity.optimal(GaussianPair(rho=0.8))
        >>> density.ppf([0.25, 0.75]).round(4)
        array([-1.5898,  1.5898])
        """
        p = np.asarray(p, dtype=np.float64)
        if not np.all((p > 0) & (p < 1)):
            raise ValueError(f"p must lie strictly between 0 and 1; got {p[~((p > 0) & (p < 1))]}")
        target = p * self.normalizer
        panel = np.searchsorted(self._cumulative, target, side="right") - 1
        panel = np.clip(panel, 0, self._edges.size - 2)
        start, base = self._edges[panel], self._cumulative[panel]
        low, high = start.copy(), self._edges[panel + 1].copy()
        u = 0.5 * (low + high)
        for _ in range(60):
            excess = base + self._integral(start, u) - target
            low, high = np.where(excess < 0, u, low), np.where(excess < 0, high, u)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = u - excess / self.unnormalized(u)
            inside = (step > low) & (step < high)
            following = np.where(inside, step, 0.5 * (low + high))
            if np.all(np.abs(following - u) <= 4e-16 * np.maximum(1.0, np.abs(u))):
                break
            u = following
        return u

    def centers(self, n_levels: int) -> FloatArray:
        r"""The compander's centres, in the data's own unit.

        .. math:: c_i = \sigma F^{-1}((i + 1/2) / K), \qquad i = 0, ..., K - 1

        Parameters
        ----------
        n_levels : int
            K.

        Returns
        -------
        ndarray, shape (K,)
            Increasing.

        Raises
        ------
        ValueError
            If n_levels is below 1.

        Examples
        --------
        >>> density = PointDensity.optimal(GaussianPair(rho=0.8))
        >>> density.centers(4).round(4)
        array([-2.4765, -0.8365,  0.8365,  2.4765])
        """
        return self.scale * self.ppf((np.arange(n_levels) + 0.5) / n_levels)

    def integrate(self, integrand: Callable[[FloatArray], FloatArray]) -> float:
        r"""The integral of a function of u over the support.

        .. math:: \int \mathrm{integrand}(u)\, du

        Parameters
        ----------
        integrand : callable
            Of an ndarray of any shape, to one of its shape; as smooth as l, with tails that may be
            much heavier (a power of u).

        Returns
        -------
        float
            Infinite where an octave outweighs the last.

        Raises
        ------
        ValueError, TypeError
            What the integrand raises.

        Examples
        --------
        >>> density = PointDensity.optimal(GaussianPair(rho=0.8))
        >>> round(density.integrate(density), 12)
        1.0
        """
        reach = max(-self._edges[0], self._edges[-1])
        octaves = reach * 2.0 ** np.arange(1, 60)
        beyond = np.concatenate([-octaves[::-1], [-reach, reach], octaves])
        edges = np.union1d(self._edges, np.clip(beyond, *self.support))
        half = 0.5 * np.diff(edges)
        nodes = (0.5 * (edges[1:] + edges[:-1]))[:, None] + half[:, None] * _NODES
        panels = half * (integrand(nodes) @ _NODE_WEIGHTS)
        total, last, before = panels.sum(), panels[[0, -1]].sum(), panels[[1, -2]].sum()
        if last <= 1e-15 * total or np.all(np.isfinite(self.support)):
            return float(total)
        # a power of u: what is left beyond is a geometric series of octaves
        return float(total + last * last / (before - last)) if last < before else np.inf

    @cached_property
    def modes(self) -> tuple[float, ...]:
        """Positions of the local maxima, in standard deviations, increasing.

        Examples
        --------
        >>> density = PointDensity.optimal(GaussianPair(rho=0.8))
        >>> [round(u, 4) for u in density.modes]
        [-1.199, 1.199]
        """
        if self.known_modes is not None:
            return self.known_modes
        from scipy.optimize import minimize_scalar

        low, high = max(self.support[0], -12.0), min(self.support[1], 12.0)
        grid = np.linspace(low, high, 4801)
        value = self.unnormalized(grid)
        peaks = []
        for i in range(grid.size):
            before = value[i - 1] if i else -np.inf
            after = value[i + 1] if i + 1 < grid.size else -np.inf
            if value[i] > before and value[i] >= after:
                bounds = (grid[max(i - 1, 0)], grid[min(i + 1, grid.size - 1)])
                found = minimize_scalar(
                    lambda u: -float(self.unnormalized(np.asarray(u))),
                    bounds=bounds,
                    method="bounded",
                    options={"xatol": 1e-12},
                )
                peaks.append(float(found.x))
        return tuple(peaks)

    @cached_property
    def _edges(self) -> FloatArray:
        """Panel edges: geometric outwards, towards 0 and towards finite ends (l may have cusps)."""
        outer = 1.0
        while outer < 1e60 and self._tail_matters(outer):
            outer *= np.sqrt(2.0)
        half = np.sqrt(2.0) ** np.arange(-56, round(2 * np.log2(outer)) + 1)
        low, high = self.support
        pieces = [-half, [0.0], half]
        for end, inwards in ((low, half), (high, -half)):
            if np.isfinite(end):
                pieces += [[end], end + inwards[half < 0.25 * (high - low)]]
        edges = np.concatenate(pieces)
        return np.unique(edges[(edges >= low) & (edges <= high)])

    def _tail_matters(self, u: float) -> bool:
        """Whether |v| > u still holds more than about 1e-17 of the mass (mass per octave ~ u l)."""
        peak = np.max(self.unnormalized(np.linspace(-3.0, 3.0, 61)))
        ends = np.array([-u, u])
        inside = (ends > self.support[0]) & (ends < self.support[1])
        return bool(np.any(inside & (u * self.unnormalized(ends) > 1e-17 * peak)))

    @cached_property
    def _cumulative(self) -> FloatArray:
        pieces = self._integral(self._edges[:-1], self._edges[1:])
        total = np.concatenate([[0.0], np.cumsum(pieces)])
        if not np.isfinite(total[-1]) or total[-1] <= 0:
            raise ValueError(f"the density must have a finite positive integral; got {total[-1]}")
        return total

    def _integral(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """int_left^right unnormalized, 16-point Gauss-Legendre, elementwise."""
        half = 0.5 * (np.asarray(right) - left)
        nodes = (0.5 * (np.asarray(right) + left))[..., None] + half[..., None] * _NODES
        return half * (self.unnormalized(nodes) @ _NODE_WEIGHTS)


def _outside(pair: Pair, operand: Operand, magnitude: float) -> float:
    """P(|X| > magnitude)."""
    mass = pair.cell_moments(np.array([-magnitude, magnitude]), operand)[0]
    return float(mass[0] + mass[2])
