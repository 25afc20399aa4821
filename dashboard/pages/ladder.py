"""The ladder of one attention head: each way to code it, a bar nearer to the limit."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, FactorRange, Range1d
from bokeh.plotting import figure

from quantlab.data import load_attention
from quantlab.experiments.ladder import LIMIT, RUNGS, head_ladder

from ..parts.layout import card, entries, text
from ..parts.theme import BLUE, INK, ORANGE, VERMILLION, plain_figure, ticks
from ..parts.wording import decimal, scientific
from ..work.background import Task

#: What the page calls a rung.
_LABELS = {
    "INT absmax": "INT", "Gaussian compander": "Plain", "closed form": "Closed form",
    "fitted": "Data fit", "balanced": "Balanced", "fitted + feedback": "Fit, feedback",
    "balanced + feedback": "Balanced, feedback", "allocated bits": "Allocated bits",
}  # fmt: skip
_LEGEND = [(VERMILLION, "line", "limit of these moments")]


class Ladder:
    """Signal over error of the held-out logits on every rung, and the limit as a line."""

    def __init__(self) -> None:
        rungs = [_LABELS[name] for name in RUNGS]
        self.bars = ColumnDataSource({"rung": rungs, "dB": [], "nmse": []}, name="ladder")
        self.bars.data = {c: [] for c in ("rung", "dB", "nmse")}
        self.limit = ColumnDataSource({"dB": [], "y": []}, name="ladder_limit")
        self.ghost = ColumnDataSource({"rung": [], "dB": []}, name="ghost_ladder")
        self.range = Range1d(0, 40)
        self.legend = text(entries(_LEGEND), "legend")
        self.text = text("", "sentence", "ladder_text")

    def card(self) -> pn.viewable.Viewable:
        return card("The ladder of this head", self.text, self.legend, self._figure())

    def clear(self, words: str) -> None:
        """Nothing of another setting stays."""
        self.bars.data = {c: [] for c in self.bars.column_names}
        self.limit.data = {c: [] for c in self.limit.column_names}
        self.text.text = words

    def keep(self, found: dict[str, float]) -> None:
        """Another head's rungs, a mark on each row; none where none is kept."""
        rungs = [name for name in RUNGS if name in found]
        self.ghost.data = {
            "rung": [_LABELS[name] for name in rungs],
            "dB": [_decibels(found[name]) for name in rungs],
        }
        kept = [(ORANGE, "line", "kept")] if rungs else []
        self.legend.text = entries([*_LEGEND, *kept])

    def show(self, layer: int, head: int, bits: int, found: dict[str, float]) -> None:
        rungs = {name: found[name] for name in RUNGS}
        best, limit = min(rungs, key=lambda name: rungs[name]), found[LIMIT]
        # of the bits alone, so that heads are compared by eye
        self.range.end = max(6 * bits + 14, _decibels(limit) + 2)
        self.bars.data = {
            "rung": [_LABELS[name] for name in rungs],
            "dB": [_decibels(nmse) for nmse in rungs.values()],
            "nmse": [scientific(nmse) for nmse in rungs.values()],
        }
        self.limit.data = {"dB": 2 * [_decibels(limit)], "y": [0, len(rungs)]}
        over = _decibels(limit) - _decibels(rungs[best])
        fit = _decibels(rungs[best]) - _decibels(rungs["fitted"])
        self.text.text = (
            f"Layer {layer}, head {head}, {bits} bits, held out: <b>{_LABELS[best]}</b> loses "
            f"<b>{scientific(rungs[best])}</b>, {decimal(fit, 1)} dB below the best codebooks and "
            f"{decimal(over, 1)} dB over the limit. quantlab.design_scheme chooses the rung."
        )

    def _figure(self) -> figure:
        rungs = [_LABELS[name] for name in RUNGS]
        plot = plain_figure(
            "signal over error, dB", "", height=270, x_range=self.range,
            y_range=FactorRange(factors=rungs[::-1]), name="ladder_bars",
        )  # fmt: skip
        plot.hbar("rung", right="dB", height=0.7, source=self.bars, fill_color=BLUE,
                  line_color=None)  # fmt: skip
        plot.text(0, "rung", "nmse", source=self.bars, x_offset=6, text_baseline="middle",
                  text_color="white", text_font_size="12px")  # fmt: skip
        plot.scatter("dB", "rung", source=self.ghost, marker="dash", angle=np.pi / 2, size=22,
                     line_color=ORANGE, line_width=3)  # fmt: skip
        plot.line("dB", "y", source=self.limit, line_color=VERMILLION, line_width=3)
        ticks(plot.xaxis, range(0, 81, 10))
        plot.ygrid.grid_line_color = None
        plot.yaxis.major_tick_line_color = plot.yaxis.axis_line_color = None
        plot.yaxis.major_label_text_color = INK
        plot.min_border_left = 140
        return plot


@lru_cache(maxsize=512)
def _made(layer: int, head: int, bits: int) -> dict[str, float]:
    data = load_attention().head(layer, head)
    return head_ladder(data.calibration, data.held_out, bits)


def climb(layer: int, head: int, bits: int, task: Task) -> dict[str, Any]:
    """`head_ladder` of a shipped head, made once a server."""
    return _made(layer, head, bits)


def _decibels(nmse: float) -> float:
    return float(-10 * np.log10(nmse))
