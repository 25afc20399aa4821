"""Colours (Okabe-Ito), type and the plain figure that every picture starts from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from bokeh.models import FixedTicker, Model, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

INK, MUTED, RULE = "#1b2430", "#5b6675", "#d9dee5"
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#8a94a1"
#: What fills the area under a pdf, on a light and on a dark page.
PDF = "#8a94a15c"
FONT = "Roboto, system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"

#: design -> (colour, marker): told apart without colour too.
DESIGN_STYLES = {
    "gaussian_compander": (ORANGE, "square"),
    "lloyd_max": (PURPLE, "triangle"),
    "closed_form": (BLUE, "circle"),
    "weighted_lloyd_max": (SKY, "inverted_triangle"),
    "bilinear": (GREEN, "diamond"),
    "empirical": (VERMILLION, "hex"),
}

#: What each colour of the light page's pictures is on the dark one.
DARK = {INK: "#eef2f7", MUTED: "#a3afbf", RULE: "#344050", BLUE: "#4fa8e8", "white": "#17202b"}
_LIGHT = {dark: light for light, dark in DARK.items()}


def _material(mode: str) -> dict[str, Any]:
    page, bar, ink = (
        ("#0e141b", "#17202b", DARK[INK]) if mode == "dark" else ("#eef1f5", "#fff", INK)
    )
    return {
        "palette": {
            "primary": {"main": SKY if mode == "dark" else BLUE},
            "background": {"default": page, "paper": bar},
            "text": {"primary": ink},
        },
        "typography": {"fontFamily": FONT, "fontSize": 13, "button": {"textTransform": "none"}},
    }


#: Material theme of the widgets, and the page around them.
THEME = {mode: _material(mode) for mode in ("light", "dark")}
PAGE_STYLE = {
    "& .MuiAppBar-root": {
        "bgcolor": "background.paper", "backgroundImage": "none", "color": "text.primary",
        "boxShadow": "none", "borderBottom": "1px solid", "borderColor": "divider",
    },
    "& .MuiAppBar-root .MuiLinearProgress-root": {"display": "none"},  # always full, and nameless
    "& .MuiToolbar-root": {"minHeight": "44px !important"},
    "& .MuiAppBar-root .title": {
        "fontSize": "min(19px, 3.2vw)", "fontWeight": 700, "color": "text.primary",
    },
    "& .main": {"bgcolor": "background.default"},
}  # fmt: skip
#: A disabled control's label is still read.
WIDGET_STYLE = {"& .MuiFormLabel-root.Mui-disabled": {"color": "text.secondary"}}
#: Choices as wide as their words, so that each is on one line, in a wider type than the page's too.
CHOICE_STYLE = {
    "& .MuiToggleButton-root": {"flex": "1 1 auto", "padding": "7px 2px", "whiteSpace": "nowrap"},
    "& .MuiToggleButton-root:first-of-type": {
        "flex": "none", "width": "auto", "minWidth": "101px",
    },
}  # fmt: skip
#: A number's box without its buttons, which have no names: the arrow keys do the same.
NUMBER_STYLE = {
    "& .MuiInputAdornment-root": {"display": "none"},
    "& .MuiInputBase-input": {"paddingLeft": "12px"},
}
TABS_STYLE = {
    "& .MuiTabs-root, & .MuiTab-root": {"minHeight": "36px", "fontSize": "14px"},
    "& .MuiTab-root": {"padding": "6px 14px"},
    # all of them on a phone
    "@container (max-width: 480px)": {
        "& .MuiTabs-root .MuiTab-root": {"padding": "6px 5px", "fontSize": "12px", "minWidth": 0},
    },
}


def plain_figure(x_label: str, y_label: str, **options: Any) -> figure:
    """A figure without toolbar, fixed in height, as wide as its card."""
    plot = figure(
        sizing_mode="stretch_width", toolbar_location=None, tools="", min_border=0,
        background_fill_color=None, border_fill_color=None, outline_line_color=None, **options,
    )  # fmt: skip
    plot.min_border_right = 12
    plot.min_border_top = 10
    for axis, label in ((plot.xaxis, x_label), (plot.yaxis, y_label)):
        axis.axis_label = label
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "13px"
        axis.axis_label_text_color = axis.major_label_text_color = MUTED
        axis.axis_line_color = axis.major_tick_line_color = RULE
        axis.minor_tick_line_color = None
        axis.axis_label_standoff = 6
    plot.grid.grid_line_color = RULE
    plot.grid.grid_line_alpha = 0.6
    return plot


def ticks(axis: Any, values: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """Fixed ticks, with labels of our own where given."""
    axis.ticker = FixedTicker(ticks=list(values))
    if labels is not None:
        axis.major_label_overrides = dict(zip(values, labels, strict=True))


def make_room(heights: Range1d, ticker: FixedTicker, least: float, curve: NDArray) -> None:
    """Let an axis from 0 hold a curve: entries may stand closer together than a law's."""
    heights.end = top = max(least, 1.06 * float(np.nanmax(curve, initial=0)))
    step = next((step for step in (0.1, 0.2, 0.5, 1.0) if top < 4 * step), 2.0)
    ticker.ticks = np.arange(0, top, step).tolist()


def paint(roots: Iterable[Model], dark: bool) -> None:
    """Ink, rules and outlines of the pictures under `roots` in the page's theme."""
    colours = DARK if dark else _LIGHT
    for root in roots:
        for model in root.references():
            for name, value in model.properties_with_values(include_defaults=False).items():
                colour = getattr(value, "value", value)  # a string, or a glyph's constant
                if name.endswith("color") and isinstance(colour, str) and colour in colours:
                    setattr(model, name, colours[colour])
