"""The pictures that need no server show what the package computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from bokeh.models import Column, CustomJS, Slider
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab.dashboard.explorers.density import density_explorer
from quantlab.dashboard.explorers.gain import gain_explorer
from quantlab.dashboard.explorers.grids import grid_explorer
from quantlab.dashboard.explorers.heads import head_explorer
from quantlab.dashboard.explorers.ladder import ladder_explorer
from quantlab.dashboard.explorers.splitting import splitting_explorer
from quantlab.dashboard.explorers.weights import weight_explorer
from quantlab.data import load_attention

PAIR = ql.GaussianPair(0.95)
BOOKS = ql.design_companding(PAIR, 4)


def states(picture: Column) -> list[dict]:
    slider = picture.select_one({"type": Slider})
    (step,) = (js for js in slider.js_property_callbacks["change:value"] if type(js) is CustomJS)
    states = step.args["states"]
    assert len(states) == round((slider.end - slider.start) / slider.step) + 1
    drawn = states[round((slider.value - slider.start) / slider.step)]
    assert picture.children[1].title.text == drawn["title"]
    for source in step.args["sources"]:
        for name, values in drawn[source.name].items():
            assert_array_equal(source.data[name], values)
    return states


def test_weights_are_the_pairs_own() -> None:
    picture = weight_explorer(rho=0.6)
    u = picture.select_one({"name": "line"}).data["u"]
    for i, state in enumerate(states(picture)):
        pair = ql.GaussianPair(i / 50)
        assert_allclose(state["line"]["weight"], pair.weight(u), atol=1e-12)
        assert_allclose(state["line"]["cost"], pair.pdf(u) * pair.weight(u), atol=1e-12)
    assert picture.children[1].title.text == "ρ = 0.60: weight 0.64 at 0, 2.89 at 2.5"


def test_splitting_walks_along_the_exact_optimum() -> None:
    found = states(splitting_explorer(n_levels=4, inner_dim=16, rho=0.5))
    assert len(found) == 100
    for i in (0, 50, 98):
        x, y = ql.design_bilinear(ql.GaussianPair(i / 100), 4, 16, symmetric=True)
        for_a, for_b = (found[i]["centers"][side] for side in "ab")
        assert_allclose(sorted([*for_a, *for_b]), sorted([*x.centers, *y.centers]), rtol=1e-9)
        assert_allclose(found[i]["gaps"]["inner"], 2 * for_a[2])
        assert_allclose(found[i]["gaps"]["outer"], for_a[3] - for_a[2])
    assert np.all([state["centers"]["b"][-1] >= state["centers"]["a"][-1] for state in found])


def test_splitting_says_when_the_codebook_has_split() -> None:
    titles = [state["title"] for state in states(splitting_explorer(8, 256))]
    critical = ql.finite_size_critical_rho(8, 256)
    assert "split" not in titles[int(100 * critical)]
    assert "split" in titles[int(100 * critical) + 1]
    with pytest.raises(ValueError, match="even"):
        splitting_explorer(5)


def test_gain_shows_the_exact_error_at_every_length() -> None:
    picture = gain_explorer(PAIR, *BOOKS, log2_k=12)
    gains = picture.select_one({"name": "curve"}).data["gain"]
    found = states(picture)
    for log2_k in (0, 6, 14):
        k, state = 2**log2_k, found[log2_k]
        report = ql.exact_mse(PAIR, *BOOKS, inner_dim=k)
        assert_allclose(state["points"]["gain"], [1, report.gain])
        assert_allclose(state["points"]["nmse"], [report.nmse, report.nmse_with_gain])
        for i in (0, 100, 300):
            scaled = ql.exact_mse(PAIR, BOOKS[0].scaled(gains[i]), BOOKS[1], inner_dim=k)
            curve = {name: values[i] for name, values in state["curve"].items()}
            # the floor that the log axis needs is 1e-9
            assert_allclose(curve["nmse"], scaled.nmse, rtol=1e-9, atol=2e-9)
            assert_allclose(curve["variance"], scaled.variance / PAIR.energy(k), rtol=1e-9)
    assert found[12]["title"].splitlines() == [
        "k = 4096: error 4.4e-02, 100 % of it bias",
        "with gain 0.827: 1.8e-04",
    ]


def test_heads_show_their_own_weight_and_centres() -> None:
    heads = [load_attention().head(2, 3), load_attention().head(2, 5)]
    picture = head_explorer(heads, start=1)
    u = picture.select_one({"name": "curve"}).data["u"]
    for head, state in zip(heads, states(picture), strict=True):
        pair = ql.EmpiricalPair(*head.calibration_pair())
        best, _ = ql.design_empirical(pair, 16, smoothing="auto")
        assert_allclose(state["centers"]["best"], best.centers / pair.sigma_x)
        assert f"head {head.head}: ρ = {pair.rho:.2f}" in state["title"]
        seen = ~np.isnan(state["curve"]["weight"])
        weight = pair.weight(u * pair.sigma_x) / pair.column_weight.mean()
        assert 0.4 < seen.mean() < 0.9
        assert_allclose(state["curve"]["weight"][seen], weight[seen], rtol=1e-6)
        assert_allclose(np.trapezoid(state["curve"]["pdf"], u), 1, atol=1e-3)


def test_grids_show_their_places_and_shares() -> None:
    centers = BOOKS[0].centers
    grids = {m: np.round(centers * m) / m for m in (2, 3, 8)}
    picture = grid_explorer(centers, grids, {2: 0.5, 3: 0.25, 8: 0.0123}, start=1)
    found = states(picture)
    for state, grid in zip(found, grids.values(), strict=True):
        assert_array_equal(state["grid"]["x"], grid)
    assert found[2]["title"] == "M = 8: the grid adds 1.23% to the error"
    assert picture.select_one({"type": Slider}).format.args["sizes"] == [2, 3, 8]


@pytest.mark.parametrize(
    "make",
    [
        lambda: weight_explorer(rho=2.0),
        lambda: splitting_explorer(4, 1, rho=2.0),
        lambda: gain_explorer(PAIR, *BOOKS, log2_k=15),
        lambda: head_explorer([load_attention().head(0, 0)], start=1),
        lambda: grid_explorer(BOOKS[0].centers, {2: BOOKS[0].centers}, {2: 0.0}, start=1),
    ],
    ids=["weights", "splitting", "gain", "heads", "grids"],
)
def test_a_start_outside_the_slider_is_refused(make: Callable[[], Column]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()


def test_the_density_plays_only_when_asked() -> None:
    assert density_explorer(0.3).select_one({"name": "play"}) is None
    assert density_explorer(0.3, play=True).select_one({"name": "play"}).active is False


def test_ladder_shows_every_rung_and_the_limit_in_decibels() -> None:
    ladder = {2: {"one": 0.2, "other": 0.1}, 2.5: {"one": 0.1, "other": 1e-4}}
    picture = ladder_explorer(ladder, {2: 0.1, 2.5: 1e-5}, start=1)
    low, high = states(picture)
    assert_allclose(low["bars"]["dB"], [6.9897, 10], rtol=1e-5)
    assert_allclose(high["bars"]["dB"], [10, 40])
    assert low["limit"]["dB"] == [10, 10]
    assert high["limit"]["dB"] == [50, 50]
    assert low["title"] == "2 bits: other has nmse 1.0e-01, 0.0 dB over the limit, 1.0e-01"
    assert high["title"] == "2.5 bits: other has nmse 1.0e-04, 10.0 dB over the limit, 1.0e-05"
    with pytest.raises(ValueError, match="start must be at most 1; got 2"):
        ladder_explorer(ladder, {2: 0.1, 2.5: 1e-5}, start=2)
