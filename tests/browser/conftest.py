"""A served dashboard, and a Chromium that fails the test on any error or outside request."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import FLAGS, MISSING, find

ROOT = Path(__file__).parents[2]
# only what hangs takes so long: a busy machine must not fail a test
expect.set_options(timeout=120_000)
_IDLE = "window.Bokeh?.documents?.length && Bokeh.documents[0].is_idle"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    path = find()
    assert path is not None, MISSING
    return {**browser_type_launch_args, "executable_path": path, "args": list(FLAGS)}


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Address of a dashboard that the command line serves."""
    with served("-m", "quantlab.cli") as url:
        yield url


@contextmanager
def served(*program: str) -> Iterator[str]:
    """Address of the dashboard that a Python program serves when it is given the command line."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *program, "dashboard", "--port", str(port), "--spare=3"]
    log = subprocess.PIPE
    server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, text=True)
    url = f"http://localhost:{port}"
    try:
        _wait_until_served(url, server)
        yield url
        assert server.poll() is None, "the server has ended"
    finally:
        server.terminate()
        output = server.communicate(timeout=60)[0]
    assert "Traceback" not in output, output


def _wait_until_served(url: str, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise AssertionError(f"the server has ended:\n{server.communicate()[0]}")
        try:
            urlopen(url, timeout=30).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"nothing is served at {url} after 120 s")


#: While a hand rests all tabs' pages are built, which costs as much as the page itself: this one
#: moves until `hand` is stopped.
RESTLESS = "window.hand = setInterval(() => document.dispatchEvent(new Event('wheel')), 1000)"
#: What the file input writes to the console when it refuses a file; the page tells it too.
_REFUSED = "Upload error: Error: File"


@pytest.fixture
def dashboard(page: Page, address: str) -> Iterator[Callable[..., Page]]:
    """Open the dashboard; a console error or a request that leaves the machine fails the test."""
    complaints: list[str] = []

    def listen(message: Any) -> None:
        if message.type == "error" and not message.text.startswith(_REFUSED):
            complaints.append(f"console: {message.text}")

    def request(sent: Any) -> None:
        parts = urlsplit(sent.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "localhost":
            complaints.append(f"request to {sent.url}")

    page.set_default_timeout(120_000)
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(f"page: {error}"))
    page.on("request", request)
    # on a busy machine a server that answers late is not away, and its controls stay on
    page.add_init_script("AbortSignal.timeout = () => new AbortController().signal")
    page.add_init_script(RESTLESS)

    def load(query: str = "", width: int = 1280, height: int = 800) -> Page:
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{address}/{query}")
        page.wait_for_function(_IDLE, timeout=120_000)
        if "page=" not in query:
            page.wait_for_function(
                "Bokeh.documents[0].get_model_by_name('curve').data.u.length > 0", timeout=120_000
            )
        return page

    yield load
    assert complaints == []
