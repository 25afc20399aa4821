"""Controls and pages together, without a browser: what each page offers, says and keeps back."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.dashboard.given import attention
from quantlab.dashboard.parts.lessons import PRESETS, TOUR
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import DESIGN_LABELS, DashboardState
from quantlab.dashboard.work.error_study import exact
from quantlab.dashboard.work.measurements import measure_points, most_levels
from tests.dashboard.test_pages import until


@pytest.mark.parametrize("rho", ["0.5", "-0.2", "0.8"])
def test_the_preset_of_a_head_shows_the_heads_own_correlation(rho: str) -> None:
    session = Session({"rho": rho})
    session.toolbar._preset("A real attention head")
    estimate = attention(2, 6).pair.gaussian().rho
    for shown in (session.state.rho, session.controls.rho.value):
        assert_allclose(shown, estimate, atol=1e-4)
    session.state.source = "synthetic"
    assert session.state.rho == 0.8, "the preset's own"
    session.state.rho = 0.3
    session.state.source = "attention"
    assert_allclose(session.controls.rho.value, estimate, atol=1e-4)
    session.state.reset()
    for shown in (session.state.rho, session.controls.rho.value):
        assert shown == 0.8, "a reset's correlation, not the one before the head"
    session.close()


def test_the_lessons_at_the_transition_still_have_one_peak() -> None:
    values = [TOUR[2].values, PRESETS["At the transition, ρ = 1/√3"]]
    for rho in (value["rho"] for value in values):
        assert ql.gaussian_peaks(rho) == (0.0,)
        assert ql.gaussian_peaks(rho + 1e-4) != (0.0,)


def test_a_page_offers_what_has_an_effect() -> None:
    session = Session()
    controls, state = session.controls, session.state
    state.page = "attention"
    assert controls.layer.visible
    assert not any(w.visible for w in (controls.rho, controls.law, controls.play, controls.seed))
    state.page = "codebooks"
    assert not controls.rounding.visible
    assert controls.rho.visible
    assert not controls.designs.visible
    assert not controls.layer.visible
    state.page = "error"
    assert controls.gain.visible
    assert controls.rounding.visible
    assert not controls.operand.visible
    state.rounding = "feedback"
    assert not controls.gain.visible  # feedback has made up for it
    state.source = "attention"  # what is given is measured as it is
    assert not controls.rounding.visible
    assert not controls.gain.visible
    state.param.update(source="synthetic", rounding="nearest")
    assert all(panel.visible for panel in controls.panels())
    state.page = "speed"
    assert "alone" in session.page().css_classes  # the style sheet hides them: nothing moves twice
    assert all(panel.visible for panel in controls.panels())
    session.close()
    hidden = Session({"hide": "input,levels,inner_dim,operand,designs,seed"}).controls
    assert [panel.visible for panel in hidden.panels()] == [True, False]


def test_a_refused_value_is_told_until_the_next_is_taken() -> None:
    session = Session()
    session.controls.seed.value = None
    assert session.state.notice == "Seed: expected an integer from 0 to 2147483647."
    assert session.controls.seed.value == 0
    session.controls.seed.value = 3
    assert (session.state.notice, session.state.seed) == ("", 3)
    session.close()


def test_exact_errors_are_those_of_both_numbers_of_levels() -> None:
    session = Session({"page": "error", "linked": "0", "k_x": "4", "k_y": "256",
                       "designs": "gaussian_compander"})  # fmt: skip
    page, pair = session._pages["error"], ql.GaussianPair(0.8)
    until(lambda: "exactly" in page.exact_text.text)
    books = ql.DESIGNS["gaussian_compander"](pair, (4, 256), 256)
    mantissa = f"{ql.exact_mse(pair, *books, 256).nmse:.2e}".split("e")[0]
    assert f"At K = 4 and 256, exactly: <b>Plain {mantissa} ×" in page.exact_text.text
    session.close()


def test_measured_points_go_when_the_best_gain_comes() -> None:
    session = Session({"page": "error", "designs": "closed_form", "inner_dim": "4"})
    page = session._pages["error"]
    page.trials.value = 40
    page._measure()
    until(lambda: "40 of 40" in page.status.text)
    assert len(page.points.data["K"]) == 8
    session.state.gain = True
    assert len(page.points.data["K"]) == 0
    assert page.status.text == ""
    page._measure()
    session.state.rho = 0.3
    assert page.stop.disabled
    assert page.status.text == "", "nothing is left of a run that has been overtaken"
    session.close()


def test_without_a_design_the_pages_ask_for_one() -> None:
    session = Session({"page": "error", "designs": ""})
    page = session._pages["error"]
    assert {page.exact_text.text, page.split_text.text} == {"Choose a design to compare."}
    assert page.measure.disabled
    session.state.page = "attention"
    heads = session._pages["attention"]
    until(lambda: heads.coded_text.text == "Choose a design to compare.")
    assert len(heads.logits[1].data["logits"]) == 0
    session.state.designs = ["closed_form"]
    until(lambda: heads.coded_text.text.startswith("<b>Closed form, K = 16</b>, loses"))
    assert "Data fit" not in heads.coded_text.text
    session.state.param.update(page="density", designs=[], predict=True)
    form = session._pages["density"].errors.guess._form
    assert form.button.disabled
    session.close()


def test_no_page_gives_away_what_is_to_be_guessed() -> None:
    session = Session({"page": "error", "predict": "1", "rho": "0.6"})
    page = session._pages["error"]
    assert "Hidden until a guess is committed" in page.exact_text.text
    assert page.measure.disabled
    session.state.page = "density"
    session._pages["density"].errors.guess._commit("closed_form", 50)
    session.state.page = "error"
    until(lambda: "exactly" in page.exact_text.text)
    until(lambda: len(page.images[0].data["error"]) > 0)
    session.state.rho = 0.61
    assert "Hidden until a guess is committed" in page.exact_text.text
    assert np.size(page.images[0].data["error"]) == np.size(page.curves.data["x"]) == 0
    session.state.predict = False  # the curves are on their way ...
    session.state.predict = True  # ... and are not wanted any more
    time.sleep(1)
    assert "Hidden until a guess is committed" in page.exact_text.text
    session.close()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("k", [2, 16, 256])
@pytest.mark.parametrize(
    "values", [{"law": "student_t", "nu": 4.5}, {"law": "uniform", "rho": 1}, {"law": "laplace"}]
)
def test_every_design_can_be_measured_at_the_ends_of_the_sliders(values: dict, k: int) -> None:
    state = DashboardState(k_x=k, designs=list(DESIGN_LABELS), **values)
    assert state.nu >= DashboardState.param.nu.bounds[0]
    request = state.request()
    problem, levels = request.problem, (request.k_x, request.k_y)
    shown = tuple(name for name in request.designs if k <= most_levels(problem, name))
    points = measure_points(problem, *levels, shown, trials=5)
    assert set(points) == set(shown)
    for name, point in points.items():
        assert np.isfinite([point.nmse, point.low, point.high, *point.centers_x]).all()
        error = exact(problem, name, *levels)
        assert 0 < error.nmse < np.inf
        assert error.nmse_with_gain <= 1 + 1e-9


def test_a_notice_is_text() -> None:
    """What a link says may be repeated in it, and must not run."""
    session = Session()
    session.state.notice = "<img src=x onerror=alert(1)> & more"
    assert session.notice.text == "&lt;img src=x onerror=alert(1)&gt; &amp; more"
    session.close()
