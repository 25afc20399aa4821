"""Cell moments of the standard bivariate normal, all in closed form.

Every function takes thresholds of shape (..., J), increasing along the last axis, in standard
deviations, and returns moments of the J + 1 cells between them. Leading axes broadcast.
"""

from __future__ import annotations

import numpy as np
import scipy  # its subpackages load on first use
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_TINY = 1e-200  # stands for an exact 0 where a quotient by it must keep its sign


def normal_pdf(z: FloatArray) -> FloatArray:
    return np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi)


def bivariate_cdf(h: FloatArray, k: FloatArray, rho: float) -> FloatArray:
    r"""P(X <= h, Y <= k) for |rho| < 1 and finite h, k (absolute error about 2e-16).

    .. math:: \Phi_2 = \tfrac12 [\Phi(h) + \Phi(k)] - T(h, \tfrac{k - \rho h}{h q})
              - T(k, \tfrac{h - \rho k}{k q}) - \tfrac12 [hk < 0]

    with T Owen's function and q^2 = 1 - rho^2 (Owen, Ann. Math. Statist. 27 (1956) 1075).
    """
    h, k = (np.where(z == 0, _TINY, z) for z in np.broadcast_arrays(h, k))
    q = np.sqrt((1 - rho) * (1 + rho))
    with np.errstate(over="ignore"):
        owen = scipy.special.owens_t(h, (k / h - rho) / q) + scipy.special.owens_t(
            k, (h / k - rho) / q
        )
    return 0.5 * (scipy.special.ndtr(h) + scipy.special.ndtr(k)) - owen - 0.5 * ((h < 0) != (k < 0))


def normal_cells(thresholds: FloatArray, order: int = 1) -> list[FloatArray]:
    """int z^p phi(z) dz over each cell, p = 0..order, right to rounding in both tails."""
    t = np.pad(thresholds, [(0, 0)] * (thresholds.ndim - 1) + [(1, 1)])
    # the smaller tail at each threshold: cells beyond 0 are differences of small numbers
    tail = scipy.special.ndtr(-np.abs(t))
    tail[..., [0, -1]] = 0.0
    mass = tail_differences(tail, t)
    phi = normal_pdf(t)
    phi[..., [0, -1]] = 0.0
    moments = [mass, -np.diff(phi)]
    for p in range(2, order + 1):  # by parts: (p - 1) m_{p-2} minus the edges' t^(p-1) phi(t)
        moments.append((p - 1) * moments[p - 2] - np.diff(t ** (p - 1) * phi))
    return moments


def tail_differences(tail: FloatArray, t: FloatArray) -> FloatArray:
    """Mass of each cell from the smaller tail at each end; the first and last end are infinite."""
    upper = t > 0
    upper[..., -1] = True
    upper[..., 0] = False
    lo, hi = tail[..., :-1], tail[..., 1:]
    crosses = ~upper[..., :-1] & upper[..., 1:]
    return np.where(crosses, 1 - lo - hi, np.where(upper[..., :-1], lo - hi, hi - lo))


def conditional_normal_cells(
    z: FloatArray, thresholds: FloatArray, rho: float
) -> tuple[FloatArray, FloatArray]:
    """P(Y in cell | X = z) and E[Y; Y in cell | X = z]: z (..., I), result (..., I, J + 1)."""
    q = np.sqrt((1 - rho) * (1 + rho))
    if q == 0.0:
        return line_conditional_cells(rho * z, thresholds)
    mean = rho * z[..., :, None]
    t = thresholds[..., None, :]
    mass, first = normal_cells((t - mean) / q)
    return mass, mean * mass + q * first


def line_conditional_cells(y: FloatArray, thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same where Y is known: y (..., I)."""
    y, t = y[..., :, None], thresholds[..., None, :]
    cell = np.sum(y > t, axis=-1, keepdims=True)
    mass = (cell == np.arange(t.shape[-1] + 1)).astype(np.float64)
    return mass, y * mass


def joint_normal_cells(h: FloatArray, k: FloatArray, rho: float) -> tuple[FloatArray, FloatArray]:
    r"""P(cell i, cell j) and E[XY; cell i, cell j], shapes (..., I + 1, J + 1).

    Differences of the lower-orthant moments at the thresholds h (..., I) and k (..., J):

    .. math:: E[XY; X \le h, Y \le k] = \rho [\Phi_2 - h \phi(h) \Phi(\tfrac{k - \rho h}{q})
              - k \phi(k) \Phi(\tfrac{h - \rho k}{q})] + q^2 \phi_2(h, k)

    (by parts; derived in notebooks/04). At |rho| = 1 the law lives on a line: see the code.
    """
    if abs(rho) == 1.0:
        return _line_cells(h, k, rho)
    q2 = (1 - rho) * (1 + rho)
    q = np.sqrt(q2)
    hc, kc = h[..., :, None], k[..., None, :]
    cdf = bivariate_cdf(hc, kc, rho)
    phi_h, phi_k = normal_pdf(hc), normal_pdf(kc)
    z = (kc - rho * hc) / q
    tails = hc * phi_h * scipy.special.ndtr(z) + kc * phi_k * scipy.special.ndtr(
        (hc - rho * kc) / q
    )
    moment = rho * (cdf - tails) + q * phi_h * normal_pdf(z)
    edge_h, edge_k = scipy.special.ndtr(h), scipy.special.ndtr(k)
    mass = _with_borders(cdf, edge_h, edge_k, 1.0)
    first = _with_borders(
        moment,
        rho * (edge_h - h * normal_pdf(h)),
        rho * (edge_k - k * normal_pdf(k)),
        rho,
    )
    return mass, first


def _with_borders(
    inner: FloatArray, at_h: FloatArray, at_k: FloatArray, total: float
) -> FloatArray:
    """Cell values from a lower-orthant table: 0 at -inf, marginals at +inf."""
    table = np.zeros((*inner.shape[:-2], inner.shape[-2] + 2, inner.shape[-1] + 2))
    table[..., 1:-1, 1:-1] = inner
    table[..., 1:-1, -1] = at_h
    table[..., -1, 1:-1] = at_k
    table[..., -1, -1] = total
    return np.diff(np.diff(table, axis=-1), axis=-2)


def _line_cells(h: FloatArray, k: FloatArray, rho: float) -> tuple[FloatArray, FloatArray]:
    """rho = +-1: cells of X cut by those of Y = rho X are intervals of one normal variable."""
    lead = np.broadcast_shapes(h.shape[:-1], k.shape[:-1])
    ends = np.full((*lead, 1), np.inf)
    h = np.concatenate([-ends, np.broadcast_to(h, (*lead, h.shape[-1])), ends], axis=-1)
    k = np.concatenate([-ends, np.broadcast_to(k, (*lead, k.shape[-1])), ends], axis=-1)
    y_lo, y_hi = (k[..., :-1], k[..., 1:]) if rho > 0 else (-k[..., 1:], -k[..., :-1])
    lo = np.maximum(h[..., :-1, None], y_lo[..., None, :])
    hi = np.maximum(lo, np.minimum(h[..., 1:, None], y_hi[..., None, :]))

    flip = lo > 0  # the mirror image of a cell in the upper tail: no cancellation near 1
    left, right = np.where(flip, -hi, lo), np.where(flip, -lo, hi)
    mass = scipy.special.ndtr(right) - scipy.special.ndtr(left)
    with np.errstate(invalid="ignore"):
        edge = [np.where(np.isinf(t), 0.0, t * normal_pdf(t)) for t in (left, right)]
    return mass, rho * (mass - edge[1] + edge[0])
