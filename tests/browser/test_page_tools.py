"""What stands around the pictures: themes, files, links, lessons."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from playwright.sync_api import Page, expect

import quantlab as ql
from tests.browser.test_page import Dashboard, source


def saved(page: Page, title: str, kind: str, folder: Path) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save {title} as {kind}").first.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path.read_bytes()


def test_a_picture_is_saved_as_it_is_drawn(dashboard: Dashboard, tmp_path: Path) -> None:
    page = dashboard("?rho=0.9")
    title = "When the density splits"
    assert saved(page, title, "PNG", tmp_path).startswith(b"\x89PNG")
    assert saved(page, title, "SVG", tmp_path).lstrip().startswith(b"<svg")
    rows = list(csv.DictReader(saved(page, title, "CSV", tmp_path).decode().splitlines()))
    peaks = [float(row["branches.u"]) for row in rows if row["branches.u"]]
    assert_allclose(peaks, ql.gaussian_peaks(0.9), rtol=1e-12)


def test_every_picture_has_a_text_alternative_that_follows(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.3")
    pictures = page.locator(".bk-Figure")
    assert pictures.count() == page.get_by_role("img").count() > 0
    expect(page.get_by_role("img", name="One peak, at u = 0.").first).to_be_visible()
    slider = page.get_by_role("slider", name="Correlation ρ")
    slider.focus()
    slider.press("End")
    expect(page.get_by_role("img", name="Two peaks, at u = ±1.41.").first).to_be_visible()


def test_the_theme_changes_without_losing_the_setting(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.25")
    ink = (
        """() => Bokeh.documents[0].get_model_by_name("density").left[0].major_label_text_color"""
    )
    light = page.evaluate(ink)
    page.get_by_role("button", name="Toggle theme").click()
    page.wait_for_function(f"(before) => ({ink})() !== before", arg=light)
    background = page.locator("body").evaluate(
        "() => getComputedStyle(document.querySelector('.main') ?? document.body).backgroundColor"
    )
    assert sum(map(int, background.strip("rgba()").split(",")[:3])) < 150, "a dark page"
    assert_allclose(source(page, "branches")["rho"], [0.25])


@pytest.mark.parametrize("law", ["student_t", "laplace", "uniform"])
def test_another_law_moves_the_pictures(dashboard: Dashboard, law: str) -> None:
    page = dashboard(f"?law={law}&rho=0.9&designs=closed_form")
    pairs = {
        "student_t": ql.StudentTPair(0.9, nu=5),
        "laplace": ql.LaplacePair(0.9),
        "uniform": ql.UniformCopulaPair(0.9),
    }
    drawn = source(page, "law")
    optimal = ql.PointDensity.optimal(pairs[law])
    assert_allclose(drawn["optimal"], optimal(np.array(drawn["u"])), rtol=1e-9)
    assert np.isnan(np.array(source(page, "curve")["optimal"], dtype=float)).all()
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('law_rug').data.u.length === 16", timeout=60_000
    )
    centers = ql.DESIGNS["closed_form"](pairs[law], 16, 256)[0].centers
    assert_allclose(source(page, "law_rug")["u"], centers, rtol=1e-9)
