"""The dashboard inside Jupyter: its pages in a notebook, and its server behind the hub's proxy."""

from __future__ import annotations

import sys
from typing import Any


def show_page(page: str = "density", **controls: Any) -> Any:
    """A page of the dashboard as a cell's output; it moves as long as the kernel runs.

    Parameters
    ----------
    page : {"density", "error", "codebooks", "attention", "data", "speed"}
    **controls
        Values of its controls by their names in a link, as in rho=0.9, k_x=8 or law="laplace".

    Returns
    -------
    panel.viewable.Viewable

    Raises
    ------
    ValueError
        If there is no such page or control, or a value is out of its bounds.

    Notes
    -----
    Needs the extra `dashboard`. Call panel.extension(inline=True) once before, so that nothing is
    asked of a network.

    Examples
    --------
    >>> show_page("error", rho=2.0)
    Traceback (most recent call last):
    ValueError: rho: expected a number from -1 to 1; got 2.0
    """
    from quantlab.dashboard.session import Session
    from quantlab.dashboard.state import checked

    return Session(**checked({"page": page, **controls})).embedded()


def proxied_server() -> dict[str, Any]:
    """How jupyter-server-proxy starts the dashboard, and what the launcher calls it.

    The proxy asks for the Jupyter login, and it alone reaches the server: the browsers behind it
    may come from any address.
    """
    return {
        "command": [
            sys.executable, "-m", "quantlab.cli", "dashboard", "--port", "{port}",
            "--prefix", "{base_url}quantlab", "--origin", "*",
        ],
        "absolute_url": True,
        "timeout": 60,
        "launcher_entry": {"title": "quantlab dashboard"},
    }  # fmt: skip
