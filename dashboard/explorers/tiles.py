"""The integer product's loops, step by step, with a slider: for notebooks without a server."""

from __future__ import annotations

from bokeh.layouts import column
from bokeh.models import Column, ColumnDataSource, CustomJS, Label, Range1d, Slider
from bokeh.plotting import figure

from quantlab.gemm.vector import Tile
from quantlab.views import BLUE, GREY, ORANGE, VERMILLION

# the picture's product: tiles of C down and across, groups of four along k
_DOWN, _ACROSS, _GROUPS = 4, 3, 12
# where A, B and C lie, in the picture's own units: a group is one wide, a tile of C four
_LEFT, _TOP, _TILE_WIDTH = _GROUPS + 1, _DOWN + 1, 4
_REDRAW = """
const step = cb_obj.value, tile = Math.floor(step / groups), group = step % groups;
const i = Math.floor(tile / across), p = tile % across;
const x = left + width * p;
now.data = {
  left: [group, x, x], right: [group + 1, x + width, x + width],
  top: [down - i, top + groups - group, down - i],
  bottom: [down - i - 1, top + groups - group - 1, down - i - 1], color: now.data.color,
};
const finished = Array.from({length: tile}, (_, t) => [Math.floor(t / across), t % across]);
done.data = {
  left: finished.map(([, q]) => left + width * q),
  right: finished.map(([, q]) => left + width * (q + 1)),
  top: finished.map(([r]) => down - r), bottom: finished.map(([r]) => down - r - 1),
};
plot.title.text = `tile ${tile + 1} of ${down * across}, k = ${4 * group} to ${4 * group + 3}`;
"""


def tile_explorer(tile: Tile) -> Column:
    """Slider over the steps of an int8 product of 4 by 3 tiles: what is read, what is summed.

    Drawn for the first step before anyone moves it; the browser alone moves it.
    """
    down, across, groups = _DOWN, _ACROSS, _GROUPS
    right = _LEFT + _TILE_WIDTH * across
    plot = figure(
        height=430, width=640, toolbar_location=None,
        title=f"tile 1 of {down * across}, k = 0 to 3",
        x_range=Range1d(-0.3, right + 0.3), y_range=Range1d(-1.4, _TOP + groups + 0.3),
    )  # fmt: skip
    plot.axis.visible = False
    plot.grid.visible = False
    done = ColumnDataSource({"left": [], "right": [], "top": [], "bottom": []})
    now = ColumnDataSource(
        {
            "left": [0, _LEFT, _LEFT],
            "right": [1, _LEFT + _TILE_WIDTH, _LEFT + _TILE_WIDTH],
            "top": [down, _TOP + groups, down],
            "bottom": [down - 1, _TOP + groups - 1, down - 1],
            "color": [BLUE, ORANGE, VERMILLION],
        },
        name="now",
    )
    plot.quad("left", "right", "top", "bottom", source=done, color=GREY, alpha=0.45)
    plot.quad("left", "right", "top", "bottom", source=now, color="color")
    outline = {"fill_color": None, "line_color": GREY, "line_alpha": 0.6}
    for x, y, step, columns, rows in (
        (0, 0, 1, groups, down),
        (_LEFT, _TOP, _TILE_WIDTH, across, groups),
        (_LEFT, 0, _TILE_WIDTH, across, down),
    ):
        xs = [x + step * c for c in range(columns) for _ in range(rows)]
        ys = [y + r for _ in range(columns) for r in range(rows)]
        plot.quad(xs, [c + step for c in xs], [r + 1 for r in ys], ys, **outline)
    texts: tuple[tuple[float, float, str], ...] = (
        (0, down + 0.2, f"A: {tile.rows} × 4 bytes"),
        (_LEFT - 0.4, _TOP + groups / 2, f"B: 4 × {tile.columns} bytes"),
        (_LEFT, -1.1, f"C: {tile.rows} × {tile.columns} int32 sums"),
    )
    for (at, height, words), align in zip(texts, ("left", "right", "left"), strict=True):
        plot.add_layout(Label(x=at, y=height, text=words, text_align=align, text_font_size="13px"))
    slider = Slider(
        start=0, end=down * across * groups - 1, step=1, value=0, title="step", width=640,
        name="step",
    )  # fmt: skip
    arguments = {
        "now": now, "done": done, "plot": plot, "down": down, "across": across, "groups": groups,
        "left": _LEFT, "top": _TOP, "width": _TILE_WIDTH,
    }  # fmt: skip
    slider.js_on_change("value", CustomJS(args=arguments, code=_REDRAW))
    return column(slider, plot)
