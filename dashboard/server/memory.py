"""Garbage of closed sessions, collected without stopping the open ones.

A page has some 30,000 objects that live as long as it does. Python's collector would walk through
all of them again and again, as pages come: with 60 open the server stood still for 1.5 s. Here what
a page has brought is set aside (`gc.freeze`), and only walked through once as many pages have gone
as are open.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable

from tornado.ioloop import PeriodicCallback

_LOOK = 1000  # milliseconds between two looks at who has come and gone
_FEW = 10  # closed sessions whose garbage can wait


class Collector:
    """Looks at the open sessions; `look` collects what is due.

    Parameters
    ----------
    sessions : callable
        The open sessions' identities.
    """

    def __init__(self, sessions: Callable[[], Iterable[int]]) -> None:
        self._sessions = sessions
        self._open: set[int] = set()
        self._closed = 0

    def start(self) -> None:
        """Look every second, on the event loop."""
        gc.collect()
        gc.freeze()
        PeriodicCallback(self.look, _LOOK).start()

    def look(self) -> None:
        """Set new pages aside; collect the closed ones when there are as many as open ones."""
        present = set(self._sessions())
        came, went = present - self._open, self._open - present
        self._open = present
        self._closed += len(went)
        due = self._closed >= max(_FEW, len(present)) or (self._closed > 0 and not present)
        if due:
            self._closed = 0
            gc.unfreeze()
        if due or came:
            gc.collect()
            gc.freeze()
