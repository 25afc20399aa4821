"""A few threads for kernels that release the GIL; safe from any number of threads at once.

Numba's own parallel loops are not: its default layer ends the process when two threads enter it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Task = TypeVar("Task")


def count() -> int:
    """Threads that one call may use: NUMBA_NUM_THREADS, by default the processors at hand."""
    from numba import config

    return int(config.NUMBA_NUM_THREADS)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, count() - 1), thread_name_prefix="quantlab")


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def for_each(function: Callable[[Task], object], tasks: Sequence[Task]) -> None:
    """Call `function` on every task, on up to `count()` threads, the caller's among them."""
    helpers = min(count(), len(tasks)) - 1
    if helpers < 1:
        for task in tasks:
            function(task)
        return
    turns = itertools.count()  # next() is atomic: whoever is free takes the next task

    def work() -> None:
        while (turn := next(turns)) < len(tasks):
            function(tasks[turn])

    futures = [_pool().submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        for future in futures:
            # a helper that has not started finds no task left: it need not be waited for
            if not future.cancel():
                future.result()


def split(size: int, parts: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Cut range(size) into at most `parts` ranges, each starting at a multiple of `multiple`."""
    blocks = -(-size // multiple)
    step = -(-blocks // max(1, min(parts, blocks))) * multiple
    return [(start, min(start + step, size)) for start in range(0, size, step)]
