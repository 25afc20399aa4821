"""What the pages say and draw of a given result, without a measurement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.dashboard.pages.error import ErrorPage, equal_levels
from quantlab.dashboard.parts.wording import compared
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import ATTENTION, DashboardState
from quantlab.dashboard.work.background import Task
from quantlab.dashboard.work.matrices import NAMES, compare_designs, look
from quantlab.dashboard.work.measurements import Point, Update
from quantlab.dashboard.work.speed import Comparison, Timing
from quantlab.experiments.attention import AttentionTable
from quantlab.formats import FORMATS
from tests.dashboard.waiting import until

A, B = ql.GaussianPair(0.9).sample_matrices(96, 64, 80, rng=3)


def found(nmse: float, trials: int = 5) -> Point:
    return Point(nmse, 0.9 * nmse, 1.1 * nmse, trials, np.zeros(4), np.zeros(4))


def test_errors_of_other_levels_are_drawn_smaller_and_those_of_the_past_are_dropped() -> None:
    state = DashboardState(linked=False, k_x=4, k_y=16, designs=["gaussian_compander", "lloyd_max"])
    page = ErrorPage(state, lambda job: job())
    points = {"gaussian_compander": found(1e-3), "lloyd_max": found(5e-4)}
    page.show(Update(state.request(), 4, 16, points))
    page.show(Update(state.request(), 8, 8, points))
    assert page.status.text.startswith("5 trials of 128 × 256 × 128.")
    assert '<span class="less">−50 %</span>' in page.readout.text
    assert "<small>±10 %</small>" in page.readout.text
    drawn = page.points.data
    assert_allclose(drawn["K"], 2 * [equal_levels(4, 16)] + [8, 8])
    assert_allclose(equal_levels(4, 16), (2 / (1 / 16 + 1 / 256)) ** 0.5)
    assert drawn["size"] == [12, 12, 7, 7]
    state.param.update(k_x=8, k_y=8)
    page.refresh()
    assert page.points.data["K"] == [8, 8], "4 and 16 levels are no stop of the curve"
    state.param.update(k_x=4, k_y=16)
    page.refresh()
    assert page.points.data["K"] == [8, 8], "nor are they kept"


def test_the_page_stops_measuring_with_its_session() -> None:
    session = Session()
    subscription = session._pages["density"]._subscription
    assert subscription._latest is not None
    session.close()
    assert subscription._latest is None


def test_the_coded_logits_are_told_by_the_designs_chosen() -> None:
    session = Session({"page": "attention", "designs": "closed_form,lloyd_max"})
    page = session._pages["attention"]
    until(lambda: ", the least of the designs chosen; " in page.coded_text.text)
    session.state.designs = ["closed_form"]
    until(lambda: page.coded_text.text.endswith("</b> of the logits’ energy."))
    assert page.coded_text.text.startswith("<b>Closed form, K = 16</b>, loses")
    session.state.param.update(source=ATTENTION, linked=False, k_x=16, k_y=64)
    problem = session.state.request().problem
    asked = []
    page.background.run = lambda name, job, *_: asked.append(job.args[0])
    page.refresh()
    rounded = replace(asked[0].problem, rho=problem.rho)
    assert rounded == problem, "both pages ask for the same codebooks"
    session.close()


def test_wins_have_no_entry_against_themselves() -> None:
    session = Session({"page": "attention"})
    page = session._pages["attention"]
    rng = np.random.default_rng(0)
    nmse = {name: rng.random(3) for name in ("empirical", "int_absmax", "balanced")}
    page._show_wins(AttentionTable(4, ((0, 0), (0, 1), (0, 2)), nmse))
    assert page.wins.text.count("<td class='none'>·</td>") == 3
    assert page.wins.text.count("data-wins=") == 6
    session.close()


def test_speed_opens_with_its_choices_and_tells_the_rate() -> None:
    session = Session({"page": "speed"})
    page = session._pages["speed"]
    assert page.bits.options == [2, 4, 8]
    assert (page.m.value, page.k.value, page.n.value, page.bits.value) == (1024, 1024, 1024, 4)
    assert page.stop.disabled
    assert not page.run.disabled
    slow, fast = Timing(0.02, 1.0, 3), Timing(0.01, 2.0, 3, 1e6, 0.0123)
    page._show(Comparison(1000, 1000, 1000, 4, {"numpy fp32": slow, "from codes": fast}))
    assert "At 1,000³" in page.sentence.text
    assert "<td>10 ms</td><td>12.3 ms</td><td>200 Gop/s</td><td>2.00 ×</td>" in page.table.text
    session.close()


def test_a_look_at_two_matrices_shows_what_a_gaussian_pair_would_have() -> None:
    a, b = ql.GaussianPair(0.6, sigma_x=2.0, sigma_y=3.0).sample_matrices(96, 64, 80, rng=1)
    pair, curves = look(a, b, Task(print))
    rho = pair.gaussian().rho
    # E[Y^2 given u] over the mean square: 1 - rho^2 + rho^2 u^2
    assert_allclose(curves["gaussian"], 1 - rho**2 + (rho * curves["u"]) ** 2, rtol=1e-6)


def test_the_advice_compares_with_the_best_format() -> None:
    answer = compare_designs(ql.EmpiricalPair(A, B), 4, Task(print))
    rival = min(
        (row for row in answer.report.rows if row.design in FORMATS),
        key=lambda row: row.measured_nmse,
    )
    share = answer.report[answer.best].measured_nmse / rival.measured_nmse
    assert compared(share, "", NAMES[rival.design]) in answer.sentence
