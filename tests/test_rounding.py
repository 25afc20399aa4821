"""Feedback against a search of all code vectors, and every route against the naive reference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab.scheme import device_rounding, rounding
from quantlab.scheme.rounding import (
    feedback_matrix,
    feedback_order,
    round_feedback,
    round_feedback_uniform,
)
from tests import oracle

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def moment_of(k: int, rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(rows, k)) @ rng.normal(size=(k, k))
    return data.T @ data / rows


def books(levels: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random codebooks with these numbers of levels, padded with inf."""
    rng = np.random.default_rng(seed)
    most = max(levels)
    centers, thresholds = np.full((len(levels), most), np.inf), np.full((len(levels), most), np.inf)
    for row, k in enumerate(levels):
        c = np.sort(rng.normal(size=k)) * 1.5
        centers[row, :k], thresholds[row, : k - 1] = c, (c[1:] + c[:-1]) / 2
    return centers, thresholds[:, :-1], np.array(levels)


def test_the_square_is_completed() -> None:
    for k, rows in ((1, 5), (3, 9), (40, 60)):
        s = moment_of(k, rows, seed=k)
        upper, pivots = feedback_matrix(s)
        # float64 rounding, times the condition of S
        assert_allclose(upper.T * pivots @ upper, s, atol=1e-11 * s.max())
        assert_array_equal(np.tril(upper), np.eye(k))
        assert_allclose(np.log(pivots).sum(), np.linalg.slogdet(s)[1], rtol=1e-9)
        for at in range(1, k):  # D_l: the least of e S e^T over what comes after, in coding order
            rest = np.linalg.solve(s[:at, :at], s[:at, at])
            assert_allclose(pivots[at], s[at, at] - s[at, :at] @ rest, rtol=1e-7)


def test_against_every_code_vector() -> None:
    """k = 3, K = 4: of all 64 vectors of codes feedback takes the one whose steered errors are
    least in the order of coding, and what a vector costs is sum_l D_l (steered error)^2."""
    s = moment_of(3, 20, seed=4)
    upper, pivots = feedback_matrix(s)
    centers, thresholds, levels = books([4, 4, 4], seed=1)
    rows = np.random.default_rng(2).normal(size=(200, 3))
    codes = round_feedback(rows, upper, centers, thresholds, levels)
    vectors = np.array(list(itertools.product(range(4), repeat=3)))
    decoded = centers[np.arange(3), vectors]
    least = []
    for x, code in zip(rows, codes, strict=True):
        errors = decoded - x
        steered = errors @ upper.T
        cost = np.einsum("vi,ij,vj->v", errors, s, errors)
        assert_allclose(steered**2 @ pivots, cost, rtol=1e-9)
        first = min(range(64), key=lambda v: tuple(np.abs(steered[v, ::-1]).round(12)))
        assert_array_equal(code, vectors[first])
        least.append(cost.min())
    fed_back = oracle.quadratic_errors(rows, centers[np.arange(3), codes], s)
    nearest = np.abs(rows[:, :, None] - centers).argmin(2)
    plain = oracle.quadratic_errors(rows, centers[np.arange(3), nearest], s)
    assert np.all(fed_back >= np.array(least) * (1 - 1e-9))  # Babai's vector, not the best of all
    # here 1.51 times the best that any search finds; nearest rounding 2.62 times
    assert np.mean(least) <= np.mean(fed_back) < 0.8 * np.mean(plain)


@pytest.mark.parametrize("spread", [1, 30])
def test_a_uniform_grid_keeps_the_bound_of_the_nearest_plane(spread: float) -> None:
    """e S e^T <= sum_l D_l Delta_l^2 / 4 for every row, and on average a third of it."""
    k = 24
    s = moment_of(k, 2 * k, seed=3)
    upper, pivots = feedback_matrix(s)
    rng = np.random.default_rng(5)
    rows = spread * rng.normal(size=(500, k))
    steps, offsets = rng.uniform(0.5, 2, k), rng.normal(size=k)
    wide = np.full(k, 1 << 20)
    z = round_feedback_uniform(rows, upper, steps, offsets, -wide, wide)
    cost = oracle.quadratic_errors(rows, offsets + steps * z, s)
    bound = pivots @ steps**2 / 4
    assert cost.max() <= bound * (1 + 1e-9)
    assert_allclose(cost.mean(), bound / 3, rtol=0.05)  # uniform cell errors; 500 rows of 24


@pytest.mark.parametrize("n_levels", [2, 4, 16, 200])
def test_not_above_nearest_on_the_calibration_moments(n_levels: int) -> None:
    """In total over the rows, where codebooks fit them: for any moments, singular ones too."""
    for seed, (k, rows) in enumerate([(2, 40), (8, 5), (16, 400), (40, 45), (33, 200)]):
        rng = np.random.default_rng(seed)
        data = rng.normal(size=(300, k)).astype(np.float32)
        s = moment_of(k, rows, seed)
        cb = ql.design_lloyd_max(ql.GaussianPair(0.0), n_levels)[0]
        tables = [np.tile(t, (k, 1)) for t in (cb.centers, cb.thresholds)]
        codes = round_feedback(data, feedback_matrix(s)[0], *tables, np.full(k, n_levels))
        fed_back = oracle.quadratic_errors(data, cb.centers[codes], s).sum()
        assert fed_back < oracle.quadratic_errors(data, cb.quantize(data), s).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "k"), [(1, 1), (3, 2), (33, 5), (32, 70), (70, 33)])
def test_every_route_finds_the_codes_of_the_reference(m: int, k: int, dtype: type) -> None:
    rng = np.random.default_rng(m + k)
    upper, _ = feedback_matrix(moment_of(k, k + 2, seed=k))
    levels = rng.choice([1, 2, 3, 4, 5, 16, 31, 32, 33, 64, 100, 256], k).tolist()
    centers, thresholds, n = books(levels, seed=k)
    rows = (2 * rng.normal(size=(m, k))).astype(dtype)
    on = rng.random((m, k)) < 0.2  # entries on thresholds go to the lower cell
    rows = np.where(on & np.isfinite(thresholds[:, :1].T), thresholds[:, 0], rows).astype(dtype)
    expected = oracle.round_feedback(rows, upper, centers, thresholds)
    assert_array_equal(round_feedback(rows, upper, centers, thresholds, n), expected)
    tables = rounding.feedback_tables(centers, thresholds, n)[:2]
    tensor, as_given = torch.from_numpy(rows).to(DEVICE), np.arange(k)
    found = device_rounding.round_feedback_tensor(tensor, upper, *tables, as_given)
    assert found.dtype == torch.uint8
    assert_array_equal(found.cpu().numpy(), expected)
    order = rng.permutation(k)
    expected[:, order] = oracle.round_feedback(
        rows[:, order], upper, centers[order], thresholds[order]
    )
    found = round_feedback(rows, upper, centers, thresholds, n, order)
    assert_array_equal(found, expected)
    found = device_rounding.round_feedback_tensor(tensor, upper, *tables, order)
    assert_array_equal(found.cpu().numpy(), expected)

    steps, offsets = rng.uniform(0.01, 1, k), rng.normal(size=k)
    lo = rng.integers(-300, 1, k)
    grid = (steps, offsets, lo, lo + rng.integers(0, 600, k))
    rows[:, 0] = (offsets[0] + 0.5 * steps[0]).astype(dtype)  # a half rounds to even
    expected_ints = oracle.round_feedback_uniform(rows, upper, *grid)
    assert_array_equal(round_feedback_uniform(rows, upper, *grid), expected_ints)
    tensor = torch.from_numpy(rows).to(DEVICE)
    ints = device_rounding.round_uniform_tensor(tensor, upper, *grid, as_given)
    assert ints.dtype == torch.int32
    assert_array_equal(ints.cpu().numpy(), expected_ints)
    expected_ints[:, order] = oracle.round_feedback_uniform(
        rows[:, order], upper, *(x[order] for x in grid)
    )
    assert_array_equal(round_feedback_uniform(rows, upper, *grid, order), expected_ints)
    ints = device_rounding.round_uniform_tensor(tensor, upper, *grid, order)
    assert_array_equal(ints.cpu().numpy(), expected_ints)


def test_every_route_rounds_in_the_same_order() -> None:
    """Steps near float32's own: another order of the sums, or a fused product, is seen."""
    k = 40
    upper, _ = feedback_matrix(moment_of(k, 60))
    rows = np.random.default_rng(0).normal(size=(40, k)).astype(np.float32)
    # coarse indices give the fine ones errors to add up
    steps = np.where(np.arange(k) % 2, 1.0, 2.0**-21)
    wide = np.full(k, 1 << 24)
    grid = (steps, np.zeros(k), -wide, wide)
    expected = oracle.round_feedback_uniform(rows, upper, *grid)
    assert_array_equal(round_feedback_uniform(rows, upper, *grid), expected)
    tensor = torch.from_numpy(rows).to(DEVICE)
    found = device_rounding.round_uniform_tensor(tensor, upper, *grid, np.arange(k))
    assert_array_equal(found.cpu().numpy(), expected)


def test_rows_in_threads_layouts_and_libraries() -> None:
    k = 40
    upper, _ = feedback_matrix(moment_of(k, 60))
    centers, thresholds, n = books(k * [16])
    rows = np.random.default_rng(1).normal(size=(1000, k)).astype(np.float32)
    expected = device_rounding.round_feedback_tensor(
        torch.from_numpy(rows).to(DEVICE), upper,
        *rounding.feedback_tables(centers, thresholds, n)[:2], np.arange(k),
    ).cpu().numpy()  # fmt: skip
    for source in (rows, np.asfortranarray(rows), np.repeat(rows, 2, axis=1)[:, ::2]):
        assert_array_equal(round_feedback(source, upper, centers, thresholds, n), expected)
    tensor = round_feedback(torch.from_numpy(rows), upper, centers, thresholds, n)
    assert isinstance(tensor, torch.Tensor)
    assert_array_equal(tensor.numpy(), expected)
    halves = rows.astype(np.float16)
    assert_array_equal(
        round_feedback(halves, upper, centers, thresholds, n),
        round_feedback(halves.astype(np.float32), upper, centers, thresholds, n),
    )


def test_a_batch_of_tensors_is_each_of_them() -> None:
    rng = np.random.default_rng(0)
    uppers = np.stack([feedback_matrix(moment_of(6, 9, seed))[0] for seed in range(3)])
    rows = rng.normal(size=(3, 10, 6)).astype(np.float32)
    tables = rounding.feedback_tables(*books(6 * [8]))[:2]
    together = device_rounding.round_feedback_tensor(
        torch.from_numpy(rows).to(DEVICE), uppers, *tables, np.arange(6)
    )
    for x, upper, codes in zip(rows, uppers, together, strict=True):
        assert_array_equal(codes.cpu().numpy(), oracle.round_feedback(x, upper, *tables))


@pytest.mark.parametrize("rank", [0, 1, 5, 11])
def test_singular_moments(rank: int) -> None:
    """The free indices cost next to nothing, and the others no more than they would."""
    k = 12
    data = np.random.default_rng(rank).normal(size=(rank, k))
    s = data.T @ data
    upper, pivots = feedback_matrix(s)
    assert np.all(np.isfinite(upper))
    assert np.abs(upper).max(initial=0) < 1e3
    assert_allclose(upper.T * pivots @ upper, s, atol=1e-9 * max(1, s.max()))
    mean = np.trace(s) / k
    assert np.sum(pivots > 1e-6 * mean) == rank


def test_a_constant_column_and_one_index() -> None:
    data = np.random.default_rng(0).normal(size=(50, 4))
    data[:, 2] = 0
    upper, pivots = feedback_matrix(data.T @ data / 50)
    assert_array_equal(upper[2], np.eye(4)[2])
    assert pivots[2] < 1e-9 < pivots[[0, 1, 3]].min()
    upper, pivots = feedback_matrix([[3.0]])
    assert upper == 1
    assert_allclose(pivots, 3, rtol=1e-15)
    one = round_feedback([[0.2], [0.8]], upper, [[0.0, 1.0]], [[0.5]], [2])
    assert_array_equal(one, [[0], [1]])


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        ([[1.0, 2.0]], "square"),
        ([[1.0, 2.0], [0.0, 1.0]], "symmetric"),
        ([[1.0, 2.0], [2.0, 1.0]], "semidefinite.*least eigenvalue is -1"),
        ([[-1.0]], "semidefinite"),
        ([[np.nan]], "finite"),
    ],
)
def test_bad_moments(moment, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feedback_matrix(moment)


def test_bad_rows_and_tables() -> None:
    centers, thresholds, n = books([4, 2])
    good = {"rows": np.zeros((3, 2)), "upper": np.eye(2), "centers": centers,
            "thresholds": thresholds, "n_levels": n}  # fmt: skip
    for change, message in [
        ({"rows": [[0.0, np.nan]]}, r"finite; rows\[0, 1\] = nan"),
        ({"rows": np.zeros((3, 5))}, "2 entries, one an index"),
        ({"upper": np.eye(3)}, r"upper must have shape \(2, 2\)"),
        ({"n_levels": [4, 4]}, "finite up to"),
        ({"n_levels": [0, 2]}, r"1 \.\. 256; got 0"),
        ({"n_levels": [257, 2]}, r"1 \.\. 256; got 2 to 257"),
        ({"n_levels": [4, 2, 2]}, "3 rows, one an index"),
        ({"n_levels": [5, 2]}, "5 levels need as many centers"),
        ({"order": [0, 0]}, r"order must hold each of 0 \.\. 1 once; got \[0 0\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            round_feedback(**{**good, **change})
    with pytest.raises(TypeError, match="n_levels must be a vector of integers"):
        round_feedback(**{**good, "n_levels": [4.0, 2.0]})
    with pytest.raises(ValueError, match=r"finite; rows\[0, 1\] = nan"):
        device_rounding.round_feedback_tensor(
            torch.tensor([[0.0, np.nan]]), np.eye(2),
            *rounding.feedback_tables(centers, thresholds, n)[:2], np.arange(2),
        )  # fmt: skip

    grid = {"rows": np.zeros((3, 2)), "upper": np.eye(2), "steps": [1, 1], "offsets": [0, 0],
            "lo": [-1, -1], "hi": [1, 1]}  # fmt: skip
    for change, message in [
        ({"steps": [1, 0]}, "steps must be positive; got 0"),
        ({"lo": [2, 0]}, "lo must be at most hi"),
        ({"hi": [1, 1 << 25]}, "within"),
        ({"lo": [0]}, "an entry an index; got lengths 2, 2, 1, 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            round_feedback_uniform(**{**grid, **change})


@pytest.mark.parametrize("k", [8, 64])
def test_cheap_indices_are_coded_last(k: int) -> None:
    """The pivots' product is the determinant in any order; their sum is least in this one."""
    z = np.random.default_rng(k).normal(size=k)
    s = 0.3 * np.eye(k) + 0.7 * np.outer(z, z)
    order = feedback_order(s)
    assert_array_equal(order, np.argsort(z**2))
    pivots = [feedback_matrix(s[np.ix_(o, o)])[1] for o in (order, np.arange(k), order[::-1])]
    logs = [np.log(p).sum() for p in pivots]
    assert_allclose(logs, logs[0], rtol=1e-9)
    sums = [p.sum() for p in pivots]
    assert sums[0] < sums[1] < sums[2]
