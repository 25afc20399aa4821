"""A class at the dashboard: many sessions on one server, each moving a slider, over loopback.

    python benchmarks/dashboard.py [--sessions 60] [--minutes 3] [--quick] [--arrivals]

Sessions speak the server's websocket protocol without a browser; a real browser beside them drags
the slider. Each session moves every 2 s to a correlation that nobody has measured before, with a
seed of its own; "error" ends when the newly measured error has arrived. Writes
results/dashboard.md and .json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from playwright.sync_api import Page, sync_playwright
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

import latency  # noqa: E402
from _harness import machine  # noqa: E402

from tests.browser.chromium import FLAGS, find  # noqa: E402

_STORED = ROOT / "benchmarks" / "results" / "dashboard.json"
_EVERY = 2.0  # seconds between two moves of a session
_PATIENCE = 20.0  # seconds until an error that has not come counts as lost


class Visitor:
    """One session: its page's document, its websocket, and the milliseconds of its moves."""

    def __init__(self, address: str, number: int) -> None:
        self.address, self.number = address, number
        self.errors: list[str] = []
        self.milliseconds: list[float] = []
        self._rng = np.random.default_rng(number)
        self._socket: WebSocketClientConnection | None = None
        self._slider = ""

    async def open(self) -> None:
        """Load the page and its document, as a browser does."""
        url = f"{self.address}/?seed={self.number + 1}&rho=0.5"
        patient = {"request_timeout": 600, "connect_timeout": 600}
        page = (await AsyncHTTPClient().fetch(url, **patient)).body.decode()
        found = re.search(r'"token":"([^"]+)"', page)
        assert found is not None, "the page holds no session"
        request = HTTPRequest(
            self.address.replace("http", "ws") + "/ws",
            headers={"Origin": self.address, "Sec-WebSocket-Protocol": f"bokeh, {found[1]}"},
        )
        self._socket = await websocket_connect(request, max_message_size=2**27)
        self._socket.protocol.stream.set_nodelay(True)  # as browsers do
        async for kind, content in self._messages():
            if kind == "ACK":
                await self._send("PULL-DOC-REQ", {})
            if kind == "PULL-DOC-REPLY":
                self._slider = _slider(json.loads(content))
                # from here on Panel sends what changes together in one message
                ready = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
                await self._send("PATCH-DOC", {"events": [
                    {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": ready}
                ]})  # fmt: skip
                return

    async def move(self, rho: float) -> None:
        """Move the slider; wait for the error measured there."""
        start = time.perf_counter()
        change = {"kind": "ModelChanged", "model": {"id": self._slider}, "attr": "value",
                  "new": rho}  # fmt: skip
        await self._send("PATCH-DOC", {"events": [change]})
        wanted = f'data-rho=\\"{rho}\\"'
        try:
            async with asyncio.timeout(_PATIENCE):
                async for kind, content in self._messages():
                    if kind == "ERROR":
                        self.errors.append(content[:200])
                    if wanted in content:
                        self.milliseconds.append(1000 * (time.perf_counter() - start))
                        return
        except TimeoutError:
            self.errors.append(f"no error for rho = {rho} within {_PATIENCE:g} s")

    async def stay(self, seconds: float) -> None:
        """Move every two seconds or so, from a moment of one's own."""
        await asyncio.sleep(_EVERY * self._rng.random())
        end = time.monotonic() + seconds
        rho = 0.5
        while time.monotonic() < end:
            begun, before = time.monotonic(), rho
            while rho == before:  # where it stands already nothing moves, and nothing is answered
                rho = round(float(self._rng.uniform(-0.99, 0.99)), 2)
            await self.move(rho)
            await asyncio.sleep(max(0.0, begun + _EVERY - time.monotonic()))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    async def _send(self, kind: str, content: dict[str, Any]) -> None:
        assert self._socket is not None
        for part in ({"msgid": f"{time.perf_counter_ns()}", "msgtype": kind}, {}, content):
            await self._socket.write_message(json.dumps(part))

    async def _messages(self) -> Any:
        """(kind, content) of the messages that come; buffers are read and left."""
        assert self._socket is not None
        while (head := await self._socket.read_message()) is not None:
            header = json.loads(head)
            await self._socket.read_message()  # metadata
            content = await self._socket.read_message()
            for _ in range(2 * int(header.get("num_buffers", 0))):
                await self._socket.read_message()
            yield header["msgtype"], str(content)
        self.errors.append("the server closed the session")


def _slider(reply: Any) -> str:
    """Id of the model that holds the value of the slider of rho."""

    def walk(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            attributes = part.get("attributes", {})
            if isinstance(attributes, dict) and attributes.get("label") == "Correlation ρ":
                yield part["id"]
            for child in part.values():
                yield from walk(child)
        elif isinstance(part, list):
            for child in part:
                yield from walk(child)

    return next(walk(reply))


@contextmanager
def serving(processes: int, spare: int = 60) -> Iterator[tuple[str, int]]:
    """A fresh server on a free port, its pages ready: its address, and its process's number."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "quantlab.cli", "dashboard", f"--port={port}",
               f"--processes={processes}", f"--spare={spare}"]  # fmt: skip
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        for _ in range(300):
            try:
                urlopen(f"{address}/healthz", timeout=30).close()
                break
            except OSError:
                time.sleep(0.1)
        urlopen(address, timeout=60).close()
        # kernels are compiled, the first codebooks made, and pages: one in two thirds of a second
        time.sleep(max(60, 20 + spare))
        yield address, server.pid
    finally:
        server.terminate()
        server.wait(timeout=20)


async def crowd(
    address: str, sessions: int, seconds: float, began: Callable[[], None]
) -> list[Visitor]:
    """All sessions at once; they come one after the other, call `began`, and leave together."""
    visitors = [Visitor(address, number) for number in range(sessions)]
    for visitor in visitors:
        await visitor.open()
    began()
    await asyncio.gather(*(visitor.stay(seconds) for visitor in visitors))
    for visitor in visitors:
        visitor.close()
    return visitors


def attend(
    address: str, sessions: int, seconds: float, began: Callable[[], None]
) -> dict[str, Any]:
    """Run a crowd; its figures."""
    visitors = asyncio.run(crowd(address, sessions, seconds, began))
    waits = np.array([ms for visitor in visitors for ms in visitor.milliseconds])
    return {
        "moves": waits.size, "errors": sum(len(visitor.errors) for visitor in visitors),
        "median_ms": float(np.median(waits)), "p95_ms": float(np.percentile(waits, 95)),
        "first_errors": [e for visitor in visitors for e in visitor.errors][:3],
    }  # fmt: skip


def arrive(sessions: int, spare: int) -> dict[str, float]:
    """Seconds until the first, the middle and the last of many that come in one moment have theirs.

    "Theirs" is the page's document, as the server sends it, each by a link of their own.
    """

    async def come(address: str) -> list[float]:
        AsyncHTTPClient.configure(None, max_clients=sessions)
        visitors = [Visitor(address, number) for number in range(sessions)]
        start = time.perf_counter()

        async def one(visitor: Visitor) -> float:
            await visitor.open()
            return time.perf_counter() - start

        waits = await asyncio.gather(*(one(visitor) for visitor in visitors))
        for visitor in visitors:
            visitor.close()
        return waits

    with serving(1, spare) as (address, pid):
        held = resident(pid)
        waits = asyncio.run(come(address))
    return {"visitors": sessions, "ready": spare, "mb": held, "first_s": min(waits),
            "median_s": float(np.median(waits)), "last_s": max(waits)}  # fmt: skip


@contextmanager
def browser_page(url: str) -> Iterator[Page]:
    path = find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        page.wait_for_function("window.Bokeh?.documents?.length && Bokeh.documents[0].is_idle")
        yield page
        browser.close()


def dragged(address: str, seconds: float) -> dict[str, float]:
    """Slider to painted density in a real browser, in ms: a drag of five moves every 2 s."""
    waits: list[float] = []
    end = time.monotonic() + seconds
    with browser_page(f"{address}/?rho=0") as page:
        page.wait_for_function("Bokeh.documents[0].get_model_by_name('curve').data.u.length > 0")
        page.evaluate(latency._WATCH)
        slider = page.get_by_role("slider", name="Correlation")
        while time.monotonic() < end:
            begun = time.monotonic()
            waits += [latency._drag(page, slider, len(waits) + i) for i in range(5)]
            page.wait_for_timeout(1000 * max(0.0, begun + _EVERY - time.monotonic()))
    waits = [ms for ms in waits if ms > 0]
    return {"painted_median_ms": float(np.median(waits)),
            "painted_p95_ms": float(np.percentile(waits, 95))}  # fmt: skip


def compute(address: str, seconds: float) -> dict[str, float]:
    """One session that measures again and again; how many runs, and the seconds of a run."""
    runs, start = 0, time.monotonic()
    with browser_page(f"{address}/?page=error&inner_dim=1024") as page:
        measure = page.get_by_role("button", name="Measure", exact=True)
        while time.monotonic() < start + seconds:
            measure.click(timeout=600_000)
            page.wait_for_timeout(500)
            runs += 1
    return {"slow_runs": runs, "slow_run_s": (time.monotonic() - start) / runs}


def resident(pid: int) -> float:
    """MB of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


async def come_and_go(address: str, sessions: int) -> None:
    for start in range(0, sessions, 20):
        visitors = [Visitor(address, start + i) for i in range(20)]
        for visitor in visitors:
            await visitor.open()
        for visitor in visitors:
            visitor.close()


def memory(sessions: int, rest: float) -> dict[str, float]:
    """MB a session while open, and of the server before and after many have come and gone."""
    with serving(1) as (address, pid):
        asyncio.run(come_and_go(address, 20))
        time.sleep(rest)
        before = resident(pid)

        async def stand() -> float:
            visitors = [Visitor(address, i) for i in range(40)]
            for visitor in visitors:
                await visitor.open()
            while_open = resident(pid)
            for visitor in visitors:
                visitor.close()
            return while_open

        each = (asyncio.run(stand()) - before) / 40
        found = {"mb_start": before, "mb_a_session": each, "visits": sessions}
        for half in ("half", "all"):
            asyncio.run(come_and_go(address, sessions // 2))
            time.sleep(rest)
            found[f"mb_after_{half}"] = resident(pid)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--visits", type=int, default=200, help="sessions that come and go")
    parser.add_argument("--arrivals", action="store_true", help="those who come at once alone")
    parser.add_argument("--quick", action="store_true", help="20 s each; prints, writes nothing")
    options = parser.parse_args(argv)
    seconds = 20.0 if options.quick else 60 * options.minutes
    sessions, rows = options.sessions, {}
    if options.arrivals:
        stored = json.loads(_STORED.read_text())
        write(stored["settings"], stored["load"], arrivals(), stored["memory"], stored["seconds"])
        return 0

    def run(name: str, processes: int, count: int, beside: Any = None) -> None:
        with (
            serving(processes) as (address, _),
            ProcessPoolExecutor(1, get_context("spawn")) as browser,
        ):
            jobs: list[Any] = []

            def began() -> None:
                if beside is not None:
                    jobs.append(browser.submit(beside, address, seconds))

            row = attend(address, count, seconds, began)
            for job in jobs:
                row |= job.result()
        rows[name] = row
        print(f"{name}: {row}", flush=True)

    run("1 session, a browser beside it", 1, 1, dragged)
    run(f"{sessions} sessions, a browser beside them", 1, sessions, dragged)
    run(f"{sessions} sessions, one more computes", 1, sessions, compute)
    run("100 sessions, 2 processes", 2, 100)
    come = arrivals()
    held = memory(40 if options.quick else options.visits, 40.0)
    print(held)
    if not options.quick:
        write(settings(), rows, come, held, seconds)
    return 0


def arrivals() -> dict[str, Any]:
    """Classes that come in one moment, with the default's ready pages, none, and one for each."""
    rows = []
    for sessions, spare in ((60, 0), (60, 60), (200, 60), (200, 200)):
        rows.append(arrive(sessions, spare))
        print(rows[-1], flush=True)
    return {"settings": settings(), "rows": rows}


def settings() -> dict[str, str]:
    return machine(["panel", "panel-material-ui", "bokeh", "tornado", "numpy", "numba"])


def write(
    settings: dict[str, str], rows: dict[str, dict[str, Any]], come: dict[str, Any],
    held: dict[str, float], seconds: float,
) -> None:  # fmt: skip
    _STORED.write_text(
        json.dumps({"settings": settings, "seconds": seconds, "load": rows, "arrival": come,
                    "memory": held}, indent=1) + "\n"
    )  # fmt: skip
    lines = [
        "# A class at the dashboard", "",
        f"`python benchmarks/dashboard.py`: each session moves ρ every 2 s for {seconds:g} s, to a "
        "value and with a seed that nobody has measured; four designs at 128 × 256 × 128, whose "
        "codebooks the server makes ahead when it starts. ms, "
        "median / 95th percentile. Clients, browser and server share the machine's two cores.", "",
        "| | moves | errors | new measured error | density painted in the browser |",
        "|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, row in rows.items():
        painted = "" if "painted_median_ms" not in row else (
            f"{row['painted_median_ms']:.1f} / {row['painted_p95_ms']:.1f}"
        )  # fmt: skip
        lines.append(
            f"| {name} | {row['moves']} | {row['errors']} | {row['median_ms']:.0f} / "
            f"{row['p95_ms']:.0f} | {painted} |"
        )
    none = next(row["mb"] for row in come["rows"] if not row["ready"])
    lines += [
        "",
        f"Who comes in one moment to one process, on {come['settings']['processor']}; of pages "
        "made ahead (`--spare`), the memory that they take; seconds until the first, half and all "
        "of the visitors have their page's document:", "",
        "| visitors | pages ready | MB | first | half | all |", "|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {row['visitors']} | {row['ready']} | {row['mb'] - none:.0f} | "
            f"{row['first_s']:.1f} | {row['median_s']:.1f} | {row['last_s']:.1f} |"
            for row in come["rows"]
        ),
        "",
        f"Memory: {held['mb_start']:.0f} MB after 20 sessions have come and gone; "
        f"{held['mb_a_session']:.2f} MB more for each open one; {held['mb_after_half']:.0f} and "
        f"{held['mb_after_all']:.0f} MB after half and all of {held['visits']} more have come and "
        "gone.",
        "", f"All but the arrivals: {settings}; the arrivals: {come['settings']}",
    ]  # fmt: skip
    _STORED.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
