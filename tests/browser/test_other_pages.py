"""The Attention and Speed tabs in the browser, and all tabs at three widths."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from quantlab.dashboard.state import PAGES
from tests.browser.test_page import Dashboard, source, visit


def test_attention_map_and_logits(dashboard: Dashboard) -> None:
    page = dashboard("?page=attention&source=attention&layer=1&head=4")
    expect(page.get_by_text("Layer 1, head 4: ρ =").first).to_be_visible()
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('logits_1').data.logits.length === 1", timeout=120_000
    )
    assert len(source(page, "rho_map")["rho"]) == 72


def test_speed_runs_on_demand(dashboard: Dashboard) -> None:
    page = dashboard("?page=speed")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("tr[data-name='from codes']")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("times as fast as").first).to_be_visible()


def test_tabs_open_by_keyboard_and_keep_the_state(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.7")
    page.get_by_role("tab", name="Density").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("location.search === '?page=error&rho=0.7'")
    page.get_by_role("tab", name="Density").click()
    page.wait_for_function("location.search === '?rho=0.7'")


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_no_page_sticks_out(dashboard: Dashboard, width: int) -> None:
    page = dashboard("", width, 900)
    for name in PAGES:
        visit(page, name)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        figures = page.locator(f".{name} .bk-Figure")
        sticking_out = figures.evaluate_all(
            """(found, width) => found.map((e) => e.getBoundingClientRect())
                .filter((box) => box.left < 0 || box.right > width).length""",
            width,
        )
        assert sticking_out == 0, name
