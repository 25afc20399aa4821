"""The Error tab: exact curves, measured points, variance and bias, errors entry by entry."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, LinearColorMapper, Range1d, Span
from bokeh.palettes import RdBu11
from bokeh.plotting import figure

from quantlab import asymptotic_mse, floor_nmse, measure_designs
from quantlab.measure import MeasuredError

from ..parts.glossary import term
from ..parts.layout import CSS, card, css, entries, grid, scrolling, text
from ..parts.theme import DESIGN_STYLES, INK, MUTED, plain_figure, ticks
from ..parts.wording import power_of_ten, scientific
from ..state import DESIGN_LABELS, Problem, Request
from ..work.background import Task
from ..work.error_study import (
    SIDE,
    Split,
    exact,
    held_out,
    levels_shown,
    sampled_errors,
    split,
)
from ..work.measurements import SIZE, SWEEP, codebooks, most_levels, refused
from . import Session

_BATCH = 20
_TRIALS = {"40 trials": 40, "200 trials": 200, "1,000 trials": 1000}
_LOW, _HIGH = 1e-8, 3.0
_BETWEEN = 4  # entries between a picture and the kept one
_FAR = 1e6  # inner dimensions that no product has
_UNKNOWN = "Exact error of each design, a line; points are measured."
_NO_EXACT = (
    "<b>With feedback no exact formula is known</b>: an entry is rounded by what the entries "
    "before it have lost. Press <b>Measure</b> for points; the dashed law is for many more rows "
    "than k."
)
_NO_SPLIT = (
    "Variance and bias are of rounding each entry by itself: with feedback an entry’s error "
    "follows from those before it."
)
_GIVEN_SPLIT = (
    "Variance and bias are of a law, and these matrices are given, not drawn from one: choose "
    "<b>Drawn from a law</b>."
)


class ErrorStudyPage:
    """Exact and measured nmse of the chosen designs under the present law."""

    def __init__(self, session: Session) -> None:
        self.state, self.background = session.state, session.background
        self.deliver = session.deliver
        line = ("x", "y", "colour", "dash", "name")
        self.curves = ColumnDataSource({c: [] for c in line}, name="exact_curves")
        self.points = ColumnDataSource(
            {c: [] for c in ("K", "nmse", "low", "high", "colour", "marker", "design")},
            name="study_points",
        )
        self.split = ColumnDataSource({c: [] for c in line}, name="split_curves")
        self.here = [
            Span(
                dimension="height",
                line_color=INK,
                line_dash="dotted",
                line_width=1.5,
                name=f"here_{i}",
            )
            for i in range(2)
        ]
        self.images = [
            ColumnDataSource({"error": [], "w": [], "h": []}, name=f"error_image_{i}")
            for i in range(2)
        ]
        self.sides = Range1d(0, SIDE), Range1d(SIDE, 0)
        self.kept_images = [
            ColumnDataSource({"error": [], "x": [], "w": [], "h": []}, name=f"kept_image_{i}")
            for i in range(2)
        ]
        self.image_texts = [text("", "sentence") for _ in range(2)]
        self.exact_text, self.split_text = text("", "sentence"), text("", "sentence")
        self.status = text("", "status", "study_status")
        self.exact_text.name, self.split_text.name = "exact_text", "split_text"
        self.legend = text("", "legend")
        self.parts = text("", "readout", "study_parts")
        self._splits: dict[str, Split] = {}
        self._kept_split: tuple[Request, dict[str, Split]] | None = None
        self.trials = pmui.Select(
            label="Trials", options=_TRIALS, value=200, size="small", width=150, margin=(4, 8, 4, 0)
        )
        self.measure = pmui.Button(label="Measure", variant="contained", margin=(8, 8, 4, 0))
        self.stop = pmui.Button(
            label="Stop", variant="outlined", disabled=True, margin=(8, 8, 4, 0)
        )
        self.measure.on_click(lambda _: self.deliver(self._measure))
        self.stop.on_click(lambda _: self.deliver(self._stop))
        self._measured_for: tuple[Request, bool] | None = None
        self._rows: dict[str, list[tuple]] = {"exact": [], "split": []}
        self._kept: dict[str, list[tuple]] = {"exact": [], "split": []}
        self._kept_words = ""
        self._kept_asked: tuple[Request | None, bool] | None = None
        self._image_words, self._shape = ["", ""], (SIDE, SIDE)
        self._kept_found: list[tuple[str, tuple[np.ndarray, float]]] = []

    def view(self) -> pn.viewable.Viewable:
        controls = pn.Column(
            pn.Row(self.trials, self.measure, self.stop, margin=0),
            pn.pane.Bokeh(self.status, margin=0, sizing_mode="stretch_width"),
            css_classes=["panel"], stylesheets=[CSS], sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        return grid(
            pn.Column(
                card("Error against levels", self.exact_text, self.legend, self._levels_figure()),
                pn.Spacer(height=10), controls, sizing_mode="stretch_width", margin=0,
            ),
            card("Variance and bias against the inner dimension", self.split_text,
                 text(entries([(MUTED, "line", "variance"), (MUTED, "dashed", "bias"),
                               (MUTED, "dotted", "with the best gain")]), "legend"),
                 self._split_figure(), self.parts),
            card("The error, entry by entry", self.image_texts[0],
                 self._image(0)),
            card("The same product, the best design", self.image_texts[1], self._image(1)),
        )  # fmt: skip

    def refresh(self) -> None:
        """Curves follow in the background: the latest setting wins."""
        request = self.state.request()
        gain = self._gain(request)
        self.here[0].location = (2 / (1 / request.k_x**2 + 1 / request.k_y**2)) ** 0.5
        self.here[1].location = request.problem.inner_dim
        if self._measured_for not in (None, (request, gain)):
            self._measured_for = None
            self._stop()
            self.status.text = ""
            self.points.data = {c: [] for c in self.points.column_names}
        reason = self._nothing_to_show(request)
        given = request.problem.given is not None
        self.measure.disabled = bool(reason) or given or not self.stop.disabled
        if reason:
            for name in ("exact", "split", "image"):
                self.background.cancel(name)
            self._kept_asked = None
            self._show_kept_images({})
            for cell in (self.exact_text, self.split_text, *self.image_texts):
                cell.text = reason
            self.parts.text = ""
            for source in (self.curves, self.split, *self.images):
                source.data = {c: [] for c in source.column_names}
            return
        floor = request.problem.rho == 0 and request.problem.gaussian
        self._references = _references(request.problem, floor)
        self.legend.text = entries(
            [(DESIGN_STYLES[name][0], "line", DESIGN_LABELS[name]) for name in request.designs]
            + ([] if given else [(MUTED, "dashed", "asymptotic law")])
            + ([(INK, "dotted", "information-theoretic floor")] if floor else [])
        )
        self._follow_kept(gain)
        self.background.run("exact", partial(_exact_curves, request, gain),
                            partial(self._show_exact, request), self._failed)  # fmt: skip
        if request.problem.fed_back or given:
            self.background.cancel("split")
            self.split_text.text = _GIVEN_SPLIT if given else _NO_SPLIT
            self.parts.text = ""
            self._rows["split"], self._splits = [], {}
            self._draw("split")
        else:
            self.background.run("split", partial(_splits, request),
                                partial(self._show_split, request), self._failed)  # fmt: skip
        self.background.run("image", partial(_images, request, gain), self._show_images,
                            self._failed)  # fmt: skip

    def _follow_kept(self, gain: bool) -> None:
        """Curves of the kept setting, pale beside the present ones."""
        kept = self.state.kept_request()
        if self._kept_asked == (kept, gain):
            return
        self._kept_asked = kept, gain
        self._kept, self._kept_words = {"exact": [], "split": []}, ""
        self._kept_split = None
        self._show_kept_images({})
        self._write_parts()
        if kept is None or kept.problem.fed_back:
            self.background.cancel("kept")
            return

        def job(task: Task) -> tuple:
            quiet = Task(lambda _: None)  # all of it at once
            return _exact_curves(kept, gain, quiet), _splits(kept, task), _images(kept, gain, task)

        def show(found: tuple) -> None:
            (present, curves), splits, images = found
            self._show_kept_images(images)
            self._kept = {
                "exact": [_pale(row) for row in _curve_rows(curves)],
                "split": [_pale(row) for row in _split_rows(splits)],
            }
            if present:
                best = min(present, key=lambda name: present[name])
                self._kept_words = (
                    f" Kept, {kept.words}: {DESIGN_LABELS[best]} {scientific(present[best])}."
                )
            self._draw("exact", "split")
            self._kept_split = kept, splits
            self._write_parts()
            if self._kept_words not in self.exact_text.text:
                self.exact_text.text += self._kept_words

        self.background.run("kept", job, show, self._failed)

    def _draw(self, *names: str) -> None:
        """The present curves, and the kept setting's."""
        sources = {"exact": self.curves, "split": self.split}
        for name in names:
            source = sources[name]
            source.data = _columns(source, self._rows[name] + self._kept[name])

    def _nothing_to_show(self, request: Request) -> str:
        """Why the page has no errors to show; empty where it has."""
        if not request.designs:
            return "Choose a design to compare."
        if self.state.awaits_guess:
            return "Hidden until a guess is committed, under <b>Density</b>."
        return refused(request.problem)

    def _gain(self, request: Request) -> bool:
        """Feedback has made up for what a gain would; given matrices are measured without one."""
        return self.state.gain and not request.problem.fed_back and not self.state.given

    def _failed(self, sentence: str) -> None:
        self.status.text = f'<span class="problem">{escape(sentence)}</span>'

    def _show_exact(
        self, request: Request, found: tuple[dict[str, float], dict[str, list[tuple[int, float]]]]
    ) -> None:
        known, curves = found
        self._rows["exact"] = _curve_rows(curves) + self._references
        self._draw("exact")
        gain = ", each with its best gain" if self._gain(request) else ""
        if not known:
            self.exact_text.text = _NO_EXACT if request.problem.fed_back else _UNKNOWN
            return
        best = min(known, key=lambda name: known[name])
        worst = max(known, key=lambda name: known[name])
        how = "exactly" if request.problem.given is None else "measured on what was held out"
        most = ""
        if len(known) > 1:
            alike = known[worst] <= (1 + 1e-9) * known[best]
            most = f", the least; {DESIGN_LABELS[worst]} {scientific(known[worst])}, the most"
            most = ", as every design here" if alike else most
        self.exact_text.text = (
            f"At {request.levels}{gain}, {how}: <b>{DESIGN_LABELS[best]} "
            f"{scientific(known[best])}</b>{most}.{self._kept_words}"
        )

    def _show_split(self, request: Request, found: dict[str, Split]) -> None:
        biased = {n: max(1, round(s.takeover)) for n, s in found.items() if np.isfinite(s.takeover)}
        soon = {name: at for name, at in biased.items() if at < _FAR}
        takes = [f"{DESIGN_LABELS[name]} from k = {at:,} on" for name, at in soon.items()]
        if len(soon) < len(biased):
            takes.append("others not below a million")
        self._rows["split"], self._splits = _split_rows(found), found
        self._draw("split")
        self._write_parts()
        if soon:
            words = (
                f"<b>bias outweighs variance</b>: {'; '.join(takes)}. One gain on the product "
                "takes most of the bias away."
            )
        elif biased:
            words = "variance outweighs bias at every k below a million."
        else:
            words = "no design here has a bias: the error is variance alone."
        self.split_text.text = f"With {request.levels}, {words}"

    def _write_parts(self) -> None:
        """The parts of each design's error at the present inner dimension, as a table."""
        if not self._splits:
            return
        k, kept = self.state.request().problem.inner_dim, self._kept_split
        rows = "".join(
            f'<tr data-part="{name}"><th scope="row"><i style="--c:{css(DESIGN_STYLES[name][0])}">'
            f"</i>{DESIGN_LABELS[name]}</th>{_part_cells(split.at(k))}"
            f"{'' if kept is None else _kept_cell(name, *kept)}</tr>"
            for name, split in self._splits.items()
        )
        heads = (
            term("variance", "variance"), term("bias", "bias"), term("gain", "gain"), "with it",
            *([] if kept is None else ["kept"]),
        )  # fmt: skip
        columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
        self.parts.text = scrolling(
            "Parts of the error",
            f'<table class="parts"><thead><tr><th scope="col">k = {k:,}</th>{columns}</tr></thead>'
            f"<tbody>{rows}</tbody></table>",
        )

    def _show_images(self, found: dict[str, Any]) -> None:
        rows, columns = next((error.shape for error, _ in found.values()), (SIDE, SIDE))
        self._shape = rows, columns
        which = "corner of what was held out" if self.state.given else "product"
        opening = f"C − Ĉ of one {rows} × {columns} {which} by", "The same by"
        scale = "colours: ±3 of its rms", "colours as in the first picture"
        for i, source in enumerate(self.images):
            if i >= len(found):
                source.data, self._image_words[i] = {"error": [], "w": [], "h": []}, ""
                continue
            name, (error, nmse) = list(found.items())[i]
            source.data = {"error": [error], "w": [columns], "h": [rows]}
            self._image_words[i] = (
                f"{opening[i]} <b>{DESIGN_LABELS[name]}</b>: mean square "
                f"<b>{scientific(nmse)}</b> of C’s; {scale[i]}."
            )
            if i == 0:
                limit = 3 * max(nmse, 1e-30) ** 0.5
                self._mapper.low, self._mapper.high = -limit, limit
        self._tell_images()

    def _show_kept_images(self, found: dict[str, Any]) -> None:
        """The kept setting's errors to the right of the present ones, in the same colours."""
        self._kept_found = list(found.items())
        self._tell_images()

    def _tell_images(self) -> None:
        """The kept pictures' place beside the present ones, and the words above both."""
        (rows, columns), left = self._shape, self._shape[1] + _BETWEEN
        kept_rows, kept_columns = self._kept_found[0][1][0].shape if self._kept_found else (0, 0)
        for i, source in enumerate(self.kept_images):
            shown = i < len(self._kept_found)
            place = (self._kept_found[i][1][0], left, kept_columns, kept_rows) if shown else ()
            source.data = _columns(source, [place] if shown else [])
        self.sides[0].end = left + kept_columns if kept_columns else columns
        self.sides[1].start = max(rows, kept_rows)
        for i, (cell, words) in enumerate(zip(self.image_texts, self._image_words, strict=True)):
            beside = ""
            if words and i < len(self._kept_found):
                name, (_, nmse) = self._kept_found[i]
                beside = f" Right, kept: {DESIGN_LABELS[name]}, <b>{scientific(nmse)}</b>."
            cell.text = words + beside

    def _measure(self) -> None:
        request = self.state.request()
        gain = self._gain(request)
        self._measured_for = (request, gain)
        self.measure.disabled, self.stop.disabled = True, False
        self._say(0, self.trials.value, "waiting for its turn; the server measures one at a time.")
        self.background.run(
            "trials",
            partial(_trials, request, gain, self.trials.value),
            self._show_trials, self._failed, cause="button",
        )  # fmt: skip

    def _stop(self) -> None:
        self.background.cancel("trials")
        self.measure.disabled, self.stop.disabled = False, True

    def _show_trials(self, found: tuple[int, int, dict[tuple[str, int], MeasuredError]]) -> None:
        done, wanted, errors = found
        self.points.data = _columns(
            self.points,
            [
                (k, e.nmse, max(e.low, _LOW), e.high, *DESIGN_STYLES[name], DESIGN_LABELS[name])
                for (name, k), e in errors.items()
            ],
        )
        size = f"{SIZE} × {self.state.inner_dim} × {SIZE}"
        self._say(done, wanted, f"of {size} at each K; bars: 95 % intervals.")
        if done >= wanted:
            self.measure.disabled, self.stop.disabled = False, True

    def _say(self, done: int, wanted: int, words: str) -> None:
        self.status.text = (
            f"<progress aria-label='Trials' max='{wanted}' value='{done}'></progress>"
            f"{done:,} of {wanted:,} trials {words}"
        )

    def _levels_figure(self) -> figure:
        plot = plain_figure(
            "levels K (log scale)", "nmse", height=330, x_axis_type="log", y_axis_type="log",
            x_range=Range1d(1.8, 285), y_range=Range1d(_LOW, _HIGH), name="exact",
        )  # fmt: skip
        plot.multi_line("x", "y", source=self.curves, line_color="colour", line_dash="dash",
                        line_width=2)  # fmt: skip
        plot.segment("K", "low", "K", "high", source=self.points, line_color="colour",
                     line_width=2)  # fmt: skip
        plot.scatter("K", "nmse", source=self.points, marker="marker", fill_color="colour",
                     line_color="white", size=9)  # fmt: skip
        plot.add_layout(self.here[0])
        ticks(plot.xaxis, SWEEP, [str(k) for k in SWEEP])
        _decades(plot, range(-8, 1, 2))
        return plot

    def _split_figure(self) -> figure:
        plot = plain_figure(
            "inner dimension k (log scale)", "share of E[C²]", height=330, x_axis_type="log",
            y_axis_type="log", x_range=Range1d(0.9, 4600), y_range=Range1d(1e-9, 3), name="split",
        )  # fmt: skip
        plot.multi_line("x", "y", source=self.split, line_color="colour", line_dash="dash",
                        line_width=2)  # fmt: skip
        plot.add_layout(self.here[1])
        ticks(plot.xaxis, [1, 4, 16, 64, 256, 1024, 4096],
              ["1", "4", "16", "64", "256", "1,024", "4,096"])  # fmt: skip
        _decades(plot, range(-8, 1, 2))
        return plot

    def _image(self, number: int) -> figure:
        if number == 0:
            self._mapper = LinearColorMapper(palette=RdBu11, low=-0.1, high=0.1)
        plot = plain_figure(
            "column of C", "row", height=230, x_range=self.sides[0], y_range=self.sides[1],
            name=f"entries_{number}",
        )  # fmt: skip
        for source, left in ((self.images, 0), (self.kept_images, "x")):
            plot.image("error", left, 0, "w", "h", source=source[number],
                       color_mapper=self._mapper)  # fmt: skip
        ticks(plot.xaxis, [0, 16, 32, 48, 64])
        ticks(plot.yaxis, [0, 32, 64])
        plot.grid.visible = False
        return plot


def _curve_rows(curves: dict[str, list[tuple[int, float]]]) -> list[tuple]:
    return [
        (*zip(*curve, strict=True), DESIGN_STYLES[name][0], "solid", DESIGN_LABELS[name])
        for name, curve in curves.items()
        if curve
    ]


def _split_rows(found: dict[str, Split]) -> list[tuple]:
    rows: list[tuple] = []
    for name, s in found.items():
        colour, label, k = DESIGN_STYLES[name][0], DESIGN_LABELS[name], list(s.inner_dims)
        rows += [
            (k, s.variance, colour, "solid", f"{label}, variance"),
            (k, np.maximum(s.bias, 1e-12), colour, "dashed", f"{label}, bias"),
            (k, s.with_gain, colour, "dotted", f"{label}, with the best gain"),
        ]
    return rows


def _part_cells(parts: tuple[float, float, float, float]) -> str:
    variance, bias, gain, left = parts
    return (
        f"<td>{scientific(variance)}</td><td>{scientific(bias) if bias else 0}</td>"
        f"<td>{gain:.4g}</td><td>{scientific(left)}</td>"
    )


def _kept_cell(name: str, kept: Request, splits: dict[str, Split]) -> str:
    """The whole error of a design at the kept setting."""
    if name not in splits:
        return '<td class="none">…</td>'
    variance, bias, _, _ = splits[name].at(kept.problem.inner_dim)
    return f"<td>{scientific(variance + bias)}</td>"


def _pale(row: tuple) -> tuple:
    """A curve of the kept setting."""
    x, y, colour, dash, name = row
    return x, y, f"{colour}59", dash, f"kept, {name}"


def _columns(source: ColumnDataSource, rows: list[tuple]) -> dict[str, list]:
    columns = list(zip(*rows, strict=True)) or [()] * len(source.column_names)
    return {c: list(v) for c, v in zip(source.column_names, columns, strict=True)}


def _decades(plot: figure, decades: range) -> None:
    labels = ["1" if d == 0 else power_of_ten(d) for d in decades]
    ticks(plot.yaxis, [10.0**d for d in decades], labels)


def _shown(request: Request) -> list[str]:
    levels = max(request.k_x, request.k_y)
    return [name for name in request.designs if levels <= most_levels(request.problem, name)]


def _exact_curves(
    request: Request, gain: bool, task: Task
) -> tuple[dict[str, float], dict[str, list[tuple[int, float]]]]:
    """nmse at the present levels, and curves over K: few levels first, to fill from the left."""

    def nmse(name: str, k_x: int, k_y: int) -> float:
        if request.problem.given is not None:
            return held_out(request.problem, name, k_x, k_y).nmse
        error = exact(request.problem, name, k_x, k_y)
        return error.nmse_with_gain if gain else error.nmse

    if request.problem.fed_back:
        return {}, {}
    present = {name: nmse(name, request.k_x, request.k_y) for name in _shown(request)}
    curves: dict[str, list[tuple[int, float]]] = {name: [] for name in request.designs}
    for k in sorted({*SWEEP, request.k_x}):
        for name in request.designs:
            if task.cancelled:
                return present, curves
            if k <= most_levels(request.problem, name):
                curves[name].append((k, nmse(name, k, k)))
        if k in (16, 64):
            task.progress((present, {name: list(curve) for name, curve in curves.items()}))
    return present, curves


def _references(problem: Problem, floor: bool) -> list[tuple]:
    """The asymptotic law and the floor, where a law draws the matrices."""
    if problem.given is not None:
        return []
    law, k = problem.law(), problem.inner_dim
    at_two = asymptotic_mse(law, 2, k, rounding=problem.rounding) / law.energy(k)
    rows: list[tuple] = [([2, 256], [at_two, at_two / 128**2], MUTED, "dashed", "asymptotic law")]
    if floor:
        bits = np.linspace(1, 8, 50)
        rows.append((2**bits, [floor_nmse(b) for b in bits], INK, "dotdash", "floor"))
    return rows


def _splits(request: Request, task: Task) -> dict[str, Any]:
    if request.problem.given is not None:
        return {}
    return {
        name: split(request.problem, name, request.k_x, request.k_y)
        for name in _shown(request)
        if not task.cancelled
    }


def _images(request: Request, gain: bool, task: Task) -> dict[str, Any]:
    """The plain design beside the best one of those shown."""
    shown = _shown(request)
    if not shown or task.cancelled:
        return {}
    if request.problem.fed_back or request.problem.given is not None:
        found = sampled_errors(request.problem, tuple(shown), request.k_x, request.k_y)
        best = min(found, key=lambda name: found[name][1])
        first = next((name for name in found if name != best), best)
        return {name: found[name] for name in dict.fromkeys((first, best))}
    errors = {name: exact(request.problem, name, request.k_x, request.k_y) for name in shown}
    best = min(shown, key=lambda n: errors[n].nmse_with_gain if gain else errors[n].nmse)
    first = next((name for name in shown if name != best), best)
    names = tuple(dict.fromkeys((first, best)))
    return sampled_errors(request.problem, names, request.k_x, request.k_y, gain)


def _trials(
    request: Request, gain: bool, wanted: int, task: Task
) -> tuple[int, int, dict[tuple[str, int], MeasuredError]]:
    """Batches of trials at every K; each batch is shown, and the last one is the result."""
    problem = request.problem
    law, energy = problem.law(), problem.law().energy(problem.inner_dim)
    seen: dict[tuple[str, int], list[np.ndarray]] = {}
    errors: dict[tuple[str, int], MeasuredError] = {}
    for start in range(0, wanted, _BATCH):
        for k in SWEEP:
            if task.cancelled:
                return start, wanted, errors
            books = {}
            for name in request.designs:
                if k in levels_shown(problem, name):
                    cb_x, cb_y = codebooks(problem, name, k, k)
                    g = exact(problem, name, k, k).gain if gain else 1.0
                    books[name] = (cb_x.scaled(g), cb_y)
            found = measure_designs(
                law, books, problem.inner_dim, m=SIZE, n=SIZE, trials=_BATCH,
                rng=problem.seed + start, rounding=problem.rounding,
            )  # fmt: skip
            for name, error in found.items():
                seen.setdefault((name, k), []).append(error.per_trial)
                errors[name, k] = MeasuredError.from_trials(
                    np.concatenate(seen[name, k]), energy, {}
                )
        if start + _BATCH < wanted:
            task.progress((start + _BATCH, wanted, dict(errors)))
    return wanted, wanted, errors
