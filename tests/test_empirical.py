"""EmpiricalPair and design_empirical: two given matrices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from quantlab import (
    Codebook,
    GaussianPair,
    PointDensity,
    design_companding,
    design_lloyd_max,
    measure,
)
from quantlab.design import empirical
from quantlab.design.empirical import design_empirical, product_gain
from quantlab.pairs.empirical import EmpiricalPair


def matrices(m: int = 40, k: int = 24, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(k)
    a = rng.standard_normal((m, k)) * (0.5 + rng.random(k)) + shared
    b = rng.standard_normal((k, n)) * (0.5 + rng.random(k))[:, None] + 0.8 * shared[:, None]
    return a, b


def error(a: np.ndarray, b: np.ndarray, books: tuple[Codebook, Codebook]) -> float:
    c = a @ b
    left = c - books[0].quantize(a) @ books[1].quantize(b)
    return float(np.vdot(left, left) / np.vdot(c, c))


def test_moments_are_those_of_all_pairs() -> None:
    a, b = matrices(5, 4, 6)
    pair = EmpiricalPair(a, b)
    x = np.broadcast_to(a[:, :, None], (5, 4, 6)).ravel()
    y = np.broadcast_to(b[None], (5, 4, 6)).ravel()
    assert_allclose(pair.rho, np.corrcoef(x, y)[0, 1], rtol=1e-12)
    assert_allclose([pair.sigma_x, pair.sigma_y], [x.std(), y.std()], rtol=1e-12)
    assert_allclose(pair.mean_product, np.mean(x * y), rtol=1e-12)
    assert_allclose(pair.mean_square_product, np.mean((x * y) ** 2), rtol=1e-12)
    law = pair.gaussian()
    assert_allclose(law.mean_product, np.mean(x * y), rtol=1e-12)
    assert_allclose([law.sigma_x**2, law.sigma_y**2], [np.mean(x**2), np.mean(y**2)], rtol=1e-12)
    # the weight of an entry is what its squared error adds to the product's
    moved = a.copy()
    moved[2, 1] += 1.0
    added = np.sum((moved @ b - a @ b) ** 2)
    assert_allclose(pair.column_weight[1] * 6, added, rtol=1e-12)


@pytest.mark.parametrize("shape", [(40, 6, 30), (4, 24, 5)])
def test_mean_square_entry(shape: tuple[int, int, int]) -> None:
    a, b = matrices(*shape)
    assert_allclose(EmpiricalPair(a, b).mean_square_entry, np.mean((a @ b) ** 2), rtol=1e-12)


def test_rho_of_sampled_matrices() -> None:
    law = GaussianPair(rho=-0.7, sigma_x=2.0, sigma_y=0.5)
    pair = EmpiricalPair(*law.sample_matrices(200, 4000, 200, rng=1))
    assert_allclose(pair.rho, -0.7, atol=0.03)  # 4000 shared factors: sd about 0.011
    read = pair.gaussian()
    assert_allclose([read.rho, read.sigma_x, read.sigma_y], [-0.7, 2.0, 0.5], atol=0.04)


def test_energy_is_that_of_resampled_matrices() -> None:
    pair = EmpiricalPair(*matrices())
    squares = []
    for seed in range(300):
        a, b = pair.sample_matrices(20, 10, 20, rng=seed)
        assert a.dtype == b.dtype == np.float32
        squares.append(np.mean((a @ b) ** 2))
    spread = np.std(squares) / np.sqrt(300)
    assert_allclose(np.mean(squares), pair.energy(10), atol=4 * spread)
    measured = measure(pair, *design_empirical(pair, 64), inner_dim=24, m=30, n=30, trials=4)
    assert 0 < measured.nmse < 0.01


@pytest.mark.parametrize("operand", ["x", "y"])
def test_cell_moments_are_sums_over_entries(operand: str) -> None:
    a, b = matrices()
    pair = EmpiricalPair(a, b)
    matrix = a if operand == "x" else b
    weight = pair.column_weight[None] if operand == "x" else pair.row_weight[:, None]
    weight = np.broadcast_to(weight, matrix.shape)
    t = np.array([-1.0, float(matrix[3, 2]), 1.5])
    t.sort()
    cell = np.searchsorted(t, matrix)  # a value on a threshold belongs to the lower cell
    for weighted, w in ((False, np.ones_like(matrix)), (True, weight)):
        got = pair.cell_moments(t, operand, weighted=weighted)  # type: ignore[arg-type]
        for i in range(4):
            mine = cell == i
            expected = [w[mine].sum(), (w * matrix)[mine].sum()]
            assert_allclose(got[:, i] * matrix.size, expected, rtol=1e-10)


def test_density_estimate_follows_the_law() -> None:
    law = GaussianPair(rho=0.8, sigma_x=3.0)
    pair = EmpiricalPair(*law.sample_matrices(60, 3000, 60, rng=2))
    x = np.linspace(-6, 6, 13)
    # 3000 shared factors: a few percent of the density at the peak
    assert_allclose(pair.pdf(x), law.pdf(x), atol=0.05 * float(law.pdf(0.0)))
    assert_allclose(pair.weight(x), law.weight(x), rtol=0.25)
    density = PointDensity.optimal(pair)
    assert_allclose(density.cdf(density.ppf([0.1, 0.5, 0.9])), [0.1, 0.5, 0.9], atol=1e-6)
    heights, edges = pair.histogram("y", bins=50)
    assert_allclose(heights @ np.diff(edges), 1.0, rtol=1e-12)
    assert design_companding(pair, 8)[0].n_levels == 8
    lloyd = design_lloyd_max(pair, 8, weighted=True)
    best = design_empirical(pair, 8, fit_gain=False)
    # Lloyd-Max stops at a local optimum, near the global one
    assert_allclose(lloyd[0].centers, best[0].centers, atol=0.3 * law.sigma_x)


def test_an_entry_far_from_all_others_has_its_own_weight_and_a_gaussian_s_tail() -> None:
    a, b = matrices()
    a[3, 7] = far = 1e6
    pair = EmpiricalPair(a, b)
    assert_allclose(pair.weight(far), np.mean(b[7] ** 2), rtol=1e-3)  # of its column alone
    end = pair.support("x")[1]
    spread = np.median(np.abs(a - np.median(a))) / 0.6745  # a normal law's deviation
    t = np.arcsinh(a / spread)
    bandwidth = 0.9 * np.std(t) * a.size**-0.2  # Silverman's
    assert_allclose(end, spread * np.sinh(t.max() + 3 * bandwidth), rtol=1e-9)
    # in asinh(x / spread), where dt / dx is 1 / x out there, the estimate ends 3 bandwidths away
    share = float(pair.pdf(end) * end) / float(pair.pdf(far) * far)
    assert_allclose(share, np.exp(-4.5), rtol=0.1)


@pytest.mark.parametrize("n_levels", [4, 16, (64, 5)])
def test_beats_every_law(n_levels: int | tuple[int, int]) -> None:
    a, b = matrices(200, 64, 200)
    pair = EmpiricalPair(a, b)
    best = error(a, b, design_empirical(pair, n_levels))
    for weighted in (False, True):
        assert best < error(a, b, design_companding(pair.gaussian(), n_levels, weighted=weighted))
    assert best <= error(a, b, design_empirical(pair, n_levels, fit_gain=False))


def test_leading_error_is_least() -> None:
    a, b = matrices()
    pair = EmpiricalPair(a, b)
    cb_a, cb_b = design_empirical((a, b), 8, fit_gain=False)

    def leading(books: tuple[Codebook, Codebook]) -> float:
        left = np.square(a - books[0].quantize(a)) @ pair.column_weight
        right = pair.row_weight @ np.square(b - books[1].quantize(b))
        return float(left.sum() * b.shape[1] + right.sum() * a.shape[0])

    rng = np.random.default_rng(3)
    least = leading((cb_a, cb_b))
    for _ in range(20):
        moved = [Codebook(c.centers + 0.01 * rng.standard_normal(8)) for c in (cb_a, cb_b)]
        assert leading((moved[0], moved[1])) > least


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("shape", [(40, 6, 30), (10, 24, 12), (400, 5, 300)])
def test_gain_is_the_regression_on_the_coded_product(
    shape: tuple[int, int, int], part: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = matrices(*shape)
    pair = EmpiricalPair(a, b)
    books = design_companding(pair.gaussian(), 4)
    if part:
        monkeypatch.setattr(empirical, "_GAIN_ENTRIES", 1)  # 64 rows and columns
        a, b = (x[np.linspace(0, len(x) - 1, min(len(x), 64)).astype(int)] for x in (a, b.T))
        b = b.T
    coded = books[0].quantize(a) @ books[1].quantize(b)
    expected = np.vdot(a @ b, coded) / np.vdot(coded, coded)
    assert abs(expected - 1) > 1e-3
    assert_allclose(product_gain(pair, *books), expected, rtol=1e-10)
    with_gain = design_empirical(pair, 4)
    without = design_empirical(pair, 4, fit_gain=False)
    assert with_gain[0] == without[0].scaled(with_gain[0].info["gain"])
    assert with_gain[1] == without[1]


def test_smoothing_holds_on_other_data() -> None:
    law = GaussianPair(rho=0.6)
    a, b = law.sample_matrices(48, 40, 48, rng=4)
    other = law.sample_matrices(400, 400, 400, rng=5)
    exact, smooth = (design_empirical((a, b), 256, smoothing=s) for s in (0.0, "auto"))
    assert error(a, b, exact) < error(a, b, smooth)
    assert error(*other, smooth) < 0.8 * error(*other, exact)
    assert smooth[0].centers[-1] > exact[0].centers[-1]


def test_float32_and_integers_are_read_as_they_are() -> None:
    a, b = matrices()
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    for low, high in zip(
        design_empirical((a32, b32), 16),
        design_empirical((a32.astype(float), b32.astype(float)), 16),
        strict=True,
    ):
        assert_allclose(low.centers, high.centers, rtol=1e-5)
    books = design_empirical((np.array([[1, 2], [3, 4]]), np.array([[1, 0], [0, 1]])), 4)
    assert_allclose(books[0].centers, [1, 2, 3, 4], rtol=1e-15)


class TestDegenerate:
    def test_fewer_distinct_entries_than_levels_leave_no_error(self) -> None:
        a = np.tile([[1.0, -2.0, 1.0]], (4, 1))
        b = np.tile([[3.0], [0.5], [3.0]], (1, 5))
        books = design_empirical((a, b), 256)
        assert [book.n_levels for book in books] == [2, 2]
        assert_allclose(books[0].quantize(a) @ books[1].quantize(b), a @ b, rtol=1e-14)

    @pytest.mark.parametrize("value", [7.5, -3.0, 0.0])
    def test_constant_matrices(self, value: float) -> None:
        pair = EmpiricalPair(np.full((3, 2), value), np.full((2, 4), 2.0))
        assert pair.rho == 0.0
        books = design_empirical(pair, 16)
        assert_allclose(books[0].quantize(pair.a), pair.a, rtol=1e-15)
        assert books[0].n_levels == 2
        smooth = design_empirical(pair, 16, smoothing="auto")  # no spread to smooth by
        assert smooth[0] == books[0]

    def test_one_entry(self) -> None:
        books = design_empirical(([[2.0]], [[-5.0]]), 8)
        assert_array_equal(books[0].quantize([[2.0]]) * books[1].quantize([[-5.0]]), [[-10.0]])

    def test_all_zero_operand_leaves_the_other_unweighted(self) -> None:
        a, _ = matrices()
        zero = np.zeros((24, 3))
        books = design_empirical((a, zero), 4)
        assert_allclose(books[0].centers, design_empirical((a, np.ones((24, 3))), 4,
                        fit_gain=False)[0].centers, rtol=1e-12)  # fmt: skip
        assert_array_equal(books[1].quantize(zero), zero)
        with pytest.raises(ValueError, match="not zero everywhere"):
            EmpiricalPair(a, zero).gaussian()

    @pytest.mark.parametrize(
        ("a", "b", "message"),
        [
            (np.empty((0, 2)), np.ones((2, 2)), "must not be empty"),
            (np.ones(3), np.ones((3, 2)), "2-D"),
            (np.ones((2, 3)), np.ones((2, 3)), r"share the inner dimension.*\(2, 3\)"),
            ([[np.nan, 1.0]], np.ones((2, 2)), r"a must be finite; a\[0, 0\] = nan"),
            (np.ones((2, 2)), [[1.0, np.inf], [0, 0]], r"b\[0, 1\] = inf"),
        ],
    )
    def test_bad_matrices(self, a: object, b: object, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            design_empirical((a, b), 4)  # type: ignore[arg-type]

    def test_bad_arguments(self) -> None:
        a, b = matrices()
        with pytest.raises(ValueError, match="at least 2; got 1"):
            design_empirical((a, b), 1)
        with pytest.raises(TypeError, match="EmpiricalPair or two matrices"):
            design_empirical(GaussianPair(0.5), 4)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="smoothing must be at least 0"):
            design_empirical((a, b), 4, smoothing=-0.1)
        with pytest.raises(TypeError, match="smoothing must be a real number"):
            design_empirical((a, b), 4, smoothing="much")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="real numbers"):
            EmpiricalPair(a.astype(complex), b)
