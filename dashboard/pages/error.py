"""Measured error against K, and the numbers at the present K."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, Div, Range1d, Span
from bokeh.plotting import figure

from quantlab import asymptotic_mse

from ..given import Matrices
from ..parts import formulas
from ..parts.glossary import term
from ..parts.guess import BASELINE, Guess
from ..parts.layout import browser_source, card, css, entries, text
from ..parts.theme import DESIGN_STYLES, GREY, INK, MUTED, plain_figure, ticks
from ..parts.wording import power_of_ten, scientific, two_digits
from ..state import ATTENTION, DESIGN_LABELS, LEVELS, DashboardState, Request
from ..work.background import Deliver
from ..work.measurements import (
    SIZE,
    SWEEP,
    Point,
    Update,
    most_levels,
    refused,
)

#: Ends of the error axis; the browser raises the lower one to what the inner dimension needs.
CEILING, FLOOR = 3.0, 1e-8
_ALONE = (
    f'<td></td><th scope="col">{term("nmse", formulas.NMSE)}</th>'
    f'<th scope="col" class="change">{term("plain", "vs plain")}</th>'
)
_BESIDE = (
    '<th scope="col">kept</th><th scope="col">now</th><th scope="col" class="change">change</th>'
)
_GHOST = ("K", "nmse", "low", "high", "colour", "marker", "design")
_FEW_ROWS = (
    f" With feedback {SIZE} rows leave many directions of the inner dimension free of charge: "
    "errors lie below the law, which is for many more rows than k."
)


class ErrorPage:
    """Measured nmse of each design: a curve against K, and a table at the present levels."""

    def __init__(self, state: DashboardState, deliver: Deliver) -> None:
        self.state = state
        columns = ("K", "nmse", "low", "high", "colour", "marker", "size", "alpha", "design")
        self.points = ColumnDataSource({c: [] for c in columns}, name="points")
        self.lines = ColumnDataSource(
            {c: [] for c in ("K", "nmse", "colour", "design")}, name="lines"
        )
        self.asymptote = browser_source("asymptote", "K", "nmse")
        self.law_asymptote = ColumnDataSource({"K": [], "nmse": []}, name="law_asymptote")
        self.ghost_points = ColumnDataSource({c: [] for c in _GHOST}, name="ghost_points")
        self.ghost_lines = ColumnDataSource(
            {c: [] for c in ("K", "nmse", "colour")}, name="ghost_lines"
        )
        self.here = Span(
            dimension="height", line_color=INK, line_width=1.5, line_dash="dotted", location=16,
            syncable=False, name="here",
        )  # fmt: skip
        self.range = Range1d(FLOOR, CEILING, syncable=False)
        self.legend = text("", "legend")
        self.error_text = text("", "sentence", "error_text")
        self.readout = text("", "readout", "readout")
        self.status = text("", "status", "status")
        self.guess = Guess(state, lambda: deliver(self._reveal))
        self._latest: Update | None = None
        self._kept: Request | None = None
        self._kept_points: dict[tuple[str, int, int], Point] = {}
        self._known: dict[tuple[str, int, int], tuple[Request, Point]] = {}
        self.why = Div(text="", visible=False, name="why")  # "DESIGN COUNT"; tags: words, COUNT
        self._table = card(
            "Measured at this setting", self.readout, self.status, self.why, area="readout"
        )
        self.refresh()

    def cards(self) -> list[pn.viewable.Viewable]:
        return [
            card(
                "What the product loses", self.error_text, self.legend, self._figure(),
                area="error",
            ),
            self._table,
            self.guess.card,
        ]  # fmt: skip

    def refresh(self) -> None:
        """A control has moved: what is shown is older than the setting."""
        self.status.text = "measuring …"
        self.guess.refresh()
        self._table.visible = not self.state.awaits_guess
        law = [] if self.state.given else [(MUTED, "dashed", "asymptotic law of λ*, slope −2")]
        kept = [] if self._kept is None else [(GREY, "dotted", f"kept: {self._kept.words}")]
        self.legend.text = entries([*law, (INK, "dotted", "present K"), *kept])
        if self.law_asymptote.data != (law_asymptote := self._law_asymptote()):
            self.law_asymptote.data = law_asymptote
        self._draw()

    def _law_asymptote(self) -> dict[str, list]:
        """The asymptotic law of a pair that the browser has no formula of."""
        problem = self.state.request().problem
        if problem.gaussian or self.state.given:
            return {"K": [], "nmse": []}
        law = problem.law()
        at_two = asymptotic_mse(law, 2, problem.inner_dim, rounding=problem.rounding)
        at_two /= law.energy(problem.inner_dim)
        return {"K": list(LEVELS), "nmse": [4 * at_two / k**2 for k in LEVELS]}

    def show(self, update: Update) -> None:
        """Take what one step of the measurement found into the pictures."""
        if update.error:
            self.status.text = f'<span class="problem">{escape(update.error)}</span>'
            return
        for name, point in update.points.items():
            self._known[name, update.k_x, update.k_y] = (update.request, point)
        if update.present:
            self._latest = update
            self._write(update)
        self._draw()

    def keep(self, kept: Request | None) -> None:
        """Another setting is kept, or none: its errors come."""
        self._kept, self._kept_points = kept, {}
        self.refresh()
        self._write_latest()

    def show_kept(self, update: Update) -> None:
        """Take what one step of the kept setting's measurement found."""
        for name, point in update.points.items():
            self._kept_points[name, update.k_x, update.k_y] = point
        if update.present:
            self._write_latest()
        self._draw_ghost()

    def _write_latest(self) -> None:
        if self._latest is not None and self._latest.request == self.state.request():
            self._write(self._latest)

    def _draw_ghost(self) -> None:
        """The kept setting's points at its levels, and its curves."""
        points: list[tuple] = []
        lines: list[tuple] = []
        kept = self._kept
        for name in self.state.shown_designs() if kept and not self.state.awaits_guess else ():
            assert kept is not None
            colour, marker = DESIGN_STYLES[name]
            found = [(k, p) for k, p in self._kept_points.items() if k[0] == name]
            if here := self._kept_points.get((name, kept.k_x, kept.k_y)):
                points.append(
                    (equal_levels(kept.k_x, kept.k_y), here.nmse, *_ends(here),
                     colour, marker, DESIGN_LABELS[name])
                )  # fmt: skip
            curve = sorted((equal_levels(*k[1:]), p.nmse) for k, p in found)
            if len(curve) > 1:
                lines.append((*map(list, zip(*curve, strict=True)), colour))
        for source, rows in ((self.ghost_points, points), (self.ghost_lines, lines)):
            columns = list(zip(*rows, strict=True)) or [()] * len(source.column_names)
            drawn = {c: list(v) for c, v in zip(source.column_names, columns, strict=True)}
            if source.data != drawn:
                source.data = drawn

    def _reveal(self) -> None:
        """A guess is committed: what is known is shown."""
        self._table.visible = True
        self._write_latest()
        self._draw()

    def _draw(self) -> None:
        """Points of the present problem, and faintly those that await their new value."""
        self._draw_ghost()
        request = self.state.request()
        present = (request.k_x, request.k_y)
        rows, lines = [], []
        for (name, k_x, k_y), (asked, point) in list(self._known.items()):
            if self.state.awaits_guess:
                break
            here = (k_x, k_y) == present
            if not here and not (k_x == k_y and k_x in SWEEP):
                del self._known[name, k_x, k_y]
            elif name in request.designs:
                fresh = asked.problem == request.problem
                rows.append(
                    (equal_levels(k_x, k_y), point.nmse, *_ends(point),
                     *DESIGN_STYLES[name], 12 if here else 7, 1.0 if fresh else 0.15,
                     DESIGN_LABELS[name])
                )  # fmt: skip
        for name in request.designs:
            colour, label = DESIGN_STYLES[name][0], DESIGN_LABELS[name]
            curve = sorted((row[0], row[1]) for row in rows if row[8] == label and row[7] == 1.0)
            if curve:
                lines.append(([k for k, _ in curve], [nmse for _, nmse in curve], colour, label))
        for source, data in ((self.points, rows), (self.lines, lines)):
            columns = list(zip(*data, strict=True)) or [()] * len(source.column_names)
            drawn = {c: list(v) for c, v in zip(source.column_names, columns, strict=True)}
            if source.data != drawn:
                source.data = drawn

    def _write(self, update: Update) -> None:
        request, points = update.request, update.points
        problem = request.problem
        if not points:
            self.readout.text, self.error_text.text = (
                "",
                refused(problem) or "Choose a design to compare.",
            )
            self.status.text = ""
            return
        if self.state.awaits_guess:
            self.error_text.text = "Hidden until a guess is committed."
            return
        trials = next(iter(points.values())).trials
        worst = max(point.high for point in points.values()) or 1.0
        baseline = points.get(BASELINE)
        kept = self._kept
        body = []
        for name in request.designs:
            colour = DESIGN_STYLES[name][0]
            label = f'<th scope="row"><i style="--c:{css(colour)}"></i>{DESIGN_LABELS[name]}</th>'
            if name not in points:
                most = most_levels(problem, name)
                why = f"up to {most} levels" if max(request.k_x, request.k_y) > most else "…"
                body.append(f'<tr>{label}<td colspan="4" class="none">{why}</td></tr>')
                continue
            point = points[name]
            change = "" if baseline is None or name == BASELINE else times_plain(point, baseline)
            low, width = 100 * max(point.low, 0) / worst, 100 * (point.high - point.low) / worst
            bar = (
                f'<div class="bar" style="--c:{css(colour)};--v:{100 * point.nmse / worst:.2f}%;'
                f'--l:{low:.2f}%;--w:{width:.2f}%"><i></i><b></b></div>'
            )
            body.append(
                f'<tr data-design="{name}" data-nmse="{point.nmse!r}" data-low="{point.low!r}" '
                f'data-high="{point.high!r}">{label}'
                + (
                    _beside(name, point, self._kept_point(name))
                    if kept
                    else f'<td class="bars">{bar}</td><td>{_asked(name, point)}'
                    f'{_interval(point)}</td><td class="change">{change}</td>'
                )
                + "</tr>"
            )
        rows = "".join(body)
        law = ""
        if problem.given is None:
            pair = problem.law()
            asymptote = asymptotic_mse(
                pair, (request.k_x, request.k_y), problem.inner_dim, rounding=problem.rounding
            )
            asymptote /= pair.energy(problem.inner_dim)
            law = (
                f'<tr class="law"><th scope="row"><i style="--c:{css(MUTED)}"></i>'
                "Asymptotic law</th>"
                f'<td></td><td data-asymptote="{asymptote!r}">{scientific(asymptote)}</td>'
                "<td></td></tr>"
            )
        self.readout.text = (
            f'<table data-source="{problem.source}" data-rho="{problem.rho}" '
            f'data-k-x="{request.k_x}" data-k-y="{request.k_y}" data-trials="{trials}">'
            f'<thead><tr><th scope="col">design</th>{_BESIDE if kept else _ALONE}</tr></thead>'
            f"<tbody>{rows}{law}</tbody></table>"
        )
        what = (
            f"{trials} trials of {SIZE} × {problem.inner_dim} × {SIZE}"
            if problem.given is None
            else _held_out(problem.given.held_out)
        )
        marks = f" Kept: {escape(kept.words)}." if kept else ""
        if trials > 1:
            marks += f" {'In brackets' if kept else 'Bars'} and ±: 95 % intervals."
        self.status.text = f"{self.guess.verdict(points)}{what}.{marks}"
        self.error_text.text = self._sentence(request, points)

    def _kept_point(self, name: str) -> Point | None:
        kept = self._kept
        return None if kept is None else self._kept_points.get((name, kept.k_x, kept.k_y))

    def _sentence(self, request: Request, points: dict[str, Point]) -> str:
        best = min(points, key=lambda name: points[name].nmse)
        levels = request.levels
        if request.k_x != request.k_y:
            levels += f" (like {equal_levels(request.k_x, request.k_y):.0f} each)"
        what = "logits" if request.problem.source == ATTENTION else "entries of C"
        return (
            f"With {levels}, the {what} lose <b>{scientific(points[best].nmse)}</b> of their "
            f"energy in the best design here ({DESIGN_LABELS[best]}). "
            "At many levels, twice as many leave a quarter of the error."
            + (
                _FEW_ROWS
                if request.problem.fed_back and request.problem.inner_dim > SIZE // 2
                else ""
            )
        )

    def _figure(self) -> figure:
        plot = plain_figure(
            "levels K (log scale)", "nmse", height=234, x_axis_type="log", y_axis_type="log",
            x_range=Range1d(1.8, 285), y_range=self.range, name="error",
        )  # fmt: skip
        plot.line("K", "nmse", source=self.asymptote, line_color=MUTED, line_width=2,
                  line_dash="dashed")  # fmt: skip
        plot.line("K", "nmse", source=self.law_asymptote, line_color=MUTED, line_width=2,
                  line_dash="dashed")  # fmt: skip
        plot.multi_line("K", "nmse", source=self.ghost_lines, line_color="colour", line_width=1.5,
                        line_alpha=0.5, line_dash="dotted")  # fmt: skip
        plot.scatter("K", "nmse", source=self.ghost_points, marker="marker", size=11,
                     fill_color=None, line_color="colour", line_width=1.5)  # fmt: skip
        plot.multi_line("K", "nmse", source=self.lines, line_color="colour", line_width=1.5,
                        line_alpha=0.7)  # fmt: skip
        plot.segment("K", "low", "K", "high", source=self.points, line_color="colour",
                     line_width=2, line_alpha="alpha")  # fmt: skip
        plot.scatter("K", "nmse", source=self.points, marker="marker", size="size",
                     fill_color="colour", line_color="white", alpha="alpha")  # fmt: skip
        plot.add_layout(self.here)
        ticks(plot.xaxis, SWEEP, [str(k) for k in SWEEP])
        decades = range(-8, 1, 2)
        ticks(
            plot.yaxis,
            [10.0**d for d in decades],
            ["1" if d == 0 else power_of_ten(d) for d in decades],
        )
        return plot


def equal_levels(k_x: int, k_y: int) -> float:
    """The K that counts, for both operands, like K_X and K_Y: 2/K^2 = 1/K_X^2 + 1/K_Y^2."""
    return float(k_x if k_x == k_y else np.sqrt(2 / (1 / k_x**2 + 1 / k_y**2)))


def _asked(design: str, point: Point) -> str:
    """A design's error, which tells why it is so when it is pressed."""
    return (
        f'<button type="button" class="why" data-why="{design}" '
        f'aria-label="Why is the error of {DESIGN_LABELS[design]} so?">'
        f"{scientific(point.nmse)}</button>"
    )


def _beside(design: str, now: Point, kept: Point | None) -> str:
    """Cells with the kept setting's error, the present one, and how they differ."""
    present = f"<td>{_asked(design, now)}</td>"
    if kept is None or not kept.nmse:
        return f'<td class="none">…</td>{present}<td></td>'
    share, low, high = change_interval(now, kept)
    if 0.5 < share < 2:
        change, ends = f"{_signed(share)} %", " to ".join(map(_signed, (low, high)))
    else:
        change, ends = f"{two_digits(share)} ×", f"{two_digits(low)} to {two_digits(high)}"
    kind = "less" if high < 1 else "more" if low > 1 else ""
    return (
        f'<td data-kept="{kept.nmse!r}" data-share="{share!r}">{scientific(kept.nmse)}</td>'
        f'{present}<td class="change beside"><span class="{kind}">{change}</span>'
        f"{f'<small>({ends})</small>' if high > low else ''}</td>"
    )


def change_interval(now: Point, kept: Point) -> tuple[float, float, float]:
    """now.nmse / kept.nmse and its 95 % interval.

    The two are measured apart, so the variances of their logarithms add; an interval of an nmse is
    1.96 standard errors to either side.
    """
    share = now.nmse / kept.nmse
    each = [(p.high - p.low) / (2 * p.nmse) if p.nmse else 0.0 for p in (now, kept)]
    spread = float(np.exp(np.hypot(each[0], each[1])))
    return share, share / spread, share * spread


def _signed(share: float) -> str:
    """A share as a change in percent: −32."""
    percent = round(100 * (share - 1))
    return f"{percent:+d}".replace("-", "−") if percent else "0"


def _held_out(products: Sequence[Matrices]) -> str:
    """What given matrices are measured on."""
    if len(products) > 1:
        return f"{len(products)} held-out sequences"
    a, b = products[0]
    return f"The product held out, {a.shape[0]} × {a.shape[1]} × {b.shape[1]}"


def _ends(point: Point) -> tuple[float, float]:
    """What is drawn of the interval: nothing where one product has none."""
    return (max(point.low, FLOOR), point.high) if point.trials > 1 else (np.nan, np.nan)


def _interval(point: Point) -> str:
    return f"<small>±{_percent(point)}</small>" if point.trials > 1 else ""


def _percent(point: Point) -> str:
    share = 50 * (point.high - point.low) / point.nmse if point.nmse else 0.0
    return f"{share:.0f} %" if share >= 1 else f"{share:.1f} %"


def times_plain(point: Point, baseline: Point) -> str:
    """A design's error beside the plain one's: in percent, or how many times where that is clearer.

    Examples
    --------
    >>> plain, fine = (Point(nmse, nmse, nmse, 1, [], []) for nmse in (1e-2, 2e-6))
    >>> times_plain(fine, plain), times_plain(plain, fine), times_plain(plain, plain)
    ('<span class="less">1/5,000</span>', '<span class="more">5,000 ×</span>', '±0 %')
    """
    share = point.nmse / baseline.nmse if baseline.nmse else 1.0
    percent = round(100 * (share - 1))
    if percent == 0:
        return "±0 %"
    kind = "less" if percent < 0 else "more"
    if share >= 2:
        words = f"{two_digits(share)} ×"
    elif share < 0.01:
        words = f"1/{two_digits(1 / share)}" if share else "no error"
    else:
        words = f"{'−' if percent < 0 else '+'}{abs(percent)} %"
    return f'<span class="{kind}">{words}</span>'
