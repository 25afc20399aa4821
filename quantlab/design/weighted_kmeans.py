"""The globally optimal weighted k-means of one matrix's entries: histogram, dynamic program."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Least number of bins of the histogram; matrices with no more entries are solved exactly.
N_BINS = 8192
# coarse cells of the first pass: 256 to the octave of 1 + |z|, in 120 octaves at most
_PART_BITS = 8
_MAX_OCTAVES = 120
_ONE = int(np.float32(1.0).view(np.int32))


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
    center, size = _location_and_size(matrix)
    collect = _entries if matrix.size <= N_BINS else _histogram
    # from here on z = (x - center) / size
    mass, mean = collect(matrix, row_weight, column_weight, center, size)
    if bandwidth > 0:
        mass, mean = _smoothed(mass, mean, bandwidth / size)
    middle = int(np.searchsorted(np.cumsum(mass), 0.5 * mass.sum()))
    z = mean - mean[middle]
    sums = (_from(middle, mass), _from(middle, mass * z), _from(middle, mass * z**2))
    ends = _best_cells_kernel(*sums, min(n_levels, mass.size))
    starts = np.concatenate([[0], ends[:-1]])
    means = np.add.reduceat(mass * mean, starts) / np.add.reduceat(mass, starts)
    return center + size * np.unique(means)


def _location_and_size(matrix: NDArray) -> tuple[float, float]:
    """Median, and median distance from it of those that differ, from about 4096 entries."""
    every = max(1, matrix.size // 4096)
    sample = matrix.ravel()[::every].astype(np.float64)
    center = float(np.median(sample))
    distance = np.abs(sample - center)
    if not distance.any():
        distance = np.abs(matrix.ravel() - center)
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
    return np.bincount(bins, weight[weight > 0]), (values - center) / size


def _histogram(
    matrix: NDArray,
    row_weight: FloatArray,
    column_weight: FloatArray,
    center: float,
    size: float,
) -> tuple[FloatArray, FloatArray]:
    """Weight and weighted mean of the non-empty bins of an adapted histogram."""
    reach = 1 + max(float(matrix.max()) - center, center - float(matrix.min())) / size
    half = min(int(np.ceil(np.log2(reach))), _MAX_OCTAVES) << _PART_BITS
    entries = (matrix, row_weight, column_weight, center, 1 / size, half)
    cell_mass, cell_count = _count_kernel(*entries)

    octave, part = np.divmod(np.arange(half + 1), 1 << _PART_BITS)
    edge = 2.0**octave * (1 + part / (1 << _PART_BITS)) - 1
    edges = np.concatenate([-edge[:0:-1], edge])
    width = np.diff(edges)
    parts = _share(np.cbrt(cell_mass * width**2), cell_count)
    offset = np.concatenate([[0], np.cumsum(parts)])
    moments = _moments_kernel(*entries, edges, parts / width, offset)
    mass, total = moments[:, moments[0] > 0]
    return mass, total / mass


def _smoothed(
    mass: FloatArray, mean: FloatArray, bandwidth: float
) -> tuple[FloatArray, FloatArray]:
    """Weight and place of N_BINS bins, uniform in asinh z, of the entries spread by Laplace's law.

    The tails end where a bin holds 1e-13 of the weight.
    """
    order = np.argsort(mean)
    decay = bandwidth / np.sqrt(2.0)
    low, high = np.arcsinh(mean[order[[0, -1]]] + 30 * decay * np.array([-1.0, 1.0]))
    edges = np.sinh(np.linspace(low, high, N_BINS + 1))
    below = _laplace_cdf_kernel(mass[order] / mass.sum(), mean[order], decay, edges)
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


@njit(cache=True, nogil=True)
def _cell_kernel(x, half):  # type: ignore[no-untyped-def]
    # the upper bits of a float are a logarithm that is linear within each octave
    position = (np.float32(1.0 + abs(x)).view(np.int32) - _ONE) >> (23 - _PART_BITS)
    position = min(position, half - 1)
    return half + position if x >= 0 else half - 1 - position


@njit(cache=True, nogil=True)
def _count_kernel(  # type: ignore[no-untyped-def]
    matrix, row_weight, column_weight, center, inverse, half
):
    mass = np.zeros(2 * half)
    count = np.zeros(2 * half, np.int64)
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            weight = row_weight[i] * column_weight[j]
            if weight > 0.0:
                cell = _cell_kernel((matrix[i, j] - center) * inverse, half)
                mass[cell] += weight
                count[cell] += 1
    return mass, count


@njit(cache=True, nogil=True)
def _moments_kernel(  # type: ignore[no-untyped-def]
    matrix, row_weight, column_weight, center, inverse, half, edges, density, offset
):
    moments = np.zeros((2, offset[-1]))
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            weight = row_weight[i] * column_weight[j]
            if weight > 0.0:
                x = (matrix[i, j] - center) * inverse
                cell = _cell_kernel(x, half)
                part = int((x - edges[cell]) * density[cell])
                # the float32 logarithm may put x just outside its cell's edges
                bin_ = min(max(offset[cell] + part, offset[cell]), offset[cell + 1] - 1)
                moments[0, bin_] += weight
                moments[1, bin_] += weight * x
    return moments


@njit(cache=True, nogil=True)
def _laplace_cdf_kernel(mass, mean, decay, edges):  # type: ignore[no-untyped-def]
    # at an edge e: sum_{x <= e} w (1 - exp((x - e) / h) / 2) + sum_{x > e} w exp((e - x) / h) / 2;
    # both exponential sums decay from one edge to the next
    below = np.zeros(edges.size)
    i, passed, decaying, last = 0, 0.0, 0.0, edges[0]
    for j in range(edges.size):
        decaying *= np.exp((last - edges[j]) / decay)
        while i < mean.size and mean[i] <= edges[j]:
            passed += mass[i]
            decaying += mass[i] * np.exp((mean[i] - edges[j]) / decay)
            i += 1
        below[j] = passed - 0.5 * decaying
        last = edges[j]
    i, decaying = mean.size - 1, 0.0
    for j in range(edges.size - 1, -1, -1):
        decaying *= np.exp((edges[j] - last) / decay)
        while i >= 0 and mean[i] > edges[j]:
            decaying += mass[i] * np.exp((edges[j] - mean[i]) / decay)
            i -= 1
        below[j] += 0.5 * decaying
        last = edges[j]
    return below


@njit(cache=True, nogil=True)
def _cell_cost_kernel(mass, first, second):  # type: ignore[no-untyped-def]
    # a mass that vanishes beside the running sum, and a variance below rounding, cost nothing
    return max(second - first * first / mass, 0.0) if mass > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _best_cells_kernel(s0, s1, s2, n_levels):  # type: ignore[no-untyped-def]
    # s0, s1, s2 (B + 1,): running sums of w, w x, w x^2 over the bins' means x
    n = s0.size - 1
    split = np.zeros((n_levels, n + 1), np.int32)
    before = np.empty(n + 1)
    cost = np.empty(n + 1)
    for j in range(1, n + 1):
        cost[j] = _cell_cost_kernel(s0[j] - s0[0], s1[j] - s1[0], s2[j] - s2[0])
    for level in range(1, n_levels):
        before, cost = cost, before
        # ends j = level + 1 .. n; halving strides, so that both neighbours' splits are known
        stride = 1
        while stride <= n - level:
            stride *= 2
        while stride >= 1:
            for j in range(level + stride, n + 1, 2 * stride):
                low = split[level, j - stride] if j - stride > level else level
                high = split[level, j + stride] if j + stride <= n else j - 1
                best = np.inf
                where = low
                for i in range(low, min(high, j - 1) + 1):
                    own = _cell_cost_kernel(s0[j] - s0[i], s1[j] - s1[i], s2[j] - s2[i])
                    value = before[i] + own
                    if value < best:
                        best = value
                        where = i
                cost[j] = best
                split[level, j] = where
            stride //= 2
    ends = np.empty(n_levels, np.int64)
    end = n
    for level in range(n_levels - 1, -1, -1):
        ends[level] = end
        end = split[level, end]
    return ends
