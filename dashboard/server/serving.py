"""The server: who may reach it, how many processes it has, and what it lets in."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence

import panel as pn
from bokeh.application.application import Application
from bokeh.core.property.validation import validate
from bokeh.document import Document
from bokeh.server.connection import ServerConnection
from bokeh.settings import settings
from panel.io.application import build_applications
from panel.io.server import DocHandler
from threadpoolctl import threadpool_limits
from tornado.ioloop import PeriodicCallback
from tornado.process import task_id
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError

from ..app import TITLE, _document, arrive
from ..limits import LIMITS, MEGABYTE
from ..session import import_pages
from ..state import ATTENTION, SYNTHETIC, DashboardState
from ..work.background import server_pool
from ..work.measurements import measurements
from .admin import AdminPage
from .arrivals import Arrivals, Turn
from .headers import everywhere
from .memory import Collector
from .notebooks import NotebookPage
from .password import guard
from .ready import ERRORS, Readiness, Ready
from .spare import PageHandler, SparePages, affordable
from .static import HANDLERS

_ORPHAN_CHECK = 500  # milliseconds between two looks at whether the parent process is alive


class Health(RequestHandler):
    """Says "ok", to whoever asks, as long as the event loop turns."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.write("ok\n")


def serve(
    port: int = 5006, address: str = "localhost", *, processes: int = 1,
    origins: Sequence[str] = (), upload_limit: float = 50, password: str | None = None,
    admin: bool = False, prefix: str = "", frame_ancestors: Sequence[str] = (), spare: int = 60,
    show: bool = False,
) -> None:  # fmt: skip
    """Serve the dashboard until interrupted; prints the address.

    Parameters
    ----------
    port : int
    address : str
        Address to listen on; "localhost" answers this machine alone.
    processes : int
        Server processes that share the port. Sessions that arrive together may land in one of
        them: for a class, separate servers behind a proxy share the load better.
    origins : sequence of str
        HOST or HOST:PORT that browsers name in the address bar, where that is not this server's.
    upload_limit : float
        Largest uploaded file, in MB.
    password : str, optional
        Asked from every visitor.
    admin : bool
        Serve /admin, a page of counts.
    prefix : str
        Path in front of every address, as a proxy passes it on.
    frame_ancestors : sequence of str
        Sites that may show the pages in a frame, as `headers.everywhere` takes them.
    spare : int
        Pages that are made while nobody asks for one, about 3 MB each, and wait for their visitors;
        fewer where they would take more than a tenth of the free memory. Shared by the processes.
    show : bool
        Open a browser window.
    """
    LIMITS.upload = round(upload_limit * MEGABYTE)
    prefix = prefix.strip("/")
    readiness = Readiness()
    patterns: list[tuple] = [
        (r"/healthz", Health),
        (r"/readyz", Ready, {"readiness": readiness}),
        (r"/notebook/(\d\d_\w+)(\.ipynb)?", NotebookPage),
    ]
    if admin:
        patterns.append((r"/admin", AdminPage))
    # several measuring threads with one BLAS thread each, and an event loop that waits little
    threadpool_limits(1, "blas")
    sys.setswitchinterval(0.001)
    for name in ("asyncio", "tornado.application", "bokeh.server.protocol_handler"):
        logging.getLogger(name).addFilter(not_a_closed_tab)
    parent = os.getpid()
    if processes > 1:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    applications = build_applications({"/": _document}, title=TITLE)
    turn = Turn()
    applications["/"].add(Arrivals(turn))
    _trust_pages(applications["/"])
    try:
        server = pn.serve(
            applications, port=port, address=address, prefix=prefix, show=False, start=False,
            verbose=False, num_procs=processes, extra_patterns=patterns,
            websocket_origin=[*browser_origins(address, port), *origins],
            websocket_max_message_size=LIMITS.message,
            **(guard(password) if password is not None else {}),
        )  # fmt: skip
        _send_at_once(server)
        server._tornado.add_transform(everywhere(frame_ancestors))
        for rule in server._tornado.wildcard_router.rules:
            rule.target = {**HANDLERS, DocHandler: PageHandler}.get(rule.target, rule.target)
        # from here on once in each process: threads do not survive a fork
        if processes > 1:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _end_with(parent, server)
        if not task_id():  # the only process, or the first
            print(f"quantlab dashboard: {url(address, port, prefix)}", flush=True)
            if show:
                server.io_loop.add_callback(server.show, "/")
        measurements().warm(
            (DashboardState(source=source).request() for source in (SYNTHETIC, ATTENTION)),
            lambda: readiness.done(ERRORS),
        )
        server_pool("file").submit(import_pages)
        measurements().prepare(DashboardState().request())
        pages = server._tornado.applications["/"]
        ready = PageHandler.spare = SparePages(
            pages, affordable(-(-spare // processes)), arrive, server._tornado.resources, turn,
            prefix,
        )  # fmt: skip
        Collector(lambda: map(id, [*server.get_sessions(), *ready.sessions])).start()
        server.start()
        server.io_loop.add_callback(readiness.make_page, pages)
        server.io_loop.add_callback(ready.fill)
        server.io_loop.start()
    except KeyboardInterrupt:
        pass


def url(address: str, port: int, prefix: str = "") -> str:
    """What to type into a browser on this machine."""
    host = "localhost" if is_wildcard(address) else f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}" + (f"/{prefix}/" if prefix else "")


def browser_origins(address: str, port: int) -> list[str]:
    """HOST:PORT of pages that may talk to the server: this machine's names for `address`."""
    hosts = ["localhost", "127.0.0.1"]
    if is_wildcard(address):
        hosts.append(socket.gethostname().lower())
        hosts += _own_addresses()
    elif ":" not in address:
        hosts.append(address.lower())
    return [f"{host}:{port}" for host in dict.fromkeys(hosts)]


def is_wildcard(address: str) -> bool:
    """Whether `address` stands for every address of this machine."""
    return address in ("", "0.0.0.0", "::", "*")


def is_loopback(address: str) -> bool:
    """Whether nobody but this machine can reach `address`."""
    if is_wildcard(address):
        return False
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(address, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(ip).partition("%")[0]).is_loopback for ip in found)


def not_a_closed_tab(record: logging.LogRecord) -> bool:
    """Log filter: a browser that leaves in the middle of a message is no error of the server's.

    Bokeh asserts that a connection still has its session, and one that is being closed has none.
    """
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if isinstance(error, AssertionError):
        codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
        return codes[-1:] != [ServerConnection.session.fget.__code__]
    return not isinstance(error, WebSocketClosedError)


def _trust_pages(application: Application) -> None:
    """Build pages without a check of each property and layout: a sixth of their time.

    The checks are of our own code, and the tests build the same pages with them.
    """
    settings.perform_document_validation = False
    build = application.initialize_document

    def unchecked(document: Document) -> None:
        with validate(False):
            build(document)

    application.initialize_document = unchecked


def _send_at_once(server: pn.io.server.Server) -> None:
    """A message in three parts is not to wait for the browser's word on the first: 40 ms each.

    Connections inherit the option from the socket that listens.
    """
    for listening in server._http._sockets.values():
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _own_addresses() -> list[str]:
    try:
        return socket.gethostbyname_ex(socket.gethostname())[2]
    except OSError:
        return []


def _end_with(parent: int, server: pn.io.server.Server) -> None:
    """Stop this process when the one that started it has ended."""

    def look() -> None:
        if os.getppid() != parent:
            server.io_loop.stop()

    PeriodicCallback(look, _ORPHAN_CHECK).start()
