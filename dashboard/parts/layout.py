"""Cards, sentences and legends: the page's typography in one place."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np
import panel as pn
from bokeh.models import Column, ColumnDataSource, CustomJS, Div, Row, UIElement
from bokeh.plotting import figure

from quantlab import __version__

from .. import browser
from .glossary import explained
from .readout import answer
from .theme import BLUE, INK, MUTED

CSS = browser.read("page.css")
_CARD = browser.read("card.js")
#: Cards whose pictures the browser draws itself, for the laws that it has a formula of.
DRAWN_HERE = ("density", "pitchfork")
_TEXT = browser.read("text.js")
#: Markers as characters, for legends.
_MARKS = {"square": "■", "triangle": "▲", "diamond": "◆", "circle": "●", "hex": "⬢"}


def text(html: str, kind: str, name: str | None = None) -> Div:
    """A piece of HTML of one kind: "title", "sentence", "legend" or "readout"."""
    div = Div(
        text=html, name=name, css_classes=["text", kind], stylesheets=[CSS], disable_math=True,
        sizing_mode="stretch_width", margin=0,
    )  # fmt: skip
    div.js_on_change("text", CustomJS(code=_TEXT))
    return div


def browser_text(kind: str, name: str) -> Div:
    """Text that the browser writes itself; nothing of it goes to the server."""
    div = text("", kind, name)
    div.syncable = False
    return div


def browser_source(name: str, *columns: str) -> ColumnDataSource:
    """A source that the browser fills; what it draws is never sent to the server."""
    return ColumnDataSource({c: np.empty(0) for c in columns}, name=name, syncable=False)


def css(colour: str) -> str:
    """A picture's colour in HTML: one that the theme changes follows the theme."""
    return {INK: "var(--ink)", MUTED: "var(--muted)", BLUE: "var(--blue)"}.get(colour, colour)


def entries(items: Iterable[tuple[str, str, str]]) -> str:
    """A legend's HTML: (colour, shape, name) for each entry.

    Shapes: "line", "dashed", "dotted", "area", or a marker's name.
    """
    return "".join(
        f'<span class="entry"><i {_shape(shape)} style="--c:{css(colour)}"></i>'
        f"<span>{explained(escape(name))}</span></span>"
        for colour, shape, name in items
    )


def _shape(shape: str) -> str:
    if shape in _MARKS:
        return f'class="mark" data-mark="{_MARKS[shape]}"'
    return f'class="{shape}"'


def scrolling(label: str, table: str) -> str:
    """A table's HTML in a box that scrolls, by keyboard too, where it does not fit."""
    return f"<div class='scroll' tabindex='0' role='region' aria-label='{label}'>{table}</div>"


def framed(page: pn.viewable.Viewable) -> pn.Column:
    """The box whose width lays the page out."""
    return pn.Column(
        page, css_classes=["frame"], stylesheets=[CSS], sizing_mode="stretch_width", margin=0
    )


def grid(*cards: pn.viewable.Viewable) -> pn.Column:
    """A page's cards: side by side where there is room, one below the other on a phone."""
    return pn.Column(
        *cards, css_classes=["cards"], stylesheets=[CSS], sizing_mode="stretch_width", margin=0
    )


def card(title: str, *children: UIElement, area: str | None = None) -> pn.pane.Bokeh:
    """A titled card; `area` names its place on a page with a layout of its own.

    Figures in it get the card's sentence as their text alternative, and buttons that save them.
    """
    beside = (child.children if isinstance(child, Row) else [child] for child in children)
    figures = [child for group in beside for child in group if isinstance(child, figure)]
    sentence, legend = (
        next((child for child in children if kind in child.css_classes), None)
        for kind in ("sentence", "legend")
    )
    save = _menu(title) if figures else ""
    save = (
        f'<span class="save">{save}<button type="button" data-full '
        f'title="Fill the screen (F)" aria-label="Fill the screen with {escape(title)}">⤢</button>'
        "</span>"
    )
    heading = text(f"<h2>{explained(escape(title))}</h2>{save}", "title")
    if figures:
        describe = CustomJS(
            code=_CARD,
            args={
                "title": heading,
                "heading": title,
                "sentence": sentence,
                "legend": legend,
                "figures": figures,
                "version": __version__,
            },
        )
        for picture in figures:
            picture.js_on_change("inner_width", describe)
            _lean(picture)
            answer(picture)
        if sentence is not None:
            sentence.js_on_change("text", describe)
    classes = ["panel", "drawn" if area in DRAWN_HERE else "computed", *(["fits"] if area else [])]
    column = Column(
        children=[heading, *children], stylesheets=[CSS], css_classes=classes,
        styles={"grid-area": area} if area else {}, sizing_mode="stretch_width", margin=0,
    )  # fmt: skip
    return pn.pane.Bokeh(column, sizing_mode="stretch_width", margin=0)


#: What a card is saved as -> what the menu says.
SAVES = {"png": "PNG", "png3": "PNG, 3 times as fine", "svg": "SVG", "csv": "CSV"}


def _menu(title: str) -> str:
    """A button, and what it opens: the card as files."""
    card = escape(title)
    choices = "".join(
        f'<button type="button" data-save="{kind}" aria-label="Save {card} as {words}">'
        f"{words}</button>"
        for kind, words in SAVES.items()
    )
    return (
        f'<button type="button" data-menu aria-expanded="false" aria-label="Save {card}">Save'
        f'</button><span class="menu" hidden>{choices}</span>'
    )


def _lean(picture: figure) -> None:
    """Without the copies of each glyph for being selected or muted: a page is sent sooner."""
    for renderer in picture.renderers:
        renderer.muted_glyph = "auto"
        if not picture.tools:
            renderer.nonselection_glyph = "auto"
