"""Centres of a small optimal codebook as the correlation grows, without a server."""

from __future__ import annotations

import numpy as np
from bokeh.models import Column, ColumnDataSource, Slider
from bokeh.plotting import figure

from quantlab import CRITICAL_RHO, design_bilinear
from quantlab import _validate as check
from quantlab.pairs import GaussianPair
from quantlab.views import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION

from .stepper import legend_below, stepper

_STEP = 0.01


def splitting_explorer(n_levels: int = 8, inner_dim: int = 256, rho: float = 0.5) -> Column:
    """Slider over 0 <= rho < 1 along the exactly optimal centres for A and B, and A's inner gaps.

    `n_levels` is even, at least 4. Designed when it is made; drawn for `rho` until it is moved.
    """
    n_levels = check.count(n_levels, "n_levels", 4)
    if n_levels % 2:
        raise ValueError(f"n_levels must be even, to have a gap in the middle; got {n_levels}")
    rhos = np.arange(100) * _STEP
    at = int(np.abs(rhos - check.correlation(rho)).argmin())
    a, b = _centers(rhos, n_levels, inner_dim)
    inner, outer = np.diff(a[:, n_levels // 2 - 1 :])[:, :2].T
    states = [
        {
            "title": f"ρ = {rhos[i]:.2f}: gaps {inner[i]:.2f}σ and {outer[i]:.2f}σ"
            + (": split" if inner[i] >= outer[i] else ""),
            "centers": {"rho": np.full(n_levels, rhos[i]), "a": a[i], "b": b[i]},
            "gaps": {"rho": rhos[[i]], "inner": inner[[i]], "outer": outer[[i]]},
        }
        for i in range(rhos.size)
    ]
    centers, gaps = (ColumnDataSource(states[at][name], name=name) for name in ("centers", "gaps"))
    plot = figure(
        height=330, width=640, toolbar_location=None, title=states[at]["title"],
        x_range=(0, 1), y_range=(-3.9, 3.9), y_axis_label="centre, in σ",
    )  # fmt: skip
    below = figure(
        height=210, width=640, toolbar_location=None, x_range=plot.x_range, y_range=(0.4, 1.1),
        x_axis_label="correlation ρ", y_axis_label="gap of A, in σ",
    )  # fmt: skip
    for each in (plot, below):
        each.vspan(CRITICAL_RHO, color=GREY, line_dash="dotted", line_width=1)
        each.vspan("rho", source=gaps, color=VERMILLION, line_width=1)
    for name, paths, color, width, size in (("a", a, BLUE, 4, 11), ("b", b, ORANGE, 2, 6)):
        plot.multi_line([rhos] * n_levels, list(paths.T), color=color, line_width=width,
                        legend_label=f"centres for {name.upper()}")  # fmt: skip
        plot.scatter("rho", name, source=centers, color=color, size=size, line_color="white")
    for name, gap, color, label in (
        ("inner", inner, GREEN, "in the middle"),
        ("outer", outer, PURPLE, "beside it"),
    ):
        below.line(rhos, gap, color=color, line_width=3, legend_label=label)
        below.scatter("rho", name, source=gaps, color=color, size=9, line_color="white")
    legend_below(plot)
    legend_below(below)
    slider = Slider(
        start=0, end=rhos[-1], step=_STEP, value=rhos[at], title="correlation ρ", width=640,
        name="rho",
    )  # fmt: skip
    return stepper(slider, states, [centers, gaps], plot, below)


def _centers(rhos: np.ndarray, n_levels: int, inner_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (rho, K) for A and for B; of two alike optima, the one that has B reach further."""
    books = [
        design_bilinear(GaussianPair(rho), n_levels, inner_dim, symmetric=True) for rho in rhos
    ]
    ordered = [sorted((x.centers, y.centers), key=lambda c: c[-1]) for x, y in books]
    return np.array([a for a, _ in ordered]), np.array([b for _, b in ordered])
