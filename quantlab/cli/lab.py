"""`quantlab lab`: the notebooks in JupyterLab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from quantlab.cli.common import Failure, add_command, needs

_COPY = "quantlab-notebooks"
_SHOWN_ON = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def add_lab(commands: object) -> None:
    """Add the subcommand to argparse's `commands`, for its help: `run_lab` takes the options."""
    parser = add_command(
        commands, "lab", "open the notebooks in JupyterLab",
        "Open the notebooks in JupyterLab; all options are passed on to it. In a repository its\n"
        f"notebooks are opened; else a copy of them in the folder {_COPY}, which keeps\nwhat you "
        "change there.",
        "quantlab lab --no-browser --port 9000",
    )  # fmt: skip
    parser.usage = "quantlab lab [OPTION OF JUPYTERLAB ...]"


def run_lab(arguments: Sequence[str]) -> int:
    """Start JupyterLab with its own options; 1 if it is not installed."""
    try:
        needs("jupyterlab", "lab")
    except Failure as error:
        print(f"quantlab lab: {error}", file=sys.stderr)
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
    packaged = Path(__file__).parents[1] / "notebooks"
    if not packaged.is_dir():
        return packaged.parents[1] / "notebooks"
    copy = Path.cwd() / _COPY
    copy.mkdir(exist_ok=True)
    for notebook in packaged.glob("*.ipynb"):
        if not (copy / notebook.name).exists():
            shutil.copyfile(notebook, copy / notebook.name)
    return copy
