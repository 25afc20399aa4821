"""Who opens a page while others do: one page is built after the other, in turn.

A page takes the event loop for more than half a second. Those of a class that arrives in one moment
would all be built before the first is sent, and nobody could move a slider meanwhile.
"""

from __future__ import annotations

import asyncio

from bokeh.application.application import SessionContext
from bokeh.application.handlers import Handler
from bokeh.document import Document

#: Seconds for which the event loop has nothing to do before the next page; how often it is asked.
_STILL, _ASKED = 0.02, 10


class Arrivals(Handler):
    """A part of the served application: it lets a session begin when its turn comes."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = asyncio.Lock()

    def modify_document(self, doc: Document) -> None:
        """The page is another handler's."""

    async def on_session_created(self, session_context: SessionContext) -> None:
        """Wait for the pages that were asked for earlier; the caller builds this one at once."""
        others = self._turn.locked()
        async with self._turn:
            await asyncio.sleep(0)
            if others:
                await self._still()

    async def _still(self) -> None:
        """Let those who have their page come first."""
        loop = asyncio.get_running_loop()
        for _ in range(_ASKED):
            start = loop.time()
            await asyncio.sleep(_STILL)
            if loop.time() - start < 1.5 * _STILL:
                return
