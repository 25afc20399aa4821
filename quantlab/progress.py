"""How far a long call is: to a callable, to tqdm, or as a line of text."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

#: progress(done, total, estimated seconds left or None); True: a bar of tqdm's; None: silence.
Progress = Callable[[int, int, "float | None"], object] | bool | None


class Meter:
    """Counts the steps of a call for its `progress` argument, and ends a bar of tqdm's with it.

    Parameters
    ----------
    progress : callable, True or None
        progress(done, total, seconds left) at the start and at each step; True: tqdm, as it looks
        in a terminal or a notebook.
    total, already : int
        Steps, and those that were done before.
    label : str
        What tqdm calls it.

    Raises
    ------
    TypeError
        If progress is something else.
    ImportError
        If progress is True and tqdm is not installed.
    """

    def __init__(
        self, progress: Progress, total: int, already: int = 0, label: str = "quantlab"
    ) -> None:
        self.total, self.done, self.already = total, already, already
        self.bar: Any = None
        if progress is True:
            self.bar = _bar(total, already, label)
        elif not (progress is None or progress is False or callable(progress)):
            raise TypeError(
                "progress must be a callable (done, total, seconds left), True or None; "
                f"got {progress!r}"
            )
        self.report = progress if callable(progress) else None
        self.start = time.monotonic()
        self._tell()

    def add(self, steps: int = 1) -> None:
        self.done = min(self.done + steps, self.total)
        if self.bar is not None:
            self.bar.update(self.done - self.bar.n)
        self._tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self.done < self.total:
            self.add(self.total - self.done)  # fewer steps than were foreseen
        if self.bar is not None:
            self.bar.close()

    def _tell(self) -> None:
        if self.report:
            own = self.done - self.already
            pace = (time.monotonic() - self.start) / own if own else None
            self.report(
                self.done, self.total, None if pace is None else pace * (self.total - self.done)
            )


def _bar(total: int, already: int, label: str) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError(
            "progress=True needs tqdm (pip install tqdm); a callable (done, total, seconds left) "
            "needs nothing"
        ) from None
    return tqdm(total=total, initial=already, desc=label, leave=False)


class ProgressLine:
    """One line that tells the share done and the time left: a callable for `progress`.

    Parameters
    ----------
    label : str
        What runs.
    stream : file, optional
        Default: standard error. On a terminal the line is redrawn; elsewhere a new one is written
        every ten seconds, and at the end.
    """

    def __init__(self, label: str = "sweep", stream: TextIO | None = None) -> None:
        self.label = label
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.last = -float("inf")

    def __call__(self, done: int, total: int, seconds_left: float | None) -> None:
        now, finished = time.monotonic(), done == total
        if not finished and now - self.last < (0.1 if self.live else 10.0):
            return
        self.last = now
        filled = 24 * done // total
        left = "--:--" if seconds_left is None else _clock(seconds_left)
        line = f"{self.label} [{'#' * filled:<24}] {done}/{total}  {left} left"
        end = "\n" if finished or not self.live else ""
        print(f"\r{line}" if self.live else line, end=end, file=self.stream, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
