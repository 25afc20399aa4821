"""The correlated Gaussian pair, for which everything is in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from quantlab.pairs._mixture import Components
from quantlab.pairs.base import FloatArray, Operand
from quantlab.pairs.elliptical import CRITICAL_RHO, EllipticalPair


@dataclass(frozen=True)
class GaussianPair(EllipticalPair):
    r"""Zero-mean jointly Gaussian (X, Y) with correlation rho.

    .. math:: w_X(x) = E[Y^2 | X = x] = \sigma_Y^2 ((1-\rho^2) + \rho^2 u^2), \quad u = x/\sigma_X

    Parameters
    ----------
    rho : float
        Correlation, in [-1, 1].
    sigma_x, sigma_y : float
        Standard deviations of X and Y, in the data's own unit.

    Raises
    ------
    ValueError
        If |rho| > 1, a sigma is not positive, or a value is NaN or infinite.
    TypeError
        If a value is not a real number.

    Notes
    -----
    The weight is [1] Eq. for Gaussian pairs; derived in notebooks/01.

    Choosing: the law to start with. For data with heavier tails see `StudentTPair`; for two
    given matrices `EmpiricalPair`.

    Examples
    --------
    >>> pair = GaussianPair(rho=0.8)
    >>> round(float(pair.weight(0.0)), 12)
    0.36
    >>> a, b = pair.sample_matrices(2, 3, 4, rng=0)
    >>> a.shape, b.shape
    ((2, 3), (3, 4))
    """

    rho: float
    sigma_x: float = 1.0
    sigma_y: float = 1.0

    def __post_init__(self) -> None:
        self._check_parameters()

    def pdf(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        sigma = self.sigma(operand)
        u = np.asarray(x, dtype=np.float64) / sigma
        return np.exp(-0.5 * u * u) / (np.sqrt(2 * np.pi) * sigma)

    def weight(self, x: ArrayLike, operand: Operand = "x") -> FloatArray:
        u = np.asarray(x, dtype=np.float64) / self.sigma(operand)
        other = self.sigma_y if operand == "x" else self.sigma_x
        return other**2 * ((1 - self.rho**2) + (self.rho * u) ** 2)

    def score(self, u: ArrayLike) -> FloatArray:
        return np.square(np.asarray(u, dtype=np.float64))

    def peaks(self, operand: Operand = "x") -> tuple[float, ...]:
        if abs(self.rho) <= CRITICAL_RHO:
            return (0.0,)
        u = float(np.sqrt(3 - 1 / self.rho**2))
        return (-u, u)

    @property
    def components(self) -> Components:
        return Components(np.ones(1), np.ones(1), np.array([self.rho]))

    def _draw(self, k: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        return np.ones(k), np.full(k, self.rho)
