"""The Codebooks tab: centres and cells of one design, Lloyd's iteration, files in and out."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from itertools import zip_longest
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, CustomJS, FixedTicker, Range1d, Span
from bokeh.plotting import figure

from quantlab import exact_mse
from quantlab.design.lloyd_max import lloyd_trace
from quantlab.files.codebooks import (
    EXPECTED,
    Books,
    read,
    to_csv,
    to_json,
    to_python,
    to_safetensors,
)
from quantlab.pairs import OPERANDS, Operand

from ..parts.board import Board
from ..parts.layout import CSS, browser_source, card, grid, scrolling, text
from ..parts.theme import (
    BLUE,
    DESIGN_STYLES,
    GREY,
    INK,
    PDF,
    VERMILLION,
    make_room,
    plain_figure,
    ticks,
)
from ..parts.upload_input import UploadInput
from ..parts.wording import compared, scientific
from ..state import DESIGN_LABELS, GAUSSIAN, OWN_LEVELS, STUDENT_T, Request
from ..work.background import Task
from ..work.measurements import codebooks, most_levels
from ..work.own import best_known, cell_shares, exact_shares, own_books
from . import Session
from .density import REACH

_STEPS, _TOP = 40, 0.62
_OWN = "own"
_SMALL: dict[str, Any] = {"variant": "outlined", "size": "small", "margin": (4, 6, 4, 0)}
_TRACED = 32  # beyond these levels the lines of the trace cannot be told apart
# the picture follows the slider in the browser alone: a new trace is drawn at the step shown
_DRAW = """
const u = trace.data.u, step = here.location;
now.data = {u: Array.from(u, (line) => line[step]), step: Array(u.length).fill(step)};
"""
_PLAY = """
const steps = slider.data;
const rest = () => {
  clearInterval(button.timer);
  button.timer = null;
  button.data.label = "Play";
};
if (button.timer) rest();
else {
  button.data.label = "Pause";
  button.timer = setInterval(() => {
    if (button.data.disabled) rest();
    else steps.value = (steps.value + 1) % (last + 1);
  }, 150);
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


@dataclass(frozen=True)
class Made:
    """One design's codebooks, and Lloyd's path to one of them where it can be drawn."""

    design: str
    request: Request
    operand: Operand
    books: Books
    trace: np.ndarray | None = None
    kept: tuple[np.ndarray, ...] | None = None

    @property
    def label(self) -> str:
        """What the page calls it."""
        return DESIGN_LABELS.get(self.design, "Your own")

    @property
    def weighted(self) -> bool:
        """Whether the design minds what an entry's error costs the product."""
        return self.design not in ("gaussian_compander", "lloyd_max")


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
        self.board = Board(sizing_mode="stretch_width", margin=0)
        self.board.param.watch(lambda *_: self.deliver(self._moved_by_hand), ["centers", "beat"])
        self.board.param.watch(lambda _: self.deliver(self._ask), "asked")
        self.start = pmui.Button(label="Design your own", **_SMALL)
        self.start.on_click(lambda _: self.deliver(self._start))
        self.back = pmui.Button(label="Back to the designs", **_SMALL)
        self.back.on_click(lambda _: self.deliver(self._leave))
        self.cells = ColumnDataSource(
            {c: [] for c in ("left", "right", "alpha", "mass", "share")}, name="codebook_cells"
        )
        self.centers = ColumnDataSource({"u": [], "row": []}, name="codebook_centers")
        self.own_centers = ColumnDataSource({"u": [], "row": []}, name="own_centers")
        self.ghost = ColumnDataSource({"u": [], "row": [], "step": []}, name="ghost_centers")
        self.pdf = ColumnDataSource({"u": [], "pdf": []}, name="codebook_pdf")
        self.heights, self.ticker = Range1d(0, _TOP), FixedTicker(ticks=[0, 0.2, 0.4, 0.6])
        self.trace = ColumnDataSource({"step": [], "u": []}, name="lloyd_trace")
        self.now = browser_source("lloyd_now", "u", "step")
        self.here = Span(
            location=0, dimension="width", line_color=INK, line_dash="dotted", syncable=False
        )
        draw = CustomJS(args={"trace": self.trace, "now": self.now, "here": self.here}, code=_DRAW)
        self.trace.js_on_change("data", draw)
        self.here.js_on_change("location", draw)
        self.step = pmui.IntSlider(
            label="Lloyd step", start=0, end=_STEPS, value=0, sizing_mode="stretch_width"
        )
        self.step.jscallback(
            args={"slider": self.step, "here": self.here},
            value="here.location = slider.data.value;",
        )
        self.play = pmui.Button(label="Play", variant="text", size="small", margin=(0, 6))
        self.play.js_on_click(
            args={"slider": self.step, "button": self.play, "last": _STEPS}, code=_PLAY
        )
        self.table, self.sentence = text("", "codebook", "codebook_table"), text("", "sentence")
        self.trace_text = text("", "sentence")
        self.status = text("", "status", "codebook_status")
        self.python = pmui.TextAreaInput(
            label="As Python", rows=6, max_rows=6, sizing_mode="stretch_width", margin=(8, 0)
        )
        small = {**_SMALL, "disabled": True}
        self.copy = pmui.Button(label="Copy as Python", **small)
        self.copy.js_on_click(args={"area": self.python, "button": self.copy}, code=_COPY)
        self.files = [
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
        self.upload = UploadInput(
            f"Bring your own ({EXPECTED})", taken=partial(self._later, self._import),
            progress=lambda _: None, refused=partial(self._later, self._refused), margin=(4, 0),
        )  # fmt: skip

    def view(self) -> pn.viewable.Viewable:
        panel = {
            "css_classes": ["panel"], "stylesheets": [CSS], "sizing_mode": "stretch_width",
            "margin": (10, 0, 0, 0),
        }  # fmt: skip
        title = text("<h2>Design your own</h2>", "title")
        self.own_card = pn.Column(
            pn.pane.Bokeh(title, sizing_mode="stretch_width", margin=0), self.board,
            visible=bool(self.state.own_x), **{**panel, "margin": 0},
        )  # fmt: skip
        self.cells_card = card("Centres and cells", self.sentence, self._cells_figure())
        self.cells_card.visible = not self.state.own_x
        left = pn.Column(
            self.own_card, self.cells_card,
            pn.Column(
                self.design, pn.FlexBox(self.start, self.back),
                pn.pane.Bokeh(self.table, sizing_mode="stretch_width", margin=0), **panel,
            ),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        right = pn.Column(
            card("Lloyd’s iteration", self.trace_text, self._trace_figure()),
            pn.Column(self.step, self.play, **panel),
            pn.Column(
                pn.FlexBox(*self.files, self.copy), self.python, self.upload,
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
            if (name != "empirical" or self.state.given)
            and max(request.k_x, request.k_y) <= most_levels(request.problem, name)
        ]
        if self.design.options != labels:
            self.design.options = labels
        if self.design.value not in labels:
            self.design.value = DESIGN_LABELS["closed_form"]
        own = (tuple(self.state.own_x), tuple(self.state.own_y))
        self._show_own(request, own)
        self.background.run(
            "books",
            partial(_make, request, self._chosen(), self.state.operand, own,
                    self.state.kept_request()),
            self._show, self._failed,
        )  # fmt: skip

    def _chosen(self) -> str:
        """The design selected, whether or not one's own codebooks are shown."""
        return next(n for n, label in DESIGN_LABELS.items() if label == self.design.value)

    def _show_own(self, request: Request, own: tuple[tuple[float, ...], ...]) -> None:
        """The board where there are centres of one's own, else the design's picture."""
        self.own_card.visible, self.cells_card.visible = bool(own[0]), not own[0]
        self.back.visible = bool(own[0])
        self.start.disabled = max(request.k_x, request.k_y) > OWN_LEVELS
        self.start.label = "Start from this design" if own[0] else "Design your own from this one"
        if not own[0]:
            self.background.cancel("optimum")
            return
        problem = replace(request.problem, seed=0, rounding="nearest")
        here = problem.family in (GAUSSIAN, STUDENT_T)
        pair, u = problem.law(), np.linspace(-REACH, REACH, 121)
        pdf = pair.pdf(u * pair.sigma("x"), "x") * pair.sigma("x")
        rho = pair.mean_product / (pair.sigma("x") * pair.sigma("y"))
        self.board.param.update(
            centers={"x": list(own[0]), "y": list(own[1])}, beat=self.state.beat,
            law={"family": problem.family if here else "", "rho": rho, "nu": problem.nu},
            inner_dim=problem.inner_dim, pdf={"u": u.tolist(), "f": pdf.tolist()},
            problem=repr(problem),
        )  # fmt: skip
        sizes = len(own[0]), len(own[1] or own[0])
        self.background.run(
            "optimum", lambda _: best_known(problem, *sizes), self._show_optimum, self._failed
        )

    def _show_optimum(self, optimum: dict[str, Any]) -> None:
        self.board.optimum = optimum

    def _start(self) -> None:
        """One's own codebooks begin as the design shown."""
        request = self.state.request()
        books = codebooks(request.problem, self._chosen(), request.k_x, request.k_y)
        self._put(books)

    def _put(self, books: Books) -> None:
        """Centres onto the board, to the digits that a link holds."""
        pair = self.state.request().problem.law()
        own = [
            np.round(book.centers / pair.sigma(operand), 4).tolist()
            for book, operand in zip(books, OPERANDS, strict=True)
        ]
        try:
            self.state.param.update(own_x=own[0], own_y=[] if own[0] == own[1] else own[1])
        except ValueError as error:
            self._refused(f"The board cannot hold these centres: {error}")

    def _leave(self) -> None:
        self.state.param.update(own_x=[], own_y=[], beat=False)

    def _moved_by_hand(self) -> None:
        """The browser's centres; what it sends is checked like a link's."""
        own, beat = self.board.centers, self.board.beat
        if not self.state.own_x:  # left meanwhile
            return
        try:
            self.state.param.update(own_x=own["x"], own_y=own["y"], beat=beat)
        except (KeyError, TypeError, ValueError) as error:
            self._refused(f"{error}")

    def _ask(self) -> None:
        """The exact error of what a hand holds, under a law that the browser has no formula of."""
        asked, request = self.board.asked, self.state.request()
        if not self.state.own_x:  # left meanwhile
            return
        problem = replace(request.problem, seed=0, rounding="nearest")

        def answer(errors: dict[str, float]) -> None:
            self.board.answer = {**asked, **errors}

        def nothing(why: str) -> None:
            self.board.answer = asked
            self._refused(why)

        job = lambda _: exact_shares(problem, own_books(problem, asked["x"], asked["y"]))  # noqa: E731
        self.background.run("hand", job, answer, nothing, cause="hand")

    def _later(self, show: Callable[..., None], *news: Any) -> None:
        self.deliver(partial(show, *news))

    def _refused(self, why: str) -> None:
        self.status.text = f'<span class="problem">{escape(why)}.</span>'

    def _failed(self, why: str) -> None:
        """No codebooks: nothing of the last ones stays."""
        self.background.cancel("own")
        for source in (
            self.cells,
            self.centers,
            self.ghost,
            self.own_centers,
            self.pdf,
            self.now,
            self.trace,
        ):
            source.data = {column: [] for column in source.column_names}
        self.sentence.text = f'<span class="problem">{escape(why)}.</span>'
        self.table.text = self.trace_text.text = self.status.text = self.python.value = ""
        self._offer(None)

    def _offer(self, books: Books | None) -> None:
        self.books = books
        for button in (*self.files, self.copy):
            button.disabled = books is None

    def _show(self, made: Made) -> None:
        problem = made.request.problem
        pair, sigma = problem.entries(), problem.law().sigma(made.operand)
        book = made.books[made.operand == "y"]
        u, t = book.centers / sigma, book.thresholds / sigma
        edges = np.concatenate([[-2 * REACH], t, [2 * REACH]])
        shades = [0.05 + 0.13 * (i % 2) for i in range(u.size)]
        mass, share = cell_shares(pair, book, made.operand)
        self.cells.data = {
            "left": edges[:-1], "right": edges[1:], "alpha": shades, "mass": mass, "share": share,
        }  # fmt: skip
        self.centers.data = {"u": u, "row": [0.06] * u.size}
        grid_u = np.linspace(-REACH, REACH, 241)
        pdf = pair.pdf(grid_u * sigma, made.operand) * sigma
        self.pdf.data = {"u": grid_u, "pdf": pdf}
        make_room(self.heights, self.ticker, _TOP, pdf)
        self.python.value = to_python(made.books)
        kept: np.ndarray = np.empty(0) if made.kept is None else made.kept[made.operand == "y"]
        self.ghost.data = {"u": kept, "row": [0.2] * len(kept), "step": [_STEPS] * len(kept)}
        self.board.ghost = {} if made.kept is None else {
            operand: centers.tolist() for operand, centers in zip(OPERANDS, made.kept, strict=True)
        }  # fmt: skip
        columns = [
            [_digits(c, sigma) for c in book.centers],
            [*(_digits(x, sigma) for x in book.thresholds), "∞"],
            *([[_digits(c, 1.0) + " σ" for c in kept]] if made.kept else []),
        ]
        rows = "".join(
            f"<tr><th scope='row'>{i}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
            for i, cells in enumerate(zip_longest(*columns, fillvalue=""))
        )
        beside = "<th scope='col'>kept, centre</th>" if made.kept else ""
        self.table.text = scrolling(
            "Centres and thresholds",
            "<table><thead><tr><th scope='col'>code</th><th scope='col'>centre</th>"
            f"<th scope='col'>up to and including</th>{beside}</tr></thead>"
            f"<tbody>{rows}</tbody></table>",
        )
        finest = float(np.min(np.diff(u)))
        inside = float(np.mean(np.abs(u) <= 1))
        self.sentence.text = (
            f"<b>{made.label}, {u.size} levels</b>: {100 * inside:.0f} % of the "
            f"centres within one σ, the closest two {finest:.3g} σ apart, the outermost at "
            f"{np.max(np.abs(u)):.2f} σ."
        )
        self._show_trace(None if made.trace is None else made.trace / sigma, made)
        self._offer(made.books)  # files of what is drawn
        self.status.text = ""
        self._compare(made)

    def _show_trace(self, trace: np.ndarray | None, made: Made) -> None:
        """Lloyd's path in standard deviations, or that there is none."""
        self.step.disabled = self.play.disabled = trace is None
        if trace is None:
            self.now.data, self.trace.data = {"u": [], "step": []}, {"step": [], "u": []}
            self.trace_text.text = (
                f"Lloyd’s iteration is drawn up to {_TRACED} levels: more lines cannot be told "
                "apart."
            )
            return
        steps, k = trace.shape
        step = self.step.value
        self.now.data = {"u": trace[step].tolist(), "step": [step] * k}
        self.trace.data = {"step": [list(range(steps))] * k, "u": trace.T.tolist()}
        self.trace_text.text = (
            f"Centre, border, centre, border: {_STEPS} steps of the "
            f"{'weighted' if made.weighted else 'plain'} iteration move the {k} centres by up to "
            f"<b>{np.max(np.abs(trace[-1] - trace[0])):.2f} σ</b>."
        )

    def _import(self, name: str, content: bytes) -> None:
        try:
            self.own = read(name, content)
        except ValueError as error:
            self.background.cancel("own")
            self.own = None
            self.own_centers.data = {"u": [], "row": []}
            self._refused(f"{name[-60:]}: {error}")
            return
        if self.state.own_x:
            self._put(self.own)
        self.refresh()

    def _compare(self, made: Made) -> None:
        """One's own codebooks beside the design's; many levels of some laws take seconds."""
        self.background.cancel("own")
        if self.own is None:
            return
        sigma = made.request.problem.law().sigma(made.operand)
        mine = self.own[made.operand == "y"].centers / sigma
        self.own_centers.data = {"u": mine, "row": [0.13] * mine.size}
        self.status.text = "Comparing your codebooks with the design’s …"
        job = partial(_compared, self.own, made)
        self.background.run("own", job, self._show_comparison, self._refused, cause="button")

    def _show_comparison(self, sentence: str) -> None:
        self.status.text = sentence

    def _file(self, write: Callable[[Books], bytes]) -> io.BytesIO:
        assert self.books is not None, "the buttons are disabled"
        return io.BytesIO(write(self.books))

    def _cells_figure(self) -> figure:
        plot = plain_figure(
            "u = x / σ, standard deviations", "pdf f", height=230,
            x_range=Range1d(-REACH, REACH), y_range=Range1d(0, _TOP), name="codebook",
        )  # fmt: skip
        plot.extra_y_ranges = {"pdf": self.heights}
        plot.quad("left", "right", _TOP, 0, source=self.cells, fill_color=BLUE, fill_alpha="alpha",
                  line_color=None)  # fmt: skip
        plot.varea("u", 0, "pdf", source=self.pdf, fill_color=PDF, y_range_name="pdf")
        plot.scatter("u", "row", source=self.centers, marker="dash", angle=np.pi / 2, size=26,
                     line_color=BLUE, line_width=2.5)  # fmt: skip
        plot.scatter("u", "row", source=self.ghost, marker="dash", angle=np.pi / 2, size=16,
                     line_color=GREY, line_width=2)  # fmt: skip
        plot.scatter("u", "row", source=self.own_centers, marker="triangle", size=8,
                     fill_color=VERMILLION, line_color="white")  # fmt: skip
        ticks(plot.xaxis, range(-4, 5))
        plot.yaxis.y_range_name = "pdf"
        plot.yaxis.ticker = self.ticker
        return plot

    def _trace_figure(self) -> figure:
        plot = plain_figure(
            "u = x / σ, standard deviations", "step", height=260, x_range=Range1d(-REACH, REACH),
            y_range=Range1d(_STEPS, 0), name="trace",
        )  # fmt: skip
        plot.multi_line("u", "step", source=self.trace, line_color=GREY, line_width=1.5)
        plot.scatter("u", "step", source=self.ghost, marker="dash", angle=np.pi / 2, size=14,
                     line_color=BLUE, line_width=2)  # fmt: skip
        plot.scatter("u", "step", source=self.now, size=8, fill_color=DESIGN_STYLES["lloyd_max"][0],
                     line_color="white")  # fmt: skip
        plot.add_layout(self.here)
        ticks(plot.xaxis, range(-4, 5))
        ticks(plot.yaxis, [0, 10, 20, 30, 40])
        return plot


def _digits(value: float, sigma: float) -> str:
    """Six digits; what rounding has left of a zero is a zero."""
    return "0" if abs(value) < 1e-12 * sigma else f"{value:.6g}".replace("-", "−")


def _make(
    request: Request, design: str, operand: Operand, own: tuple[tuple[float, ...], ...],
    kept: Request | None, task: Task,
) -> Made:  # fmt: skip
    if own[0]:
        made = Made(_OWN, request, operand, own_books(request.problem, *own))
    else:
        books = codebooks(request.problem, design, request.k_x, request.k_y)
        made = Made(design, request, operand, books)
    if kept is not None and max(kept.k_x, kept.k_y) <= most_levels(kept.problem, design):
        law = kept.problem.law()
        found = codebooks(kept.problem, design, kept.k_x, kept.k_y)
        ghost = tuple(b.centers / law.sigma(o) for b, o in zip(found, OPERANDS, strict=True))
        made = replace(made, kept=ghost)
    books = made.books
    levels = books[operand == "y"].n_levels
    if levels > _TRACED or task.cancelled:
        return made
    law = request.problem.law()
    trace = lloyd_trace(law, levels, operand, weighted=made.weighted, steps=_STEPS)
    return replace(made, trace=trace)


def _compared(own: Books, made: Made, task: Task) -> str:
    """What one's own codebooks lose under the law, and how much the design's do."""
    problem = made.request.problem
    pair, k = problem.law(), problem.inner_dim
    with np.errstate(over="ignore", invalid="ignore"):
        mine = exact_mse(pair, *own, k).nmse
    if not np.isfinite(mine):
        raise ValueError("your centres are too large: the error under the present law overflows")
    its = exact_mse(pair, *made.books, k).nmse
    return (
        f"Your codebooks ({own[0].n_levels} and {own[1].n_levels} levels) lose "
        f"<b>{scientific(mine)}</b> under the present law, "
        f"{compared(mine / its, '', 'the design shown')} ({scientific(its)})."
    )
