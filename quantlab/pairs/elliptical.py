"""What all elliptical pairs share: one critical correlation and one equation for the peaks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from quantlab.pairs._mixture import Components, NormalMixture
from quantlab.pairs.base import FloatArray, Operand

#: |rho| at which the optimal density of an elliptical pair turns from one peak to two, 1/sqrt(3).
CRITICAL_RHO = float(1 / np.sqrt(3))

# where the score is searched for crossings, in standard deviations
_SEARCH = np.geomspace(1e-8, 1e3, 1101)


# trapezoidal nodes in log s^2: moments are analytic within pi/2 of the real line, so that a step
# of 0.2 leaves less than 1e-14
LOG_STEP = 0.2
_DROPPED = 42.0  # masses (and mean squares) below e^-42 of the largest are left out


class EllipticalPair(NormalMixture):
    r"""A mixture over s of (X, Y) = s * (normal pair of correlation rho): elliptical contours.

    .. math:: w(x) = \rho^2 x^2 + (1 - \rho^2)\, M(x) / f(x), \qquad M'(x) = -x f(x)

    in standard deviations. Hence (f w)' = x f [(3 rho^2 - 1) - rho^2 g(x)] with the score
    g(x) = -x d/dx log f(x) >= 0: the peak at 0 splits at |rho| = 1/sqrt(3) whatever the law, and
    beyond it the peaks of l* solve g(x) = 3 - 1/rho^2. Derived in notebooks/03.
    """

    @abstractmethod
    def score(self, u: ArrayLike) -> FloatArray:
        r"""How steeply the density falls, by factors.

        .. math:: g(u) = -u \frac{d}{du} \log f(u)

        Parameters
        ----------
        u : array_like, any shape
            Values in standard deviations.

        Returns
        -------
        ndarray, the shape of u
            Beyond the critical correlation the peaks of l* solve g(u) = 3 - 1 / rho^2.

        Raises
        ------
        TypeError
            If u does not hold real numbers.

        Examples
        --------
        >>> from quantlab import GaussianPair
        >>> GaussianPair(rho=0.8).score([0.0, 2.0])
        array([0., 4.])
        """

    def peaks(self, operand: Operand = "x") -> tuple[float, ...]:
        at_peaks = level(self.rho)
        if at_peaks <= 0:
            return (0.0,)
        from scipy.optimize import brentq  # here: quantlab must import at once

        below = self.score(_SEARCH) < at_peaks
        upward = np.flatnonzero(below[:-1] & ~below[1:])
        found = [
            float(
                brentq(lambda u: float(self.score(u)) - at_peaks, *_SEARCH[i : i + 2], xtol=1e-15)
            )
            for i in upward
        ]
        return (*(-u for u in reversed(found)), *found)


def level(rho: float) -> float:
    """3 - 1/rho^2, the score at the peaks; not positive up to the critical correlation."""
    return 3 - 1 / rho**2 if abs(rho) > CRITICAL_RHO else 0.0


def both_sides(u: float) -> tuple[float, ...]:
    return (-float(u), float(u)) if u > 0 else (0.0,)


def quadratic_form(pair: EllipticalPair, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, float]:
    """(u^2 - 2 rho u v + v^2) / (1 - rho^2) and 1 / (sigma_x sigma_y sqrt(1 - rho^2))."""
    q2 = (1 - pair.rho) * (1 + pair.rho)
    if q2 == 0.0:
        raise ValueError(f"a pair with |rho| = 1 lies on a line and has no joint density: {pair!r}")
    u = np.asarray(x, dtype=np.float64) / pair.sigma_x
    v = np.asarray(y, dtype=np.float64) / pair.sigma_y
    return (v - pair.rho * u) ** 2 / q2 + u * u, 1 / (pair.sigma_x * pair.sigma_y * np.sqrt(q2))


def log_nodes(
    log_density: Callable[[FloatArray], FloatArray], step: float, rho: float
) -> Components:
    """Trapezoidal rule for a law of s^2 from the log density of log s^2, up to a constant."""
    log_square = step * np.arange(-int(60 / step), int(1200 / step), dtype=np.float64)
    with np.errstate(over="ignore"):
        height = log_density(log_square)
        height = np.where(np.isfinite(height), height, -np.inf)
    # keep what matters to the mass or to the mean of s^2
    keep = (height + np.maximum(log_square, 0)) > height.max() - _DROPPED
    masses = np.exp(height[keep] - height.max())
    scales = np.exp(0.5 * log_square[keep])
    return Components(masses / masses.sum(), scales, np.full(masses.size, rho))
