"""Slow work of one session, off its event loop: the latest run of a name wins, and any can stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from .pool import Pool

Show = Callable[[Any], None]
#: Runs a function on the session's own event loop, with its document locked.
Deliver = Callable[[Callable[[], None]], None]
_LOG = logging.getLogger(__name__)
#: Errors of the user's input, told in the page; others are logged too.
_EXPECTED = (ValueError, TypeError, ArithmeticError, MemoryError)
#: Seconds without a further move before slow work starts.
REST = 0.03


#: What a job follows: a control that moved, a file that came, a button that asks for it, or what
#: a hand holds.
Cause = Literal["control", "file", "button", "hand"]


@cache
def server_pool(cause: Cause) -> Pool:
    """A thread for all sessions' jobs of one cause.

    What a button asks for takes seconds, and such jobs wait for one another; the others wait for
    none of them. What takes long yields its processor to those who move a control.
    """
    return Pool(workers=1, niceness=0 if cause in ("control", "hand") else 10)


class Task:
    """One run: what its job sees of the session."""

    def __init__(self, tell: Show) -> None:
        self._tell = tell
        self.cancelled = False

    def progress(self, value: object) -> None:
        """Hand an intermediate value to the page."""
        self._tell(value)


class Background:
    """A session's slow jobs, by name.

    Parameters
    ----------
    deliver : callable
        Runs a function on the session's event loop.
    pool : Pool, optional
        For all of them. Default: the server's, one for each cause.
    """

    def __init__(self, deliver: Deliver, pool: Pool | None = None) -> None:
        self._deliver = deliver
        self._pool = pool
        self._tasks: dict[str, Task] = {}
        self._closed = False
        self._settled: Callable[[], None] = lambda: None
        #: What a control's move has asked for and the page does not show yet.
        self.awaited: set[str] = set()

    def run(
        self, name: str, job: Callable[[Task], Any], show: Show,
        failed: Callable[[str], None] | None = None, cause: Cause = "control",
    ) -> Task:  # fmt: skip
        """Run `job(task)`, then `show` its value on the event loop; an earlier run is cancelled.

        It starts when the controls have rested for a moment; at once for any other cause.
        `failed` gets the sentence of an error in the job; without it the error is logged.
        """
        self.cancel(name)

        def tell(show: Show, value: Any) -> None:
            def on_the_loop() -> None:
                if not task.cancelled:
                    show(value)

            if not task.cancelled:
                self._deliver(on_the_loop)

        def reach(show: Show) -> Show:
            def last(value: Any) -> None:
                show(value)
                self.reached(name)

            return last if cause == "control" else show

        if cause == "control":
            self.awaited.add(name)
        task = Task(lambda value: tell(show, value))

        def work() -> None:
            if task.cancelled:
                return
            try:
                value = job(task)
            except Exception as error:
                if failed is None or not isinstance(error, _EXPECTED):
                    _LOG.exception("%s failed", name)
                if failed is not None:
                    tell(reach(failed), f"{error}" or type(error).__name__)
            else:
                tell(reach(show), value)

        if not self._closed:
            self._tasks[name] = task
            pool = self._pool if self._pool is not None else server_pool(cause)
            pool.submit(work, delay=REST if cause == "control" else 0.0)
        return task

    def cancel(self, name: str) -> None:
        """Nothing more of this name is shown; its job is told to stop."""
        self.awaited.discard(name)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancelled = True

    def when_settled(self, call: Callable[[], None]) -> None:
        """Call on the event loop each time that the last thing awaited is shown."""
        self._settled = call

    def reached(self, name: str) -> None:
        """What was awaited by this name is shown."""
        if name in self.awaited:
            self.awaited.discard(name)
            if not self.awaited:
                self._settled()

    def close(self) -> None:
        """The session has ended."""
        self._closed = True
        for name in list(self._tasks):
            self.cancel(name)
