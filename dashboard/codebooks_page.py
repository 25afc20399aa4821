"""The Codebooks tab: centres and cells of one design, Lloyd's iteration, files in and out."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, CustomJS, Range1d, Span
from bokeh.plotting import figure

from dashboard.background import Task
from dashboard.codebook_files import Books, read, to_csv, to_json, to_python, to_safetensors
from dashboard.density_page import REACH
from dashboard.layout import CSS, card, grid, scrolling, text
from dashboard.measurements import codebooks, most_levels
from dashboard.state import DESIGN_LABELS, Request
from dashboard.theme import (
    BLUE,
    DESIGN_STYLES,
    GREY,
    INK,
    PDF,
    VERMILLION,
    plain_figure,
    scientific,
    ticks,
)
from quantlab import exact_mse
from quantlab.design.lloyd_max import lloyd_trace
from quantlab.pairs import Operand

if TYPE_CHECKING:
    from dashboard.app import Session

_STEPS = 40
_TRACED = 32  # beyond these levels the lines of the trace cannot be told apart
_MOVE = """
const step = slider.data.value, K = trace.data.u.length;
now.data = {u: trace.data.u.map((line) => line[step]), step: Array(K).fill(step)};
"""
_PLAY = """
const steps = slider.data;
if (button.timer) { clearInterval(button.timer); button.timer = null; button.data.label = "Play"; }
else {
  button.data.label = "Pause";
  button.timer = setInterval(() => { steps.value = (steps.value + 1) % (last + 1); }, 150);
}
"""
_COPY = """
const say = (words) => {
  button.data.label = words;
  setTimeout(() => { button.data.label = "Copy as Python"; }, 1500);
};
// without https a browser lends a page no clipboard
const written = navigator.clipboard?.writeText(area.data.value) ?? Promise.reject();
written.then(() => say("Copied"), () => say("Copy it from below"));
"""


class CodebooksPage:
    """One design's codebooks at the present levels, beside one's own."""

    def __init__(self, session: Session) -> None:
        self.state, self.background = session.state, session.background
        self.deliver = session.deliver
        self.books: Books | None = None
        self.own: Books | None = None
        self.design = pmui.Select(
            label="Design", options=[DESIGN_LABELS["closed_form"]], size="small", margin=(4, 0)
        )
        self.design.param.watch(lambda _: self.deliver(self.refresh), "value")
        self.cells = ColumnDataSource(
            {c: [] for c in ("left", "right", "alpha")}, name="codebook_cells"
        )
        self.centers = ColumnDataSource({"u": [], "row": []}, name="codebook_centers")
        self.own_centers = ColumnDataSource({"u": [], "row": []}, name="own_centers")
        self.pdf = ColumnDataSource({"u": [], "pdf": []}, name="codebook_pdf")
        self.trace = ColumnDataSource({"step": [], "u": []}, name="lloyd_trace")
        self.now = ColumnDataSource({"u": [], "step": []}, name="lloyd_now")
        self.table, self.sentence = text("", "codebook", "codebook_table"), text("", "sentence")
        self.trace_text = text("", "sentence")
        self.status = text("", "status", "codebook_status")
        self.python = pmui.TextAreaInput(
            label="As Python", rows=6, max_rows=6, sizing_mode="stretch_width", margin=(8, 0)
        )
        self.upload = pmui.FileInput(
            label="Bring your own (.json, .csv)", accept=".json,.csv", margin=(4, 0)
        )
        self.upload.param.watch(lambda _: self.deliver(self._import), "value")

    def view(self) -> pn.viewable.Viewable:
        small = {"variant": "outlined", "size": "small", "margin": (4, 6, 4, 0)}
        copy = pmui.Button(label="Copy as Python", **small)
        copy.js_on_click(args={"area": self.python, "button": copy}, code=_COPY)
        files = [
            pmui.FileDownload(
                callback=partial(self._file, write), filename=f"codebooks.{kind}",
                label=f"Save as {name}", auto=True, **small,
            )
            for kind, name, write in (
                ("json", "JSON", lambda books: to_json(books).encode()),
                ("csv", "CSV", lambda books: to_csv(books).encode()),
                ("safetensors", "safetensors", to_safetensors),
            )
        ]  # fmt: skip
        slider = pmui.IntSlider(
            label="Lloyd step", start=0, end=_STEPS, value=0, sizing_mode="stretch_width"
        )
        slider.jscallback(
            args={"slider": slider, "trace": self.trace, "now": self.now}, value=_MOVE
        )
        play = pmui.Button(label="Play", variant="text", size="small", margin=(0, 6))
        play.js_on_click(args={"slider": slider, "button": play, "last": _STEPS}, code=_PLAY)
        panel = {
            "css_classes": ["panel"], "stylesheets": [CSS], "sizing_mode": "stretch_width",
            "margin": (10, 0, 0, 0),
        }  # fmt: skip
        left = pn.Column(
            card("Centres and cells", self.sentence, self._cells_figure()),
            pn.Column(
                self.design, pn.pane.Bokeh(self.table, sizing_mode="stretch_width", margin=0),
                **panel,
            ),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        right = pn.Column(
            card("Lloyd’s iteration", self.trace_text, self._trace_figure()),
            pn.Column(slider, play, **panel),
            pn.Column(
                pn.FlexBox(*files, copy), self.python, self.upload,
                pn.pane.Bokeh(self.status, sizing_mode="stretch_width", margin=0), **panel,
            ),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        return grid(left, right)

    def refresh(self) -> None:
        """Other designs may exist now; the codebooks follow in the background."""
        request = self.state.request()
        labels = [
            DESIGN_LABELS[name]
            for name in DESIGN_LABELS
            if (name != "empirical" or self.state.heads)
            and max(request.k_x, request.k_y) <= most_levels(request.problem, name)
        ]
        if self.design.options != labels:
            self.design.options = labels
        if self.design.value not in labels:
            self.design.value = DESIGN_LABELS["closed_form"]
        name = next(n for n, label in DESIGN_LABELS.items() if label == self.design.value)
        self.background.run(
            "books", partial(_make, request, name, self.state.operand), self._show, self._failed
        )

    def _failed(self, sentence: str) -> None:
        self.status.text = f'<span class="problem">{escape(sentence)}</span>'

    def _show(self, found: tuple[str, Request, Operand, Books, np.ndarray]) -> None:
        name, request, operand, self.books, trace = found
        pair = request.problem.law()
        book, sigma = self.books[operand == "y"], pair.sigma(operand)
        u, t = book.centers / sigma, book.thresholds / sigma
        edges = np.concatenate([[-2 * REACH], t, [2 * REACH]])
        shades = [0.05 + 0.13 * (i % 2) for i in range(u.size)]
        self.cells.data = {"left": edges[:-1], "right": edges[1:], "alpha": shades}
        self.centers.data = {"u": u, "row": [0.06] * u.size}
        grid_u = np.linspace(-REACH, REACH, 241)
        self.pdf.data = {"u": grid_u, "pdf": pair.pdf(grid_u * sigma, operand) * sigma}
        steps = list(range(trace.shape[0]))
        self.trace.data = {"step": [steps] * trace.shape[1], "u": list((trace / sigma).T.tolist())}
        self.now.data = {"u": (trace[0] / sigma).tolist(), "step": [0] * trace.shape[1]}
        kind = "weighted" if name not in ("gaussian_compander", "lloyd_max") else "plain"
        moved = float(np.max(np.abs(trace[-1] - trace[0]))) / sigma if trace.size else 0.0
        self.trace_text.text = (
            f"Centre, border, centre, border: {_STEPS} steps of the {kind} iteration move the "
            f"{trace.shape[1]} centres by up to <b>{moved:.2f} σ</b>."
            if trace.size
            else f"Drawn up to {_TRACED} levels."
        )
        self.python.value = to_python(self.books)
        rows = "".join(
            f"<tr><th scope='row'>{i}</th><td>{_digits(c, sigma)}</td><td>{border}</td></tr>"
            for i, (c, border) in enumerate(
                zip(book.centers, [*(_digits(x, sigma) for x in book.thresholds), "∞"], strict=True)
            )
        )
        self.table.text = scrolling(
            "Centres and thresholds",
            "<table><thead><tr><th scope='col'>code</th><th scope='col'>centre</th>"
            "<th scope='col'>up to and including</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>",
        )
        finest = float(np.min(np.diff(u)))
        inside = float(np.mean(np.abs(u) <= 1))
        self.sentence.text = (
            f"<b>{DESIGN_LABELS[name]}, {u.size} levels</b>: {100 * inside:.0f} % of the centres "
            f"within one σ, the closest two {finest:.3g} σ apart, the outermost at "
            f"{np.max(np.abs(u)):.2f} σ."
        )
        self._compare()

    def _import(self) -> None:
        if not self.upload.value:
            return
        name, content = f"{self.upload.filename}", bytes(self.upload.value)
        try:
            self.own = read(name, content)
        except (ValueError, TypeError) as error:
            self.own = None
            self.own_centers.data = {"u": [], "row": []}
            self._failed(f"{name}: {error}")
            return
        self._compare()

    def _compare(self) -> None:
        """One's own codebooks beside the design's."""
        if self.own is None or self.books is None:
            return
        request, operand = self.state.request(), self.state.operand
        pair = request.problem.law()
        mine = self.own[operand == "y"].centers / pair.sigma(operand)
        self.own_centers.data = {"u": mine, "row": [0.13] * mine.size}
        k = request.problem.inner_dim
        own, made = (exact_mse(pair, *books, k).nmse for books in (self.own, self.books))
        self.status.text = (
            f"Your codebooks ({self.own[0].n_levels} and {self.own[1].n_levels} levels) lose "
            f"<b>{scientific(own)}</b> under the present law, the design shown {scientific(made)}: "
            f"{own / made:.3g} times as much."
        )

    def _file(self, write: Callable[[Books], bytes]) -> io.BytesIO:
        return io.BytesIO(write(self.books) if self.books is not None else b"")

    def _cells_figure(self) -> figure:
        plot = plain_figure(
            "u = x / σ, standard deviations", "pdf f", height=230,
            x_range=Range1d(-REACH, REACH), y_range=Range1d(0, 0.62), name="codebook",
        )  # fmt: skip
        plot.quad("left", "right", 0.62, 0, source=self.cells, fill_color=BLUE, fill_alpha="alpha",
                  line_color=None)  # fmt: skip
        plot.varea("u", 0, "pdf", source=self.pdf, fill_color=PDF)
        plot.scatter("u", "row", source=self.centers, marker="dash", angle=np.pi / 2, size=26,
                     line_color=BLUE, line_width=2.5)  # fmt: skip
        plot.scatter("u", "row", source=self.own_centers, marker="triangle", size=8,
                     fill_color=VERMILLION, line_color="white")  # fmt: skip
        ticks(plot.xaxis, range(-4, 5))
        ticks(plot.yaxis, [0, 0.2, 0.4])
        return plot

    def _trace_figure(self) -> figure:
        plot = plain_figure(
            "u = x / σ, standard deviations", "step", height=260, x_range=Range1d(-REACH, REACH),
            y_range=Range1d(_STEPS, 0), name="trace",
        )  # fmt: skip
        plot.multi_line("u", "step", source=self.trace, line_color=GREY, line_width=1.5)
        plot.scatter("u", "step", source=self.now, size=8, fill_color=DESIGN_STYLES["lloyd_max"][0],
                     line_color="white")  # fmt: skip
        here = Span(location=0, dimension="width", line_color=INK, line_dash="dotted")
        self.now.js_on_change(
            "data", CustomJS(args={"here": here}, code="here.location = cb_obj.data.step[0] ?? 0;")
        )
        plot.add_layout(here)
        ticks(plot.xaxis, range(-4, 5))
        ticks(plot.yaxis, [0, 10, 20, 30, 40])
        return plot


def _digits(value: float, sigma: float) -> str:
    """Six digits; what rounding has left of a zero is a zero."""
    return "0" if abs(value) < 1e-12 * sigma else f"{value:.6g}".replace("-", "−")


def _make(
    request: Request, name: str, operand: Operand, task: Task
) -> tuple[str, Request, Operand, Books, np.ndarray]:
    books = codebooks(request.problem, name, request.k_x, request.k_y)
    levels = request.k_x if operand == "x" else request.k_y
    trace = np.empty((0, 0))
    if levels <= _TRACED and not task.cancelled:
        weighted = name not in ("gaussian_compander", "lloyd_max")
        trace = lloyd_trace(request.problem.law(), levels, operand, weighted=weighted, steps=_STEPS)
    return name, request, operand, books, trace
