"""Presets, the guided tour and sharing: what a lecturer reaches for."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.models import CustomJS

from dashboard.background import Deliver
from dashboard.layout import CSS, text
from dashboard.lessons import PRESETS, TOUR
from dashboard.state import HIDEABLE, DashboardState

#: The address follows the state without a new entry in the browser's history.
_REPLACE = """
const query = cb_obj.text || location.pathname;
if (location.search !== cb_obj.text) history.replaceState(history.state, "", query);
"""
_COPY = """
const address = new URL(link.text || location.pathname, location.href).href;
const done = () => {
  button.data.label = "Copied";
  setTimeout(() => { button.data.label = "Copy link"; }, 1500);
};
// without https a browser lends a page no clipboard
if (navigator.clipboard) navigator.clipboard.writeText(address).then(done);
else window.prompt("Copy this link", address);
"""


class Toolbar:
    """Buttons of the head line, the tour's card and the dialog that shares a link."""

    def __init__(self, state: DashboardState, deliver: Deliver) -> None:
        self.state = state
        small = {"size": "small", "variant": "outlined", "margin": (0, 4)}
        self.presets = pmui.MenuButton(
            label="Presets", items=[{"label": name} for name in PRESETS], **small
        )
        self.presets.on_click(self._preset)
        self.start = pmui.Button(label="Tour", **small)
        self.start.on_click(lambda _: self.go(1))
        self.share = pmui.Button(label="Share", **small)
        self.share.on_click(self._open_dialog)
        self.predict = pmui.Switch.from_param(
            state.param.predict, size="small", margin=(4, 4), description=""
        )
        self._tour_text = text("", "tour", "tour")
        self._back = pmui.Button(label="Back", **small)
        self._back.on_click(lambda _: self.go(state.tour - 1))
        self._next = pmui.Button(label="Next", size="small", variant="contained", margin=(0, 4))
        self._next.on_click(lambda _: self.go(state.tour + 1))
        self._close = pmui.Button(label="End the tour", size="small", variant="text", margin=(0, 4))
        self._close.on_click(lambda _: setattr(state, "tour", 0))
        self.tour = pn.Column(
            pn.pane.Bokeh(self._tour_text, margin=0, sizing_mode="stretch_width"),
            pn.Row(self._back, self._next, self._close, margin=(6, 0, 0, 0)),
            css_classes=["panel"], stylesheets=[CSS], styles={"grid-area": "tour"},
            sizing_mode="stretch_width", margin=0, visible=False,
        )  # fmt: skip
        self.link = text("", "link", "link")
        self.link.visible = False
        self._shared = text("", "sentence", "shared")
        self._hidden = pmui.CheckBoxGroup(
            value=list(state.hide), options={label: name for name, label in HIDEABLE.items()},
            label="Leave out of the shared page", margin=(8, 0),
        )  # fmt: skip
        self._hidden.param.watch(lambda _: deliver(self.refresh), "value")
        copy = pmui.Button(label="Copy link", variant="contained", size="small", margin=(8, 0))
        self._to_share = text("", "link", "to_share")
        copy.js_on_click(args={"link": self._to_share, "button": copy}, code=_COPY)
        self.dialog = pmui.Dialog(
            pn.pane.Bokeh(self._shared, sizing_mode="stretch_width"), self._hidden, copy,
            title="A link to this page", show_close_button=True, close_on_click=True, open=False,
            width_option="sm",
        )  # fmt: skip

    def tools(self) -> list[pn.viewable.Viewable]:
        return [self.presets, self.start, self.predict, self.share]

    def follow_address(self) -> None:
        """Write the state into the browser's address, where the page is all that it shows."""
        self.link.js_on_change("text", CustomJS(code=_REPLACE))

    def go(self, stop: int) -> None:
        """To a stop of the tour, from 1; past the last one it ends."""
        if not 1 <= stop <= len(TOUR):
            self.state.tour = 0
            return
        self.state.reset(tour=stop, **TOUR[stop - 1].values)

    def refresh(self) -> None:
        """The links of the present state, and the tour's stop."""
        self._turn()
        self.link.text = self.state.query()
        if self.dialog.open:
            self._write_link()

    def _write_link(self) -> None:
        hidden = [name for name in HIDEABLE if name in self._hidden.value]
        query = self.state.query(hide=hidden)
        self._to_share.text = query
        self._shared.text = (
            "Whoever opens it sees these pictures with these numbers, seed included: "
            f'<a href="{escape(query) or "?"}" target="_blank">{escape(query) or "defaults"}</a>'
        )

    def _open_dialog(self, _: Any) -> None:
        self._write_link()
        self.dialog.open = True

    def _preset(self, item: Any) -> None:
        name = item if isinstance(item, str) else item["label"]
        self.state.reset(tour=0, **PRESETS[name])

    def _turn(self) -> None:
        stop, tools = self.state.tour, "tools" not in self.state.hide
        for widget in self.tools():
            widget.visible = tools
        self.tour.visible = stop > 0
        if stop == 0:
            return
        step = TOUR[stop - 1]
        self._tour_text.text = (
            f"<h2><small>{stop} of {len(TOUR)}</small> {escape(step.title)}</h2>"
            f"<p>{escape(step.notice)}</p><p><b>Ask:</b> {escape(step.question)}</p>"
        )
        self._back.disabled = stop == 1
        self._next.label = "Finish" if stop == len(TOUR) else "Next"
