"""The served document: a session's page in the library's, and what the browser runs on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from weakref import WeakValueDictionary

import panel as pn
import panel_material_ui as pmui
from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.models import CustomJS
from panel.io.state import set_curdoc
from panel.util import edit_readonly

from . import browser
from .parts import glossary
from .parts.layout import framed
from .parts.theme import PAGE_STYLE, THEME
from .session import Session
from .state import PAGES

TITLE = "quantlab — quantize for the product, not for the entries"
#: The library's selects open by a click alone: keys click too, the space bar when it is let go.
_KEYS = """
for (const kind of ["keydown", "keyup"])
  document.addEventListener(kind, (event) => {
    const at = event.composedPath()[0], space = event.key === " ";
    if (!space && !["Enter", "ArrowDown", "ArrowUp"].includes(event.key)) return;
    if (!at.matches?.("[role=combobox][aria-haspopup=listbox][aria-expanded=false]")) return;
    event.preventDefault();
    if (space === (kind === "keyup")) at.click();
  });
"""
#: Layouts that are local; pictures read by pointer or keys, and what is dragged in them; files that
#: are dropped; keys for a lecture; pages that are built before they are opened.
_SCRIPTS = ("layout.js", "pointer.js", "drop.js", "keys.js", "ahead.js")
#: The library's document, and what the browser runs before it draws.
_TEMPLATE = (
    '{% extends "base.html" %}{% block postamble %}{{ super() }}<script>{'
    + browser.read("styles.js")
    + "}</script>{% endblock %}"
)
#: The session of each served document, by its id: a session holds its document and ends with it.
_SESSIONS: WeakValueDictionary[int, Session] = WeakValueDictionary()


@cache
def _scripts() -> str:
    names = json.dumps({title: name for name, title in PAGES.items()})
    scripts = "".join("{" + code + "}" for code in (*map(browser.read, _SCRIPTS), glossary.WORDS))
    return f"const PAGES = {names};{scripts}"


def arrive(document: Document, query: Mapping[str, str]) -> None:
    """Apply a link to a served page that has no visitor yet; its document is locked."""
    with set_curdoc(document):
        _SESSIONS[id(document)].arrive(query)


def _document() -> pmui.Page:
    query = {k: v[0].decode(errors="replace") for k, v in pn.state.session_args.items() if v}
    session = Session(query)
    state = session.state
    session.toolbar.address.follow(pn.state.curdoc)
    if pn.state.curdoc is not None:
        _SESSIONS[id(pn.state.curdoc)] = session
        pn.state.curdoc.js_on_event(DocumentReady, CustomJS(code=_KEYS + _scripts()))
        pn.state.curdoc.js_on_event(DocumentReady, session.connection.script())
    page = pmui.Page(
        title=TITLE, main=[framed(session.page())], dark_theme=state.theme == "dark",
        busy_indicator=None, sidebar_variant="temporary", sidebar_open=False, theme_config=THEME,
        sx=PAGE_STYLE, template=_TEMPLATE,
    )  # fmt: skip
    _leave_busy(page)
    page.param.watch(
        lambda event: setattr(state, "theme", "dark" if event.new else "light"), "dark_theme"
    )
    state.param.watch(lambda event: setattr(page, "dark_theme", event.new == "dark"), "theme")
    return page


def _leave_busy(page: pmui.Page) -> None:
    """Let the page not follow whether the server is busy, which it does not show.

    Else each page on the server is sent twice whenever any session moves, for 60 ms each, and stays
    in memory for ever.
    """
    with edit_readonly(page):
        page.busy = False
    for watcher in list(pn.state.param.watchers["busy"]["value"]):
        if getattr(getattr(watcher.fn, "__self__", None), "self", None) is page:
            pn.state.param.unwatch(watcher)
