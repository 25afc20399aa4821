"""Build the static site: the notebooks executed, a landing page, and every asset beside them.

`python website/build.py` writes site/, which opens from a file, a USB stick or any web server;
`--instrument FILE` writes the instrument alone, one page that needs nothing beside it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from string import Template
from urllib.parse import unquote, urlsplit

import nbformat
from bokeh.embed import components
from bokeh.resources import Resources
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from quantlab.dashboard import browser
from quantlab.dashboard.explorers.density import density_explorer

HERE = Path(__file__).parent
ROOT = HERE.parent
#: BokehJS draws the pictures; its copy of MathJax draws the formulas.
BOKEH = ("bokeh", "bokeh-widgets", "bokeh-mathjax")
#: Cells with this tag need a running kernel, and are shown without being run.
KERNEL = "kernel"
_LOADS_BOKEH = ("views.load_notebook()", "pn.extension(")
_NEEDS_KERNEL = "<p class='note'>This needs a running kernel: <code>make lab</code>.</p>"
_LIMIT_BYTES = 40_000_000
#: Scripts of the instrument: what its worker computes with too, and what only its page has.
_COMPUTING = ("books", "factors", "measure")
_SHOWING = ("numbers", "address", "pictures", "page")


@dataclass(frozen=True)
class Page:
    """One executed notebook."""

    name: str
    title: str
    promise: str
    time: str
    body: str


def build(target: Path, notebooks: Sequence[Path]) -> list[Page]:
    """Write the site into `target`, which is emptied first; ValueError if `problems` finds any."""
    if target.exists() and any(target.iterdir()) and not (target / "index.html").exists():
        raise ValueError(f"{target} is neither empty nor a site; name another folder")
    shutil.rmtree(target, ignore_errors=True)
    (target / "assets").mkdir(parents=True)
    for script in BOKEH:
        path = Path(Resources(mode="absolute").base_dir) / "js" / f"{script}.min.js"
        shutil.copy(path, target / "assets")
    for asset in ("site.css", "site.js"):
        shutil.copy(HERE / asset, target / "assets")
    code_style = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    with (target / "assets/site.css").open("a") as style:
        style.write(code_style + "\n")

    pages = []
    for path in notebooks:
        print(f"running {path.name} ...", flush=True)
        pages.append(read(path))
        shutil.copy(path, target)
    for i, page in enumerate(pages):
        text = _fill("notebook.html", **_around(pages, i), title=page.title, body=page.body)
        (target / f"{page.name}.html").write_text(text)
    script, division = components(density_explorer(rho=0.8))
    cards = "\n".join(_card(page) for page in pages)
    (target / "index.html").write_text(_fill("index.html", density=division + script, cards=cards))
    (target / "instrument.html").write_text(instrument())

    found = list(problems(target))
    if found:
        raise ValueError("the site is not whole:\n" + "\n".join(found))
    return pages


def instrument() -> str:
    """The instrument: one page that holds its style, its scripts and its table of codebooks.

    The formulas of densities, laws and exact errors are the dashboard's own scripts.
    """

    def text(name: str) -> str:
        return (HERE / "instrument" / name).read_text()

    def scripts(names: Sequence[str]) -> str:
        return "\n".join(text(f"{name}.js") for name in names)

    return _fill(
        "instrument/instrument.html", style=text("instrument.css"),
        core=browser.formulas() + scripts(_COMPUTING), worker=text("worker.js"),
        table=text("bilinear.json"), page=scripts(_SHOWING),
    )  # fmt: skip


def read(path: Path) -> Page:
    """Execute a notebook and turn it into HTML that relies on the site's own scripts."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", skip_cells_with_tag=KERNEL,
        resources={"metadata": {"path": str(ROOT)}},
    ).execute()  # fmt: skip
    for cell in notebook.cells:
        if any(call in cell.source for call in _LOADS_BOKEH) and cell.cell_type == "code":
            cell.outputs = []  # BokehJS, which the page has already
        if KERNEL in cell.metadata.get("tags", ()):
            cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": _NEEDS_KERNEL})]
    exporter = HTMLExporter(template_name="basic", exclude_anchor_links=True)
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'href="(\w+)\.ipynb"', r'href="\1.html"', body)
    opening = notebook.cells[0].source
    promise, time = (
        re.search(rf"\*\*{label}:\*\*(.+?)(?:\n\n|\Z)", opening, flags=re.S)
        for label in ("What you will know at the end", "Time")
    )
    title = opening.splitlines()[0].removeprefix("# ")
    if promise is None or time is None:
        raise ValueError(f"{path.name} must open with what one will know, and the time it takes")
    return Page(path.stem, title, promise[1].strip(), time[1].strip(), body)


def _around(pages: Sequence[Page], i: int) -> dict[str, str]:
    """Links of page i: to all, to the one before and to the one after."""
    contents = "".join(
        f'<a href="{p.name}.html"{" aria-current=page" if p is pages[i] else ""} '
        f'title="{escape(p.title)}">{p.name[:2]}</a>'
        for p in pages
    )
    beside = {"before": i - 1, "after": i + 1}
    links = {
        where: f'<a href="{pages[j].name}.html">{escape(pages[j].title)}</a>'
        if 0 <= j < len(pages)
        else ""
        for where, j in beside.items()
    }
    return {"contents": contents, "name": pages[i].name} | links


def _card(page: Page) -> str:
    number, _, title = page.title.partition(" · ")
    # up to the first semicolon or colon, as plain text; formulas are drawn by the page
    promise = re.split(r"[;:] ", " ".join(page.promise.split()))[0].rstrip(".")
    promise = promise.replace("*", "").replace("`", "")
    return (
        f'<a class="card" href="{page.name}.html"><span class="number">{number}</span>'
        f"<h3>{escape(title)}</h3><p>{escape(promise[:1].upper() + promise[1:])}.</p></a>"
    )


def _fill(template: str, **values: str) -> str:
    return Template((HERE / template).read_text()).substitute(values)


class _References(HTMLParser):
    """What a page loads, where it links to, and the places that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif name == "href" and tag in ("a", "area"):
                self.links.append(value or "")
            elif name in ("src", "href", "poster", "data", "srcset") and value:
                self.loaded.append(value)
            elif name == "style" and value:
                self.loaded += _urls(value)


def problems(site: Path) -> Iterator[str]:
    """Every asset that is outside the folder or missing, and every link that leads nowhere.

    Links out of the folder, for reading, are allowed; assets from there are not.
    """
    pages = {path.resolve(): _References(path.read_text()) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for url in page.loaded:
            if urlsplit(url).scheme != "data":
                yield from _missing(site, path, url, pages)
        for url in page.links:
            if urlsplit(url).scheme not in ("http", "https", "mailto"):
                yield from _missing(site, path, url, pages)
    for path in site.rglob("*.css"):
        for url in _urls(path.read_text()):
            if urlsplit(url).scheme != "data":
                yield from _missing(site, path.resolve(), url, pages)
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    if size > _LIMIT_BYTES:
        yield f"the site must stay under {_LIMIT_BYTES / 1e6:.0f} MB; it has {size / 1e6:.1f}"


def _missing(site: Path, source: Path, url: str, pages: dict[Path, _References]) -> Iterator[str]:
    parts = urlsplit(url)
    name = source.name
    if parts.scheme or parts.netloc:
        yield f"{name} loads {url}, which is not in the site"
        return
    target = (source.parent / unquote(parts.path)).resolve() if parts.path else source
    if not target.is_relative_to(site.resolve()) or not target.is_file():
        yield f"{name} refers to {url}, which is not in the site"
    elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
        yield f"{name} refers to {url}, and {target.name} has no such place"


def _urls(style: str) -> list[str]:
    found = re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", style)
    return [first or second for first, second in found]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the static site.")
    parser.add_argument("--output", type=Path, default=ROOT / "site", help="default: site/")
    parser.add_argument(
        "--instrument", type=Path, metavar="FILE", help="write the instrument alone"
    )
    parser.add_argument("notebooks", type=Path, nargs="*", help="default: all of notebooks/")
    options = parser.parse_args(arguments)
    if options.instrument:
        options.instrument.write_text(instrument())
        print(f"{options.instrument}: {options.instrument.stat().st_size / 1e3:.0f} kB")
        return 0
    notebooks = options.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    try:
        pages = build(options.output, notebooks)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in options.output.rglob("*") if path.is_file())
    print(f"{options.output}: {len(pages)} notebooks, {size / 1e6:.1f} MB; open index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
