"""A page of counts for whoever runs the server; Panel's own asks the network for fonts."""

from __future__ import annotations

import os
import time
from pathlib import Path
from string import Template

from bokeh.server.views.auth_request_handler import AuthRequestHandler
from tornado.web import authenticated

from ..limits import LIMITS, MEGABYTE

_STARTED = time.time()
_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>quantlab server</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 32rem; padding: 0 1rem; }
td { padding: 0.2rem 0; } td + td { text-align: right; font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; } tr + tr { border-top: 1px solid #8884; }
</style></head>
<body><h1>quantlab server</h1><table>$rows</table>
<p>Of process $pid, which answered this time. Every 5 seconds anew.</p></body></html>
"""
)


class AdminPage(AuthRequestHandler):
    """Sessions, memory and time of the process that answers; behind the password, if any."""

    @authenticated
    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        sessions = self.application.get_sessions("/")
        rows = "".join(
            f"<tr><td>{name}</td><td>{value}</td></tr>"
            for name, value in counts(len(sessions)).items()
        )
        self.write(_PAGE.substitute(rows=rows, pid=os.getpid()))


def counts(sessions: int) -> dict[str, str]:
    """What the page lists, by name."""
    up = int(time.time() - _STARTED)
    return {
        "Open sessions": str(sessions),
        "Memory": f"{memory() / 1e6:.0f} MB",
        "Processor time": f"{time.process_time():.0f} s",
        "Largest upload": f"{LIMITS.upload / MEGABYTE:g} MB",
        "Running for": f"{up // 3600} h {up // 60 % 60} min {up % 60} s",
    }


def memory() -> float:
    """Bytes of this process in memory; NaN where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
