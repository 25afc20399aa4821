"""What the pages' figures show: axes, ticks, and a glyph for every column of their sources."""

from __future__ import annotations

from collections.abc import Iterator

import panel as pn
import pytest
from bokeh.plotting import figure

from quantlab.dashboard.session import Session

LEVELS = [2, 4, 8, 16, 32, 64, 128, 256]
DECADES = [1e-8, 1e-6, 1e-4, 1e-2, 1.0]
DEVIATIONS = list(range(-4, 5))
PLACES = ("x", "y", "xs", "ys", "y0", "y1", "y2", "left", "right", "image", "marker", "size")
# page, figure: x range, y range (None: follows what comes), ticks of both, glyphs with the columns
# that place them
SHOWN = {
    ("density", "pitchfork"): (
        (-1, 1), (-2.6, 2.6), [-1, -(3**-0.5), 0, 3**-0.5, 1], [-2, -1, 0, 1, 2],
        ["Image share", "MultiLine xs ys", "MultiLine rho u", *4 * ["Scatter rho u"]],
    ),
    ("density", "density"): (
        (-4.6, 4.6), (0, 0.26), DEVIATIONS, [0, 0.1, 0.2],
        ["VArea u pdf", *2 * ["Line u weight"], *2 * ["Line u plain"], "Line u data",
         "Line u optimal", *2 * ["Line u optimal", "Scatter u height"]],
    ),
    ("density", "rug"): (
        (-4.6, 4.6), None, DEVIATIONS, None, [*7 * ["Scatter u design"], "Scatter u y"],
    ),
    ("density", "error"): (
        (1.8, 285), (1e-8, 3), LEVELS, DECADES,
        ["Line K nmse", "Line K nmse", "MultiLine K nmse", "Scatter K nmse marker",
         "MultiLine K nmse", "Segment low high", "Scatter K nmse marker size"],
    ),
    ("error", "exact"): (
        (1.8, 285), (1e-8, 3), LEVELS, DECADES,
        ["MultiLine x y", "Segment low high", "Scatter K nmse marker"],
    ),
    ("error", "split"): (
        (0.9, 4600), (1e-9, 3), [1, 4, 16, 64, 256, 1024, 4096], DECADES, ["MultiLine x y"],
    ),
    **{("error", f"entries_{i}"): (
        (0, 64), (64, 0), [0, 16, 32, 48, 64], [0, 32, 64], ["Image error", "Image x error"],
    ) for i in range(2)},
    ("codebooks", "codebook"): (
        (-4.6, 4.6), (0, 0.62), DEVIATIONS, [0, 0.2, 0.4, 0.6],
        ["Quad left right", "VArea u pdf", *3 * ["Scatter u row"]],
    ),
    ("codebooks", "trace"): (
        (-4.6, 4.6), (40, 0), DEVIATIONS, [0, 10, 20, 30, 40],
        ["MultiLine u step", "Scatter u step", "Scatter u step"],
    ),
    ("attention", "rho_heads"): (
        (-0.5, 11.5), (5.5, -0.5), list(range(12)), list(range(6)),
        ["Rect head layer", "Text head layer", *2 * ["Rect head layer"]],
    ),
    ("attention", "logits"): (
        (0, 48), (48, 0), [0, 16, 32, 48], [0, 16, 32, 48], 2 * ["Image logits"],
    ),
    ("attention", "coded_logits"): (
        (0, 48), (48, 0), [0, 16, 32, 48], [0, 16, 32, 48], 2 * ["Image logits"],
    ),
    ("attention", "ladder_bars"): (
        None, None, list(range(0, 81, 10)), None,
        ["HBar rung dB", "Text rung", "Scatter dB rung", "Line dB y"],
    ),
    ("data", "data_weight_picture"): (
        (-4, 4), (0, 4), DEVIATIONS, [0, 1, 2, 3, 4],
        ["VArea u pdf", "Line u gaussian", "Line u data"],
    ),
    ("data", "gallery_map_picture"): (
        (-1, 1), (-1.7, 1.7), [-1, -(3**-0.5), 0, 3**-0.5, 1], [-1, 0, 1],
        ["MultiLine xs ys", "Scatter rho u", "Scatter rho u"],
    ),
    ("speed", "speed_bars"): (None, None, list(range(0, 100, 2)), None, ["HBar name ratio"]),
    ("speed", "roofline"): (
        (0.3, 4000), (1, 5000), [1, 10, 100, 1000], [1, 10, 100, 1000],
        ["Line x y", "Line x y", "Scatter x predicted", "Scatter x y"],
    ),
    ("speed", "cost"): (
        (0.01, 300), (0.01, 300), [0.01, 0.1, 1, 10, 100], [0.01, 0.1, 1, 10, 100],
        ["Line x y"] * 3 + ["Scatter predicted measured"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn() -> Iterator[dict[tuple[str, str], figure]]:
    found, sessions = {}, []
    for page in dict.fromkeys(page for page, _ in SHOWN):
        sessions.append(Session({"page": page, "designs": "lloyd_max"}))
        for pane in sessions[-1]._pages[page].view().select(pn.pane.Bokeh):
            for plot in pane.object.select({"type": figure}):
                found[page, plot.name] = plot
    yield found
    for session in sessions:
        session.close()


def glyph_text(renderer: object) -> str:
    """The glyph's kind, and the columns that say where it is."""
    values = renderer.glyph.properties_with_values()
    fields = (getattr(values.get(name), "field", None) for name in PLACES)
    return " ".join([type(renderer.glyph).__name__, *filter(None, fields)])


@pytest.mark.parametrize("which", SHOWN, ids=" ".join)
def test_a_figure_shows_all_it_should(drawn: dict, which: tuple[str, str]) -> None:
    plot = drawn[which]
    x_range, y_range, x_ticks, y_ticks, glyphs = SHOWN[which]
    if x_range is not None:
        assert (plot.x_range.start, plot.x_range.end) == x_range
    assert plot.xaxis[0].ticker.ticks == pytest.approx(x_ticks)
    if y_range is not None:
        assert (plot.y_range.start, plot.y_range.end) == y_range
        assert plot.yaxis[0].ticker.ticks == pytest.approx(y_ticks)
    assert [glyph_text(renderer) for renderer in plot.renderers] == glyphs


def test_the_figures_of_all_pages_are_listed(drawn: dict) -> None:
    assert set(drawn) == set(SHOWN)


def test_the_attention_pages_colours_and_sources(drawn: dict) -> None:
    cells = drawn["attention", "rho_heads"].renderers[0]
    mapper = cells.glyph.fill_color.transform
    assert (mapper.low, mapper.high) == (-0.4, 0.4), "as far as the shipped heads go, and alike"
    assert len(mapper.palette) == 11
    plain, coded = (drawn["attention", name].renderers[0] for name in ("logits", "coded_logits"))
    assert plain.data_source is not coded.data_source
