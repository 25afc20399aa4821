"""The Error page's numbers, and the page in process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.dashboard.pages.error_study import _exact_curves, _trials
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import INNER_DIMS, SYNTHETIC, DashboardState, Problem
from quantlab.dashboard.work.background import Task
from quantlab.dashboard.work.error_study import exact, sampled_errors, split
from tests.dashboard.waiting import until

PROBLEM = Problem(SYNTHETIC, 0.9, 256, 0)


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
    until(lambda: page.curves.data["x"] and len(page.curves.data["x"][0]) == 8)
    curve = dict(zip(page.curves.data["x"][0], page.curves.data["y"][0], strict=True))
    problem = session.state.request().problem
    books = ql.DESIGNS["closed_form"](ql.GaussianPair(0.9), (4, 4), 256)
    expected = ql.exact_mse(ql.GaussianPair(0.9), *books, 256)
    assert_allclose(curve[4], expected.nmse, rtol=1e-12)
    session.state.gain = True
    until(lambda: page.curves.data["y"][0][1] < 0.99 * curve[4])
    assert_allclose(page.curves.data["y"][0][1], exact(problem, "closed_form", 4, 4).nmse_with_gain)
    session.close()


def test_given_matrices_are_measured_on_what_was_held_out() -> None:
    session = Session({"page": "error", "source": "gallery", "problem": "el_nino", "k_x": "4",
                       "designs": "gaussian_compander,closed_form"})  # fmt: skip
    page = session._pages["error"]
    until(lambda: page.exact_text.text.startswith("At K = 4, measured on what was held out:"))
    until(lambda: page.images[1].data["error"])
    one = ql.data.gallery()["el_nino"]
    law, (a, b) = ql.EmpiricalPair(*one.calibration).gaussian(), one.held_out
    c = a.astype(float) @ b
    until(lambda: len(page.curves.data["x"]) == 2 and len(page.curves.data["x"][1]) == 8)
    books = ql.DESIGNS["closed_form"](law, 4, 60)
    lost = c - books[0].quantize(a).astype(float) @ books[1].quantize(b)
    curve = dict(zip(page.curves.data["x"][1], page.curves.data["y"][1], strict=True))
    assert_allclose(curve[4], np.sum(lost**2) / np.sum(c**2), rtol=1e-5)
    assert np.shape(page.images[1].data["error"][0]) == (28, 28)
    assert (page.sides[0].end, page.sides[1].start) == (28, 28)
    assert "28 × 28 corner of what was held out" in page.image_texts[0].text
    assert page.split_text.text.startswith("Variance and bias are of a law, and these matrices")
    assert page.measure.disabled
    assert not session.controls.gain.visible
    session.close()


def test_curves_fill_from_few_levels_on() -> None:
    request = DashboardState(rho=0.5, inner_dim=16, designs=["closed_form"]).request()
    steps = []
    present, curves = _exact_curves(request, False, Task(steps.append))
    assert [[k for k, _ in curve["closed_form"]] for _, curve in steps] == [
        [2, 4, 8, 16], [2, 4, 8, 16, 32, 64],
    ]  # fmt: skip
    assert len(curves["closed_form"]) == 8
    assert present["closed_form"] == dict(curves["closed_form"])[16]


def test_the_sentences_and_colours_are_those_of_the_setting() -> None:
    session = Session({"page": "error", "rho": "0.9", "k_x": "4",
                       "designs": "gaussian_compander,closed_form"})  # fmt: skip
    page = session._pages["error"]
    until(lambda: page.exact_text.text.startswith("At K = 4, exactly"))
    until(lambda: page.images[1].data["error"])
    pair = ql.GaussianPair(0.9)
    law = dict(zip(page.curves.data["name"], page.curves.data["y"], strict=True))["asymptotic law"]
    at_two = ql.asymptotic_mse(pair, 2, 256) / pair.energy(256)
    assert_allclose(law, [at_two, at_two / 128**2])
    first = np.asarray(page.images[0].data["error"][0], dtype=np.float64)
    limit = 3 * np.sqrt(np.mean(first**2))
    assert_allclose((page._mapper.low, page._mapper.high), (-limit, limit))
    session.state.gain = True
    until(lambda: page.exact_text.text.startswith("At K = 4, each with its best gain, "))
    request = session.state.request()
    never = "With K = 4, variance outweighs bias at every k below a million."
    for takeover, words in ((0.2, "Closed form from k = 1 on."), (1e6, never),
                            (999_999, "Closed form from k = 999,999 on.")):  # fmt: skip
        found = replace(split(PROBLEM, "closed_form", 8, 8), takeover=takeover)
        page._show_split(request, {"closed_form": found})
        assert words in page.split_text.text
    session.close()


def test_the_sampled_error_is_that_of_the_codebooks() -> None:
    """Of the product of the quantized matrices: integer grids would add their own error."""
    found, _ = sampled_errors(PROBLEM, ("closed_form",), 64, 64)["closed_form"]
    law = ql.GaussianPair(0.9)
    books = ql.DESIGNS["closed_form"](law, (64, 64), 256)
    a, b = law.sample_matrices(64, 256, 64, rng=0)
    exact_error = a.astype(np.float64) @ b - books[0].quantize(a) @ books[1].quantize(b)
    unit = np.sqrt(law.energy(256))
    assert_allclose(found, exact_error / unit, atol=2e-6)  # float32 sums of 256 products
