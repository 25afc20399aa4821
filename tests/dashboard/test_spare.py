"""Pages made before anybody comes: what is sent is what the page is, and each has one visitor."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock, Mock
from urllib.error import HTTPError
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

import pytest
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from bokeh.embed.bundle import extension_dirs
from bokeh.resources import Resources
from bokeh.server.contexts import ApplicationContext
from bokeh.server.session import ServerSession
from bokeh.util.token import generate_jwt_token, generate_session_id
from panel.io.application import build_applications
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.ioloop import IOLoop
from tornado.web import Application

from quantlab.dashboard.app import _SESSIONS, TITLE, _document, arrive
from quantlab.dashboard.server import spare
from quantlab.dashboard.server.arrivals import Turn
from quantlab.dashboard.server.spare import SparePages, affordable
from quantlab.dashboard.server.static import Extensions, Libraries


def with_pages(most: int, use: Callable[[ApplicationContext, SparePages], Awaitable[None]]) -> None:
    """Run `use` on an application of which `most` pages are ready."""

    async def run() -> None:
        application = build_applications({"/": _document}, title=TITLE)["/"]
        pages = ApplicationContext(application, io_loop=IOLoop.current(), url="/")
        ready = SparePages(
            pages, most, arrive, lambda: Resources(mode="server", root_url="/"), Turn()
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ready, "_idle", AsyncMock())
            for _ in range(most):
                await ready._add()
        await use(pages, ready)

    asyncio.run(run())


async def visit(pages: ApplicationContext, query: str = "") -> ServerSession:
    name = generate_session_id()
    arguments = {k: [v[0].encode()] for k, v in parse_qs(query, keep_blank_values=True).items()}
    token = generate_jwt_token(
        name, extra_payload={"headers": {"Host": "here"}, "cookies": {}, "arguments": arguments}
    )
    request = HTTPServerRequest(
        start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=HTTPHeaders({"Host": "here"})
    )
    session = await pages.create_session_if_needed(name, request, token)
    assert session.id == name
    return session


def content(document: Document) -> Any:
    """What the document sends, models by name wherever they are defined, buffers in place."""
    made = document.to_json()
    buffers = {buffer.id: bytes(buffer.data) for buffer in made.buffers}
    models: dict[str, Any] = {}

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            if set(part) == {"id"} and part["id"] in buffers:
                return buffers[part["id"]].hex()
            held = {key: plain(value) for key, value in part.items()}
            if part.get("type") == "object" and "id" in part:
                models[part["id"]] = held
                return {"id": part["id"]}
            return held
        return [plain(child) for child in part] if isinstance(part, list) else part

    rest = plain(json.loads(serialize_json(made.content)))
    return rest, models


@pytest.mark.parametrize(
    "query",
    [
        "",
        "rho=0.5&seed=7",
        "k_x=8&k_y=64&linked=0&operand=y",
        "law=student_t&nu=5",
        "source=attention&layer=3",
        "source=gallery&problem=digits",
        "tour=2&rho=0.9",
        "page=error&inner_dim=1024",
        "page=nowhere&rho=7",
        "hide=tabs,tools&gain=1",
    ],
)  # fmt: skip
def test_what_is_sent_is_what_the_page_is(query: str) -> None:
    async def use(pages: ApplicationContext, ready: SparePages) -> None:
        session = await visit(pages, query)
        document = session.document
        await asyncio.sleep(0.05)  # what the link started reaches the page meanwhile

        async def look() -> None:
            # whatever has an attribute at its default may say so or leave it out
            sent_rest, sent = content(document)
            whole_rest, whole = content(document)
            assert sent.keys() == whole.keys()
            for name, model in whole.items():
                ours, theirs = sent[name].get("attributes", {}), model.get("attributes", {})
                assert {k: v for k, v in ours.items() if theirs.get(k) != v} == {}, name
                assert theirs.keys() - ours.keys() == set(), name
            assert sent_rest == whole_rest

        await session.with_document_locked(look)

    with_pages(1, use)


def test_the_table_of_sessions_keeps_none_of_them_alive() -> None:
    session: Any = Mock()
    _SESSIONS[1] = session
    assert _SESSIONS[1] is session
    del session
    gc.collect()
    assert 1 not in _SESSIONS  # a session holds its document: else both would stay for ever


def test_who_left_is_not_waited_for() -> None:
    turn, document = Turn(), Document()
    turn.under_way(document)
    assert list(turn._under_way) == [document]
    document.to_json()
    assert list(turn._under_way) == []
    turn.under_way(document)
    del document
    gc.collect()
    assert list(turn._under_way) == []


def test_each_page_has_one_visitor_and_then_they_are_built() -> None:
    async def use(pages: ApplicationContext, ready: SparePages) -> None:
        waiting = [session.document for session in ready.sessions]
        first, second, third = [await visit(pages, f"rho={rho}") for rho in (0.1, 0.2, 0.3)]
        assert {first.document, second.document} == set(waiting)
        assert third.document not in waiting
        assert ready.sessions == []
        assert list(pages.sessions) == [first, second, third]
        assert await pages.create_session_if_needed(first.id) is first
        queries = [
            session.document.get_model_by_name("address").tags[-1]
            for session in (first, second, third)
        ]
        assert queries == ["?rho=0.1", "?rho=0.2", "?rho=0.3"]
        settings = [
            session.document.get_model_by_name("setting").data["rho"]
            for session in (first, second, third)
        ]
        assert settings == [[0.1], [0.2], [0.3]]
        for session in (first, second):
            assert session.token in (ready.html(session) or "")
            assert ready.html(session) is None
        assert ready.html(third) is None

    with_pages(2, use)


@pytest.mark.parametrize("query", ["theme=dark", "predict=1"])
def test_what_no_ready_page_can_be_is_built(query: str) -> None:
    async def use(pages: ApplicationContext, ready: SparePages) -> None:
        assert ready.html(await visit(pages, query)) is None
        assert len(ready.sessions) == 1

    with_pages(1, use)


def test_pages_are_made_while_nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(pages: ApplicationContext, ready: SparePages) -> None:
        filling = asyncio.create_task(ready.fill())
        await asyncio.sleep(0.5)
        assert ready.sessions == []  # the process works for all of its time
        monkeypatch.setattr(spare.time, "process_time", lambda: 0.0)
        ready._most = 1
        async with asyncio.timeout(60):
            while not ready.sessions:
                await asyncio.sleep(0.05)
        filling.cancel()
        assert list(pages.sessions) == []

    now = iter(range(10**9))
    monkeypatch.setattr(spare.time, "process_time", lambda: float(next(now)))
    with_pages(0, use)


def test_little_memory_makes_few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        spare.Path, "read_text", lambda _: "MemTotal: 9 kB\nMemAvailable: 330000 kB\n"
    )
    assert affordable(60) == 10
    assert affordable(4) == 4


def test_a_page_that_is_ready_knows_the_components_of_all_pages() -> None:
    """Panel sends a component's definition to the first who asks; others have it in their page."""
    code = (
        "import pkgutil, sys\n"
        "from bokeh.model import Model\n"
        "from bokeh.core.has_props import is_DataModel\n"
        "import quantlab.dashboard.app, quantlab.dashboard as package\n"
        "models = Model.model_class_reverse_map\n"
        "known = lambda: {n for n in models if is_DataModel(models[n]) and '.' not in n}\n"
        "before = known()\n"
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    __import__(module.name)\n"
        "print(*sorted(known() - before))\n"
        "assert 'Board1' in before\n"
    )
    late = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert late.stdout.strip() == ""


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """The address of a server of the libraries' files."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    ready = threading.Event()

    async def serve() -> None:
        Application([
            (r"/static/extensions/(.*)", Extensions, {"root": extension_dirs}),
            (r"/static/(.*)", Libraries),
        ]).listen(port, "localhost")  # fmt: skip
        ready.set()
        while ready.is_set():
            await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait(10)
    yield f"http://localhost:{port}/static"
    ready.clear()
    thread.join(10)


def fetch(address: str, **headers: str) -> tuple[bytes, Any, int]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urlopen(Request(address, headers=names), timeout=10) as answer:
            return answer.read(), answer.headers, answer.status
    except HTTPError as error:
        return b"", error.headers, error.code


@pytest.mark.parametrize("path", ["js/bokeh.min.js", "extensions/panel/panel.min.js"])
def test_files_are_sent_compressed(files: str, path: str) -> None:
    plain, as_is, _ = fetch(f"{files}/{path}")
    packed, headers, _ = fetch(f"{files}/{path}?v=1", Accept_Encoding="gzip, br")
    assert gzip.decompress(packed) == plain
    assert len(packed) < 0.35 * len(plain)
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Vary"] == as_is["Vary"] == "Accept-Encoding"
    assert as_is["Content-Encoding"] is None
    assert headers["ETag"] != as_is["ETag"], "a cache between must not take one for the other"
    assert "max-age=315360000" in headers["Cache-Control"]
    assert as_is["Cache-Control"] is None
    again = fetch(f"{files}/{path}", Accept_Encoding="gzip", If_None_Match=headers["ETag"])
    assert again[2] == 304


def test_a_part_of_a_file_is_a_part_of_the_file(files: str) -> None:
    part, headers, status = fetch(
        f"{files}/js/bokeh.min.js", Accept_Encoding="gzip", Range="bytes=0-99"
    )
    assert (status, len(part), headers["Content-Encoding"]) == (206, 100, None)


@pytest.mark.parametrize("path", ["js/none.js", "extensions/none/a.js", "js/%2e%2e/%2e%2e/x.js"])
def test_no_other_file(files: str, path: str) -> None:
    assert fetch(f"{files}/{path}", Accept_Encoding="gzip")[2] in (403, 404)
