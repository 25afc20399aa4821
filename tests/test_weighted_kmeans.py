"""The globally optimal weighted k-means in one dimension."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from quantlab.design import weighted_kmeans as module
from quantlab.design.weighted_kmeans import weighted_kmeans


def cost(x: np.ndarray, weight: np.ndarray, centers: np.ndarray) -> float:
    border = 0.5 * (centers[1:] + centers[:-1])
    return float(weight @ np.square(x - centers[np.searchsorted(border, x)]))


def best_cost(x: np.ndarray, weight: np.ndarray, n_levels: int) -> float:
    """The textbook dynamic program over all entries, O(K n^2), in long double."""
    order = np.argsort(x)
    x, weight = x[order].astype(np.longdouble), weight[order].astype(np.longdouble)
    x = x - x[x.size // 2]  # the sums below cancel less
    s0, s1, s2 = (
        np.concatenate([[0.0], np.cumsum(weight * x**p)]).astype(np.longdouble) for p in range(3)
    )
    best = np.concatenate([[0.0], s2[1:] - s1[1:] ** 2 / s0[1:]])
    for level in range(1, n_levels):
        following = np.full_like(best, np.inf)
        for j in range(level + 1, x.size + 1):
            i = slice(level, j)
            own = s2[j] - s2[i] - (s1[j] - s1[i]) ** 2 / (s0[j] - s0[i])
            following[j] = np.min(best[i] + own)
        best = following
    return float(best[-1])


def laws(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(shape)
    return {
        "normal": normal,
        "heavy": rng.standard_t(2, shape),
        "shifted": 1e4 + normal,
        "two clusters": np.where(rng.random(shape) < 0.3, -5 + 1e-3 * normal, 80 + normal),
        "outliers": np.where(rng.random(shape) < 3e-3, 1e8 * normal, normal),
        "half zero": np.where(rng.random(shape) < 0.6, 0.0, normal),
    }


def weights(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return 0.1 + rng.random(shape[0]), rng.standard_exponential(shape[1])


@pytest.mark.parametrize("n_levels", [1, 2, 7, 16])
@pytest.mark.parametrize("law", laws((2, 2)))
def test_small_matrices_are_solved_exactly(law: str, n_levels: int) -> None:
    matrix = laws((15, 20))[law]
    rows, columns = weights(matrix.shape)
    centers = weighted_kmeans(matrix, rows, columns, n_levels)
    x, w = matrix.ravel(), np.outer(rows, columns).ravel()
    # differences of sums of x^2: 1e-16 of them, relative to what the cells leave of them
    slack = 1e-12 * (w @ np.square(x - np.median(x)))
    assert cost(x, w, centers) <= best_cost(x, w, n_levels) * (1 + 1e-9) + slack
    assert np.all(np.diff(centers) > 0)


@pytest.mark.parametrize("n_levels", [16, 64])
@pytest.mark.parametrize("law", laws((2, 2)))
def test_histogram_costs_under_one_in_two_thousand(law: str, n_levels: int) -> None:
    matrix = laws((100, 100))[law]
    rows, columns = weights(matrix.shape)
    centers = weighted_kmeans(matrix, rows, columns, n_levels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "N_BINS", matrix.size)  # a bin for each entry: exact
        exact = weighted_kmeans(matrix, rows, columns, n_levels)
    x, w = matrix.ravel(), np.outer(rows, columns).ravel()
    assert cost(x, w, centers) <= 1.0005 * cost(x, w, exact)


def test_histogram_against_the_textbook() -> None:
    matrix = laws((100, 100))["heavy"]
    rows, columns = weights(matrix.shape)
    x, w = matrix.ravel(), np.outer(rows, columns).ravel()
    centers = weighted_kmeans(matrix, rows, columns, 4)
    best = best_cost(x, w, 4)
    assert best * (1 - 1e-9) <= cost(x, w, centers) <= 1.0005 * best


@pytest.mark.parametrize("sign", [1, -1])
def test_blocks_reach_as_far_as_the_matrix(sign: int) -> None:
    """A long tail from far on the other side of zero: bins are counted from the median."""
    matrix = sign * (np.exp(2 * laws((100, 100))["normal"]) - 2500)
    rows, columns = weights(matrix.shape)
    rows, columns = rows / rows.max(), columns / columns.max()
    whole = weighted_kmeans(matrix, rows, columns, 16)
    blocks = [(matrix[:50], rows[:50], columns), (matrix[50:], rows[50:], columns)]
    found = module.weighted_kmeans_of_blocks(lambda: blocks, matrix.size, 16)
    assert_allclose(found, whole, rtol=1e-9)


def test_bins_follow_the_entries() -> None:
    matrix = laws((200, 200))["outliers"]
    matrix[0, 0] = 1e30
    ones = np.ones(200)
    mass, mean = module._histogram(lambda: [(matrix, ones, ones)], 0.0, 1.0, 1e30)
    assert_allclose(mass.sum(), matrix.size, rtol=1e-12)
    assert_allclose(mass @ mean, matrix.sum(), rtol=1e-12)
    # an outlier takes one bin; nearly all lie where nearly all entries are
    assert 7000 < mass.size <= module.N_BINS + 1000
    assert np.mean(np.abs(mean) < 10) > 0.9


def test_bins_are_as_wide_as_what_the_sample_missed() -> None:
    sample, ends = np.full(9, 5.0), np.array([4.0, 8.0])
    assert module._location_and_size(sample, ends) == (5.0, 2.0)
    assert module._location_and_size(sample, np.array([5.0])) == (5.0, 1.0)


def test_entries_without_weight_do_not_count() -> None:
    matrix = np.array([[1.0, 9.0, 2.0, 4.0], [1.0, 7.0, 2.0, 4.0]])
    centers = weighted_kmeans(matrix, np.ones(2), np.array([1.0, 0.0, 1.0, 1.0]), 3)
    assert_allclose(centers, [1.0, 2.0, 4.0], rtol=1e-15)
    big = np.tile(matrix, (5000, 1))
    centers = weighted_kmeans(big, np.ones(10000), np.array([1.0, 0.0, 1.0, 1.0]), 3)
    assert_allclose(centers, [1.0, 2.0, 4.0], rtol=1e-15)


def test_fewer_distinct_entries_than_levels() -> None:
    matrix = np.tile(np.array([[3.0, -1.0]]), (4, 3))
    assert_allclose(weighted_kmeans(matrix, np.ones(4), np.ones(6), 16), [-1.0, 3.0], rtol=1e-15)


@pytest.mark.parametrize("bandwidth", [0.05, 0.7])
def test_smoothing_is_the_limit_of_many_spread_copies(bandwidth: float) -> None:
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((30, 8))
    columns = 0.2 + rng.random(8)
    # the Laplace law of standard deviation h by its quantiles
    p = (np.arange(400) + 0.5) / 400
    spread = bandwidth / np.sqrt(2) * np.sign(p - 0.5) * -np.log(1 - np.abs(2 * p - 1))
    copies = (matrix[:, None, :] + spread[:, None]).reshape(-1, 8)
    smooth = weighted_kmeans(matrix, np.ones(30), columns, 8, bandwidth)
    explicit = weighted_kmeans(copies, np.ones(copies.shape[0]), columns, 8)
    x, w = copies.ravel(), np.tile(columns, copies.shape[0])
    # 400 quantiles cut the tails, which moves the outer centres a little
    assert cost(x, w, smooth) <= 1.002 * cost(x, w, explicit)


def test_smoothing_keeps_the_weight_and_its_mean() -> None:
    rng = np.random.default_rng(3)
    mass, mean = rng.random(50), np.sort(rng.standard_normal(50))
    spread, place = module._smoothed(mass, mean, 0.3)
    assert_allclose(spread.sum(), 1.0, rtol=1e-9)
    # bins of width 1e-3 stand at their middles
    assert_allclose(spread @ place, np.average(mean, weights=mass), atol=1e-6)
    variance = np.average((mean - np.average(mean, weights=mass)) ** 2, weights=mass)
    assert_allclose(spread @ place**2 - (spread @ place) ** 2, variance + 0.3**2, rtol=1e-4)


def test_entries_that_differ_by_rounding_share_a_centre() -> None:
    """Turned by a basis, equal entries differ by a last bit, which the way there and back loses."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        last_bits = rng.choice([-2, -1, 0, 1, 2], (6, 4)) * np.finfo(float).eps
        entries = rng.choice([0.3, 0.7], (6, 4)) * (1 + last_bits)
        centers = weighted_kmeans(entries, rng.random(6), np.ones(4), 16)
        assert np.all(np.diff(centers) > 0)
        assert_allclose(np.abs(centers - 0.5), 0.2, rtol=1e-14)
