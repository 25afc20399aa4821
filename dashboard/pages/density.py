"""The density with its codebooks' centres, and the pitchfork of its peaks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import panel as pn
from bokeh.models import (
    ColumnDataSource,
    FactorRange,
    LinearColorMapper,
    Range1d,
    Span,
)
from bokeh.plotting import figure

from quantlab import CRITICAL_RHO, GaussianReading, Pair, PointDensity, gaussian_peaks
from quantlab.data import gallery
from quantlab.density import Rounding
from quantlab.pairs.elliptical import EllipticalPair

from ..parts.gallery import places, verdict
from ..parts.layout import browser_source, browser_text, card, entries, text
from ..parts.theme import (
    BLUE,
    DESIGN_STYLES,
    GREY,
    MUTED,
    ORANGE,
    PDF,
    SKY,
    VERMILLION,
    make_room,
    plain_figure,
    ticks,
)  # fmt: skip
from ..parts.wording import CRITICAL, decimal
from ..state import (
    DESIGN_LABELS,
    GALLERY,
    GAUSSIAN,
    LAWS,
    STUDENT_T,
    SYNTHETIC,
    DashboardState,
    Problem,
)
from ..work.measurements import Point

#: Half the width of the drawn axis (standard deviations), and the drawn height.
REACH, TOP = 4.6, 0.26
#: Half the height of the picture of the transition (standard deviations).
FORK_REACH = 2.6
#: Shades of the heat map: nothing where l* is low, so that it suits a light and a dark page.
RIDGE_PALETTE = [f"{SKY}{min(int(1.3 * max(i - 140, 0)), 150):02x}" for i in range(256)]
#: The law's pdf and the weight at the top of the picture: each has a scale of its own.
PDF_TOP, WEIGHT_TOP = 0.58, 5.8
_LEAST = "λ*, least product error"
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
        self.law_peaks = ColumnDataSource({"u": [], "height": [], "rho": []}, name="law_peaks")
        self.law_rug = ColumnDataSource({"u": [], "design": [], "colour": []}, name="law_rug")
        self.fork = ColumnDataSource({"rho": [], "u": []}, name="fork")
        self.ridge = ColumnDataSource({"share": []}, name="ridge")
        self.gallery = ColumnDataSource({"rho": [], "u": [], "title": []}, name="gallery_places")
        self.ghost = ColumnDataSource({"u": [], "optimal": []}, name="ghost_curve")
        self.ghost_peaks = ColumnDataSource({"rho": [], "u": []}, name="ghost_peaks")
        self.ghost_rug = ColumnDataSource(
            {c: [] for c in ("u", "y", "design", "colour")}, name="ghost_rug"
        )
        self.rugs = {
            name: browser_source(f"rug_{name}", "u", "design")
            if name in BROWSER_DESIGNS
            else ColumnDataSource({"u": [], "design": []}, name=f"rug_{name}")
            for name in DESIGN_LABELS
        }
        self.rows = FactorRange()
        self._drawn = "", ""
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

    def input(self) -> tuple:
        """What the pictures follow beside the sliders that the browser reads itself."""
        state, problem = self.state, self.state.request().problem
        moving = () if problem.gaussian or state.given else (problem.rho, problem.nu)
        return (
            state.source, state.law, state.layer, state.head, state.problem, state.operand,
            state.shown_designs(), problem.rounding, state.keep, *moving,
        )  # fmt: skip

    def refresh(self) -> None:
        """The law that the input follows, and a row of centres for each chosen design."""
        state, problem = self.state, self.state.request().problem
        shown = state.shown_designs()
        self.rows.factors = [DESIGN_LABELS[name] for name in reversed(shown)] or [" "]
        for name, source in self.rugs.items():
            if name not in BROWSER_DESIGNS and name not in shown:
                source.data = {"u": [], "design": []}
        if problem.gaussian or state.given:
            self.law_rug.data = {"u": [], "design": [], "colour": []}
        self.legend.text = entries(
            [
                (BLUE, "line", "λ* of the Gaussian law" if state.given else _LEAST),
                *([(VERMILLION, "line", "λ* of the data")] if state.given else []),
                (ORANGE, "dashed", "plain MSE"),
                (MUTED, "dotted", "weight w"),
                (PDF, "area", "pdf f"),
                *([(GREY, "line", "kept λ*")] if state.keep else []),
            ]
        )
        self._draw_ghost()
        self.law.data = self._law_curves()
        self._make_room()
        self.gallery.data = places() if state.source == GALLERY else {
            column: [] for column in self.gallery.column_names
        }  # fmt: skip
        peaks = self._law_peaks()
        optimal = PointDensity.optimal(problem.law(), rounding=problem.rounding)
        heights = optimal(np.array(peaks)) if peaks else np.empty(0)
        self.law_peaks.data = {"u": peaks, "height": heights, "rho": [problem.rho] * len(peaks)}
        if (problem.family, problem.rounding) != self._drawn or problem.family == STUDENT_T:
            self._drawn = problem.family, problem.rounding
            drawn = problem.family, problem.nu, problem.rounding
            self.fork.data, self.ridge.data = fork(*drawn), ridge(*drawn)

    def _draw_ghost(self) -> None:
        """The kept setting's density and peaks; its centres come with its measured errors."""
        kept = self.state.kept_request()
        if kept is None:
            self.show_kept({})
            self.ghost.data, self.ghost_peaks.data = {"u": [], "optimal": []}, {"rho": [], "u": []}
            return
        problem, operand = kept.problem, self.state.operand
        law, u = problem.law(), np.linspace(-REACH, REACH, 301)
        optimal = PointDensity.optimal(law, operand, problem.rounding)
        scale = law.sigma(operand) / optimal.scale
        self.ghost.data = {"u": u, "optimal": optimal(u * scale) * scale}
        peaks = law_peaks(law, problem.rounding)
        self.ghost_peaks.data = {"rho": [problem.rho] * len(peaks), "u": list(peaks)}

    def show_kept(self, points: dict[str, Point]) -> None:
        """The kept setting's centres, below those of the present one."""
        kept, operand = self.state.kept_request(), self.state.operand
        rug: dict[str, list] = {c: [] for c in self.ghost_rug.column_names}
        sigma = 1.0 if kept is None else kept.problem.law().sigma(operand)
        for name, point in points.items():
            if name in self.state.shown_designs():
                centers = point.centers_x if operand == "x" else point.centers_y
                rug["u"] += (centers / sigma).tolist()
                rug["y"] += [(DESIGN_LABELS[name], -0.32)] * centers.size
                rug["design"] += [DESIGN_LABELS[name]] * centers.size
                rug["colour"] += [DESIGN_STYLES[name][0]] * centers.size
        if rug != self.ghost_rug.data:
            self.ghost_rug.data = rug

    def _make_room(self) -> None:
        """Given entries' curves fit the picture."""
        law, plot = self.law.data, self.density_figure
        make_room(plot.y_range, plot.yaxis[0].ticker, TOP, law["data"])
        plot.extra_y_ranges["pdf"].end = max(PDF_TOP, 1.06 * float(law["pdf"].max()))

    def law_texts(self, reading: GaussianReading | None = None) -> list[str]:
        """The sentences where the browser has none of its own."""
        problem = self.state.request().problem
        if self.state.given:
            words = "Whether the Gaussian law may be trusted here is being measured …"
            words = words if reading is None else verdict(reading)
            if problem.source != GALLERY:
                return [words]
            title, peak = gallery()[problem.name].title, gaussian_peaks(problem.rho)[-1]
            side = f"the law splits, u = ±{peak:.2f}" if peak else "the law has one peak"
            return [words, f"<b>{title}: ρ = {decimal(problem.rho, 2)}</b>, where {side}. "
                    "Dots: the problems of the gallery."]  # fmt: skip
        if problem.fed_back:
            remains = "is least at the ends" if problem.family == "uniform" else "is as at ρ = 0"
            return [
                "<b>With feedback one peak, at u = 0, at every ρ.</b> Errors along what all "
                f"columns share are steered to zero; what is left of the weight E[Y²|x] {remains}.",
                "<b>No transition with feedback</b>: the second peak pays for errors that rounding "
                "each entry by itself cannot avoid.",
            ]
        peaks = self._law_peaks()
        if not peaks:
            return []
        name = LAWS[problem.family]
        if len(peaks) == 1:
            first = f"<b>{name}: one peak, at u = 0.</b> "
        else:
            first = f"<b>{name}: two peaks, at u = ±{peaks[-1]:.2f}.</b> "
        if problem.family == "uniform":
            first += "No tails: only the weight shapes λ*, and its least value is at zero."
            second = "Not elliptical: the peaks sit <b>at both ends</b> for every ρ but 0."
        else:
            first += "Its peaks stand elsewhere than the Gaussian pair’s."
            second = f"It <b>still splits at {CRITICAL}</b>, as for every elliptical law."
        return [first, second]

    def show_centers(self, points: dict[str, Point]) -> None:
        """Rugs of the designs that the server made, in standard deviations."""
        problem = self.state.request().problem
        pair, operand = problem.law(), self.state.operand
        browser = problem.gaussian or self.state.given
        law_rug: dict[str, list] = {"u": [], "design": [], "colour": []}
        for name, point in points.items():
            centers = point.centers_x if operand == "x" else point.centers_y
            label = [DESIGN_LABELS[name]] * centers.size
            if name not in BROWSER_DESIGNS:
                self.rugs[name].data = {"u": centers / pair.sigma(operand), "design": label}
            elif not browser:
                law_rug["u"] += (centers / pair.sigma(operand)).tolist()
                law_rug["design"] += label
                law_rug["colour"] += [DESIGN_STYLES[name][0]] * centers.size
        if not browser:
            self.law_rug.data = law_rug

    def _law_peaks(self) -> tuple[float, ...]:
        problem = self.state.request().problem
        browser = problem.gaussian or self.state.given
        return () if browser else law_peaks(problem.law(), problem.rounding)

    def _law_curves(self) -> dict[str, np.ndarray]:
        """Pdf, and what the browser has no formula of: NaN where it draws itself."""
        problem, operand = self.state.request().problem, self.state.operand
        u = np.linspace(-REACH, REACH, 401)
        nothing = np.full(u.size, np.nan)
        if problem.gaussian:
            pdf = np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
            return {"u": u, "pdf": pdf, "weight": nothing, "data": nothing, "optimal": nothing,
                    "plain": nothing}  # fmt: skip
        given, reading, pair = self.state.given, problem.law(), problem.entries()
        sigma = reading.sigma(operand)
        mean_weight = reading.sigma("y" if operand == "x" else "x") ** 2

        def drawn(density: PointDensity) -> np.ndarray:
            return density(u * sigma / density.scale) * sigma / density.scale

        rounding = problem.rounding
        optimal = drawn(PointDensity.optimal(pair, operand, rounding))
        weight = pair.feedback_weight if problem.fed_back else pair.weight
        return {
            "u": u,
            "pdf": pair.pdf(u * sigma, operand) * sigma,
            "weight": weight(u * sigma, operand) / mean_weight,
            "data": optimal if given else nothing,
            "optimal": nothing if given else optimal,
            "plain": nothing if given else drawn(PointDensity.mse(pair, operand)),
        }

    def _density_figure(self) -> figure:
        plot = plain_figure(
            "", "λ per σ", height=150, x_range=Range1d(-REACH, REACH), y_range=Range1d(0, TOP),
            name="density",
        )  # fmt: skip
        plot.extra_y_ranges = {"pdf": Range1d(0, PDF_TOP), "weight": Range1d(0, WEIGHT_TOP)}
        plot.varea("u", 0, "pdf", source=self.law, fill_color=PDF, fill_alpha=0.75,
                   y_range_name="pdf")  # fmt: skip
        for source in (self.curve, self.law):
            plot.line("u", "weight", source=source, line_color=MUTED, line_width=1.5,
                      line_dash="dotted", y_range_name="weight")  # fmt: skip
        plot.line("u", "plain", source=self.curve, line_color=ORANGE, line_width=2,
                  line_dash="dashed")  # fmt: skip
        plot.line("u", "plain", source=self.law, line_color=ORANGE, line_width=2,
                  line_dash="dashed")  # fmt: skip
        plot.line("u", "data", source=self.law, line_color=VERMILLION, line_width=2)
        plot.line("u", "optimal", source=self.ghost, line_color=GREY, line_width=2)
        for source, peaks in ((self.law, self.law_peaks), (self.curve, self.peaks)):
            plot.line("u", "optimal", source=source, line_color=BLUE, line_width=3.5)
            plot.scatter("u", "height", source=peaks, size=10, fill_color="white",
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
            y_range=self.rows, name="rug", css_classes=["rug"],
        )  # fmt: skip
        for name, source in self.rugs.items():
            plot.scatter("u", "design", source=source, marker="dash", angle=np.pi / 2, size=9,
                         line_color=DESIGN_STYLES[name][0], line_width=2)  # fmt: skip
        plot.scatter("u", "design", source=self.law_rug, marker="dash", angle=np.pi / 2, size=9,
                     line_color="colour", line_width=2)  # fmt: skip
        plot.scatter("u", "y", source=self.ghost_rug, marker="dash", angle=np.pi / 2, size=6,
                     line_color="colour", line_alpha=0.5, line_width=2)  # fmt: skip
        ticks(plot.xaxis, range(-4, 5), ["−4", "−3", "−2", "−1", "0", "1", "2", "3", "4"])
        plot.ygrid.grid_line_color = None
        plot.yaxis.major_tick_line_color = plot.yaxis.axis_line_color = None
        plot.yaxis.major_label_text_font_size = "10px"  # a row has as little as 11
        plot.min_border_left = 108
        return plot

    def _branch_figure(self) -> figure:
        plot = plain_figure(
            "correlation ρ", "u", height=304, x_range=Range1d(-1, 1),
            y_range=Range1d(-FORK_REACH, FORK_REACH), name="pitchfork",
        )  # fmt: skip
        shades = LinearColorMapper(palette=RIDGE_PALETTE, low=0, high=255)
        plot.image("share", -1, -FORK_REACH, 2, 2 * FORK_REACH, source=self.ridge,
                   color_mapper=shades)  # fmt: skip
        for sign in (-1, 1):
            plot.add_layout(
                Span(
                    location=sign * CRITICAL_RHO, dimension="height", line_color=GREY,
                    line_dash="dotted", line_width=1.5,
                )
            )  # fmt: skip
        plot.multi_line(*fork(GAUSSIAN, 0.0).values(), line_color=GREY, line_width=3)
        plot.multi_line("rho", "u", source=self.fork, line_color=BLUE, line_width=3)
        plot.scatter("rho", "u", source=self.gallery, size=8, fill_color=BLUE, line_color="white")
        plot.scatter("rho", "u", source=self.ghost_peaks, size=11, fill_color=None,
                     line_color=VERMILLION, line_width=2)  # fmt: skip
        for source in (self.branches, self.law_peaks):
            plot.scatter("rho", "u", source=source, size=13, fill_color=VERMILLION,
                         line_color="white", line_width=2)  # fmt: skip
        c = CRITICAL_RHO
        ticks(plot.xaxis, [-1, -c, 0, c, 1], ["−1", "−1/√3", "0", "1/√3", "1"])
        ticks(plot.yaxis, [-2, -1, 0, 1, 2], ["−2", "−1", "0", "1", "2"])
        plot.grid.visible = False
        return plot


def law_peaks(pair: Pair, rounding: Rounding = "nearest") -> tuple[float, ...]:
    """Where the pair's l* is highest, in standard deviations."""
    if rounding == "feedback":
        return (0.0,) if pair.rho or isinstance(pair, EllipticalPair) else ()
    return pair.peaks() if isinstance(pair, EllipticalPair) else PointDensity.optimal(pair).modes


def _pair(family: str, rho: float, nu: float) -> Pair:
    return Problem(SYNTHETIC, rho, 1, 0, family=family, nu=nu).law()


@lru_cache(maxsize=64)
def fork(family: str, nu: float, rounding: Rounding = "nearest") -> dict[str, list]:
    """The branches of peaks over rho, as lines."""
    if rounding == "feedback":
        return {"rho": [np.array([-1.0, 1.0])], "u": [np.zeros(2)]}
    critical = 0.0 if family == "uniform" else CRITICAL_RHO
    lines: dict[str, list] = {"rho": [np.array([-critical, critical])], "u": [np.zeros(2)]}
    split = critical + (1 - critical) * np.linspace(1e-4, 1, 60) ** 2
    peak = np.array([law_peaks(_pair(family, float(rho), nu))[-1] for rho in split])
    first = peak[0] if family == "uniform" else 0.0
    for side in (-1, 1):
        for up in (-1, 1):
            lines["rho"].append(side * np.append(critical, split))
            lines["u"].append(up * np.append(first, peak))
    return lines


@lru_cache(maxsize=64)
def ridge(family: str, nu: float, rounding: Rounding = "nearest") -> dict[str, list]:
    """Heat map of l*(u; rho) as a share of its maximum at each rho: bytes, rows along u."""
    u = np.linspace(-FORK_REACH, FORK_REACH, 97)
    right = np.stack(
        [
            PointDensity.optimal(_pair(family, float(rho), nu), rounding=rounding)(u)
            for rho in np.linspace(0, 1, 41)
        ],
        axis=1,
    )  # fmt: skip
    share = right / right.max(axis=0)
    both = np.concatenate([share[:, :0:-1], share], axis=1)
    return {"share": [np.round(255 * both).astype(np.uint8)]}
