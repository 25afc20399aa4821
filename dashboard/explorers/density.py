"""The density with its slider, alone: for notebooks and pages that have no server behind them."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import column
from bokeh.models import Column, ColumnDataSource, CustomJS, Slider, Toggle
from bokeh.plotting import figure

from quantlab import PointDensity, gaussian_peaks
from quantlab import _validate as check
from quantlab.pairs import GaussianPair
from quantlab.views import BLUE, GREY, VERMILLION

from .. import browser
from .stepper import legend_below

_FORMULA = browser.read("density.js")
_REDRAW = """
const rho = cb_obj.value, u = line.data.u;
line.data = {u, plain: line.data.plain, optimal: quantlab.density(u, rho)};
const found = Float64Array.from(quantlab.peaks(rho));
peaks.data = {u: found, height: quantlab.density(found, rho)};
plot.title.text = found.length === 1
  ? `ρ = ${rho.toFixed(2)}: one peak, at u = 0`
  : `ρ = ${rho.toFixed(2)}: two peaks, at u = ±${found[1].toFixed(2)}`;
"""
_PLAY = """
clearInterval(cb_obj.timer);
cb_obj.label = cb_obj.active ? "❚❚ Pause" : "▶ Play";
if (cb_obj.active) {
  if (slider.value >= 1) slider.value = 0;
  cb_obj.timer = setInterval(() => {
    slider.value = Math.min(1, Math.round(100 * slider.value + 1) / 100);
    if (slider.value === 1) cb_obj.active = false;
  }, 60);
}
"""


def density_explorer(rho: float = 0.8, play: bool = False) -> Column:
    """Slider over rho above the Gaussian pair's optimal density; the browser computes all of it.

    It is drawn for `rho` before anyone moves it, and moves without a kernel or a server.
    `play` adds a button that runs rho from 0 to 1.
    """
    rho = check.correlation(rho)
    u = np.linspace(-4.5, 4.5, 601)
    optimal, peaks = PointDensity.optimal(GaussianPair(rho)), np.array(gaussian_peaks(rho))
    plain = PointDensity.mse(GaussianPair(rho))
    line = ColumnDataSource({"u": u, "plain": plain(u), "optimal": optimal(u)}, name="line")
    mark = ColumnDataSource({"u": peaks, "height": optimal(peaks)}, name="peaks")
    plot = figure(
        height=330, width=640, toolbar_location=None, x_range=(-4.5, 4.5), y_range=(0, 0.26),
        x_axis_label="u = x / σ (standard deviations)",
        y_axis_label="share of centres per σ",
        title=_title(rho, peaks),
    )  # fmt: skip
    plot.line("u", "plain", source=line, color=GREY, line_dash="dashed", line_width=2.5,
              legend_label="for the entries")  # fmt: skip
    plot.line("u", "optimal", source=line, color=BLUE, line_width=3.5,
              legend_label="for the product")  # fmt: skip
    plot.scatter("u", "height", source=mark, color=VERMILLION, size=10)
    legend_below(plot)
    slider = Slider(
        start=-1, end=1, step=0.01, value=rho, title="correlation ρ", width=640, name="rho"
    )
    redraw = CustomJS(args={"line": line, "peaks": mark, "plot": plot}, code=_FORMULA + _REDRAW)
    slider.js_on_change("value", redraw)
    if not play:
        return column(slider, plot)
    button = Toggle(label="▶ Play", width=90, name="play")
    button.js_on_change("active", CustomJS(args={"slider": slider}, code=_PLAY))
    return column(slider, plot, button)


def _title(rho: float, peaks: np.ndarray) -> str:
    where = "one peak, at u = 0" if peaks.size == 1 else f"two peaks, at u = ±{peaks[1]:.2f}"
    return f"ρ = {rho:.2f}: {where}"
