"""Whether a Gaussian law may be trusted for two matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

import quantlab as ql
from quantlab.reading import _distance


def test_the_law_trusts_its_own_samples_about_as_often_as_it_says() -> None:
    pair = ql.GaussianPair(0.7, 2.0, 0.1)
    readings = [
        ql.gaussian_reading(pair.sample_matrices(48, 64, 48, rng=seed), trials=19, rng=seed)
        for seed in range(8)
    ]
    # one criterion rejects 1 in 10 and the other 1 in 20: 6.8 of 8 in the mean, of deviation 1
    assert sum(reading.trusted for reading in readings) >= 5
    assert np.mean([reading.ratio for reading in readings]) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    "pair", [ql.StudentTPair(0.7, nu=5), ql.LaplacePair(0.7)], ids=["Student t", "Laplace"]
)
def test_other_laws_are_told_apart(pair: ql.Pair) -> None:
    assert not ql.gaussian_reading(pair.sample_matrices(200, 128, 200, rng=1)).trusted


def test_the_numbers_are_those_of_their_definitions() -> None:
    one = ql.data.gallery()["el_nino"]
    reading = ql.gaussian_reading(one.calibration, 3, held_out=[one.held_out], trials=3)
    pair = ql.EmpiricalPair(*one.calibration)
    books = ql.design_companding(pair.gaussian(), 8)
    assert reading.predicted == pytest.approx(ql.exact_mse(pair.gaussian(), *books, 60).nmse)
    a, b = (x.astype(float) for x in one.held_out)
    error = np.square(a @ b - books[0](a) @ books[1](b)).sum() / np.square(a @ b).sum()
    assert reading.measured == pytest.approx(error, rel=1e-9)
    expected = max(
        kstest(x.ravel() / sigma, "norm").statistic
        for x, sigma in ((a, pair.gaussian().sigma_x), (b, pair.gaussian().sigma_y))
    )
    assert reading.distance == pytest.approx(expected, rel=1e-9)
    assert f"{reading.ratio:.2f} times as much" in str(reading)


def test_the_distance_is_kolmogorovs_on_both_sides() -> None:
    for side in (1, -1):
        values = side * np.random.default_rng(0).exponential(size=50)
        assert _distance(values, 2.0) == pytest.approx(kstest(values / 2, "norm").statistic)


def test_units_do_not_matter() -> None:
    a, b = ql.GaussianPair(0.8).sample_matrices(20, 30, 20)
    plain = ql.gaussian_reading((a, b), trials=3)
    small = ql.gaussian_reading((a.astype(float) * 2.0**-900, b * 2.0**60), trials=3)
    assert small.ratio == pytest.approx(plain.ratio, rel=1e-6)
    assert small.usual == pytest.approx(plain.usual, rel=1e-6)


def test_what_cannot_be_read_is_refused() -> None:
    a, b = ql.GaussianPair(0.8).sample_matrices(4, 8, 4)
    with pytest.raises(ValueError, match="at least one pair"):
        ql.gaussian_reading((a, b), held_out=[])
    with pytest.raises(ValueError, match="bits must be at most 8"):
        ql.gaussian_reading((a, b), 9)
    with pytest.raises(ValueError, match="not zero everywhere"):
        ql.gaussian_reading((a, b), held_out=[(0 * a, b)])
