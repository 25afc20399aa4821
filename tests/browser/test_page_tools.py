"""What stands around the pictures: themes, files, links, lessons."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.testing import assert_allclose
from playwright.sync_api import Browser, Page, expect

import quantlab as ql
from quantlab.dashboard.parts.lessons import TOUR
from tests.browser.test_page import Dashboard, measured, slider, source


def saved(page: Page, title: str, kind: str, folder: Path) -> bytes:
    page.get_by_role("button", name=f"Save {title}", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save {title} as {kind}", exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path.read_bytes()


def table(content: bytes) -> list[dict[str, str]]:
    """Rows of a saved table, without the comment above them."""
    lines = content.decode().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_a_picture_is_saved_as_it_is_drawn(dashboard: Dashboard, tmp_path: Path) -> None:
    page = dashboard("?rho=0.9")
    title = "When the density splits"
    assert saved(page, title, "PNG", tmp_path).startswith(b"\x89PNG")
    # a card of two figures is one picture, under its title and its legend
    title_of_two = "Where a codebook should put its levels"
    png = saved(page, title_of_two, "PNG", tmp_path)
    heights = [page.locator(".bk-Figure").nth(i).bounding_box()["height"] for i in range(2)]
    assert heights[0] >= 120, "on this window too it can be read"
    assert heights[1] >= 96
    assert int.from_bytes(png[20:24]) >= sum(heights) + 36 + 20
    fine = saved(page, title_of_two, "PNG, 3 times as fine", tmp_path)
    assert [int.from_bytes(fine[i : i + 4]) for i in (16, 20)] == [
        3 * int.from_bytes(png[i : i + 4]) for i in (16, 20)
    ]
    svg = ElementTree.fromstring(saved(page, title_of_two, "SVG", tmp_path))
    words = ["".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    for said in (
        title_of_two,
        "λ*, least product error",
        "λ per σ",
        "u = x / σ, standard deviations",
    ):
        assert said in words
    assert f"ρ = 0.9, K = 16, k = 256, seed 0; quantlab {ql.__version__}" in words
    comment = saved(page, title, "CSV", tmp_path)
    assert comment.startswith(f"# {title}\n# ρ = 0.9, K = 16, k = 256, seed 0\n# quant".encode())
    rows = table(comment)
    peaks = [float(row["branches.u"]) for row in rows if row["branches.u"]]
    assert_allclose(peaks, ql.gaussian_peaks(0.9), rtol=1e-12)


def test_a_saved_table_holds_the_curves_themselves(dashboard: Dashboard, tmp_path: Path) -> None:
    page = dashboard("?rho=0.9&law=student_t&nu=6&designs=closed_form")
    title, pair = "Where a codebook should put its levels", ql.StudentTPair(0.9, nu=6)
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('law').data.weight[0] > 1")
    rows = [row for row in table(saved(page, title, "CSV", tmp_path)) if row["law.u"]]
    u = np.array([float(row["law.u"]) for row in rows])
    for name, curve in (("pdf", pair.pdf(u)), ("weight", pair.weight(u))):
        assert_allclose([float(row[f"law.{name}"]) for row in rows], curve, rtol=1e-9)
    page = dashboard("?page=error&rho=0.9&designs=closed_form,lloyd_max")
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('exact_curves').data.x[0]?.length === 8",
        timeout=120_000,
    )
    saves = table(saved(page, "Error against levels", "CSV", tmp_path))
    rows = [row for row in saves if row["exact_curves.name"] == "Closed form"]
    assert [int(row["exact_curves.x"]) for row in rows] == [2, 4, 8, 16, 32, 64, 128, 256]
    books = ql.design_companding(ql.GaussianPair(0.9), 64)
    exact = ql.exact_mse(ql.GaussianPair(0.9), *books, 256).nmse
    assert_allclose(float(rows[5]["exact_curves.y"]), exact, rtol=1e-9)


def test_every_picture_has_a_text_alternative_that_follows(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.3")
    pictures = page.locator(".bk-Figure")
    assert pictures.count() == page.get_by_role("img").count() > 0
    expect(page.get_by_role("img", name="One peak, at u = 0.").first).to_be_visible()
    slider = page.get_by_role("slider", name="Correlation ρ")
    slider.focus()
    slider.press("End")
    expect(page.get_by_role("img", name="Two peaks, at u = ±1.41.").first).to_be_visible()


def test_the_theme_changes_without_losing_the_setting(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.25")
    ink = """() => Bokeh.documents[0].get_model_by_name("density").left[0].major_label_text_color"""
    light = page.evaluate(ink)
    page.get_by_role("button", name="Toggle theme").click()
    page.wait_for_function(f"(before) => ({ink})() !== before", arg=light)
    heading = page.get_by_role("heading", name="When the density splits")
    expect(heading).to_have_css("color", "rgb(238, 242, 247)")
    assert_allclose(source(page, "branches")["rho"], [0.25])


@pytest.mark.parametrize("law", ["student_t", "laplace", "uniform"])
def test_another_law_moves_the_pictures(dashboard: Dashboard, law: str) -> None:
    page = dashboard(f"?law={law}&rho=0.9&designs=closed_form")
    pairs = {
        "student_t": ql.StudentTPair(0.9, nu=5),
        "laplace": ql.LaplacePair(0.9),
        "uniform": ql.UniformCopulaPair(0.9),
    }
    drawn = source(page, "law")
    optimal = ql.PointDensity.optimal(pairs[law])
    assert_allclose(drawn["optimal"], optimal(np.array(drawn["u"])), rtol=1e-9)
    assert np.isnan(np.array(source(page, "curve")["optimal"], dtype=float)).all()
    page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('law_rug').data.u.length === 16", timeout=120_000
    )
    centers = ql.DESIGNS["closed_form"](pairs[law], 16, 256)[0].centers
    assert_allclose(source(page, "law_rug")["u"], centers, rtol=1e-9)


def test_the_tour_leads_from_start_to_end(dashboard: Dashboard) -> None:
    page = dashboard("")
    page.get_by_role("button", name="Tour", exact=True).click()
    for number, step in enumerate(TOUR, 1):
        expect(page.get_by_role("heading", name=f"{number} of 8 {step.title}")).to_be_visible()
        expect(page.get_by_text(step.question)).to_be_visible()
        page.wait_for_function("(stop) => location.search.includes(`tour=${stop}`)", arg=number)
        page.get_by_role("button", name="Finish" if number == len(TOUR) else "Next").click()
    expect(page.get_by_role("heading", name="8 of 8")).to_be_hidden()
    assert "source=attention" in page.url


def test_a_link_gives_the_same_numbers_in_a_new_browser(
    dashboard: Dashboard, browser: Browser, address: str
) -> None:
    page = dashboard(
        "?rho=0.62&linked=0&k_x=12&k_y=24&inner_dim=64&seed=7&designs=closed_form,lloyd_max"
    )
    shown = measured(page, rho=0.62, k_x=12, k_y=24, trials=200)
    slider(page, "Correlation ρ").press("ArrowRight")
    page.wait_for_function("location.search.includes('rho=0.63')")
    shown = measured(page, rho=0.63, k_x=12, k_y=24, trials=200)
    other = browser.new_page()
    other.goto(page.url)
    assert measured(other, rho=0.63, k_x=12, k_y=24, trials=200) == shown
    other.close()


def test_a_teachers_link_hides_controls(dashboard: Dashboard) -> None:
    page = dashboard("")
    page.get_by_role("button", name="Share").click()
    for name in ("Tabs", "Presets, tour and sharing", "Input and law", "Designs", "Seed and reset"):
        page.get_by_role("checkbox", name=name, exact=True).check()
    link = page.get_by_role("dialog").get_by_role("link")
    expect(link).to_have_attribute("href", "?hide=tabs,tools,input,designs,seed")
    expect(page.get_by_role("dialog")).to_contain_text("@misc{quantlab")
    page = dashboard("?hide=tabs,tools,input,designs,seed")
    assert slider(page, "Correlation ρ").count() == 1
    for name in ("Tour", "Share", "Presets", "Attention", "Reset"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_hidden()
    expect(page.get_by_role("tab").first).to_be_hidden()
    expect(page.get_by_role("checkbox", name="Bilinear")).to_be_hidden()


def test_a_preset_sets_the_controls(dashboard: Dashboard) -> None:
    page = dashboard("?seed=5")
    page.get_by_role("button", name="Presets").click()
    page.get_by_role("menuitem", name="Below the transition, ρ = 0.3").click()
    expect(slider(page, "Correlation ρ")).to_have_attribute("aria-valuenow", "0.3")
    page.wait_for_function("location.search === '?rho=0.3'")


def test_play_sweeps_rho_and_pauses(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.3")
    page.get_by_role("button", name="Play ρ").click()
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('branches').data.rho[0] > 0.45")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play ρ")).to_be_visible()
    page.wait_for_timeout(400)  # the last step is painted
    stopped = source(page, "branches")["rho"]
    page.wait_for_timeout(400)
    assert source(page, "branches")["rho"] == stopped


def test_play_ends_when_something_else_moves_rho(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.5")
    play, rho = page.get_by_role("button", name="Play ρ"), slider(page, "Correlation ρ")
    play.click()
    page.get_by_role("button", name="Tour", exact=True).click()
    expect(play).to_be_visible()
    expect(rho).to_have_attribute("aria-valuenow", "0")
    play.click()
    page.get_by_role("tab", name="Attention").click()
    expect(rho).to_be_hidden()
    page.get_by_role("tab", name="Density").click()
    expect(play).to_be_visible()


def test_the_operand_shown_is_lit_under_any_input(dashboard: Dashboard) -> None:
    page = dashboard("?operand=y")
    for given, operand in (("Attention", "Keys"), ("Drawn from a law", "B")):
        page.get_by_role("button", name=given, exact=True).click()
        expect(page.get_by_role("button", name=operand, exact=True)).to_have_attribute(
            "aria-pressed", "true"
        )


def test_predict_first_hides_the_measured_error(dashboard: Dashboard) -> None:
    page = dashboard("?predict=1&designs=gaussian_compander,closed_form")
    commit = page.get_by_role("button", name="Commit the guess")
    expect(commit).to_be_visible()
    expect(page.get_by_text("Hidden until a guess is committed.")).to_be_visible(timeout=120_000)
    assert page.locator("tr[data-design]").count() == 0
    assert source(page, "points")["nmse"] == []
    commit.click()
    expect(page.get_by_text("You said Plain with 100 %. Measured: Closed form")).to_be_visible()
    assert set(measured(page, k_x=16)) == {"gaussian_compander", "closed_form"}
    slider(page, "Correlation ρ").press("ArrowRight")
    expect(commit).to_be_visible()
