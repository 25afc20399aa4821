"""The gallery as the input of the first page: its picture, its numbers, and a link to it."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from playwright.sync_api import expect

import quantlab as ql
from quantlab.experiments.designs import calibrated
from tests.browser.test_page import Dashboard, measured, slider, source


def test_a_problem_is_chosen_drawn_and_measured(dashboard: Dashboard) -> None:
    page = dashboard("?source=gallery&problem=none&k_x=8&designs=closed_form,empirical")
    expect(
        page.get_by_text("problem = 'none' is not used: expected one of co2_season")
    ).to_be_visible()
    rows = measured(page, source="gallery", rho=0.8158)
    before = source(page, "law")["pdf"]
    page.get_by_role("combobox", name="Problem").click()
    page.get_by_role("menuitem", name="Sea temperature").click()
    one = ql.data.gallery()["el_nino"]
    shown = measured(page, source="gallery", rho=one.rho)
    pair, (a, b) = ql.EmpiricalPair(*one.calibration), one.held_out
    c = a.astype(float) @ b
    for name, row in shown.items():
        cb_x, cb_y = calibrated(pair, name, 8)
        lost = np.sum((c - cb_x.quantize(a).astype(float) @ cb_y.quantize(b)) ** 2)
        assert_allclose(row.nmse, lost / np.sum(c**2), rtol=1e-5)
        assert row.nmse != rows[name].nmse
    law, sigma = source(page, "law"), pair.gaussian().sigma_x
    assert law["pdf"] != before
    assert_allclose(law["pdf"], pair.pdf(np.array(law["u"]) * sigma) * sigma, rtol=1e-12)
    assert_allclose(source(page, "branches")["u"], ql.gaussian_peaks(one.rho), rtol=1e-12)
    expect(page.get_by_text("is not to be trusted here")).to_be_visible()
    expect(slider(page, "Estimated correlation ρ")).to_be_disabled()
    picture = page.get_by_role("img", name="A, 28 × 60: entries from")
    assert picture.evaluate("(img) => img.complete && img.naturalWidth") == 60
    assert "source=gallery&k_x=8&problem=el_nino" in page.url
    page.get_by_role("button", name="Drawn from a law").click()
    expect(page.get_by_text("Two peaks, at u = ±")).to_be_visible()
    expect(picture).to_be_hidden()
