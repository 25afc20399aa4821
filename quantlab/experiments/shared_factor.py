"""The error of a coded product given the factor that its operands share."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike

from quantlab.codebook import Codebook
from quantlab.experiments.designs import codebooks, exact
from quantlab.pairs import GaussianPair
from quantlab.pairs.base import FloatArray

_REACH = 9.0
# of a conditional standard deviation: cubic splines are then right to 1e-6
_STEP = 1 / 8
MOST_RHO = 0.9999


class ConditionalError:
    r"""E[(C_ij - g Cq_ij)^2 | z] of matrices whose pairs share z_l.

    .. math:: \Big(\sum_l b(z_l)\Big)^2 + \sum_l \big(v(z_l) - b(z_l)^2\big), \qquad
              b(z) = E[e | z], \quad v(z) = E[e^2 | z], \quad e = XY - g \hat X \hat Y

    Given z, X = s_X (sqrt|rho| z + sqrt(1-|rho|) g) and Y (the matrix model of [1]) are independent
    normals, so that b and v are products of one-dimensional moments.

    A measured error minus this has mean zero whatever z: rare large z, which make up much of the
    error at large |rho| and are seldom drawn, no longer hide in the measurement's spread. The mean
    over z is `mean`, a second way to the exact error that shares no step with `exact_mse`.

    Parameters
    ----------
    pair : GaussianPair
        |rho| at most 0.9999 (at 1 the moments jump at the thresholds).
    codebook_x, codebook_y : Codebook
    gain : float
        g.

    Examples
    --------
    >>> from quantlab import exact_mse
    >>> pair, books = GaussianPair(0.8), codebooks(GaussianPair(0.8), "closed_form", 16, 256)
    >>> error = ConditionalError(pair, *books)
    >>> abs(error.mean(256) / exact_mse(pair, *books, inner_dim=256).mse - 1) < 1e-9
    True
    """

    def __init__(
        self, pair: GaussianPair, codebook_x: Codebook, codebook_y: Codebook, gain: float = 1.0
    ) -> None:
        shared, own = np.sqrt(abs(pair.rho)), np.sqrt(1 - abs(pair.rho))
        if abs(pair.rho) > MOST_RHO:
            raise ValueError(f"|rho| must be at most {MOST_RHO}; got {pair.rho}")
        z = np.linspace(-_REACH, _REACH, 2 * int(_REACH / (_STEP * own)) + 1)
        s_x, s_y = pair.sigma_x, pair.sigma_y
        mean_x, mean_y = s_x * shared * z, s_y * np.copysign(shared, pair.rho) * z
        x, x_cross, x_square = _moments(codebook_x, mean_x, s_x * own)
        y, y_cross, y_square = _moments(codebook_y, mean_y, s_y * own)
        bias = mean_x * mean_y - gain * x * y
        square = (
            (mean_x**2 + (s_x * own) ** 2) * (mean_y**2 + (s_y * own) ** 2)
            - 2 * gain * x_cross * y_cross
            + gain**2 * x_square * y_square
        )
        # the trapezoidal rule on an analytic integrand with a normal weight
        mass = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) * (z[1] - z[0])
        self._bias, self._square = float(bias @ mass), float(square @ mass)
        self._spline = scipy.interpolate.CubicSpline(z, np.stack([bias, square], axis=1))

    def mean(self, inner_dim: int) -> float:
        """E[(C_ij - g Cq_ij)^2] at k = inner_dim."""
        return inner_dim * self._square + inner_dim * (inner_dim - 1) * self._bias**2

    def __call__(self, z: ArrayLike) -> float:
        """The expectation given the shared factors z, shape (k,)."""
        bias, square = self._spline(z).T
        return float(bias.sum() ** 2 + (square - bias**2).sum())


def _moments(book: Codebook, mean: FloatArray, deviation: float) -> tuple[FloatArray, ...]:
    """E[Xq], E[X Xq] and E[Xq^2] of X normal with each of the means, summed by parts."""
    t = (book.thresholds - mean[:, None]) / deviation
    below = scipy.special.ndtr(t)
    first = mean[:, None] * below - deviation * np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi)
    c = book.centers
    return (
        c[-1] - below @ np.diff(c),
        c[-1] * mean - first @ np.diff(c),
        c[-1] ** 2 - below @ np.diff(c**2),
    )


@lru_cache(maxsize=4096)
def conditional_error(
    pair: GaussianPair, design: str, n_levels: int, inner_dim: int, with_gain: bool
) -> ConditionalError:
    """Of that design's codebooks, with their exact best gain or none; kept."""
    gain = exact(pair, design, n_levels, inner_dim).gain if with_gain else 1.0
    return ConditionalError(pair, *codebooks(pair, design, n_levels, inner_dim), gain)
