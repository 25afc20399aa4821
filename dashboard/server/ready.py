"""Whether the server can give a visitor a page soon; alive it is earlier."""

from __future__ import annotations

import logging

from bokeh.server.contexts import ApplicationContext
from bokeh.util.token import generate_session_id
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import RequestHandler

_LOG = logging.getLogger(__name__)
#: What is done before the server is ready: a page, and the first visitors' measured errors.
PAGE, ERRORS = "a first page", "the first measured errors"


class Readiness:
    """What this process has still to do; threads may say `done`."""

    def __init__(self) -> None:
        self._left = {PAGE: None, ERRORS: None}

    @property
    def left(self) -> list[str]:
        return list(self._left)

    def done(self, step: str) -> None:
        self._left.pop(step, None)

    async def make_page(self, pages: ApplicationContext) -> None:
        """Make a page, which imports what pages need; it goes as one that its visitor left."""
        request = HTTPServerRequest(
            start_line=RequestStartLine("GET", "/", "HTTP/1.1"),
            headers=HTTPHeaders({"Host": "localhost"}),
        )
        try:
            await pages.create_session_if_needed(generate_session_id(), request)
        except Exception:  # a server that makes no page lives on, and is never ready
            _LOG.exception("no page can be made")
        else:
            self.done(PAGE)


class Ready(RequestHandler):
    """Says "ready" to whoever asks, or with the status 503 what it waits for."""

    def initialize(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def get(self) -> None:
        left = self._readiness.left
        self.set_status(503 if left else 200)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.write(f"not before {' and '.join(left)}\n" if left else "ready\n")
