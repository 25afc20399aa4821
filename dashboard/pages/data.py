"""The Your data tab: two matrices, what they look like, and which codebooks serve them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure

from quantlab import CRITICAL_RHO, EmpiricalPair, GaussianReading, encode
from quantlab.data import Problem, load_attention, problem
from quantlab.files.codebooks import to_json
from quantlab.files.uploads import KINDS, Contents, Matrix, enumeration, read_matrices, shown
from quantlab.report import ReportRow

from ..limits import LIMITS, MEGABYTE
from ..parts.first_column import FirstColumn
from ..parts.gallery import OWN, TITLES, GalleryMap, trust
from ..parts.glossary import term
from ..parts.layout import CSS, card, entries, grid, scrolling, text
from ..parts.theme import BLUE, MUTED, ORANGE, PDF, plain_figure, ticks
from ..parts.upload_input import UploadInput
from ..parts.wording import decimal, scientific
from ..state import GALLERY
from ..work.background import Task
from ..work.matrices import (
    NAMES,
    REACH,
    Answer,
    Curves,
    compare_designs,
    look,
    read_law,
    report_csv,
)
from ..work.stored import Row, provenance, stored_example
from . import Session

#: The bits that a problem of the gallery says its `why` of.
WHY_BITS = 4
_EXAMPLE = "<b>The shipped example</b>, until your own files come. "
TWO, ONE = "Two files: A (m × k) and B (k × n)", "One file: its rows against its columns"


class DataPage:
    """Uploads, a first look at them, the report of designs, and files to take away."""

    def __init__(self, session: Session) -> None:
        self.state, self.background = session.state, session.background
        self.deliver = session.deliver
        self.files: dict[str, dict[str, Matrix]] = {}
        self.pair: EmpiricalPair | None = None
        self.answer: Answer | None = None
        self.problem: Problem | None = None  # whose matrices these are
        self.held_out: tuple[Matrix, Matrix] | None = None
        self._pairing, self._news = False, ""
        self._opened = self._example_shown = False
        self._followed = ""  # the problem that the other pages show
        self.mode = pmui.RadioBoxGroup(label="Input", options=[TWO, ONE], value=TWO)
        wide = {"sizing_mode": "stretch_width", "margin": (6, 0)}
        self.uploads = {
            name: UploadInput(
                f"Choose {name}", taken=partial(self._later, partial(self._read, name)),
                progress=partial(self._later, self._progress),
                refused=partial(self._later, self._refused), tags=[f"file_{name}"], **wide,
            )
            for name in ("A", "B")
        }  # fmt: skip
        self.arrays = {
            name: pmui.Select(label=f"Array in the file of {name}", size="small", visible=False,
                              **wide)
            for name in ("A", "B")
        }  # fmt: skip
        self.first_columns = {
            name: FirstColumn(name, self.deliver, self._pair_up_soon) for name in ("A", "B")
        }
        self.transpose = pmui.Checkbox(label="Transpose B", size="small", margin=(0, 0))
        self.gallery = pmui.Select(
            label="A real product", options=list(TITLES), value=OWN, size="small", **wide
        )
        self.map = GalleryMap()
        self.second = pn.Column(
            *self._inputs("B"), self.transpose, sizing_mode="stretch_width", margin=0
        )
        self.bits = pmui.IntSlider(label="Bits", start=2, end=8, value=4, **wide)
        self.compare = pmui.Button(
            label="Compare the designs", variant="contained", disabled=True, margin=(6, 8, 6, 0)
        )
        self.stop = pmui.Button(label="Stop", variant="outlined", disabled=True, margin=(6, 0))
        self.example = pmui.Button(label="Try with an example", variant="text", margin=(6, 0))
        self.status = text("", "status", "data_status")
        self.look = ColumnDataSource(
            {c: [] for c in ("u", "data", "gaussian", "pdf")}, name="data_weight"
        )
        self.look_text = text("Nothing uploaded yet.", "sentence", "data_look")
        self.reading = text("", "sentence", "data_reading")
        self.verdict = text("No designs compared yet.", "sentence", "data_verdict")
        self.table = text("", "readout", "data_report")
        self.saves = [
            pmui.FileDownload(
                callback=partial(self._file, write), filename=filename, label=label, auto=True,
                variant="outlined", size="small", margin=(4, 6, 4, 0), disabled=True,
            )
            for label, filename, write in (
                ("Codes of A", "a.codes.safetensors", partial(self._codes, 0)),
                ("Codes of B", "b.codes.safetensors", partial(self._codes, 1)),
                ("Codebooks", "codebooks.json", lambda a: to_json(a.books).encode()),
                ("Report", "report.csv", lambda a: report_csv(a.report).encode()),
            )
        ]  # fmt: skip
        for widget in (*self.arrays.values(), self.mode, self.transpose):
            widget.param.watch(lambda _: self._pair_up_soon(), "value")
        self.gallery.param.watch(lambda _: self.deliver(self._choose), "value")
        self.compare.on_click(lambda _: self.deliver(self._compare))
        self.stop.on_click(lambda _: self.deliver(self._stop))
        self.example.on_click(lambda _: self.deliver(self._example))
        session.on_end(self._drop)

    def view(self) -> pn.viewable.Viewable:
        panel = {
            "css_classes": ["panel"], "stylesheets": [CSS], "sizing_mode": "stretch_width",
            "margin": 0,
        }  # fmt: skip
        promise = text(
            f"<h2>Your matrices</h2>{KINDS}, up to "
            f"{LIMITS.upload // MEGABYTE} MB each; never a pickle. They stay in this server’s "
            "memory and are dropped when the page is closed. Drop one or two anywhere.", "sentence",
        )  # fmt: skip
        left = pn.Column(
            pn.Column(
                pn.pane.Bokeh(promise, sizing_mode="stretch_width", margin=0), self.mode,
                *self._inputs("A"), self.second, self.gallery, self.bits,
                pn.Row(self.compare, self.stop, self.example, margin=0),
                pn.pane.Bokeh(self.status, sizing_mode="stretch_width", margin=0), **panel,
            ),
            pn.Spacer(height=10),
            card("Real products on the transition", text(
                "A product for each dot, where its law has the density’s peaks; matrices that are "
                "looked at have a dot of their own.", "sentence"), self.map.figure()),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        right = pn.Column(
            card("What they look like", self.look_text, text(entries([
                (BLUE, "line", "weight E[Y² | X = x] of the data"),
                (ORANGE, "dashed", "its Gaussian reading"), (PDF, "area", "pdf of A’s entries"),
            ]), "legend"), self._figure(), self.reading),
            pn.Spacer(height=10),
            card("Which codebooks serve them", self.verdict, self.table),
            pn.Column(pn.FlexBox(*self.saves), **{**panel, "margin": (10, 0, 0, 0)}),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        return grid(left, right)

    def _inputs(self, name: str) -> tuple[pn.viewable.Viewable, ...]:
        return self.uploads[name], self.arrays[name], self.first_columns[name].view

    def refresh(self) -> None:
        """The shared controls' problem of the gallery is looked at; else it opens on an example."""
        followed = self._followed
        self._followed = self.state.problem if self.state.source == GALLERY else ""
        if self._followed not in ("", followed):
            self.gallery.value = problem(self._followed).title
        elif not self._opened:
            self._example()
        self._opened = True

    def _later(self, show: Callable[..., None], *news: Any) -> None:
        self.deliver(partial(show, *news))

    def _refused(self, why: str) -> None:
        self._failed(f"{why}.")

    def _progress(self, share: float) -> None:
        self.status.text = f"{100 * share:.0f} % of the file is here."

    def _read(self, name: str, file: str, raw: bytes) -> None:
        label = file[-60:] or "The file"

        def show(found: Contents) -> None:
            news = f"{escape(label)} is read."
            if found.more:
                offered, all_of_them = len(found.matrices), len(found.matrices) + found.more
                news += f" The first {offered:,} of {all_of_them:,} matrices are offered."
            if found.left_out:
                news += f" Left out: {escape(enumeration(found.left_out))}."
            self._hold({name: found}, news)
            self.gallery.value = OWN

        def failed(sentence: str) -> None:
            self.files.pop(name, None)
            self.arrays[name].visible = False
            self.first_columns[name].ask("")
            self._forget()
            self._failed(f"{label}: {sentence}.")

        if self._example_shown:  # one's own matrix would be multiplied by the example's
            self._example_shown = False
            self.files.clear()
            self._forget()
        self.status.text = f"Reading {escape(label)} …"
        job = partial(_reading, file, raw)
        self.background.run(f"read {name}", job, show, failed, cause="file")

    def _hold(self, files: dict[str, Contents], news: str, problem: Problem | None = None) -> None:
        """New files, and what the page lets one choose in them; the others stay."""
        self.problem = problem
        waits, self._pairing, self._news = self._pairing, True, news
        for name, found in files.items():
            labels = shown(list(found.matrices))
            self.files[name] = dict(zip(labels, found.matrices.values(), strict=True))
            self.first_columns[name].ask(found.index, found.index_left_out)
            self.arrays[name].param.update(options=labels, value=labels[0], visible=len(labels) > 1)
        if not waits:
            self.deliver(self._pair_up)

    def _example(self) -> None:
        a, b = load_attention().head(2, 6).calibration_pair()
        self.mode.value, self.transpose.value = TWO, False
        self._example_shown = True
        self._hold(
            {"A": Contents({"queries": a}, {}), "B": Contents({"keys": b}, {})},
            "Queries and keys of one attention head, 12 sequences of a small encoder.",
        )

    def _choose(self) -> None:
        """A problem of the gallery, as if its calibration part had been uploaded."""
        if not (name := TITLES[self.gallery.value]):
            return
        self._example_shown = False
        one = problem(name)
        a, b = one.calibration
        self.mode.value, self.transpose.value = TWO, False
        self._hold(
            {"A": Contents({"A": a}, {}), "B": Contents({"B": b}, {})},
            f"{escape(one.title)}. Source: {escape(one.source)}; {escape(one.licence)}.",
            one,
        )

    def _failed(self, sentence: str) -> None:
        self.status.text = f'<span class="problem">{escape(sentence)}</span>'
        self.compare.disabled, self.stop.disabled = self.pair is None, True

    def _forget(self) -> None:
        self.background.cancel("report")
        self.background.cancel("look")
        self.background.cancel("reading")
        self.pair = self.held_out = None
        self.map.mark(None)
        self.reading.text = ""
        self._offer(None)
        self.compare.disabled = self.stop.disabled = True
        self.look.data = {c: [] for c in self.look.column_names}
        self.look_text.text, self.table.text = "Two matrices are needed.", ""
        self.verdict.text = "No designs compared yet."

    def _offer(self, answer: Answer | None) -> None:
        """Files to take away, once there are any."""
        self.answer = answer
        for button in self.saves:
            button.disabled = answer is None

    def _drop(self) -> None:
        self.files.clear()
        self.pair = self.answer = self.held_out = None

    def _pair_up_soon(self) -> None:
        """Once, for all that changes in this turn."""
        if not self._pairing:
            self._pairing = True
            self.deliver(self._pair_up)

    def _chosen(self, name: str) -> Matrix | None:
        """The matrix of this operand, without the column that was left out."""
        matrix = self.files.get(name, {}).get(self.arrays[name].value)
        return None if matrix is None else matrix[:, self.first_columns[name].skipped :]

    def _pair_up(self) -> None:
        """A and B as the controls say, if they fit."""
        self._pairing = False
        news, self._news = self._news, ""
        self.status.text = news
        one = self.mode.value == ONE
        self.second.visible = not one
        a = self._chosen("A")
        b = a.T if one and a is not None else self._chosen("B")
        self._forget()
        if a is None or b is None:
            return
        if self.transpose.value and not one:
            b = b.T
        if a.shape[1] != b.shape[0]:
            hint = " Transposing B would make them fit." if a.shape[1] == b.shape[1] else ""
            self._failed(
                f"A has {a.shape[1]:,} columns and B {b.shape[0]:,} rows (A is {a.shape[0]:,} × "
                f"{a.shape[1]:,}, B {b.shape[0]:,} × {b.shape[1]:,}); a product needs them equal."
                + hint
            )
            self.status.text = f"{news} {self.status.text}"
            return
        if self.problem is not None and not (one or self.transpose.value):
            self.held_out = self.problem.held_out
        self.look_text.text = "Looking at them …"
        self.background.run(
            "look", partial(look, a, b), self._show_look, self._not_looked_at, cause="file"
        )

    def _not_looked_at(self, why: str) -> None:
        self.look_text.text = "Two matrices are needed."
        self._refused(why)

    def _show_look(self, found: tuple[EmpiricalPair, Curves]) -> None:
        self.pair, self.look.data = found
        self.compare.disabled = False
        mark = _EXAMPLE if self._example_shown else ""
        (m, k), n = self.pair.a.shape, self.pair.b.shape[1]
        gaussian = self.pair.gaussian()
        side = "past" if abs(gaussian.rho) > CRITICAL_RHO else "below"
        about = "" if self.held_out is None or not self.problem else self.problem.sentence
        self.look_text.text = (
            f"{mark}{escape(about)} A is {m:,} × {k:,} and B {k:,} × {n:,}. "
            f"<b>ρ = {decimal(gaussian.rho, 3)}</b>, {side} the transition at 1/√3; "
            f"σ of A {gaussian.sigma_x:.4g}, of B {gaussian.sigma_y:.4g}."
        )
        self.map.mark(gaussian.rho)
        job = partial(read_law, self.pair, held_out=self.held_out)
        self.background.run("reading", job, self._show_reading, self._unread, cause="file")
        if self._example_shown and self.mode.value == TWO:
            bits, sentence, rows = stored_example()
            self._write(f"{_EXAMPLE}{sentence}", rows)
            self.status.text += f" The report is of {bits} bits. {provenance()}."

    def _unread(self, _: str) -> None:
        self.reading.text = ""

    def _show_reading(self, reading: GaussianReading) -> None:
        self.reading.text = trust(reading)

    def _compare(self) -> None:
        if self.pair is None:
            return
        self.compare.disabled, self.stop.disabled = True, False
        self.status.text = "Designing and measuring; large matrices take a minute …"
        job = partial(compare_designs, self.pair, self.bits.value, held_out=self.held_out)
        self.background.run("report", job, self._show_report, self._failed, cause="button")

    def _stop(self) -> None:
        self.background.cancel("report")
        self.compare.disabled, self.stop.disabled = self.pair is None, True
        self.status.text = "Stopped."

    def _show_report(self, answer: Answer) -> None:
        self._offer(answer)
        self.compare.disabled, self.stop.disabled = False, True
        bits = answer.report.settings.get("bits", self.bits.value)
        self.status.text = f"Compared at {bits} bits" + (
            ", on the part held out." if self.held_out is not None else "."
        )
        words = answer.sentence
        if self.problem is not None and self.held_out is not None:
            at = "" if bits == WHY_BITS else f", at {WHY_BITS} bits"
            words += f"<br>Why{at}: {escape(self.problem.why)}"
        self._write(words, answer.report.rows)

    def _write(self, sentence: str, report: Iterable[Row | ReportRow]) -> None:
        """The advice and the table of a report."""
        self.verdict.text = sentence
        rows = "".join(
            f"<tr data-design='{escape(row.design)}' data-nmse='{row.measured_nmse!r}'>"
            f"<th scope='row'>{escape(NAMES.get(row.design, row.design))}</th>"
            f"<td>{row.n_levels[0]}</td><td>{row.bits_per_entry:.4g}</td>"
            f"<td>{_error(row.measured_nmse)}</td>"
            f"<td>{_error(row.nmse_with_gain)}</td><td>{_decibel(row.best_db)}</td></tr>"
            for row in report
        )
        self.table.text = scrolling(
            "Report of the designs",
            "<table><thead><tr><th scope='col'>design</th><th scope='col'>K</th>"
            f"<th scope='col'>bits</th><th scope='col'>{term('nmse')}</th>"
            f"<th scope='col'>{term('gain', 'with gain')}</th>"
            f"<th scope='col'>{term('decibel', 'over the best')}</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>",
        )

    def _codes(self, which: int, answer: Answer) -> bytes:
        assert self.pair is not None
        coded = encode((self.pair.a, self.pair.b)[which], answer.books[which])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "codes.safetensors"
            coded.save(path)
            return path.read_bytes()

    def _file(self, write: Callable[[Answer], bytes]) -> io.BytesIO:
        assert self.answer is not None, "the buttons are disabled"
        return io.BytesIO(write(self.answer))

    def _figure(self) -> figure:
        plot = plain_figure(
            "u = x / σ, standard deviations", "weight", height=230,
            x_range=Range1d(-REACH, REACH), y_range=Range1d(0, 4), name="data_weight_picture",
        )  # fmt: skip
        plot.varea("u", 0, "pdf", source=self.look, fill_color=PDF)
        plot.line("u", "gaussian", source=self.look, line_color=ORANGE, line_width=2,
                  line_dash="dashed")  # fmt: skip
        plot.line("u", "data", source=self.look, line_color=BLUE, line_width=3)
        ticks(plot.xaxis, range(-4, 5))
        ticks(plot.yaxis, [0, 1, 2, 3, 4])
        plot.axis.axis_label_text_color = MUTED
        return plot


def _error(nmse: float) -> str:
    return scientific(nmse) if nmse > 0 else "0"


def _decibel(best_db: float) -> str:
    return f"+{best_db:.1f} dB" if np.isfinite(best_db) else "+∞ dB"


def _reading(file: str, raw: bytes, task: Task) -> Contents:
    return read_matrices(file, raw, LIMITS.upload)
