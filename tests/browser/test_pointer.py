"""Pictures answer a pointer, a tap and keys; what a line or a dot marks is dragged."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from playwright.sync_api import ElementHandle, Page, expect

import quantlab as ql
from tests.browser.test_page import Dashboard, measured, slider

#: page, figure, where a pointer stands in its frame, what it reads
READ = [
    ("?rho=0.3", "density", (0.6, 0.4), r"u = 0.92 σ\npdf .*weight w 0\.99\n.*λ\* 0\."),
    ("?rho=0.3", "pitchfork", (0.95, 0.244), r"ρ = 0.90\nλ\* peaks at 1.33 σ"),
    ("?page=error", "exact", (0.5, 0.55), r"K = 23\n.+ × 10"),
    ("?page=error", "split", (0.5, 0.4), r"k = \d+\n.+, bias: .+ × 10"),
    ("?page=error", "entries_0", (0.5, 0.5), r"row 3\d, column 3\d: "),
    ("?page=codebooks&k_x=4", "codebook", (0.45, 0.3), r"cell 1: mass .+ %, .+ % of the error"),
    ("?page=attention", "rho_heads", (0.45, 0.45), r"layer 2, head 5: ρ = "),
    ("?page=attention", "logits", (0.5, 0.5), r"query 24, key 24: "),
    ("?page=attention", "ladder_bars", (0.2, 0.1), r".+: \d+\.\d dB"),
]  # fmt: skip
_FRAME = """(name) => {
    const view = Bokeh.index.query_one((candidate) => candidate.model.name === name);
    const box = view.canvas_view.el.getBoundingClientRect(), {bbox} = view.frame;
    return [box.left + bbox.left, box.top + bbox.top, bbox.width, bbox.height];
}"""
_PLACE = """([name, x]) => {
    const view = Bokeh.index.query_one((candidate) => candidate.model.name === name);
    const box = view.canvas_view.el.getBoundingClientRect();
    return [box.left + view.frame.x_scale.compute(x), box.top + view.frame.bbox.top + 40];
}"""


def picture(page: Page, name: str) -> ElementHandle:
    """The figure, drawn and in sight."""
    page.wait_for_function(
        "(name) => Bokeh.index.query_one((v) => v.model.name === name)?.frame?.bbox.width > 0",
        arg=name,
    )  # fmt: skip
    found = page.evaluate_handle(
        "(name) => Bokeh.index.query_one((view) => view.model.name === name).el", name
    ).as_element()
    assert found is not None
    found.scroll_into_view_if_needed()
    return found


def place(page: Page, name: str, x: float) -> tuple[float, float]:
    """Where x stands in the figure, on the screen."""
    picture(page, name)
    at = page.evaluate(_PLACE, [name, x])
    return at[0], at[1]


@pytest.mark.parametrize("query", dict.fromkeys(query for query, *_ in READ))
def test_a_pointer_reads_every_picture(dashboard: Dashboard, query: str) -> None:
    page = dashboard(query)
    tip = page.locator("#readout-tip")
    for of, name, (x, y), says in READ:
        if of != query:
            continue
        picture(page, name)
        for _ in range(100):  # until its data are there
            left, top, width, height = page.evaluate(_FRAME, name)
            page.mouse.move(left + x * width, top + y * height)
            if tip.is_visible():
                break
            page.mouse.move(1, 1)
            page.wait_for_timeout(200)
        expect(tip).to_have_text(re.compile(says, re.DOTALL), use_inner_text=True)
    page.mouse.move(1, 1)
    expect(tip).to_be_hidden()


def test_keys_and_a_tap_read_it_too(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.5")
    measured(page, rho=0.5)
    tip = page.locator("#readout-tip")
    picture(page, "density").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    density = ql.PointDensity.optimal(ql.GaussianPair(0.5))(np.array([0.092]))[0]
    expect(tip).to_contain_text("u = 0.09 σ")
    expect(tip).to_contain_text(f"λ* {density:.3f} per σ")
    expect(page.get_by_role("status").filter(has_text="u = 0.09 σ")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    x, y = place(page, "density", 1.0)
    finger = page.context.new_cdp_session(page)
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(tip).to_contain_text("u = 1.00 σ")


#: page -> figure, from where to where in it, the control that follows, what its link says then
DRAGGED = {
    "?rho=0.3": [
        ("pitchfork", 0.3, 0.8, "Correlation ρ", ""),
        ("error", 16, 4, "Levels K of A", "k_x=4"),
    ],
    "?page=error": [
        ("exact", 16, 32, "Levels K of A", "k_x=32"),
        ("split", 256, 16, "Inner dimension k", "inner_dim=16"),
    ],
}


@pytest.mark.parametrize("query", DRAGGED)
def test_lines_and_dots_are_dragged(dashboard: Dashboard, query: str) -> None:
    page = dashboard(query)
    for name, start, end, control, link in DRAGGED[query]:
        (x, y), to = place(page, name, start), place(page, name, end)[0]
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(0.5 * (x + to), y)
        page.mouse.move(to, y)
        text = slider(page, control).get_attribute("aria-valuetext") or ""
        page.mouse.up()
        page.mouse.move(x, y)  # let go: it stays
        if name == "pitchfork":
            value = float(slider(page, control).get_attribute("aria-valuenow") or "nan")
            assert_allclose(value, end, atol=0.011)
        else:
            page.wait_for_function("(link) => location.search.includes(link)", arg=link)
        assert slider(page, control).get_attribute("aria-valuetext") in (text, None)
