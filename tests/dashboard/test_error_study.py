"""The Error page's numbers, and the page in process."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.dashboard.app import Session
from quantlab.dashboard.pages.error_study import ErrorStudyPage, _trials
from quantlab.dashboard.state import INNER_DIMS, SYNTHETIC, DashboardState, Problem
from quantlab.dashboard.work.background import Task
from quantlab.dashboard.work.error_study import exact, sampled_errors, split

PROBLEM = Problem(SYNTHETIC, 0.9, 256, 0)


def shown(page: ErrorStudyPage, done) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("design", ["gaussian_compander", "closed_form", "bilinear"])
def test_split_is_the_exact_error_taken_apart(design: str) -> None:
    s = split(PROBLEM, design, 8, 8)
    error = exact(PROBLEM, design, 8, 8)
    at = INNER_DIMS.index(256)
    assert_allclose(s.total[at], error.nmse, rtol=1e-12)
    assert_allclose(s.with_gain[at], error.nmse_with_gain, rtol=1e-12)
    # variance ~ k and bias ~ k^2 in the unit of C squared: they are equal at `takeover`
    ratio = s.bias / s.variance
    assert_allclose(ratio, np.array(INNER_DIMS) / s.takeover, rtol=1e-9)


def test_sampled_errors_scatter_about_the_exact_one() -> None:
    found = sampled_errors(PROBLEM, ("closed_form",), 16, 16)
    error, nmse = found["closed_form"]
    assert error.shape == (64, 64)
    # one product of 64 x 64 correlated entries scatters by some tens of percent
    assert_allclose(nmse, exact(PROBLEM, "closed_form", 16, 16).nmse, rtol=0.6)


def test_trials_agree_with_the_exact_error_and_stop() -> None:
    request = DashboardState(rho=0.5, inner_dim=16, designs=["closed_form"]).request()
    steps = []
    done, wanted, errors = _trials(request, False, 40, Task(steps.append))
    assert (done, wanted) == (40, 40)
    assert [step[0] for step in steps] == [20]
    measured = errors["closed_form", 16]
    assert measured.per_trial.size == 40
    expected = exact(request.problem, "closed_form", 16, 16).nmse
    assert measured.low < expected < measured.high
    stopped = Task(steps.append)
    stopped.cancelled = True
    assert _trials(request, False, 40, stopped) == (0, 40, {})


def test_the_page_draws_exact_curves_and_answers_the_gain() -> None:
    session = Session({"page": "error", "rho": "0.9", "k_x": "4", "designs": "closed_form"})
    page = session._pages["error"]
    shown(page, lambda: page.curves.data["x"] and len(page.curves.data["x"][0]) == 8)
    curve = dict(zip(page.curves.data["x"][0], page.curves.data["y"][0], strict=True))
    problem = session.state.request().problem
    books = ql.DESIGNS["closed_form"](ql.GaussianPair(0.9), (4, 4), 256)
    expected = ql.exact_mse(ql.GaussianPair(0.9), *books, 256)
    assert_allclose(curve[4], expected.nmse, rtol=1e-12)
    session.state.gain = True
    shown(page, lambda: page.curves.data["y"][0][1] < 0.99 * curve[4])
    assert_allclose(page.curves.data["y"][0][1], exact(problem, "closed_form", 4, 4).nmse_with_gain)
    session.state.source = "attention"
    assert page.curves.data["x"] == []
    assert "given, not drawn" in page.exact_text.text
    session.close()
