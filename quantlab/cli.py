"""The command line: quantlab dashboard | lab | reproduce."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from quantlab import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 when it did what it says."""
    parser = argparse.ArgumentParser(
        prog="quantlab", description="Optimal scalar quantization for matrix multiplication."
    )
    parser.add_argument("--version", action="version", version=f"quantlab {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    dashboard = commands.add_parser("dashboard", help="serve the dashboard in the browser")
    dashboard.add_argument("--port", type=_port, default=5006, help="default: 5006")
    dashboard.add_argument(
        "--address", default="localhost", help="address to listen on; default: localhost only"
    )
    dashboard.add_argument("--show", action="store_true", help="open a browser window too")
    dashboard.set_defaults(run=_dashboard)

    lab = commands.add_parser("lab", help="open the notebooks in JupyterLab")
    lab.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to JupyterLab")
    lab.set_defaults(run=_lab)

    from quantlab.experiments.command import add_reproduce

    add_reproduce(commands)

    options = parser.parse_args(argv)
    return options.run(options)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is an integer from 1 to 65535; got {text!r}")
    return int(text)


def _dashboard(options: argparse.Namespace) -> int:
    if not _installed("panel", "dashboard"):
        return 1
    from dashboard.app import serve

    try:
        serve(port=options.port, address=options.address, show=options.show)
    except OSError as error:
        print(f"cannot listen on {options.address}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


def _lab(options: argparse.Namespace) -> int:
    notebooks = Path(__file__).parent.parent / "notebooks"
    if not notebooks.is_dir():
        print(f"the notebooks come with the repository; {notebooks} is not there", file=sys.stderr)
        return 1
    if not _installed("jupyterlab", "lab"):
        return 1
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={notebooks}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container; the server still listens on loopback only
    try:
        return subprocess.call([*command, *options.arguments])
    except KeyboardInterrupt:
        return 0


def _installed(module: str, extra: str) -> bool:
    if find_spec(module) is not None:
        return True
    print(f"{module} is not installed: pip install -e '.[{extra}]'", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
