"""Words and numbers that explain themselves: by pointer, keys and finger."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

import quantlab as ql
from quantlab.dashboard.parts.wording import scientific
from tests.browser.test_accessibility import findings
from tests.browser.test_page import Dashboard, measured

SPLITS = "Where the one peak of λ* becomes two"


def test_a_word_is_explained_by_pointer_and_keys(dashboard: Dashboard, address: str) -> None:
    page = dashboard("?rho=0.8", height=1100)  # nothing scrolls
    note, word = page.locator("#glossary"), page.locator("dfn[data-term=transition]").first
    before = word.bounding_box()
    word.hover()
    expect(note).to_contain_text(SPLITS)
    note.hover()  # to its link
    page.wait_for_timeout(400)
    expect(note).to_be_visible()
    assert findings(page) == []
    page.mouse.move(2, 1090)
    expect(note).to_be_hidden()
    page.get_by_text("Bilinear", exact=True).first.hover()
    expect(note).to_contain_text("Both codebooks sought together")
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    page.locator("dfn[data-term=density]").nth(1).focus()
    page.keyboard.press("Tab")
    expect(note).to_contain_text(SPLITS)
    page.keyboard.press("Enter")
    expect(note.get_by_role("link", name="Notebook 03, The phase transition")).to_be_focused()
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    expect(word).to_be_focused()
    assert word.bounding_box() == before, "nothing moves"
    page.goto(f"{address}/notebook/03_phase_transition")
    expect(page.get_by_role("heading", name="03 · The phase transition")).to_be_visible()
    expect(page.locator(".math.block svg").first).to_be_visible()


def test_a_tap_explains_a_word_and_switches_what_it_switches(
    browser: Browser, address: str
) -> None:
    page = browser.new_context(has_touch=True, viewport={"width": 390, "height": 844}).new_page()
    page.goto(address)
    word = page.locator("dfn[data-term=level]").first
    word.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    word.tap()
    note = page.locator("#glossary")
    expect(note).to_contain_text("an entry is replaced by one of them")
    box = note.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    word.tap()
    expect(note).to_be_hidden()
    plain = page.get_by_role("checkbox", name="Plain")
    page.locator("label", has_text="Plain").first.tap()
    expect(plain).not_to_be_checked()
    expect(note).to_be_hidden()
    page.context.close()


def test_a_number_says_why_it_is_so(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.9&k_x=8&inner_dim=4096&designs=closed_form,gaussian_compander")
    measured(page, k_x=8)
    number = page.get_by_role("button", name="Why is the error of Plain so?")
    number.focus()
    number.press("Enter")
    pair = ql.GaussianPair(0.9)
    error = ql.exact_mse(pair, *ql.DESIGNS["gaussian_compander"](pair, 8, 4096), 4096)
    note = page.locator("#glossary")
    expect(note).to_contain_text(f"Why {scientific(error.nmse)}?")
    expect(note).to_contain_text(f"A gain of {error.gain:.4g} on the product")
    expect(note).to_contain_text(f"{100 * error.bias_share:.0f} %")
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()


def test_what_was_asked_for_goes_along_when_the_page_scrolls(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.9&designs=gaussian_compander", width=700, height=600)
    measured(page, k_x=16)
    number = page.get_by_role("button", name="Why is the error of Plain so?")
    number.click()
    note = page.locator("#glossary")
    expect(note).to_contain_text("A gain of")
    before = number.bounding_box()["y"]
    above = note.bounding_box()["y"] - before
    page.mouse.wheel(0, 30)
    page.wait_for_timeout(300)
    assert number.bounding_box()["y"] < before - 5
    assert note.bounding_box()["y"] - number.bounding_box()["y"] == pytest.approx(above, abs=1)
    page.mouse.wheel(0, -5000)
    expect(note).to_be_hidden()
