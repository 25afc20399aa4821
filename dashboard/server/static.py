"""The libraries' files: compressed once, and kept by browsers while their address is the same."""

from __future__ import annotations

import asyncio
import gzip
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from bokeh.server.views.multi_root_static_handler import MultiRootStaticHandler
from bokeh.server.views.static_handler import StaticHandler
from tornado.web import StaticFileHandler

_TEXT = {".js", ".css", ".svg", ".json", ".map", ".html", ".txt", ".ico"}
#: A name that changes with the content, as bundlers write it: roboto-latin-400-LOX3CHMS.woff2
_HASHED = re.compile(r"-[0-9A-Z]{8}\.\w+$")


class _Compressed(StaticFileHandler):
    """Sends text with gzip to browsers that take it; a query or a hash is a version, and kept."""

    _packed: bytes | None = None

    async def get(self, path: str, include_body: bool = True) -> None:
        accepts = "gzip" in self.request.headers.get("Accept-Encoding", "")
        if accepts and "Range" not in self.request.headers and Path(path).suffix in _TEXT:
            self.path = self.parse_url_path(path)
            absolute = self.get_absolute_path(self.root, self.path)
            found = self.validate_absolute_path(self.root, absolute)
            if found is None:
                return
            packed = await asyncio.get_running_loop().run_in_executor(None, _pack, found)
            # on the instance: the class's own also hashes what a file holds
            self.get_content = lambda *_: packed  # type: ignore[method-assign, assignment]
            self._packed = packed
        await super().get(path, include_body)

    def get_content_size(self) -> int:
        return super().get_content_size() if self._packed is None else len(self._packed)

    def compute_etag(self) -> str | None:
        tag = super().compute_etag()
        return tag if self._packed is None or tag is None else f'{tag[:-1]}-gzip"'

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Vary", "Accept-Encoding")
        if self._packed is not None:
            self.set_header("Content-Encoding", "gzip")

    def get_cache_time(self, path: str, modified: Any, mime_type: str) -> int:
        named = bool(self.request.query) or _HASHED.search(path) is not None
        return self.CACHE_MAX_AGE if named else 0


class Libraries(_Compressed, StaticHandler):
    """BokehJS."""


class Extensions(_Compressed, MultiRootStaticHandler):
    """Files of Panel and of its extensions."""


#: Handler of Bokeh's -> ours for the same files.
HANDLERS = {StaticHandler: Libraries, MultiRootStaticHandler: Extensions}


@lru_cache(maxsize=200)
def _pack(path: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), mtime=0)
