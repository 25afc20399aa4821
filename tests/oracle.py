"""Naive references: slow, obvious, and the specification of the fast paths."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

import quantlab as ql


def product_moments_by_quadrature(
    pair: ql.GaussianPair, cb_x: ql.Codebook, cb_y: ql.Codebook
) -> dict[str, float]:
    """E[e], E[e^2], E[p], E[p^2], E[XY p] of e = XY - p, p = Xq Yq, |rho| < 1: adaptive quadrature.

    Given X = x, Y is normal: each cell of Y adds its probability, mean and second moment. Over x
    scipy's quad runs between the cells' borders and the places where the conditional law steps.
    """
    s_x, s_y, rho = pair.sigma_x, pair.sigma_y, pair.rho
    deviation = s_y * np.sqrt(1 - rho**2)
    slope = rho * s_y / s_x
    borders = np.concatenate([[-np.inf], cb_y.thresholds, [np.inf]])

    def conditional(x: float) -> tuple[float, float, float]:
        mean = slope * x
        z = (borders - mean) / deviation
        mass = np.diff(norm.cdf(z))
        first = mean * mass - deviation * np.diff(norm.pdf(z))
        c = cb_y.centers
        return c @ mass, c**2 @ mass, c @ first

    values = {
        "p": lambda x, q, m: q * m[0],
        "p^2": lambda x, q, m: q * q * m[1],
        "XY p": lambda x, q, m: q * x * m[2],
    }
    ends = [-12 * s_x, 12 * s_x]
    steps = cb_y.thresholds / slope if slope else np.empty(0)
    near = (steps[:, None] + deviation / abs(slope or 1) * np.array([-6, -2, 0, 2, 6])).ravel()
    cuts = np.unique(np.concatenate([ends, cb_x.thresholds, near]))
    cuts = cuts[(cuts >= ends[0]) & (cuts <= ends[1])]
    total = dict.fromkeys(values, 0.0)
    for left, right in itertools.pairwise(cuts):
        q = float(cb_x.quantize((left + right) / 2))
        for name, value in values.items():

            def integrand(x: float, value=value, q=q) -> float:
                return norm.pdf(x / s_x) / s_x * value(x, q, conditional(x))

            total[name] += quad(integrand, left, right, epsabs=1e-13, epsrel=1e-11)[0]
    mean = rho * s_x * s_y
    square = (1 + 2 * rho**2) * (s_x * s_y) ** 2
    total["e"] = mean - total["p"]
    total["e^2"] = square - 2 * total["XY p"] + total["p^2"]
    return total


def mse_of_moments(moments: dict[str, float], inner_dim: int) -> float:
    """k E[e^2] + k (k - 1) E[e]^2, as THEORY (1) has it."""
    k = inner_dim
    return k * moments["e^2"] + k * (k - 1) * moments["e"] ** 2


def bivariate_cdf(h: float, k: float, rho: float) -> float:
    """P(X <= h, Y <= k) by scipy's own integration."""
    return float(multivariate_normal(cov=[[1, rho], [rho, 1]]).cdf([h, k]))


def lloyd(pair: ql.Pair, centers: np.ndarray, weighted: bool, steps: int) -> np.ndarray:
    """Lloyd's iteration on a fine grid of the operand X: nearest centre, then centroid."""
    x = np.linspace(-10, 10, 400_001) * pair.sigma_x
    mass = pair.pdf(x) * (pair.weight(x) if weighted else 1.0)
    c = np.array(centers)
    for _ in range(steps):
        cell = np.searchsorted((c[1:] + c[:-1]) / 2, x)
        c = np.bincount(cell, mass * x, c.size) / np.bincount(cell, mass, c.size)
    return c


def round_feedback(
    rows: np.ndarray, upper: np.ndarray, centers: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Codes with feedback, one entry after the other; every operation rounds to the rows' dtype."""
    kind = rows.dtype.type
    u, c = upper.astype(kind), centers.astype(kind)
    codes = np.zeros(rows.shape, np.uint8)
    for i, x in enumerate(rows):
        error = np.zeros_like(x)
        for at in reversed(range(x.size)):
            v = x[at]
            for j in reversed(range(at + 1, x.size)):
                v = kind(v - kind(u[at, j] * error[j]))
            codes[i, at] = np.searchsorted(thresholds[at], np.float64(v), side="left")
            error[at] = c[at, codes[i, at]] - x[at]
    return codes


def round_feedback_uniform(
    rows: np.ndarray, upper: np.ndarray, steps: np.ndarray, offsets: np.ndarray,
    lo: np.ndarray, hi: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """The same on uniform grids: the integers."""
    kind = rows.dtype.type
    u, step, offset = upper.astype(kind), steps.astype(kind), offsets.astype(kind)
    ints = np.zeros(rows.shape, np.int32)
    for i, x in enumerate(rows):
        error = np.zeros_like(x)
        for at in reversed(range(x.size)):
            v = x[at]
            for j in reversed(range(at + 1, x.size)):
                v = kind(v - kind(u[at, j] * error[j]))
            z = np.clip(np.rint(kind(kind(v - offset[at]) / step[at])), lo[at], hi[at])
            ints[i, at] = z
            error[at] = kind(offset[at] + kind(step[at] * kind(z))) - x[at]
    return ints


def quadratic_errors(rows: np.ndarray, decoded: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """e S e^T of every row."""
    e = decoded.astype(np.float64) - rows
    return np.einsum("ij,jl,il->i", e, moment, e)
