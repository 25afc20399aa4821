"""Headers of every answer: pages, files, errors and the websocket's handshake."""

from __future__ import annotations

from collections.abc import Sequence

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform


def everywhere(frame_ancestors: Sequence[str] = ()) -> type[OutputTransform]:
    """What `tornado.web.Application.add_transform` takes; it sees every answer before it is sent.

    Parameters
    ----------
    frame_ancestors : sequence of str
        Sites that may show the pages in a frame, besides the server's own: SCHEME://HOST[:PORT];
        "*", any; "none", none, not even the server's own.
    """
    policy = "frame-ancestors " + _sources(frame_ancestors)

    class Headers(OutputTransform):
        def __init__(self, request: HTTPServerRequest) -> None:
            pass

        def transform_first_chunk(
            self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
        ) -> tuple[int, HTTPHeaders, bytes]:
            headers.pop("Server", None)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Content-Security-Policy"] = policy
            return status_code, headers, chunk

    return Headers


def _sources(frame_ancestors: Sequence[str]) -> str:
    """As the header has it."""
    for alone, source in (("none", "'none'"), ("*", "*")):
        if alone in frame_ancestors:
            return source
    return " ".join(["'self'", *(origin for origin in frame_ancestors if origin != "self")])
