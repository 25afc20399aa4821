"""`quantlab reproduce` on the command line."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from quantlab.cli.common import Failure, add_command


def add_reproduce(commands: object) -> None:
    """Add the subcommand to argparse's `commands`."""
    parser = add_command(
        commands, "reproduce",
        "run the paper's experiments and ours; exit status 1 if measurement and theory differ",
        "Run the paper's experiments and ours, and set each claim beside what was measured.",
        "quantlab reproduce --quick --output reproduced",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="two minutes instead of thirty")
    parser.add_argument(
        "--output", type=Path, default=Path("reproduced"), metavar="FOLDER",
        help="for reproduce.md, reproduce.json and the pictures; default: reproduced",
    )  # fmt: skip
    parser.add_argument("--runner", choices=("processes", "threads", "serial"), default="processes")
    parser.add_argument("--workers", type=int, help="default: one a processor")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster: run there")
    parser.add_argument(
        "--store", type=Path, metavar="FOLDER",
        help="keep finished cells there, and resume from them",
    )  # fmt: skip
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="transformer for the attention heads: a folder, or a hub's name",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-figures", action="store_true", help="draw no pictures")
    parser.set_defaults(run=_reproduce)


def _reproduce(options: argparse.Namespace) -> int:
    from quantlab.experiments.reproduce import reproduce

    draws = not options.no_figures
    missing = [name for name in ("holoviews", "matplotlib") if find_spec(name) is None]
    if draws and missing:
        raise Failure(
            f"pictures need {' and '.join(missing)}: pip install -e '.[figures]', or --no-figures"
        )
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        report = reproduce(
            options.quick, runner=options.runner, workers=options.workers,
            scheduler=options.scheduler, store=options.store, seed=options.seed,
            model=options.model, quiet=False,
        )  # fmt: skip
    except (ValueError, ImportError, RuntimeError, OSError) as error:
        raise Failure(f"{error}") from None
    (options.output / "reproduce.md").write_text(report.to_markdown(), encoding="utf-8")
    (options.output / "reproduce.json").write_text(report.to_json(), encoding="utf-8")
    if draws:
        from quantlab.experiments.figures import save_figures

        for finding in report.findings.values():
            save_figures(finding.tables, options.output)
    print(report.to_terminal(color=sys.stdout.isatty()))
    print(f"written to {options.output}: reproduce.md, reproduce.json" + ", pictures" * draws)
    return 1 if report.failing else 0
