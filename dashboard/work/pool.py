"""A bounded pool of threads shared by all sessions: the most urgent job runs first."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable

Job = Callable[[], object]
_LOG = logging.getLogger(__name__)


class Pool:
    """A few daemon threads; a job runs when it is due, lower priorities first, then in order.

    Parameters
    ----------
    workers : int
        Threads. The measured kernels release the GIL, and so two keep two cores busy.
    urgent : int
        How many of them run jobs of priority 0 alone, which then wait for no longer job.
    niceness : int
        By how much the threads' priority is below the process's; on Linux.
    """

    def __init__(self, workers: int = 2, urgent: int = 0, niceness: int = 0) -> None:
        self._ready: list[tuple[int, int, Job]] = []
        self._waiting: list[tuple[float, int, int, Job]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._niceness = niceness
        self._threads = [
            threading.Thread(
                target=self._work, args=(i < urgent,), name=f"measure-{i}", daemon=True
            )
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job, priority: int = 0, delay: float = 0.0) -> None:
        """Run `job` once, `delay` seconds from now at the earliest."""
        with self._changed:
            due = time.monotonic() + delay
            heapq.heappush(self._waiting, (due, next(self._order), priority, job))
            self._changed.notify_all()

    def close(self) -> None:
        """Let the running jobs end and drop the others."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, urgent: bool) -> None:
        if sys.platform == "linux":  # elsewhere it is the whole process's
            os.nice(self._niceness)
        while (job := self._take(urgent)) is not None:
            try:
                job()
            except Exception:  # a thread outlives its jobs
                _LOG.exception("a job failed")

    def _take(self, urgent: bool) -> Job | None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                while self._waiting and self._waiting[0][0] <= now:
                    _, order, priority, job = heapq.heappop(self._waiting)
                    heapq.heappush(self._ready, (priority, order, job))
                if self._ready and not (urgent and self._ready[0][0] > 0):
                    if len(self._ready) > 1 or self._waiting:
                        self._changed.notify_all()  # another keeps the time, or takes the next job
                    return heapq.heappop(self._ready)[2]
                self._changed.wait(self._waiting[0][0] - now if self._waiting else None)
            return None
