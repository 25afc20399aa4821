"""The served dashboard, driven as its users drive it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose
from playwright.sync_api import Locator, Page, expect

import quantlab as ql
from quantlab.dashboard.state import DESIGN_LABELS, PAGES
from quantlab.data import load_attention

Dashboard = Callable[..., Page]


@dataclass(frozen=True)
class Shown:
    """A design's row of the table."""

    nmse: float
    low: float
    high: float


def source(page: Page, name: str) -> dict[str, list]:
    """A picture's data, as the browser holds them."""
    return page.evaluate(
        """(name) => Object.fromEntries(Object.entries(
            Bokeh.documents[0].get_model_by_name(name).data
        ).map(([column, values]) => [column, Array.from(values)]))""",
        name,
    )


def drawn_peaks(page: Page) -> list[float]:
    """Local maxima of the drawn density."""
    curve = source(page, "curve")
    u, y = np.array(curve["u"]), np.array(curve["optimal"])
    return u[1:-1][(y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:])].tolist()


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=name)


def press(control: Locator, key: str, times: int = 1) -> None:
    control.focus()
    for _ in range(times):
        control.press(key)


def visit(page: Page, name: str) -> None:
    """Open a tab, and wait for its page."""
    page.get_by_role("tab", name=PAGES[name], exact=True).click()
    shown = page.locator(f".content .{name}:not(.away)")
    expect(shown.get_by_role("heading").first).to_be_visible()


def measured(page: Page, **setting: object) -> dict[str, Shown]:
    """The table's rows once it shows this setting."""
    wanted = "".join(f'[data-{key.replace("_", "-")}="{value}"]' for key, value in setting.items())
    table = page.locator(f"table{wanted}")
    expect(table).to_be_visible(timeout=120_000)
    rows = table.locator("tr[data-design]")
    return {
        row["design"]: Shown(float(row["nmse"]), float(row["low"]), float(row["high"]))
        for row in rows.evaluate_all("rows => rows.map((row) => ({...row.dataset}))")
    }


def test_one_peak_becomes_two_as_rho_moves(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.3")
    assert_allclose(drawn_peaks(page), [0.0], atol=1e-12)
    expect(page.get_by_text("One peak, at u = 0.")).to_be_visible()
    press(slider(page, "Correlation ρ"), "ArrowRight", 60)
    expect(page.get_by_text("Two peaks, at u = ±1.33.")).to_be_visible()
    peaks = ql.gaussian_peaks(0.9)
    # half the step of the drawn grid
    assert_allclose(drawn_peaks(page), peaks, atol=4.6 / 800)
    assert_allclose(source(page, "branches")["u"], peaks, rtol=1e-12)
    assert_allclose(source(page, "branches")["rho"], [0.9, 0.9], rtol=1e-12)


def test_more_levels_lower_the_measured_error_as_theory_says(dashboard: Dashboard) -> None:
    page = dashboard("?k_x=4&designs=gaussian_compander,closed_form")
    few = measured(page, k_x=4, k_y=4)
    press(slider(page, "Levels K of A"), "ArrowRight", 16)
    many = measured(page, k_x=64, k_y=64)
    pair = ql.GaussianPair(0.8)
    for name in ("gaussian_compander", "closed_form"):
        exact = [
            ql.exact_mse(pair, *ql.DESIGNS[name](pair, n_levels), inner_dim=256).nmse
            for n_levels in (4, 64)
        ]
        low, high = few[name].low / many[name].high, few[name].high / many[name].low
        assert low < exact[0] / exact[1] < high
        assert low > 50, "a test that could hardly fail"


def test_the_centres_drawn_are_the_designs_own(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.6&k_x=8")
    measured(page, rho=0.6, k_x=8)
    pair = ql.GaussianPair(0.6)
    for name in ("gaussian_compander", "lloyd_max", "closed_form", "bilinear"):
        centers = ql.DESIGNS[name](pair, 8, 256)[0].centers
        rug = source(page, f"rug_{name}")
        assert_allclose(rug["u"], centers, atol=1e-11)  # two inversions of F, each to 1e-14
        assert set(rug["design"]) == {DESIGN_LABELS[name]}


def test_an_attention_head_is_measured_on_held_out_sequences(dashboard: Dashboard) -> None:
    page = dashboard()
    page.get_by_role("button", name="Attention").click()
    rows = measured(page, source="attention", trials=6)
    assert "empirical" in rows
    assert all(0 < row.low < row.nmse < row.high < 1 for row in rows.values())
    rho = ql.EmpiricalPair(*load_attention().head(2, 6).calibration_pair()).gaussian().rho
    assert_allclose(source(page, "branches")["rho"], [rho], atol=1e-4)  # rho is shown to 4 digits
    estimated = slider(page, "Estimated correlation ρ")
    expect(estimated).to_be_disabled()
    law = source(page, "law")
    assert np.isfinite(law["pdf"]).all()
    assert np.isfinite(law["weight"]).all()


def test_the_curve_against_levels_streams_in(dashboard: Dashboard) -> None:
    page = dashboard("?designs=closed_form&inner_dim=16")
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('points').data.K.length === 8", timeout=120_000
    )
    points = source(page, "points")
    law = source(page, "asymptote")
    pair = ql.GaussianPair(0.8)
    expected = ql.asymptotic_mse(pair, 2, 16) / pair.energy(16)
    assert_allclose(law["nmse"][0], expected, rtol=1e-11)
    curve = dict(zip(points["K"], points["nmse"], strict=True))
    assert sorted(curve) == [2, 4, 8, 16, 32, 64, 128, 256]
    # at K = 256 and k = 16 the bias is below 1 %, and 10 trials scatter by a few
    assert_allclose(curve[256], expected * (2 / 256) ** 2, rtol=0.1)


def test_every_control_has_a_name(dashboard: Dashboard) -> None:
    page = dashboard("?source=attention")
    for name in ("Estimated correlation ρ", "Levels K of A", "Levels K of B"):
        assert slider(page, name).count() == 1
    for name in ("Same K for A and B", *DESIGN_LABELS.values()):
        expect(page.get_by_role("checkbox", name=name, exact=True)).to_be_visible()
    for name in ("Drawn from a law", "Attention", "Queries", "Keys", "Reset"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    for name in ("Layer", "Head"):
        expect(page.get_by_role("combobox", name=name)).to_be_visible()
    page.get_by_role("button", name="Drawn from a law").click()
    expect(page.get_by_role("textbox", name="Seed")).to_be_visible()
    assert slider(page, "Inner dimension k").count() == 1


def test_a_hostile_link_falls_back_value_by_value(dashboard: Dashboard) -> None:
    page = dashboard("?rho=2&k_x=<script>alert(1)</script>&linked=0&k_y=17&nonsense=1")
    notice = page.get_by_text("expected a number from -1 to 1")
    expect(notice).to_be_visible()
    expect(notice).to_contain_text("k_x = '<script>alert(1)</script>' is not used")
    expect(notice).to_contain_text("'nonsense' is not a control")
    measured(page, rho=0.8, k_x=16, k_y=17)


def test_reset_brings_the_defaults_back(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.1&k_x=5&linked=0&k_y=9&seed=3")
    measured(page, rho=0.1, k_x=5, k_y=9)
    page.get_by_role("button", name="Reset", exact=True).click()
    measured(page, rho=0.8, k_x=16, k_y=16)
    expect(slider(page, "Correlation ρ")).to_have_attribute("aria-valuenow", "0.8")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_nothing_sticks_out(dashboard: Dashboard, width: int, height: int) -> None:
    page = dashboard("", width, height)
    measured(page, k_x=16)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rho, picture = slider(page, "Correlation ρ"), page.get_by_text("Where a codebook should put")
    boxes = rho.bounding_box(), picture.bounding_box()
    assert boxes[0] is not None
    assert boxes[1] is not None
    if width < 500:
        assert boxes[0]["y"] < boxes[1]["y"] < height, "controls come first, and a picture shows"
    sticking_out = page.locator(".bk-Figure, table").evaluate_all(
        """(found, width) => found.map((e) => e.getBoundingClientRect())
            .filter((box) => box.left < 0 || box.right > width).length""",
        width,
    )
    assert sticking_out == 0
