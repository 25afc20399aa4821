"""Pages made before anybody comes, and kept as they will be sent.

To build a page, to render its HTML and to serialise its models takes more than half a second of the
event loop. Here that is done while the process is idle; who arrives is given a page that is ready,
their link is applied to it, and what the link has changed is put into what was serialised.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bokeh.core.json_encoder import serialize_json
from bokeh.core.property.wrappers import PropertyValueContainer
from bokeh.core.serialization import Serialized, Serializer
from bokeh.document import Document
from bokeh.model import Model
from bokeh.protocol.exceptions import ProtocolError
from bokeh.server.contexts import ApplicationContext, BokehSessionContext
from bokeh.server.contexts import _RequestProxy as Request
from bokeh.server.session import ServerSession, current_time
from bokeh.util.token import generate_session_id, get_token_payload
from panel.io.resources import Resources
from panel.io.server import DocHandler, server_html_page_for_session
from panel.io.state import set_curdoc
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import authenticated

from .arrivals import Turn

_LOG = logging.getLogger(__name__)
#: The process is idle if it works for less than this share of so many seconds.
_SHARE, _SECONDS = 0.2, 0.15
#: Bytes of memory that a ready page takes, and the share of what is free that all may take.
PAGE_BYTES, _MEMORY = 3_300_000, 0.1
#: Links for which a page is built: a ready one's HTML is of the light theme, and it shows errors
#: that are to be guessed first.
_OTHERS = {"theme", "predict"}
#: In a page's HTML, where its visitor's token comes.
_TOKEN = "token-of-whoever-comes"


class SparePages:
    """Ready pages of an application: `pages.create_session_if_needed` hands them out.

    Parameters
    ----------
    pages : ApplicationContext
        The application on its server.
    most : int
        Pages that are kept ready; 0: none.
    arrive : callable
        arrive(document, query): apply a link to a page, its document locked.
    resources : callable
        The server's resources, as Bokeh has them.
    turn : Turn
        The next visitor's turn, where many come together.
    prefix : str
        Path in front of every address.
    """

    def __init__(
        self, pages: ApplicationContext, most: int,
        arrive: Callable[[Document, dict[str, str]], None],
        resources: Callable[[], Any], turn: Turn, prefix: str = "",
    ) -> None:  # fmt: skip
        self._pages, self._most, self._arrive = pages, most, arrive
        self._resources, self._turn, self._prefix = resources, turn, prefix
        self._ready: deque[SparePage] = deque()
        self._html: dict[str, str] = {}
        self._make = pages.create_session_if_needed
        pages.create_session_if_needed = self.session

    @property
    def sessions(self) -> list[ServerSession]:
        """Sessions of pages that wait for a visitor."""
        return [page.session for page in self._ready]

    async def session(
        self, session_id: Any, request: HTTPServerRequest | None = None, token: str | None = None
    ) -> ServerSession:
        """As Bokeh's own: the session of that name, from a ready page where it is a new one."""
        if not session_id:
            raise ProtocolError("Session ID must not be empty")
        pages, payload = self._pages, dict(get_token_payload(token)) if token else {}
        suits = request is not None and not _OTHERS & payload.get("arguments", {}).keys()
        if suits and self._ready and session_id not in pages._sessions:
            await self._turn()
        known = session_id in pages._sessions or session_id in pages._pending_sessions
        if request is None or known or not suits or not self._ready:
            return await self._make(session_id, request, token)
        page = self._ready.popleft()
        page.belongs_to(session_id, token, request, payload)
        self._turn.under_way(page.session.document)
        pages._sessions[session_id] = page.session
        pages._session_contexts[session_id] = page.context
        query = {k: v[0].decode(errors="replace") for k, v in page.arguments.items() if v}
        if query:
            await page.session.with_document_locked(
                lambda: self._arrive(page.session.document, query)
            )
        self._html[session_id] = page.html.replace(_TOKEN, page.session.token)
        return page.session

    def html(self, session: ServerSession) -> str | None:
        """A ready page's HTML, once."""
        return self._html.pop(session.id, None)

    async def fill(self) -> None:
        """Keep pages ready, for ever: one after the other, while the process is idle."""
        while True:
            await self._idle()
            if len(self._ready) < self._most:
                try:
                    await self._add()
                except Exception:  # a server that makes no page ahead still makes them when asked
                    _LOG.exception("no page can be made ahead")
                    return

    async def _add(self) -> None:
        made = await self._make(generate_session_id(), self._own_request())
        pages = self._pages
        del pages._sessions[made.id]
        context = pages._session_contexts.pop(made.id)
        await self._idle()  # the errors of the first setting are in it now
        page = SparePage(made, context)
        await made.with_document_locked(page.freeze, self._render)
        self._ready.append(page)

    def _render(self, session: ServerSession) -> str:
        document = session.document
        with set_curdoc(document):
            return server_html_page_for_session(
                session, resources=Resources.from_bokeh(self._resources()), title=document.title,
                token=_TOKEN, template=document.template,
                template_variables=document.template_variables,
            )  # fmt: skip

    def _own_request(self) -> HTTPServerRequest:
        path = f"/{self._prefix}/" if self._prefix else "/"
        return HTTPServerRequest(
            start_line=RequestStartLine("GET", path, "HTTP/1.1"),
            headers=HTTPHeaders({"Host": "localhost"}),
        )

    @staticmethod
    async def _idle() -> None:
        worked = _SECONDS
        while worked > _SHARE * _SECONDS:
            start = time.process_time()
            await asyncio.sleep(_SECONDS)
            worked = time.process_time() - start


class PageHandler(DocHandler):
    """Answers with a page's HTML, which is there already if the page was made ahead."""

    spare: SparePages
    _session: ServerSession | None = None

    @authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        if self.request.path.endswith("/"):  # without it Panel asks for the address with it
            self._session = await super().get_session()
            if html := self.spare.html(self._session):
                # as Panel's own: the page holds a token that does not last
                self.set_header("Cache-Control", "no-store")
                self.write(html)
                return
        await super().get(*args, **kwargs)

    async def get_session(self) -> ServerSession:
        return self._session or await super().get_session()


class SparePage:
    """A page without a visitor: its session, its HTML, and its document as it will be sent."""

    def __init__(self, session: ServerSession, context: BokehSessionContext) -> None:
        self.session, self.context = session, context
        self.html = ""
        self._json = b""
        self._buffers: list[Any] = []
        self._held: dict[Model, dict[str, Any]] = {}

    @property
    def arguments(self) -> dict[str, list[bytes]]:
        """The visitor's query."""
        assert self.context.request is not None
        return self.context.request.arguments

    def freeze(self, render: Callable[[ServerSession], str]) -> None:
        """Render and serialise; the document is locked."""
        document = self.session.document
        self.html = render(self.session)
        made = document.to_json()
        self._json = zlib.compress(serialize_json(made.content).encode(), 1)
        self._buffers = list(made.buffers or [])
        for model in document.models:
            _forget_defaults(model)
        self._held = {model: dict(model._property_values) for model in document.models}
        document.to_json = self._sent

    def belongs_to(
        self, session_id: Any, token: str | None, request: HTTPServerRequest,
        payload: dict[str, Any],
    ) -> None:  # fmt: skip
        """Give the page its visitor's name, as if it had been made for that request."""
        session, context = self.session, self.context
        session._id = context._id = session_id
        session._token = context._token = token
        session._last_unsubscribe_time = current_time()
        context._request = Request(
            request, arguments=payload.get("arguments"), cookies=payload.get("cookies"),
            headers=payload.get("headers"),
        )  # fmt: skip

    def _sent(self) -> Serialized:
        """`Document.to_json`, once: what was serialised, with what has been set since.

        Panel sends some changes past the document's listeners, so values are compared: a value that
        is set is another object.
        """
        document, held = self.session.document, self._held
        del document.to_json
        content = json.loads(zlib.decompress(self._json))
        self._json, self._held = b"", {}
        if set(document.models) != held.keys() or content["title"] != document.title:
            return document.to_json()
        serializer = Serializer(references=frozenset(held))
        models = _by_id(content)
        for model, before in held.items():
            now = model._property_values
            for name in {**before, **now}:
                if now.get(name, before) is before.get(name, now):
                    continue
                attributes = models[model.id].setdefault("attributes", {})
                value = serializer.encode(model.lookup(name).get_value(model))
                if _by_id(value) or _by_id(attributes.get(name)):  # others refer to it
                    return document.to_json()
                attributes[name] = value
        return Serialized(content=content, buffers=[*self._buffers, *serializer.buffers])


def affordable(most: int) -> int:
    """How many ready pages, at most `most`, the memory that is free has room for."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux: the option alone
        return most
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return min(most, int(_MEMORY * free / PAGE_BYTES))


def _forget_defaults(model: Any) -> None:
    """Half of a page's memory is empty lists and dicts that were read once; they come again."""
    defaults = model._unstable_default_values
    for name in [n for n, v in defaults.items() if isinstance(v, PropertyValueContainer) and not v]:
        del defaults[name]


def _by_id(part: Any) -> dict[str, dict]:
    """The models that serialised content defines."""
    found: dict[str, dict] = {}

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("type") == "object" and "id" in part:
                found[part["id"]] = part
            for child in part.values():
                walk(child)
        elif isinstance(part, list):
            for child in part:
                walk(child)

    walk(part)
    return found
