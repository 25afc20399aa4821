"""Who opens a page while others do: one after the other, in turn.

A page that is built takes the event loop for more than half a second, and one that is ready for
some hundredths. Those of a class that arrives in one moment would all wait for the last one's, and
nobody could move a slider meanwhile.
"""

from __future__ import annotations

import asyncio

from bokeh.application.application import SessionContext
from bokeh.application.handlers import Handler
from bokeh.document import Document

#: Seconds for which the event loop has nothing to do before the next page; how often it is asked.
_STILL, _ASKED = 0.01, 10


class Turn:
    """`await turn()` returns when those who came earlier have their page."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __call__(self) -> None:
        others = self._lock.locked()
        async with self._lock:
            await asyncio.sleep(0)
            if others:
                await self._still()

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
        """The page is another handler's."""

    async def on_session_created(self, session_context: SessionContext) -> None:
        """Wait for the pages that were asked for earlier; the caller builds this one at once."""
        await self._turn()
