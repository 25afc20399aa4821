"""A picture of each experiment's table: HoloViews elements, saved as PNG and as one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import holoviews as hv
import numpy as np

from quantlab.sweep import Row

_BACKENDS = ("bokeh", "matplotlib")
_BETWEEN_NAMES = 0.15
_PADDING = 0.05  # of the axes' reach: points at their ends are whole


def reduction_figure(rows: Sequence[Row]) -> hv.Overlay:
    """How far below the Gaussian compander, against rho: measured with intervals, and exact."""
    rho = [row["rho"] for row in rows]
    layers = [hv.Curve((rho, [100 * row["exact"] for row in rows]), label="closed form, exact")]
    for name, label in (("closed", "closed form"), ("best", "bilinear with gain")):
        middle, low, high = (
            np.array([100 * row[name + end] for row in rows]) for end in ("", "_low", "_high")
        )
        layers.append(hv.Scatter((rho, middle), label=f"{label}, measured"))
        layers.append(
            hv.ErrorBars((rho, middle, middle - low, high - middle), vdims=["y", "l", "h"])
        )
    layers.append(_reference(22.3))
    title = (
        "4 bits, 128 x 256 x 128: error below the Gaussian compander's (dashed: the paper's 22.3 %)"
    )
    return _titled(hv.Overlay(layers), title, "correlation rho", "reduction (%)")


def products_figure(rows: Sequence[Row]) -> hv.Overlay:
    """Measured nmse of every design against K at rho = 0.7."""
    chosen = [row for row in rows if row["rho"] == 0.7 and not row["design"].endswith("+gain")]
    return _by(chosen, "design", "levels", "nmse", "nmse of the product at rho = 0.7", log="xy")


def constants_figure(rows: Sequence[Row]) -> hv.Overlay:
    """Exact error over the K^-2 law."""
    return _by(rows, "rho", "levels", "ratio", "exact error / its leading term at k = 1", log="x")


def transition_figure(rows: Sequence[Row]) -> hv.Overlay:
    """Where codebooks are densest, on the pitchfork."""
    rho = [row["rho"] for row in rows]
    peak, densest = ([row[name] for row in rows] for name in ("peak", "densest"))
    overlay = hv.Curve((rho, peak), label="sqrt(3 - 1/rho^2)") * hv.Scatter(
        (rho, densest), label="densest place of 256 centres"
    )
    return _titled(overlay, "The transition in codebooks", "correlation rho", "distance from 0")


def losses_figure(rows: Sequence[Row]) -> hv.Overlay:
    """Closed form over Gaussian compander at k = 256: above 1 it loses."""
    chosen = [row for row in rows if row["inner_dim"] == 256]
    overlay = _by(
        chosen, "rho", "levels", "ratio", "closed form / compander, k = 256", log="xy", line=1.0
    )
    return overlay


def least_squares_figure(rows: Sequence[Row]) -> hv.Overlay:
    """The closed form's reduction of ||W - W*||, by method, against rho."""
    named = [
        {
            **row,
            "way": f"{row['method']}, {row['features']} features",
            "percent": 100 * row["closed"],
        }
        for row in rows
    ]
    title = "||W - W*|| below that of the rho = 0 design (%)"
    return _by(named, "way", "rho", "percent", title, line=18.7)


def wins_figure(rows: Sequence[Row]) -> hv.Element:
    """Share of heads on which the row's design beats the column's."""
    names = [row["design"] for row in rows]
    # by number: matplotlib's heat map puts names of rows in another order than the rows
    cells = [
        (j, -i, round(100 * row[other]) if other in row else np.nan)
        for i, row in enumerate(rows)
        for j, other in enumerate(names)
    ]
    picture = hv.HeatMap(cells, kdims=["against", "design"], vdims="heads won (%)")
    colors = {"cmap": "RdBu", "clim": (0, 100), "colorbar": True}
    ticks = {
        "xticks": list(enumerate(names)),
        "yticks": [(-i, name) for i, name in enumerate(names)],
    }
    return _options(picture, title="Heads won (%)", xrotation=45, **colors, **ticks)


def ladder_figure(rows: Sequence[Row]) -> hv.Overlay:
    """nmse of each rung and the limit, against the bits."""
    title = "Attention heads: nmse of the logits, rung by rung"
    return _by(rows, "rung", "bits", "nmse", title, log="y")


def gallery_figure(rows: Sequence[Row]) -> hv.Overlay:
    """The gallery's problems on the pitchfork, at both peaks of their law."""
    chosen = [row for row in rows if row["bits"] == 4]
    rho = np.concatenate([-np.linspace(1, 3**-0.5, 99), np.linspace(3**-0.5, 1, 99)])
    peak = np.sqrt(np.maximum(3 - rho**-2.0, 0))
    way = [*zip(rho, peak, strict=True), (np.nan, np.nan), *zip(rho, -peak, strict=True)]
    layers: list[hv.Element] = [hv.Curve(way, label="peaks of the point density")]
    for trusted, label in ((True, "the law holds"), (False, "the law is not to be trusted")):
        own = [row for row in chosen if row["trusted"] == trusted]
        dots = [(row["rho"], sign * row["peak"]) for row in own for sign in (1, -1)]
        layers.append(hv.Scatter(dots, label=label))
    above = {-1.0: 0.0, 0.0: 0.0, 1.0: 0.0}  # where a branch's last name stands
    for row in sorted(chosen, key=lambda row: row["peak"]):
        side = float(np.sign(row["rho"])) if row["peak"] > 0 else 0.0
        y = above[side] = max(row["peak"], above[side] + _BETWEEN_NAMES)
        align = {-1.0: "left", 0.0: "center", 1.0: "right"}[side]
        y *= abs(side) or -1.0  # below the line in the middle
        layers.append(hv.Text(row["rho"] - 0.05 * side, y, row["problem"], halign=align))
    title = "Real products on the transition"
    return _titled(hv.Overlay(layers), title, "correlation rho", "densest place, in deviations")


def end_to_end_figure(rows: Sequence[Row]) -> hv.Overlay:
    """Error of the embeddings against that of the products: a line a design, a dot a size."""
    layers: list[hv.Element] = []
    for design in dict.fromkeys(row["design"] for row in rows if "nmse" in row):
        dots = [(row["nmse"], row["embedding"]) for row in rows if row["design"] == design]
        layers += [hv.Curve(dots, label=design), hv.Scatter(dots, label=design)]
    title = "A coded encoder: its embeddings' error against its products'"
    overlay = _titled(hv.Overlay(layers), title, "nmse of the products", "1 - cosine", log="xy")
    return overlay


FIGURES: dict[str, Callable[[Sequence[Row]], Any]] = {
    "reduction": reduction_figure,
    "products": products_figure,
    "constants": constants_figure,
    "transition": transition_figure,
    "losses": losses_figure,
    "least_squares": least_squares_figure,
    "ladder": ladder_figure,
    "gallery": gallery_figure,
    "end to end": end_to_end_figure,
}


def save_figures(tables: Mapping[str, Sequence[Row]], folder: str | Path) -> list[Path]:
    """Draw each table that has a picture; returns the files, name.png and name.html.

    The HTML holds all that it needs: no server, no network.
    """
    _load_backends()
    written = []
    for name, rows in tables.items():
        draw = wins_figure if name.startswith("attention wins") else FIGURES.get(name)
        if draw is None or not rows:
            continue
        picture = draw(rows)
        stem = Path(folder) / name.replace(",", "").replace(" ", "_")
        hv.save(picture, stem.with_suffix(".png"), backend="matplotlib", dpi=120)
        stem.with_suffix(".html").write_text(_page(picture, name), encoding="utf-8")
        written += [stem.with_suffix(".png"), stem.with_suffix(".html")]
    return written


def _page(picture: Any, title: str) -> str:
    """One HTML page that holds BokehJS itself; bokeh's own template asks a network for MathJax."""
    from bokeh.embed import components
    from bokeh.resources import Resources

    library = Resources(mode="inline", components=["bokeh"]).js_raw
    script, division = components(hv.render(picture, backend="bokeh"))
    return "\n".join([
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        *(f"<script>{part}</script>" for part in library), script, "</head>",
        f"<body>{division}</body></html>",
    ])  # fmt: skip


def _by(
    rows: Sequence[Row],
    by: str,
    x: str,
    y: str,
    title: str,
    log: str = "",
    line: float | None = None,
) -> hv.Overlay:
    values = dict.fromkeys(row[by] for row in rows)
    curves = []
    for value in values:
        own = [(row[x], row[y]) for row in rows if row[by] == value]
        curves.append(hv.Curve(own, label=f"{by} = {value}" if by == "rho" else str(value)))
    if line is not None:
        curves.append(_reference(line))
    return _titled(hv.Overlay(curves), title, x, y, log)


def _titled(overlay: hv.Overlay, title: str, x: str, y: str, log: str = "") -> hv.Overlay:
    return _options(
        overlay, title=title, xlabel=x, ylabel=y, logx="x" in log, logy="y" in log,
        legend_position="right", padding=_PADDING,
    )  # fmt: skip


def _reference(y: float) -> hv.HLine:
    """A level to compare with, in no curve's colour."""
    _load_backends()
    line = hv.HLine(y).opts(color="gray", line_dash="dashed", line_width=1, backend="bokeh")
    return line.opts(color="gray", linestyle="dashed", linewidth=1, backend="matplotlib")


def _options(element: Any, **options: Any) -> Any:
    _load_backends()
    size: dict[str, dict[str, Any]] = {
        "bokeh": {"width": 760, "height": 440},
        "matplotlib": {"fig_inches": (9, 5)},
    }
    for backend in _BACKENDS:
        element = element.opts(**options, **size[backend], backend=backend)
    return element


def _load_backends() -> None:
    for backend in _BACKENDS:
        if backend not in hv.Store.registry:
            hv.extension(backend, logo=False)
