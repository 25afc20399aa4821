"""Wrong passwords answered more and more slowly, each address of a visitor by itself.

After f ≥ `FREE` wrong ones in a row the next try waits min(2^(f - FREE) · FIRST, LONGEST) seconds
before it is looked at, right or wrong: an early answer would tell which. Tries of one address wait
in line, so that many at once learn nothing sooner.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from tornado.httputil import HTTPServerRequest

#: Wrong tries in a row that cost nothing; the first wait and the longest one (s).
FREE, FIRST, LONGEST = 5, 1.0, 30.0
#: Tries of one address that may wait; seconds after which its wrong ones are forgotten.
LINE, FORGOTTEN = 50, 900.0
#: Addresses that are remembered; the one that has been quiet longest goes first.
ADDRESSES = 10_000


class TooMany(Exception):
    """The address has as many tries waiting as may wait."""


@dataclass
class _Record:
    """One address: wrong tries in a row, when the last one was, and who waits."""

    wrong: int = 0
    last: float = field(default_factory=time.monotonic)
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Patience:
    """What is remembered of the addresses that tried; of this process alone."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    async def admits(
        self, address: str, right: Callable[[], bool], gone: Callable[[], bool] = lambda: False
    ) -> bool:
        """Whether a try is right, told after the wait that its address has earned.

        Parameters
        ----------
        address : str
        right : callable
            Looks at the password; called once, after the wait.
        gone : callable
            Whether the visitor has left: such a try waits for nothing, and is wrong.

        Raises
        ------
        TooMany
            If `LINE` tries of the address wait already; the password is not looked at.
        """
        record = self._record(address)
        if record.waiting >= LINE:
            raise TooMany
        record.waiting += 1
        try:
            async with record.turn:
                if gone():
                    return False
                await asyncio.sleep(pause(record.wrong))
                found = right()
                record.wrong = 0 if found else record.wrong + 1
                record.last = time.monotonic()
        finally:
            record.waiting -= 1
        if record.wrong == 0 and not record.waiting and self._records.get(address) is record:
            del self._records[address]
        return found

    def _record(self, address: str) -> _Record:
        record = self._records.setdefault(address, _Record())
        self._records.move_to_end(address)
        if not record.waiting and time.monotonic() - record.last > FORGOTTEN:
            record.wrong = 0
        while len(self._records) > ADDRESSES:
            self._records.popitem(last=False)
        return record


def pause(wrong: int) -> float:
    """Seconds that the next try waits after `wrong` wrong ones in a row."""
    return 0.0 if wrong < FREE else min(FIRST * 2.0 ** min(wrong - FREE, 30), LONGEST)


def visitor(request: HTTPServerRequest) -> str:
    """The address that a request comes from.

    A proxy on this machine is believed: what it says itself, last in X-Forwarded-For, and not what
    a visitor wrote before it. A whole IPv6 network of 64 bits counts as one address.
    """
    address = _ip(request.remote_ip or "")
    if address is not None and address.is_loopback:
        said = ",".join(request.headers.get_list("X-Forwarded-For")).rpartition(",")[2]
        address = _ip(said.strip()) or address
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found
