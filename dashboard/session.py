"""One session: the state, the controls, the tabs, and the line from slow work back to the page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from html import escape
from importlib import import_module
from typing import Any
from weakref import WeakSet

import panel as pn
import panel_material_ui as pmui
from bokeh.models import Div
from panel.io.document import _WRITE_MSGS, schedule_write_events, unlocked
from panel.io.model import diff
from panel.io.notebook import push
from panel.io.state import set_curdoc
from panel.links import Callback
from panel.theme import Native

from quantlab.gemm import cuda

from .pages import Page
from .parts.board import Board
from .parts.connection import Connection
from .parts.controls import OWN_CONTROLS, Controls
from .parts.embedded import Embedded, Reading
from .parts.layout import CSS, framed, text
from .parts.theme import TABS_STYLE, THEME, paint
from .parts.toolbar import Toolbar
from .parts.upload_input import UploadInput
from .state import CONTROLS, PAGES, DashboardState
from .work.background import Background

#: Pages that are not open keep their layout and cost nothing; one that is built before its first
#: visit gets a layout; the first one fits a wide window.
_SLOTS = """
.away { content-visibility: hidden; visibility: hidden; height: 0 !important; overflow: hidden; }
.ahead { position: absolute !important; width: 100%; visibility: hidden; height: 0 !important;
  overflow: hidden; }
@container (min-width: 1101px) {
  .density:not(.away) { flex: 1 0 auto; }
}
"""
#: A page that is there already is shown before the server knows; a new one when it comes.
_OPEN = """
const name = names[source.active], slots = {%s}, view = (model) => Bokeh.index.find_one(model);
if (slots[name].children.length) {
  for (const [key, slot] of Object.entries(slots)) {
    const box = view(slot)?.el.classList;
    box?.remove("ahead");
    box?.toggle("away", key !== name);
  }
  view(page)?.el.classList.toggle("alone", alone.includes(name));
  view(page)?.el.classList.toggle("wall", wall && name === "density");
}
"""
#: Visitors at a time for whom pages are built while their hands rest: each takes 0.2 s of the loop.
_FEW = 4
#: Seconds after a change until it is looked whether all of it has been sent.
_LEFT_BEHIND = 0.02
#: Controls that change more than what a slider moves.
RARE = {
    "page", "hide", "source", "law", "layer", "head", "problem", "operand", "rounding", "designs",
    "linked", "own_x", "keep",
}  # fmt: skip
#: The pages' own components. The browser learns of them with the page that it loads: one that was
#: made ready before they are imported could not show them.
COMPONENTS = (Board, UploadInput)
#: page -> its module and class, imported on the first visit.
_PAGES = {
    "density": ("overview", "OverviewPage"),
    "error": ("error_study", "ErrorStudyPage"),
    "codebooks": ("codebooks", "CodebooksPage"),
    "attention": ("attention", "AttentionPage"),
    "data": ("data", "DataPage"),
    "speed": ("speed", "SpeedPage"),
    "limits": ("limits", "LimitsPage"),
}


class Session:
    """The state, the controls, the tabs, and the line from slow work back to the page.

    Parameters
    ----------
    query : dict of str to str, optional
        Values from a link, each taken or refused by itself.
    **values
        Values of controls.
    """

    def __init__(self, query: Mapping[str, str] | None = None, **values: Any) -> None:
        self.state = DashboardState()
        self.state.param.update(**values)
        self.state.notice = " ".join(self.state.read_query(query or {}))
        self._document = pn.state.curdoc
        self._loop = _running_loop()
        self._endings: list[Callable[[], None]] = []
        self._closed = False
        self._embedded = False  # in a document of others, whose window is not the page's
        self._root: Embedded | None = None  # what a notebook shows
        self._unsent: list[Any] = []  # changes that it waits for
        if self._document is not None:
            self._document.on_session_destroyed(lambda _: self.close())
        self.background = Background(self.deliver)
        self.on_end(self.background.close)
        self.controls = Controls(self.state)
        self.connection = Connection(self.state, self.controls.setting)
        self.background.when_settled(self.connection.settled)
        self.toolbar = Toolbar(self.state, self.deliver)
        self.keys = Div(text="", visible=False, name="keys")  # "WORD COUNT", from the browser
        self.keys.on_change("text", lambda _, old, new: self._pressed(new.split(" ")[0]))
        self.keys.tags = list(PAGES)  # that are not built
        self.notice = text("", "notice", "notice")
        self.notice.styles = {"grid-area": "notice"}
        self.notice.tags = [self.connection.belongs]  # a model is synchronised if another holds it
        self._pages: dict[str, Page] = {}
        self._page: pn.Column | None = None
        self._slots = {
            name: pn.Column(css_classes=[name, "away"], sizing_mode="stretch_width", margin=0)
            for name in PAGES
        }
        self.tabs = pmui.Tabs(
            *((title, pn.Spacer(height=0, margin=0)) for title in PAGES.values()),
            sx=TABS_STYLE, margin=0,
        )  # fmt: skip
        self.tabs.param.watch(self._open_tab, "active")
        self._pending: set[str] = {"page"}
        self._react()
        self.state.param.watch(self._moved, [*CONTROLS, "notice"])

    def page(self) -> pn.viewable.Viewable:
        """All of it: the tabs, the controls beside the open tab."""
        content = pn.Column(
            *self._slots.values(), css_classes=["content"], stylesheets=[_SLOTS],
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        bar = pn.Row(
            self.tabs, pn.Row(*self.toolbar.tools(), margin=0), css_classes=["bar"],
            stylesheets=[CSS], sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        page = pn.Column(
            pn.pane.Bokeh(self.notice, margin=0), bar, self.toolbar.tour,
            *self.controls.panels(), content, pn.pane.Bokeh(self.toolbar.address.model, margin=0),
            pn.pane.Bokeh(self.keys, margin=0), self.toolbar.dialog,
            css_classes=self._classes(), stylesheets=[CSS], sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self._page = page
        self.tabs.jscallback(
            args={
                "names": list(PAGES),
                "alone": OWN_CONTROLS,
                "page": page,
                "wall": not self._embedded,
                **self._slots,
            },
            active=_OPEN % ", ".join(PAGES),
        )
        self.on_end(lambda: _forget_callbacks(page))
        return page

    def embedded(self) -> pn.viewable.Viewable:
        """All of it inside another document, as in a notebook: its theme is the host's."""
        self._embedded = True
        themed = pmui.Column(
            framed(self.page()), theme_config=THEME, sizing_mode="stretch_width", margin=0
        )
        themed.param.watch(
            lambda event: setattr(self.state, "theme", "dark" if event.new else "light"),
            "dark_theme",
        )
        self._reading = Reading()
        self._reading.param.watch(lambda _: self.deliver(lambda: None), "there")
        # a design of Panel's own: the library's would put its colours and type over the pictures'
        self._root = Embedded(
            themed, self._reading, design=Native, sizing_mode="stretch_width", margin=0
        )
        return self._root

    def arrive(self, query: Mapping[str, str]) -> None:
        """Take a link on a page that was made before its visitor came; the document is locked."""
        self._pending.add("page")  # so that nothing waits for a later turn
        self.state.notice = " ".join(self.state.read_query(query))
        self.controls.follow_link()
        self._react()

    def deliver(self, show: Callable[[], None]) -> None:
        """From any thread: run `show` on the session's own event loop, its document locked.

        The loop comes first: while it holds a document's events, callbacks that another thread
        adds to the document can be lost.
        """
        if self._loop is None:
            show()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._schedule, show)

    def on_end(self, ending: Callable[[], None]) -> None:
        """Call `ending` when the session ends."""
        self._endings.append(ending)

    def close(self) -> None:
        """End the session: its slow work stops, and nothing more of it is shown."""
        self._closed = True
        _VISITORS.discard(self)
        for ending in self._endings:
            ending()

    def _schedule(self, show: Callable[[], None]) -> None:
        if self._closed:  # its models are empty shells
            return
        if self._root is not None:
            with Embedded.one_at_a_time:
                show()
                self._push_to_notebook()
            return

        def in_turn() -> None:
            # in Panel's line: what Bokeh sends by itself can overtake a new page that waits there
            with unlocked():
                show()
            assert self._loop is not None
            self._loop.call_later(_LEFT_BEHIND, self._push)

        with set_curdoc(self._document):
            pn.state.execute(in_turn, schedule=True)

    def _push_to_notebook(self) -> None:
        """Send what has changed of models that are not Panel's own: a cell's comm does not.

        Before the browser shows the page, what is sent would be lost.
        """
        assert self._root is not None
        for shown, (_, _, document, comm) in list(pn.state._views.items()):
            if comm is None or shown not in self._root._models:
                continue
            self._unsent += document.callbacks._held_events
            document.callbacks._held_events = []
            if self._unsent and self._reading.there:
                push(document, comm, msg=diff(document, events=self._unsent))
                self._unsent = []

    def _push(self) -> None:
        """Send what waits in Panel's line: what joins it during a write can be left behind."""
        if self._document in _WRITE_MSGS:
            schedule_write_events(self._document, [], [])

    def _open_tab(self, event: Any) -> None:
        with self.toolbar.address.entry():
            self.state.page = list(PAGES)[event.new]

    def _pressed(self, word: str) -> None:
        stop, (word, _, name) = self.state.tour, word.partition(":")
        if word in ("near", "rest"):
            self.deliver(lambda: self._build_ahead(name, word == "rest"))
        elif word == "keep":
            self.state.param.update(keep=self.state.setting())
        elif word == "clear":
            self.state.param.update(keep="")
        elif stop and word in ("next", "back"):
            self.toolbar.go(stop + 1 if word == "next" else max(1, stop - 1))

    def _moved(self, *events: Any) -> None:
        """Answer all moves that come together once, and with the document locked."""
        first = not self._pending
        self._pending |= {event.name for event in events}
        if first:
            self.deliver(self._react)

    def _react(self) -> None:
        moved, self._pending = self._pending, set()
        asks = not moved <= {"theme", "tour", "notice"}
        if asks:
            self.connection.moved()
            self.background.awaited.clear()
        self.notice.text = escape(self.state.notice)
        self.notice.visible = bool(self.state.notice)
        self.toolbar.refresh()
        if moved & RARE:
            self.controls.refresh()
        if moved & {"page", "hide"}:
            self._turn()
        elif asks:
            self._pages[self.state.page].refresh()
        if self._page is not None:  # with the slots: none is seen at another's width
            self._page.css_classes = self._classes()
        if "theme" in moved:
            self._paint(*self._slots.values())
        if not self.background.awaited:
            self.connection.settled()

    def _turn(self) -> None:
        """Show the state's page, built on its first visit."""
        name = self.state.page
        self.tabs.active = list(PAGES).index(name)
        self.tabs.visible = "tabs" not in self.state.hide
        for key, slot in self._slots.items():
            slot.css_classes = [key] if key == name else [key, "away"]
        if name in self._pages:
            self._pages[name].refresh()
        else:
            self._build(name)

    def _build_ahead(self, name: str, at_rest: bool) -> None:
        """Build a page that is likely to be opened; one by one, and few visitors' at a time."""
        _VISITORS.add(self)
        if name in self._pages or name not in PAGES or (at_rest and len(_VISITORS) > _FEW):
            return
        for key, slot in self._slots.items():
            if "ahead" in slot.css_classes:
                slot.css_classes = [key, "away"]
        self._slots[name].css_classes = [name, "ahead"]
        self._build(name)

    def _build(self, name: str) -> None:
        module, kind = _PAGES[name]
        build = getattr(import_module(f".pages.{module}", __package__), kind)
        self._pages[name] = page = build(self)
        view = page.view()
        page.refresh()
        if self.state.theme == "dark":
            self._paint(view)
        # last: a figure's own changes would reach the browser before the figure does
        self._slots[name].append(view)
        self.keys.tags = [key for key in PAGES if key not in self._pages]

    def _classes(self) -> list[str]:
        classes = {
            "dark": self.state.theme == "dark", "alone": self.state.page in OWN_CONTROLS,
            "wall": self.state.page == "density" and not self._embedded,
            "embedded": self._embedded,
        }  # fmt: skip
        return ["page", *(name for name, holds in classes.items() if holds)]

    def _paint(self, *views: pn.viewable.Viewable) -> None:
        panes = [pane for view in views for pane in view.select(pn.pane.Bokeh)]
        paint([pane.object for pane in panes], self.state.theme == "dark")


#: Sessions whose visitors have come.
_VISITORS: WeakSet[Session] = WeakSet()


def import_pages() -> None:
    """Import what pages import on their first visits; on a thread, while nobody waits."""
    for module, _ in _PAGES.values():
        import_module(f".pages.{module}", __package__)
    cuda.available()


def _forget_callbacks(page: pn.viewable.Viewable) -> None:
    """Panel's list of callbacks holds their arguments, and so the whole session, for ever."""
    for viewable in page.select():
        Callback.registry.pop(viewable, None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # not served: a test, or a page that is saved to a file
        return None
