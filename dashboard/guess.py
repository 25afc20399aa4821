"""Predict first: the student commits a guess before the measured error is shown."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from dashboard.layout import CSS, text
from dashboard.measurements import Point
from dashboard.state import DESIGN_LABELS, DashboardState, Request

BASELINE = "gaussian_compander"


class Guess:
    """The card that asks, in the place of the table; a new setting asks anew."""

    def __init__(self, state: DashboardState, committed: Callable[[], None]) -> None:
        self.state = state
        self._committed = committed
        self._answered: tuple | None = None
        self._words = ""
        self.best = pmui.Select(label="Which design loses least?", size="small", margin=(8, 6))
        self.less = pmui.IntSlider(
            label="Its error, as a percentage of the plain design’s", start=0, end=200, value=100,
            margin=(8, 6), sizing_mode="stretch_width",
        )  # fmt: skip
        commit = pmui.Button(label="Commit the guess", variant="contained", margin=(8, 6))
        commit.on_click(self._commit)
        self.card = pn.Column(
            pn.pane.Bokeh(
                text(
                    "<h2>Predict first</h2>The measured errors are hidden. Look at the densities "
                    "and at K, then commit a guess.", "sentence", "guess",
                ),
                sizing_mode="stretch_width", margin=0,
            ),
            self.best, self.less, commit, css_classes=["panel"], stylesheets=[CSS],
            styles={"grid-area": "readout"}, sizing_mode="stretch_width", margin=0, visible=False,
        )  # fmt: skip

    @property
    def open(self) -> bool:
        """Whether the present setting still awaits a guess."""
        return self.state.predict and self._answered != self._setting(self.state.request())

    def refresh(self) -> None:
        """A control has moved."""
        self.card.visible = self.open
        options = {DESIGN_LABELS[name]: name for name in self.state.shown_designs()}
        if self.best.options != options:
            self.best.options = options
            self.best.value = next(iter(options.values()), None)

    def verdict(self, points: dict[str, Point]) -> str:
        """What the measurement says of the guess; empty without one."""
        if self.open or not self._words or not self.state.predict or not points:
            return ""
        best = min(points, key=lambda name: points[name].nmse)
        found = escape(DESIGN_LABELS[best])
        if BASELINE in points:
            share = 100 * points[best].nmse / points[BASELINE].nmse
            found += f" with {share:.0f} % of the plain design’s error"
        return f"<b>You said {self._words}. Measured: {found}.</b> "

    @staticmethod
    def _setting(request: Request) -> tuple:
        return (request.problem, request.k_x, request.k_y)

    def _commit(self, _: Any) -> None:
        self._answered = self._setting(self.state.request())
        self._words = f"{escape(DESIGN_LABELS[self.best.value])} with {self.less.value} %"
        self.card.visible = False
        self._committed()
