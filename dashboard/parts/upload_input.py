"""A file input that tells what becomes of a file: how far it is, or why it is not taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel_material_ui as pmui

from ..limits import LIMITS, MEGABYTE

_CHUNK = 2 * 2**20  # bytes of a message: a bar of 25 steps for the largest file


class UploadInput(pmui.FileInput):
    """One file, in chunks; a browser that sends more than the limit is not listened to.

    `taken(name, content)`, `progress(share)` and `refused(sentence)` are called as it comes.
    The widget's own check of extensions is not used: it fails without a word.
    """

    def __init__(
        self, label: str, *, taken: Callable[[str, bytes], Any], progress: Callable[[float], Any],
        refused: Callable[[str], Any], **params: Any,
    ) -> None:  # fmt: skip
        super().__init__(label=label, max_file_size=LIMITS.upload, chunk_size=_CHUNK, **params)
        self._taken, self._progress, self._refused = taken, progress, refused
        self._name, self._parts, self._size = "", list[bytes](), 0

    def _handle_msg(self, msg: dict[str, Any]) -> None:
        status = msg.get("status")
        if status == "initializing":
            self._forget()
        elif status == "upload_event":
            self._part(msg)
        elif status == "finished":
            name, content = self._name, b"".join(self._parts)
            self._forget()
            self._send_msg({"status": "finished"})
            self._taken(name, content)
        elif status == "error":
            self._forget()
            why = str(msg.get("error"))[:300]
            if "maximum file size" in why:  # in units of 1024², which nobody was promised
                why = f"The file is over the limit of {LIMITS.upload / MEGABYTE:g} MB"
            self._refused(why)

    def _part(self, msg: dict[str, Any]) -> None:
        data = bytes(msg["data"])
        self._size += len(data)
        if self._size > LIMITS.upload + _CHUNK:  # read_matrices says so: the rest is dropped
            return
        self._name = str(msg["name"])
        self._parts.append(data)
        self._progress(msg["chunk"] / max(1, msg["total_chunks"]))

    def _forget(self) -> None:
        self._name, self._parts, self._size = "", [], 0
