"""`quantlab dashboard`: serve the dashboard, as far as its options go."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from pathlib import Path

from quantlab.cli.common import Failure, Unusable, add_command, needs

#: Environment variable of the dashboard's password.
PASSWORD = "QUANTLAB_PASSWORD"


def add_dashboard(commands: object) -> None:
    """Add the subcommand to argparse's `commands`."""
    parser = add_command(
        commands, "dashboard", "serve the dashboard in the browser",
        "Serve the dashboard. It answers this machine alone unless --address says otherwise, asks\n"
        "nothing of the network, and tells at /healthz whether it is alive, at /readyz whether a\n"
        "page can be had.",
        "quantlab dashboard --port 8080 --show\n"
        "quantlab dashboard --address 0.0.0.0 --password-file secret.txt --origin me.example.org",
    )  # fmt: skip
    add = parser.add_argument
    add("--port", type=_port, default=5006, help="default: 5006")
    add(
        "--address",
        type=_address,
        default="localhost",
        help="address to listen on; default: localhost, this machine alone; 0.0.0.0: everybody",
    )
    add(
        "--processes",
        type=_processes,
        default=1,
        metavar="N",
        help="server processes on the port; arrivals at the same moment may share one: for a "
        "class, separate servers behind a proxy are better (README); default: 1",
    )
    add(
        "--origin",
        type=_origin,
        action="append",
        default=[],
        dest="origins",
        metavar="HOST[:PORT]",
        help="name of this server in a browser's address bar, where a proxy gives it another; "
        "repeatable; '*': any",
    )
    add(
        "--upload-limit",
        type=_megabytes,
        default=50.0,
        metavar="MB",
        help="largest uploaded file; default: 50",
    )
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument(
        "--password",
        help="ask it from every visitor; others on this machine can see it in the list of "
        f"processes: rather set {PASSWORD} or --password-file",
    )
    secret.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="read the password from FILE's first line",
    )
    add("--admin", action="store_true", help="serve /admin: sessions, memory; default: off")
    add(
        "--prefix",
        type=_prefix,
        default="",
        metavar="PATH",
        help="path in front of every address, as a proxy passes it on",
    )
    add(
        "--frame-ancestors",
        type=_frame_ancestor,
        action="append",
        default=[],
        metavar="ORIGIN",
        help="site that may show the dashboard in a frame, besides this server's own, as in "
        "https://lecture.example.org; repeatable; '*': any; 'none': none; default: its own alone",
    )
    add(
        "--spare",
        type=_spare,
        default=60,
        metavar="N",
        help="pages made while nobody asks, 3 MB each, that wait for a class; default: 60",
    )
    add("--show", action="store_true", help="open a browser window too")
    parser.set_defaults(run=_dashboard)


def _port(text: str) -> int:
    return _integer(text, 1, 65535, "a port")


def _spare(text: str) -> int:
    return _integer(text, 0, 1000, "a number of pages")


def _processes(text: str) -> int:
    count = _integer(text, 1, 64, "a number of processes")
    if count > 1 and sys.platform == "win32":
        raise argparse.ArgumentTypeError("Windows has one process for each server; start more")
    return count


def _integer(text: str, low: int, high: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{what} is an integer from {low} to {high}; got {text!r}")
    return int(text)


def _megabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 2000:
        raise argparse.ArgumentTypeError(
            f"an upload limit is a number of MB above 0 and up to 2000; got {text!r}"
        )
    return value


def _address(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z.:_%-]+", text):
        raise argparse.ArgumentTypeError(
            f"an address is a host name or an IP number, without port or http://; got {text!r}"
        )
    return text


def _origin(text: str) -> str:
    host = text.partition("://")[2] if text.startswith(("http://", "https://")) else text
    host = host.removesuffix("/").lower()
    match = re.fullmatch(r"(?:\*|[0-9a-z*._-]+)(?::([0-9]+))?", host)
    if match is None or not 1 <= int(match[1] or 1) <= 65535:
        raise argparse.ArgumentTypeError(
            f"an origin is HOST or HOST:PORT, as in class.example.org; got {text!r}"
        )
    return host


def _frame_ancestor(text: str) -> str:
    host = r"https?://(?:\*\.)?[0-9a-z_-]+(?:\.[0-9a-z_-]+)*(?::([0-9]+))?"
    match = re.fullmatch(rf"\*|none|self|{host}", text.lower().removesuffix("/"))
    if match is None or not 1 <= int(match[1] or 1) <= 65535:
        raise argparse.ArgumentTypeError(
            "a site that may show the dashboard is SCHEME://HOST[:PORT], as in "
            f"https://lecture.example.org, '*', 'self' or 'none'; got {text!r}"
        )
    return match[0]


def _prefix(text: str) -> str:
    if not re.fullmatch(r"(/?[0-9A-Za-z._~@-]+)*/?", text) or ".." in text:
        raise argparse.ArgumentTypeError(
            f"a prefix is a path of letters, digits and - . _ ~ @, as in /quantlab; got {text!r}"
        )
    return text.strip("/")


def _password(options: argparse.Namespace) -> str | None:
    """The password, None without one; ValueError says what is wrong with it, without it."""
    secret = options.password
    if options.password_file is not None:
        try:
            lines = options.password_file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the password file cannot be read: {error}") from None
        secret = lines[0] if lines else ""
    elif secret is None:
        secret = os.environ.get(PASSWORD)
    if secret is not None and not secret.strip():
        raise ValueError("the password is empty; expected at least one character")
    return secret


def _dashboard(options: argparse.Namespace) -> int:
    needs("panel", "dashboard")
    try:
        password = _password(options)
        if "none" in options.frame_ancestors and len(set(options.frame_ancestors)) > 1:
            raise ValueError("--frame-ancestors none stands alone; others were given too")
    except ValueError as error:
        raise Unusable(f"{error}") from None
    from quantlab.dashboard.server.serving import is_loopback, serve

    if password is None and not is_loopback(options.address):
        print(
            f"warning: everybody who can reach {options.address}:{options.port} can use this "
            f"server; ask for a password with --password-file or {PASSWORD}",
            file=sys.stderr,
        )
    try:
        serve(
            options.port, options.address, processes=options.processes, origins=options.origins,
            upload_limit=options.upload_limit, password=password, admin=options.admin,
            prefix=options.prefix, frame_ancestors=options.frame_ancestors, spare=options.spare,
            show=options.show,
        )  # fmt: skip
    except OSError as error:
        where = f"{options.address}:{options.port}"
        raise Failure(f"cannot listen on {where}: {error}") from None
    return 0
