"""Waiting for what a page does in the background."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Only what hangs takes so long: a busy machine must not fail a test.
LONG = 300.0


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)
