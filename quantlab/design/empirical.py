"""Codebooks for two given matrices."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.design.weighted_kmeans import FloatArray, weighted_kmeans
from quantlab.pairs import OPERANDS
from quantlab.pairs.empirical import EmpiricalPair

# entries of each matrix that the gain is fitted on, in whole rows of a and columns of b
_GAIN_ENTRIES = 2**18


def design_empirical(
    pair: EmpiricalPair | tuple[ArrayLike, ArrayLike],
    n_levels: int | tuple[int, int],
    inner_dim: int | None = None,
    *,
    fit_gain: bool = True,
    smoothing: float | Literal["auto"] = 0.0,
) -> tuple[Codebook, Codebook]:
    r"""The best codebooks for two given matrices, and the best gain on their product.

    .. math::
        \min_{q_X} \sum_{il} (A_{il} - q_X(A_{il}))^2 \lVert B_{l,:} \rVert^2, \qquad
        \min_{q_Y} \sum_{lj} (B_{lj} - q_Y(B_{lj}))^2 \lVert A_{:,l} \rVert^2

    Parameters
    ----------
    pair : EmpiricalPair or (array_like, array_like)
        The matrices a (m, k) and b (k, n).
    n_levels : int or (int, int)
        K, or (K_X, K_Y). An operand of fewer distinct entries gets one centre for each of them.
    inner_dim : int, optional
        Unused: the matrices have theirs.
    fit_gain : bool
        Multiply the centres of a by the gain of `product_gain`.
    smoothing : float or "auto"
        0: the best codebooks for these very matrices. Positive: for matrices that these stand for;
        every entry is spread by a Laplace kernel of this many of its column's (row's, for b)
        standard deviations, so that centres do not follow single entries and reach beyond the
        largest. "auto": 1.06 m^(-1/5) for a, 1.06 n^(-1/5) for b (the normal-reference rule).

    Returns
    -------
    (Codebook, Codebook)
        For a and for b, in the data's own unit.

    Raises
    ------
    ValueError, TypeError
        If a matrix is empty, not 2-D, not finite or not real, the shapes cannot be multiplied, a
        number of levels is not an integer of at least 2, or smoothing is negative.

    Notes
    -----
    Derived in notebooks/05. Each operand's problem is a weighted k-means in one dimension and is
    solved to its global optimum, up to the borders' rounding to one of 8,192 bins or more. If one
    matrix is zero everywhere no entry of the other matters; they then count alike.

    Choosing: for data at hand, or for calibration data that stand for what will come. For a law,
    `design_bilinear`. For data that are still to come, say a model's later inputs, set
    smoothing="auto".

    Examples
    --------
    >>> import quantlab as ql
    >>> a, b = ql.GaussianPair(rho=0.8).sample_matrices(64, 256, 64)
    >>> cb_a, cb_b = design_empirical((a, b), n_levels=16)
    >>> cb_a.n_levels, round(cb_a.info["gain"], 2)
    (16, 1.0)
    """
    data = pair if isinstance(pair, EmpiricalPair) else EmpiricalPair(*_two_matrices(pair))
    k_x, k_y = check.levels(n_levels)
    data, e_x, e_y = data.unit()
    m, n = data.a.shape[0], data.b.shape[1]
    w_x, w_y = or_ones(data.column_weight), or_ones(data.row_weight)
    h_x, h_y = bandwidth(data.a, w_x, smoothing), bandwidth(data.b.T, w_y, smoothing)
    centers = (
        weighted_kmeans(data.a, np.ones(m), w_x, k_x, h_x),
        weighted_kmeans(data.b, w_y, np.ones(n), k_y, h_y),
    )
    cb_x, cb_y = (
        Codebook(at_least_two(c), info={"design": "empirical", "operand": operand})
        for c, operand in zip(centers, OPERANDS, strict=True)
    )
    if fit_gain:
        cb_x = cb_x.scaled(product_gain(data, cb_x, cb_y))
    return cb_x.in_units(e_x), cb_y.in_units(e_y)


def product_gain(pair: EmpiricalPair, codebook_x: Codebook, codebook_y: Codebook) -> float:
    r"""The scalar on the coded product that leaves the least error.

    .. math:: g = \langle C, \hat C \rangle \,/\, \lVert \hat C \rVert_F^2

    from rows of a and columns of b of about 2^18 entries each, spread evenly; 1 where the coded
    product vanishes or opposes C.
    """
    most = gain_sample(pair.inner_dim)
    a, b = pair.a[spread(pair.a.shape[0], most)], pair.b[:, spread(pair.b.shape[1], most)]
    coded_a = codebook_x.quantize(a).astype(a.dtype)
    coded_b = codebook_y.quantize(b).astype(b.dtype)
    if a.shape[1] < min(a.shape[0], b.shape[1]):
        # <A B, Aq Bq> = <A^T Aq, B Bq^T>: k x k instead of m x n
        left, right = coded_a.T @ np.hstack([a, coded_a]), coded_b @ np.hstack([b.T, coded_b.T])
        (cross_a, own_a), (cross_b, own_b) = np.hsplit(left, 2), np.hsplit(right, 2)
        cross, own = _inner(cross_a, cross_b), _inner(own_a, own_b)
    else:
        coded = coded_a @ coded_b
        cross, own = _inner(a @ b, coded), _inner(coded, coded)
    return cross / own if cross > 0 and own > 0 else 1.0


def _two_matrices(pair: object) -> tuple[ArrayLike, ArrayLike]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(
            "pair must be an EmpiricalPair or two matrices (a, b); "
            f"got {type(pair).__name__}: for a law choose another design"
        )
    return pair[0], pair[1]


def bandwidth(matrix: NDArray, weight: FloatArray, smoothing: object) -> float:
    """Smoothing in the data's unit: a multiple of the columns' weighted mean deviation."""
    if smoothing == "auto":
        multiple = 1.06 * matrix.shape[0] ** -0.2
    elif (multiple := check.finite_real(smoothing, "smoothing")) < 0:
        raise ValueError(f'smoothing must be at least 0, or "auto"; got {multiple}')
    if multiple == 0:
        return 0.0
    variance = np.var(matrix, axis=0, dtype=np.float64)
    return multiple * float(np.sqrt(np.average(variance, weights=weight)))


def or_ones(weight: FloatArray) -> FloatArray:
    return weight if weight.max() > 0 else np.ones_like(weight)


def at_least_two(centers: FloatArray) -> FloatArray:
    """A constant operand's centre and 0, or 0 and 1: a codebook has two at least."""
    if centers.size > 1:
        return centers
    return np.array(sorted({0.0, float(centers[0]) or 1.0}))


def gain_sample(inner_dim: int) -> int:
    """Rows, and columns, that the gain is fitted on at most."""
    return max(64, _GAIN_ENTRIES // inner_dim)


def spread(size: int, most: int) -> NDArray[np.int64]:
    return np.linspace(0, size - 1, min(size, most)).astype(np.int64)


def _inner(left: NDArray, right: NDArray) -> float:
    return float(np.vdot(left.astype(np.float64), right.astype(np.float64)))
