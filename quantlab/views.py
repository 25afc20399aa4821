"""HoloViews pictures of results: they draw what they are given and compute nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend, so that options can be set
import numpy as np
from bokeh.embed import components
from bokeh.model import Model
from bokeh.resources import Resources
from numpy.typing import ArrayLike, NDArray

from quantlab.codebook import Codebook
from quantlab.density import PointDensity

#: Okabe and Ito's colours, told apart by colour-blind readers.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#8a94a1"
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY)
DASHES = ("solid", "dashed", "dotdash", "dotted", "dashed", "dotdash", "dotted")

SIZE = {"width": 640, "height": 330, "fontscale": 1.15, "toolbar": None, "title": ""}
U = hv.Dimension("u", label="u = x / σ", unit="standard deviations")
RHO = hv.Dimension("rho", label="correlation ρ")
LEVELS = hv.Dimension("K", label="levels K")
NMSE = hv.Dimension("nmse", label="error of the product, nmse")


def load_notebook() -> None:
    """Call first in a notebook: BokehJS itself goes into it, so that pictures need no network."""
    from IPython.display import HTML, display

    scripts = Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).js_raw
    display(HTML("".join(f"<script>{script}</script>" for script in scripts)))


def show(picture: hv.core.Dimensioned | Model) -> None:
    """Draw a HoloViews picture or a Bokeh layout below the cell; it stays when the kernel goes."""
    from IPython.display import HTML, display

    model = picture if isinstance(picture, Model) else hv.render(picture, backend="bokeh")
    script, division = components(model)
    display(HTML(division + script))


def curves(
    named: Mapping[str, tuple[ArrayLike, ArrayLike]],
    x: hv.Dimension | str,
    y: hv.Dimension | str,
    points: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    **options: Any,
) -> hv.Overlay:
    """Lines by name, each (x values, y values), in a fixed order of colours; `points` over them."""
    lines = [
        hv.Curve(values, x, y, label=name).opts(
            backend="bokeh", color=color, line_dash=dash, line_width=2.5
        )
        for (name, values), color, dash in zip(named.items(), CYCLE, DASHES, strict=False)
    ]
    dots = [
        hv.Scatter(values, x, y, label=name).opts(backend="bokeh", color=color, size=7)
        for (name, values), color in zip((points or {}).items(), CYCLE[3:], strict=False)
    ]
    return hv.Overlay(lines + dots).opts(
        backend="bokeh", **(SIZE | {"legend_position": "top_right"} | options)
    )


def density_curves(
    densities: Mapping[str, PointDensity], limit: float = 4.5, top: float = 0.26
) -> hv.Overlay:
    """Point densities by name over |u| <= limit, peaks marked, on axes that do not move."""
    share = hv.Dimension("density", label="share of centres per σ")
    places = {name: _places(density, limit) for name, density in densities.items()}
    lines = curves({name: (u, densities[name](u)) for name, u in places.items()}, U, share)
    peaks = [
        hv.Points((density.modes, density(np.array(density.modes))), [U, share]).opts(
            backend="bokeh", color=color, size=9, line_color="white"
        )
        for density, color in zip(densities.values(), CYCLE, strict=False)
    ]
    return (lines * hv.Overlay(peaks)).opts(
        backend="bokeh", **SIZE, xlim=(-limit, limit), ylim=(0, top), legend_position="top_right"
    )


def _places(density: PointDensity, limit: float) -> NDArray[np.float64]:
    """Where to draw a density: up to the very ends of its support."""
    low, high = density.support
    return np.linspace(max(-limit, low), min(limit, high), 801)


def bifurcation(
    peaks: Callable[[float], Sequence[float]], critical: float, rho: float | None = None
) -> hv.Overlay:
    """Positions of the peaks against rho, the critical correlations, and where `rho` stands."""
    y = hv.Dimension("peak", label="peak u of the density")
    outer = np.linspace(critical, 1.0, 300)
    upper = np.array([max(peaks(r)) for r in outer])
    parts: list[hv.Element] = [
        hv.Curve(([-critical, critical], [0, 0]), RHO, y).opts(
            backend="bokeh", color=BLUE, line_width=3
        )
    ]
    for side in (-1, 1):
        for branch in (-1, 1):
            parts.append(
                hv.Curve((side * outer, branch * upper), RHO, y).opts(
                    backend="bokeh", color=BLUE, line_width=3
                )
            )
        parts.append(
            hv.Curve(([side * critical, side], [0, 0]), RHO, y).opts(
                backend="bokeh", color=GREY, line_dash="dashed"
            )
        )
        parts.append(
            hv.VLine(side * critical).opts(
                backend="bokeh", color=GREY, line_dash="dotted", line_width=1
            )
        )
    if rho is not None:
        here = list(peaks(rho))
        parts.append(
            hv.Points(([rho] * len(here), here), [RHO, y]).opts(
                backend="bokeh", color=VERMILLION, size=11
            )
        )
    return hv.Overlay(parts).opts(backend="bokeh", **SIZE, xlim=(-1, 1), ylim=(-1.6, 1.6))


def codebook_rug(books: Mapping[str, Codebook], scale: float = 1.0) -> hv.Overlay:
    """One row of centres a codebook, in units of `scale`."""
    y = hv.Dimension("row", label="codebook")
    rows = [
        hv.Scatter((book.centers / scale, np.full(book.n_levels, float(-i))), U, y).opts(
            backend="bokeh", marker="dash", angle=90, size=16, color=color, line_width=3
        )
        for i, (book, color) in enumerate(zip(books.values(), CYCLE, strict=False))
    ]
    ticks = [(-i, name) for i, name in enumerate(books)]
    return hv.Overlay(rows).opts(
        backend="bokeh",
        **(SIZE | {"height": 90 + 28 * len(books)}),
        yticks=ticks,
        ylim=(0.6 - len(books), 0.4),
        xlim=(-4.5, 4.5),
    )


def error_against_levels(
    measured: Mapping[str, Mapping[int, Any]],
    lines: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
) -> hv.Overlay:
    """Measured nmse with 95 % intervals against K, log-log, beside lines of theory.

    `measured` maps a design to {K: MeasuredError}, `lines` a name to (K values, nmse values).
    """
    parts = []
    for (name, by_level), color in zip(measured.items(), CYCLE, strict=False):
        k = np.array(list(by_level))
        low, mid, high = (
            np.array([getattr(r, key) for r in by_level.values()])
            for key in ("low", "nmse", "high")
        )
        parts.append(
            hv.ErrorBars((k, mid, mid - low, high - mid), LEVELS, [NMSE, "below", "above"]).opts(
                backend="bokeh", color=color
            )
        )
        parts.append(
            hv.Scatter((k, mid), LEVELS, NMSE, label=name).opts(
                backend="bokeh", color=color, size=7
            )
        )
    guide = curves(lines or {}, LEVELS, NMSE)
    return (guide * hv.Overlay(parts)).opts(
        backend="bokeh", **SIZE, logx=True, logy=True, legend_position="bottom_left"
    )


def matrix_image(matrix: NDArray, title: str = "", limit: float | None = None) -> hv.Image:
    """A matrix as a picture, zero in the middle of a diverging colour map."""
    rows, columns = matrix.shape
    bound = float(np.max(np.abs(matrix))) if limit is None else limit
    return hv.Image(
        matrix, ["column", "row"], "value", bounds=(0, 0, columns, rows), label=title
    ).opts(backend="bokeh",
        cmap="RdBu_r", clim=(-bound, bound), colorbar=True, invert_yaxis=True, width=330,
        height=300, toolbar=None,
    )  # fmt: skip
