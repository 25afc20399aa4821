"""Every control and picture of every page, once, by keyboard: each answers, none is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from quantlab.dashboard.parts.layout import SAVES
from quantlab.dashboard.state import PAGES
from tests.browser.conftest import served
from tests.browser.test_page import Dashboard

#: A server whose measurements last until they are stopped: "it runs" must not pass unseen. Wins are
#: counted on three heads.
_ENDLESS = """
import sys
from functools import partial
from quantlab.dashboard.pages import attention, error_study
from quantlab.dashboard.work import speed
from quantlab.cli import main
few = [(1, 4), (2, 5), (5, 0)]
attention.attention_errors = partial(attention.attention_errors, heads=few)
speed._SECONDS, speed._MOST_ROUNDS = 1e9, 10**9
trials = error_study._trials
error_study._trials = lambda request, gain, n, task: trials(request, gain, 10**6 * n, task)
sys.exit(main())
"""

#: Keeps what a page saves: Chromium ends a page's tenth download.
_KEEP = """() => {
    window.kept = [];
    const size = async (address) => (await (await fetch(address)).blob()).size;
    HTMLAnchorElement.prototype.click = function () {
        kept.push(size(this.href).then((size) => ({name: this.download, size})));
    };
}"""

#: What changes which controls there are, in this order after all others.
_LAST = ("Predict first", "Tour", "Attention", "Gallery", "Reset")
_ROLES = ("slider", "checkbox", "switch", "combobox", "radio", "textbox", "button")


def controls(page: Page) -> list[tuple[str, str]]:
    """(role, name) of what is shown and free to be used, in the page's order."""
    lines = page.locator("body").aria_snapshot().splitlines()
    found = [re.match(r"""\s*- '?(\w+)(?: "([^"]*)\")?(.*)""", line) for line in lines]
    shown = [(m[1], m[2]) for m in found if m and m[1] in _ROLES and "[disabled]" not in m[3]]
    assert all(name for _, name in shown), f"a control without a name: {shown}"
    return shown


def named(page: Page, role: str, name: str) -> Locator:
    return page.get_by_role(role, name=name, exact=True)


def use(page: Page, role: str, name: str) -> None:
    """Press a key on the control, and see that it answers."""
    control = named(page, role, name)
    expect(control).to_be_enabled()
    control.focus()
    if role == "slider":
        before = control.get_attribute("aria-valuenow")
        control.press(
            "ArrowLeft" if before == control.get_attribute("aria-valuemax") else "ArrowUp"
        )
        expect(control).not_to_have_attribute("aria-valuenow", before or "")
    elif role in ("checkbox", "switch"):
        was = control.is_checked()
        control.press("Space")
        expect(control).to_be_checked(checked=not was)
        if name == "Transpose B":  # does not fit the example
            control.press("Space")
    elif role == "combobox":
        before = control.inner_text()
        control.press("Space")
        options = page.get_by_role("listbox").get_by_role("menuitem")
        expect(options.first).to_be_focused()
        if options.first.inner_text() == before:
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        if options.count() > 1:
            expect(control).not_to_have_text(before)
        expect(options.first).to_be_hidden()
    elif role == "radio":
        control.press("Space")
        expect(control).to_be_checked()
    elif name == "Seed":
        control.fill("5")
        control.press("Enter")
        page.wait_for_function("location.search.includes('seed=5')")
    elif name in ("Rows m", "Inner k", "Columns n"):
        control.fill("300")
        control.press("Enter")
        expect(control).to_have_value("300")
    elif role == "textbox":
        assert name == "As Python"
        control.press("Control+a")
        assert "ql.Codebook(" in control.input_value()
    elif name.startswith(("Save ", "Codes of ", "Codebooks", "Report")):
        with page.expect_download() as download:
            control.press("Enter")
        assert download.value.path().stat().st_size > 0
    elif name.startswith(("Choose ", "Bring your own")):
        with page.expect_file_chooser():
            control.press("Enter")
    elif control.get_attribute("aria-pressed") is not None:
        control.press("Enter")
        expect(control).to_have_attribute("aria-pressed", "true")
    elif name.startswith("Why is "):
        control.press("Enter")
        expect(page.locator("#glossary")).to_contain_text("Why ")
        page.keyboard.press("Escape")
        expect(page.locator("#glossary")).to_be_hidden()
    elif name.startswith("Fill the screen"):
        control.press("Enter")
        page.wait_for_function("document.fullscreenElement")
        page.evaluate("document.exitFullscreen()")
        page.wait_for_function("!document.fullscreenElement")
    else:
        control.press("Enter")
        _ANSWERS[name](page)


def _menu(page: Page) -> None:
    expect(page.get_by_role("menuitem").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menuitem").first).to_be_hidden()


def _tour(page: Page) -> None:
    expect(named(page, "button", "Next")).to_be_enabled()
    named(page, "button", "End the tour").press("Enter")
    expect(named(page, "button", "Next")).to_be_hidden()


def _dialog(page: Page) -> None:
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def _stopped(start: str) -> Callable[[Page], None]:
    """It runs; Stop ends it, and it can be started again."""

    def check(page: Page) -> None:
        expect(named(page, "button", start)).to_be_disabled()
        expect(named(page, "button", "Stop")).to_be_enabled()
        named(page, "button", "Stop").press("Enter")
        expect(named(page, "button", start)).to_be_enabled()

    return check


def _playing(label: str) -> Callable[[Page], None]:
    def check(page: Page) -> None:
        named(page, "button", "Pause").press("Enter")
        expect(named(page, "button", label)).to_be_visible()

    return check


def _kept(page: Page) -> None:
    named(page, "button", "Clear kept").press("Enter")
    expect(named(page, "button", "Keep this")).to_be_visible()


def _example(page: Page) -> None:
    expect(named(page, "button", "Compare the designs")).to_be_enabled()
    expect(named(page, "button", "Report")).to_be_disabled()


def _own(page: Page) -> None:
    expect(page.get_by_role("slider", name="Centre 1 of A")).to_be_visible()
    named(page, "button", "Back to the designs").press("Enter")
    expect(page.get_by_role("slider", name="Centre 1 of A")).to_be_hidden()


_ANSWERS: dict[str, Callable[[Page], None]] = {
    "Toggle theme": lambda page: page.wait_for_function("location.search.includes('theme=dark')"),
    "Presets": _menu,
    "Tour": _tour,
    "Share": _dialog,
    "Keep this": _kept,
    "Play ρ": _playing("Play ρ"),
    "Play": _playing("Play"),
    "Reset": lambda page: page.wait_for_function("!/rho=|source=|k_x=/.test(location.search)"),
    "Measure": _stopped("Measure"),
    "Run": _stopped("Run"),
    "Compare the designs": lambda page: expect(named(page, "button", "Report")).to_be_enabled(),
    "Try with an example": _example,
    "Design your own from this one": _own,
    "Copy as Python": lambda page: expect(named(page, "button", "Copied")).to_be_visible(),
    "Commit the guess": lambda page: expect(page.get_by_text("Measured: ").first).to_be_visible(),
    "Drop points": lambda page: expect(page.get_by_text("uniform points").first).to_be_visible(),
    "Count the wins": lambda page: expect(
        page.locator("td[data-wins='empirical int_absmax']")
    ).to_have_text("3"),
}


def _rank(name: str) -> int:
    return 1 + _LAST.index(name) if name in _LAST else 0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served("-c", _ENDLESS) as url:
        yield url


def save_pictures(page: Page) -> None:
    """The first card in each format to a file; all of them, in each, to a blob with content."""
    saves = [control for _, control in controls(page) if control.startswith("Save ")]
    files = [control for control in saves if control.startswith("Save as ")]
    cards = [control for control in saves if control not in files]
    assert cards
    for kind in SAVES.values():
        named(page, "button", cards[0]).press("Enter")
        use(page, "button", f"{cards[0]} as {kind}")
    page.evaluate(_KEEP)
    of_cards = [(card, kind) for card in cards for kind in SAVES.values()]
    for card, kind in (*of_cards, *(control.split(" as ") for control in files)):
        page.evaluate("window.kept = []")
        if card in cards:
            named(page, "button", card).press("Enter")
        control = f"{card} as {kind}"
        named(page, "button", control).press("Enter")
        page.wait_for_function("kept.length > 0")
        kind = kind.split(",")[0].lower()
        for kept in page.evaluate("Promise.all(kept)"):
            assert kept["name"].endswith(f".{kind}"), control
            assert kept["size"] > 0, control
    page.evaluate("() => { delete HTMLAnchorElement.prototype.click }")


@pytest.mark.parametrize("name", PAGES)
def test_every_control_answers(dashboard: Dashboard, name: str) -> None:
    page = dashboard(f"?page={name}")
    page.context.grant_permissions(["clipboard-write"])
    page.wait_for_timeout(1000)
    save_pictures(page)
    used: set[tuple[str, str]] = set()
    # pressing some brings others: the attention heads' layer, the example's report
    while left := [
        (role, control)
        for role, control in controls(page)
        if (role, control) not in used and not control.startswith(("Copied", "Save "))
    ]:
        role, control = min(left, key=lambda each: _rank(each[1]))
        use(page, role, control)
        used.add((role, control))
        if control in ("Attention", "Gallery"):  # controls of the input before go
            page.wait_for_function("name => location.search.includes(name)", arg=control.lower())
            page.wait_for_timeout(1000)
        if control == "Tour":
            named(page, "tab", PAGES[name]).press("Enter")
            page.wait_for_timeout(1000)
        expect(page.get_by_role("tab", selected=True)).to_have_text(PAGES[name])
    assert len(used) >= (7 if name == "limits" else 8)


def test_files_of_a_comparison_are_there_when_it_is(dashboard: Dashboard) -> None:
    page = dashboard("?page=data")
    named(page, "button", "Try with an example").press("Enter")
    compare = named(page, "button", "Compare the designs")
    expect(compare).to_be_enabled()
    compare.press("Enter")
    for name in ("Codes of A", "Codes of B", "Codebooks", "Report"):
        expect(named(page, "button", name)).to_be_enabled()
        use(page, "button", name)
