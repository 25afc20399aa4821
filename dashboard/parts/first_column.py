"""A table's first column that is or may be an index: told, left out and taken again."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from .layout import text


class FirstColumn:
    """A sentence, and a button where the choice is the reader's, about a file's first column.

    `skipped` is how many columns of the matrix are left out, 0 or 1; `deliver` carries a click to
    the page's turn, and `changed()` follows it.
    """

    def __init__(
        self, name: str, deliver: Callable[[Callable[[], Any]], Any], changed: Callable[[], Any]
    ) -> None:
        self.name, self.skipped, self._why = name, 0, ""
        self._changed = changed
        self.sentence = text("", "status", f"first_column_{name}")
        self.button = pmui.Button(label="", variant="outlined", size="small", margin=(4, 0))
        self.button.on_click(lambda _: deliver(self._turn))
        self.view = pn.Column(
            pn.pane.Bokeh(self.sentence, sizing_mode="stretch_width", margin=0), self.button,
            visible=False, sizing_mode="stretch_width", margin=(4, 0),
        )  # fmt: skip

    def ask(self, why: str, gone: bool = False) -> None:
        """About a new file: its first column is data until someone says otherwise.

        `why` goes on after "the first column", empty where there is nothing to tell; `gone`: the
        matrix is without that column already, and there is nothing to ask.
        """
        self.skipped, self._why = 0, why
        self.view.visible, self.button.visible = bool(why), not gone
        self._tell()
        if gone:
            self.sentence.text = f"The first column of {self.name} {escape(why)}: it is left out."

    def _turn(self) -> None:
        self.skipped = 1 - self.skipped
        self._tell()
        self._changed()

    def _tell(self) -> None:
        use, action = ("left out", "Take") if self.skipped else ("taken as data", "Leave out")
        self.sentence.text = (
            f"The first column of {self.name} {escape(self._why)} and may be an index. It is {use}."
        )
        self.button.label = f"{action} the first column of {self.name}"
