"""Measured error: against the definition, against the asymptotic law, and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.measure import MeasuredError
from tests import oracle


def test_one_trial_is_the_definition() -> None:
    pair = ql.GaussianPair(rho=-0.6, sigma_x=2.0, sigma_y=0.5)
    cb_x, cb_y = ql.design_companding(pair, (7, 16))
    (row,) = ql.measure_trials(
        pair, {"": (cb_x, cb_y)}, 31, m=5, n=9, trials=1, rng=3, backend="reference"
    )
    a, b = pair.sample_matrices(5, 31, 9, np.random.default_rng([3, 0]))
    exact = a.astype(float) @ b.astype(float)
    naive = np.mean((exact - cb_x.quantize(a) @ cb_y.quantize(b)) ** 2) / pair.energy(31)
    # float32 data and one rounding of the product
    assert_allclose(row, [naive], rtol=1e-4)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_the_asymptotic_law_at_128_levels(rho: float) -> None:
    """Issue: measured over asymptotic error within 3 % at K = 128, k = 1."""
    pair = ql.GaussianPair(rho)
    books = ql.design_companding(pair, 128)
    measured = ql.measure(pair, *books, inner_dim=1, m=48, n=48, trials=6000, rng=1)
    assert_allclose(measured.mse, ql.asymptotic_mse(pair, 128, inner_dim=1), rtol=0.03)


def test_error_falls_by_the_factor_of_theory() -> None:
    pair = ql.GaussianPair(rho=0.3)
    designs = {str(k): ql.design_companding(pair, k) for k in (32, 128)}
    measured = ql.measure_designs(pair, designs, inner_dim=4, m=64, n=64, trials=400)
    # 16 in the limit; companding at K = 32 is 4 % above its asymptote
    assert 14.5 < measured["32"].nmse / measured["128"].nmse < 17.0


def test_the_interval_covers_at_its_level() -> None:
    """Of 400 intervals over normal trials about 95 % hold the true mean (3 sigma: 3.3 %)."""
    rng = np.random.default_rng(0)
    intervals = [MeasuredError.from_trials(rng.normal(1.0, 0.3, 12), 2.0, {}) for _ in range(400)]
    covered = np.mean([r.low < 1.0 < r.high for r in intervals])
    assert abs(covered - 0.95) < 0.033
    assert_allclose([r.mse for r in intervals], [2 * r.nmse for r in intervals], rtol=1e-15)


def test_a_measurement_repeats_and_a_trial_does_not_depend_on_their_number() -> None:
    pair = ql.GaussianPair(rho=0.7)
    books = ql.design_companding(pair, 8)
    few = ql.measure(pair, *books, 16, m=8, n=8, trials=3, rng=5)
    many = ql.measure(pair, *books, 16, m=8, n=8, trials=6, rng=5)
    other = ql.measure(pair, *books, 16, m=8, n=8, trials=3, rng=6)
    np.testing.assert_array_equal(few.per_trial, many.per_trial[:3])
    assert not np.array_equal(few.per_trial, other.per_trial)
    assert few.settings["rng"] == 5
    assert few.settings["inner_dim"] == 16


def test_designs_are_compared_on_the_same_matrices() -> None:
    pair = ql.GaussianPair(rho=0.7)
    books = ql.design_companding(pair, 8)
    both = ql.measure_designs(pair, {"one": books, "two": books}, 16, m=8, n=8, trials=3)
    np.testing.assert_array_equal(both["one"].per_trial, both["two"].per_trial)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"trials": 1}, ValueError, "trials must be at least 2; got 1"),
        ({"inner_dim": 0}, ValueError, "inner_dim must be at least 1; got 0"),
        ({"m": 2.5}, TypeError, "m must be an integer; got float 2.5"),
        ({"rng": -1}, ValueError, "rng must be at least 0; got -1"),
        ({"backend": "abacus"}, ValueError, "backend"),
    ],
)
def test_bad_settings_say_what_is_wrong(change, error, message) -> None:
    pair = ql.GaussianPair(rho=0.7)
    settings = {"inner_dim": 4, "m": 2, "n": 2, "trials": 2} | change
    with pytest.raises(error, match=message):
        ql.measure(pair, *ql.design_companding(pair, 4), **settings)


def test_an_infinite_energy_is_refused() -> None:
    pair = ql.StudentTPair(rho=0.5, nu=3.0)
    books = ql.design_companding(ql.GaussianPair(0.5), 4)
    with pytest.raises(ValueError, match=r"must be finite; StudentTPair.* has inf"):
        ql.measure(pair, *books, 4, m=2, n=2, trials=2)


def test_one_trial_with_feedback_is_the_definition() -> None:
    """Each operand is steered by the other's moments and mean squared error, dear indices first."""
    pair = ql.GaussianPair(rho=-0.6, sigma_x=2.0, sigma_y=0.5)
    books = ql.design_companding(pair, (7, 16))
    (row,) = ql.measure_trials(
        pair, {"": books}, 12, m=20, n=9, trials=1, rng=3, backend="reference", rounding="feedback"
    )
    a, b = pair.sample_matrices(20, 12, 9, np.random.default_rng([3, 0]))
    decoded = []
    for rows, other, own, others in ((a, b.T, *books), (b.T, a, *books[::-1])):
        wide = other.astype(float)
        moment = wide.T @ wide / len(wide)
        moment += np.mean((others.quantize(other) - wide) ** 2) * np.eye(12)
        order = np.argsort(np.diag(moment))
        lower = np.linalg.cholesky(moment[np.ix_(order, order)])
        tables = [np.tile(t, (12, 1)) for t in (own.centers, own.thresholds)]
        codes = np.empty(rows.shape, int)
        upper = (lower / np.diag(lower)).T
        codes[:, order] = oracle.round_feedback(rows[:, order], upper, *tables)
        decoded.append(own.centers[codes])
    exact = a.astype(float) @ b.astype(float)
    naive = np.mean((exact - decoded[0] @ decoded[1].T) ** 2) / pair.energy(12)
    # float32 data and one rounding of the product
    assert_allclose(row, [naive], rtol=1e-4)


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_feedback_tends_to_its_law_and_the_plain_density_is_best(rho: float) -> None:
    pair = ql.GaussianPair(rho)
    designs = {name: ql.DESIGNS[name](pair, 64) for name in ("gaussian_compander", "closed_form")}
    measured = ql.measure_designs(pair, designs, 64, m=500, n=500, trials=40, rounding="feedback")
    law = ql.asymptotic_mse(pair, 64, 64, rounding="feedback")
    assert_allclose(measured["gaussian_compander"].mse, law, rtol=0.15)
    assert measured["gaussian_compander"].nmse < measured["closed_form"].nmse
    if rho == 0.7:
        assert measured["gaussian_compander"].nmse < 0.85 * measured["closed_form"].nmse


def test_feedback_at_the_size_of_the_paper() -> None:
    """128 x 256 x 128, rho 0.7, K = 16: half of the directions cost nothing."""
    pair = ql.GaussianPair(0.7)
    books = ql.design_lloyd_max(pair, 16)
    fed_back = ql.measure(pair, *books, 256, trials=4, rounding="feedback")
    best = ql.exact_mse(pair, *ql.design_bilinear(pair, 16, 256), 256)
    assert fed_back.per_trial.max() < 3.0e-5
    assert best.nmse > 8 * fed_back.nmse
    assert fed_back.settings["rounding"] == "feedback"


def test_a_rounding_that_does_not_exist() -> None:
    pair = ql.GaussianPair(0.5)
    with pytest.raises(ValueError, match='"nearest" or "feedback"; got \'stochastic\''):
        ql.measure(pair, *ql.design_companding(pair, 4), 4, trials=2, rounding="stochastic")


def test_settings_have_the_same_names_and_defaults_everywhere() -> None:
    pair = ql.GaussianPair(rho=0.7)
    books = ql.design_companding(pair, 4)
    one = ql.measure(pair, *books, 4, m=2, n=3, trials=2)
    several = ql.measure_designs(pair, {"": books}, 4, m=2, n=3, trials=2)[""]
    assert one.settings == several.settings
    assert one.settings == {
        "pair": repr(pair), "inner_dim": 4, "m": 2, "n": 3, "trials": 2, "rng": 0,
        "backend": "auto", "rounding": "nearest",
    }  # fmt: skip
    assert list(ql.measure_trials(pair, {"": books}, 4, m=2, n=3, trials=2)) == [
        [nmse] for nmse in one.per_trial
    ]
    for function in (ql.measure_designs, lambda *a, **kw: list(ql.measure_trials(*a, **kw))):
        with pytest.raises(TypeError, match="unexpected keyword 'trails'; there are m, n, trials"):
            function(pair, {"": books}, 4, trails=3)
