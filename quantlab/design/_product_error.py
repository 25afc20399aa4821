"""The exact product error of two codebooks as a smooth function: value, gradient, Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its subpackages load on first use

from quantlab.pairs import Operand, Pair
from quantlab.pairs.base import FloatArray

_DIFFERENCE = 1e-5  # of a conditional standard deviation, for d/dt of the conditional moments
_MAX_STEPS = 150
_FLAT = 1e-14  # stop when the model promises a smaller relative fall
_RESOLVED = 1e-6  # of nmse: what the rounding of the cells' probabilities may change


@dataclass(frozen=True, eq=False)
class Point:
    """Centres and thresholds of both codebooks in standard deviations, and their nmse."""

    theta: FloatArray
    nmse: float
    mass: FloatArray  # (K_X, K_Y) P(cell i, cell j)
    first: FloatArray  # (K_X, K_Y) E[XY; cell i, cell j] / (sigma_x sigma_y)
    mean_error: float  # E[e] / (sigma_x sigma_y)


class ProductError:
    """nmse(k) of two codebooks, theta = (c_x, t_x, c_y, t_y) in standard deviations.

    F(theta) = S - 2 A + B + (k - 1) b^2, with S = E[X^2 Y^2], A = c_x' M c_y, B = c_x^2' P c_y^2,
    b = E[XY] - c_x' P c_y; P and M are the joint cell moments at the thresholds. nmse = F / scale.
    """

    def __init__(
        self, pair: Pair, levels: tuple[int, int], inner_dim: int, symmetric: bool = False
    ) -> None:
        self.pair, self.levels, self.inner_dim = pair, levels, inner_dim
        self.symmetric = symmetric
        self.unit = pair.sigma_x * pair.sigma_y
        self.square = pair.mean_square_product / self.unit**2
        self.mean = pair.mean_product / self.unit
        self.scale = pair.energy(inner_dim) / (inner_dim * self.unit**2)
        k_x, k_y = levels
        self._cuts = np.cumsum([k_x, k_x - 1, k_y])
        sizes = (k_x, k_x - 1, k_y, k_y - 1)
        self.basis = scipy.linalg.block_diag(
            *(_odd_basis(n) if symmetric else np.eye(n) for n in sizes)
        )

    def split(self, theta: FloatArray) -> list[FloatArray]:
        """Views (c_x, t_x, c_y, t_y)."""
        return np.split(theta, self._cuts)

    def ordered(self, theta: FloatArray) -> bool:
        return all(bool(np.all(np.diff(part) > 0)) for part in self.split(theta))

    def resolved(self, point: Point) -> bool:
        """Whether float64 tells nmse: rounding of P at far centres is weighed by their squares."""
        c_x, _, c_y, _ = self.split(point.theta)
        rounding = np.finfo(float).eps * np.max(c_x**2) * np.max(c_y**2) / self.scale
        return bool(rounding < _RESOLVED * point.nmse)

    def at(self, theta: FloatArray) -> Point:
        _, t_x, _, t_y = self.split(theta)
        mass, first = self.pair.joint_cells(t_x * self.pair.sigma_x, t_y * self.pair.sigma_y)
        return self._point(theta, mass, first / self.unit)

    def _point(self, theta: FloatArray, mass: FloatArray, first: FloatArray) -> Point:
        c_x, _, c_y, _ = self.split(theta)
        b = self.mean - c_x @ mass @ c_y
        value = self.square - 2 * (c_x @ first @ c_y) + c_x**2 @ mass @ c_y**2
        nmse = float(value + (self.inner_dim - 1) * b * b) / self.scale
        return Point(theta, nmse, mass, first, float(b))

    def best_centers(self, point: Point, rounds: int) -> Point:
        """Exact best c_x for c_y, then c_y for c_x, thresholds kept: never increases nmse.

        For one side F is quadratic, diag(p) c^2 - 2 s c + (k - 1) (mean - r' c)^2: with b = E[e]
        the solution is c = (s + (k - 1) b r) / p, and b = (mean - r' s/p) / (1 + (k-1) r' r/p).
        """
        theta = point.theta.copy()
        c_x, _, c_y, _ = self.split(theta)
        for _ in range(rounds):
            for c, other, mass, first in (
                (c_x, c_y, point.mass, point.first),
                (c_y, c_x, point.mass.T, point.first.T),
            ):
                p, r, s = mass @ other**2, mass @ other, first @ other
                if not np.all(p > 0):
                    return point
                b = (self.mean - r @ (s / p)) / (1 + (self.inner_dim - 1) * (r @ (r / p)))
                c[:] = (s + (self.inner_dim - 1) * b * r) / p
                if self.symmetric:
                    c[:] = 0.5 * (c - c[::-1])
        if not self.ordered(theta):
            return point
        better = self._point(theta, point.mass, point.first)
        return better if better.nmse <= point.nmse else point

    def derivatives(self, point: Point) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Gradient (n,), Hessian (n, n) and the diagonal of its part without E[e]'s own."""
        c_x, t_x, c_y, t_y = self.split(point.theta)
        p, m, b = point.mass, point.first, point.mean_error
        pull = 2 * (self.inner_dim - 1) * b
        side_x = self._side("x", c_x, t_x, c_y, t_y, p, m, pull)
        side_y = self._side("y", c_y, t_y, c_x, t_x, p.T, m.T, pull)
        gradient = np.concatenate([side_x.gradient, side_y.gradient])
        slope = np.concatenate([side_x.slope, side_y.slope])

        d_x, d_y = np.diff(c_x), np.diff(c_y)
        sum_x, sum_y = c_x[:-1] + c_x[1:], c_y[:-1] + c_y[1:]
        joint = self.unit * self.pair.joint_pdf(
            t_x[:, None] * self.pair.sigma_x, t_y * self.pair.sigma_y
        )
        cross = np.block([
            [(4 * np.outer(c_x, c_y) - pull) * p - 2 * m, side_y.by_other.T],
            [
                side_x.by_other,
                joint * np.outer(d_x, d_y)
                * (np.outer(sum_x, sum_y) - 2 * np.outer(t_x, t_y) - pull),
            ],
        ])  # fmt: skip
        hessian = np.block([[side_x.hessian, cross], [cross.T, side_y.hessian]])
        diagonal = np.diag(hessian).copy()
        hessian += 2 * (self.inner_dim - 1) * np.outer(slope, slope)
        return gradient / self.scale, hessian / self.scale, diagonal / self.scale

    def _side(
        self,
        operand: Operand,
        c: FloatArray,
        t: FloatArray,
        other_c: FloatArray,
        other_t: FloatArray,
        p: FloatArray,
        m: FloatArray,
        pull: float,
    ) -> _Side:
        """One operand's block: its derivatives, and those of its thresholds by the other's c."""
        pair, n = self.pair, t.size
        sigma = pair.sigma(operand)
        other_sigma = self.unit / sigma
        h = _DIFFERENCE * max(np.sqrt(1 - pair.rho**2), 1e-3)
        near = np.concatenate([t, t - h, t + h])
        mass, first = pair.conditional_cells(near * sigma, other_t * other_sigma, operand)
        first = first / other_sigma
        density = pair.pdf(near * sigma, operand) * sigma
        gap, total = np.diff(c), np.tile(c[:-1] + c[1:], 3)

        # d nmse / dt_i = density * gap * excess: what moving the border changes, per unit mass
        square = mass @ other_c**2
        mean = mass @ other_c
        excess = 2 * near * (first @ other_c) - total * square + pull * mean
        force = density * excess
        curve = gap * (force[2 * n :] - force[n : 2 * n]) / (2 * h)
        f, e, v, w = density[:n], excess[:n], square[:n], mean[:n]

        hessian = np.zeros((2 * n + 1, 2 * n + 1))
        row = np.arange(n)
        hessian[np.arange(n + 1), np.arange(n + 1)] = 2 * (p @ other_c**2)
        hessian[n + 1 + row, n + 1 + row] = curve
        hessian[n + 1 + row, row] = hessian[row, n + 1 + row] = -f * (e + gap * v)
        hessian[n + 1 + row, row + 1] = hessian[row + 1, n + 1 + row] = f * (e - gap * v)
        by_center = 2 * c * (p @ other_c**2) - 2 * (m @ other_c) - pull * (p @ other_c)
        at_border = 2 * t[:, None] * first[:n] + pull * mass[:n]
        by_other = (f * gap)[:, None] * (at_border - 2 * total[:n, None] * mass[:n] * other_c)
        return _Side(
            gradient=np.concatenate([by_center, f * gap * e]),
            slope=np.concatenate([p @ other_c, -f * gap * w]),
            hessian=hessian,
            by_other=by_other,
        )


@dataclass(frozen=True, eq=False)
class _Side:
    gradient: FloatArray  # of F by (c, t), E[e] included
    slope: FloatArray  # of E[Xq Yq] by (c, t)
    hessian: FloatArray  # E[e] held fixed
    by_other: FloatArray  # (K - 1, other K): d^2 F / dt_i dc'_j, E[e] held fixed


def _odd_basis(n: int) -> FloatArray:
    """(n, n // 2): the vectors with v[n-1-i] = -v[i]."""
    basis = np.zeros((n, n // 2))
    i = np.arange(n // 2)
    basis[i, i], basis[n - 1 - i, i] = -1.0, 1.0
    return basis


def minimize(problem: ProductError, start: Point) -> tuple[Point, list[float]]:
    """Damped Newton descent of nmse over start + basis @ z; returns the strictly falling trace."""
    point, trace, basis = start, [start.nmse], problem.basis
    damping = 1e-3
    for _ in range(_MAX_STEPS):
        gradient, hessian, diagonal = problem.derivatives(point)
        gradient, hessian = basis.T @ gradient, basis.T @ hessian @ basis
        metric = np.abs(basis.T**2 @ diagonal)
        metric = np.maximum(metric, 1e-12 * metric.max())
        while damping < 1e12:
            step = _damped_step(gradient, hessian, damping * metric)
            if step is not None:
                promise = -(gradient @ step) - 0.5 * step @ hessian @ step
                if promise < _FLAT * point.nmse:
                    return point, trace
                theta = point.theta + basis @ step
                if problem.ordered(theta):
                    # large k makes E[e] a curved, stiff valley: exact centres follow its floor
                    trial = problem.best_centers(problem.at(theta), 1)
                    if trial.nmse < point.nmse and problem.resolved(trial):
                        break
            damping = max(damping * 8, 1e-6)
        else:
            return point, trace
        quality = (point.nmse - trial.nmse) / promise
        damping *= 0.1 if quality > 0.75 else (1.0 if quality > 0.25 else 4.0)
        point = trial
        trace.append(point.nmse)
    return point, trace


def _damped_step(gradient: FloatArray, hessian: FloatArray, extra: FloatArray) -> FloatArray | None:
    """Solve (hessian + diag(extra)) step = -gradient; None unless positive definite."""
    matrix = hessian.copy()
    matrix[np.diag_indices_from(matrix)] += extra
    try:
        factor = scipy.linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    return -scipy.linalg.cho_solve(factor, gradient, check_finite=False)
