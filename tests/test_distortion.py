"""exact_mse against quadrature, Monte Carlo and the reference table; asymptotics."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from tests import oracle

# rho, K, k: gc, mo, lm, wl, mo+g, wl+g (normalised, computed independently of this package)
TABLE = [
    (0.3, 4, 256, 2.104e-02, 2.015e-02, 5.697e-02, 3.885e-02, 1.589e-02, 1.293e-02),
    (0.3, 16, 4096, 2.604e-04, 1.997e-04, 4.162e-04, 2.451e-04, 6.411e-05, 5.988e-05),
    (0.8, 4, 1, 2.026e-01, 2.485e-01, 2.674e-01, 2.040e-01, 2.121e-01, 2.003e-01),
    (0.8, 16, 1, 1.720e-02, 1.454e-02, 2.128e-02, 1.392e-02, 1.452e-02, 1.392e-02),
    (0.8, 16, 256, 4.320e-04, 2.106e-04, 6.303e-04, 2.050e-04, 2.010e-04, 1.920e-04),
    (0.8, 16, 4096, 2.126e-04, 2.299e-05, 3.600e-04, 2.549e-05, 1.268e-05, 1.211e-05),
    (0.95, 8, 256, 2.281e-03, 1.332e-03, 4.915e-03, 2.810e-03, 6.378e-04, 6.462e-04),
    (0.95, 4, 4096, 3.463e-03, 4.387e-02, 3.553e-02, 6.974e-02, 1.829e-04, 1.889e-04),
]
DESIGNS = ("gaussian_compander", "closed_form", "lloyd_max", "weighted_lloyd_max")

SKEWED_X = ql.Codebook([-2.0, -0.3, 0.4, 1.5, 3.0], [-0.9, 0.2, 0.6, 2.9])
SKEWED_Y = ql.Codebook([-0.8, 0.05, 1.1], [-0.1, 0.3])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"rho{row[0]}-K{row[1]}-k{row[2]}")
def test_reference_table_to_its_printed_digits(row):
    rho, n_levels, inner_dim, *printed = row
    pair = ql.GaussianPair(rho)
    reports = [ql.exact_mse(pair, *ql.DESIGNS[name](pair, n_levels), inner_dim) for name in DESIGNS]
    ours = [r.nmse for r in reports] + [reports[1].nmse_with_gain, reports[3].nmse_with_gain]
    assert [f"{value:.3e}" for value in ours] == [f"{value:.3e}" for value in printed]


@pytest.mark.parametrize("rho", [0.0, 0.4, -0.8, 0.999, -0.99999])
def test_equals_adaptive_quadrature_off_the_midpoints(rho):
    pair = ql.GaussianPair(rho, sigma_x=1.3, sigma_y=0.6)
    moments = oracle.product_moments_by_quadrature(pair, SKEWED_X, SKEWED_Y)
    report = ql.exact_mse(pair, SKEWED_X, SKEWED_Y, inner_dim=7)
    # quad is asked for 1e-11 on each of about thirty pieces
    assert_allclose(report.mse, oracle.mse_of_moments(moments, 7), rtol=1e-9)
    assert_allclose(report.mean_error, moments["e"], atol=1e-10)
    mean = pair.mean_product
    gain = (moments["XY p"] + 6 * mean * moments["p"]) / (moments["p^2"] + 6 * moments["p"] ** 2)
    assert_allclose(report.gain, gain, rtol=1e-9)


@pytest.mark.parametrize("rho", [1.0, -1.0])
def test_perfect_correlation_is_a_one_dimensional_integral(rho):
    pair = ql.GaussianPair(rho, sigma_x=1.3, sigma_y=0.6)
    x = (np.arange(2_000_000) + 0.5) / 1e5 - 10  # midpoint rule on the line Y = rho s_y x / s_x
    mass = pair.pdf(x) * 1e-5
    y = rho * 0.6 / 1.3 * x
    error = x * y - SKEWED_X.quantize(x) * SKEWED_Y.quantize(y)
    mse = 5 * (mass @ error**2) + 20 * (mass @ error) ** 2
    # the rule misplaces each jump by up to half a step of 1e-5
    assert_allclose(ql.exact_mse(pair, SKEWED_X, SKEWED_Y, 5).mse, mse, rtol=2e-5)


def test_continuous_in_rho_at_one():
    pair = ql.GaussianPair(1.0)
    books = ql.design_companding(pair, 16)
    near = ql.exact_mse(ql.GaussianPair(1 - 1e-13), *books, 256).nmse
    # the law's width is sqrt(2e-13) = 4.5e-7 of a standard deviation
    assert_allclose(near, ql.exact_mse(pair, *books, 256).nmse, rtol=1e-5)


def test_equals_monte_carlo():
    pair = ql.GaussianPair(0.7, sigma_x=2.0, sigma_y=0.5)
    books = ql.design_companding(pair, (5, 8))
    rng = np.random.default_rng(3)
    x, g = rng.standard_normal((2, 1_000_000))
    y = 0.5 * (0.7 * x + np.sqrt(1 - 0.49) * g)
    x = 2.0 * x
    error = x * y - books[0].quantize(x) * books[1].quantize(y)
    report = ql.exact_mse(pair, *books, inner_dim=1)
    sigmas = error.std() / 1e3, (error**2).std() / 1e3
    # four standard errors of the sample means
    assert_allclose(report.mean_error, error.mean(), atol=4 * sigmas[0])
    assert_allclose(report.mse, (error**2).mean(), atol=4 * sigmas[1])


def test_gain_is_the_best_and_folds_into_one_codebook():
    pair = ql.GaussianPair(0.8)
    cb_x, cb_y = ql.design_lloyd_max(pair, 8)
    report = ql.exact_mse(pair, cb_x, cb_y, 256)
    folded = [
        ql.exact_mse(pair, cb_x.scaled(report.gain * g), cb_y, 256).nmse for g in (0.999, 1, 1.001)
    ]
    # the same sums in another order
    assert_allclose(folded[1], report.nmse_with_gain, rtol=1e-11)
    assert folded[1] < min(folded[0], folded[2])


def test_parts_add_up_and_scale():
    pair = ql.GaussianPair(0.8, sigma_x=3.0, sigma_y=0.2)
    report = ql.exact_mse(pair, *ql.design_companding(pair, 8), inner_dim=64)
    unit = ql.GaussianPair(0.8)
    same = ql.exact_mse(unit, *ql.design_companding(unit, 8), inner_dim=64)
    assert report.mse == report.variance + report.bias
    assert report.bias == pytest.approx((64 * report.mean_error) ** 2, rel=1e-14)
    assert 0 < report.bias_share < 1
    # units cancel in the normalised error; the two codebooks differ by rounding
    assert_allclose(report.nmse, same.nmse, rtol=1e-12)
    assert_allclose(report.nmse, report.mse / pair.energy(64), rtol=1e-15)


def test_256_by_256_levels_tend_to_the_asymptotic_error():
    pair = ql.GaussianPair(0.8)
    books = ql.design_companding(pair, 256)
    report = ql.exact_mse(pair, *books, inner_dim=1)
    assert_allclose(report.mse, ql.asymptotic_mse(pair, 256), rtol=5e-3)  # O(1/K) corrections


def test_rejects_what_is_not_a_codebook_or_a_dimension():
    pair = ql.GaussianPair(0.5)
    book = ql.Codebook([-1.0, 1.0])
    with pytest.raises(TypeError, match="codebook_y must be a Codebook; got list"):
        ql.exact_mse(pair, book, [0.0, 1.0])
    with pytest.raises(ValueError, match="inner_dim must be at least 1; got 0"):
        ql.exact_mse(pair, book, book, inner_dim=0)
    with pytest.raises(TypeError, match="inner_dim must be an integer"):
        ql.exact_mse(pair, book, book, inner_dim=2.0)


@pytest.mark.parametrize("nu", [4.1, 5.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_centres_far_out_in_heavy_tails(nu, weighted):
    """Centres at 1e34 in cells of mass 1e-140: the cells' relative error is what counts."""
    books = ql.design_companding(ql.StudentTPair(0.99, nu), 16)
    if weighted:
        books = ql.design_lloyd_max(ql.StudentTPair(0.99, nu), 16, weighted=True)
    line = ql.exact_mse(ql.StudentTPair(1.0, nu), *books, 256).nmse
    for gap in (1e-9, 1e-6):
        near = ql.exact_mse(ql.StudentTPair(1 - gap, nu), *books, 256).nmse
        # by the conditional law's width, sqrt(2 gap)
        assert_allclose(near, line, rtol=10 * np.sqrt(gap))
    pair = ql.StudentTPair(0.8, nu)
    mass, first = pair.joint_cells(*(book.thresholds for book in books))
    for axis, operand in ((1, "x"), (0, "y")):
        cells = pair.cell_moments(books[0].thresholds, operand)[0]
        assert_allclose(mass.sum(axis=axis), cells, rtol=1e-9)
    assert_allclose(first.sum(), pair.mean_product, rtol=1e-12)


def test_weighted_lloyd_max_is_not_above_its_start_in_heavy_tails():
    pair = ql.StudentTPair(0.0, 4.1)
    start, best = ql.design_companding(pair, 16), ql.design_lloyd_max(pair, 16, weighted=True)
    assert ql.exact_mse(pair, *best).nmse < ql.exact_mse(pair, *start).nmse
    measured = ql.measure_designs(pair, {"closed_form": start}, 256, m=16, n=16, trials=4)
    assert np.isfinite(measured["closed_form"].nmse)
