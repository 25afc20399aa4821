"""The widgets, bound to the state, each with a name that a screen reader can say."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource

from quantlab import CRITICAL_RHO
from quantlab.data import gallery

from ..state import (
    ATTENTION,
    DESIGN_LABELS,
    GALLERY,
    LAWS,
    STUDENT_T,
    SYNTHETIC,
    DashboardState,
    expected,
)
from .connection import ASKED
from .gallery import ProblemView
from .layout import CSS
from .theme import CHOICE_STYLE, NUMBER_STYLE, WIDGET_STYLE

#: Stops of the K sliders: every K while they are few, then in steps of an eighth or so.
LEVEL_STOPS = (
    *range(2, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224,
    256,
)  # fmt: skip
#: Pages that bring controls of their own instead of the shared ones.
OWN_CONTROLS = ("data", "speed", "limits")
#: ms that Panel gathers a widget's events for; its 50 are half of what a measured error takes.
_GATHER = 15
_RHO_MARKS = [
    {"value": -CRITICAL_RHO, "label": "−1/√3"},
    {"value": 0, "label": "0"},
    {"value": CRITICAL_RHO, "label": "1/√3"},
]
#: What a slider does in the browser: write its value where the drawing code reads it.
_COPY = "setting.data = {...setting.data, %s: [%s]};"
#: There and back over all correlations, at a pace that one can talk to; it ends when anything else
#: moves the slider, or when the page has no use for it. What the server moves it to stands in the
#: button's tags: a slider that is drawn at that moment may put its own value over it.
_PLAY = """
const rho = slider.data, told = button.tags;
const stop = () => {
  clearInterval(button.timer);
  button.timer = null;
  button.data.label = "Play ρ";
};
if (button.timer) stop();
else {
  let step = 0.02, last = rho.value, before = last;
  button.data.label = "Pause";
  button.timer = setInterval(() => {
    if (button.tags !== told) {
      stop();
      for (const ms of [0, 200, 400, 800])
        setTimeout(() => [last, before].includes(rho.value) && (rho.value = button.tags[0]), ms);
      return;
    }
    // a slider that is drawn late puts its value before back
    if (!button.visible || (rho.value !== last && rho.value !== before)) return stop();
    if (last + step > 1 || last + step < -1) step = -step;
    before = last;
    rho.value = last = Math.round(100 * (last + step)) / 100;
  }, 100);
}
"""
_OPTION = "Number(source.options[source.value])"


class Controls:
    """Widgets of one session; `setting` holds the values that the browser draws from."""

    def __init__(self, state: DashboardState) -> None:
        self.state = state
        self.setting = ColumnDataSource(self._drawn(), name="setting", syncable=False)
        heads = state.param.head.bounds[1] + 1
        layers = state.param.layer.bounds[1] + 1
        self.play = pmui.Button(
            label="Play ρ", variant="text", size="small", margin=(0, 6), tags=[state.rho, 0]
        )
        state.param.watch(self._move, "rho")  # before the slider's own: it still has the old value
        self.rho = self._bind(
            pmui.FloatSlider, "rho", start=-1, end=1, step=0.01, format="0.00[00]", marks=_RHO_MARKS
        )
        self.k_x = self._bind(pmui.DiscreteSlider, "k_x", options=_stops(state.k_x))
        self.k_y = self._bind(pmui.DiscreteSlider, "k_y", options=_stops(state.k_y))
        self.inner_dim = self._bind(
            pmui.DiscreteSlider, "inner_dim", options=list(state.param.inner_dim.objects)
        )
        self.linked = self._bind(pmui.Checkbox, "linked", size="small")
        self.source = self._bind(
            pmui.RadioButtonGroup, "source", size="small",
            options={"Drawn from a law": SYNTHETIC, "Attention": ATTENTION, "Gallery": GALLERY},
            sx=CHOICE_STYLE,
        )  # fmt: skip
        self.law = self._bind(
            pmui.Select, "law", size="small",
            options={label: name for name, label in LAWS.items()},
        )  # fmt: skip
        self.nu = self._bind(pmui.FloatSlider, "nu", start=4.5, end=30, step=0.1, format="0.0")
        self.gain = self._bind(pmui.Checkbox, "gain", size="small")
        self.rounding = self._bind(
            pmui.RadioButtonGroup, "rounding", size="small",
            options={"To the nearest": "nearest", "With feedback": "feedback"},
        )  # fmt: skip
        self.layer = self._bind(pmui.Select, "layer", options=list(range(layers)), size="small")
        self.head = self._bind(pmui.Select, "head", options=list(range(heads)), size="small")
        self.problem = self._bind(
            pmui.Select, "problem", size="small",
            options={one.title: name for name, one in gallery().items()},
        )  # fmt: skip
        self.problem_view = ProblemView()
        self.operand = self._bind(
            pmui.RadioButtonGroup, "operand", size="small", options={"A": "x", "B": "y"}
        )
        self.designs = self._bind(
            pmui.CheckBoxGroup,
            "designs",
            options={label: name for name, label in DESIGN_LABELS.items()},
        )
        self.seed = self._bind(pmui.IntInput, "seed", start=0, size="small", sx=NUMBER_STYLE)
        self.reset = pmui.Button(label="Reset", variant="outlined", size="small", margin=6)
        self.reset.on_click(lambda _: state.reset(page=state.page, keep=""))
        for name, widget, value in (
            ("rho", self.rho, "source.value"),
            ("k_x", self.k_x, _OPTION),
            ("k_y", self.k_y, _OPTION),
            ("inner_dim", self.inner_dim, _OPTION),
        ):
            widget.jscallback(args={"setting": self.setting}, value=_COPY % (name, value))
        self.play.js_on_click(args={"slider": self.rho, "button": self.play}, code=_PLAY)
        self.keep = pmui.Button(label="Keep this", variant="text", size="small", margin=(0, 6))
        self.keep.on_click(lambda _: self.keep_or_clear())
        #: what a teacher's link hides, by name
        self._groups = {
            "input": (
                self.source,
                self.law,
                self.nu,
                self.layer,
                self.head,
                self.problem,
            ),
            "levels": (self.k_x, self.k_y, self.linked),
            "inner_dim": (self.inner_dim,),
            "operand": (self.operand,),
            "designs": (self.designs, self.rounding),
            "seed": (self.seed, self.reset),
        }
        #: what has no effect, by page
        self._idle = {
            "error": (self.operand,),
            "codebooks": (self.designs,),
            "attention": (
                self.source, self.law, self.nu, self.problem, self.rho, self.play,
                self.inner_dim, self.operand, self.seed,
            ),
        }  # fmt: skip
        self._panels = self._layout()
        self._widgets = [_widgets(panel) for panel in self._panels]
        self.refresh()

    def refresh(self) -> None:
        """Which controls the present input leaves free, and what they offer.

        A page with controls of its own hides these by the style sheet: they stay as they are.
        """
        if self.state.page in OWN_CONTROLS:
            return
        heads, given = self.state.heads, self.state.given
        self.rho.disabled = given
        self.rho.label = "Estimated correlation ρ" if given else self.state.param.rho.label
        page = self.state.page
        away = set(self._idle.get(page, ()))
        for name in self.state.hide:
            away |= set(self._groups.get(name, ()))
        if given:
            away |= {self.inner_dim, self.seed, self.law, self.nu, self.play, self.rounding}
        if not heads and page != "attention":
            away |= {self.layer, self.head}
        if self.state.source != GALLERY:
            away.add(self.problem)
        if self.state.law != STUDENT_T:
            away.add(self.nu)
        if page != "error" or given or self.state.request().problem.fed_back:
            away.add(self.gain)
        if page not in ("density", "error"):
            away.add(self.rounding)
        if page == "codebooks" and self.state.own_x:  # centres are added and taken away by hand
            away |= {self.k_x, self.k_y, self.linked}
        for panel, widgets in zip(self._panels, self._widgets, strict=True):
            for widget in widgets:
                widget.visible = widget not in away
            panel.visible = any(widget.visible for widget in widgets)
        self.problem_view.show(self.state.problem if self.problem.visible else "")
        self.keep.label = "Clear kept" if self.state.keep else "Keep this"
        self.k_y.disabled = self.state.linked
        operands = {"Queries": "x", "Keys": "y"} if heads else {"A": "x", "B": "y"}
        if self.operand.options != operands:
            self.operand.options = operands
            self.operand.param.trigger("value")  # the browser knows it by its label

    def keep_or_clear(self) -> None:
        """Hold the present setting beside those that follow; or let it go."""
        self.state.param.update(keep="" if self.state.keep else self.state.setting())

    def panels(self) -> list[pn.viewable.Viewable]:
        """What one slides all the time, and the rest."""
        return self._panels

    def _layout(self) -> list[pn.viewable.Viewable]:
        return [
            _panel(
                self.source, pn.Row(self.layer, self.head, margin=(8, 0, 0, 0)), self.problem,
                self.problem_view.pane, self.law, self.nu, self.rho,
                pn.Row(self.play, self.keep, margin=0), self.k_x, area="primary",
            ),
            _panel(
                self.linked, self.k_y, self.inner_dim, self.operand, self.rounding, self.gain,
                self.designs,
                pn.Row(self.seed, self.reset, margin=(6, 0, 0, 0)), area="secondary",
            ),
        ]  # fmt: skip

    def follow_link(self) -> None:
        """A page that was made ahead is sent with its link's setting; the document is locked."""
        self.setting.data = self._drawn()

    def _drawn(self) -> dict[str, list]:
        return {name: [getattr(self.state, name)] for name in ("rho", "k_x", "k_y", "inner_dim")}

    def _move(self, event: Any) -> None:
        """Tell Play of a correlation that did not come from the slider."""
        if event.new != self.rho.value:
            self.play.tags = [event.new, self.play.tags[1] + 1]

    def _bind(self, kind: type, name: str, **options: Any) -> Any:
        """A widget and the state's parameter follow each other; a refused value is told."""
        parameter = self.state.param[name]
        widget = kind(
            value=getattr(self.state, name), label=parameter.label, sizing_mode="stretch_width",
            margin=(3, 6), tags=[name], **{"sx": WIDGET_STYLE, **options},
        )  # fmt: skip
        widget._debounce = _GATHER

        def to_state(event: Any) -> None:
            if event.new == getattr(self.state, name):
                return
            try:
                setattr(self.state, name, event.new)
                self.state.notice = ""
            except (TypeError, ValueError):
                self.state.notice = f"{parameter.label}: {expected(parameter)}."
                widget.value = getattr(self.state, name)

        def to_widget(_: Any) -> None:
            value = getattr(self.state, name)  # what followed the event may have changed it again
            if kind is pmui.DiscreteSlider and value not in widget.options:
                widget.options = sorted({*widget.options, value})
            widget.value = value

        widget.jscallback(value=ASKED)
        widget.param.watch(to_state, "value")
        self.state.param.watch(to_widget, name)
        return widget


def _panel(*widgets: pn.viewable.Viewable, area: str) -> pn.Column:
    return pn.Column(
        *widgets, styles={"grid-area": area}, css_classes=["panel", "controls"],
        stylesheets=[CSS], sizing_mode="stretch_width", margin=0,
    )  # fmt: skip


def _widgets(panel: pn.Column) -> list[pn.widgets.WidgetBase]:
    return list(panel.select(pn.widgets.WidgetBase))


def _stops(value: int) -> list[int]:
    return sorted({*LEVEL_STOPS, value})
