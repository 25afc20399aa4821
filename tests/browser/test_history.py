"""Back and Forward walk the tabs, the presets and the stops of the tour."""

from __future__ import annotations

from numpy.testing import assert_allclose
from playwright.sync_api import Page, expect

import quantlab as ql
from tests.browser.test_page import Dashboard, drawn_peaks, measured, press, slider, source

PRESET = "Few levels: the closed form fails"


def entries(page: Page) -> int:
    return page.evaluate("history.length")


def choose(page: Page, preset: str) -> None:
    page.get_by_role("button", name="Presets").click()
    page.get_by_role("menuitem", name=preset).click()


def at(page: Page, query: str) -> None:
    page.wait_for_function("(query) => location.search === query", arg=query)


def test_back_and_forward_bring_the_state_back(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.3&seed=5")
    page.evaluate("window.here = true")
    first, before = measured(page, rho=0.3, k_x=16, trials=50), entries(page)
    choose(page, PRESET)
    at(page, "?k_x=2")
    press(slider(page, "Correlation ρ"), "ArrowRight", 10)
    at(page, "?rho=0.9&k_x=2")
    second = measured(page, rho=0.9, k_x=2, trials=50)
    page.get_by_role("tab", name="Attention").click()
    at(page, "?page=attention&rho=0.9&k_x=2")
    assert entries(page) == before + 2

    page.go_back()
    at(page, "?rho=0.9&k_x=2")
    expect(page.get_by_role("tab", name="Density")).to_have_attribute("aria-selected", "true")
    expect(slider(page, "Correlation ρ")).to_have_attribute("aria-valuenow", "0.9")
    assert measured(page, rho=0.9, k_x=2, trials=50) == second
    assert_allclose(source(page, "branches")["u"], ql.gaussian_peaks(0.9), rtol=1e-12)

    page.go_back()
    at(page, "?rho=0.3&seed=5")
    expect(slider(page, "Correlation ρ")).to_have_attribute("aria-valuenow", "0.3")
    expect(page.get_by_label("Seed")).to_have_value("5")
    assert measured(page, rho=0.3, k_x=16, trials=50) == first
    assert_allclose(drawn_peaks(page), [0.0], atol=1e-12)

    page.go_forward()
    at(page, "?rho=0.9&k_x=2")
    assert measured(page, rho=0.9, k_x=2, trials=50) == second
    # another move changes the entry that one has come back to, and keeps the one after it
    press(slider(page, "Correlation ρ"), "ArrowLeft")
    at(page, "?rho=0.89&k_x=2")
    assert entries(page) == before + 2
    page.go_forward()
    expect(page.get_by_role("tab", name="Attention")).to_have_attribute("aria-selected", "true")
    at(page, "?page=attention&rho=0.9&k_x=2")
    assert page.evaluate("window.here")


def test_a_control_and_a_link_make_no_entry(dashboard: Dashboard) -> None:
    page = dashboard("?page=error&rho=0.5")
    before = entries(page)
    press(slider(page, "Correlation ρ"), "ArrowRight", 5)
    at(page, "?page=error&rho=0.55")
    page.get_by_role("button", name="Attention", exact=True).click()
    at(page, "?page=error&source=attention")
    page.get_by_role("button", name="Drawn from a law", exact=True).click()
    page.get_by_role("button", name="Toggle theme").click()
    at(page, "?page=error&rho=0.55&theme=dark")
    assert entries(page) == before
    # a preset that changes nothing makes none, nor does the slider after it
    choose(page, "Bias trap")
    at(page, "?page=error&rho=0.9&k_x=8&inner_dim=4096&theme=dark")
    choose(page, "Bias trap")
    press(slider(page, "Correlation ρ"), "ArrowRight")
    at(page, "?page=error&rho=0.91&k_x=8&inner_dim=4096&theme=dark")
    assert entries(page) == before + 1
    # the theme is the viewer's
    page.go_back()
    at(page, "?page=error&rho=0.55&theme=dark")
    expect(slider(page, "Correlation ρ")).to_have_attribute("aria-valuenow", "0.55")


def test_back_walks_the_tour_and_a_reloaded_page(dashboard: Dashboard) -> None:
    page = dashboard("?designs=")
    before = entries(page)
    page.get_by_role("button", name="Tour", exact=True).click()
    for number in (2, 3):
        page.get_by_role("button", name="Next").click()
        expect(page.get_by_role("heading", name=f"{number} of 8")).to_be_visible()
    at(page, "?rho=0.5773&tour=3")
    assert entries(page) == before + 3
    page.go_back()
    expect(page.get_by_role("heading", name="2 of 8")).to_be_visible()
    expect(slider(page, "Correlation ρ")).to_have_attribute("aria-valuenow", "0.45")
    page.reload()
    expect(page.get_by_role("heading", name="2 of 8")).to_be_visible()
    page.wait_for_function("Bokeh.documents[0].is_idle")
    page.go_back()
    expect(page.get_by_role("heading", name="1 of 8")).to_be_visible()
    # a slider that is still being drawn would put this value back over the next one
    expect(slider(page, "Correlation ρ")).to_have_attribute("aria-valuenow", "0")
    page.wait_for_function("Bokeh.documents[0].is_idle")
    page.go_back()
    expect(page.get_by_role("heading", name="1 of 8")).to_be_hidden()
    expect(page.get_by_role("checkbox", name="Bilinear")).not_to_be_checked()
    at(page, "?designs=")


def test_what_is_on_its_way_at_back_changes_no_other_entry(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.3")
    choose(page, PRESET)
    at(page, "?k_x=2")
    # as the server's answer to a tab that was clicked just before
    page.evaluate("""() => {
        const address = Bokeh.documents[0].get_model_by_name("address");
        addEventListener("popstate", () => { address.tags = [0, "?k_x=2", "?page=error&k_x=2"]; });
        history.back();
    }""")
    at(page, "?rho=0.3")
    expect(slider(page, "Correlation ρ")).to_have_attribute("aria-valuenow", "0.3")
    page.go_forward()
    at(page, "?k_x=2")
    expect(slider(page, "Correlation ρ")).to_have_attribute("aria-valuenow", "0.8")
