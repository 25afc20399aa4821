"""Predict first: the student commits a guess before the measured error is shown."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import panel as pn
import panel_material_ui as pmui

from ..state import DESIGN_LABELS, DashboardState
from ..work.measurements import Point
from .layout import CSS, text
from .wording import two_digits

BASELINE = "gaussian_compander"


class Guess:
    """The card that asks, in the place of the table; a new setting asks anew."""

    def __init__(self, state: DashboardState, committed: Callable[[], None]) -> None:
        self.state = state
        self._committed = committed
        self._words = ""
        self.card = pn.Column(
            css_classes=["panel"], stylesheets=[CSS], styles={"grid-area": "readout"},
            sizing_mode="stretch_width", margin=0, visible=False,
        )  # fmt: skip
        self._form: Form | None = None

    def refresh(self) -> None:
        """A control has moved."""
        self.card.visible = self.state.awaits_guess
        if self.state.awaits_guess:
            self._form = self._form or Form(self._commit)
            self._form.offer(self.state.shown_designs())
            if not self.card.objects:
                self.card.objects = self._form.parts

    def verdict(self, points: dict[str, Point]) -> str:
        """What the measurement says of the guess; empty without one."""
        hidden = self.state.awaits_guess or not self.state.predict
        if hidden or not self._words or not points:
            return ""
        best = min(points, key=lambda name: points[name].nmse)
        found = escape(DESIGN_LABELS[best])
        if BASELINE in points:
            share = 100 * points[best].nmse / points[BASELINE].nmse
            found += f" with {two_digits(share)} % of the plain design’s error"
        return f"<b>You said {self._words}. Measured: {found}.</b> "

    def _commit(self, best: str, share: int) -> None:
        self.state.commit_guess()
        self._words = f"{escape(DESIGN_LABELS[best])} with {share} %"
        self.card.visible = False
        self._committed()


class Form:
    """The question and its answer's controls; built when the first guess is asked for."""

    def __init__(self, commit: Callable[[str, int], None]) -> None:
        self.best = pmui.Select(label="Which design loses least?", size="small", margin=(8, 6))
        self.share = pmui.IntSlider(
            label="Its error, as a percentage of the plain design’s", start=0, end=200, value=100,
            margin=(8, 6), sizing_mode="stretch_width",
        )  # fmt: skip
        self.button = pmui.Button(label="Commit the guess", variant="contained", margin=(8, 6))
        self.button.on_click(lambda _: commit(self.best.value, self.share.value))
        question = text(
            "<h2>Predict first</h2>The measured errors are hidden. Look at the densities and at K, "
            "then commit a guess.", "sentence", "guess",
        )  # fmt: skip
        self.parts = [
            pn.pane.Bokeh(question, sizing_mode="stretch_width", margin=0),
            self.best, self.share, self.button,
        ]  # fmt: skip

    def offer(self, designs: tuple[str, ...]) -> None:
        """The designs to choose from."""
        options = {DESIGN_LABELS[name]: name for name in designs}
        if self.best.options != options:
            self.best.options = options
            self.best.value = next(iter(options.values()), None)
            self.button.disabled = not options
