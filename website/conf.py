"""Sphinx's settings; website/build.py prepares the folder that they are used in."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import quantlab
from website import reference
from website.build import BOKEH

HERE = Path(__file__).parent

project = "quantlab"
version = release = quantlab.__version__
copyright = "the authors of quantlab, BSD-3-Clause"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["originals/*"]
default_role = "py:obj"
bibtex_bibfiles = [str(HERE / "references.bib")]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_dmath_double_inline = True
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 1800  # only what hangs takes so long
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # the docstrings say types and shapes
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False
toc_object_entries_show_parents = "hide"
python_display_short_literal_types = True

html_theme = "furo"
html_title = "quantlab"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_favicon = str(HERE / "static/icon.svg")
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def formula(translator: Any, node: nodes.Element) -> None:
    """TeX between dollars, which static/site.js draws; an equation of several lines is aligned."""
    text = node.astext()
    if isinstance(node, nodes.math):
        translator.body.append(f'<span class="math">${escape(text)}$</span>')
    else:
        lines = "\n\n" in text or ("\\\\" in text and "\\begin" not in text)
        text = text.replace("\n\n", r" \\ ")
        text = rf"\begin{{aligned}}{text}\end{{aligned}}" if lines else text
        translator.body.append(f'<div class="math">$${escape(text)}$$</div>')
    raise nodes.SkipNode


def add_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """BokehJS, three megabytes, only where there is a picture or a formula."""
    body = context.get("body", "")
    if "data-root-id" in body or 'class="math' in body or re.search(r"<details>.*\$", body):
        for name in BOKEH:
            app.add_js_file(f"{name}.min.js", defer="defer")
    app.add_js_file("site.js", defer="defer")


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("bokeh", (formula, None), (formula, None))
    app.connect("html-page-context", add_scripts)
    # before napoleon, which turns sections into fields
    app.connect("autodoc-process-docstring", reference.prepare, priority=100)


html_math_renderer = "bokeh"
