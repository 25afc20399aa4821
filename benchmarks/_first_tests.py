"""pytest -p benchmarks._first_tests: a time limit each, and each outcome to a file as it comes.

Tests that the file names are not run again, so that a run goes on where it was cut off, or after
the test that ended it. python -m benchmarks._first_tests FILE: how many passed, and which did not.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from benchmarks._cuda_log import DEVICE_LOST, append, device_is_lost, lines

#: Run first: what the benchmark's first rows rely on.
FIRST = ("route", "tile", "fused", "fp8", "groups", "feedback")
# seconds after its limit, in which a test can still end by an exception
_GRACE = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="file of outcomes, a line of JSON each")
    parser.addoption("--limit", type=float, default=60.0, help="seconds of a test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    known = {line.get("test") for line in lines(config.getoption("outcomes"))}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in known])
    items[:] = [item for item in items if item.nodeid not in known]
    items.sort(key=lambda item: not any(word in item.name for word in FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test is named before it starts; one that hangs beyond exceptions ends the process."""
    append(item.config.getoption("outcomes"), {"test": item.nodeid, "outcome": "started"})
    faulthandler.dump_traceback_later(item.config.getoption("limit") + _GRACE, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    seconds = item.config.getoption("limit")

    def stop(*_: Any) -> None:
        raise TimeoutError(f"took over {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    report = yield
    if report.when == "call" or report.outcome != "passed":
        line = {"test": item.nodeid, "outcome": report.outcome, "seconds": round(call.duration, 2)}
        if report.failed:
            said = str(call.excinfo.value).strip().splitlines() or [""]
            line["error"] = f"{call.excinfo.typename}: {said[0][:120]}"
        append(item.config.getoption("outcomes"), line)
        if report.failed and device_is_lost():
            os._exit(DEVICE_LOST)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.shouldstop:
        append(session.config.getoption("outcomes"), {"finished": True})


def summary(path: Path) -> str:
    last = {line["test"]: line for line in lines(path) if "test" in line}
    counts: dict[str, int] = {}
    for line in last.values():
        counts[line["outcome"]] = counts.get(line["outcome"], 0) + 1
    said = [", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))]
    for name, line in last.items():
        if line["outcome"] == "failed":
            said.append(f"failed: {name}: {line['error']}")
        elif line["outcome"] == "started":
            said.append(f"never ended: {name}")
    return "\n".join(said)


if __name__ == "__main__":
    print(summary(Path(sys.argv[1])))
