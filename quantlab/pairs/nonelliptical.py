"""Pairs that are not elliptical, for which the transition is elsewhere than at 1/sqrt(3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # its subpackages load on first use
from numpy.typing import ArrayLike, NDArray

from quantlab.pairs._mixture import Components, NormalMixture
from quantlab.pairs._normal import bivariate_cdf, normal_pdf
from quantlab.pairs._quadrature import gauss_nodes, resolve_steps
from quantlab.pairs.base import FloatArray, Operand, Pair
from quantlab.pairs.gaussian import GaussianPair

_ROOT3 = float(np.sqrt(3))


@dataclass(frozen=True)
class IntermittentPair(NormalMixture):
    r"""Normal marginals; correlated rho / share in a share of the products, independent otherwise.

    .. math:: w_X(x) = \sigma_Y^2 ((1 - \rho^2 / p) + (\rho^2 / p)\, u^2), \qquad p = \text{share}

    The weight is a normal pair's with correlation rho / sqrt(p): the peak of l* splits at
    |rho| = sqrt(p / 3), below 1/sqrt(3).

    Parameters
    ----------
    rho : float
        Overall correlation, |rho| <= share.
    share : float
        p, in (0, 1]: how often a product is of the correlated kind.
    sigma_x, sigma_y : float
        Standard deviations of X and Y, in the data's own unit.

    Raises
    ------
    ValueError, TypeError
        As in `GaussianPair`; also if share is outside (0, 1] or |rho| > share.

    Notes
    -----
    Derived in notebooks/03.

    Examples
    --------
    >>> IntermittentPair(rho=0.5, share=0.5).weight([0.0, 1.0]).round(12)
    array([0.5, 1. ])
    """

    rho: float
    share: float = 0.5
    sigma_x: float = 1.0
    sigma_y: float = 1.0

    def __post_init__(self) -> None:
        self._check_parameters("share")
        if self.share > 1:
            raise ValueError(f"share must lie in (0, 1]; got {self.share}")
        if abs(self.rho) > self.share:
            raise ValueError(f"|rho| must not exceed share = {self.share}; got rho = {self.rho}")

    @cached_property
    def components(self) -> Components:
        share = self.share
        return Components(
            np.array([share, 1 - share]), np.ones(2), np.array([self.rho / share, 0.0])
        )

    def _draw(self, k: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        return np.ones(k), np.where(rng.random(k) < self.share, self.rho / self.share, 0.0)


@dataclass(frozen=True)
class UniformCopulaPair(Pair):
    r"""Uniform marginals on +-sqrt(3) sigma, tied by a Gaussian copula.

    .. math::
        X = \sqrt3\, \sigma_X (2 \Phi(Z_X) - 1), \quad Y = \sqrt3\, \sigma_Y (2 \Phi(Z_Y) - 1),
        \qquad \mathrm{corr}(Z_X, Z_Y) = r = 2 \sin(\pi \rho / 6)

    f is flat, so l* follows w^(1/3) alone, which is least at 0 for every rho but 0: l* has its
    peaks at the two ends, and the transition has moved to rho = 0.

    Parameters
    ----------
    rho : float
        Correlation of X and Y (not r), in [-1, 1].
    sigma_x, sigma_y : float
        Standard deviations of X and Y, in the data's own unit.

    Raises
    ------
    ValueError, TypeError
        As in `GaussianPair`.

    Notes
    -----
    Derived in notebooks/03. E[Y^2 | x] and the conditional cells are closed (Owen's T); the joint
    cells are Gauss-Legendre panels in Z_X, right to about 1e-13 for every rho.

    Examples
    --------
    >>> UniformCopulaPair(rho=0.5).weight([0.0, 1.7]).round(4)
    array([0.8334, 1.6603])
    """

    has_free_scale = True

    rho: float
    sigma_x: float = 1.0
    sigma_y: float = 1.0

    def __post_init__(self) -> None:
        self._check_parameters()

    @property
    def copula_rho(self) -> float:
        """r, the correlation of the normal variables behind X and Y.

        Examples
        --------
        >>> round(UniformCopulaPair(rho=0.5).copula_rho, 4)
        0.5176
        """
        if abs(self.rho) == 1.0:  # 2 sin(pi / 6) rounds to less than 1
            return self.rho
        return float(2 * np.sin(np.pi * self.rho / 6))

    @property
    def _noise(self) -> float:
        """sqrt(1 - r^2), without the cancellation near |rho| = 1."""
        angle = np.pi * (1 - abs(self.rho)) / 6
        short = 2 * np.sin(angle / 2) ** 2 + _ROOT3 * np.sin(angle)  # 1 - |r|
        return float(np.sqrt(short * (2 - short)))

    @property
    def mean_product(self) -> float:
        return self.rho * self.sigma_x * self.sigma_y

    @cached_property
    def mean_square_product(self) -> float:
        # E[X^2 w(X)] over Z_X: the trapezoidal rule is exact to rounding for normal integrands
        z = np.linspace(-9, 9, 361)
        x = _ROOT3 * (2 * scipy.special.ndtr(z) - 1)
        unit = self.sigma_x * self.sigma_y
        return float(np.sum(normal_pdf(z) * x * x * self._weight(z, 1.0)) * 0.05) * (unit * unit)

    def peaks(self, operand: Operand = "x") -> tuple[float, ...]:
        # the ends of the support; none at rho = 0, where l* is flat
        return (-_ROOT3, _ROOT3) if self.rho else ()

    def support(self, operand: Operand = "x") -> tuple[float, float]:
        half = _ROOT3 * self.sigma(operand)
        return -half, half

    def pdf(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        half = _ROOT3 * self.sigma(operand)
        return np.where(np.abs(np.asarray(x, dtype=np.float64)) <= half, 0.5 / half, 0.0)

    def weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        other = self.sigma_y if operand == "x" else self.sigma_x
        return self._weight(self._normal(x, operand), other)

    def _weight(self, z: FloatArray, other_sigma: float) -> FloatArray:
        q2 = self._noise**2
        h = self.copula_rho * z / np.sqrt(1 + q2)
        # V = Phi(Z_Y): E[V | z] = Phi(h), E[V^2 | z] = Phi(h) - 2 T(h, 1 / sqrt(1 + 2 q^2))
        return (3 * other_sigma**2) * (1 - 8 * scipy.special.owens_t(h, 1 / np.sqrt(1 + 2 * q2)))

    def feedback_weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        own = np.sqrt(1 - abs(self.copula_rho))  # deviation of the part that is not shared
        shared = np.sqrt(abs(self.copula_rho))
        # z given Z_X: the trapezoidal rule is exact to rounding for normal integrands
        t = np.linspace(-9, 9, 91)
        z = shared * self._normal(x, operand)[..., None] + own * t
        h = -np.abs(shared * z) / np.sqrt(1 + own**2)
        mean = scipy.special.ndtr(h)
        spread = mean - 2 * scipy.special.owens_t(h, 1 / np.sqrt(1 + 2 * own**2)) - mean**2
        other = self.sigma_y if operand == "x" else self.sigma_x
        return 12 * other**2 * (spread @ normal_pdf(t) * 0.2)

    def joint_pdf(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        z_x, z_y = self._normal(x, "x"), self._normal(y, "y")
        copula = GaussianPair(self.copula_rho).joint_pdf(z_x, z_y)
        copula = copula / (normal_pdf(z_x) * normal_pdf(z_y))
        return copula * self.pdf(x, "x") * self.pdf(y, "y")

    def conditional_cells(
        self, x: ArrayLike, thresholds: ArrayLike, operand: Operand = "x"
    ) -> tuple[FloatArray, FloatArray]:
        other: Operand = "y" if operand == "x" else "x"
        z = self._normal(thresholds, other)
        mean = self.copula_rho * self._normal(x, operand)[:, None]
        q = self._noise
        full = np.sqrt(1 + q * q)
        below = (mean <= z).astype(np.float64)
        level = below * scipy.special.ndtr(mean / full)
        # further than 9 deviations from its threshold a value is on one side of it
        rows, columns = np.nonzero(np.abs(z - mean) < 9 * q)
        if rows.size:
            near, centre = (z[columns] - mean[rows, 0]) / q, mean[rows, 0] / full
            below[rows, columns] = scipy.special.ndtr(near)
            level[rows, columns] = bivariate_cdf(centre, near, -q / full)
        ends = np.ones_like(mean), scipy.special.ndtr(mean / full)
        mass, first = (
            np.diff(np.concatenate([np.zeros_like(mean), values, end], axis=1))
            for values, end in zip((below, level), ends, strict=True)
        )
        return mass, _ROOT3 * self.sigma(other) * (2 * first - mass)

    def sample_matrices(
        self, m: int, k: int, n: int, rng: int | np.random.Generator = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        # the copula's Gaussian matrices, made uniform
        a, b = GaussianPair(self.copula_rho).sample_matrices(m, k, n, rng)
        for matrix, sigma in ((a, self.sigma_x), (b, self.sigma_y)):
            scipy.special.ndtr(matrix, out=matrix)
            matrix -= np.float32(0.5)
            matrix *= np.float32(2 * _ROOT3 * sigma)
        return a, b

    def _normal(self, x: ArrayLike, operand: Operand) -> FloatArray:
        """Z of a value; the ends of the support go to +-9."""
        u = np.asarray(x, dtype=np.float64) / (2 * _ROOT3 * self.sigma(operand))
        z = -scipy.special.ndtri(np.clip(0.5 - np.abs(u), 0.0, 0.5))
        return np.copysign(np.minimum(z, 9.0), u)

    def _mass_nodes(
        self, thresholds: FloatArray, operand: Operand, steps: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Panels in Z, where the law is smooth up to the ends of the support."""
        other: Operand = "y" if operand == "x" else "x"
        edges = np.union1d(np.linspace(-9, 9, 37), self._normal(thresholds, operand))
        r = self.copula_rho
        if steps.size and r:
            edges = resolve_steps(edges, self._normal(steps, other) / r, self._noise / abs(r))
        z, dz = gauss_nodes(edges)
        scale = _ROOT3 * self.sigma(operand)
        x = scale * (2 * scipy.special.ndtr(z) - 1)
        return scale * (2 * scipy.special.ndtr(edges) - 1), x, normal_pdf(z) * dz
