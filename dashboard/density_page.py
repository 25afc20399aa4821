"""The density with its codebooks' centres, and the pitchfork of its peaks."""

from __future__ import annotations

import numpy as np
import panel as pn
from bokeh.models import (
    ColumnDataSource,
    FactorRange,
    Range1d,
    Span,
)  # fmt: skip
from bokeh.plotting import figure

from dashboard.layout import browser_source, browser_text, card, entries, text
from dashboard.measurements import Point
from dashboard.state import ATTENTION, DESIGN_LABELS, DashboardState, attention
from dashboard.theme import (
    BLUE,
    DESIGN_STYLES,
    GREY,
    MUTED,
    ORANGE,
    RULE,
    SKY,
    VERMILLION,
    plain_figure,
    ticks,
)  # fmt: skip
from quantlab import CRITICAL_RHO, PointDensity

#: Half the width of the drawn axis (standard deviations), and the drawn height.
REACH, TOP = 4.6, 0.26
#: One unit of the law's pdf and of the weight, on the density's axis: they have their own scale.
PDF_UNIT, WEIGHT_UNIT = 0.45, 0.045
#: Designs whose centres the browser computes.
BROWSER_DESIGNS = ("gaussian_compander", "closed_form")


class DensityPage:
    """Figures of l* and of u_peak(rho): the browser moves them, the server adds measured data."""

    def __init__(self, state: DashboardState) -> None:
        self.state = state
        self.curve = browser_source("curve", "u", "optimal", "plain", "weight")
        self.peaks = browser_source("peaks", "u", "height")
        self.branches = browser_source("branches", "rho", "u")
        self.law = ColumnDataSource({}, name="law")
        self.rugs = {
            name: browser_source(f"rug_{name}", "u", "design")
            if name in BROWSER_DESIGNS
            else ColumnDataSource({"u": [], "design": []}, name=f"rug_{name}")
            for name in DESIGN_LABELS
        }
        self.rows = FactorRange()
        self.legend = text("", "legend")
        self.density_text = browser_text("sentence", "density_text")
        self.branch_text = browser_text("sentence", "branch_text")
        self.density_figure = self._density_figure()
        self.branch_figure = self._branch_figure()
        self.refresh()

    def cards(self) -> list[pn.viewable.Viewable]:
        rug = self._rug_figure()
        return [
            card(
                "Where a codebook should put its levels", self.density_text, self.legend,
                self.density_figure, rug, area="density",
            ),
            card(
                "When the density splits", self.branch_text, self.branch_figure, area="pitchfork"
            ),
        ]  # fmt: skip

    def refresh(self) -> None:
        """The law that the input follows, and a row of centres for each chosen design."""
        shown = self.state.shown_designs()
        self.rows.factors = [DESIGN_LABELS[name] for name in reversed(shown)] or [" "]
        for name, source in self.rugs.items():
            if name not in BROWSER_DESIGNS and name not in shown:
                source.data = {"u": [], "design": []}
        heads = self.state.source == ATTENTION
        self.legend.text = entries(
            [
                (BLUE, "line", "λ*, least product error"),
                *([(SKY, "line", "λ* of the data")] if heads else []),
                (ORANGE, "dashed", "plain MSE"),
                (MUTED, "dotted", "weight w"),
                ("#d3d9e0", "area", "pdf f"),
            ]
        )
        u = np.linspace(-REACH, REACH, 401)
        if heads:
            operand = self.state.operand
            pair = attention(self.state.layer, self.state.head).pair
            gaussian = pair.gaussian()
            x = u * gaussian.sigma(operand)
            mean_weight = gaussian.sigma("y" if operand == "x" else "x") ** 2
            data_density = PointDensity.optimal(pair, operand)
            self.law.data = {
                "u": u,
                "pdf": PDF_UNIT * pair.pdf(x, operand) * gaussian.sigma(operand),
                "weight": WEIGHT_UNIT * pair.weight(x, operand) / mean_weight,
                "optimal": data_density(x / data_density.scale)
                * gaussian.sigma(operand) / data_density.scale,
            }  # fmt: skip
        else:
            nothing = np.full(u.size, np.nan)
            pdf = PDF_UNIT * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
            self.law.data = {"u": u, "pdf": pdf, "weight": nothing, "optimal": nothing}

    def show_centers(self, points: dict[str, Point]) -> None:
        """Rugs of the designs that the server made, in standard deviations."""
        pair = self.state.request().problem.law()
        operand = self.state.operand
        for name, point in points.items():
            if name not in BROWSER_DESIGNS:
                centers = point.centers_x if operand == "x" else point.centers_y
                label = [DESIGN_LABELS[name]] * centers.size
                self.rugs[name].data = {"u": centers / pair.sigma(operand), "design": label}

    def _density_figure(self) -> figure:
        plot = plain_figure(
            "", "λ per σ", height=150, x_range=Range1d(-REACH, REACH), y_range=Range1d(0, TOP),
            name="density",
        )  # fmt: skip
        plot.varea("u", 0, "pdf", source=self.law, fill_color="#d3d9e0", fill_alpha=0.75)
        plot.line("u", "weight", source=self.curve, line_color=MUTED, line_width=1.5,
                  line_dash="dotted")  # fmt: skip
        plot.line("u", "weight", source=self.law, line_color=MUTED, line_width=1.5,
                  line_dash="dotted")  # fmt: skip
        plot.line("u", "plain", source=self.curve, line_color=ORANGE, line_width=2,
                  line_dash="dashed")  # fmt: skip
        plot.line("u", "optimal", source=self.law, line_color=SKY, line_width=2)
        plot.line("u", "optimal", source=self.curve, line_color=BLUE, line_width=3.5)
        plot.scatter("u", "height", source=self.peaks, size=10, fill_color="white",
                     line_color=BLUE, line_width=2.5)  # fmt: skip
        ticks(plot.yaxis, [0, 0.1, 0.2])
        ticks(plot.xaxis, range(-4, 5))
        plot.xaxis.visible = False
        plot.min_border_left = 108
        plot.min_border_bottom = 2
        return plot

    def _rug_figure(self) -> figure:
        plot = plain_figure(
            "u = x / σ, standard deviations", "", height=122, x_range=self.density_figure.x_range,
            y_range=self.rows, name="rug",
        )  # fmt: skip
        for name, source in self.rugs.items():
            plot.scatter("u", "design", source=source, marker="dash", angle=np.pi / 2, size=9,
                         line_color=DESIGN_STYLES[name][0], line_width=2)  # fmt: skip
        ticks(plot.xaxis, range(-4, 5), ["−4", "−3", "−2", "−1", "0", "1", "2", "3", "4"])
        plot.ygrid.grid_line_color = None
        plot.yaxis.major_tick_line_color = plot.yaxis.axis_line_color = None
        plot.min_border_left = 108
        return plot

    def _branch_figure(self) -> figure:
        plot = plain_figure(
            "correlation ρ", "peak u", height=304, x_range=Range1d(-1, 1),
            y_range=Range1d(-1.6, 1.6), name="pitchfork",
        )  # fmt: skip
        for sign in (-1, 1):
            split = np.linspace(CRITICAL_RHO, 1, 200)
            peak = np.sqrt(np.maximum(3 - 1 / split**2, 0))
            plot.line(sign * split, peak, line_color=BLUE, line_width=3)
            plot.line(sign * split, -peak, line_color=BLUE, line_width=3)
            plot.line([sign * CRITICAL_RHO, sign], [0, 0], line_color=GREY, line_width=2,
                      line_dash="dashed")  # fmt: skip
            plot.add_layout(
                Span(
                    location=sign * CRITICAL_RHO, dimension="height", line_color=RULE, line_width=2
                )
            )
        plot.line([-CRITICAL_RHO, CRITICAL_RHO], [0, 0], line_color=BLUE, line_width=3)
        plot.scatter("rho", "u", source=self.branches, size=13, fill_color=VERMILLION,
                     line_color="white", line_width=2)  # fmt: skip
        c = CRITICAL_RHO
        ticks(plot.xaxis, [-1, -c, 0, c, 1], ["−1", "−1/√3", "0", "1/√3", "1"])
        ticks(plot.yaxis, [-1, 0, 1], ["−1", "0", "1"])
        return plot
