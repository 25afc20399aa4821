"""Presets, the guided tour and sharing: what a lecturer reaches for."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from quantlab import __version__

from ..state import HIDEABLE, DashboardState
from ..work.background import Deliver
from .address import Address
from .layout import CSS, text
from .lessons import PRESETS, TOUR

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
#: The paper whose closed form is computed, and what computes it.
BIBTEX = f"""@misc{{ang2026,
  author = {{Ang and Kim and Pilanci}},
  title = {{Optimal Scalar Quantization for Matrix Multiplication:
    Closed-Form Density and Phase Transition}},
  year = {{2026}},
  eprint = {{2603.19559}},
  archiveprefix = {{arXiv}},
}}
@misc{{quantlab,
  author = {{{{The quantlab developers}}}},
  title = {{quantlab: optimal scalar quantization for matrix multiplication}},
  year = {{2026}},
  note = {{Version {__version__}}},
}}
"""
_COPY_TEXT = """
const say = (words) => {
  button.data.label = words;
  setTimeout(() => { button.data.label = "Copy BibTeX"; }, 1500);
};
const written = navigator.clipboard?.writeText(text) ?? Promise.reject();
written.then(() => say("Copied"), () => say("Copy it from above"));
"""
_SMALL = {"size": "small", "margin": (0, 4)}


class Toolbar:
    """Buttons of the head line; the tour and the dialog that shares a link, once asked for."""

    def __init__(self, state: DashboardState, deliver: Deliver) -> None:
        self.state = state
        small = {**_SMALL, "variant": "outlined"}
        self.presets = pmui.MenuButton(
            label="Presets", items=[{"label": name} for name in PRESETS], **small
        )
        self.presets.on_click(self._preset)
        self.start = pmui.Button(label="Tour", **small)
        self.start.on_click(lambda _: self.go(1))
        self.share = pmui.Button(label="Share", **small)
        self.share.on_click(lambda _: deliver(self._share))
        self.predict = pmui.Switch.from_param(
            state.param.predict, size="small", margin=(4, 4), description=""
        )
        self.tour = pn.Column(
            css_classes=["panel", "stop"], stylesheets=[CSS], styles={"grid-area": "tour"},
            sizing_mode="stretch_width", margin=0, visible=False,
        )  # fmt: skip
        self.address = Address(state)
        self.dialog = pn.Column(height=0, margin=0)
        self._deliver = deliver
        self._card: TourCard | None = None
        self._sharing: ShareDialog | None = None

    def tools(self) -> list[pn.viewable.Viewable]:
        return [self.presets, self.start, self.predict, self.share]

    def go(self, stop: int) -> None:
        """To a stop of the tour, from 1; past the last one it ends."""
        if not 1 <= stop <= len(TOUR):
            self.state.tour = 0
            return
        with self.address.entry():
            self.state.reset(tour=stop, **TOUR[stop - 1].values)

    def refresh(self) -> None:
        """The address and the link of the present state, and the tour's stop."""
        tools = "tools" not in self.state.hide
        for widget in self.tools():
            widget.visible = tools
        self.address.refresh()
        stop = self.state.tour
        self.tour.visible = stop > 0
        if stop:
            self._card = self._card or TourCard(self)
            self._card.show(stop)
            if not self.tour.objects:
                self.tour.objects = self._card.parts
        if self._sharing is not None:
            self._sharing.refresh()

    def _share(self) -> None:
        self._sharing = self._sharing or ShareDialog(self.state, self._deliver)
        self._sharing.open()
        if not self.dialog.objects:
            self.dialog.objects = [self._sharing.dialog]

    def _preset(self, item: Any) -> None:
        name = item if isinstance(item, str) else item["label"]
        with self.address.entry():
            self.state.reset(tour=0, **PRESETS[name])


class TourCard:
    """What a stop of the tour says, and the way on; built when the tour begins."""

    def __init__(self, toolbar: Toolbar) -> None:
        state = toolbar.state
        self._words = text("", "tour", "tour")
        self._back = pmui.Button(label="Back", variant="outlined", **_SMALL)
        self._back.on_click(lambda _: toolbar.go(state.tour - 1))
        self._next = pmui.Button(label="Next", variant="contained", **_SMALL)
        self._next.on_click(lambda _: toolbar.go(state.tour + 1))
        close = pmui.Button(label="End the tour", variant="text", **_SMALL)
        close.on_click(lambda _: toolbar.go(0))
        #: what the class has guessed at each stop: of this page alone
        self._guesses: dict[int, str] = {}
        self._shown = 0
        self._guess = pmui.TextInput(label="Your guess", size="small", max_length=80, width=230,
                                     margin=(6, 4, 0, 4))  # fmt: skip
        self._guess.param.watch(lambda event: self._guessed(event.new), "value")
        self.parts = [
            pn.pane.Bokeh(self._words, margin=0, sizing_mode="stretch_width"),
            pn.Column(
                pn.Row(self._back, self._next, close, margin=(6, 0, 0, 0)), self._guess, margin=0
            ),
        ]

    def show(self, stop: int) -> None:
        """A stop, from 1."""
        step, guess = TOUR[stop - 1], self._guesses.get(stop, "")
        if stop != self._shown:
            self._shown = stop
            self._guess.value = guess
        said = f" <b>Guessed:</b> {escape(guess)}" if guess else ""
        self._words.text = (
            f"<h2><small>{stop} of {len(TOUR)}</small> {escape(step.title)}</h2>"
            f"<p>{escape(step.notice)}</p><p><b>Ask:</b> {escape(step.question)}{said}</p>"
        )
        self._back.disabled = stop == 1
        self._next.label = "Finish" if stop == len(TOUR) else "Next"

    def _guessed(self, guess: str) -> None:
        """A guess stays beside its question."""
        self._guesses[self._shown] = guess.strip()[:80]
        self.show(self._shown)


class ShareDialog:
    """A link to the present state, without the controls that a teacher leaves out."""

    def __init__(self, state: DashboardState, deliver: Deliver) -> None:
        self.state = state
        self._shared = text("", "sentence", "shared")
        self._hidden = pmui.CheckBoxGroup(
            value=list(state.hide), options={label: name for name, label in HIDEABLE.items()},
            label="Leave out of the shared page", margin=(8, 0),
        )  # fmt: skip
        self._hidden.param.watch(lambda _: deliver(self.refresh), "value")
        copy = pmui.Button(label="Copy link", variant="contained", size="small", margin=(8, 0))
        self._to_share = text("", "link", "to_share")
        cite = text(f"To cite it:<pre tabindex='0'>{escape(BIBTEX)}</pre>", "sentence")
        copy_cite = pmui.Button(
            label="Copy BibTeX", variant="outlined", size="small", margin=(8, 0)
        )
        copy_cite.js_on_click(args={"text": BIBTEX, "button": copy_cite}, code=_COPY_TEXT)
        copy.js_on_click(args={"link": self._to_share, "button": copy}, code=_COPY)
        self.dialog = pmui.Dialog(
            pn.pane.Bokeh(self._shared, sizing_mode="stretch_width"), self._hidden, copy,
            pn.pane.Bokeh(cite, sizing_mode="stretch_width", min_height=290), copy_cite,
            title="A link to this page", show_close_button=True, close_on_click=True, open=False,
            width_option="sm",
        )  # fmt: skip

    def open(self) -> None:
        """Show the dialog."""
        self.dialog.open = True
        self.refresh()

    def refresh(self) -> None:
        """While it is open, its link follows the state."""
        if not self.dialog.open:
            return
        hidden = [name for name in HIDEABLE if name in self._hidden.value]
        query = self.state.query(hide=hidden)
        self._to_share.text = query
        self._shared.text = (
            "Whoever opens it sees these pictures with these numbers, seed included: "
            f'<a href="{escape(query) or "?"}" target="_blank">{escape(query) or "defaults"}</a>'
        )
