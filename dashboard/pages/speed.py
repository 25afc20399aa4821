"""The Speed tab: coded products against fp32, predictions and the roofline, on the server."""

from __future__ import annotations

import os
from functools import partial
from html import escape

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, FactorRange, Range1d
from bokeh.plotting import figure

from quantlab.gemm import cuda

from ..parts.layout import CSS, card, entries, grid, scrolling, text
from ..parts.theme import BLUE, GREY, INK, MUTED, NUMBER_STYLE, ORANGE, plain_figure, ticks
from ..work.speed import FP32, Comparison, compare
from ..work.stored import provenance, stored_products, stored_speed
from . import Session

#: Largest m, k or n, and most multiply-adds: some seconds of fp32.
_MOST, _MOST_WORK = 16384, 2**34
_ROOFS = {"int8": (BLUE, "codes as bytes"), "fp32": (GREY, "float32")}


class SpeedPage:
    """Run on demand; the server's slow thread takes one session's run after the other."""

    def __init__(self, session: Session) -> None:
        self.background, self.deliver = session.background, session.deliver
        self.m, self.k, self.n = (
            pmui.IntInput(
                label=label, value=1024, start=1, end=_MOST, size="small", width=92,
                margin=(4, 8, 4, 0), sx=NUMBER_STYLE,
            )
            for label in ("Rows m", "Inner k", "Columns n")
        )  # fmt: skip
        self.bits = pmui.Select(
            label="Bits", options=[2, 4, 8], value=4, size="small", width=80, margin=(4, 8, 4, 0)
        )
        on_gpu = cuda.available()
        self.backend = pmui.RadioButtonGroup(
            label="Backend", options={"CPU": "cpu", "CUDA": "cuda"} if on_gpu else {"CPU": "cpu"},
            value="cpu", size="small", visible=on_gpu, margin=(8, 8, 4, 0),
        )  # fmt: skip
        self.run = pmui.Button(label="Run", variant="contained", margin=(8, 8, 4, 0))
        self.stop = pmui.Button(
            label="Stop", variant="outlined", disabled=True, margin=(8, 0, 4, 0)
        )
        self.run.on_click(lambda _: self.deliver(self._run))
        self.stop.on_click(lambda _: self.deliver(self._stop))
        self.bars = ColumnDataSource({"name": [], "ratio": []}, name="speed")
        self.rows = FactorRange(factors=[" "])
        self.range = Range1d(0, 12)
        self.dots = ColumnDataSource({"name": [], "x": [], "y": [], "predicted": []}, name="dots")
        self.roofs = {
            name: ColumnDataSource({"x": [], "y": [], "name": []}, name=f"roof_{name}")
            for name in _ROOFS
        }
        self.products = ColumnDataSource(
            {"name": [], "predicted": [], "measured": [], "colour": []}, name="products"
        )
        device = f" The GPU is {escape(f'{cuda.device_name()}')}." if on_gpu else ""
        self.sentence = text(
            "Encode once, multiply many times: press Run. Each row is measured on this server, "
            f"with {os.cpu_count()} processors.{device}", "sentence", "speed_text",
        )  # fmt: skip
        self.table, self.status = text("", "readout", "speed_table"), text("", "status")
        self.status.name = "speed_status"
        self.roof_text = text("", "sentence", "roof_text")
        self.cost_text = text("", "sentence", "cost_text")

    def view(self) -> pn.viewable.Viewable:
        controls = pn.Column(
            pn.FlexBox(self.m, self.k, self.n, self.bits, self.backend, self.run, self.stop),
            pn.pane.Bokeh(self.status, sizing_mode="stretch_width", margin=0),
            css_classes=["panel"], stylesheets=[CSS], sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        marks = [(BLUE, "circle", "measured"), (INK, "diamond", "predicted")]
        roofs = [(colour, "line", f"limit, {name}") for colour, name in _ROOFS.values()]
        scattered = [
            (GREY, "circle", "stored"), (ORANGE, "circle", "measured now"),
            (INK, "line", "as predicted"), (MUTED, "dashed", "half, twice"),
        ]  # fmt: skip
        return grid(
            pn.Column(
                controls, pn.Spacer(height=10),
                card("How much faster than fp32", self.sentence, self._figure()),
                sizing_mode="stretch_width", margin=0,
            ),
            card("Measured", self.table, text(
                "Other work on the machine disturbs absolute times; the ratios are medians over "
                "rounds that interleave all rows. From float32 counts the encoding of both "
                "matrices too. Threads: all of the machine’s for each row. The full table, with "
                "peers: python benchmarks/cpu.py.", "status",
            )),
            card("The machine’s limits", self.roof_text, text(entries([*marks, *roofs]), "legend"),
                 self._roofline()),
            card("Predicted and measured", self.cost_text, text(entries(scattered), "legend"),
                 self._scatter()),
        )  # fmt: skip

    def refresh(self) -> None:
        """The shared controls do not concern this page; it opens on stored figures."""
        if not self.bars.data["name"]:
            self._write(stored_speed())
            found = stored_products()
            colours = [GREY] * len(found)
            names, predicted, measured = zip(*found, strict=True)
            self.products.data = {
                "name": names, "predicted": predicted, "measured": measured, "colour": colours,
            }  # fmt: skip
            off = np.abs(np.array(measured) / predicted - 1)
            self.cost_text.text = (
                f"On {len(found)} products of many sizes and routes the prediction was off by "
                f"{np.median(off):.0%} in the middle. Run adds this server’s own."
            )
            self.status.text = f"{provenance()}. Press Run for this server’s own."

    def _run(self) -> None:
        sizes = self.m.value, self.k.value, self.n.value
        if not all(isinstance(size, int) and 1 <= size <= _MOST for size in sizes):
            return self._refuse(f"m, k and n must be whole numbers from 1 to {_MOST:,}.")
        if np.prod(sizes, dtype=float) > _MOST_WORK:
            return self._refuse(
                f"m k n must be at most {_MOST_WORK:,} multiply-adds, as 2048 × 4096 × 2048 has; "
                f"got {np.prod(sizes, dtype=float):.3g}."
            )
        self.run.disabled, self.stop.disabled = True, False
        self.status.text = "Waiting for other sessions’ work; runs go one at a time …"
        job = partial(compare, *sizes, self.bits.value, self.backend.value)
        self.background.run("speed", job, self._show, self._failed, cause="button")

    def _stop(self) -> None:
        self.background.cancel("speed")
        self.run.disabled, self.stop.disabled = False, True
        self.status.text = "Stopped."

    def _refuse(self, sentence: str) -> None:
        self.status.text = f'<span class="problem">{escape(sentence)}</span>'

    def _failed(self, sentence: str) -> None:
        self._stop()
        self._refuse(sentence)

    def _show(self, found: str | Comparison) -> None:
        if isinstance(found, str):
            self.status.text = found
            return
        self.run.disabled, self.stop.disabled = False, True
        self._write(found)
        new = {name: t for name, t in found.timings.items() if t.predicted}
        self.products.stream({
            "name": [f"{name}, {_size(found)}" for name in new],
            "predicted": [1e3 * t.predicted for t in new.values() if t.predicted],
            "measured": [1e3 * t.seconds for t in new.values()],
            "colour": [ORANGE] * len(new),
        })  # fmt: skip
        rounds = next(iter(found.timings.values())).rounds
        self.status.text = f"{_size(found)}, {found.bits} bits: medians of {rounds} rounds."

    def _write(self, found: Comparison) -> None:
        timings, names = found.timings, list(found.timings)
        self.rows.factors = names[::-1]
        self.range.end = max(2.0, 1.1 * max(t.ratio for t in timings.values()))
        self.bars.data = {"name": names, "ratio": [timings[name].ratio for name in names]}
        best = max(
            (name for name in timings if "fp32" not in name), key=lambda name: timings[name].ratio
        )
        self.sentence.text = (
            f"At {_size(found)} and {found.bits} bits the product {best} takes "
            f"<b>{1e3 * timings[best].seconds:.3g} ms</b>, {timings[best].ratio:.1f} times as fast "
            f"as numpy’s fp32 product ({1e3 * timings[FP32].seconds:.3g} ms)."
        )
        rows = "".join(
            f"<tr data-name='{escape(name)}' data-ratio='{t.ratio!r}'>"
            f"<th scope='row'>{escape(name)}</th><td>{1e3 * t.seconds:.3g} ms</td>"
            f"<td>{f'{1e3 * t.predicted:.3g} ms' if t.predicted else ''}</td>"
            f"<td>{found.operations / t.seconds / 1e9:,.0f} Gop/s</td><td>{t.ratio:.2f} ×</td></tr>"
            for name, t in timings.items()
        )
        self.table.text = scrolling("Measured products", (
            "<table><thead><tr><th scope='col'>product</th><th scope='col'>median</th>"
            "<th scope='col'>predicted</th><th scope='col'>rate</th><th scope='col'>to fp32</th>"
            f"</tr></thead><tbody>{rows}</tbody></table>"
        ))  # fmt: skip
        self._draw_roofs(found)

    def _draw_roofs(self, found: Comparison) -> None:
        """Each product where its operations a byte and its operations a second put it."""
        placed = {name: t for name, t in found.timings.items() if t.bytes and found.roofs}
        total = found.operations
        self.dots.data = {
            "name": list(placed),
            "x": [total / t.bytes for t in placed.values()],
            "y": [total / t.seconds / 1e9 for t in placed.values()],
            "predicted": [total / (t.predicted or np.nan) / 1e9 for t in placed.values()],
        }
        if not placed:
            for source in self.roofs.values():
                source.data = {"x": [], "y": [], "name": []}
            self.roof_text.text = "The GPU’s limits are not drawn."
            return
        copy = found.roofs["copy"] / 1e9
        for name, source in self.roofs.items():
            peak = found.roofs[name] / 1e9
            x, y = [0.1, peak / copy, 1e5], [0.1 * copy, peak, peak]
            source.data = {"x": x, "y": y, "name": [_ROOFS[name][1]] * 3}
        name = max((name for name in placed if name != FP32), key=lambda n: placed[n].ratio)
        own = placed[name]
        memory = own.bytes / found.roofs["copy"]
        arithmetic = total / found.roofs["int8"]
        what = "memory" if memory > arithmetic else "arithmetic"
        share = max(memory, arithmetic) / own.seconds
        intensity = total / own.bytes
        self.roof_text.text = (
            f"{_size(found)}: the product {name} does {_number(intensity)} operations for each "
            f"byte that it reads or writes, so <b>{what}</b> bounds it; it runs at {share:.0%} of "
            "that limit."
        )

    def _figure(self) -> figure:
        plot = plain_figure(
            "times as fast as numpy fp32", "", height=200, x_range=self.range, y_range=self.rows,
            name="speed_bars",
        )  # fmt: skip
        plot.hbar("name", right="ratio", height=0.6, source=self.bars, fill_color=BLUE,
                  line_color=None)  # fmt: skip
        ticks(plot.xaxis, range(0, 100, 2))
        plot.min_border_left = 150
        return plot

    def _roofline(self) -> figure:
        plot = plain_figure(
            "operations a byte", "Gop/s", height=250, x_axis_type="log", y_axis_type="log",
            x_range=Range1d(0.3, 4e3), y_range=Range1d(1, 5e3), name="roofline",
        )  # fmt: skip
        for name, source in self.roofs.items():
            plot.line("x", "y", source=source, line_color=_ROOFS[name][0], line_width=2)
        plot.scatter("x", "predicted", source=self.dots, marker="diamond", size=11,
                     fill_color=None, line_color=INK, line_width=1.5)  # fmt: skip
        plot.scatter("x", "y", source=self.dots, size=9, fill_color=BLUE, line_color="white")
        powers = [1, 10, 100, 1000]
        ticks(plot.xaxis, powers, [f"{p:,}" for p in powers])
        ticks(plot.yaxis, powers, [f"{p:,}" for p in powers])
        return plot

    def _scatter(self) -> figure:
        plot = plain_figure(
            "predicted, ms", "measured, ms", height=250, x_axis_type="log", y_axis_type="log",
            x_range=Range1d(0.01, 300), y_range=Range1d(0.01, 300), name="cost",
        )  # fmt: skip
        for factor, dash in ((1, "solid"), (2, "dashed"), (0.5, "dashed")):
            plot.line([0.001, 1e4], [0.001 * factor, 1e4 * factor], line_dash=dash,
                      line_color=INK if factor == 1 else MUTED)  # fmt: skip
        plot.scatter("predicted", "measured", source=self.products, size=8, fill_color="colour",
                     line_color="white")  # fmt: skip
        powers = [0.01, 0.1, 1, 10, 100]
        labels = ["0.01", "0.1", "1", "10", "100"]
        ticks(plot.xaxis, powers, labels)
        ticks(plot.yaxis, powers, labels)
        return plot


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _size(found: Comparison) -> str:
    m, k, n = found.m, found.k, found.n
    return f"{n:,}³" if m == k == n else f"{m:,} × {k:,} × {n:,}"
