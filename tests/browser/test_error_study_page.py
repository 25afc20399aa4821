"""The Error tab in the browser."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.test_page import Dashboard, slider, source


def test_trials_stream_in_and_stop(dashboard: Dashboard) -> None:
    page = dashboard(
        "?page=error&rho=0.9&k_x=8&inner_dim=64&designs=gaussian_compander,closed_form"
    )
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('exact_curves').data.x.length >= 3", timeout=120_000
    )
    expect(page.get_by_role("img", name="bias outweighs variance").first).to_be_visible()
    page.get_by_role("button", name="Measure").click()
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('study_points').data.K.length === 16", timeout=120_000
    )
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Measure")).to_be_enabled()
    page.get_by_role("checkbox", name="Best gain").check()
    expect(page.get_by_text("each with its best gain")).to_be_visible()
    assert source(page, "error_image_0")["error"]
    slider(page, "Correlation ρ").press("ArrowLeft")
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('study_points').data.K.length === 0"
    )
