"""A number on the page belongs to its setting: also when the server dies, freezes or is cut off."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from quantlab.dashboard.state import PAGES
from tests.browser.conftest import RESTLESS, ROOT, _wait_until_served
from tests.browser.test_page import Dashboard

STALE = "getComputedStyle(document.documentElement).getPropertyValue('--stale')"
WORDS = "getComputedStyle(document.documentElement).getPropertyValue('--stale-words')"
_IDLE = "window.Bokeh?.documents?.length && Bokeh.documents[0].is_idle"


class Server:
    """A dashboard that can be killed, frozen and started again at one address."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://localhost:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "quantlab.cli", "dashboard", "--port", str(self.port),
                   "--spare=2"]  # fmt: skip
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        _wait_until_served(self.url, self.process)

    def send(self, sent: signal.Signals) -> None:
        self.process.send_signal(sent)
        if sent == signal.SIGKILL:
            self.process.wait()


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    made = Server()
    made.start()
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    """It runs, whatever the test before has done to it."""
    if one_server.process.poll() is not None:
        one_server.start()
    yield one_server
    one_server.send(signal.SIGCONT)


def opened(page: Page, server: Server, query: str) -> Page:
    page.set_default_timeout(120_000)
    page.add_init_script(RESTLESS)
    page.clock.install()  # it goes as ever, and can be set forward
    page.goto(f"{server.url}/{query}")
    page.wait_for_function(_IDLE)
    fresh(page)
    return page


def fresh(page: Page) -> None:
    page.wait_for_function(f"{STALE} === '0'")


def readout(page: Page) -> str:
    """rho of the table of measured errors."""
    shown = page.wait_for_function(
        'Bokeh.documents[0].get_model_by_name(\'readout\').text.match(/data-rho="([^"]*)"/)?.[1]'
    )
    return shown.json_value()


def test_killed_and_started_again(page: Page, server: Server) -> None:
    opened(page, server, "?rho=0.3&k_x=8&seed=3&theme=dark&tour=2")
    server.send(signal.SIGKILL)
    banner = page.locator("#connection")
    expect(banner).to_contain_text("The connection to the server is lost")
    slider = page.get_by_role("slider", name=re.compile("Correlation"))
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    assert page.evaluate(STALE) == "1"
    assert "for ρ = 0.3, K = 8, k = 256, seed 3" in page.evaluate(WORDS)
    # what the browser draws follows; what needs the server is off
    drawn = "Bokeh.documents[0].get_model_by_name('branches').data.rho[0]"
    page.wait_for_function(f"Math.abs({drawn} - 0.34) < 1e-9")
    assert (
        page.get_by_role("button", name="Share", include_hidden=True).get_attribute("inert") == ""
    )
    server.start()
    page.clock.fast_forward(5000)  # it knocks that often
    expect(banner).to_contain_text("Connected again, with the same setting")
    page.wait_for_function(_IDLE)
    fresh(page)
    assert readout(page) == "0.34"
    for part in ("rho=0.34", "k_x=8", "seed=3", "theme=dark", "tour=2"):
        assert part in page.url
    page.clock.fast_forward(10_000)
    expect(banner).to_be_hidden()


def test_frozen_and_thawed(page: Page, server: Server) -> None:
    opened(page, server, "?rho=0.5")
    server.send(signal.SIGSTOP)
    slider = page.get_by_role("slider", name=re.compile("Correlation"))
    slider.focus()
    slider.press("ArrowRight")
    assert page.evaluate(STALE) == "1", "at once, whether it is known that the server is away"
    assert "ρ = 0.5," in page.evaluate(WORDS)
    banner = page.locator("#connection")
    expect(banner).to_contain_text("The server does not answer")
    server.send(signal.SIGCONT)
    page.clock.fast_forward(5000)
    fresh(page)
    expect(banner).to_be_hidden()
    assert readout(page) == "0.51"
    share = page.get_by_role("button", name="Share")
    assert share.get_attribute("inert") is None


def test_a_cut_websocket(page: Page, server: Server) -> None:
    lines: list[WebSocketRoute] = []

    def between(line: WebSocketRoute) -> None:
        line.connect_to_server()
        lines.append(line)

    page.route_web_socket(re.compile("/ws"), between)
    opened(page, server, "?page=data&rho=0.2")
    page.clock.set_fixed_time(datetime.now())  # four loads may take a minute, and would not count
    assert len(lines) == 1
    lines[0].close()
    banner = page.locator("#connection")
    expect(banner).to_contain_text("Connected again")
    expect(banner).to_contain_text("Files that were uploaded must be chosen again")
    assert len(lines) == 2
    assert "page=data" in page.url
    for _ in range(2):  # whatever cuts it again and again is not asked for ever
        page.wait_for_function(_IDLE)
        with page.expect_event("load"):
            lines[-1].close()
        expect(banner).to_contain_text("Connected again")
    page.wait_for_function(_IDLE)
    lines[-1].close()
    expect(banner).to_contain_text("cut again and again")
    assert len(lines) == 4


# these have no slider of their own, and nothing to shake
@pytest.mark.parametrize(
    "name", [name for name in PAGES if name not in ("data", "speed", "limits")]
)
def test_shaken_controls_leave_no_stale_number_unmarked(dashboard: Dashboard, name: str) -> None:
    """While answers are on their way the page is marked, and it ends with its own numbers."""
    page = dashboard(f"?page={name}&rho=0.4")
    fresh(page)
    belongs = "Bokeh.documents[0].get_model_by_name('belongs_to').data"
    honest = (
        "(() => { const s = Bokeh.documents[0].get_model_by_name('setting')?.data, b = "
        + belongs
        + "; return !s || "
        + STALE
        + " === '1' || ['rho', 'k_x', 'k_y', 'inner_dim'].every("
        "(n) => Math.abs(s[n][0] - b[n][0]) < 1e-6); })()"
    )
    sliders = page.get_by_role("slider").filter(visible=True)
    keys = ("ArrowRight", "ArrowLeft", "ArrowRight", "PageUp")
    for round_, key in enumerate(keys * 3):
        slider = sliders.nth(round_ % sliders.count())
        if slider.is_enabled():
            slider.press(key)
            assert page.evaluate(honest)
    fresh(page)
    moved = page.evaluate(belongs)
    assert moved["fresh"] == [True]
    words = moved["words"][0]
    assert ("layer" in words) == (name == "attention")


def test_a_control_that_is_no_slider_marks_too(dashboard: Dashboard) -> None:
    page = dashboard("?rho=0.6")
    fresh(page)
    page.evaluate(
        "window.marked = []; new MutationObserver(() => window.marked.push(" + STALE + "))"
        ".observe(document.documentElement, {attributes: true, attributeFilter: ['style']})"
    )
    page.get_by_role("radio", name="With feedback").or_(
        page.get_by_role("button", name="With feedback")
    ).first.click()
    page.wait_for_function("Bokeh.documents[0].get_model_by_name('belongs_to').data.words[0]"
                           ".includes('with feedback')")  # fmt: skip
    fresh(page)
    assert "1" in page.evaluate("window.marked")
