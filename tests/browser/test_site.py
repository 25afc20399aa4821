"""The static site: whole, local, and alive in a browser that has only the folder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import nbformat
import pytest
from playwright.sync_api import Page, expect

import quantlab as ql
from website.build import build, problems
from website.reference import public_methods

ROOT = Path(__file__).parents[2]
MATHJAX_ERRORS = "[data-mml-node=merror]"
CENTRE = """() => {
  const line = Bokeh.documents[0].get_model_by_name("line").data;
  return line.optimal[Math.floor(line.u.length / 2)];
}"""
PROSE = """() => {
  const main = document.querySelector("article").cloneNode(true);
  main.querySelectorAll("code, pre, script").forEach((part) => part.remove());
  return main.textContent;
}"""
OPENING = """# 98 · A page of its own

**What you will know at the end:** what $1/\\sqrt3$ looks like; and more.

**Time:** no time at all."""
DISPLAY = """## A formula

$$\\lambda^\\star(u) \\propto e^{-u^2/6} \\tag{1}$$

`$not a formula$`, the [page before](97_before.ipynb) and a [paper](https://arxiv.org/abs/2603.19559)."""


def write_notebook(path: Path, *sources: str) -> Path:
    notebook = nbformat.v4.new_notebook()
    for source in sources:
        of_text = source.startswith("#")
        make = nbformat.v4.new_markdown_cell if of_text else nbformat.v4.new_code_cell
        notebook.cells.append(make(source))
    notebook.cells[-1].metadata["tags"] = ["kernel"]
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    before = write_notebook(folder / "97_before.ipynb", OPENING.replace("98", "97"), "1 / 0")
    after = write_notebook(
        folder / "98_page.ipynb",
        OPENING,
        "from quantlab import views\n"
        "from quantlab.dashboard.explorers.density import density_explorer\n"
        "views.load_notebook()",
        DISPLAY,
        "views.show(density_explorer(rho=0.3))",
        "raise RuntimeError('a cell that needs a kernel is not run')",
    )
    course = sorted((ROOT / "notebooks").glob("*.ipynb"))
    build(folder / "site", [*course, before, after], run=("index", "97_before", "98_page"))
    return folder / "site"


@pytest.fixture(params=["file", "server"])
def address(request: pytest.FixtureRequest, site: Path) -> Iterator[str]:
    """The site from a folder, and from a plain server."""
    if request.param == "file":
        yield site.as_uri()
        return
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


@pytest.fixture
def quiet_page(page: Page, address: str) -> Iterator[Page]:
    """A page that fails the test on a console error, and on a request outside the site."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on(
        "request",
        lambda sent: (
            complaints.append(sent.url)
            if not sent.url.startswith((address, "data:", "blob:"))
            else None
        ),
    )
    yield page
    assert complaints == []


# where it comes from has nothing to do with a window's width
@pytest.mark.parametrize(
    ("address", "width"),
    [("file", 390), ("server", 1920), ("server", 1280), ("server", 390)],
    indirect=["address"],
)
@pytest.mark.parametrize("name", ["index", "course/98_page"])
def test_it_lives_without_a_kernel(quiet_page: Page, address: str, name: str, width: int) -> None:
    page = quiet_page
    page.emulate_media(color_scheme="dark" if width == 1280 else "light")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{address}/{name}.html")
    page.wait_for_function("document.documentElement.dataset.drawn")

    assert page.locator(".formula svg").count() >= 2
    assert page.locator(MATHJAX_ERRORS).count() == 0
    assert "$" not in page.evaluate(PROSE)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    canvas = page.locator("canvas").first.bounding_box()
    assert canvas is not None
    assert 0.6 * min(width, 640) < canvas["width"] < width

    before = page.evaluate(CENTRE)
    slider = page.get_by_role("slider")
    slider.press("End")  # rho = 1
    page.wait_for_function(f"({CENTRE})() === 0")
    assert before > 0.1


def test_the_reference_has_formulas_and_finds_a_word(quiet_page: Page, address: str) -> None:
    quiet_page.goto(f"{address}/search.html?q=bias")
    expect(quiet_page.locator("#search-results a", has_text="exact_mse").first).to_be_visible()
    quiet_page.goto(f"{address}/api/exact_mse.html")
    expect(quiet_page.locator(".formula svg").first).to_be_visible()
    assert quiet_page.locator(MATHJAX_ERRORS).count() == 0
    assert "$" not in quiet_page.evaluate(PROSE)
    quiet_page.locator(".viewcode-link").first.click()
    expect(quiet_page.locator("#exact_mse")).to_contain_text("def exact_mse")


def test_every_public_name_has_a_page(site: Path) -> None:
    for name in ql.__all__:
        text = (site / f"api/{name}.html").read_text()
        assert f'id="quantlab.{name}"' in text
        for member in public_methods(getattr(ql, name)):
            assert f'id="quantlab.{name}.{member}"' in text, member


def test_pages_link_to_each_other(site: Path) -> None:
    assert list(problems(site)) == []
    assert 'href="instrument-page.html"' in (site / "index.html").read_text()
    page = (site / "course/98_page.html").read_text()
    assert 'href="97_before.html"' in page
    assert (
        "needs a running kernel" in page
    )  # in place of what a cell would show that needs a kernel
    assert "RuntimeError" in page  # its source is shown


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        ('<script src="https://example.org/x.js"></script>', "loads https://example.org/x.js"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "loads //example.org/x.css"),
        ('<img src="missing.png">', "missing.png, which is not in the site"),
        ('<a href="09_missing.html">9</a>', "09_missing.html, which is not in the site"),
        ('<a href="../secret.html">up</a>', "../secret.html, which is not in the site"),
        ('<a href="index.html#nowhere">x</a>', "index.html has no such place"),
        ('<p style="background: url(https://example.org/x.png)">', "loads https://example.org"),
    ],
)
def test_what_leaves_the_folder_is_found(tmp_path: Path, addition: str, complaint: str) -> None:
    (tmp_path / "index.html").write_text("<html><body><a href='extra.html'>x</a></body></html>")
    (tmp_path / "extra.html").write_text(f"<html><body>{addition}</body></html>")
    (found,) = problems(tmp_path)
    assert complaint in found


def test_a_style_that_asks_elsewhere_is_found(tmp_path: Path) -> None:
    style = tmp_path / "extra.css"
    style.write_text("@import 'https://example.org/x.css'; p { background: url(x.png) }")
    assert len(list(problems(tmp_path))) == 2


def test_it_empties_no_folder_that_is_not_a_site(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("keep")
    with pytest.raises(ValueError, match="neither empty nor a site"):
        build(tmp_path, [])
    assert (tmp_path / "letter.txt").read_text() == "keep"
