"""The first tab: the density, its transition and the measured error, as the sliders move."""

from __future__ import annotations

from html import escape

import panel as pn
from bokeh.models import ColumnDataSource, CustomJS

from quantlab import GaussianReading

from .. import browser
from ..parts import formulas
from ..parts.layout import CSS
from ..parts.why import why
from ..state import DESIGN_LABELS, Problem, Request
from ..work.background import REST
from ..work.measurements import Subscription, Update, measurements
from ..work.reasons import Reason, reason
from . import Session
from .density import BROWSER_DESIGNS, REACH, DensityPage
from .error import ErrorPage

_PAINT = browser.read("density.js") + browser.read("paint.js")


class OverviewPage:
    """`DensityPage` and `ErrorPage` side by side, and their line to the measurements."""

    def __init__(self, session: Session) -> None:
        self.state, self.background = session.state, session.background
        self.density = DensityPage(self.state)
        self.errors = ErrorPage(self.state, session.deliver)
        self._reading: tuple[Problem, GaussianReading] | None = None
        self.scene = ColumnDataSource(self._scene(), name="scene")
        self._subscription = Subscription(
            measurements(), lambda update: session.deliver(lambda: self._show(update))
        )
        self._kept = Subscription(
            measurements(), lambda update: session.deliver(lambda: self._show_kept(update))
        )
        for line in (self._subscription, self._kept):
            session.on_end(line.close)
        self._kept_asked: Request | None = None
        self.errors.why.on_change("text", lambda _, old, new: self._explain(*new.split(" ")))
        self._shown_input: tuple | None = None
        self._paint(session.controls.setting)

    def view(self) -> pn.viewable.Viewable:
        return pn.Column(
            *self.density.cards(), *self.errors.cards(), css_classes=["overview"],
            stylesheets=[CSS], sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def refresh(self) -> None:
        """A control has moved: the browser has drawn already; the law and the error follow."""
        if self._shown_input != (shown := self.density.input()):
            self._shown_input = shown
            self.density.refresh()
        self.errors.refresh()
        self._draw_scene()
        self._follow_kept()
        self.background.awaited.add("present")
        self._subscription.request(self.state.request(), REST)

    def _follow_kept(self) -> None:
        """The kept setting is measured when it is another one."""
        kept = self.state.kept_request()
        if kept == self._kept_asked:
            return
        self._kept_asked = kept
        self.errors.keep(kept)
        if kept is None:
            self._kept.close()
        else:
            self._kept.request(kept, REST)

    def _show_kept(self, update: Update) -> None:
        if update.request != self._kept_asked:
            return
        self.errors.show_kept(update)
        if update.present:
            self.density.show_kept(update.points)

    def _draw_scene(self) -> None:
        if self.scene.data != (scene := self._scene()):
            self.scene.data = scene

    def _explain(self, design: str, count: str) -> None:
        """Say in words why a design's error is what it is."""
        request = self.state.request()
        if design not in request.designs or self.state.awaits_guess:
            return

        def show(found: Reason) -> None:
            self.errors.why.tags = [why(request, design, found), count]

        def failed(sentence: str) -> None:
            self.errors.why.tags = [escape(sentence), count]

        problem, k_x, k_y = request.problem, request.k_x, request.k_y
        job = lambda _: reason(problem, design, k_x, k_y)  # noqa: E731
        self.background.run("why", job, show, failed, cause="hand")

    def _scene(self) -> dict[str, list]:
        problem = self.state.request().problem
        browser = problem.gaussian or self.state.given
        asked, reading = self._reading or (None, None)
        shown = [name for name in self.state.shown_designs() if name in BROWSER_DESIGNS]
        return {
            "gaussian": [problem.gaussian],
            "closed": [browser],
            "operand": [self.state.operand],
            "feedback": [problem.fed_back],
            "designs": [",".join(shown) if browser else ""],
            "texts": [self.density.law_texts(reading if asked == problem else None)],
        }

    def _paint(self, setting: ColumnDataSource) -> None:
        """Let the browser draw: whenever a slider moves, the input changes or the plot appears."""
        density, errors = self.density, self.errors
        paint = CustomJS(
            code=_PAINT,
            args={
                "setting": setting, "scene": self.scene, "curve": density.curve,
                "peaks": density.peaks, "branches": density.branches,
                "rugs": {name: density.rugs[name] for name in BROWSER_DESIGNS},
                "labels": {name: DESIGN_LABELS[name] for name in BROWSER_DESIGNS},
                "density_text": density.density_text, "branch_text": density.branch_text,
                "here": errors.here, "asymptote": errors.asymptote, "error_range": errors.range,
                "reach": REACH, "peaks_formula": formulas.PEAKS,
            },
        )  # fmt: skip
        setting.js_on_change("data", paint)
        self.scene.js_on_change("data", paint)
        density.density_figure.js_on_change("inner_width", paint)

    def _show(self, update: Update) -> None:
        if update.request != self.state.request():
            return  # overtaken on its way
        if update.reading is not None:  # said before the closed form is shown
            self._reading = update.request.problem, update.reading
            self._draw_scene()
        self.errors.show(update)
        if update.present:
            self.density.show_centers(update.points)
            self.background.reached("present")
