"""The globally optimal weighted k-means of one matrix's entries: histogram, dynamic program."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Least number of bins of the histogram; matrices with no more entries are solved exactly.
N_BINS = 8192
_MAX_OCTAVES = 120
# entries that say where the matrix lies
_SAMPLE = 4096

#: Gives, each time it is called, the same blocks: (entries, row weights, column weights).
Blocks = Callable[[], Iterable[tuple[NDArray, FloatArray, FloatArray]]]


def weighted_kmeans(
    matrix: NDArray,
    row_weight: FloatArray,
    column_weight: FloatArray,
    n_levels: int,
    bandwidth: float = 0.0,
) -> FloatArray:
    r"""Centres c_1 < ... < c_K that minimise the weighted squared distance of a matrix's entries.

    .. math:: \min_{c} \sum_{il} r_i\, s_l \min_q (A_{il} - c_q)^2

    Parameters
    ----------
    matrix : ndarray, shape (m, k)
        Finite real entries A_il.
    row_weight, column_weight : ndarray, shapes (m,) and (k,)
        Non-negative factors r_i and s_l of an entry's weight; not every weight may be zero.
    n_levels : int
        K >= 1.
    bandwidth : float
        h >= 0: each entry stands for a Laplace density of standard deviation h about A_il
        instead of a point.

    Returns
    -------
    ndarray, shape (K,), or fewer if h = 0 and fewer distinct entries have a positive weight
        Increasing centres, each the weighted mean of its cell.

    Notes
    -----
    Derived in notebooks/05. Entries are collected in bins with their exact weight and weighted
    sum, so that only a cell's border is rounded, to a bin's edge (a bin's sum of w x^2 would add a
    constant to the objective). Bins follow the entries: a first pass counts them in coarse cells of
    z -> sign(z) log(1 + |z|), z the distance from the median over its own median; the rule for
    point densities, (mass width^2)^(1/3), divides each cell into at most as many bins as it has
    entries: an outlier takes one.
    A dynamic program over the bins is then exact; its best splits increase with the position,
    which divide and conquer turns into O(K B log B).

    Examples
    --------
    >>> matrix = np.array([[0.0, 0.1, 5.0], [0.2, 0.1, 9.0]])
    >>> weighted_kmeans(matrix, np.ones(2), np.array([1.0, 1.0, 3.0]), 3)
    array([0.1, 5. , 9. ])
    """
    row_weight, column_weight = row_weight / row_weight.max(), column_weight / column_weight.max()
    every = max(1, matrix.size // _SAMPLE)
    center, size = _location_and_size(matrix.ravel()[::every], matrix)
    # from here on z = (x - center) / size
    if matrix.size <= N_BINS:
        mass, mean = _entries(matrix, row_weight, column_weight, center, size)
    else:
        reach = max(float(matrix.max()) - center, center - float(matrix.min()))
        mass, mean = _histogram(lambda: [(matrix, row_weight, column_weight)], center, size, reach)
    if bandwidth > 0:
        mass, mean = _smoothed(mass, mean, bandwidth / size)
    return _best_centers(mass, mean, center, size, n_levels)


def weighted_kmeans_of_blocks(blocks: Blocks, n_entries: int, n_levels: int) -> FloatArray:
    """`weighted_kmeans` of a matrix that comes in blocks.

    Parameters
    ----------
    blocks : callable
        blocks() gives, each time, the same (block, row_weight, column_weight), weights at most 1
        and not all zero; called three times.
    n_entries : int
        Of all blocks; more than `N_BINS`.
    n_levels : int
        K.

    Returns
    -------
    ndarray, shape (K,) or fewer
    """
    every = max(1, n_entries // _SAMPLE)
    sample, low, high = [], np.inf, -np.inf
    for block, _, _ in blocks():
        sample.append(block.ravel()[::every].astype(np.float64))
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    center, size = _location_and_size(np.concatenate(sample), np.array([low, high]))
    mass, mean = _histogram(blocks, center, size, max(high - center, center - low))
    return _best_centers(mass, mean, center, size, n_levels)


def _best_centers(
    mass: FloatArray, mean: FloatArray, center: float, size: float, n_levels: int
) -> FloatArray:
    """Centres of the best K cells of bins at center + size mean."""
    from quantlab.design import kmeans_kernels as kernels

    middle = int(np.searchsorted(np.cumsum(mass), 0.5 * mass.sum()))
    z = mean - mean[middle]
    sums = (_from(middle, mass), _from(middle, mass * z), _from(middle, mass * z**2))
    ends = kernels.best_cells_kernel(*sums, min(n_levels, mass.size))
    starts = np.concatenate([[0], ends[:-1]])
    means = np.add.reduceat(mass * mean, starts) / np.add.reduceat(mass, starts)
    return np.unique(center + size * means)  # what differs by less than its rounding is one


def _location_and_size(sample: NDArray, entries: NDArray) -> tuple[float, float]:
    """Median, and median distance from it of those that differ: of `entries` if none does."""
    sample = sample.astype(np.float64)
    center = float(np.median(sample))
    distance = np.abs(sample - center)
    if not distance.any():
        distance = np.abs(entries.ravel() - center)
    distance = distance[distance > 0]
    return center, float(np.median(distance)) if distance.size else 1.0


def _entries(
    matrix: NDArray,
    row_weight: FloatArray,
    column_weight: FloatArray,
    center: float,
    size: float,
) -> tuple[FloatArray, FloatArray]:
    """Weight and place of each distinct entry of positive weight."""
    weight = np.outer(row_weight, column_weight).ravel()
    values, bins = np.unique(matrix.ravel()[weight > 0], return_inverse=True)
    mass = np.bincount(bins, weight[weight > 0]).astype(np.float64)
    return mass, (values - center) / size


def _histogram(
    blocks: Blocks, center: float, size: float, reach: float
) -> tuple[FloatArray, FloatArray]:
    """Weight and weighted mean of the non-empty bins of an adapted histogram."""
    from quantlab.design import kmeans_kernels as kernels

    half = min(int(np.ceil(np.log2(1 + reach / size))), _MAX_OCTAVES) << kernels.PART_BITS
    place = (center, 1 / size, half)
    cell_mass, cell_count = np.zeros(2 * half), np.zeros(2 * half, np.int64)
    for block in blocks():
        mass, count = kernels.count_kernel(*block, *place)
        cell_mass += mass
        cell_count += count

    per_octave = 1 << kernels.PART_BITS
    octave, part = np.divmod(np.arange(half + 1), per_octave)
    edge = 2.0**octave * (1 + part / per_octave) - 1
    edges = np.concatenate([-edge[:0:-1], edge])
    width = np.diff(edges)
    parts = _share(np.cbrt(cell_mass * width**2), cell_count)
    offset = np.concatenate([[0], np.cumsum(parts)])
    moments = sum(
        kernels.moments_kernel(*block, *place, edges, parts / width, offset) for block in blocks()
    )
    mass, total = moments[:, moments[0] > 0]
    return mass, total / mass


def _smoothed(
    mass: FloatArray, mean: FloatArray, bandwidth: float
) -> tuple[FloatArray, FloatArray]:
    """Weight and place of N_BINS bins, uniform in asinh z, of the entries spread by Laplace's law.

    The tails end where a bin holds 1e-13 of the weight.
    """
    from quantlab.design import kmeans_kernels as kernels

    order = np.argsort(mean)
    decay = bandwidth / np.sqrt(2.0)
    low, high = np.arcsinh(mean[order[[0, -1]]] + 30 * decay * np.array([-1.0, 1.0]))
    edges = np.sinh(np.linspace(low, high, N_BINS + 1))
    below = kernels.laplace_cdf_kernel(mass[order] / mass.sum(), mean[order], decay, edges)
    spread = np.diff(below)
    kept = spread > 1e-13
    return spread[kept], (0.5 * (edges[1:] + edges[:-1]))[kept]


def _share(wanted: FloatArray, most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bins a cell: in proportion to `wanted`, at most `most`, N_BINS in all (and a few over)."""

    def bins(scale: float) -> NDArray[np.int64]:
        return np.minimum(np.minimum(scale * wanted, 2.0**40).astype(np.int64) + 1, most)

    low, high = 0.0, N_BINS / wanted[wanted > 0].min()
    for _ in range(64):
        scale = 0.5 * (low + high)
        low, high = (low, scale) if bins(scale).sum() > N_BINS else (scale, high)
        if high - low <= 1e-3 * high:
            break
    return bins(high)


def _from(middle: int, values: FloatArray) -> FloatArray:
    """Running sums that are 0 at `middle`: outliers at the ends leave the inner ones exact."""
    left = -np.cumsum(values[:middle][::-1])[::-1]
    return np.concatenate([left, [0.0], np.cumsum(values[middle:])])
