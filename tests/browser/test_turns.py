"""From tab to tab: a page that has been visited is there at once, and costs no layout."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_page import Dashboard, measured

#: Counts how often a picture is measured for its layout from here on.
_COUNT = """() => {
  const {PlotView} = Bokeh.require("models/plots/plot_canvas");
  const before = PlotView.prototype._measure_layout;
  window.measured = [];
  PlotView.prototype._measure_layout = function () {
    window.measured.push(this.model.name);
    return before.call(this);
  };
}"""
_SEEN = """(name) => {
  const {el} = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name));
  return el.checkVisibility({visibilityProperty: true}) && el.getBoundingClientRect().height > 0;
}"""


def turn(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def test_a_later_visit_lays_nothing_out(dashboard: Dashboard) -> None:
    page = dashboard()
    measured(page, k_x=16)
    for name, title in (
        ("Error", "Error against levels"), ("Speed", "How much faster than fp32"),
    ):  # fmt: skip
        turn(page, name)
        expect(page.get_by_role("heading", name=title)).to_be_visible()
    turn(page, "Density")
    expect(page.get_by_text("Where a codebook should put")).to_be_visible()
    page.wait_for_timeout(500)
    page.evaluate(_COUNT)
    for name, picture, others in (
        ("Error", "exact", ("density", "speed_bars")),
        ("Speed", "speed_bars", ("density", "exact")),
        ("Density", "density", ("exact", "speed_bars")),
    ):
        turn(page, name)
        page.wait_for_function(_SEEN, arg=picture)
        assert not any(page.evaluate(_SEEN, other) for other in others)
    expect(page.get_by_role("slider", name="Correlation ρ")).to_be_visible()
    page.wait_for_timeout(300)
    assert page.evaluate("window.measured") == []


def test_a_control_that_goes_lays_out_no_other_page(dashboard: Dashboard) -> None:
    page = dashboard("?page=error")
    expect(page.get_by_text("exactly:")).to_be_visible()
    turn(page, "Density")
    measured(page, k_x=16)
    page.wait_for_timeout(500)
    page.evaluate(_COUNT)
    page.get_by_role("button", name="Attention", exact=True).click()
    measured(page, source="attention")
    assert "exact" not in page.evaluate("window.measured")


def test_a_window_that_grows_while_a_page_is_away(dashboard: Dashboard) -> None:
    page = dashboard("?page=error")
    expect(page.get_by_text("exactly:")).to_be_visible()
    turn(page, "Density")
    measured(page, k_x=16)
    page.set_viewport_size({"width": 1600, "height": 900})
    page.wait_for_timeout(300)
    turn(page, "Error")
    page.wait_for_function("""() => {
      const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("exact"));
      return Math.abs(view.el.getBoundingClientRect().width - view.model.outer_width) < 2
        && view.model.outer_width > 500;
    }""")


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1280, 800), (1920, 1080)])
@pytest.mark.parametrize("query", ["", "?tour=5&k_x=2", "?source=attention&tour=8"])
def test_all_cards_of_the_first_page_fit_the_wall(
    dashboard: Dashboard, query: str, width: int, height: int
) -> None:
    page = dashboard(query, width, height)
    for title in (
        "Where a codebook should put its levels", "When the density splits",
        "What the product loses", "Measured at this setting",
    ):  # fmt: skip
        heading = page.get_by_role("heading", name=title)
        box = heading.evaluate(
            "(h) => { const b = h.getRootNode().host.getRootNode().host.getBoundingClientRect();"
            " return [b.top, b.bottom]; }"
        )
        assert 0 < box[0] < box[1] <= height, title
    assert page.evaluate("document.documentElement.scrollHeight") <= height
    heights = page.locator(".bk-Figure").evaluate_all(
        "(all) => all.filter((e) => e.checkVisibility()).map((e) => e.clientHeight)"
    )
    assert min(heights) >= 70
