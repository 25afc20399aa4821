"""The notebooks to read, as pages: text, equations and code, which a kernel would run."""

from __future__ import annotations

import json
from functools import lru_cache
from html import escape
from pathlib import Path
from string import Template

from bokeh.server.views.auth_request_handler import AuthRequestHandler
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from tornado.web import HTTPError, authenticated

#: In the package and in a clone.
FOLDER = Path(__file__).parents[2] / "notebooks"
#: Equations are drawn by the copy of MathJax in BokehJS.
_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; }
body { font: 17px/1.55 Roboto, system-ui, "DejaVu Sans", sans-serif; margin: 1.5rem auto 4rem;
  max-width: 46rem; padding: 0 1rem; overflow-wrap: break-word; }
pre { background: #8a94a11f; border-radius: 6px; padding: .7rem .9rem; overflow-x: auto;
  font: 13.5px/1.45 "DejaVu Sans Mono", monospace; }
table { border-collapse: collapse; }
td, th { border-bottom: 1px solid #8886; padding: .2rem .7rem; }
.math.block { display: block; overflow-x: auto; margin: .8rem 0; text-align: center; }
.math svg { vertical-align: middle; } summary { cursor: pointer; }
</style></head>
<body><p><a href="$file.ipynb" download>Download this notebook</a> and run it: the code below needs
a kernel.</p>
$cells
<script src="$root/static/js/bokeh.min.js"></script>
<script src="$root/static/js/bokeh-mathjax.min.js"></script>
<script>
const {tex2svg} = Bokeh.require("models/text/mathjax/index");
for (const place of document.querySelectorAll(".math")) {
  const tex = place.textContent, display = place.classList.contains("block");
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", tex);
  place.replaceChildren(...tex2svg(tex, {display, em: 17, ex: 7.7}).children);
}
</script></body></html>
"""
)


class NotebookPage(AuthRequestHandler):
    """NAME: the notebook as a page; NAME.ipynb: its file; behind the password, if any."""

    @authenticated
    def get(self, name: str, ending: str | None) -> None:
        path = FOLDER / f"{name}.ipynb"
        if not path.is_file():
            raise HTTPError(404)
        if ending:
            self.set_header("Content-Type", "application/x-ipynb+json")
            self.write(path.read_bytes())
        else:
            self.write(page(path, self.application.prefix))


@lru_cache(maxsize=32)
def page(path: Path, root: str) -> str:
    """HTML of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    markdown = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, double_inline=True)
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(markdown.render(source))
        elif source:
            parts.append(f"<pre><code>{escape(source)}</code></pre>")
    title = "".join(cells[0]["source"]).splitlines()[0].lstrip("# ")
    return _PAGE.substitute(title=escape(title), file=path.stem, root=root, cells="\n".join(parts))
