"""The pictures without a server, in a page that has nothing behind it: their sliders move them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bokeh.embed import file_html
from bokeh.models import Column, Slider
from bokeh.resources import INLINE
from numpy.testing import assert_allclose
from playwright.sync_api import Page

import quantlab as ql
from quantlab.dashboard.explorers.density import density_explorer
from quantlab.dashboard.explorers.gain import gain_explorer
from quantlab.dashboard.explorers.heads import head_explorer
from quantlab.dashboard.explorers.splitting import splitting_explorer
from quantlab.dashboard.explorers.weights import weight_explorer
from quantlab.data import load_attention

PAIR = ql.GaussianPair(0.95)
DATA = "(name) => Object.fromEntries(Object.entries(Bokeh.documents[0].get_model_by_name(name)"
DATA += ".data).map(([key, values]) => [key, Array.from(values)]))"
# milliseconds from a move of the slider to the frame that follows the new data
MOVE = """([slider, source, value]) => new Promise((done) => {
  const get = (name) => Bokeh.documents[0].get_model_by_name(name), before = get(source).data;
  const start = performance.now();
  const look = () => get(source).data === before
    ? requestAnimationFrame(look) : requestAnimationFrame(() => done(performance.now() - start));
  get(slider).value = value;
  look();
})"""
# of any order but that of a server's answer or of a stuck page; benchmarks/ hold the timings
PROMPT_MS = 1000

Opened = Callable[[Column], Page]


@pytest.fixture
def opened(page: Page, tmp_path: Path) -> Iterator[Opened]:
    """Open a picture alone; an error or a request to any server fails the test."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    path = tmp_path / "picture.html"
    page.on("request", lambda r: complaints.append(r.url) if r.url.startswith("http") else None)

    def open_(picture: Column) -> Page:
        path.write_text(file_html(picture, INLINE, "picture"))
        page.goto(path.as_uri())
        page.wait_for_function("window.Bokeh?.documents?.length && Bokeh.documents[0].is_idle")
        return page

    yield open_
    assert complaints == []


def moved(page: Page, slider: str, source: str, value: float) -> dict[str, Any]:
    assert page.evaluate(MOVE, [slider, source, value]) < PROMPT_MS
    return page.evaluate(DATA, source)


def test_weight_turns_over_the_middle(opened: Opened) -> None:
    page = opened(weight_explorer(rho=0.8))
    page.get_by_role("slider").press("End")
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('line').data.weight[70] === 0")
    assert_allclose(moved(page, "rho", "line", 0)["weight"], 1)


def test_centres_split(opened: Opened) -> None:
    page = opened(splitting_explorer(4, 1, rho=0.3))
    page.get_by_role("slider").press("ArrowRight")
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('gaps').data.rho[0] > 0.305")
    now = moved(page, "rho", "centers", 0.8)
    assert_allclose(
        now["a"], ql.design_bilinear(ql.GaussianPair(0.8), 4, 1, symmetric=True)[0].centers
    )
    assert_allclose(now["rho"], [0.8] * 4)


def test_gain_follows_the_length(opened: Opened) -> None:
    books = ql.design_companding(PAIR, 4)
    page = opened(gain_explorer(PAIR, *books, log2_k=6))
    report = ql.exact_mse(PAIR, *books, inner_dim=16384)
    now = moved(page, "log2_k", "points", 14)
    assert_allclose(now["nmse"], [report.nmse, report.nmse_with_gain])
    assert min(page.evaluate(DATA, "curve")["nmse"]) < 1e-4
    page.locator(".bk-slider-value", has_text="16384").wait_for()  # k itself, not its logarithm


def test_heads_change(opened: Opened) -> None:
    heads = [load_attention().head(2, 3), load_attention().head(2, 5)]
    page = opened(head_explorer(heads))
    before = page.evaluate(DATA, "centers")["best"]
    page.get_by_role("slider").press("End")
    page.wait_for_function(
        "(before) => Bokeh.documents[0].get_model_by_name('centers').data.best[0] !== before",
        arg=before[0],
    )
    assert moved(page, "head", "centers", 0)["best"] == before


def test_play_runs_to_the_end_and_stops(opened: Opened) -> None:
    picture = density_explorer(0.9, play=True)
    page = opened(picture)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('rho').value === 1")
    page.get_by_role("button", name="Play").wait_for()  # Pause no longer
    assert page.evaluate(DATA, "line")["optimal"][300] == 0
    assert isinstance(picture.children[0], Slider)
