"""nmse does not depend on the units of X and Y: from 1e-300 to 1e300, for laws and matrices."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql

LAWS = {
    "gaussian": lambda x, y: ql.GaussianPair(0.8, x, y),
    "student_t": lambda x, y: ql.StudentTPair(0.7, 6.0, x, y),
    "laplace": lambda x, y: ql.LaplacePair(-0.6, x, y),
    "mixture": lambda x, y: ql.GaussianMixturePair(0.5, sigma_x=x, sigma_y=y),
    "intermittent": lambda x, y: ql.IntermittentPair(0.3, sigma_x=x, sigma_y=y),
    "uniform_copula": lambda x, y: ql.UniformCopulaPair(0.4, x, y),
}
DESIGNS = {
    "lloyd_max": lambda pair: ql.design_lloyd_max(pair, 8),
    "weighted": lambda pair: ql.design_lloyd_max(pair, 8, weighted=True),
    "closed_form": lambda pair: ql.design_companding(pair, 8),
    "bilinear": lambda pair: ql.design_bilinear(pair, 4, 16),
}
SIZES = [(1e150, 1e150), (1e-150, 1e-150), (1e300, 1e300), (1e-300, 1e-300), (1e-310, 1.0),
         (1e300, 1e-300), (3.0, 0.25)]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("design", DESIGNS)
def test_laws_and_designs(law, design):
    unit = LAWS[law](1.0, 1.0)
    books = DESIGNS[design](unit)
    expected = ql.exact_mse(unit, *books, 16)
    for sizes in SIZES:
        pair = LAWS[law](*sizes)
        own = DESIGNS[design](pair)
        for book, of_unit, size in zip(own, books, sizes, strict=True):
            # far thresholds of Student-t are known to less; subnormal numbers have fewer digits
            assert_allclose(book.centers / size, of_unit.centers, rtol=1e-5, atol=1e-6)
        found = ql.exact_mse(pair, *own, 16)
        assert_allclose(found.nmse, expected.nmse, rtol=1e-8)
        assert_allclose(found.nmse_with_gain, expected.nmse_with_gain, rtol=1e-8)
        measured = ql.measure(pair, *own, 16, m=8, n=8, trials=3)
        assert_allclose(measured.nmse, ql.measure(unit, *books, 16, m=8, n=8, trials=3).nmse, 1e-3)
        density = ql.PointDensity.optimal(pair)
        assert_allclose(density.ppf([0.1, 0.7]), ql.PointDensity.optimal(unit).ppf([0.1, 0.7]))


@pytest.mark.parametrize("rounding", ["nearest", "feedback"])
@pytest.mark.parametrize("law", LAWS)
def test_the_law_of_many_levels_has_the_unit_of_the_product_squared(law, rounding):
    unit, pair = LAWS[law](1.0, 1.0), LAWS[law](1e-150, 1e120)
    for weighted in (True, False):
        expected, found = (
            ql.asymptotic_mse(each, 8, 16, weighted=weighted, rounding=rounding)
            for each in (unit, pair)
        )
        assert_allclose(found, expected * 1e-60, rtol=1e-9)
    far = LAWS[law](1e300, 1e300)
    assert ql.asymptotic_mse(far, 8, 16, rounding=rounding) == np.inf
    assert ql.exact_mse(far, *ql.design_companding(far, 8)).mse == np.inf


def test_powers_of_two_change_no_digit():
    near, far = ql.GaussianPair(0.7, 1.25, 1.5), ql.GaussianPair(0.7, 1.25 * 2.0**300, 1.5)
    books, others = ql.design_bilinear(near, 5, 16), ql.design_bilinear(far, 5, 16)
    assert_array_equal(books[0].centers, others[0].centers / 2.0**300)
    assert ql.exact_mse(near, *books, 16).nmse == ql.exact_mse(far, *others, 16).nmse


RNG = np.random.default_rng(5)
SHARED = RNG.normal(size=16)
A = (RNG.normal(size=(60, 16)) + SHARED) * np.geomspace(1, 4, 16)
B = RNG.normal(size=(16, 50)) + SHARED[:, None]


@pytest.mark.parametrize(
    ("x", "y", "dtype"),
    [
        (2.0**500, 2.0**500, np.float64), (2.0**-500, 2.0**-500, np.float64),
        (2.0**990, 2.0**990, np.float64), (2.0**-990, 2.0**-990, np.float64),
        (2.0**990, 2.0**-990, np.float64), (2.0**98, 2.0**90, np.float32),
        (2.0**-70, 2.0**-99, np.float32),
    ],
)  # fmt: skip
def test_matrices(x, y, dtype):
    near = A.astype(dtype), B.astype(dtype)
    far = (A * x).astype(dtype), (B * y).astype(dtype)
    reports = [ql.design_report(pair, 4, groups=(8,)) for pair in (near, far)]
    assert len(reports[0].rows) >= 15
    for row in reports[0].rows:
        assert_allclose(reports[1][row.design].measured_nmse, row.measured_nmse, rtol=0.02)
    held = [ql.design_report(pair, 4, held_out=[pair])["scheme"].nmse for pair in (near, far)]
    assert_allclose(*held, rtol=1e-3)
    assert_allclose(*[ql.balance(pair).ratio for pair in (near, far)], rtol=1e-9)
    assert_allclose(*[ql.limit_nmse(pair, 4) for pair in (near, far)], rtol=1e-9)
    assert_allclose(*[ql.EmpiricalPair(*pair).gaussian().rho for pair in (near, far)], rtol=1e-9)
    books = [ql.design_empirical(pair, 8) for pair in (near, far)]
    assert_allclose(books[1][0].centers, books[0][0].centers * x, rtol=1e-5)
    assert_allclose(books[1][1].centers, books[0][1].centers * y, rtol=1e-5)


def test_a_balanced_basis_is_used_in_the_matrices_own_units():
    far = A * 2.0**300, B * 2.0**-201
    basis = ql.balance(far)
    left, right = basis.apply(*far)
    assert_allclose(np.std(left), np.std(right), rtol=0.3)
    assert_allclose(left @ right, far[0] @ far[1], rtol=1e-9, atol=1e-9 * 2.0**99)


@pytest.mark.parametrize("lengths", ["fixed", "entropy"])
def test_a_scheme_codes_what_comes_later_in_the_same_unit(lengths, tmp_path):
    far = A * 2.0**300, B * 2.0**-290
    scheme, near = (ql.design_scheme(pair, 4, lengths=lengths) for pair in (far, (A, B)))
    assert_allclose(scheme.predicted_nmse, near.predicted_nmse, rtol=1e-6)
    scheme.save(tmp_path / "scheme.safetensors")
    for each in (scheme, ql.Scheme.load(tmp_path / "scheme.safetensors")):
        a, b = each.encode(far[0], "x"), each.encode(far[1], "y")
        expected = near.encode(A, "x") @ near.encode(B, "y")
        assert_allclose(a @ b, expected * 2.0**10, rtol=1e-4, atol=1)
        assert_allclose(
            np.asarray(a, np.float64), near.encode(A, "x").decode(float) * 2.0**300, rtol=1e-5
        )
