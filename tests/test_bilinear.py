"""design_bilinear: the reference table, the optimality conditions, and every other design."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import ndtr

import quantlab as ql
from quantlab.design._product_error import ProductError, minimize

# rho, K, k: nmse of the exact optimum (computed independently of this package)
OPTIMA = [
    (0.3, 4, 256, 1.292e-02),
    (0.3, 16, 4096, 5.987e-05),
    (0.8, 4, 1, 1.903e-01),
    (0.8, 16, 1, 1.379e-02),
    (0.8, 16, 256, 1.911e-04),
    (0.8, 16, 4096, 1.206e-05),
    (0.95, 8, 256, 5.676e-04),
    (0.95, 4, 4096, 1.512e-04),
]


@pytest.mark.parametrize("row", OPTIMA, ids=lambda row: f"rho{row[0]}-K{row[1]}-k{row[2]}")
def test_not_worse_than_the_reference_optimum(row):
    rho, n_levels, inner_dim, printed = row
    pair = ql.GaussianPair(rho)
    books = ql.design_bilinear(pair, n_levels, inner_dim)
    report = ql.exact_mse(pair, *books, inner_dim)
    assert report.nmse <= printed * 1.001
    assert_allclose(report.nmse, books[0].info["nmse"], rtol=1e-9)  # two routes, one number
    assert_allclose(report.gain, 1, atol=1e-6)  # the best codebooks need no gain


def test_reference_codebook():
    cb_x, cb_y = ql.design_bilinear(ql.GaussianPair(0.8), 16, 256)
    centers = [0.213, 0.615, 0.985, 1.342, 1.709, 2.112, 2.600, 3.323]
    thresholds = [0.413, 0.799, 1.162, 1.523, 1.907, 2.352, 2.946]
    for book in (cb_x, cb_y):
        # printed to three decimals; the optimum is flat, and the reference stopped within 1e-3
        assert_allclose(book.centers[8:], centers, atol=1e-3)
        assert_allclose(book.thresholds[8:], thresholds, atol=1e-3)


@pytest.mark.parametrize(("n_levels", "inner_dim"), [((7, 4), 64), ((3, 8), 1), (16, 4096)])
@pytest.mark.parametrize("rho", [0.4, -0.8, 0.97])
def test_meets_the_bilinear_lloyd_max_conditions(rho, n_levels, inner_dim):
    pair = ql.GaussianPair(rho, sigma_x=2.0, sigma_y=0.3)
    cb_x, cb_y = ql.design_bilinear(pair, n_levels, inner_dim)
    b = ql.exact_mse(pair, cb_x, cb_y, inner_dim).mean_error
    mass, first = pair.joint_cells(cb_x.thresholds, cb_y.thresholds)
    for operand, book, other, p, m in (
        ("x", cb_x, cb_y, mass, first),
        ("y", cb_y, cb_x, mass.T, first.T),
    ):
        sum_q = m @ other.centers + (inner_dim - 1) * b * (p @ other.centers)
        sum_p = p @ other.centers**2
        # a relative fall of 1e-14 in the error is 1e-7 in the centres, by the square root
        tolerance = 2e-6 * pair.sigma(operand)
        assert_allclose(sum_q / sum_p, book.centers, atol=tolerance)
        t = book.thresholds
        p_at, m_at = pair.conditional_cells(t, other.thresholds, operand)
        q = t * (m_at @ other.centers) + (inner_dim - 1) * b * (p_at @ other.centers)
        means = (book.centers[1:] + book.centers[:-1]) / 2
        assert_allclose(q / (p_at @ other.centers**2), means, atol=tolerance)


@pytest.mark.parametrize("inner_dim", [1, 256, 4096])
@pytest.mark.parametrize("n_levels", [2, 3, 8, 16])
@pytest.mark.parametrize("rho", [0.0, 0.5774, 0.95, 0.999])
def test_never_worse_than_any_other_design_with_its_best_gain(rho, n_levels, inner_dim):
    pair = ql.GaussianPair(rho)
    cb_x, cb_y = ql.design_bilinear(pair, n_levels, inner_dim)
    best = ql.exact_mse(pair, cb_x, cb_y, inner_dim).nmse
    for name in ("gaussian_compander", "closed_form", "lloyd_max", "weighted_lloyd_max"):
        other = ql.exact_mse(pair, *ql.DESIGNS[name](pair, n_levels), inner_dim)
        assert best <= min(other.nmse, other.nmse_with_gain) * (1 + 1e-9), name


@pytest.mark.parametrize("rho", [1.0, -1.0])
def test_perfect_correlation(rho):
    pair = ql.GaussianPair(rho)
    best = ql.exact_mse(pair, *ql.design_bilinear(pair, 8, 16), 16)
    other = ql.exact_mse(pair, *ql.design_lloyd_max(pair, 8, weighted=True), 16)
    assert best.nmse < 0.9 * other.nmse_with_gain


def test_trace_falls_and_codebooks_are_symmetric_and_saved_with_it(tmp_path):
    cb_x, cb_y = ql.design_bilinear(ql.GaussianPair(0.95), (9, 6), 256, symmetric=True)
    trace = cb_x.info["trace"]
    assert len(trace) > 2
    assert np.all(np.diff(trace) < 0)
    for book in (cb_x, cb_y):
        # odd by construction: rounding of the steps' sums only
        assert_allclose(book.centers, -book.centers[::-1], atol=1e-13)
        assert_allclose(book.thresholds, -book.thresholds[::-1], atol=1e-13)
    cb_x.save(tmp_path / "book.json")
    assert ql.Codebook.load(tmp_path / "book.json").info == cb_x.info


def test_units_cancel():
    unit, scaled = ql.GaussianPair(0.8), ql.GaussianPair(0.8, sigma_x=1e-3, sigma_y=40.0)
    books, same = ql.design_bilinear(unit, 8, 64), ql.design_bilinear(scaled, 8, 64)
    # both runs stop at a relative fall of 1e-14, 1e-7 in the centres
    assert_allclose(same[0].centers / 1e-3, books[0].centers, atol=1e-6)
    assert_allclose(same[1].thresholds / 40, books[1].thresholds, atol=1e-6)


def test_random_restarts_find_nothing_better():
    rng = np.random.default_rng(4)
    for rho, n_levels, inner_dim in ((0.8, 4, 256), (0.95, 7, 256), (0.99, 8, 1), (0.999, 5, 16)):
        pair = ql.GaussianPair(rho)
        cb_x, _ = ql.design_bilinear(pair, n_levels, inner_dim)
        problem = ProductError(pair, (n_levels, n_levels), inner_dim, symmetric=True)
        for _ in range(6):
            half = np.sort(rng.uniform(0.02, 3.4, (2, n_levels // 2)))
            middle = [0.0] * (n_levels % 2)
            c = [np.concatenate([-h[::-1], middle, h]) for h in half]
            theta = np.concatenate([part for v in c for part in (v, (v[1:] + v[:-1]) / 2)])
            point, _ = minimize(problem, problem.best_centers(problem.at(theta), 3))
            # both runs stop at a relative fall of 1e-14 a step
            assert cb_x.info["nmse"] <= point.nmse * (1 + 1e-9)


# rho, K, k: error of the best pair over that of the best symmetric one
LOPSIDED = [
    (0.95, 7, 64, 0.868), (0.999, 6, 100, 0.812), (-0.9, 8, 16, 0.992),
    (0.95, 3, 64, 0.5034), (0.3, 2, 64, 0.7007), (0.8, 16, 256, 1.0), (0.97, (3, 5), 16, 0.67),
]  # fmt: skip


@pytest.mark.parametrize("row", LOPSIDED, ids=str)
def test_the_better_of_symmetric_and_lopsided(row):
    rho, n_levels, inner_dim, ratio = row
    pair = ql.GaussianPair(rho)
    odd, free, auto = (
        ql.design_bilinear(pair, n_levels, inner_dim, symmetric=flag)[0].info
        for flag in (True, False, "auto")
    )
    assert odd["symmetric"] is True
    assert auto["symmetric"] is (ratio == 1)
    assert auto["nmse"] / odd["nmse"] <= ratio + 1e-3
    assert auto["nmse"] <= free["nmse"] * (1 + 3e-4)
    assert ql.design_bilinear(pair, n_levels, inner_dim)[0].info["nmse"] == auto["nmse"]


def test_random_lopsided_restarts_find_nothing_better():
    rng = np.random.default_rng(7)
    for rho, n_levels, inner_dim in ((0.8, 4, 256), (-0.95, 5, 64), (0.97, 3, 1)):
        pair = ql.GaussianPair(rho)
        best = ql.design_bilinear(pair, n_levels, inner_dim)[0].info["nmse"]
        problem = ProductError(pair, (n_levels, n_levels), inner_dim)
        for _ in range(8):
            c = np.sort(rng.normal(scale=1.5, size=(2, n_levels)))
            theta = np.concatenate([part for v in c for part in (v, (v[1:] + v[:-1]) / 2)])
            point, _ = minimize(problem, problem.best_centers(problem.at(theta), 3))
            assert best <= point.nmse * (1 + 1e-6)


@pytest.mark.parametrize(("rho", "n_levels", "k"), [(0.99, 2, 16), (0.999, 4, 64), (1.0, 3, 64)])
def test_what_the_error_is_said_to_be_it_is(rho, n_levels, k):
    """Centres that run away weigh the rounding of probabilities: an error 120 times too small."""
    cb_x, cb_y = ql.design_bilinear(ql.GaussianPair(rho), n_levels, k, symmetric=False)
    rho = min(rho, 1 - 1e-9)
    s = np.sqrt(1 - rho * rho)
    c, t = cb_y.centers, cb_y.thresholds

    def moments(x):  # E[Yq | x], E[Yq^2 | x], E[Y Yq | x]: sums of positive terms, both tails exact
        z = np.concatenate([[-np.inf], (t - rho * x) / s, [np.inf]])
        p = np.where(z[:-1] > 0, ndtr(-z[:-1]) - ndtr(-z[1:]), ndtr(z[1:]) - ndtr(z[:-1]))
        y = rho * x * p - s * np.diff(np.exp(-z * z / 2) / np.sqrt(2 * np.pi))
        return p @ c, p @ c**2, y @ c

    nodes, weights = np.polynomial.legendre.leggauss(8)
    # Y's thresholds are steps of the conditional moments, s wide
    near = [v / rho + s * u for v in t for u in np.linspace(-9, 9, 41)]
    edges = np.unique(np.concatenate([np.linspace(-12, 12, 481), cb_x.thresholds, near]))
    square = mean = 0.0
    for low, high in pairwise(edges):
        q = cb_x.centers[np.searchsorted(cb_x.thresholds, (low + high) / 2)]
        for u, w in zip(nodes, weights, strict=True):
            x = (low + high) / 2 + (high - low) / 2 * u
            f = w * (high - low) / 2 * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
            first, second, product = moments(x)
            square += f * (x * x * (rho**2 * x * x + s * s) - 2 * x * q * product + q * q * second)
            mean += f * (rho * x * x - q * first)
    energy = k * (1 + 2 * rho**2) + k * (k - 1) * rho**2
    assert_allclose(cb_x.info["nmse"], (k * square + k * (k - 1) * mean**2) / energy, rtol=2e-6)


def test_symmetric_is_one_of_three():
    with pytest.raises(ValueError, match="symmetric must be True, False or \"auto\"; got 'best'"):
        ql.design_bilinear(ql.GaussianPair(0.5), 4, symmetric="best")
    with pytest.raises(ValueError, match="symmetric must be True"):
        ql.design_bilinear(ql.GaussianPair(0.5), 4, symmetric=[])


@pytest.mark.parametrize("symmetric", [True, False])
def test_derivatives_are_those_of_the_value(symmetric):
    pair = ql.GaussianPair(-0.7, sigma_x=2.0, sigma_y=0.5)
    problem = ProductError(pair, (5, 4), 37, symmetric)
    c_x, c_y = np.array([-2.0, -1.1, 0.1, 0.9, 2.2]), np.array([-1.4, -0.3, 0.5, 1.7])
    theta = np.concatenate([c_x, [-1.4, -0.6, 0.5, 1.3], c_y, [-0.9, 0.2, 1.0]])
    gradient, hessian, _ = problem.derivatives(problem.at(theta))
    h = 1e-5
    moves = h * np.eye(theta.size)
    value = [(problem.at(theta + m).nmse - problem.at(theta - m).nmse) / (2 * h) for m in moves]
    # central differences: h^2 truncation and eps / h rounding
    assert_allclose(gradient, value, atol=1e-9)
    slopes = [
        problem.derivatives(problem.at(theta + m))[0]
        - problem.derivatives(problem.at(theta - m))[0]
        for m in moves
    ]
    assert_allclose(hessian, np.array(slopes) / (2 * h), atol=1e-8)


def test_rejects_bad_settings():
    pair = ql.GaussianPair(0.5)
    with pytest.raises(ValueError, match="n_levels must be at least 2; got 1"):
        ql.design_bilinear(pair, (4, 1))
    with pytest.raises(ValueError, match="inner_dim must be at least 1; got 0"):
        ql.design_bilinear(pair, 4, 0)
    with pytest.raises(TypeError, match="inner_dim must be an integer"):
        ql.design_bilinear(pair, 4, 2.5)
