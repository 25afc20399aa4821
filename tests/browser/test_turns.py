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
#: Every picture that is seen has been drawn in the size that it has.
_LAID_OUT = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const figures = [...Bokeh.index.query((view) => view.model.type === "Figure")];
  const seen = figures.filter((view) => view.el.checkVisibility({visibilityProperty: true}));
  const near = (a, b) => Math.abs(a - b) < 2;
  done(seen.length > 2 && seen.every(({el, model}) =>
    near(el.clientWidth, model.outer_width) && near(el.clientHeight, model.outer_height)));
})))"""


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


@pytest.mark.parametrize(
    "query", ["?tour=5&k_x=2", "?source=attention&tour=8", "?source=gallery&problem=features"]
)
def test_all_cards_of_the_first_page_fit_the_wall(dashboard: Dashboard, query: str) -> None:
    page = dashboard(query, 1280, 720)
    for width, height in ((1280, 720), (1280, 800), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(_LAID_OUT)
        for title in (
            "Where a codebook should put its levels", "When the density splits",
            "What the product loses", "Measured at this setting",
        ):  # fmt: skip
            heading = page.get_by_role("heading", name=title)
            box = heading.evaluate(
                "(h) => { const b = h.getRootNode().host.getRootNode().host"
                ".getBoundingClientRect(); return [b.top, b.bottom]; }"
            )
            assert 0 < box[0] < box[1] <= height, (title, width, height)
        assert page.evaluate("document.documentElement.scrollHeight") <= height
        heights = page.locator(".bk-Figure").evaluate_all(
            "(all) => all.filter((e) => e.checkVisibility()).map((e) => e.clientHeight)"
        )
        assert min(heights) >= 70, (width, height)
        row = page.evaluate("""() => {
          const {frame, model} = Bokeh.index.query_one((view) => view.model.name === "rug");
          return frame.bbox.height / model.y_range.factors.length;
        }""")
        least = 12 if height == 800 else 7
        assert row > least, "names of rows of centres do not overlap"


def test_keys_of_a_lecture(dashboard: Dashboard) -> None:
    page = dashboard("?tour=5&k_x=2", 1280, 720)
    measured(page, k_x=2)

    def until_link(name: str, value: str | None) -> None:
        page.wait_for_function(
            "([name, value]) => new URL(location).searchParams.get(name) === value",
            arg=[name, value],
        )  # fmt: skip

    page.keyboard.press("k")
    until_link("keep", "k_x:2")
    page.keyboard.press("PageDown")
    until_link("tour", "6")
    page.keyboard.press("p")
    until_link("tour", "5")
    guess = page.get_by_role("textbox", name="Your guess")
    guess.fill("16 kx")
    guess.press("Enter")
    expect(page.get_by_text("Guessed: 16 kx")).to_be_visible()
    expect(guess).not_to_be_focused()
    page.get_by_role("heading", name="What the product loses").hover()
    axis = "Bokeh.documents[0].get_model_by_name('error').below[0]"
    size = f"parseFloat({axis}.major_label_text_font_size)"
    before = page.evaluate(size)
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement !== null")
    page.wait_for_function(f"Math.abs({size} - {1.6 * before}) < 1e-9")
    page.keyboard.press("f")
    page.wait_for_function(f"document.fullscreenElement === null && {size} === {before}")
    page.keyboard.press("x")
    until_link("keep", None)


def test_files_dropped_on_any_page_are_taken(dashboard: Dashboard) -> None:
    page = dashboard()
    page.evaluate("""() => {
      const dataTransfer = new DataTransfer();
      for (const [name, text] of [["a.csv", "1,2\\n3,4\\n5,6"], ["b.csv", "1,2,3\\n3,4,5"]])
        dataTransfer.items.add(new File([text], name, {type: "text/csv"}));
      const options = {dataTransfer, bubbles: true, cancelable: true, composed: true};
      document.body.dispatchEvent(new DragEvent("drop", options));
    }""")
    expect(page.get_by_text("A is 3 × 2 and B 2 × 3")).to_be_visible()
    expect(page.get_by_role("tab", name="Your data")).to_have_attribute("aria-selected", "true")


def test_while_the_hand_rests_all_pages_are_built(dashboard: Dashboard) -> None:
    page = dashboard()
    measured(page, k_x=16)
    height = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate("clearInterval(hand)")
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('keys').tags.length === 0")
    page.wait_for_function("Bokeh.documents[0].is_idle")
    assert page.evaluate("document.documentElement.scrollHeight") == height
    page.evaluate("WebSocket.prototype.send = () => {}")  # no answer of the server is needed
    for name, picture in (("Speed", "speed_bars"), ("Error", "exact"), ("Limits", "limit_rungs")):
        assert not page.evaluate(_SEEN, picture)
        turn(page, name)
        page.wait_for_function(_SEEN, arg=picture)


def test_a_page_is_built_when_the_pointer_is_on_its_tab(dashboard: Dashboard) -> None:
    page = dashboard()
    measured(page, k_x=16)
    page.get_by_role("tab", name="Limits", exact=True).hover()
    page.wait_for_function("!Bokeh.documents[0].get_model_by_name('keys').tags.includes('limits')")
    page.get_by_role("tab", name="Codebooks", exact=True).hover()
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('keys').tags.length < 5")
    assert not page.evaluate(_SEEN, "limit_rungs")
    # what the server did not build while the hand rested, as where many are there
    page.evaluate("""() => {
      window.send = WebSocket.prototype.send;
      WebSocket.prototype.send = () => {};
      clearInterval(hand);
    }""")
    said = "Bokeh.documents[0].get_model_by_name('keys').text"
    page.wait_for_function(f"{said}.startsWith('rest:error ')")
    page.get_by_role("tab", name="Error", exact=True).hover()
    page.wait_for_function(f"{said}.startsWith('near:error ')")
    page.evaluate("() => { WebSocket.prototype.send = window.send; }")
    turn(page, "Limits")
    page.wait_for_function(_SEEN, arg="limit_rungs")


def test_a_painting_asks_for_no_styles(dashboard: Dashboard) -> None:
    page = dashboard()
    measured(page, k_x=16)
    page.evaluate("""() => {
      const own = window.getComputedStyle;
      window.asked = 0;
      window.getComputedStyle = (...of) => { window.asked += 1; return own(...of); };
    }""")
    page.get_by_role("slider", name="Correlation ρ").press("ArrowRight")
    expect(page.get_by_text("ρ = 0.81").first).to_be_visible()
    measured(page, k_x=16)
    assert page.evaluate("window.asked") < 100
