"""Cards, sentences and legends: the page's typography in one place."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

import numpy as np
import panel as pn
from bokeh.models import Column, ColumnDataSource, Div, UIElement

CSS = Path(__file__).with_name("page.css").read_text()


def text(html: str, kind: str, name: str | None = None) -> Div:
    """A piece of HTML of one kind: "title", "sentence", "legend" or "readout"."""
    return Div(
        text=html, name=name, css_classes=["text", kind], stylesheets=[CSS],
        sizing_mode="stretch_width", margin=0,
    )  # fmt: skip


def browser_text(kind: str, name: str) -> Div:
    """Text that the browser writes itself; nothing of it goes to the server."""
    div = text("", kind, name)
    div.syncable = False
    return div


def browser_source(name: str, *columns: str) -> ColumnDataSource:
    """A source that the browser fills; what it draws is never sent to the server."""
    return ColumnDataSource({c: np.empty(0) for c in columns}, name=name, syncable=False)


def entries(items: Iterable[tuple[str, str, str]]) -> str:
    """A legend's HTML: (colour, "line" | "dashed" | "dotted" | "area", name) for each entry."""
    return "".join(
        f'<span class="entry"><i class="{shape}" style="--c:{colour}"></i>{escape(name)}</span>'
        for colour, shape, name in items
    )


def grid(*cards: pn.viewable.Viewable) -> pn.Column:
    """A page's cards: side by side where there is room, one below the other on a phone."""
    return pn.Column(
        *cards, css_classes=["cards"], stylesheets=[CSS], sizing_mode="stretch_width", margin=0
    )


def card(title: str, *children: UIElement, area: str | None = None) -> pn.pane.Bokeh:
    """A titled card; `area` names its place on a page with a layout of its own."""
    column = Column(
        children=[text(f"<h2>{escape(title)}</h2>", "title"), *children], css_classes=["panel"],
        stylesheets=[CSS], styles={"grid-area": area} if area else {},
        sizing_mode="stretch_width", margin=0,
    )  # fmt: skip
    return pn.pane.Bokeh(column, sizing_mode="stretch_width", margin=0)
