"""The browser's address and history: both hold the state, and Back and Forward bring it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.models import CustomJS, Div

from ..state import DashboardState

#: `left` is the state that the user left, where the new one gets an entry of its own.
_WRITE = """
const [visit, left, query] = model.tags;
// sent before the user went back or forward: it belongs to another entry
if (visit !== (parseInt(model.text) || 0)) return;
if (left !== null) history.replaceState(history.state, "", left || location.pathname);
if (location.search === query) return;
const write = left === null ? "replaceState" : "pushState";
history[write](history.state, "", query || location.pathname);
"""
_LISTEN = """
let visit = 0;
window.addEventListener("popstate", () => { model.text = `${++visit}${location.search}`; });
"""


class Address:
    """What the address says of the state; `model` carries it there and back.

    Its tags tell the browser (visit, query left or None, query), its text tells the server
    "VISIT?QUERY": how often the user has gone back or forward, and to which entry.
    """

    def __init__(self, state: DashboardState) -> None:
        self.state = state
        self.model = Div(visible=False, name="address")
        self._visit = 0
        self._left: str | None = None

    def follow(self, document: Document | None) -> None:
        """Write the state into the browser's address, and go where Back and Forward lead."""
        args = {"model": self.model}
        self.model.js_on_change("tags", CustomJS(args=args, code=_WRITE))
        self.model.on_change("text", self._visited)
        if document is not None:
            document.js_on_event(DocumentReady, CustomJS(args=args, code=_LISTEN))

    @contextmanager
    def entry(self) -> Iterator[None]:
        """What moves in here gets an entry of its own; any other move changes the present one."""
        if self._left is None:
            self._left = self.state.query()
        yield
        if self._left == self.state.query():
            self._left = None

    def refresh(self) -> None:
        """The state has moved."""
        self.model.tags = [self._visit, self._left, self.state.query()]
        self._left = None

    def _visited(self, attr: str, old: str, new: Any) -> None:
        visit, _, query = new.partition("?")
        self._visit, self._left = int(visit), None
        given = parse_qs(query, keep_blank_values=True)
        self.state.revisit({name: values[0] for name, values in given.items()})
