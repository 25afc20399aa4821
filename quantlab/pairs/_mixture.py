"""Closed moments of every law that is a mixture of bivariate normals, one or many."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab.pairs._normal import (
    conditional_normal_cells,
    joint_normal_cells,
    normal_cells,
    normal_pdf,
)
from quantlab.pairs.base import FloatArray, Operand, Pair

# values of a batched temporary: components are taken in groups that stay within it
_GROUP = 1 << 18


@dataclass(frozen=True, eq=False)
class Components:
    """Given component n, X / sigma_x and Y / sigma_y are normal with deviation scales[n]."""

    masses: FloatArray
    scales: FloatArray
    rhos: FloatArray


class NormalMixture(Pair):
    """(X, Y) = (sigma_x, sigma_y) * s_N * (standard normal pair of correlation r_N), N random.

    Every moment is an average over the components of a closed form for normals, so that a law
    only names its components. A continuous law of s (Student-t, Laplace) names the nodes of a
    quadrature in log s, exact to rounding.
    """

    has_free_scale = True

    @property
    @abstractmethod
    def components(self) -> Components:
        """Masses (sum 1), scales (mean square 1) and correlations, each of shape (N,).

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8).components.rhos
        array([0.8])
        """

    @abstractmethod
    def _draw(self, k: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """s_l and r_l for l = 1..k, drawn from their own law (not from the quadrature)."""

    @property
    def mean_product(self) -> float:
        return self.rho * self.sigma_x * self.sigma_y

    @property
    def mean_square_product(self) -> float:
        parts = self.components
        fourth = np.sum(parts.masses * parts.scales**4 * (1 + 2 * parts.rhos**2))
        unit = self.sigma_x * self.sigma_y
        return float(fourth) * (unit * unit)

    def pdf(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        sigma = self.sigma(operand)
        parts = self.components
        u = np.asarray(x, dtype=np.float64)[..., None] / (sigma * parts.scales)
        return normal_pdf(u) @ (parts.masses / parts.scales) / sigma

    def weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        parts = self.components
        u = np.asarray(x, dtype=np.float64) / self.sigma(operand)
        share = self._posterior(u)
        noise = share @ ((1 - parts.rhos**2) * parts.scales**2)
        other = self.sigma_y if operand == "x" else self.sigma_x
        return other**2 * (noise + (share @ parts.rhos**2) * u * u)

    def feedback_weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        parts = self.components
        u = np.asarray(x, dtype=np.float64) / self.sigma(operand)
        other = self.sigma_y if operand == "x" else self.sigma_x
        return other**2 * (self._posterior(u) @ ((1 - np.abs(parts.rhos)) * parts.scales**2))

    def joint_pdf(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        parts = self.components
        u = np.asarray(x, dtype=np.float64)[..., None] / (self.sigma_x * parts.scales)
        v = np.asarray(y, dtype=np.float64)[..., None] / (self.sigma_y * parts.scales)
        q = np.sqrt((1 - parts.rhos) * (1 + parts.rhos))
        if np.any(q == 0):
            raise ValueError(
                f"a pair with |rho| = 1 lies on a line and has no joint density: {self!r}"
            )
        values = normal_pdf(u) * normal_pdf((v - parts.rhos * u) / q)
        return values @ (parts.masses / (parts.scales**2 * q)) / (self.sigma_x * self.sigma_y)

    def cell_moments(
        self, thresholds: ArrayLike, operand: Operand = "x", *, weighted: bool = False
    ) -> FloatArray:
        parts = self.components
        sigma = self.sigma(operand)
        scales = parts.scales[:, None]
        z = np.asarray(thresholds, dtype=np.float64) / (sigma * scales)
        moments = normal_cells(z, 3 if weighted else 1)
        if weighted:
            rho2 = parts.rhos[:, None] ** 2
            moments = [
                scales**2 * ((1 - rho2) * moments[p] + rho2 * moments[p + 2]) for p in range(2)
            ]
        total = np.stack([parts.masses @ (scales**p * moments[p]) for p in range(2)])
        total *= sigma ** np.arange(2.0)[:, None]
        if weighted:
            total *= (self.sigma_y if operand == "x" else self.sigma_x) ** 2
        return total

    def conditional_cells(
        self, x: ArrayLike, thresholds: ArrayLike, operand: Operand = "x"
    ) -> tuple[FloatArray, FloatArray]:
        parts = self.components
        other = self.sigma_y if operand == "x" else self.sigma_x
        u = np.asarray(x, dtype=np.float64) / self.sigma(operand)
        v = np.asarray(thresholds, dtype=np.float64) / other
        share = self._posterior(u)
        total_mass = np.zeros((u.size, v.size + 1))
        total_first = np.zeros_like(total_mass)
        group = max(1, _GROUP // total_mass.size)
        for rho, members in _groups(parts.rhos, group):
            scale = parts.scales[members, None]
            mass, first = conditional_normal_cells(u / scale, v / scale, rho)
            total_mass += np.einsum("in,nij->ij", share[:, members], mass)
            total_first += np.einsum("in,nij->ij", share[:, members] * scale[:, 0], first)
        return total_mass, total_first * other

    def joint_cells(
        self, thresholds_x: ArrayLike, thresholds_y: ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        parts = self.components
        u = np.asarray(thresholds_x, dtype=np.float64) / self.sigma_x
        v = np.asarray(thresholds_y, dtype=np.float64) / self.sigma_y
        total_mass = np.zeros((u.size + 1, v.size + 1))
        total_first = np.zeros_like(total_mass)
        group = max(1, _GROUP // total_mass.size)
        for rho, members in _groups(parts.rhos, group):
            scale = parts.scales[members, None]
            mass, first = joint_normal_cells(u / scale, v / scale, rho)
            total_mass += np.tensordot(parts.masses[members], mass, 1)
            total_first += np.tensordot(parts.masses[members] * scale[:, 0] ** 2, first, 1)
        return total_mass, total_first * (self.sigma_x * self.sigma_y)

    def sample_matrices(
        self, m: int, k: int, n: int, rng: int | np.random.Generator = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        r"""Draw a (m, k) and b (k, n), float32, in which every pair (A_il, B_lj) has this law.

        .. math::
            A_{il} = \sigma_X s_l (\sqrt{|r_l|}\, z_l + \sqrt{1-|r_l|}\, g_{il}), \quad
            B_{lj} = \sigma_Y s_l (\mathrm{sign}(r_l) \sqrt{|r_l|}\, z_l + \sqrt{1-|r_l|}\, h_{lj})

        with z, g, h independent standard normal. Column l of a and row l of b share z_l and the
        component, hence s_l and r_l: what makes the pair dependent at every (i, j) at once.

        Parameters
        ----------
        m, k, n : int
            Sizes, at least 1.
        rng : int or numpy.random.Generator
            A seed, or a stream that goes on.

        Returns
        -------
        (ndarray, ndarray) of float32, shapes (m, k) and (k, n)

        Raises
        ------
        ValueError, TypeError
            If a size is not a positive integer.

        Examples
        --------
        >>> from quantlab import StudentTPair
        >>> a, b = StudentTPair(rho=0.8, nu=5).sample_matrices(4, 100, 3, rng=0)
        >>> a.shape, b.shape
        ((4, 100), (100, 3))
        """
        m, k, n = check.count(m, "m"), check.count(k, "k"), check.count(n, "n")
        rng = np.random.default_rng(rng)
        scale, rho = self._draw(k, rng)
        z = np.sqrt(np.abs(rho)) * rng.standard_normal(k, dtype=np.float32)
        own = np.sqrt(1 - np.abs(rho)).astype(np.float32)
        a = rng.standard_normal((m, k), dtype=np.float32) * own
        a += z.astype(np.float32)
        a *= (self.sigma_x * scale).astype(np.float32)
        b = rng.standard_normal((k, n), dtype=np.float32) * own[:, None]
        b += (np.sign(rho) * z).astype(np.float32)[:, None]
        b *= (self.sigma_y * scale).astype(np.float32)[:, None]
        return a, b

    def _posterior(self, u: FloatArray) -> FloatArray:
        """P(component | X = u sigma), shape (*u.shape, N), without underflow far out."""
        parts = self.components
        exponent = -0.5 * np.square(u[..., None] / parts.scales)
        exponent -= exponent.max(axis=-1, keepdims=True)
        share = np.exp(exponent) * (parts.masses / parts.scales)
        return share / share.sum(axis=-1, keepdims=True)


def _groups(rhos: FloatArray, size: int) -> Iterator[tuple[float, NDArray[np.int64]]]:
    """Components of one correlation, at most `size` at a time."""
    for rho in np.unique(rhos):
        members = np.flatnonzero(rhos == rho)
        for start in range(0, members.size, size):
            yield float(rho), members[start : start + size]
