"""Codebooks designed by hand: mouse, finger and keys move centres, and the exact error follows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from numpy.testing import assert_allclose
from playwright.sync_api import Locator, Page, expect

import quantlab as ql
from quantlab.dashboard.parts.wording import scientific
from quantlab.dashboard.state import SYNTHETIC, Problem
from quantlab.dashboard.work.own import best_known
from quantlab.files.codebooks import read
from tests.browser.test_accessibility import findings
from tests.browser.test_connection import STALE
from tests.browser.test_page import Dashboard

FOUR = "?page=codebooks&own_x=-1.5,-0.5,0.5,1.5"


def opened(dashboard: Dashboard, query: str = FOUR, width: int = 1280) -> Page:
    """The page once the board has an error and an optimum to compare it with."""
    page = dashboard(query, width=width)
    expect(page.locator(".desk")).to_have_attribute("data-distance", re.compile(r"\d"))
    return page


def grip(page: Page, i: int, who: str = "A and B") -> Locator:
    return page.get_by_role("slider", name=f"Centre {i} of {who}", exact=True)


def at(handle: Locator) -> float:
    return float(handle.get_attribute("aria-valuenow") or "nan")


def middle(handle: Locator) -> tuple[float, float]:
    box = handle.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def wait_for_link(page: Page, name: str, value: str) -> None:
    """Until the link's value of that name ends so."""
    page.wait_for_function(
        "([name, value]) => (new URL(location).searchParams.get(name) ?? '').endsWith(value)",
        arg=[name, value],
    )  # fmt: skip


def nmse(page: Page) -> float:
    return float(page.locator(".desk").get_attribute("data-nmse") or "nan")


def drag(page: Page, handle: Locator, by: float) -> None:
    x, y = middle(handle)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by / 2, y)
    page.mouse.move(x + by, y + 20)


@pytest.mark.parametrize("law", ["gaussian", "student_t", "laplace"])
def test_the_error_shown_is_that_of_the_codebook_saved(
    dashboard: Dashboard, tmp_path: Path, law: str
) -> None:
    page = opened(dashboard, f"{FOUR}&law={law}&rho=0.7&inner_dim=64")
    last = grip(page, 4)
    drag(page, last, 40)
    # still held: the picture and the error have followed, the mirror image too
    assert at(last) > 1.7
    assert at(grip(page, 1)) == -at(last)
    pair = {
        "gaussian": ql.GaussianPair, "student_t": ql.StudentTPair, "laplace": ql.LaplacePair,
    }[law](0.7, **({"nu": 5.0} if law == "student_t" else {}))  # fmt: skip
    held = ql.Codebook([-at(last), -0.5, 0.5, at(last)])
    exact = ql.exact_mse(pair, held, held, 64)
    expect(page.locator(".score .nmse")).to_have_text(scientific(exact.nmse))
    expect(page.locator(".score .gain")).to_have_text(f"{exact.gain:.4f}")
    expect(page.locator(".score .bias")).to_have_text(scientific(exact.bias / pair.energy(64)))
    best = best_known(
        Problem(SYNTHETIC, 0.7, 64, 0, family=law, nu=5.0 if law == "student_t" else 0.0), 4, 4
    )
    distance = page.locator(".desk").get_attribute("data-distance")
    assert_allclose(float(distance or "nan"), exact.nmse / best["nmse"] - 1, rtol=1e-9)
    page.mouse.up()
    expect(page.get_by_role("textbox", name="As Python")).to_have_value(
        re.compile(re.escape(str(held.centers[-1])))
    )
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    path = tmp_path / "books.json"
    download.value.save_as(path)
    assert read("books.json", path.read_bytes()) == (held, held)
    wait_for_link(page, "own_x", f",{held.centers[-1]:g}")
    if law == "gaussian":  # the link's centres are of any law
        page.reload()
    expect(last).to_have_attribute("aria-valuenow", f"{held.centers[-1]:g}")


def test_a_finger_drags_on_a_phone(dashboard: Dashboard) -> None:
    page = opened(dashboard, width=390)
    handle = grip(page, 3)
    handle.scroll_into_view_if_needed()
    x, y = middle(handle)
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        finger.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]},
        )

    before = nmse(page)
    touch("touchStart", (x, y))
    for step in range(1, 5):
        touch("touchMove", (x + 4 * step, y))
    touch("touchEnd")
    assert at(handle) > 0.8
    assert nmse(page) != before
    wait_for_link(page, "own_x", f",{at(handle):g},1.5")


def test_keys_move_add_and_take_away(dashboard: Dashboard) -> None:
    page = opened(dashboard)
    grip(page, 4).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageUp")
    assert_allclose([at(grip(page, i)) for i in (1, 4)], [-1.61, 1.61])
    page.get_by_role("checkbox", name="Symmetric").uncheck()
    page.get_by_role("checkbox", name="B as A").uncheck()
    grip(page, 4, "B").press("ArrowLeft")
    assert_allclose([at(grip(page, 1, "B")), at(grip(page, 4, "B"))], [-1.61, 1.6])
    assert at(grip(page, 4, "A")) == 1.61
    grip(page, 3, "B").press("Delete")
    expect(grip(page, 4, "B")).to_have_count(0)
    box = page.locator(".field").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 60)
    expect(grip(page, 3, "A")).to_be_focused()
    assert abs(at(grip(page, 3, "A"))) < 0.02
    page.get_by_role("button", name="Remove centre 3 of A").click()
    expect(grip(page, 5, "A")).to_have_count(0)
    wait_for_link(page, "own_y", "-1.61,-0.5,1.6")
    for _ in range(2):
        grip(page, 1, "B").press("Delete")
    expect(page.get_by_text("A codebook has at least two centres.")).to_be_visible()
    page.wait_for_function(f"{STALE} === '0'")
    page.wait_for_timeout(500)  # grey fades
    assert findings(page) == []
    expect(page.locator(".desk")).to_have_attribute("data-distance", re.compile(r"\d"))


def test_beat_the_optimum(dashboard: Dashboard) -> None:
    page = opened(dashboard, "?page=codebooks&k_x=4&own_x=-2,-0.4,0.4,2")
    marks = page.locator(".marks")
    expect(marks).to_have_attribute("d", re.compile("M"))
    page.get_by_role("button", name="Beat the optimum").click()
    expect(grip(page, 4)).to_have_attribute("aria-valuenow", "1.5")
    expect(marks).to_have_attribute("d", "")
    wait_for_link(page, "beat", "1")
    start = nmse(page)
    for _ in range(3):
        grip(page, 4).press("PageUp")
    expect(page.locator(".desk")).not_to_have_attribute("data-nmse", str(start))
    best = page.locator(".score .best").inner_text()
    for _ in range(3):
        grip(page, 4).press("PageDown")
    expect(page.locator(".score .distance")).not_to_have_text(best)
    expect(page.locator(".score .best")).to_have_text(best)
    page.get_by_role("button", name="My best").click()
    expect(grip(page, 4)).to_have_attribute("aria-valuenow", "1.8")
    page.get_by_role("button", name="I give up").click()
    expect(marks).to_have_attribute("d", re.compile("M"))


def test_any_design_is_a_start(dashboard: Dashboard) -> None:
    page = dashboard("?page=codebooks&k_x=3&rho=0.9")
    page.get_by_role("button", name="Design your own from this one").click()
    expect(grip(page, 3)).to_be_visible()
    start = ql.DESIGNS["closed_form"](ql.GaussianPair(0.9), 3, 256)[0].centers
    assert_allclose([at(grip(page, i)) for i in (1, 2, 3)], start, atol=6e-5)
    expect(page.get_by_role("slider", name="Levels K of A")).to_be_hidden()
    page.get_by_role("button", name="Back to the designs").click()
    expect(grip(page, 3)).to_be_hidden()
    expect(page.get_by_text("Closed form, 3 levels")).to_be_visible()
