"""The server from outside: who gets in, what it tells, and that every process of it measures."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.cookiejar import CookieJar
from pathlib import Path
from unittest.mock import AsyncMock, Mock
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen

import pytest
from bokeh.application.application import Application as ServedApplication
from bokeh.application.handlers import FunctionHandler
from bokeh.client import ClientSession, pull_session
from bokeh.document import Document
from bokeh.models import Div
from bokeh.settings import settings
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPHeaders
from tornado.web import Application
from tornado.websocket import websocket_connect

from quantlab.dashboard.server import patience
from quantlab.dashboard.server.arrivals import Arrivals, Turn
from quantlab.dashboard.server.headers import everywhere
from quantlab.dashboard.server.memory import Collector
from quantlab.dashboard.server.ready import ERRORS, PAGE, Readiness, Ready
from quantlab.dashboard.server.serving import _trust_pages, browser_origins, is_loopback, url
from quantlab.notebook import proxied_server
from tests.dashboard.waiting import LONG

ROOT = Path(__file__).parents[2]
Serve = Callable[..., tuple[str, subprocess.Popen[str]]]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Start `quantlab dashboard` with options; all end with the module, without a traceback."""
    servers: list[subprocess.Popen[str]] = []

    def start(*options: str, health: str = "healthz", **environment: str):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "quantlab.cli", "dashboard", f"--port={port}", "--spare=0",
                   *options]  # fmt: skip
        server = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        servers.append(server)
        address = f"http://localhost:{port}/"
        for _ in range(600):
            try:
                urlopen(address + health, timeout=60).close()
                return address, server
            except OSError:
                assert server.poll() is None, server.communicate()[0]
                time.sleep(0.1)
        raise TimeoutError(address)

    yield start
    for server in servers:
        server.terminate()
        assert "Traceback" not in server.communicate(timeout=60)[0]


@pytest.fixture(scope="module")
def open_server(serve: Serve) -> tuple[str, subprocess.Popen[str]]:
    return serve(
        "--processes=2", "--prefix=/class/q", "--admin", "--origin=https://stats.example.org",
        "--frame-ancestors=https://lecture.example.org",
        "--frame-ancestors=https://*.example.com:8443",
        health="class/q/healthz",
    )  # fmt: skip


@pytest.fixture(scope="module")
def guarded(serve: Serve) -> str:
    return serve("--admin", QUANTLAB_PASSWORD="hoelder")[0]


def get(address: str) -> str:
    with urlopen(address, timeout=30) as answer:
        return answer.read().decode()


def answers(address: str) -> bool:
    try:
        return get(address) != ""
    except OSError:
        return False


def token(page: str) -> str:
    """The session's token in a served page."""
    found = re.search(r'"token":"([^"]+)"', page)
    assert found is not None
    return found[1]


def connect(address: str, origin: str) -> str:
    """Open a page's websocket as a browser from `origin` does; returns the first message's type."""

    async def talk() -> str:
        request = HTTPRequest(
            address.replace("http", "ws") + "ws",
            headers={
                "Origin": origin,
                "Sec-WebSocket-Protocol": f"bokeh, {token(get(address))}",
            },
        )
        socket = await websocket_connect(request, subprotocols=None)
        first = await socket.read_message()
        socket.close()
        return str(first)

    return asyncio.run(talk())


def test_alive(open_server) -> None:
    address, _ = open_server
    assert get(address + "class/q/healthz") == "ok\n"


def test_admin_counts_without_a_request_to_anybody(open_server) -> None:
    page = get(open_server[0] + "class/q/admin")
    assert "Open sessions" in page
    assert "http:" not in page
    assert "https:" not in page


@pytest.mark.parametrize("own", [True, False])
def test_who_may_open_the_websocket(open_server, own: bool) -> None:
    address = open_server[0]
    origins = [address.rstrip("/"), address.rstrip("/").replace("localhost", "127.0.0.1")]
    origins += ["https://stats.example.org"]
    if own:
        for origin in origins:
            assert "ACK" in connect(address + "class/q/", origin)
    else:
        with pytest.raises(HTTPClientError, match="403"):
            connect(address + "class/q/", "https://evil.example.org")


def measured(session: ClientSession) -> bool:
    return "<table" in session.document.get_model_by_name("readout").text


def test_every_process_measures(open_server) -> None:
    """Threads do not survive a fork: a pool started before it would measure nothing."""
    seen = 0
    for seed in range(3):  # measured anew, whichever process it is
        session = pull_session(
            url=open_server[0] + "class/q/", arguments={"seed": str(seed + 1), "inner_dim": "16"}
        )
        deadline = time.monotonic() + LONG
        # Bokeh's client drops what the server sends while it waits: the document is asked for anew
        while not measured(session) and time.monotonic() < deadline:
            session.pull()
            time.sleep(0.2)
        seen += measured(session)
        session.close()
    assert seen == 3


@pytest.mark.parametrize("path", ["", "admin"])
def test_nothing_without_the_password(guarded: str, path: str) -> None:
    with urlopen(guarded + path, timeout=30) as answer:
        assert "/login" in answer.url
        page = answer.read().decode()
    assert 'type="password"' in page
    assert "http" not in page
    assert "Open sessions" not in page


def test_no_websocket_without_the_password(guarded: str) -> None:
    with pytest.raises(HTTPClientError, match="403"):
        asyncio.run(_bare_websocket(guarded))


async def _bare_websocket(address: str) -> None:
    headers = {"Origin": address.rstrip("/"), "Sec-WebSocket-Protocol": "bokeh, anything"}
    await websocket_connect(HTTPRequest(address.replace("http", "ws") + "ws", headers=headers))


def test_the_password_opens_the_page_asked_for(guarded: str) -> None:
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    browser.open(guarded + "?rho=0.3", timeout=30).close()
    for password, opened in (("minkowski", False), ("hoelder", True)):
        form = urlencode({"username": "class", "password": password}).encode()
        with browser.open(Request(guarded + "login", data=form), timeout=30) as answer:
            page = answer.read().decode()
            assert (token(page) != "") if opened else ("This is not the password" in page)
            assert ("rho=0.3" in answer.url) == opened
    assert "Open sessions" in browser.open(guarded + "admin", timeout=30).read().decode()


def try_password(address: str, password: str, visitor: str) -> tuple[float, str]:
    """Seconds until the answer, and the page, for `visitor` behind a proxy on this machine."""
    form = urlencode({"username": "class", "password": password}).encode()
    # what a visitor writes into the header stands before what the proxy has seen
    forwarded = {"X-Forwarded-For": f"192.0.2.77, {visitor}"}
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    browser.open(address + "login", timeout=30).close()
    start = time.perf_counter()
    with browser.open(Request(address + "login", form, forwarded), timeout=60) as answer:
        return time.perf_counter() - start, answer.read().decode()


def test_wrong_passwords_wait_for_their_own_address_alone(serve: Serve) -> None:
    address = serve("--prefix=/q", health="q/healthz", QUANTLAB_PASSWORD="hoelder")[0] + "q/"
    start = time.perf_counter()
    for i in range(patience.FREE):
        assert "This is not the password" in try_password(address, f"guess {i}", "198.51.100.1")[1]
    assert time.perf_counter() - start < patience.FIRST, "a few mistakes cost nothing"
    with ThreadPoolExecutor() as pool:
        guesses = [pool.submit(try_password, address, "x", "198.51.100.1") for _ in range(2)]
        time.sleep(0.2)
        start = time.perf_counter()
        assert get(address + "healthz") == "ok\n"
        assert "This is not" in try_password(address, "minkowski", "198.51.100.2")[1]
        assert time.perf_counter() - start < patience.FIRST / 2, "somebody else waited"
        waited = sorted(guess.result()[0] for guess in guesses)
    assert waited[0] > 0.9 * patience.FIRST
    assert waited[1] > 2.9 * patience.FIRST, "two at once wait one after the other"
    seconds, page = try_password(address, "hoelder", "198.51.100.1")
    assert token(page)
    assert seconds > 3.9 * patience.FIRST, "the wait tells which password is right"
    assert try_password(address, "x", "198.51.100.1")[0] < patience.FIRST, "not forgiven"


def test_what_is_remembered_of_wrong_passwords_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(patience, "ADDRESSES", 3)
    monkeypatch.setattr(patience, "LINE", 2)
    assert [patience.pause(f) for f in (4, 5, 6, 9, 10, 9999)] == [0, 1, 2, 16, 30, 30]

    async def main() -> None:
        kept = patience.Patience()
        for i in range(5):
            assert not await kept.admits(f"{i}", lambda: False)
        assert len(kept) == 3
        assert await kept.admits("4", lambda: True)
        assert len(kept) == 2, "a right one leaves nothing behind"
        for _ in range(patience.FREE - 1):
            await kept.admits("3", lambda: False)
        waiting = [asyncio.create_task(kept.admits("3", lambda: True)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(patience.TooMany):
            await kept.admits("3", lambda: True)
        assert not await kept.admits("9", lambda: pytest.fail("looked at"), lambda: True)
        for task in waiting:
            task.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("127.0.0.1", "192.0.2.77, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "rubbish", "127.0.0.1"),
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),  # no proxy of this machine's
        ("::1", "2001:db8::1:2:3:4", "2001:db8::/64"),
        ("::ffff:203.0.113.5", None, "203.0.113.5"),
    ],
)
def test_whose_address_it_is(peer: str, forwarded: str | None, expected: str) -> None:
    headers = HTTPHeaders({"X-Forwarded-For": forwarded} if forwarded else {})
    assert patience.visitor(Mock(remote_ip=peer, headers=headers)) == expected


@pytest.mark.parametrize("prefix", ["", "class/q/"])
def test_ready_after_a_while_without_a_password(guarded, open_server, prefix: str) -> None:
    address = open_server[0] + prefix if prefix else guarded
    deadline = time.monotonic() + LONG
    while (found := status(address + "readyz"))[0] != 200:
        assert found[0] == 503
        assert found[1].startswith("not before")
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found[1] == "ready\n"


def status(address: str) -> tuple[int, str]:
    try:
        return 200, get(address)
    except HTTPError as error:
        return error.code, error.read().decode()


def test_not_ready_before_a_page_and_the_first_errors_are_made() -> None:
    async def asked(readiness: Readiness) -> tuple[int, str]:
        server = Application([("/readyz", Ready, {"readiness": readiness})]).listen(0, "localhost")
        port = next(iter(server._sockets.values())).getsockname()[1]
        try:
            return await asyncio.to_thread(status, f"http://localhost:{port}/readyz")
        finally:
            server.stop()

    async def main() -> None:
        readiness, pages = Readiness(), Mock(create_session_if_needed=AsyncMock())
        assert await asked(readiness) == (503, f"not before {PAGE} and {ERRORS}\n")
        readiness.done(ERRORS)
        pages.create_session_if_needed.side_effect = ValueError("no page")
        await readiness.make_page(pages)
        assert await asked(readiness) == (503, f"not before {PAGE}\n")
        pages.create_session_if_needed.side_effect = None
        await readiness.make_page(pages)
        assert await asked(readiness) == (200, "ready\n")

    asyncio.run(main())


def headers(address: str, path: str, **sent: str) -> Message:
    """Headers of the answer, an error's too."""
    try:
        with urlopen(Request(address + path, headers=sent), timeout=30) as answer:
            return answer.headers
    except HTTPError as error:
        return error.headers


#: A page, the login, static files of three origins, an error, a websocket that is refused.
_PATHS = (
    "", "login", "logout", "admin", "healthz", "readyz", "static/js/bokeh.min.js", "favicon.ico",
    "static/extensions/panel/panel.min.js", "no-such-page", "autoload.js", "metadata", "ws",
)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ([], "frame-ancestors 'self'"),
        (["self", "https://a"], "frame-ancestors 'self' https://a"),
        (["none"], "frame-ancestors 'none'"),
        (["https://a", "*"], "frame-ancestors *"),
    ],
)
def test_who_may_show_the_pages_in_a_frame(given: list[str], policy: str) -> None:
    _, found, _ = everywhere(given)(Mock()).transform_first_chunk(200, HTTPHeaders(), b"", True)
    assert found["Content-Security-Policy"] == policy


@pytest.mark.parametrize("path", _PATHS)
def test_headers_of_every_answer(guarded: str, path: str) -> None:
    found = headers(guarded, path)
    assert found.get_all("X-Content-Type-Options") == ["nosniff"]
    assert found.get_all("Content-Security-Policy") == ["frame-ancestors 'self'"]
    assert "Server" not in found


def test_headers_of_an_unchanged_file(open_server) -> None:
    path = "class/q/static/js/bokeh.min.js"
    etag = headers(open_server[0], path)["Etag"]
    assert headers(open_server[0], path, **{"If-None-Match": etag}).get_all("Server") is None


def test_headers_of_the_page_and_its_websocket(open_server) -> None:
    address = open_server[0].removeprefix("http://").rstrip("/")
    page = get(open_server[0] + "class/q/")
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(
            f"GET /class/q/ws HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAA\r\n"
            f"Sec-WebSocket-Protocol: bokeh, {token(page)}\r\n\r\n".encode()
        )
        answer = line.recv(65536).decode(errors="replace").partition("\r\n\r\n")[0]
    assert answer.startswith("HTTP/1.1 101")
    assert "X-Content-Type-Options: nosniff" in answer
    assert "Server:" not in answer
    found = headers(open_server[0], "class/q/")
    expected = "frame-ancestors 'self' https://lecture.example.org https://*.example.com:8443"
    assert found["Content-Security-Policy"] == expected


def test_healthz_asks_no_password(guarded: str) -> None:
    assert get(guarded + "healthz") == "ok\n"


def test_no_admin_page_by_default(serve: Serve) -> None:
    address, server = serve()
    with pytest.raises(HTTPError, match="404"):
        get(address + "admin")
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=60) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="one process only")
def test_all_processes_end_with_the_first(serve: Serve) -> None:
    address, server = serve("--processes=2")
    server.terminate()
    server.wait(timeout=60)
    deadline = time.monotonic() + LONG
    while answers(address + "healthz"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_names_of_this_machine() -> None:
    assert browser_origins("localhost", 80) == ["localhost:80", "127.0.0.1:80"]
    assert "10.1.2.3:80" in browser_origins("10.1.2.3", 80)
    assert f"{socket.gethostname().lower()}:80" in browser_origins("0.0.0.0", 80)
    assert is_loopback("localhost")
    assert is_loopback("127.0.0.9")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("10.1.2.3")


def test_address_to_type() -> None:
    assert url("localhost", 5006) == "http://localhost:5006"
    assert url("0.0.0.0", 80, "q") == "http://localhost:80/q/"
    assert url("::1", 80) == "http://[::1]:80"


def test_behind_jupyters_proxy(serve: Serve) -> None:
    command = [part.format(port=0, base_url="/user/alice/") for part in proxied_server()["command"]]
    assert command[:6] == [sys.executable, "-m", "quantlab.cli", "dashboard", "--port", "0"]
    address, _ = serve(*command[6:], health="user/alice/quantlab/healthz")
    opened = connect(address + "user/alice/quantlab/", "https://hub.example.org")
    assert "ACK" in opened


def test_closed_sessions_are_collected_and_open_ones_are_set_aside() -> None:
    class Page:
        def __init__(self) -> None:
            self.itself = self  # what reference counts alone do not free

    present = [f"{i}" for i in range(12)]
    pages = {name: Page() for name in present}
    gone = {name: weakref.ref(page) for name, page in pages.items()}
    collector = Collector(lambda: list(present))
    try:
        collector.look()
        assert gc.get_freeze_count() > 0
        page = pages["11"]
        assert not any(found is page for found in gc.get_objects()), "it is walked through again"
        for name in present[:5]:
            present.remove(name)
            del pages[name]
        collector.look()
        assert gone["0"]() is not None, "five of twelve can wait"
        for name in present[:5]:
            present.remove(name)
            del pages[name]
        collector.look()
        assert [name for name in gone if gone[name]() is not None] == ["10", "11"]
    finally:
        gc.unfreeze()


def test_pages_are_built_unchecked_and_all_else_is_checked() -> None:
    def page(document: Document) -> None:
        document.add_root(Div(width="wide"))

    application = ServedApplication(FunctionHandler(page))
    try:
        _trust_pages(application)
        assert settings.perform_document_validation() is False
    finally:
        settings.perform_document_validation.unset_value()
    application.initialize_document(document := Document())
    assert document.roots[0].width == "wide"
    with pytest.raises(ValueError, match="wide"):
        Div(width="wide")


def test_a_page_is_built_only_when_those_under_way_have_arrived() -> None:
    order: list[str] = []

    async def main() -> None:
        turn = Turn()
        arrivals = Arrivals(turn)

        async def visit(who: int) -> None:
            if who:  # as one who is given no page that was made ahead, and comes again
                await turn()
            await arrivals.on_session_created(Mock())
            document = Document()
            arrivals.modify_document(document)
            order.append(f"{who} built")
            await asyncio.sleep(0.3)
            order.append(f"{who} sent")
            document.to_json()

        await asyncio.gather(*(visit(who) for who in range(6)))

    asyncio.run(main())
    under_way = 0
    for step in order:
        under_way += 1 if step.endswith("built") else -1
        assert under_way <= 3, order


def test_who_has_a_page_comes_before_the_next_is_built() -> None:
    order: list[str] = []

    async def main() -> None:
        arrivals = Arrivals(Turn())

        async def visit(who: int) -> None:
            await arrivals.on_session_created(Mock())
            order.append(f"{who} built")
            time.sleep(0.05)
            for _ in range(8):  # what a page takes to reach its browser
                await asyncio.sleep(0)
            order.append(f"{who} sent")

        await asyncio.gather(*(visit(who) for who in range(4)))

    asyncio.run(main())
    assert order == [f"{who} {step}" for who in range(4) for step in ("built", "sent")]
