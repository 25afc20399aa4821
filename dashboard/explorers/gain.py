"""Variance and bias of a product of any length, against the gain, without a server."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import Column, ColumnDataSource, CustomJSTickFormatter, Slider
from bokeh.plotting import figure

from quantlab import _validate as check
from quantlab.codebook import Codebook
from quantlab.distortion import exact_mse
from quantlab.pairs import Pair
from quantlab.views import BLUE, ORANGE, VERMILLION

from .stepper import legend_below, stepper

_LENGTHS = 2 ** np.arange(15)
_GAINS = np.linspace(0.7, 1.3, 301)
_FLOOR = 1e-9  # a log axis has no zero, which is the bias at one gain


def gain_explorer(
    pair: Pair, codebook_x: Codebook, codebook_y: Codebook, log2_k: int = 6
) -> Column:
    """Slider over k = 1 to 16384: the exact error of C - g Cq against g, and its two parts.

    Drawn for k = 2^log2_k until it is moved.
    """
    at = check.count(log2_k, "log2_k", 0, _LENGTHS.size - 1)
    one = [exact_mse(pair, codebook_x.scaled(g), codebook_y) for g in _GAINS]
    variance, mean = (
        np.array([getattr(r, key) for r in one]) for key in ("variance", "mean_error")
    )
    states: list[dict[str, Any]] = []
    for k in _LENGTHS.tolist():
        report, energy = exact_mse(pair, codebook_x, codebook_y, k), pair.energy(k)
        parts = {"variance": k * variance / energy, "bias": (k * mean) ** 2 / energy + _FLOOR}
        curve = parts | {"nmse": parts["variance"] + parts["bias"]}
        points = {"gain": [1.0, report.gain], "nmse": [report.nmse, report.nmse_with_gain]}
        title = (
            f"k = {k}: error {report.nmse:.1e}, {100 * report.bias_share:.0f} % of it bias\n"
            f"with gain {report.gain:.3f}: {report.nmse_with_gain:.1e}"
        )
        states.append({"title": title, "curve": curve, "points": points})
    line = ColumnDataSource({"gain": _GAINS, **states[at]["curve"]}, name="curve")
    marks = ColumnDataSource({"color": [VERMILLION, BLUE], **states[at]["points"]}, name="points")
    plot = figure(
        height=400, width=640, toolbar_location=None, y_axis_type="log", x_range=(0.7, 1.3),
        y_range=(1e-5, 1), x_axis_label="gain g", y_axis_label="error of the product, nmse",
        title=states[at]["title"],
    )  # fmt: skip
    for part, color, dash, label in (
        ("variance", ORANGE, "dashed", "variance"),
        ("bias", VERMILLION, "dotted", "bias"),
        ("nmse", BLUE, "solid", "their sum"),
    ):
        plot.line("gain", part, source=line, color=color, line_dash=dash, line_width=3,
                  legend_label=label)  # fmt: skip
    plot.scatter("gain", "nmse", source=marks, color="color", size=11, line_color="white")
    legend_below(plot)
    slider = Slider(
        start=0, end=_LENGTHS.size - 1, step=1, value=at, title="inner dimension k", width=640,
        name="log2_k", format=CustomJSTickFormatter(code="return String(2 ** tick)"),
    )  # fmt: skip
    return stepper(slider, states, [line, marks], plot)
