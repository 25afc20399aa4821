"""Build the site: course, reference, how-to pages and the instrument, every asset beside them.

`python website/build.py` writes site/, which opens from a file, a USB stick or any web server;
`--instrument FILE` writes the instrument alone, one page that needs nothing beside it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from html import escape
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from string import Template
from urllib.parse import unquote, urlsplit

import nbformat

HERE = Path(__file__).parent
ROOT = HERE.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a script, from anywhere

from bokeh.resources import Resources  # noqa: E402

from quantlab.dashboard import browser  # noqa: E402
from website import reference  # noqa: E402
from website.measured import figures  # noqa: E402

#: BokehJS draws the pictures; its copy of MathJax draws the formulas.
BOKEH = ("bokeh", "bokeh-widgets", "bokeh-mathjax")
#: Cells with this tag need a running kernel, and are shown without being run.
KERNEL = "kernel"
_LOADS_BOKEH = ("views.load_notebook()", "pn.extension(")
_NEEDS_KERNEL = "> This needs a running kernel: `make lab`."
_DOWNLOAD = """---

{download}`Download this notebook <../originals/NAME>` and run it: every number above is made by it.
"""
#: Tables of benchmarks/results that are pages too.
_RESULTS = (
    "cpu_amd_epyc",
    "dashboard",
    "design",
    "feedback",
    "instrument",
    "schemes",
    "settle",
    "sweep",
)
_LIMIT_BYTES = 40_000_000
#: Scripts of the instrument: what its worker computes with too, and what only its page has.
_COMPUTING = ("books", "factors", "measure")
_SHOWING = ("numbers", "address", "pictures", "page")


def build(target: Path, notebooks: Sequence[Path], run: Collection[str] | None = None) -> list[str]:
    """Write the site into `target`, which is emptied first; ValueError if `problems` finds any.

    `run`: stems of the pages whose code is run; None: all.
    """
    from sphinx.application import Sphinx

    if target.exists() and any(target.iterdir()) and not (target / "index.html").exists():
        raise ValueError(f"{target} is neither empty nor a site; name another folder")
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="quantlab-site-") as scratch:
        source = Path(scratch) / "source"
        prepare(source, notebooks)
        warnings = StringIO()
        kept = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), kept)))  # for kernels
        sources = [path for path in source.rglob("*") if path.suffix in (".ipynb", ".md")]
        shown = [p for p in sources if run is not None and p.stem not in run]
        excluded = [path.relative_to(source).as_posix() for path in shown]
        try:
            app = Sphinx(
                source, HERE, target, Path(scratch) / "doctrees", "html",
                confoverrides={"nb_execution_excludepatterns": excluded},
                status=None, warning=warnings,
            )  # fmt: skip
            app.build(force_all=True)
        finally:
            os.environ.pop("PYTHONPATH")
            if kept is not None:
                os.environ["PYTHONPATH"] = kept
    for script in BOKEH:
        path = Path(Resources(mode="absolute").base_dir) / "js" / f"{script}.min.js"
        shutil.copy(path, target / "_static")
    (target / "instrument.html").write_text(instrument())
    complaints = re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue()).splitlines()
    found = [line for line in complaints if "WARNING: " in line or "ERROR: " in line]
    found += problems(target)
    if found:
        raise ValueError("the site is not whole:\n" + "\n".join(found))
    return [path.stem for path in notebooks]


def prepare(source: Path, notebooks: Sequence[Path]) -> None:
    """Everything that Sphinx reads, in one folder: pages, notebooks, the reference's pages."""
    shutil.copytree(HERE / "pages", source)
    (source / "originals").mkdir()
    cards = []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        cards.append(_card(path, notebook.cells[0].source))
        shutil.copy(path, source / "originals")
        nbformat.write(_for_the_site(notebook, path.name), source / "course" / path.name)
    _fill(source / "index.md", cards="\n".join(cards))
    choose = source / "choose.md"  # its other dollars are formulas
    choose.write_text(Template(choose.read_text()).safe_substitute(figures()))
    _fill(source / "course/index.md", names="\n".join(path.stem for path in notebooks))
    reference.write(source / "api", notebooks)
    for name in _RESULTS:
        shutil.copy(ROOT / f"benchmarks/results/{name}.md", source / "results")
    # of the paper's experiments what is in words: the tables are 1,632 rows
    text = (ROOT / "benchmarks/results/reproduce/reproduce.md").read_text()
    (source / "results/reproduce.md").write_text(text.partition("\n## ")[0])
    text = (ROOT / "docs/serving.md").read_text().replace("../benchmarks/results/", "../results/")
    text = re.sub(
        r"\[([^\]]+)\]\((?!\.\./results)[^)]+\)", r"`\1`", text
    )  # files of the repository
    (source / "howto/serving.md").write_text(text)


def _for_the_site(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    cells = []
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", ()))
        if cell.cell_type == "code" and any(call in cell.source for call in _LOADS_BOKEH):
            tags.add("remove-output")  # BokehJS, which the page has already
        if KERNEL in tags:
            tags.add("skip-execution")
        cell.metadata["tags"] = sorted(tags)
        cells.append(cell)
        if KERNEL in tags:
            cells.append(nbformat.v4.new_markdown_cell(_NEEDS_KERNEL))
    cells.append(nbformat.v4.new_markdown_cell(_DOWNLOAD.replace("NAME", name)))
    notebook.cells = cells
    return notebook


def _card(path: Path, opening: str) -> str:
    promise, time = (
        re.search(rf"\*\*{label}:\*\*(.+?)(?:\n\n|\Z)", opening, flags=re.S)
        for label in ("What you will know at the end", "Time")
    )
    if promise is None or time is None:
        raise ValueError(f"{path.name} must open with what one will know, and the time it takes")
    number, _, title = opening.splitlines()[0].removeprefix("# ").partition(" · ")
    # up to the first semicolon or colon, as plain text; formulas are drawn by the page
    text = re.split(r"[;:] ", " ".join(promise[1].split()))[0].rstrip(".")
    text = text.replace("*", "").replace("`", "")
    return (
        f'<a class="card" href="course/{path.stem}.html"><span class="number">{number}</span>'
        f"<h3>{escape(title)}</h3><p>{escape(text[:1].upper() + text[1:])}.</p></a>"
    )


def _fill(path: Path, **values: str) -> None:
    path.write_text(Template(path.read_text()).substitute(values))


def instrument() -> str:
    """The instrument: one page that holds its style, its scripts and its table of codebooks.

    The formulas of densities, laws and exact errors are the dashboard's own scripts.
    """

    def text(name: str) -> str:
        return (HERE / "instrument" / name).read_text()

    def scripts(names: Sequence[str]) -> str:
        return "\n".join(text(f"{name}.js") for name in names)

    return Template(text("instrument.html")).substitute(
        style=text("instrument.css"), worker=text("worker.js"), table=text("bilinear.json"),
        core=browser.formulas() + scripts(_COMPUTING), page=scripts(_SHOWING),
    )  # fmt: skip


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
    parser = argparse.ArgumentParser(description="Build the site.")
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
    print("running the notebooks and the pages, a few minutes ...", flush=True)
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
