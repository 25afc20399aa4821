"""The Speed tab: coded products against fp32 on the machine that serves the page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from html import escape

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, FactorRange, Range1d
from bokeh.plotting import figure
from threadpoolctl import threadpool_limits

from quantlab import Codebook, GaussianPair, design_companding, encode, matmul
from quantlab.gemm import cuda

from ..parts.layout import CSS, card, grid, text
from ..parts.theme import BLUE, plain_figure, ticks
from ..work.background import Task
from ..work.stored import Timing, provenance, stored_timings
from . import Session

_SECONDS = 4.0
_MOST_ROUNDS = 25
_FP32 = "numpy fp32"


class SpeedPage:
    """Run on demand; the server's slow thread takes one session's run after the other."""

    def __init__(self, session: Session) -> None:
        self.background, self.deliver = session.background, session.deliver
        self.size = pmui.Select(
            label="Size m = k = n", options=[256, 512, 1024, 2048], value=1024, size="small",
            width=160, margin=(4, 8, 4, 0),
        )  # fmt: skip
        self.bits = pmui.Select(
            label="Bits", options=[2, 4, 8], value=4, size="small", width=100, margin=(4, 8, 4, 0)
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
        device = f" The GPU is {escape(f'{cuda.device_name()}')}." if on_gpu else ""
        self.sentence = text(
            "Encode once, multiply many times: press Run. Each row is measured on this server, "
            f"with {os.cpu_count()} processors.{device}", "sentence", "speed_text",
        )  # fmt: skip
        self.table, self.status = text("", "readout", "speed_table"), text("", "status")
        self.status.name = "speed_status"

    def view(self) -> pn.viewable.Viewable:
        controls = pn.Column(
            pn.FlexBox(self.size, self.bits, self.backend, self.run, self.stop),
            pn.pane.Bokeh(self.status, sizing_mode="stretch_width", margin=0),
            css_classes=["panel"], stylesheets=[CSS], sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
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
        )  # fmt: skip

    def refresh(self) -> None:
        """The shared controls do not concern this page; it opens on stored figures."""
        if not self.bars.data["name"]:
            n, bits, timings = stored_timings()
            self._write(n, bits, timings)
            self.status.text = f"{provenance()}. Press Run for this server’s own."

    def _run(self) -> None:
        self.run.disabled, self.stop.disabled = True, False
        self.status.text = "Waiting for other sessions’ work; runs go one at a time …"
        n, bits = self.size.value, self.bits.value
        job = partial(compare, n, bits, self.backend.value)
        show = partial(self._show, n, bits)
        self.background.run("speed", job, show, self._failed, cause="button")

    def _stop(self) -> None:
        self.background.cancel("speed")
        self.run.disabled, self.stop.disabled = False, True
        self.status.text = "Stopped."

    def _failed(self, sentence: str) -> None:
        self._stop()
        self.status.text = f'<span class="problem">{escape(sentence)}</span>'

    def _show(self, n: int, bits: int, found: str | dict[str, Timing]) -> None:
        if isinstance(found, str):
            self.status.text = found
            return
        self.run.disabled, self.stop.disabled = False, True
        self._write(n, bits, found)
        rounds = next(iter(found.values())).rounds
        self.status.text = f"Medians of {rounds} interleaved rounds."

    def _write(self, n: int, bits: int, found: dict[str, Timing]) -> None:
        names = list(found)
        self.rows.factors = names[::-1]
        self.range.end = max(2.0, 1.1 * max(t.ratio for t in found.values()))
        self.bars.data = {"name": names, "ratio": [found[name].ratio for name in names]}
        best = max(
            (name for name in found if "fp32" not in name), key=lambda name: found[name].ratio
        )
        self.sentence.text = (
            f"At {n:,}³ and {bits} bits the product {best} takes "
            f"<b>{1e3 * found[best].seconds:.3g} ms</b>, {found[best].ratio:.1f} times as fast as "
            f"numpy’s fp32 product ({1e3 * found[_FP32].seconds:.3g} ms)."
        )
        rows = "".join(
            f"<tr data-name='{escape(name)}' data-ratio='{t.ratio!r}'>"
            f"<th scope='row'>{escape(name)}</th><td>{1e3 * t.seconds:.3g} ms</td>"
            f"<td>{2 * n**3 / t.seconds / 1e9:,.0f} Gop/s</td><td>{t.ratio:.2f} ×</td></tr>"
            for name, t in found.items()
        )
        self.table.text = (
            "<table><thead><tr><th scope='col'>product</th><th scope='col'>median</th>"
            "<th scope='col'>rate</th><th scope='col'>to fp32</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
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


def compare(size: int, bits: int, backend: str, task: Task) -> str | dict[str, Timing]:
    """Time each product in turn, round after round, for a few seconds."""
    task.progress("Measuring …")
    pair = GaussianPair(0.7)
    a, b = pair.sample_matrices(size, size, size, rng=0)
    cb_x, cb_y = design_companding(pair, 2**bits)
    calls: dict[str, Callable[[], object]] = {_FP32: lambda: a @ b}
    if backend == "cuda":
        calls |= _on_cuda(a, b, cb_x, cb_y)
    else:
        coded = encode(a, cb_x), encode(b, cb_y)
        calls["from codes"] = lambda: matmul(*coded)
        calls["from float32"] = lambda: matmul(encode(a, cb_x), encode(b, cb_y))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    # the server holds BLAS to one thread: here fp32 gets what the coded product gets
    with threadpool_limits(os.cpu_count(), "blas"):
        for call in calls.values():
            call()
        end = time.perf_counter() + _SECONDS
        for _ in range(_MOST_ROUNDS):
            for name, call in calls.items():
                if task.cancelled:
                    return "Stopped."
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
            if time.perf_counter() > end:
                break
    reference = np.array(seconds[_FP32])
    return {
        name: Timing(float(np.median(s)), float(np.median(reference / np.array(s))), len(s))
        for name, s in seconds.items()
    }


def _on_cuda(a: np.ndarray, b: np.ndarray, cb_x: Codebook, cb_y: Codebook) -> dict:
    """The same products on the device, each waited for."""
    import torch

    on_device = torch.from_numpy(a).cuda(), torch.from_numpy(b).cuda()
    coded = encode(on_device[0], cb_x), encode(on_device[1], cb_y)

    def waited(product: Callable[[], object]) -> Callable[[], object]:
        def call() -> None:
            product()
            torch.cuda.synchronize()

        return call

    return {
        "torch fp32, GPU": waited(lambda: on_device[0] @ on_device[1]),
        "from codes, GPU": waited(lambda: matmul(*coded, backend="cuda")),
    }
