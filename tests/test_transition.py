"""Where the optimum splits: universality, laws for which it moves, and finite K."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql

ELLIPTICAL = {
    "gaussian": ql.GaussianPair,
    "t4.1": lambda rho: ql.StudentTPair(rho, 4.1),
    "t5": lambda rho: ql.StudentTPair(rho, 5.0, sigma_x=3.0),
    "t1000": lambda rho: ql.StudentTPair(rho, 1000.0),
    "laplace": lambda rho: ql.LaplacePair(rho, sigma_y=0.1),
    "mixture": lambda rho: ql.GaussianMixturePair(rho, (1, 4, 30), (0.6, 0.3, 0.1)),
}


@pytest.mark.parametrize("family", ELLIPTICAL.values(), ids=ELLIPTICAL)
@pytest.mark.parametrize("operand", ["x", "y"])
def test_universal_for_elliptical_laws(family, operand):
    # extrapolated from distances of 1/8 to 1/256 of a standard deviation
    assert_allclose(ql.critical_rho(family, operand), 1 / np.sqrt(3), atol=1e-8)


@pytest.mark.parametrize("share", [0.4, 0.5, 0.8, 1.0])
def test_moves_for_an_intermittent_law(share):
    found = ql.critical_rho(lambda rho: ql.IntermittentPair(rho, share))
    assert_allclose(found, np.sqrt(share / 3), atol=1e-8)


def test_never_comes_for_a_rarely_correlated_law():
    # sqrt(0.3 / 3) = 0.316 exceeds the largest correlation, 0.3
    assert np.isnan(ql.critical_rho(lambda rho: ql.IntermittentPair(rho, 0.3)))


def test_is_at_zero_for_the_uniform_copula():
    assert ql.critical_rho(ql.UniformCopulaPair) == 0.0
    middle, end = ql.PointDensity.optimal(ql.UniformCopulaPair(0.05))([0.0, 1.73])
    assert end > middle


def test_both_sides_of_the_transition():
    for name, family in ELLIPTICAL.items():
        for rho, bends_up in ((0.5765, False), (0.5785, True)):
            middle, beside = ql.PointDensity.optimal(family(rho))([0.0, 0.01])
            assert (beside > middle) == bends_up, name


def test_worst_correlation():
    rho = ql.worst_rho()
    assert_allclose(rho, 0.90872, atol=5.1e-6)  # printed to five decimals
    worst = ql.leading_constant(ql.GaussianPair(rho))
    assert_allclose(worst, 4.49802, atol=5.1e-6)
    for other in (rho - 1e-3, rho + 1e-3):
        assert ql.leading_constant(ql.GaussianPair(other)) < worst


@pytest.mark.parametrize(("n_levels", "following"), [(8, 16), (9, 17)])
@pytest.mark.parametrize("inner_dim", [1, 256])
def test_finite_codebooks_split_later_and_tend_to_the_limit(n_levels, following, inner_dim):
    late = ql.finite_size_critical_rho(n_levels, inner_dim) - ql.CRITICAL_RHO
    later = ql.finite_size_critical_rho(following, inner_dim) - ql.CRITICAL_RHO
    assert 0 < later < 0.5 * late


def test_finite_codebook_at_its_own_transition():
    rho = ql.finite_size_critical_rho(10, 64)
    gaps = [
        np.diff(ql.design_bilinear(ql.GaussianPair(r), 10, 64)[0].centers)[4:6]
        for r in (rho - 1e-3, rho, rho + 1e-3)
    ]
    assert gaps[0][0] < gaps[0][1]
    assert_allclose(*gaps[1], rtol=1e-6)  # brentq's tolerance in rho
    assert gaps[2][0] > gaps[2][1]


def test_four_levels_may_never_split():
    assert np.isnan(ql.finite_size_critical_rho(4, 1))


def test_rejects_too_few_levels():
    with pytest.raises(ValueError, match="n_levels must be at least 4; got 3"):
        ql.finite_size_critical_rho(3)
    with pytest.raises(ValueError, match='operand must be "x" or "y"'):
        ql.critical_rho(ql.GaussianPair, "z")
