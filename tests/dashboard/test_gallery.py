"""The gallery as the input of all pages and on the Your data tab, and a word on its law."""

from __future__ import annotations

import re
import zlib
from base64 import b64decode

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab.dashboard.pages.data import ONE
from quantlab.dashboard.parts.gallery import OWN, TITLES, GalleryMap, places, verdict
from quantlab.dashboard.parts.lessons import PRESETS
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import GALLERY, DashboardState
from quantlab.dashboard.work.background import Task
from quantlab.dashboard.work.matrices import compare_designs
from quantlab.design import design_empirical
from tests.dashboard.test_pages import A, upload
from tests.dashboard.waiting import until

GROWTH = ql.data.gallery()["growth"]


def test_a_problem_is_an_input_whose_link_brings_it_back() -> None:
    state = DashboardState(rho=0.3)
    state.param.update(source=GALLERY, problem="growth", designs=["closed_form", "empirical"])
    problem = state.request().problem
    assert (state.rho, problem.inner_dim, problem.seed) == (GROWTH.rho, 101, 0)
    assert state.request().words == "Growth rates, K = 16"
    link = state.query()
    assert link == "?source=gallery&problem=growth&designs=closed_form,empirical"
    again = DashboardState()
    assert again.read_query(dict(pair.split("=") for pair in link[1:].split("&"))) == []
    assert again.request() == state.request()
    again.keep = again.setting()
    again.reset(**PRESETS["A real product past the transition"], keep=again.keep)
    assert again.query() == "?source=gallery&keep=source:gallery,problem:growth"
    assert (again.kept_request().problem, again.rho) == (problem, 0.8158)
    state.source = "synthetic"
    assert state.rho == 0.3
    (told,) = state.read_query({"source": "gallery", "problem": "../etc"})
    assert told.startswith("problem = '../etc' is not used: expected one of co2_season, co2_trend")
    assert (state.source, state.problem) == ("gallery", "growth")


def test_the_pages_show_a_problem_on_what_was_held_out() -> None:
    session = Session({"source": "gallery", "problem": "growth", "k_x": "8"})
    page = session._pages["density"]
    assert "is being measured" in page.scene.data["texts"][0][0]
    assert page.errors.readout.text == ""
    until(lambda: 'data-source="gallery"' in page.errors.readout.text)
    pair, (a, b) = ql.EmpiricalPair(*GROWTH.calibration), GROWTH.held_out
    books = {
        "closed_form": ql.DESIGNS["closed_form"](pair.gaussian(), 8, 101),
        "empirical": design_empirical(pair, 8, smoothing="auto"),
    }
    c = a.astype(float) @ b
    for name, (cb_x, cb_y) in books.items():
        shown = float(re.search(rf'"{name}" data-nmse="([^"]+)"', page.errors.readout.text)[1])
        lost = np.sum((c - cb_x.quantize(a).astype(float) @ cb_y.quantize(b)) ** 2)
        assert_allclose(shown, lost / np.sum(c**2), rtol=1e-5)
    assert "The product held out, 8 × 101 × 8" in page.errors.status.text
    assert "±" not in page.errors.status.text + page.errors.readout.text, "one has no interval"
    reading = ql.gaussian_reading(pair, held_out=[GROWTH.held_out])
    assert page.scene.data["texts"][0][0] == verdict(reading)
    assert "is not to be trusted" in verdict(reading)

    density = page.density
    law, sigma = density.law.data, pair.gaussian().sigma_x
    assert_array_equal(law["pdf"], pair.pdf(law["u"] * sigma) * sigma)
    assert density.density_figure.y_range.end > max(0.26, law["data"].max())
    assert density.gallery.data == places()
    session.state.problem = "photo"  # the numbers of growth are not those of the photograph
    assert "is being measured" in page.scene.data["texts"][0][0]
    assert set(page.errors.points.data["alpha"]) == {0.15}
    session.state.source = "synthetic"
    assert density.gallery.data["u"] == []
    assert density.density_figure.y_range.end == 0.26
    assert page.scene.data["texts"] == [[]]
    session.close()


def test_codebooks_of_a_problem_stand_before_its_own_entries() -> None:
    session = Session({"source": "gallery", "problem": "growth", "page": "codebooks"})
    page = session._pages["codebooks"]
    assert "Data fit" in page.design.options
    until(lambda: page.books is not None)
    pair = ql.EmpiricalPair(*GROWTH.calibration)
    sigma, u = pair.gaussian().sigma_x, page.pdf.data["u"]
    assert_array_equal(page.pdf.data["pdf"], pair.pdf(u * sigma) * sigma)
    assert_allclose(np.sum(page.cells.data["mass"]), 1, atol=1e-2)
    session.close()


def test_a_problem_is_told_in_words_and_in_a_picture_where_it_is_the_input() -> None:
    session = Session({"source": "gallery", "problem": "co2_trend"})
    controls, state = session.controls, session.state
    view = controls.problem_view
    assert controls.problem.visible
    assert view.words.visible
    assert view.words.text.startswith("Windows of 64 weeks of the CO2 record")
    a, b = ql.data.gallery()["co2_trend"].calibration
    low, high = (f"{value:.3g}".replace("-", "−") for value in (a.min(), a.max()))
    assert f"alt='A, 139 × 64: entries from {low} to {high}, mean −" in view.words.text
    one = b64decode(re.findall(r"base64,([^']+)'", view.words.text)[1])
    size = np.frombuffer(one[16:24], ">u4")
    data = zlib.decompress(one[one.index(b"IDAT") + 4 : -12])
    lines = np.frombuffer(data, np.uint8).reshape(size[1], size[0] + 1)
    assert lines.shape == (64, 65)
    shown = b[:, np.linspace(0, 138, 64).astype(int)]  # 64 of its 139 columns
    assert np.all(lines[:, 1:][shown > 2] > 15)
    assert np.mean(lines[:, 1:] > 15) > 0.5
    assert len(view.words.text) < 10_000
    for page, source, hide in (
        ("density", "attention", []), ("attention", GALLERY, []), ("density", GALLERY, ["input"]),
    ):  # fmt: skip
        state.param.update(page=page, source=source, hide=hide)
        assert not controls.problem.visible
        assert not view.words.visible
    session.close()


def test_your_data_opens_on_the_problem_of_the_other_pages() -> None:
    session = Session({"source": "gallery", "problem": "growth", "page": "data"})
    page = session._pages["data"]
    until(lambda: page.problem is GROWTH)
    session.state.param.update(page="density", problem="digits")
    assert page.problem is GROWTH
    session.state.page = "data"
    until(lambda: page.problem is ql.data.gallery()["digits"])
    session.close()


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
    assert page.verdict.text.endswith(f"Why, at 4 bits: {GROWTH.why}")
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
