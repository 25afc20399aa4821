"""One session's page, and the server."""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, CustomJS
from panel.io.state import set_curdoc
from threadpoolctl import threadpool_limits
from tornado.websocket import WebSocketClosedError

from dashboard.controls import Controls
from dashboard.density_page import BROWSER_DESIGNS, REACH, WEIGHT_UNIT, DensityPage
from dashboard.error_page import ErrorPage
from dashboard.layout import CSS, text
from dashboard.measurements import Measurements, Subscription, Update
from dashboard.state import ATTENTION, CONTROLS, DESIGN_LABELS, SYNTHETIC, DashboardState
from dashboard.theme import PAGE_STYLE, THEME

TITLE = "quantlab — quantize for the product, not for the entries"
#: Controls that change more than what a slider moves.
RARE = {"source", "layer", "head", "operand", "designs", "linked"}
#: Seconds without a further move before the error is measured.
REST = 0.06
_HERE = Path(__file__).parent
_PAINT = (_HERE / "density.js").read_text() + (_HERE / "paint.js").read_text()


@cache
def measurements() -> Measurements:
    """The measuring service of this process, shared by its sessions."""
    return Measurements()


class Session:
    """The state, its page and its line to the measurements."""

    def __init__(self, query: dict[str, str] | None = None) -> None:
        self.state = DashboardState()
        self.state.notice = " ".join(self.state.read_query(query or {}))
        self.controls = Controls(self.state)
        self.density = DensityPage(self.state)
        self.errors = ErrorPage(self.state)
        self.scene = ColumnDataSource(self._scene(), name="scene")
        self.notice = text("", "notice", "notice")
        self.notice.styles = {"grid-area": "notice"}
        self._tell()
        self._document = pn.state.curdoc
        self._loop = _running_loop()
        self._subscription = Subscription(measurements(), self._deliver)
        self._paint()
        self.state.param.watch(self._moved, list(CONTROLS))
        self.state.param.watch(self._tell, "notice")
        self._subscription.request(self.state.request())
        if self._document is not None:
            self._document.on_session_destroyed(lambda _: self._subscription.close())

    def page(self) -> pn.viewable.Viewable:
        primary, secondary = self.controls.panels()
        return pn.Column(
            pn.pane.Bokeh(self.notice, margin=0), primary, secondary,
            *self.density.cards(), *self.errors.cards(),
            css_classes=["page"], stylesheets=[CSS], sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def _scene(self) -> dict[str, list]:
        shown = [name for name in self.state.shown_designs() if name in BROWSER_DESIGNS]
        return {
            "gaussian": [self.state.source != ATTENTION],
            "operand": [self.state.operand],
            "designs": [",".join(shown)],
        }

    def _paint(self) -> None:
        """Let the browser draw: whenever a slider moves, the input changes or the plot appears."""
        density, errors = self.density, self.errors
        paint = CustomJS(
            code=_PAINT,
            args={
                "setting": self.controls.setting, "scene": self.scene, "curve": density.curve,
                "peaks": density.peaks, "branches": density.branches,
                "rugs": {name: density.rugs[name] for name in BROWSER_DESIGNS},
                "labels": {name: DESIGN_LABELS[name] for name in BROWSER_DESIGNS},
                "density_text": density.density_text, "branch_text": density.branch_text,
                "here": errors.here, "asymptote": errors.asymptote, "error_range": errors.range,
                "reach": REACH,
                "weight_unit": WEIGHT_UNIT,
            },
        )  # fmt: skip
        self.controls.setting.js_on_change("data", paint)
        self.scene.js_on_change("data", paint)
        density.density_figure.js_on_change("inner_width", paint)

    def _moved(self, *events: Any) -> None:
        if {event.name for event in events} & RARE:
            self.controls.refresh()
            self.density.refresh()
        self.errors.refresh()
        if self.scene.data != (scene := self._scene()):
            self.scene.data = scene
        self._subscription.request(self.state.request(), REST)

    def _tell(self, *_: Any) -> None:
        self.notice.text = escape(self.state.notice)
        self.notice.visible = bool(self.state.notice)

    def _deliver(self, update: Update) -> None:
        """From a measuring thread: hand the update to the session's own event loop.

        The loop comes first: while it holds a document's events, callbacks that another thread
        adds to the document can be lost.
        """
        if self._loop is None:
            self._show(update)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._schedule, update)

    def _schedule(self, update: Update) -> None:
        with set_curdoc(self._document):
            pn.state.execute(partial(self._show, update), schedule=True)

    def _show(self, update: Update) -> None:
        if update.request != self.state.request():
            return  # overtaken on its way
        self.errors.show(update)
        if update.present:
            self.density.show_centers(update.points)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # not served: a test, or a page that is saved to a file
        return None


def create_app() -> pn.viewable.Viewable:
    """The page of a new session: for `serve`, for a test, for a notebook."""
    query = {k: v[0].decode(errors="replace") for k, v in pn.state.session_args.items() if v}
    return Session(query).page()


def _document() -> pmui.Page:
    return pmui.Page(
        title=TITLE, main=[create_app()], theme_toggle=False, busy_indicator=None,
        sidebar_variant="temporary", sidebar_open=False, theme_config=THEME, sx=PAGE_STYLE,
    )  # fmt: skip


def not_a_closed_tab(record: logging.LogRecord) -> bool:
    """Log filter: a browser that leaves in the middle of a message is no error of the server's."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return not isinstance(error, WebSocketClosedError)


def serve(port: int = 5006, address: str = "localhost", show: bool = False, **limits: Any) -> None:
    """Serve the dashboard until interrupted; prints the address.

    Parameters
    ----------
    port : int
    address : str
        Address to listen on; "localhost" answers this machine alone.
    show : bool
        Open a browser window.
    **limits
        Passed on to `panel.serve` (`num_procs`, `websocket_origin`, ...).
    """
    measurements().warm(
        DashboardState(source=source).request() for source in (SYNTHETIC, ATTENTION)
    )
    # several measuring threads with one BLAS thread each, and an event loop that waits little
    threadpool_limits(1, "blas")
    sys.setswitchinterval(0.001)
    logging.getLogger("asyncio").addFilter(not_a_closed_tab)
    print(f"quantlab dashboard: http://{address}:{port}", flush=True)
    pn.serve(
        {"/": _document}, port=port, address=address, show=show, title=TITLE, verbose=False,
        **limits,
    )  # fmt: skip
