"""A change of basis of the inner dimension under which two coded matrices lose least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab._matrices import floats, real_values
from quantlab.pairs.empirical import EmpiricalPair

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Basis:
    """An invertible T, with A B = (A T)(T^-1 B).

    Attributes
    ----------
    forward, inverse : ndarray, shape (k, k)
        T and its inverse.
    ratio : float
        Predicted error over that without a change of basis, where a codebook's error grows with
        the variance of its column or row; at most 1.

    Examples
    --------
    >>> basis = balance(([[1.0, 2.0], [3.0, -2.0]], [[1.0, 0.0], [2.0, 2.0]]))
    >>> (basis.forward @ basis.inverse).round(9) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """

    forward: FloatArray
    inverse: FloatArray
    ratio: float

    def apply(self, a: ArrayLike, b: ArrayLike) -> tuple[NDArray, NDArray]:
        """A T and T^-1 B: the matrices to code in place of A and B.

        .. math:: (A T)(T^{-1} B) = A B

        Parameters
        ----------
        a : array_like, shape (..., m, k)
        b : array_like, shape (..., k, n)

        Returns
        -------
        (ndarray, ndarray)
            Of the same shapes; float32 stays, anything else becomes float64.

        Raises
        ------
        ValueError, TypeError
            If a matrix does not hold real numbers, or has another inner dimension.

        Examples
        --------
        >>> a, b = np.eye(2), np.array([[2.0, 0.0], [1.0, 1.0]])
        >>> left, right = balance((a, b)).apply(a, b)
        >>> bool(np.allclose(left @ right, a @ b))
        True
        """
        a, b = floats(real_values(a, "a")), floats(real_values(b, "b"))
        return (a @ self.forward).astype(a.dtype), (self.inverse @ b).astype(b.dtype)


def balance(pair: EmpiricalPair | tuple[ArrayLike, ArrayLike]) -> Basis:
    r"""The basis of the inner dimension in which the product of coded matrices loses least.

    .. math:: \min_T \sum_l p_l q_l = \frac{1}{k}
              \Big( \mathrm{tr} \big( \Sigma_A^{1/2} \Sigma_B \Sigma_A^{1/2} \big)^{1/2} \Big)^2,
              \qquad p = \mathrm{diag}(T^\top \Sigma_A T), \quad
              q = \mathrm{diag}(T^{-1} \Sigma_B T^{-\top})

    with Sigma_A = A^T A / m and Sigma_B = B B^T / n.

    Parameters
    ----------
    pair : EmpiricalPair or (array_like, array_like)
        The matrices a (m, k) and b (k, n), or calibration data that stand for them.

    Returns
    -------
    Basis

    Raises
    ------
    ValueError, TypeError
        If a matrix is empty, not 2-D, not finite or not real, or the shapes cannot be multiplied.

    Notes
    -----
    An entry A_il that is off by d adds d^2 ||B_l||^2 to the error, and the cells of a codebook that
    fits its column are as wide as the column is: the error is the sum over l of p_l q_l, up to a
    factor that the basis does not change. By Cauchy and Schwarz the sum is at least
    (sum_l sqrt(p_l q_l))^2 / k; and sum_l sqrt(p_l q_l), the lengths of k columns times those of k
    rows, is at least the nuclear norm of what they multiply to, Sigma_A^(1/2) Sigma_B^(1/2). Both
    hold with equality where T makes both second moments the same diagonal matrix ("balanced", as in
    control theory) and a rotation then spreads that diagonal evenly. The rotation also makes the
    entries of all columns alike, and more Gaussian: one codebook then fits every column.

    The second moments are shrunk towards a multiple of the identity, by k / (k + m) and by
    k / (k + n): directions in which the data say little are not stretched. Time grows as
    k^3 + k^2 (m + n). At run time T costs k^2 (m + n) multiplications, little where k is small
    beside m and n; where A = H W_Q and B = (H W_K)^T it is folded into W_Q and W_K once, and costs
    nothing.

    Choosing: for two matrices whose columns and rows have different sizes or lie obliquely, such as
    queries and keys. For entries that are alike in all directions, `ratio` is 1 and nothing is won.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> wide = np.array([8.0, 1.0])
    >>> basis = balance((rng.normal(size=(500, 2)) * wide, (rng.normal(size=(500, 2)) * wide).T))
    >>> round(basis.ratio, 2)  # (64 + 1)^2 / (2 (64^2 + 1))
    0.52
    """
    data = pair if isinstance(pair, EmpiricalPair) else EmpiricalPair(*pair)
    data, e_x, e_y = data.unit()
    a, b = data.a.astype(np.float64), data.b.astype(np.float64)
    left, right = second_moment(a), second_moment(b.T)
    # T = L^-T U S^(1/2) with L L^T = Sigma_A and L^T Sigma_B L = U S^2 U^T: both moments become S
    lower = np.linalg.cholesky(left)
    squares, vectors = np.linalg.eigh(lower.T @ right @ lower)
    common = np.sqrt(squares)
    root = np.sqrt(common)
    rotation = _spreading(common)
    forward = np.linalg.solve(lower.T, vectors * root) @ rotation
    inverse = rotation.T @ (vectors.T @ lower.T / root[:, None])
    plain = float(np.diag(left) @ np.diag(right))
    half = (e_y - e_x) / 2  # of both operands' sizes in the balanced basis
    ratio = float(common.sum() ** 2 / (common.size * plain))
    return Basis(forward * 2.0**half, inverse * 2.0**-half, ratio)


def second_moment(rows: FloatArray) -> FloatArray:
    """Mean outer product of the rows, shrunk; the identity for a matrix that is zero everywhere."""
    m, k = rows.shape
    moment = rows.T @ rows / m
    mean = float(np.trace(moment)) / k
    if mean == 0:
        return np.eye(k)
    return (m * moment + k * mean * np.eye(k)) / (m + k)


def _spreading(diagonal: FloatArray) -> FloatArray:
    """A rotation R for which every entry of diag(R^T diag(diagonal) R) is their mean.

    A Hadamard matrix, whose entries are all of one size, for the largest power of two in k, times a
    Hartley transform for what is odd in it. Plane rotations of the largest and the smallest entry,
    each of which brings one of the two to the mean, do what that leaves.
    """
    from scipy.linalg import hadamard

    k = diagonal.size
    even = k & -k
    angle = 2 * np.pi / (k // even) * np.outer(*2 * [np.arange(k // even)])
    rotation = np.kron(hadamard(even), np.cos(angle) + np.sin(angle)) / np.sqrt(k)
    now, mean = diagonal @ np.square(rotation), diagonal.mean()
    for _ in range(k - 1):
        i, j = int(np.argmin(now)), int(np.argmax(now))
        if now[j] - now[i] <= 1e-12 * mean:
            break
        cross = (diagonal * rotation[:, i]) @ rotation[:, j]
        # tan t from (now[j] - mean) t^2 + 2 cross t + (now[i] - mean) = 0
        high, low = now[j] - mean, now[i] - mean
        t = (-cross + np.sqrt(cross * cross - high * low)) / high
        c = 1 / np.hypot(1, t)
        first, second = rotation[:, i].copy(), rotation[:, j].copy()
        rotation[:, i], rotation[:, j] = c * (first + t * second), c * (second - t * first)
        now[[i, j]] = diagonal @ np.square(rotation[:, [i, j]])
    return rotation
