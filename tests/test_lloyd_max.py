"""design_lloyd_max: published tables, the optimality conditions, and plain Lloyd iteration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import quantlab as ql
from tests import oracle

# Max, "Quantizing for minimum distortion" (1960), Table I: positive centres, mean squared error
MAX_1960 = {
    2: ([0.7980], 0.3634),
    3: ([0.0, 1.224], 0.1902),
    4: ([0.4528, 1.510], 0.1175),
    8: ([0.2451, 0.7560, 1.344, 2.152], 0.03454),
    16: ([0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733], 0.009497),
}


@pytest.mark.parametrize("n_levels", MAX_1960)
def test_max_1960(n_levels):
    centers, error = MAX_1960[n_levels]
    pair = ql.GaussianPair(0.0, sigma_x=2.0)
    cb_x, _ = ql.design_lloyd_max(pair, n_levels)
    # half a unit of the table's fourth digit
    assert_allclose(cb_x.centers[n_levels // 2 :] / 2, centers, atol=5.1e-4)
    mass, first = pair.cell_moments(cb_x.thresholds)
    c = cb_x.centers
    assert_allclose(1 - np.sum(2 * c * first - c**2 * mass) / 4, error, rtol=5e-4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("n_levels", [2, 5, 16, 256])
def test_centres_are_centroids(rho, n_levels, weighted):
    pair = ql.GaussianPair(rho, sigma_x=3.0, sigma_y=0.1)
    for operand, book in zip(
        "xy", ql.design_lloyd_max(pair, n_levels, weighted=weighted), strict=True
    ):
        mass, first = pair.cell_moments(book.thresholds, operand, weighted=weighted)
        # about n_levels roundings of a centroid's own conditioning
        assert_allclose(first / mass, book.centers, atol=1e-12 * pair.sigma(operand))
        assert_allclose(book.centers, -book.centers[::-1], atol=1e-12 * pair.sigma(operand))


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_plain_lloyd_iteration(weighted):
    pair = ql.GaussianPair(0.8)
    cb_x, _ = ql.design_lloyd_max(pair, 6, weighted=weighted)
    start, _ = ql.design_companding(pair, 6)
    # the grid's step is 5e-5 and moves a centroid by a few of it
    assert_allclose(oracle.lloyd(pair, start.centers, weighted, 300), cb_x.centers, atol=3e-4)


def test_takes_few_steps_at_256_levels():
    cb_x, cb_y = ql.design_lloyd_max(ql.GaussianPair(0.95), (256, 7), weighted=True)
    assert cb_x.info["steps"] < 15
    assert (cb_x.n_levels, cb_y.n_levels) == (256, 7)


@given(
    rho=st.floats(-1, 1),
    n_levels=st.integers(2, 40),
    weighted=st.booleans(),
    law=st.sampled_from([ql.GaussianPair, ql.LaplacePair, ql.UniformCopulaPair]),
)
@settings(max_examples=40, derandomize=True)
def test_never_worse_than_its_start_and_symmetric(rho, n_levels, weighted, law):
    pair = law(rho)
    start, _ = ql.design_companding(pair, n_levels, weighted=weighted)
    book, _ = ql.design_lloyd_max(pair, n_levels, weighted=weighted)

    def explained(cb):
        mass, first = pair.cell_moments(cb.thresholds, weighted=weighted)
        return np.sum(cb.centers * (2 * first - cb.centers * mass))

    # both are sums of K terms of size 1
    assert explained(book) >= explained(start) - 1e-13
    assert_allclose(book.centers, -book.centers[::-1], atol=1e-12)


def test_rejects_one_level():
    with pytest.raises(ValueError, match="n_levels must be at least 2; got 1"):
        ql.design_lloyd_max(ql.GaussianPair(0.5), 1)


@pytest.mark.parametrize("nu", [4.05, 4.1, 4.3, 4.8, 5.0, 30.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_heavy_tails_converge(nu, weighted):
    """Near nu = 4 the compander's centres lie 1e34 deviations out, in cells without mass."""
    for rho in (0.8, -1.0):
        pair = ql.StudentTPair(rho, nu, 2.0, 0.5)
        for n_levels in (2, 3, 16, 17, 64, 256):
            book, _ = ql.design_lloyd_max(pair, n_levels, weighted=weighted)
            start, _ = ql.design_companding(pair, n_levels, weighted=weighted)
            c = book.centers

            def explained(c, pair=pair):
                mass, first = pair.cell_moments(0.5 * (c[1:] + c[:-1]), weighted=weighted)
                return np.sum(c * (2 * first - c * mass))

            mass, first = pair.cell_moments(book.thresholds, weighted=weighted)
            # K roundings, each of its own centre's size
            assert_allclose(first / mass, c, rtol=1e-12, atol=2e-12)
            assert explained(c) >= explained(start.centers) - 1e-13
            assert np.array_equal(c, -c[::-1])


def test_odd_numbers_of_levels_take_few_steps():
    """The symmetric codebook of an odd K is a saddle where f w has two peaks."""
    for pair in (ql.GaussianPair(1.0), ql.StudentTPair(1.0, 6.0)):
        for n_levels in (17, 255):
            book, _ = ql.design_lloyd_max(pair, n_levels, weighted=True)
            assert book.info["steps"] < 30


def test_cells_without_mass_are_named():
    class Narrow(ql.GaussianPair):
        def cell_moments(self, thresholds, operand="x", *, weighted=False):
            return 0 * super().cell_moments(thresholds, operand, weighted=weighted)

    with pytest.raises(ValueError, match="needs mass in every cell"):
        ql.design_lloyd_max(Narrow(0.5), 4)
