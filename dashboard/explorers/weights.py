"""What an error costs and where the cost arises, for any correlation, without a server."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import Column, ColumnDataSource, Slider
from bokeh.plotting import figure

from quantlab import _validate as check
from quantlab.pairs import GaussianPair
from quantlab.views import BLUE, GREY, ORANGE

from .stepper import legend_below, stepper

_U = np.linspace(-3.5, 3.5, 141)
_STEP = 0.02


def weight_explorer(rho: float = 0.8) -> Column:
    """Slider over 0 <= rho <= 1: a Gaussian pair's weight, and its product with the pdf.

    Drawn for `rho` until it is moved.
    """
    rhos = np.arange(51) * _STEP
    at = int(np.abs(rhos - check.correlation(rho)).argmin())
    states: list[dict[str, Any]] = []
    for r in rhos:
        pair = GaussianPair(min(r, 1.0))
        weight = pair.weight(_U)
        title = f"ρ = {r:.2f}: weight {pair.weight(0.0):.2f} at 0, {pair.weight(2.5):.2f} at 2.5"
        states.append({"title": title, "line": {"weight": weight, "cost": pair.pdf(_U) * weight}})
    line = ColumnDataSource({"u": _U, "pdf": pair.pdf(_U), **states[at]["line"]}, name="line")
    above = figure(
        height=230, width=640, toolbar_location=None, title=states[at]["title"],
        x_range=(-3.5, 3.5), y_range=(0, 5), y_axis_label="weight",
    )  # fmt: skip
    above.line("u", "weight", source=line, color=BLUE, line_width=3.5)
    below = figure(
        height=230, width=640, toolbar_location=None, x_range=above.x_range, y_range=(0, 0.42),
        x_axis_label="u = x / σ (standard deviations)", y_axis_label="per σ",
    )  # fmt: skip
    below.line("u", "pdf", source=line, color=GREY, line_dash="dashed", line_width=2.5,
               legend_label="how often")  # fmt: skip
    below.line("u", "cost", source=line, color=ORANGE, line_width=3.5,
               legend_label="times the weight")  # fmt: skip
    legend_below(below)
    slider = Slider(
        start=0, end=1, step=_STEP, value=rhos[at], title="correlation ρ", width=640, name="rho"
    )
    return stepper(slider, states, [line], above, below)
