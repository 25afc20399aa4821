"""One file a tab; the first is made of three: overview, density and error.

What a page may ask of its session, and a session of its pages, stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import panel as pn

from ..parts.controls import Controls
from ..state import DashboardState
from ..work.background import Background


class Page(Protocol):
    """One tab, built on its first visit; `refresh` follows each move of a control, and is cheap."""

    def view(self) -> pn.viewable.Viewable: ...

    def refresh(self) -> None: ...


class Session(Protocol):
    """What a page is built with: the state, the controls, and the line to slow work and back."""

    state: DashboardState
    controls: Controls
    background: Background

    def deliver(self, show: Callable[[], None]) -> None: ...

    def on_end(self, ending: Callable[[], None]) -> None: ...
