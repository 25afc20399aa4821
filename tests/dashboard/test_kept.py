"""A kept setting beside the present one; pages that open on stored figures; keys for a lecture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.dashboard.pages.error import change_interval
from quantlab.dashboard.parts.lessons import TOUR
from quantlab.dashboard.parts.wording import scientific
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import DashboardState
from quantlab.dashboard.work.measurements import Point
from quantlab.dashboard.work.stored import stored_example, stored_speed, stored_wins
from quantlab.data import load_attention
from quantlab.experiments.ladder import head_ladder
from tests.dashboard.test_pages import A, B, upload
from tests.dashboard.waiting import until


def test_a_kept_setting_is_in_the_link_and_checked_like_one() -> None:
    state = DashboardState(rho=0.3, k_x=8)
    state.keep = state.setting()
    state.reset(rho=0.9)
    assert state.query() == "?rho=0.9&keep=rho:0.3,k_x:8"
    again = DashboardState()
    assert again.read_query({"keep": "rho:0.3,k_x:8"}) == []
    kept = again.kept_request()
    assert kept is not None
    assert (kept.problem.rho, kept.k_x, kept.k_y) == (0.3, 8, 8)
    assert kept.words == "ρ = 0.3, K = 8, k = 256, seed 0"
    for bad in ("rho:7", "page:error", "rho", "rho:0.3,,k_x:8"):
        assert len(again.read_query({"keep": bad})) == 1
    assert again.keep == "rho:0.3,k_x:8"


def test_the_interval_of_a_change_holds_what_it_says() -> None:
    rng = np.random.default_rng(0)

    def point(mean: float) -> Point:
        values = mean * (1 + 0.5 * rng.standard_normal(50))
        half = 1.96 * values.std(ddof=1) / np.sqrt(50)
        m = float(values.mean())
        return Point(m, m - half, m + half, 50, np.empty(0), np.empty(0))

    held = 0
    for _ in range(1000):
        share, low, high = change_interval(point(2.0), point(3.0))
        assert low < share < high
        held += low < 2 / 3 < high
    assert 0.93 < held / 1000 < 0.97


def test_what_is_kept_stands_beside_what_is_there_until_a_key_clears_it() -> None:
    session = Session({"rho": "0.3", "k_x": "8"})
    session._pressed("keep")
    assert session.controls.keep.label == "Clear kept"
    session.state.param.update(rho=0.9, k_x=4)
    page = session._pages["density"]
    until(lambda: page.errors.readout.text.count("data-kept") >= 4)
    ghost = page.density.ghost.data
    optimal = ql.PointDensity.optimal(ql.GaussianPair(0.3))
    assert_allclose(ghost["optimal"], optimal(ghost["u"]), rtol=1e-12)
    assert set(page.density.ghost_peaks.data["u"]) == {0.0}
    until(lambda: page.density.ghost_rug.data["u"])
    rug = page.density.ghost_rug.data
    plain = np.array(rug["u"])[np.array(rug["design"]) == "Plain"]
    assert_allclose(
        plain, ql.DESIGNS["gaussian_compander"](ql.GaussianPair(0.3), 8, 256)[0].centers
    )
    assert "Kept: ρ = 0.3, K = 8" in page.errors.status.text
    session._pressed("clear")
    until(lambda: "data-kept" not in page.errors.readout.text)
    assert len(page.density.ghost.data["u"]) == 0
    session.close()


@pytest.mark.parametrize("name", ["error", "codebooks"])
def test_curves_and_centres_of_the_kept_setting(name: str) -> None:
    session = Session({"page": name, "keep": "rho:0.3,k_x:8", "designs": "closed_form"})
    shown = session._pages[name]
    if name == "error":
        until(lambda: "kept, Closed form" in shown.curves.data["name"])
        at = shown.curves.data["name"].index("kept, Closed form")
        curve = dict(zip(shown.curves.data["x"][at], shown.curves.data["y"][at], strict=True))
        pair = ql.GaussianPair(0.3)
        books = ql.DESIGNS["closed_form"](pair, 8, 256)
        assert_allclose(curve[8], ql.exact_mse(pair, *books, 256).nmse)
        until(lambda: "Kept, ρ = 0.3" in shown.exact_text.text)
    else:
        until(lambda: len(shown.ghost.data["u"]) == 8)
        assert "kept, centre" in shown.table.text
        assert len(shown.board.ghost["y"]) == 8
    session.close()


def test_pictures_of_the_kept_setting() -> None:
    session = Session({"page": "error", "keep": "rho:0.3,k_x:8", "inner_dim": "64"})
    page = session._pages["error"]
    until(lambda: " Right, kept: " in page.image_texts[1].text)
    request = session.state.kept_request()
    assert request is not None
    error = np.asarray(page.kept_images[1].data["error"][0], np.float64)
    best, (_, nmse) = page._kept_found[1]
    assert_allclose(np.mean(error**2), nmse)
    books = ql.DESIGNS[best](ql.GaussianPair(0.3), 8, 256)
    assert 0.3 < nmse / ql.exact_mse(ql.GaussianPair(0.3), *books, 256).nmse < 3
    assert page.sides[0].end == 132
    until(lambda: '<th scope="col">kept</th>' in page.parts.text)
    books = ql.DESIGNS["closed_form"](ql.GaussianPair(0.8), 16, 64)
    exact = ql.exact_mse(ql.GaussianPair(0.8), *books, 64)
    share = exact.nmse / exact.mse
    row = next(row for row in page.parts.text.split("<tr") if 'data-part="closed_form"' in row)
    for part in (exact.variance * share, exact.bias * share, exact.nmse_with_gain):
        assert f"<td>{scientific(part)}</td>" in row
    kept = ql.DESIGNS["closed_form"](ql.GaussianPair(0.3), 8, 256)
    assert scientific(ql.exact_mse(ql.GaussianPair(0.3), *kept, 256).nmse) in row
    session.state.rho = 0.5
    assert page.sides[0].end == 132, "nothing moves with a slider"
    session._pressed("clear")
    until(lambda: page.sides[0].end == 64)
    assert "kept" not in page.image_texts[1].text
    session.close()


def test_a_kept_head_stands_beside_the_present_one() -> None:
    session = Session({"page": "attention", "keep": "layer:0,head:3", "designs": "closed_form"})
    page = session._pages["attention"]
    until(lambda: " Right, kept: layer 0, head 3, K = 16, Closed form" in page.coded_text.text)
    assert page.kept.data == {"layer": [0], "head": [3]}
    rungs = dict(zip(page.ladder.ghost.data["rung"], page.ladder.ghost.data["dB"], strict=True))
    head = load_attention().head(0, 3)
    made = head_ladder(head.calibration, head.held_out, 4, ["fitted"])["fitted"]
    assert_allclose(rungs["Data fit"], -10 * np.log10(made))
    assert page.kept_logits[0].data["logits"][0].shape == (48, 48)
    session._pressed("clear")
    until(lambda: len(page.kept.data["layer"]) == 0)
    assert len(page.ladder.ghost.data["dB"]) == 0
    assert "kept" not in page.coded_text.text
    session.close()


def test_keys_lead_through_the_tour() -> None:
    session = Session()
    session._pressed("next")
    assert session.state.tour == 0, "no tour, no stop"
    session.toolbar.go(1)
    session._pressed("back")
    assert session.state.tour == 1
    session._pressed("next")
    assert session.state.tour == 2
    card = session.toolbar._card
    card._guess.value = "at <b> 0.6"
    assert "<b>Guessed:</b> at &lt;b&gt; 0.6" in card._words.text
    session._pressed("next")
    assert "Guessed" not in card._words.text
    session._pressed("back")
    assert "at &lt;b&gt; 0.6" in card._words.text
    assert TOUR[1].title in card._words.text
    session.close()


def test_pages_open_on_stored_figures_that_ones_own_replace() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    until(lambda: "The shipped example" in page.verdict.text)
    a, b = load_attention().head(2, 6).calibration_pair()
    assert f"A is {a.shape[0]} × {a.shape[1]}" in page.look_text.text
    bits, _, rows = stored_example()
    assert page.table.text.count("<tr data-design") == len(rows)
    data = next(row for row in rows if row.design == "gaussian_compander")
    fresh = ql.DESIGNS["gaussian_compander"](ql.EmpiricalPair(a, b).gaussian(), 2**bits, a.shape[1])
    coded = ql.matmul(ql.encode(a, fresh[0]), ql.encode(b, fresh[1]), route="fp32")
    assert_allclose(
        np.mean((a @ b - coded) ** 2) / np.mean((a @ b) ** 2), data.measured_nmse, rtol=0.01
    )
    upload(page, "A", A)
    until(lambda: page.look_text.text == "Two matrices are needed.")
    assert page.table.text == ""
    upload(page, "B", B)
    until(lambda: "A is 96 × 64 and B 64 × 80" in page.look_text.text)
    assert "example" not in page.look_text.text
    session.state.page = "attention"
    wins = stored_wins(4)
    assert wins is not None
    assert "Stored: " in session._pages["attention"].status.text
    assert f"on {wins.wins[0][1]} of 72 heads" in session._pages["attention"].wins_text.text
    session.state.page = "speed"
    assert list(session._pages["speed"].bars.data["name"]) == list(stored_speed().timings)
    assert "Stored: " in session._pages["speed"].status.text
    session.close()
