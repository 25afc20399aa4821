"""The experiments: their numbers against naive formulas, exact theory and the paper's facts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.experiments.designs import codebooks, exact
from quantlab.experiments.finite_levels import closed_form_losses, constant_table, transition_table
from quantlab.experiments.least_squares import METHODS, least_squares_errors
from quantlab.experiments.matrix_product import product_errors, product_table, reduction
from quantlab.experiments.shared_factor import ConditionalError
from quantlab.experiments.statistics import Mean, chance_limit
from quantlab.sweep import Sweep


def test_a_trial_is_the_naive_formula() -> None:
    settings = {"rho": 0.7, "n_levels": (4, 5), "designs": ("nf4", "closed_form"), "m": 9, "k": 33}
    rows = product_errors(np.random.default_rng(3), **settings, n=17, batch=2)
    # nf4 exists at 16 levels only
    assert [(row["levels"], row["design"]) for row in rows] == [
        (4, "closed_form"), (4, "closed_form+gain"), (5, "closed_form"), (5, "closed_form+gain"),
    ]  # fmt: skip
    pair, rng = ql.GaussianPair(0.7), np.random.default_rng(3)
    matrices = [pair.sample_matrices(9, 33, 17, rng) for _ in range(2)]
    for row in rows:
        cb_x, cb_y = codebooks(pair, "closed_form", row["levels"], 33)
        gain = exact(pair, "closed_form", row["levels"], 33).gain if "+" in row["design"] else 1.0
        errors = [a @ b - gain * cb_x.quantize(a) @ cb_y.quantize(b) for a, b in matrices]
        nmse = np.mean([np.mean(e**2) for e in errors]) / pair.energy(33)
        relative = np.mean([
            np.linalg.norm(e) / np.linalg.norm(a @ b)
            for e, (a, b) in zip(errors, matrices, strict=True)
        ])  # fmt: skip
        # products in float32 of 33 terms
        assert_allclose([row["nmse"], row["relative"]], [nmse, relative], rtol=1e-5)


def test_measured_products_agree_with_exact_theory() -> None:
    grid = {"rho": [0.0, 0.7, 0.95], "n_levels": (4, 16), "m": 16, "n": 16, "batch": 2}
    table = product_table(Sweep(product_errors, grid, trials=40).run())
    assert len(table) == 3 * 2 * 5 * 2
    limit = chance_limit(len(table), 40)
    assert max(abs(row["deviations"]) for row in table) < limit
    # and the check can fail: the theory of another rho is far off
    other = exact(ql.GaussianPair(0.6), "closed_form", 16, 256).nmse
    own = [
        r["nmse"] for r in table if (r["rho"], r["levels"], r["design"]) == (0.7, 16, "closed_form")
    ]
    assert abs(own[0] / other - 1) > 0.05


@pytest.mark.parametrize(("rho", "gain"), [(-0.8, 1.0), (0.99, 1.07), (0.0, 0.9)])
def test_the_conditional_error_averages_to_the_exact_one(rho: float, gain: float) -> None:
    pair = ql.GaussianPair(rho, 2.0, 0.3)
    cb_x, cb_y = ql.design_lloyd_max(pair, (8, 5))
    found = ConditionalError(pair, cb_x, cb_y, gain)
    # the trapezoidal rule on analytic integrands, beside Owen's T
    for k in (1, 300):
        exact_error = ql.exact_mse(pair, cb_x.scaled(gain), cb_y, k).mse
        assert_allclose(found.mean(k), exact_error, rtol=1e-9)


def test_the_conditional_error_is_the_mean_given_the_shared_factor() -> None:
    pair, rng = ql.GaussianPair(-0.9), np.random.default_rng(0)
    cb_x, cb_y = ql.design_companding(pair, (4, 6))
    z = np.array([-2.9, 0.3, 1.1])
    x = np.sqrt(0.9) * z + np.sqrt(0.1) * rng.standard_normal((200_000, 3))
    y = -np.sqrt(0.9) * z + np.sqrt(0.1) * rng.standard_normal((200_000, 3))
    square = ((x * y - 1.1 * cb_x.quantize(x) * cb_y.quantize(y)).sum(axis=1)) ** 2
    mean = Mean.of(square)
    assert abs(mean.deviations_from(ConditionalError(pair, cb_x, cb_y, 1.1)(z))) < 4
    with pytest.raises(ValueError, match=r"must be at most 0.9999; got 1.0"):
        ConditionalError(ql.GaussianPair(1.0), cb_x, cb_y)


def test_at_full_correlation_only_the_plain_mean_is_there() -> None:
    grid = {"rho": [1.0, -1.0], "designs": ("closed_form",), "m": 4, "n": 4, "k": 16}
    table = product_table(Sweep(product_errors, grid, trials=30).run())
    assert all(row["plain"] == row["nmse"] for row in table)
    assert all(abs(row["deviations"]) < 4 for row in table)


def test_the_papers_reduction_at_four_bits() -> None:
    designs = ("gaussian_compander", "closed_form")
    rows = Sweep(product_errors, {"rho": [0.6, 0.7], "designs": designs}, trials=60).run()
    for rho, expected in ((0.6, 0.164), (0.7, 0.231)):  # THEORY 4, by equation (1)
        found = reduction(rows, "closed_form", "gaussian_compander", by="nmse", rho=rho)
        low, high = 1 - np.sqrt(1 - np.array([found.low, found.high]))
        assert low < expected < high
        assert high - low < 0.06


def test_mean_is_students() -> None:
    mean = Mean.of([1.0, 2.0, 4.0])
    # t_{2, 0.975} = 4.30265, deviation sqrt(7/3)
    assert_allclose(
        [mean.low, mean.high], 7 / 3 + np.array([-1, 1]) * 4.30265 * np.sqrt(7) / 3, 1e-5
    )
    assert_allclose(mean.deviations_from(1.0), (4 / 3) / (np.sqrt(7) / 3), rtol=1e-12)
    with pytest.raises(ValueError, match="at least 2 trials"):
        Mean.of([1.0])
    with pytest.raises(ValueError, match="must come in pairs"):
        Mean.reduction(np.ones(2), np.ones(3))


def test_a_reduction_is_paired() -> None:
    plain = np.random.default_rng(0).uniform(1, 2, 50)
    found = Mean.reduction(0.75 * plain, plain)
    assert_allclose([found.value, found.high - found.low], [0.25, 0.0], atol=1e-12)
    spread = Mean.reduction(plain[::-1], plain)
    trials = [
        1 - better.mean() / base.mean()
        for better, base in np.random.default_rng(1).uniform(1, 2, (4000, 2, 50))
    ]
    # the delta method's standard error against 4000 repetitions: 2 % by sampling, 5 % by its bias
    assert_allclose(spread.error, np.std(trials), rtol=0.25)


def test_the_constant_and_the_slope_are_reached() -> None:
    rows = constant_table([0.0, 0.8], [64, 128, 256])
    assert_allclose([row["ratio"] for row in rows if row["levels"] == 256], 1.0, atol=0.01)
    assert_allclose([r["slope"] for r in rows if "slope" in r], -2.0, atol=0.02)
    assert rows[0]["leading"] == pytest.approx(
        2 * ql.leading_constant(ql.GaussianPair(0.0)) / 64**2
    )


def test_codebooks_show_the_pitchfork() -> None:
    rows = transition_table([0.3, 0.55, 0.62, 0.8, 1.0], 512)
    for row in rows:
        # the peak is flat near the transition: neighbouring gaps tie to 1e-4
        assert row["densest"] == pytest.approx(row["peak"], abs=0.03)
    assert [row["middle"] > 1.001 for row in rows] == [False, False, True, True, True]


def test_the_closed_form_loses_where_its_bias_rules() -> None:
    (row,) = closed_form_losses([0.95], [4], [4096])
    assert row["ratio"] == pytest.approx(4.387e-2 / 3.463e-3, rel=1e-3)  # THEORY 8
    assert row["bias_share"] > 0.99
    assert row["ratio_with_gain"] < 1.1


@pytest.mark.parametrize("method", METHODS)
def test_least_squares_approaches_the_solution_as_levels_grow(method: str) -> None:
    settings = {"rho": 0.5, "method": method, "features": 2, "targets": 4, "steps": 40}
    designs = ("closed_form", "int_absmax", "empirical")
    coarse, fine = (
        least_squares_errors(np.random.default_rng(0), n_levels=k, designs=designs, **settings)
        for k in (8, 256)
    )
    for few, many in zip(coarse, fine, strict=True):
        assert few["floor"] == many["floor"] < 2e-3
        assert many["error"] < 0.2 * few["error"]


def test_least_squares_of_one_feature_is_the_products_error() -> None:
    rng, naive = np.random.default_rng(5), np.random.default_rng(5)
    (row,) = least_squares_errors(rng, 0.8, designs=["nf4"], targets=3, samples=64)
    x, y = ql.GaussianPair(0.8).sample_matrices(1, 64, 3, naive)
    cb_x, cb_y = ql.FORMATS["nf4"]((x, y), 16)
    best = x @ y / (x @ x.T)
    coded = cb_x.quantize(x) @ cb_y.quantize(y) / (x @ x.T)
    # float32 inputs and products
    assert row["error"] == pytest.approx(
        np.linalg.norm(coded - best) / np.linalg.norm(best), rel=1e-4
    )


def test_bad_settings() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"method must be one of .* got 'qr'"):
        least_squares_errors(rng, 0.5, method="qr")
    with pytest.raises(ValueError, match="rho must lie in"):
        least_squares_errors(rng, 1.0, features=2)
    with pytest.raises(ValueError, match=r"design must be one of .* got 'best'"):
        product_errors(rng, 0.5, designs=["best"])
    with pytest.raises(ValueError, match="nf4 does not exist at 8 levels"):
        codebooks(ql.GaussianPair(0.5), "nf4", 8, 256)
