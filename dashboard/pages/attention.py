"""The Attention tab: rho of all heads, one head's logits before and after, and who wins where."""

from __future__ import annotations

from functools import lru_cache, partial
from html import escape
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, CustomJS, LinearColorMapper, Range1d, TapTool
from bokeh.palettes import RdBu11
from bokeh.plotting import figure

from quantlab import encode, matmul
from quantlab.experiments.attention import AttentionTable, attention_errors
from quantlab.experiments.designs import BALANCED, SCHEME
from quantlab.formats import GROUP_FORMATS

from ..given import attention
from ..parts.layout import CSS, card, grid, scrolling, text
from ..parts.theme import INK, plain_figure, ticks
from ..parts.wording import decimal, scientific
from ..state import ATTENTION, DESIGN_LABELS, Request
from ..work.background import Task
from ..work.measurements import codebooks, most_levels
from ..work.stored import Wins, provenance, stored_wins
from . import Session
from .ladder import Ladder, climb

_LAYERS, _HEADS = 6, 12
_SIDE, _BETWEEN = 48, 4  # queries and keys drawn; keys between a picture and the kept one
#: On a phone the numbers of the map are small, so that they stay apart.
_FIT = "labels.glyph.text_font_size = cb_obj.inner_width < 360 ? '8px' : '11px';"
_NAMES = {
    "int_absmax": "INT", "nf4": "NF4", "fp8_e4m3": "FP8 E4M3", **DESIGN_LABELS,
    BALANCED: "Data fit, balanced", SCHEME: "Scheme",
    **{name: GROUP_FORMATS[name].label for name in (
        "mxfp4", "nvfp4", "int4_g32", "q4_0", "iq4_nl", "mxfp6_e2m3", "q6_k", "mxfp8_e4m3", "q8_0",
    )},
}  # fmt: skip
_HOW = (
    "12 calibration and 6 held-out sequences a head. Balanced: in another basis of the 32 "
    "dimensions, which the projections of queries and keys absorb (quantlab.balance). "
    "MX, NV, INT and Q formats have scales of each query and key beside the codes' bits. "
    "Scheme: basis, bits an index and rounding as quantlab.design_scheme chooses them."
)
_RIVALS = tuple(name for name in _NAMES if name != "bilinear")


class AttentionPage:
    """The shipped encoder's 72 heads; layer and head are the shared controls."""

    def __init__(self, session: Session) -> None:
        self.state, self.background = session.state, session.background
        self.deliver = session.deliver
        self.map = ColumnDataSource(
            {c: [] for c in ("layer", "head", "rho", "label")}, name="rho_map"
        )
        self.chosen = ColumnDataSource({"layer": [], "head": []}, name="chosen_head")
        self.map_text, self.logit_text = text("", "sentence"), text("", "sentence", "logit_text")
        self.logits, self.kept_logits = (
            [ColumnDataSource({"logits": []}, name=f"{name}_{i}") for i in range(2)]
            for name in ("logits", "kept_logits")
        )
        self.logit_ranges = [Range1d(0, _SIDE) for _ in range(2)]
        self.kept = ColumnDataSource({"layer": [], "head": []}, name="kept_head")
        self._kept_asked: tuple[Request, int] | None = None
        self._coded_words = self._kept_words = ""
        self.coded_text = text("", "sentence")
        self.mapper = LinearColorMapper(palette=RdBu11, low=-1, high=1)
        self.wins_text = text("Which design has the lower logit error, on how many heads?",
                              "sentence", "wins_text")  # fmt: skip
        self.wins, self.status = text("", "readout", "wins"), text("", "status")
        self.bits = pmui.Select(
            label="Bits", options=[2, 3, 4, 6, 8], value=4, size="small", width=100,
            margin=(4, 8, 4, 0),
        )  # fmt: skip
        self.ladder = Ladder()
        self._climbed: tuple[int, int, int] | None = None
        self._counted = False
        self.bits.param.watch(lambda _: self.deliver(self._other_bits), "value")
        self.count = pmui.Button(label="Count the wins", variant="contained", margin=(8, 0, 4, 0))
        self.count.on_click(lambda _: self.deliver(self._count))
        self.map.selected.on_change("indices", self._pick)

    def view(self) -> pn.viewable.Viewable:
        controls = pn.Column(
            pn.Row(self.bits, self.count, margin=0),
            pn.pane.Bokeh(self.status, sizing_mode="stretch_width", margin=0),
            css_classes=["panel"], stylesheets=[CSS], sizing_mode="stretch_width",
            margin=(10, 0, 0, 0),
        )  # fmt: skip
        return grid(
            pn.Column(
                card("Correlation of queries and keys, head by head", self.map_text,
                     self._map_figure()),
                pn.Spacer(height=10), card("Win rates", self.wins_text, self.wins),
                sizing_mode="stretch_width", margin=0,
            ),
            pn.Column(self.ladder.card(), controls, sizing_mode="stretch_width", margin=0),
            card("Logits of one held-out sequence", self.logit_text,
                 self._logit_figure(0, "logits")),
            card("The same from codes", self.coded_text, self._logit_figure(1, "coded_logits")),
        )  # fmt: skip

    def refresh(self) -> None:
        """The map once, the chosen head's logits on every move."""
        if not self.map.data["rho"]:
            self._draw_map()
            self._show_stored()
        layer, head = self.state.layer, self.state.head
        self.chosen.data = {"layer": [layer], "head": [head]}
        request = self.state.head_request()
        rho = request.problem.rho
        all_rho = np.array(self.map.data["rho"])
        self.map_text.text = (
            f"<b>Layer {layer}, head {head}: ρ = {decimal(rho, 3)}</b>; all heads lie between "
            f"{decimal(all_rho.min(), 2)} and {decimal(all_rho.max(), 2)}, all below 1/√3 in size. "
            "Choose another by a click, or by layer and head."
        )
        self.background.run("logits", partial(_logits, request),
                            partial(self._show_logits, request), self._failed)  # fmt: skip
        self._climb()
        self._follow_kept()

    def _follow_kept(self) -> None:
        """The kept setting's head: its place, its rungs, its logits beside the present ones."""
        kept = self.state.kept_head_request()
        if self.state.heads and self.state.awaits_guess:
            kept = None
        asked = None if kept is None else (kept, int(self.bits.value))
        if asked == self._kept_asked:
            return
        self._kept_asked = asked
        self._show_kept(None, {})
        self.background.cancel("kept head")
        if kept is None:
            self.kept.data = {"layer": [], "head": []}
            self.ladder.keep({})
            return
        layer, head, bits = kept.problem.layer, kept.problem.head, self.bits.value
        self.kept.data = {"layer": [layer], "head": [head]}

        def job(task: Task) -> tuple:
            return _logits(kept, task), climb(layer, head, bits, task)

        def show(found: tuple) -> None:
            self._show_kept(kept, found[0])
            self.ladder.keep(found[1])

        self.background.run("kept head", job, show, self._failed)

    def _show_kept(self, kept: Request | None, found: dict[str, Any]) -> None:
        """The kept head's logits to the right of the present ones; none where none is kept."""
        for source, name in zip(self.kept_logits, ("exact", "coded"), strict=True):
            image = found.get(name)
            source.data = {"logits": [] if image is None else [image]}
        for span in self.logit_ranges:
            span.end = _SIDE if kept is None else 2 * _SIDE + _BETWEEN
        self._kept_words = ""
        if kept is not None:
            self._kept_words = f" Right, kept: {kept.words}"
            if found.get("nmse"):
                best, nmse = found["design"], found["nmse"]
                self._kept_words += f", {DESIGN_LABELS[best]} <b>{scientific(nmse[best])}</b>"
            self._kept_words += "."
        self._tell()

    def _tell(self) -> None:
        self.coded_text.text = self._coded_words + (self._kept_words if self._coded_words else "")

    def _other_bits(self) -> None:
        self._climb()
        self._follow_kept()
        self._show_stored()

    def _climb(self) -> None:
        if self.state.heads and self.state.awaits_guess:
            self.background.cancel("ladder")
            self.ladder.clear("Hidden until a guess is committed, under <b>Density</b>.")
            return
        asked = self.state.layer, self.state.head, self.bits.value
        if asked != self._climbed:
            self._climbed = None
            self.ladder.clear("Climbing …")
            self.background.run("ladder", partial(climb, *asked), partial(self._reach, asked),
                                self._failed)  # fmt: skip

    def _reach(self, asked: tuple[int, int, int], found: dict[str, float]) -> None:
        self._climbed = asked
        self.ladder.show(*asked, found)

    def _draw_map(self) -> None:
        heads = [(layer, head) for layer in range(_LAYERS) for head in range(_HEADS)]
        rhos = [attention(layer, head).pair.gaussian().rho for layer, head in heads]
        self.map.data = {
            "layer": [layer for layer, _ in heads],
            "head": [head for _, head in heads],
            "rho": rhos,
            "label": [decimal(rho, 2).replace("0.", ".") for rho in rhos],
        }

    def _pick(self, _: str, old: Any, new: list[int]) -> None:
        if new:
            index = new[0]
            self.state.param.update(
                source=ATTENTION, layer=self.map.data["layer"][index],
                head=self.map.data["head"][index],
            )  # fmt: skip

    def _failed(self, sentence: str) -> None:
        self.status.text = f'<span class="problem">{escape(sentence)}</span>'
        self.count.disabled = False

    def _show_logits(self, request: Request, found: dict[str, Any]) -> None:
        limit = float(np.max(np.abs(found["exact"])))
        self.mapper.low, self.mapper.high = -limit, limit
        self.logits[0].data = {"logits": [found["exact"]]}
        self.logits[1].data = {"logits": [found["coded"]] if found["nmse"] else []}
        self.logit_text.text = (
            f"Layer {self.state.layer}, head {self.state.head}: {found['exact'].shape[0]} queries "
            f"against as many keys, colours from −{limit:.3g} to {limit:.3g} in both pictures."
        )
        best, nmse = found["design"], found["nmse"]
        if not nmse:
            chosen = "None of the chosen designs has so many levels." if request.designs else ""
            self._coded_words = chosen or "Choose a design to compare."
            return self._tell()
        if self.state.heads and self.state.awaits_guess:
            self._coded_words = "Hidden until a guess is committed, under <b>Density</b>."
            return self._tell()
        worst = max(nmse, key=lambda name: nmse[name])
        self._coded_words = (
            f"<b>{DESIGN_LABELS[best]}, {request.levels}</b>, loses "
            f"<b>{scientific(nmse[best])}</b> of the logits’ energy"
        )
        if len(nmse) > 1:
            self._coded_words += (
                ", the least of the designs chosen; "
                f"{DESIGN_LABELS[worst]} {scientific(nmse[worst])}, the most"
            )
        self._coded_words += "."
        self._tell()

    def _count(self) -> None:
        self.count.disabled = True
        self.status.text = "Coding all 72 heads with every design; about half a minute …"
        self.background.run("wins", partial(win_table, self.bits.value), self._show_wins,
                            self._failed, cause="button")  # fmt: skip

    def _show_wins(self, table: AttentionTable) -> None:
        self.count.disabled = False
        self._counted = True
        self._write_wins(Wins.of(table))
        self.status.text = _HOW

    def _show_stored(self) -> None:
        """Stored wins at the bits chosen, until the server has counted some."""
        wins = None if self._counted else stored_wins(self.bits.value)
        if wins is not None:
            self._write_wins(wins)
            self.status.text = f"<b>{provenance()}.</b> {_HOW}"

    def _write_wins(self, table: Wins) -> None:
        names, of = table.names, table.heads
        head = "".join(f"<th scope='col'>{escape(_NAMES[name])}</th>" for name in names)
        rows = "".join(
            f"<tr><th scope='row'>{escape(_NAMES[a])}</th>"
            + "".join(
                "<td class='none'>·</td>" if a == b else f"<td data-wins='{a} {b}' "
                f"style='background:color-mix(in srgb, #0072b2 {55 * won / of:.0f}%,"
                f" transparent)'>{won}</td>"
                for b, won in zip(names, row, strict=True)
            )
            + "</tr>"
            for a, row in zip(names, table.wins, strict=True)
        )  # fmt: skip
        self.wins.text = scrolling(
            "Win rates",
            f"<table class='wins'><thead><tr><th scope='col'>wins of ↓ over →</th>{head}</tr>"
            f"</thead><tbody>{rows}</tbody></table>",
        )
        self.wins_text.text = (
            f"At {table.bits} bits <b>{_NAMES[names[0]]}</b> has the least mean error; it beats "
            f"{_NAMES[names[1]]} on {table.wins[0][1]} of {of} heads, on sequences that it "
            "was not calibrated on."
        )

    def _map_figure(self) -> figure:
        plot = plain_figure(
            "head", "layer", height=300, x_range=Range1d(-0.5, _HEADS - 0.5),
            y_range=Range1d(_LAYERS - 0.5, -0.5), name="rho_heads",
        )  # fmt: skip
        shades = LinearColorMapper(palette=RdBu11[::-1], low=-0.4, high=0.4)
        cells = plot.rect("head", "layer", 0.96, 0.92, source=self.map, line_color=None,
                          fill_color={"field": "rho", "transform": shades})  # fmt: skip
        labels = plot.text(
            "head", "layer", "label", source=self.map, text_align="center", text_baseline="middle",
            text_font_size="11px", text_color="#1b2431",
        )  # fmt: skip
        labels.selection_glyph = labels.nonselection_glyph = None
        plot.js_on_change("inner_width", CustomJS(args={"labels": labels}, code=_FIT))
        plot.rect("head", "layer", 0.96, 0.92, source=self.chosen, fill_color=None, line_color=INK,
                  line_width=3)  # fmt: skip
        plot.rect("head", "layer", 0.96, 0.92, source=self.kept, fill_color=None, line_color=INK,
                  line_width=2, line_dash="dotted")  # fmt: skip
        plot.add_tools(TapTool(renderers=[cells]))
        cells.nonselection_glyph = None
        ticks(plot.xaxis, range(_HEADS))
        ticks(plot.yaxis, range(_LAYERS))
        plot.grid.visible = False
        return plot

    def _logit_figure(self, number: int, name: str) -> figure:
        plot = plain_figure(
            "key", "query", height=290, x_range=self.logit_ranges[number],
            y_range=Range1d(_SIDE, 0), name=name,
        )  # fmt: skip
        for source, left in ((self.logits, 0), (self.kept_logits, _SIDE + _BETWEEN)):
            plot.image("logits", left, 0, _SIDE, _SIDE, source=source[number],
                       color_mapper=self.mapper)  # fmt: skip
        ticks(plot.xaxis, [0, 16, 32, 48])
        ticks(plot.yaxis, [0, 16, 32, 48])
        plot.grid.visible = False
        return plot


@lru_cache(maxsize=8)
def _wins(bits: int) -> AttentionTable:
    return attention_errors(bits, designs=_RIVALS)


def win_table(bits: int, task: Task) -> AttentionTable:
    """Every design's errors on every head, counted once a server."""
    return _wins(bits)


def _logits(request: Request, task: Task) -> dict[str, Any]:
    """Exact and coded logits of the first held-out sequence, with each design's error."""
    problem = request.problem
    a, b = attention(problem.layer, problem.head).held_out[0]
    exact = a @ b
    energy = float(np.mean(np.square(exact, dtype=np.float64)))
    shown = [
        name
        for name in request.designs
        if max(request.k_x, request.k_y) <= most_levels(problem, name)
    ]
    nmse, coded = {}, {}
    for name in shown:
        if task.cancelled:
            break
        cb_x, cb_y = codebooks(problem, name, request.k_x, request.k_y)
        coded[name] = matmul(encode(a, cb_x), encode(b, cb_y), route="fp32")
        error = float(np.mean(np.square(exact - coded[name], dtype=np.float64)))
        nmse[name] = error / energy
    best = min(nmse, key=lambda name: nmse[name], default="")
    return {"exact": exact, "coded": coded.get(best), "design": best, "nmse": nmse}
