"""The switch between rounding to the nearest and with feedback, on the Density and Error tabs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.dashboard.pages.density import fork, ridge
from quantlab.dashboard.pages.error_study import _images, _trials
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import SYNTHETIC, Problem, Request
from quantlab.dashboard.work.background import Task
from quantlab.dashboard.work.error_study import sampled_errors
from quantlab.dashboard.work.measurements import codebooks, measure_points, refused, steps
from tests.dashboard.waiting import until

FED_BACK = Problem(SYNTHETIC, 0.7, 64, 3, rounding="feedback")
NEAREST = Problem(SYNTHETIC, 0.7, 64, 3)


def test_points_are_measured_with_the_rounding_chosen() -> None:
    points = measure_points(FED_BACK, 16, 16, ("gaussian_compander", "closed_form"), 4)
    pair = ql.GaussianPair(0.7)
    for name, point in points.items():
        expected = ql.measure(
            pair, *ql.DESIGNS[name](pair, 16, 64), 64, trials=4, rng=3, rounding="feedback"
        )
        assert point.nmse == expected.nmse
    nearest = measure_points(NEAREST, 16, 16, ("closed_form",), 4)["closed_form"]
    assert points["closed_form"].nmse < 0.5 * nearest.nmse
    assert codebooks(FED_BACK, "closed_form", 16, 16) is codebooks(NEAREST, "closed_form", 16, 16)


def test_what_would_take_long_is_told() -> None:
    far = Problem(SYNTHETIC, 0.7, 4096, 0, rounding="feedback")
    assert "up to k = 1,024" in refused(far)
    assert refused(Problem(SYNTHETIC, 0.7, 4096, 0)) == refused(FED_BACK) == ""
    session = Session({"inner_dim": "4096", "rounding": "feedback"})
    errors = session._pages["density"].errors
    until(lambda: "up to k = 1,024" in errors.error_text.text)
    session.state.page = "error"
    assert "up to k = 1,024" in session._pages["error"].exact_text.text
    session.close()
    wide = Problem(SYNTHETIC, 0.7, 1024, 0, rounding="feedback")
    assert [step.trials for step in steps(Request(wide, 4, 4, ()))][:2] == [3, 3]
    assert [step.trials for step in steps(Request(FED_BACK, 4, 4, ()))][:2] == [20, 200]


@pytest.mark.parametrize("family", ["gaussian", "student_t", "laplace", "uniform"])
def test_the_second_peak_goes(family: str) -> None:
    session = Session({"law": family, "rho": "0.9", "rounding": "feedback"})
    density = session._pages["density"].density
    first, second = density.law_texts()
    assert "With feedback one peak" in first
    assert "No transition with feedback" in second
    lines = fork(family, 5.0, "feedback")
    assert all(np.all(u == 0) for u in lines["u"])
    (share,) = ridge(family, 5.0, "feedback")["share"]
    assert np.all(share[48] == share.max(axis=0))
    if family != "gaussian":
        law = density.law.data
        assert abs(law["u"][np.nanargmax(law["optimal"])]) < 0.03
        assert density.law_peaks.data["u"] == (0.0,)
    session.state.rounding = "nearest"
    assert len(fork(family, 5.0)["u"]) == 5
    assert not any("feedback" in text for text in density.law_texts())
    session.close()


def test_the_error_page_says_what_it_cannot_draw() -> None:
    session = Session({"page": "error", "rho": "0.7", "rounding": "feedback", "inner_dim": "64"})
    page = session._pages["error"]
    until(lambda: page.curves.data["x"])
    assert page.curves.data["name"] == ["asymptotic law"]
    pair = ql.GaussianPair(0.7)
    law = ql.asymptotic_mse(pair, 2, 64, rounding="feedback") / pair.energy(64)
    assert_allclose(page.curves.data["y"][0][0], law)
    assert "no exact formula" in page.exact_text.text
    assert "by itself" in page.split_text.text
    assert page.split.data["x"] == []
    session.state.rounding = "nearest"
    until(lambda: "exactly" in page.exact_text.text and page.split.data["x"])
    session.close()


def test_trials_and_pictures_are_of_the_rounding() -> None:
    designs = ("gaussian_compander", "closed_form", "lloyd_max")
    request = Request(FED_BACK, 8, 8, designs)
    _, _, errors = _trials(request, False, 20, Task(print))
    pair = ql.GaussianPair(0.7)
    books = ql.DESIGNS["closed_form"](pair, 8, 64)
    expected = ql.measure(pair, *books, 64, trials=20, rng=3, rounding="feedback")
    assert_allclose(errors["closed_form", 8].nmse, expected.nmse)
    pictures = sampled_errors(FED_BACK, designs, 8, 8)
    plain = sampled_errors(NEAREST, designs, 8, 8)
    assert all(pictures[name][1] < plain[name][1] for name in designs)
    shown = _images(request, False, Task(print))
    assert list(shown)[1] == min(pictures, key=lambda name: pictures[name][1])
