"""The Limits tab: from the formats in use to the floor, why entropy coding helps, and cells."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import CDSView, ColumnDataSource, GroupFilter, Range1d, Row
from bokeh.plotting import figure

from quantlab import (
    GaussianPair,
    PointDensity,
    entropy_constant,
    floor_nmse,
    leading_constant,
)
from quantlab.lattices import SECOND_MOMENTS, nearest_a2

from ..parts.layout import CSS, card, entries, grid, text
from ..parts.theme import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    plain_figure,
)
from ..parts.wording import CRITICAL, decimal
from . import Session

#: rung -> colour and marker
_STYLES = {
    "INT": (GREY, "square"), "FP4": (GREY, "triangle"), "NF4": (GREY, "diamond"),
    "MX": (SKY, "square"), "NV": (SKY, "triangle"), "GGUF": (SKY, "diamond"),
    "plain compander": (ORANGE, "square"), "Lloyd-Max": (PURPLE, "triangle"),
    "closed form": (BLUE, "circle"), "bilinear": (GREEN, "diamond"),
    "uniform, entropy": (VERMILLION, "square"), "optimal, entropy": (VERMILLION, "circle"),
    "E8": (INK, "hex"), "pyramid": (INK, "triangle"),
}  # fmt: skip
_POINTS = ("bits", "dB", "low", "high", "rung", "nmse")
_CURVES = (
    ("fixed length, best density", BLUE, "line"),
    ("entropy-coded, best density", VERMILLION, "line"),
    ("entropy-coded, uniform", VERMILLION, "dashed"),
)  # fmt: skip
_DROPPED = 400


@cache
def stored() -> dict[str, Any]:
    """The measured rungs, as benchmarks/limits.py made them."""
    source = files("quantlab") / "data" / "limits.json"
    found: dict[str, Any] = json.loads(source.read_text())
    return found


class LimitsPage:
    """Nothing is measured here: points were stored, curves are equations."""

    def __init__(self, session: Session) -> None:
        self.deliver = session.deliver
        rhos = sorted({row["rho"] for row in stored()["rows"]})
        self.rho = pmui.Select(
            label="Correlation ρ", options={f"{r:g}": r for r in rhos}, value=0.0, size="small",
            width=150, margin=(4, 8, 4, 0),
        )  # fmt: skip
        self.drop = pmui.Button(label="Drop points", variant="contained", margin=(8, 0, 4, 0))
        self.points = ColumnDataSource({c: [] for c in _POINTS}, name="limit_points")
        self.curves = [
            ColumnDataSource({"bits": [], "dB": []}, name=f"limit_curve_{i}") for i in range(3)
        ]
        self.densities = ColumnDataSource(
            {c: [] for c in ("u", "nearest", "entropy", "feedback")}, name="limit_densities"
        )
        self.dropped = [ColumnDataSource({"x": [], "y": []}, name=f"dropped_{i}") for i in range(2)]
        self.rung_text, self.density_text = text("", "sentence", "rung_text"), text("", "sentence")
        self.cell_text = text("", "sentence", "cell_text")
        self._seed = 0
        self.rho.param.watch(lambda _: self.deliver(self._draw), "value")
        self.drop.on_click(lambda _: self.deliver(self._drop))

    def view(self) -> pn.viewable.Viewable:
        lines = [(colour, dash, name) for name, colour, dash in _CURVES]
        lines.append((MUTED, "dotted", "floor of independent matrices"))
        marks = [(colour, shape, name) for name, (colour, shape) in _STYLES.items()]
        rungs = text(entries(lines + marks), "legend")
        three = text(entries([
            (BLUE, "line", "rounded to the nearest, fixed length"),
            (VERMILLION, "line", "entropy-coded"), (GREEN, "dashed", "rounded with feedback"),
        ]), "legend")  # fmt: skip
        return grid(
            _below(
                _controls(self.rho),
                card("From today’s formats to the floor", self.rung_text, rungs,
                     self._rung_figure()),
            ),
            _below(
                card("Three answers to one question", self.density_text, three,
                     self._density_figure()),
                card("Cells: squares and hexagons of one area", self.cell_text,
                     Row(self._cell_figure(0), self._cell_figure(1), spacing=10,
                         sizing_mode="stretch_width")),
                _controls(self.drop),
            ),
        )  # fmt: skip

    def refresh(self) -> None:
        if not self.points.data["bits"]:
            self._draw()
            self._drop()

    def _draw(self) -> None:
        rho = self.rho.value
        pair = GaussianPair(rho)
        m, k, n = stored()["shape"]
        rows = [row for row in stored()["rows"] if row["rho"] == rho]
        over = [_decibel(row["nmse"], row["bits"]) for row in rows]
        self.points.data = {
            "bits": [row["bits"] for row in rows], "dB": over,
            "low": [_decibel(max(row["low"], 0.02 * row["nmse"]), row["bits"]) for row in rows],
            "high": [_decibel(row["high"], row["bits"]) for row in rows],
            "rung": [row["rung"] for row in rows], "nmse": [row["nmse"] for row in rows],
        }  # fmt: skip
        constants = (
            leading_constant(pair), entropy_constant(pair), entropy_constant(pair, uniform=True)
        )  # fmt: skip
        bits = np.linspace(1.0, 7.0, 61)
        each = pair.energy(k) / k
        for source, constant in zip(self.curves, constants, strict=True):
            nmse = 2 * constant * 4.0**-bits / each
            source.data = {
                "bits": bits, "dB": [_decibel(e, b) for e, b in zip(nmse, bits, strict=True)]
            }  # fmt: skip
        best = min(rows, key=lambda row: abs(row["bits"] - 4) + (row["rung"] != "bilinear"))
        coded = next(r for r in rows if r["rung"] == "optimal, entropy" and round(r["bits"]) == 4)
        floor = (
            "no code is below 0 dB"
            if rho == 0
            else "0 dB is the floor of independent matrices, here a yardstick alone"
        )
        self.rung_text.text = (
            f"Gaussian pair, ρ = {rho:g}, products of {m} × {k} × {n}, {stored()['trials']} trials,"
            f" bars of 95 %; bits with scales, or entropies. At 4 bits the best fixed-length "
            f"codebooks are at {_told(best)}, entropy-coded ones at {_told(coded)}; {floor}. "
            "Lines: high-resolution laws."
        )
        self._draw_densities(pair)

    def _draw_densities(self, pair: GaussianPair) -> None:
        u = np.linspace(-4, 4, 241)
        curves = {
            "nearest": PointDensity.optimal(pair)(u),
            "entropy": np.sqrt(pair.weight(u)),
            "feedback": PointDensity.optimal(pair, rounding="feedback")(u),
        }
        curves["entropy"] = curves["entropy"] / np.trapezoid(curves["entropy"], u)
        self.densities.data = {"u": u, **curves}
        peaks = "two peaks" if abs(pair.rho) > 3**-0.5 else "one peak"
        self.density_text.text = (
            f"Where should the points lie at ρ = {pair.rho:g}? Rounded to the nearest at fixed "
            f"length: <b>{peaks}</b>, two past {CRITICAL}. Entropy-coded: least at 0 "
            "<b>for every ρ but 0</b> (here normalised on ±4). With feedback: <b>one peak, "
            "always</b>."
        )

    def _drop(self) -> None:
        """Uniform points, and their mean squared distance to square and hexagonal grids."""
        self._seed += 1
        points = np.random.default_rng(self._seed).uniform(-2, 2, (_DROPPED, 2))
        size = np.sqrt(2 / np.sqrt(3))  # hexagons of area 1
        told = []
        for nearest in (np.rint(points), size * nearest_a2(points / size)):
            each = np.mean(np.square(points - nearest), axis=1)
            spread = 1.97 * each.std(ddof=1) / np.sqrt(_DROPPED)
            told.append(f"<b>{each.mean():.4f}</b> ± {spread:.4f}")
        for source in self.dropped:
            source.data = {"x": points[:, 0], "y": points[:, 1]}
        gain = 10 * np.log10(SECOND_MOMENTS["Z"] / SECOND_MOMENTS["A2"])
        self.cell_text.text = (
            f"{_DROPPED} uniform points, cells of area 1: mean squared distance to the centre, a "
            f"dimension (± 95 %), {told[0]} for squares (exact {SECOND_MOMENTS['Z']:.4f}), "
            f"{told[1]} for hexagons (exact {SECOND_MOMENTS['A2']:.4f}, {gain:.2f} dB "
            "less). E8 gains 0.65 dB in eight dimensions, a sphere in the limit 1.53 dB."
        )

    def _rung_figure(self) -> figure:
        plot = plain_figure(
            "bits an entry", "over the floor, dB", height=470, x_range=Range1d(0.8, 6.8),
            name="limit_rungs",
        )  # fmt: skip
        for source, (_, colour, dash) in zip(self.curves, _CURVES, strict=True):
            plot.line(
                "bits",
                "dB",
                source=source,
                line_color=colour,
                line_dash="solid" if dash == "line" else dash,
                line_width=2,
            )
        plot.line([0.8, 6.8], [0, 0], line_color=MUTED, line_dash="dotted", line_width=2)
        plot.segment("bits", "low", "bits", "high", source=self.points, line_color=MUTED)
        for rung, (colour, marker) in _STYLES.items():
            plot.scatter(
                "bits", "dB", source=self.points, marker=marker, fill_color=colour,
                view=CDSView(filter=GroupFilter(column_name="rung", group=rung)),
                line_color="white", size=9 if marker in ("square", "circle") else 11,
            )  # fmt: skip
        return plot

    def _density_figure(self) -> figure:
        plot = plain_figure(
            "x in standard deviations", "density of points", height=260, x_range=Range1d(-4, 4),
            name="limit_densities_plot",
        )  # fmt: skip
        for column, colour, dash in (
            ("nearest", BLUE, "solid"), ("entropy", VERMILLION, "solid"),
            ("feedback", GREEN, "dashed"),
        ):  # fmt: skip
            plot.line("u", column, source=self.densities, line_color=colour, line_dash=dash,
                      line_width=2.5)  # fmt: skip
        return plot

    def _cell_figure(self, which: int) -> figure:
        plot = plain_figure(
            "", "", x_range=Range1d(-2, 2), y_range=Range1d(-1.6, 1.6), aspect_ratio=1.25,
            name=("squares", "hexagons")[which],
        )  # fmt: skip
        plot.sizing_mode = "scale_width"
        plot.min_border_right = plot.min_border_top = 0
        size = np.sqrt(2 / np.sqrt(3))
        if which == 0:
            corners = 0.5 * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
            centers = [(i, j) for i in range(-3, 4) for j in range(-3, 4)]
        else:
            angle = np.pi / 6 + np.pi / 3 * np.arange(6)
            corners = size / np.sqrt(3) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            centers = [
                (size * (i + 0.5 * (j % 2)), size * np.sqrt(3) / 2 * j)
                for i in range(-4, 4) for j in range(-4, 5)
            ]  # fmt: skip
        plot.patches(
            [(corners[:, 0] + x).tolist() for x, _ in centers],
            [(corners[:, 1] + y).tolist() for _, y in centers],
            fill_color=None, line_color=BLUE, line_width=1.5,
        )  # fmt: skip
        plot.scatter("x", "y", source=self.dropped[which], size=3, fill_color=VERMILLION,
                     line_color=None)  # fmt: skip
        plot.axis.visible = False
        plot.grid.visible = False
        return plot


def _controls(*controls: pn.viewable.Viewable) -> pn.Row:
    return pn.Row(
        *controls, css_classes=["panel"], stylesheets=[CSS], sizing_mode="stretch_width", margin=0
    )


def _below(*parts: pn.viewable.Viewable) -> pn.Column:
    spaced = [each for part in parts for each in (part, pn.Spacer(height=10))]
    return pn.Column(*spaced[:-1], sizing_mode="stretch_width", margin=0)


def _told(row: dict[str, Any]) -> str:
    """A rung in decibels over the floor, with its interval."""
    dB, low, high = (
        decimal(_decibel(row[name], row["bits"]), 2) for name in ("nmse", "low", "high")
    )
    return f"<b>{dB} dB</b> ({low} to {high})"


def _decibel(nmse: float, bits: float) -> float:
    return float(10 * np.log10(nmse / floor_nmse(bits)))
