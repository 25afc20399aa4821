"""A slider through pictures computed before: for notebooks and pages without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.layouts import column
from bokeh.models import Column, ColumnDataSource, CustomJS, Slider
from bokeh.plotting import figure

_SHOW = """
const {title, ...data} = states[Math.round((cb_obj.value - cb_obj.start) / cb_obj.step)];
plots[0].title.text = title;
for (const source of sources) source.data = {...source.data, ...data[source.name]};
"""


def legend_below(plot: figure) -> None:
    """The legend in a row under the plot, where it hides no curve."""
    plot.add_layout(plot.legend[0], "below")
    plot.legend.update(orientation="horizontal", location="center", border_line_color=None)
    plot.legend.update(padding=0, margin=4, spacing=18)


def stepper(
    slider: Slider,
    states: Sequence[Mapping[str, Any]],
    sources: Sequence[ColumnDataSource],
    *plots: figure,
) -> Column:
    """The slider above the plots; the browser alone shows the state that it stands at.

    states : one for each value of the slider: "title", for the first plot, and for each source,
        by its name, the columns that change.
    """
    arguments = {"states": list(states), "sources": list(sources), "plots": list(plots)}
    slider.js_on_change("value", CustomJS(args=arguments, code=_SHOW))
    return column(slider, *plots)
