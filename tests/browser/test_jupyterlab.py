"""A real JupyterLab in a real Chromium: the notebook runs, and its slider moves the plot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

ROOT = Path(__file__).parents[2]
# line sources of the explorer live in the shadow roots of Bokeh's documents
HEIGHT_AT_CENTRE = """() => {
  const found = Bokeh.documents.flatMap((d) => d._all_models ? [...d._all_models.values()] : [])
    .filter((m) => m.name === "line");
  const {u, optimal} = found[found.length - 1].data;
  return Array.from(optimal)[Math.floor(u.length / 2)];
}"""


#: Not beside the others: words that it derives have no link.
MISSING = "02_point_density.ipynb"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a JupyterLab on a copy of the notebooks but one, with empty settings."""
    tmp_path = tmp_path_factory.mktemp("lab")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        if path.name != MISSING:
            (notebooks / path.name).write_bytes(path.read_bytes())
    places = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = os.environ | {name: str(tmp_path / name) for name in places}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
        "--ip=127.0.0.1", "--IdentityProvider.token=", f"--notebook-dir={notebooks}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]  # fmt: skip
    log = (tmp_path / "lab.log").open("w")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(480):
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=1)
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "lab.log").read_text()
                time.sleep(0.25)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)
        log.close()


@pytest.mark.browser
def test_the_phase_transition_in_jupyterlab(lab: str, page: Page) -> None:
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url))
    page.set_default_timeout(90_000)
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.goto(f"{lab}/lab/tree/03_phase_transition.ipynb?reset")
    page.locator(".jp-Notebook").wait_for()
    page.locator(".jp-Notebook mjx-container").first.wait_for()  # rendered LaTeX

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.locator(".jp-Notebook .bk-Slider, .jp-Notebook .bk-Column").first.wait_for()
    page.wait_for_function("() => window.Bokeh && Bokeh.documents.length >= 4")
    slider = page.get_by_role("slider").first
    slider.wait_for()
    before = page.evaluate(HEIGHT_AT_CENTRE)
    slider.focus()
    for _ in range(40):  # 0.30 -> 0.70
        slider.press("ArrowRight")
    page.wait_for_function(f"(before) => ({HEIGHT_AT_CENTRE})() < before - 0.02", arg=before)

    assert page.locator(".jp-Notebook canvas").count() >= 1
    assert page.locator(".jp-RenderedText[data-mime-type*=error]").count() == 0
    own = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
    assert [url for url in outside if not url.startswith(own)] == []


@pytest.mark.browser
def test_the_dashboard_in_jupyterlab(lab: str, page: Page) -> None:
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url))
    page.set_default_timeout(90_000)
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.goto(f"{lab}/lab/tree/00_start_here.ipynb?reset")
    page.locator(".jp-Notebook mjx-container").first.wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()

    embedded = page.locator(".jp-CodeCell", has_text="show_page()").last
    embedded.scroll_into_view_if_needed()
    embedded.get_by_role("slider").first.wait_for()
    embedded.locator("canvas").first.wait_for()
    share = embedded.get_by_role("button", name="Share")
    expect(share).to_have_css("text-transform", "none")
    expect(share).to_have_css("color", "rgb(0, 114, 178)")
    # the cell is narrower than the window: one card below the other, beside the controls
    first, second = (
        embedded.get_by_role("heading", name=name)
        for name in ("Where a codebook should put its levels", "When the density splits")
    )
    assert second.bounding_box()["x"] == first.bounding_box()["x"]
    expect(first).to_have_css("color", "rgb(27, 36, 48)")
    panel = embedded.locator(".controls").first.bounding_box()
    choice = embedded.get_by_role("button", name="Gallery").bounding_box()
    assert choice["x"] + choice["width"] <= panel["x"] + panel["width"] - 12, "in wider type too"
    words = embedded.get_by_role("button", name="Drawn from a law")
    assert words.evaluate("(button) => button.scrollWidth <= button.clientWidth")
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.get_by_text("Theme", exact=True).first.hover()
    page.get_by_text("JupyterLab Dark", exact=True).click()
    expect(first).to_have_css("color", "rgb(238, 242, 247)")
    expect(share).to_have_css("color", "rgb(86, 180, 233)")

    note = page.locator("#glossary")
    embedded.get_by_role("button", name="Why is the error of Plain so?").click()
    expect(note).to_contain_text("A gain of 1.0")
    page.keyboard.press("Escape")
    embedded.locator("dfn[data-term=plain]").first.hover()
    expect(note).to_contain_text("it does not mind what they are multiplied with")
    assert note.locator("a").count() == 0
    first.locator("dfn").first.hover()
    expect(note).to_contain_text("The K values that an entry can have")
    assert page.locator(".jp-RenderedText[data-mime-type*=error]").count() == 0
    note.get_by_role("link", name="Notebook 04, Codebooks at finite K").click()
    expect(note).to_be_hidden()
    expect(page.get_by_role("heading", name="04 · Codebooks at finite K")).to_be_visible()
    assert len(page.context.pages) == 1, "beside the first one, not in another window"
    own = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
    assert [url for url in outside if not url.startswith(own)] == []
