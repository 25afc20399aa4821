"""The command line: quantlab dashboard | lab | reproduce | measure."""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quantlab import __version__

#: Environment variable of the dashboard's password.
PASSWORD = "QUANTLAB_PASSWORD"

_COPY = "quantlab-notebooks"
_SHOWN_ON = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 when it did what it says."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["lab"] and not {"-h", "--help"} & set(given):
        return _lab(given[1:])  # options too are JupyterLab's own
    parser = argparse.ArgumentParser(
        prog="quantlab", description="Optimal scalar quantization for matrix multiplication."
    )
    parser.add_argument("--version", action="version", version=f"quantlab {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _add_dashboard(commands)

    commands.add_parser(
        "lab",
        help="open the notebooks in JupyterLab",
        usage="quantlab lab [OPTION OF JUPYTERLAB ...]",
        description="Open the notebooks in JupyterLab; all options are passed on to it, as in "
        "quantlab lab --no-browser --port 9000. In a repository its notebooks are opened; else a "
        f"copy of them in the folder {_COPY}, which keeps what you change there.",
    )

    from quantlab.experiments.command import add_reproduce
    from quantlab.gemm.cuda import device_name
    from quantlab.measure_command import add_measure

    add_reproduce(commands)
    # torch takes a second to say whether there is a GPU: asked only where the answer matters
    add_measure(commands, device_name() if "measure" in given else None)

    options = parser.parse_args(given)
    return options.run(options)


def _add_dashboard(commands: Any) -> None:
    parser = commands.add_parser(
        "dashboard",
        help="serve the dashboard in the browser",
        description="Serve the dashboard. It answers this machine alone unless --address says "
        "otherwise, asks nothing of the network, and tells at /healthz whether it is alive, at "
        "/readyz whether a page can be had.",
    )
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
    if not _installed("panel", "dashboard"):
        return 1
    try:
        password = _password(options)
        if "none" in options.frame_ancestors and len(set(options.frame_ancestors)) > 1:
            raise ValueError("--frame-ancestors none stands alone; others were given too")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
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
        print(f"cannot listen on {options.address}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


def _lab(arguments: Sequence[str]) -> int:
    if not _installed("jupyterlab", "lab"):
        return 1
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={_notebooks()}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container; the server still listens on loopback only
    # without a display there is no browser to open: JupyterLab says its address
    if sys.platform == "linux" and not any(map(os.environ.get, _SHOWN_ON)):
        command.append("--no-browser")
    try:
        return subprocess.call([*command, *arguments[arguments[:1] == ["--"] :]])
    except KeyboardInterrupt:
        return 0


def _notebooks() -> Path:
    """The repository's folder, or a copy here of those in the wheel."""
    packaged = Path(__file__).parent / "notebooks"
    if not packaged.is_dir():
        return packaged.parents[1] / "notebooks"
    copy = Path.cwd() / _COPY
    copy.mkdir(exist_ok=True)
    for notebook in packaged.glob("*.ipynb"):
        if not (copy / notebook.name).exists():
            shutil.copyfile(notebook, copy / notebook.name)
    return copy


def _installed(module: str, extra: str) -> bool:
    if find_spec(module) is not None:
        return True
    print(f"{module} is not installed: pip install -e '.[{extra}]'", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
