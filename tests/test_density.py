"""Point densities: normaliser, peaks, distribution function, and the codebooks made from them."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import beta
from scipy.stats import norm

import quantlab as ql
from quantlab import PointDensity, gaussian_normalizer, gaussian_peaks

RHOS = (0.0, 1e-12, 1e-5, 0.05, 0.29999, 0.3, 0.5, 3**-0.5, 0.8, 0.999, 1 - 1e-12, 1.0)


def l_star(u, rho):
    return np.exp(-u * u / 6) * np.cbrt(1 - rho**2 + (rho * u) ** 2)


@pytest.mark.parametrize("rho", RHOS)
def test_normalizer_equals_quadrature(rho):
    # scipy's quad, from the cusp at 0 outwards; beyond 30 nothing is left
    pieces = [0.0, 1e-6, 1e-3, 0.03, 0.3, 3.0, 30.0]
    value = 2 * sum(
        quad(l_star, a, b, args=(rho,), epsabs=0, epsrel=1e-13)[0] for a, b in pairwise(pieces)
    )
    assert_allclose(gaussian_normalizer(rho), value, rtol=2e-13)
    assert gaussian_normalizer(-rho) == gaussian_normalizer(rho)
    density = PointDensity.optimal(ql.GaussianPair(rho))
    assert_allclose(density.normalizer * (2 * np.pi) ** (1 / 6), value, rtol=2e-13)


@pytest.mark.parametrize(
    ("rho", "constant"),
    [(0.0, 2.7206990464), (0.5, 3.6480733757), (0.8, 4.3875891617), (1.0, 4.2164113871)],
)
def test_leading_constant_reference(rho, constant):
    closed = gaussian_normalizer(rho) ** 3 / (12 * np.sqrt(2 * np.pi))
    assert_allclose(closed, constant, atol=5.1e-11)  # printed to ten decimals
    assert_allclose(ql.leading_constant(ql.GaussianPair(rho)), closed, rtol=1e-13)
    scaled = ql.GaussianPair(-rho, sigma_x=3.0, sigma_y=0.5)
    for operand in ("x", "y"):
        assert_allclose(ql.leading_constant(scaled, operand), closed * 2.25, rtol=1e-13)


def test_leading_constant_of_another_density():
    for rho in (0.0, 0.5, 0.9):
        pair = ql.GaussianPair(rho, sigma_x=3.0, sigma_y=0.5)
        # (1/12) int f^(1/3) w (int f^(1/3))^2: f^(1/3) has variance 3, so w averages 1 + 2 rho^2
        plain = ql.leading_constant(pair, density=PointDensity.mse(pair))
        assert_allclose(plain, 2.25 * 2.720699046351327 * (1 + 2 * rho**2), rtol=1e-12)
        best = ql.leading_constant(pair, density=PointDensity.optimal(pair))
        assert_allclose(best, ql.leading_constant(pair), rtol=1e-12)
        assert best <= plain * (1 + 1e-12)


@pytest.mark.parametrize("nu", [8.2, 9.0, 30.0])
def test_leading_constant_with_power_tails(nu):
    pair = ql.StudentTPair(0.6, nu)
    # f = f(0) (1 + u^2 / m)^(-3p), w = a + b u^2: beta functions
    m, p = nu - 2, (nu + 1) / 6
    a, b = pair.weight([0.0, 1.0]) @ np.array([[1, -1], [0, 1]])
    level = np.sqrt(m) * beta(0.5, p - 0.5)
    square = m**1.5 * beta(1.5, p - 1.5)
    expected = pair.pdf(0.0) * level**2 * (a * level + b * square) / 12
    plain = ql.leading_constant(pair, density=PointDensity.mse(pair))
    # at nu = 8.2 the integrand falls as u^-1.07: most of it lies beyond any panel
    assert_allclose(plain, expected, rtol=1e-9)


def test_leading_constant_that_diverges():
    pair = ql.StudentTPair(0.6, 8.0)
    assert ql.leading_constant(pair, density=PointDensity.mse(pair)) == np.inf


def test_asymptotic_error_is_reached():
    pair = ql.GaussianPair(0.8, sigma_x=2.0)
    # the outermost cells are not fine yet; the plain density has fewer there, where w is large
    for weighted, tolerance in ((True, 0.01), (False, 0.03)):
        books = ql.design_companding(pair, (256, 200), weighted=weighted)
        exact = ql.exact_mse(pair, *books, inner_dim=1).mse
        law = ql.asymptotic_mse(pair, (256, 200), weighted=weighted)
        assert_allclose(law, exact, rtol=tolerance)
    assert ql.asymptotic_mse(pair, 16, 64) == 64 * ql.asymptotic_mse(pair, 16)


def test_transition_of_the_gaussian_peaks():
    assert gaussian_peaks(0.0) == (0.0,)
    assert gaussian_peaks(ql.CRITICAL_RHO) == (0.0,)
    low, high = gaussian_peaks(ql.CRITICAL_RHO + 1e-9)
    # 3 - 1/rho^2 = 2 * 3^1.5 * (rho - rho_c) + ...
    assert_allclose(high, np.sqrt(2 * 3**1.5 * 1e-9), rtol=1e-6)
    assert low == -high
    assert_allclose(gaussian_peaks(-1.0), (-np.sqrt(2), np.sqrt(2)), rtol=1e-15)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.7, -0.95])
def test_searched_modes_agree_with_the_closed_form(rho):
    known = PointDensity.optimal(ql.GaussianPair(rho))
    searched = PointDensity(known.unnormalized)
    # a maximum's place is known to the square root of rounding
    assert_allclose(searched.modes, known.modes, atol=1e-6)


PAIRS = (
    ql.GaussianPair(0.0),
    ql.GaussianPair(0.8, sigma_x=3.0),
    ql.GaussianPair(1.0),
    ql.LaplacePair(0.9),
    ql.StudentTPair(0.6, 5.0),
    ql.UniformCopulaPair(0.5, sigma_x=0.2),
)


@pytest.mark.parametrize("pair", PAIRS, ids=repr)
def test_distribution_function_and_its_inverse(pair):
    for density in (PointDensity.optimal(pair), PointDensity.mse(pair)):
        p = np.array([1e-9, 0.003, 0.2, 0.49, 0.5, 0.77, 0.999, 1 - 1e-9])
        u = density.ppf(p)
        assert np.all(np.diff(u) > 0)
        assert_allclose(density.cdf(u), p, atol=1e-13)
        middle = density.ppf([0.2, 0.77])
        area, _ = quad(density, *middle, points=[0.0], epsabs=1e-13)
        assert_allclose(area, 0.57, atol=1e-11)
        low, high = density.support
        assert_allclose(density.cdf([max(low, -1e300), min(high, 1e300)]), [0, 1], atol=1e-15)
        # symmetric about 0; the cusp at |rho| = 1 makes the median's place uncertain to eps^(3/5)
        assert_allclose(u[[1, 4]], -density.ppf(1 - p[[1, 4]]), atol=1e-8)


def test_density_vanishes_off_its_support():
    density = PointDensity.optimal(ql.UniformCopulaPair(0.5))
    assert density(1.8) == 0.0
    assert density(1.7) > 0.0


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, np.nan])
def test_ppf_rejects_what_is_not_inside_0_1(p):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        PointDensity.mse(ql.GaussianPair(0.0)).ppf([0.5, p])


@pytest.mark.parametrize("rho", [1.5, np.nan, np.inf])
def test_bad_correlations(rho):
    for call in (gaussian_normalizer, gaussian_peaks, ql.GaussianPair):
        with pytest.raises(ValueError, match="rho"):
            call(rho)


@pytest.mark.parametrize("values", [np.zeros_like, lambda u: np.full_like(u, np.nan)])
def test_a_density_without_mass(values):
    with pytest.raises(ValueError, match="finite positive integral"):
        PointDensity(values).cdf(0.0)


@pytest.mark.parametrize("rho", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("n_levels", [2, 5, 16, 256])
def test_companding_takes_equal_shares_of_the_density(rho, n_levels):
    pair = ql.GaussianPair(rho, sigma_x=3.0, sigma_y=0.5)
    for weighted in (True, False):
        make = PointDensity.optimal if weighted else PointDensity.mse
        for operand, book in zip(
            "xy", ql.design_companding(pair, n_levels, weighted=weighted), strict=True
        ):
            density = make(pair, operand)
            shares = density.cdf(book.centers / pair.sigma(operand))
            assert_allclose(shares, (np.arange(n_levels) + 0.5) / n_levels, atol=1e-13)
            midpoints = (book.centers[1:] + book.centers[:-1]) / 2
            assert_allclose(book.thresholds, midpoints, rtol=1e-15, atol=1e-15)


LAWS = [
    ql.GaussianPair(-0.7, 2.0, 0.5),
    ql.StudentTPair(0.7, nu=9),
    ql.LaplacePair(0.9),
    ql.GaussianMixturePair(0.4),
    ql.IntermittentPair(0.3, 0.5),
    ql.UniformCopulaPair(-0.8, 2.0, 0.5),
]


@pytest.mark.parametrize("pair", LAWS, ids=lambda pair: type(pair).__name__)
def test_feedback_leaves_what_is_not_shared(pair):
    """E of the weight is (1 - |rho|) sigma^2 for every law; for elliptical ones the weight is that
    of no correlation times 1 - |rho|."""
    for operand, other in (("x", "y"), ("y", "x")):
        sigma = pair.sigma(operand)
        low, high = (np.clip(end, -40 * sigma, 40 * sigma) for end in pair.support(operand))
        mean = sum(
            quad(lambda x: pair.pdf(x, operand) * pair.feedback_weight(x, operand), *ends)[0]  # noqa: B023
            for ends in ((low, 0), (0, high))
        )
        assert_allclose(mean, (1 - abs(pair.rho)) * pair.sigma(other) ** 2, rtol=1e-6)
        if isinstance(pair, ql.pairs.EllipticalPair):
            x = np.linspace(-3, 3, 7) * sigma
            alone = dataclasses.replace(pair, rho=0.0).weight(x, operand)
            assert_allclose(
                pair.feedback_weight(x, operand), (1 - abs(pair.rho)) * alone, rtol=1e-9
            )  # Laplace: its singularity at 0


def test_feedback_weight_of_uniform_entries_is_the_mean_conditional_variance():
    """Var(Y | z) given X = x, with z the shared normal: sums over fine grids of both."""
    pair = ql.UniformCopulaPair(0.6, 1.0, 2.0)
    r = pair.copula_rho

    step = 0.02
    h = np.arange(-9, 9, step)
    mass = step * norm.pdf(h)

    def variance(z):
        y = 2 * np.sqrt(3) * (2 * norm.cdf(np.sqrt(r) * z + np.sqrt(1 - r) * h) - 1)
        return mass @ y**2 - (mass @ y) ** 2

    for x in (0.0, 1.0, -1.7):
        z = r * norm.ppf((x / np.sqrt(3) + 1) / 2) / np.sqrt(r) + np.sqrt(1 - r) * h
        expected = mass @ [variance(value) for value in z]
        assert_allclose(pair.feedback_weight(x), expected, rtol=1e-9)


def test_with_feedback_no_law_but_a_flat_one_splits_and_correlation_helps():
    """The paper's transition is one of nearest rounding."""
    for pair in LAWS[:5]:
        assert PointDensity.optimal(pair, "x", "feedback").modes == (0.0,)
    plain = ql.leading_constant(ql.GaussianPair(0.0))
    for rho in (0.0, 0.3, -0.7, 0.95, 1.0):
        pair = ql.GaussianPair(rho, 2.0, 0.5)
        constant = ql.leading_constant(pair, rounding="feedback")
        assert_allclose(constant, (1 - abs(rho)) * plain, rtol=1e-9, atol=1e-15)
        law = ql.asymptotic_mse(pair, (16, 8), 64, rounding="feedback")
        assert_allclose(law, 64 * constant * (1 / 16**2 + 1 / 8**2), rtol=1e-12)
        same = ql.leading_constant(pair, "x", PointDensity.mse(pair), "feedback")
        assert_allclose(same, constant, rtol=1e-9, atol=1e-15)  # the plain density is the best
        split = ql.leading_constant(pair, "x", PointDensity.optimal(pair), "feedback")
        assert split >= constant * (1 - 1e-9)
    u = np.linspace(-3, 3, 13)
    at_the_line = PointDensity.optimal(ql.GaussianPair(1.0), "x", "feedback")
    assert_allclose(at_the_line(u), PointDensity.mse(ql.GaussianPair(1.0))(u), rtol=1e-9)


def test_two_matrices_have_no_feedback_weight():
    pair = ql.EmpiricalPair(np.eye(3), np.ones((3, 2)))
    with pytest.raises(NotImplementedError, match="EmpiricalPair defines no feedback_weight"):
        PointDensity.optimal(pair, "x", "feedback")(0.0)
    with pytest.raises(ValueError, match='rounding must be "nearest" or "feedback"; got \'floor\''):
        PointDensity.optimal(ql.GaussianPair(0.5), "x", "floor")


def test_modes_at_the_ends_of_the_support_and_of_a_plateau():
    for sign in (-1.0, 1.0):  # a peak at one end, where no neighbour is beyond it
        density = PointDensity(lambda u, sign=sign: np.exp(sign * u), support=(0.0, 1.0))
        assert_allclose(density.modes, (float(sign > 0),), atol=1e-5)
    flat = PointDensity(np.ones_like, support=(0.0, 1.0))
    assert len(flat.modes) == 1, "a plateau counts once"
