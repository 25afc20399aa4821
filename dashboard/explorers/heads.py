"""Attention heads, one by one: entries, weight and centres of the queries, without a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from bokeh.models import Column, ColumnDataSource, Slider
from bokeh.plotting import figure

from quantlab import FORMATS, design_empirical
from quantlab import _validate as check
from quantlab.data import AttentionHead
from quantlab.pairs import EmpiricalPair
from quantlab.views import BLUE, GREY, ORANGE

from .stepper import legend_below, stepper

_U = np.linspace(-5.6, 5.6, 141)
_LEVELS = 16
_RARE = 0.003  # of the density: with fewer entries their mean weight is noise


def head_explorer(heads: Iterable[AttentionHead], start: int = 0) -> Column:
    """Slider over heads: pdf of the queries, their best 16 centres, NF4's, and their weight.

    Designed when it is made; drawn for the head numbered `start` until it is moved.
    """
    states = [_state(head) for head in heads]
    at = check.count(start, "start", 0, len(states) - 1)
    curve = ColumnDataSource({"u": _U, **states[at]["curve"]}, name="curve")
    centers = ColumnDataSource(states[at]["centers"], name="centers")
    entries = figure(
        height=260, width=640, toolbar_location=None, title=states[at]["title"],
        x_range=(-5.6, 5.6), y_range=(-0.14, 0.55), y_axis_label="density of the queries",
    )  # fmt: skip
    entries.yaxis.ticker = [0, 0.2, 0.4]
    entries.varea("u", 0, "pdf", source=curve, color=GREY, alpha=0.4, legend_label="queries")
    for name, height, color, marker, label in (
        ("best", -0.04, BLUE, "circle", "best centres"),
        ("nf4", -0.1, ORANGE, "diamond", "NF4"),
    ):
        entries.scatter(name, height, source=centers, color=color, marker=marker, size=9,
                        legend_label=label)  # fmt: skip
    weight = figure(
        height=200, width=640, toolbar_location=None, x_range=entries.x_range, y_range=(0, 2.8),
        x_axis_label="query, in standard deviations", y_axis_label="weight / its mean",
    )  # fmt: skip
    weight.line("u", "gaussian", source=curve, color=GREY, line_dash="dashed", line_width=2,
                legend_label="a Gaussian pair's")  # fmt: skip
    weight.line("u", "weight", source=curve, color=BLUE, line_width=3,
                legend_label="this head's")  # fmt: skip
    legend_below(entries)
    legend_below(weight)
    slider = Slider(
        start=0, end=len(states) - 1, step=1, value=at, title="head", width=640, name="head"
    )
    return stepper(slider, states, [curve, centers], entries, weight)


def _state(head: AttentionHead) -> dict[str, Any]:
    pair = EmpiricalPair(*head.calibration_pair())
    x, mean = pair.sigma_x * _U, pair.column_weight.mean()
    pdf = pair.pdf(x) * pair.sigma_x
    curve = {
        "pdf": pdf,
        "weight": np.where(pdf > _RARE, pair.weight(x) / mean, np.nan),
        "gaussian": pair.gaussian().weight(x) / mean,
    }
    best, nf4 = (
        design[0].centers / pair.sigma_x
        for design in (
            design_empirical(pair, _LEVELS, smoothing="auto"),
            FORMATS["nf4"](pair, _LEVELS),
        )
    )
    return {
        "title": f"layer {head.layer}, head {head.head}: ρ = {pair.rho:.2f}",
        "curve": {name: values.astype(np.float32) for name, values in curve.items()},
        "centers": {"best": best, "nf4": nf4},
    }
