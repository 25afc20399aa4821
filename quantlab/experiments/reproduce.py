"""`quantlab reproduce`: every claim of the paper beside what is measured here."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from quantlab.experiments import claims
from quantlab.experiments.attention_claims import attention
from quantlab.experiments.claims import Claim, Finding, Run
from quantlab.experiments.codes_ladder import codes_ladder
from quantlab.experiments.gallery import products_in_the_wild
from quantlab.sweep import Row, open_executor

EXPERIMENTS = {
    "products": claims.products,
    "theory": claims.theory,
    "least squares": claims.least_squares,
    "attention": attention,
    "codes": codes_ladder,
    "gallery": products_in_the_wild,
}
HEADER = ("claim", "paper", "ours, its design", "ours, our best", "agrees")
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True)
class Report:
    """The findings of all experiments, and what it took."""

    findings: dict[str, Finding]
    environment: dict[str, Any]
    seconds: dict[str, float]

    @property
    def claims(self) -> list[Claim]:
        return [claim for finding in self.findings.values() for claim in finding.claims]

    @property
    def failing(self) -> list[Row]:
        """Cells whose measured error contradicts the exact theory."""
        return [row for finding in self.findings.values() for row in finding.failing]

    def to_markdown(self) -> str:
        """The table of claims, their notes, every experiment's table, settings and versions."""
        lines = ["# The paper's experiments, reproduced", "", *self._summary(), ""]
        lines += _table(HEADER, [_cells(claim) for claim in self.claims])
        notes = [
            f"- {claim.statement} {claim.ours}: {claim.note}" for claim in self.claims if claim.note
        ]
        lines += ["", "Intervals are of 95 %. [1] is arXiv 2603.19559.", "", *notes]
        for name, finding in self.findings.items():
            lines += [
                "",
                f"## {name} ({self.seconds[name]:.0f} s)",
                "",
                f"`{_json(finding.settings)}`",
            ]
            for title, rows in finding.tables.items():
                names = list(dict.fromkeys(key for row in rows for key in row))
                body = [[_number(row.get(key)) for key in names] for row in rows]
                lines += ["", f"### {title}", "", *_table(names, body)]
        return "\n".join([*lines, ""])

    def _summary(self) -> list[str]:
        made = ", ".join(f"{key} {value}" for key, value in self.environment.items())
        return [f"{self.verdict()}", "", f"Made by `quantlab reproduce`: {made}."]

    def verdict(self) -> str:
        """One sentence: do measured and exact errors agree?"""
        checked = sum(len(f.tables.get("products", ())) for f in self.findings.values())
        if self.failing:
            return f"{len(self.failing)} of {checked} measured cells CONTRADICT the exact theory."
        return f"All {checked} measured cells agree with the exact theory within chance."

    def to_json(self) -> str:
        """Everything in the report, as numbers."""
        record = {
            "claims": [asdict(claim) for claim in self.claims],
            "failing": self.failing,
            "experiments": {
                name: {"settings": f.settings, "tables": f.tables, "seconds": self.seconds[name]}
                for name, f in self.findings.items()
            },
            "environment": self.environment,
        }
        return json.dumps(record, indent=1, allow_nan=False) + "\n"

    def to_terminal(self, color: bool) -> str:
        """The claims one under the other, and the failing cells in red."""
        lines = []
        for claim in self.claims:
            lines.append(claim.statement)
            for label, text in zip(HEADER[1:], _cells(claim)[1:], strict=True):
                if text:
                    lines.append(f"    {label:<17} {text}")
        lines += ["", self.verdict()]
        red, plain = (_RED, _PLAIN) if color else ("", "")
        for row in self.failing:
            lines.append(
                f"{red}FAILS rho = {row['rho']}, K = {row['levels']}, {row['design']}: measured "
                f"{row['nmse']:.4e} [{row['low']:.4e}, {row['high']:.4e}], exact "
                f"{row['exact']:.4e}, {row['deviations']:+.1f} standard errors{plain}"
            )
        return "\n".join(lines)


def reproduce(
    quick: bool = False,
    *,
    runner: str = "processes",
    workers: int | None = None,
    scheduler: str | None = None,
    store: str | Path | None = None,
    seed: int = 0,
    model: str | None = None,
    only: Sequence[str] = tuple(EXPERIMENTS),
    quiet: bool = True,
) -> Report:
    """Run the paper's experiments and ours.

    Parameters
    ----------
    quick : bool
        Fewer settings and trials: under two minutes on two cores, else under thirty.
    runner, workers, scheduler
        Where, as in `quantlab.sweep.open_executor`.
    store : path, optional
        Folder for finished cells: an interrupted run resumes from it. Take a new one when the
        code has changed.
    seed : int
        Of every trial.
    model : str, optional
        For the attention experiment: a transformer's folder, or its name on a hub.
    only : sequence of str
        Some of `EXPERIMENTS`.
    quiet : bool
        No progress on standard error.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If an experiment is unknown.
    """
    for name in only:
        if name not in EXPERIMENTS:
            raise ValueError(f"experiment must be one of {tuple(EXPERIMENTS)}; got {name!r}")
    findings, seconds = {}, {}
    with open_executor(runner, workers, scheduler) as executor:
        folder = None if store is None else Path(store)
        run = Run(quick, seed, executor, folder, quiet, model)
        for name in only:
            start = time.perf_counter()
            findings[name] = EXPERIMENTS[name](run)
            seconds[name] = round(time.perf_counter() - start, 1)
    environment = {
        "quick": quick,
        "seed": seed,
        "runner": scheduler or f"{runner} x {workers or 'all processors'}",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "numba")},
        "machine": f"{platform.system()} {platform.machine()}",
    }
    return Report(findings, environment, seconds)


def _cells(claim: Claim) -> list[str]:
    return [claim.statement, claim.paper or "", claim.ours, claim.best, claim.agrees]


def _table(names: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in body),
    ]


def _number(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, default=str)
