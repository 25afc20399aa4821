"""The Codebooks tab in the browser."""

from __future__ import annotations

from pathlib import Path

from numpy.testing import assert_allclose
from playwright.sync_api import expect

import quantlab as ql
from quantlab.files.codebooks import read
from tests.browser.test_page import Dashboard, press, slider, source


def test_files_trace_and_own_codebooks(dashboard: Dashboard, tmp_path: Path) -> None:
    page = dashboard("?page=codebooks&rho=0.9&k_x=8")
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('codebook_centers').data.u.length === 8",
        timeout=120_000,
    )
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    path = tmp_path / "books.json"
    download.value.save_as(path)
    books = read("books.json", path.read_bytes())
    assert books == ql.DESIGNS["closed_form"](ql.GaussianPair(0.9), (8, 8), 256)
    assert_allclose(source(page, "codebook_centers")["u"], books[0].centers)
    press(slider(page, "Lloyd step"), "ArrowRight", 3)
    assert set(source(page, "lloyd_now")["step"]) == {3}
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('lloyd_now').data.step[0] > 5", timeout=120_000
    )
    page.get_by_role("button", name="Pause").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as safetensors").click()
    path = tmp_path / "books.safetensors"
    download.value.save_as(path)
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text("as much as the design shown")).to_be_visible()
    bad = tmp_path / "bad.csv"
    bad.write_text("3\n1\n")
    page.locator("input[type=file]").set_input_files(bad)
    expect(page.get_by_text("centers must increase strictly")).to_be_visible()
    other = tmp_path / "books.npy"
    other.write_bytes(b"no")
    page.locator("input[type=file]").set_input_files(other)
    expect(page.get_by_text("got .npy")).to_be_visible()
    press(slider(page, "Levels K of A"), "ArrowRight")
    expect(page.get_by_text("got .npy")).to_be_hidden()


def test_slider_and_picture_of_the_trace_agree(dashboard: Dashboard) -> None:
    page = dashboard("?page=codebooks&k_x=8")
    drawn = "Bokeh.documents[0].get_model_by_name('lloyd_now').data"
    page.wait_for_function(f"{drawn}.u.length === 8", timeout=120_000)
    step = slider(page, "Lloyd step")
    press(step, "ArrowRight", 19)
    press(slider(page, "Levels K of A"), "ArrowRight")
    page.wait_for_function(f"{drawn}.u.length > 8", timeout=120_000)
    expect(step).to_have_attribute("aria-valuenow", "19")
    assert set(source(page, "lloyd_now")["step"]) == {19}
    lines, now = source(page, "lloyd_trace")["u"], source(page, "lloyd_now")["u"]
    assert now == [line[19] for line in lines]


def test_beyond_the_trace_all_else_is_shown(dashboard: Dashboard) -> None:
    page = dashboard("?page=codebooks&k_x=32")
    page.get_by_role("button", name="Play", exact=True).click()
    press(slider(page, "Levels K of A"), "ArrowRight")
    expect(page.get_by_text("Closed form, 40 levels")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("is drawn up to 32 levels")).to_be_visible()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_disabled()
    assert source(page, "lloyd_now")["u"] == []
