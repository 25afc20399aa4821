"""Who opens a page while others do: one after the other, in turn.

A page that is built takes the event loop for more than half a second, and one that is ready for
some hundredths. Those of a class that arrives in one moment would all wait for the last one's, and
nobody could move a slider meanwhile. A page is under way until its browser has asked for what is on
it, which takes a few messages to and fro: it comes before the pages that are still to be made.
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from bokeh.application.application import SessionContext
from bokeh.application.handlers import Handler
from bokeh.document import Document

#: Seconds for which the event loop has nothing to do before the next page; how often it is asked.
_STILL, _ASKED = 0.01, 10
#: Pages that may be under way when the next one is begun, and seconds that it waits for them.
_UNDER_WAY, _PATIENCE = 3, 1.0


class Turn:
    """`await turn()` returns when those who came earlier have their page."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._coming = 0  # who waits or has the lock: it is free for a moment between two of them
        self._under_way: WeakKeyDictionary[Document, None] = WeakKeyDictionary()

    async def __call__(self) -> None:
        others = self._coming > 0
        self._coming += 1
        try:
            async with self._lock:
                await asyncio.sleep(0)
                if others:
                    await self._few_under_way()
                    await self._still()
        finally:
            self._coming -= 1

    def under_way(self, document: Document) -> None:
        """The document's page was handed out; it arrives when the document is serialised."""
        before = vars(document).get("to_json")

        def to_json(*args: Any, **options: Any) -> Any:
            self._under_way.pop(document, None)
            if before is None:
                del document.to_json
            else:
                document.to_json = before
            return document.to_json(*args, **options)

        document.to_json = to_json
        self._under_way[document] = None

    async def _few_under_way(self) -> None:
        for _ in range(round(_PATIENCE / _STILL)):
            if len(self._under_way) < _UNDER_WAY:
                return
            await asyncio.sleep(_STILL)
        self._under_way.popitem()  # it was closed, perhaps

    async def _still(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ASKED):
            start = loop.time()
            await asyncio.sleep(_STILL)
            if loop.time() - start < 1.5 * _STILL:
                return


class Arrivals(Handler):
    """A part of the served application: it lets a session begin when its turn comes."""

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self._turn = turn

    def modify_document(self, doc: Document) -> None:
        """The page is another handler's; from here on it is under way."""
        self._turn.under_way(doc)

    async def on_session_created(self, session_context: SessionContext) -> None:
        """Wait for the pages that were asked for earlier; the caller builds this one at once."""
        await self._turn()
