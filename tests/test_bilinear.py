"""design_bilinear: the reference table, the optimality conditions, and every other design."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

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
    cb_x, cb_y = ql.design_bilinear(ql.GaussianPair(0.95), (9, 6), 256)
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


def test_lopsided_codebooks_win_where_they_may():
    pair = ql.GaussianPair(0.99)
    odd, free = (
        ql.design_bilinear(pair, 3, 256, symmetric=flag)[0].info["nmse"] for flag in (True, False)
    )
    assert free < 0.8 * odd


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
