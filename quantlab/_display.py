"""How results show themselves in a notebook: small tables, and a codebook as a rug of its centres.

HTML without colours of its own, so that it is read on light and on dark; every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# the rug's viewport, and the margin that keeps the outermost ticks whole
_WIDTH, _HEIGHT, _MARGIN = 360, 44, 12
_MOST_THRESHOLDS = 64
_LINE = 'stroke="currentColor" fill="none"'
_LEFT, _RIGHT = (f'style="text-align:{side};padding:2px 14px 2px 0"' for side in ("left", "right"))


def cell(value: object) -> str:
    """A value as text: four digits, "16 x 8" for a tuple, how many of a long list."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " x ".join(cell(v) for v in value)
    if isinstance(value, (list, Mapping, np.ndarray)):
        return f"{len(value)} values"
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)


def properties(title: str, values: Mapping[str, object], figure: str = "") -> str:
    """One line a property, under a title and a figure."""
    lines = (
        f'<tr><th scope="row" {_LEFT}>{_escaped(name)}</th>'
        f"<td {_LEFT}>{_escaped(cell(value))}</td></tr>"
        for name, value in values.items()
    )
    return _framed(title, figure, f"<tbody>{''.join(lines)}</tbody>")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """One line a row; the first column names it, the others are numbers."""
    head = "".join(
        f'<th scope="col" {_RIGHT if i else _LEFT}>{_escaped(name)}</th>'
        for i, name in enumerate(columns)
    )
    lines = (
        f'<tr><th scope="row" {_LEFT}>{_escaped(cell(row[0]))}</th>'
        + "".join(f"<td {_RIGHT}>{_escaped(cell(value))}</td>" for value in row[1:])
        + "</tr>"
        for row in rows
    )
    return _framed(title, "", f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>")


def rug(centers: NDArray[np.float64], thresholds: NDArray[np.float64]) -> str:
    """Centres as ticks above a line, and below it thresholds where there are few; SVG."""
    low, high = float(centers[0]), float(centers[-1])
    unit = max(abs(low), abs(high))  # first: a difference of large centres must not overflow

    def place(values: NDArray[np.float64]) -> NDArray[np.float64]:
        share = (values / unit - low / unit) / (high / unit - low / unit)
        return _MARGIN + (_WIDTH - 2 * _MARGIN) * np.clip(share, 0, 1)

    marks = [
        f'<path d="M{_MARGIN} 22H{_WIDTH - _MARGIN}" {_LINE} opacity="0.5"/>',
        f'<path d="{_ticks(place(centers), 5, 22)}" {_LINE} '
        f'stroke-width="{2 if centers.size <= 64 else 0.6}"/>',
    ]
    if thresholds.size <= _MOST_THRESHOLDS:
        marks.append(f'<path d="{_ticks(place(thresholds), 22, 28)}" {_LINE} opacity="0.5"/>')
    labels = [(_MARGIN / 2, "start", low), (_WIDTH - _MARGIN / 2, "end", high)]
    zero = float(place(np.zeros(1))[0])
    if 70 < zero < _WIDTH - 70:
        labels.append((zero, "middle", 0.0))
    marks += [
        f'<text x="{x:.1f}" y="40" text-anchor="{anchor}" font-size="11" '
        f'fill="currentColor">{value:.4g}</text>'
        for x, anchor, value in labels
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" style="max-width:100%;display:block" role="img" '
        f'aria-label="{centers.size} centres from {low:.4g} to {high:.4g}">{"".join(marks)}</svg>'
    )


def _ticks(x: NDArray[np.float64], top: int, bottom: int) -> str:
    return "".join(f"M{at:.1f} {top}V{bottom}" for at in x)


def _framed(title: str, figure: str, body: str) -> str:
    return f"<div><strong>{_escaped(title)}</strong>{figure}<table>{body}</table></div>"


def _escaped(text: str) -> str:
    from html import escape  # here: quantlab must import at once

    return escape(text)
