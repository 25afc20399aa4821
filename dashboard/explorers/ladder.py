"""The ladder of two matrices: what each way to code them leaves, up to the limit, by bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.models import Column, ColumnDataSource, CustomJSTickFormatter, Slider
from bokeh.plotting import figure

from quantlab import _validate as check
from quantlab.views import BLUE, VERMILLION

from .stepper import stepper


def ladder_explorer(
    ladder: Mapping[float, Mapping[str, float]], limits: Mapping[float, float], start: int = 0
) -> Column:
    """Slider over the bits: a bar a rung, signal over error in dB, and the limit as a line.

    `ladder` maps bits to the nmse of each rung by its name, the same names at all bits; `limits`
    bits to the limit's nmse. Drawn for the bits numbered `start` until it is moved.
    """
    bits = list(ladder)
    at = check.count(start, "start", 0, len(bits) - 1)
    rungs = list(ladder[bits[0]])
    states: list[dict[str, Any]] = []
    for b in bits:
        errors = [ladder[b][name] for name in rungs]
        best, limit = min(errors), limits[b]
        bars = {"dB": [_decibels(e) for e in errors], "text": [f"{e:.1e}" for e in errors]}
        title = (
            f"{b:g} bits: {rungs[int(np.argmin(errors))]} has nmse {best:.1e}, "
            f"{_decibels(limit) - _decibels(best):.1f} dB over the limit, {limit:.1e}"
        )
        states.append({"title": title, "bars": bars, "limit": {"dB": 2 * [_decibels(limit)]}})
    top = max(_decibels(limit) for limit in limits.values())
    bars = ColumnDataSource({"rung": rungs, **states[at]["bars"]}, name="bars")
    line = ColumnDataSource({"y": [0, len(rungs)], **states[at]["limit"]}, name="limit")
    plot = figure(
        height=110 + 34 * len(rungs), width=640, toolbar_location=None, y_range=rungs[::-1],
        x_range=(0, 1.05 * top), title=states[at]["title"],
        x_axis_label="signal over error of the product, dB (the line: the limit)",
    )  # fmt: skip
    plot.ygrid.visible = False
    plot.hbar("rung", right="dB", left=0, height=0.7, source=bars, color=BLUE)
    plot.text(0, "rung", "text", source=bars, x_offset=6, text_baseline="middle",
              text_color="white", text_font_size="13px")  # fmt: skip
    plot.line("dB", "y", source=line, color=VERMILLION, line_width=3)
    shown = CustomJSTickFormatter(args={"bits": bits}, code="return String(bits[tick])")
    slider = Slider(
        start=0, end=len(bits) - 1, step=1, value=at, title="bits an entry", width=640,
        name="bits", format=shown,
    )  # fmt: skip
    return stepper(slider, states, [bars, line], plot)


def _decibels(nmse: float) -> float:
    return float(-10 * np.log10(nmse))
