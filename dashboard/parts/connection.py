"""What the server's numbers belong to: told to the browser, which greys them when that is over."""

from __future__ import annotations

from bokeh.models import ColumnDataSource, CustomJS

from .. import browser
from ..state import DashboardState

_SCRIPT = browser.read("connection.js")
#: A control says that it has been used: whatever the server said before is an old answer.
ASKED = "document.dispatchEvent(new Event('quantlab-asked'))"


class Connection:
    """The setting that the page's numbers are of, and whether they are all there."""

    def __init__(self, state: DashboardState, setting: ColumnDataSource) -> None:
        self.state, self.setting = state, setting
        self.belongs = ColumnDataSource(self._present(False), name="belongs_to")

    def moved(self) -> None:
        """A control has moved: the numbers are of the setting before."""
        self.belongs.data = {**self.belongs.data, "fresh": [False]}

    def settled(self) -> None:
        """Every number of the open page is of the present setting."""
        self.belongs.data = self._present(True)

    def script(self) -> CustomJS:
        """What watches over it in the browser."""
        return CustomJS(args={"belongs": self.belongs, "setting": self.setting}, code=_SCRIPT)

    def _present(self, fresh: bool) -> dict[str, list]:
        state = self.state
        return {
            **{name: [getattr(state, name)] for name in ("rho", "k_x", "k_y", "inner_dim")},
            "words": [self._words()],
            "fresh": [fresh],
        }

    def _words(self) -> str:
        state = self.state
        request = state.request()
        if state.page == "attention":
            return f"layer {state.layer}, head {state.head}, {request.levels}"
        return request.words
