"""Centres beside their places on grids of integers, finer and finer, without a server."""

from __future__ import annotations

from collections.abc import Mapping

from bokeh.models import Column, ColumnDataSource, CustomJSTickFormatter, Slider
from bokeh.plotting import figure
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.views import BLUE, ORANGE

from .stepper import legend_below, stepper


def grid_explorer(
    centers: NDArray, grids: Mapping[int, NDArray], shares: Mapping[int, float], start: int = 0
) -> Column:
    """Slider over the largest integers M of `grids`: where the centres come to lie, what it adds.

    `shares` are the errors that the grids add, over the codes' own. Drawn for the grid numbered
    `start` until it is moved.
    """
    at = check.count(start, "start", 0, len(grids) - 1)
    states = [
        {"title": f"M = {m}: the grid adds {shares[m]:.2%} to the error", "grid": {"x": grid}}
        for m, grid in grids.items()
    ]
    grid = ColumnDataSource(states[at]["grid"], name="grid")
    plot = figure(
        height=210, width=640, y_range=(0, 1), toolbar_location=None, title=states[at]["title"],
        x_axis_label="centre, in standard deviations",
    )  # fmt: skip
    plot.yaxis.visible = plot.ygrid.visible = False
    plot.scatter(centers, 0.65, color=BLUE, size=11, legend_label="centres")
    plot.scatter("x", 0.35, source=grid, color=ORANGE, size=11, marker="diamond",
                 legend_label="on the grid")  # fmt: skip
    legend_below(plot)
    shown = CustomJSTickFormatter(args={"sizes": list(grids)}, code="return String(sizes[tick])")
    slider = Slider(
        start=0, end=len(states) - 1, step=1, value=at, title="largest integer M", width=640,
        name="grid", format=shown,
    )  # fmt: skip
    return stepper(slider, states, [grid], plot)
