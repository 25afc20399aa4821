"""The gallery on the Your data tab: a real product in one choice, and a word on its law."""

from __future__ import annotations

import pytest
from numpy.testing import assert_array_equal

import quantlab as ql
from quantlab.dashboard.app import Session
from quantlab.dashboard.pages.data import ONE
from quantlab.dashboard.parts.gallery import OWN, TITLES, GalleryMap
from quantlab.dashboard.work.background import Task
from quantlab.dashboard.work.matrices import compare_designs
from quantlab.design import design_empirical
from tests.dashboard.test_pages import A, upload
from tests.dashboard.waiting import until

GROWTH = ql.data.gallery()["growth"]


def test_a_problem_is_loaded_read_and_ranked_on_what_was_held_out() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    page.gallery.value = GROWTH.title
    until(lambda: "not to be trusted" in page.reading.text)
    assert page.look_text.text.startswith("Second moments of quarterly growth rates")
    assert GROWTH.licence in page.status.text
    assert "A is 8 × 101 and B 101 × 8" in page.look_text.text
    assert page.map.here.data == {"rho": [pytest.approx(GROWTH.rho, abs=1e-4)], "u": [0.0]}
    page.bits.value = 2
    page._compare()
    until(lambda: page.answer is not None)
    assert page.verdict.text.endswith(f"Why: {GROWTH.why}")
    assert "on the part held out" in page.status.text
    shown = page.answer.report["closed_form"].measured_nmse
    expected = ql.design_report(GROWTH.calibration, 2, held_out=[GROWTH.held_out])
    assert shown == expected["closed_form"].measured_nmse

    # a file of one's own takes its place, and nothing is held out then
    upload(page, "A", A)
    until(lambda: page.gallery.value == OWN and "A has 64 columns" in page.status.text)
    assert page.problem is None
    assert page.map.here.data == {"rho": [], "u": []}
    assert page.reading.text == ""
    session.close()


def test_a_product_that_is_not_the_problems_is_measured_on_itself() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    page.gallery.value = ql.data.gallery()["digits"].title
    until(lambda: page.reading.text != "")
    assert page.held_out is not None
    page.mode.value = ONE
    until(lambda: page.reading.text != "" and page.held_out is None)
    session.close()


def test_codebooks_to_take_away_are_smoothed_where_others_were_held_out() -> None:
    one = ql.data.gallery()["co2_trend"]
    pair = ql.EmpiricalPair(*one.calibration)
    for held_out, smoothing in ((None, 0.0), (one.held_out, "auto")):
        answer = compare_designs(pair, 3, Task(print), held_out)
        assert answer.best == "empirical"
        expected = design_empirical(pair, 8, smoothing=smoothing)
        assert_array_equal(answer.books[0].centers, expected[0].centers)


def test_the_map_has_every_problem_and_the_menu_its_name() -> None:
    drawn = GalleryMap()
    places = set(zip(*(drawn.problems.data[name] for name in ("title", "rho", "u")), strict=True))
    problems = ql.data.gallery().values()
    assert places == {(p.title, p.rho, u) for p in problems for u in ql.gaussian_peaks(p.rho)}
    assert list(TITLES) == [OWN, *(one.title for one in problems)]
    drawn.mark(0.8)
    assert drawn.here.data == {"rho": [0.8, 0.8], "u": list(ql.gaussian_peaks(0.8))}
