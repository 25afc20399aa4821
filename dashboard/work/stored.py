"""Figures that pages show until one's own replace them, as benchmarks/stored.py made them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from quantlab.experiments.attention import AttentionTable

from .speed import Comparison, Timing


@dataclass(frozen=True)
class Wins:
    """`wins[i][j]`: on how many of `heads` heads design i has a lower error than design j.

    The designs are in the order of their mean error.
    """

    bits: int
    heads: int
    names: Sequence[str]
    wins: Sequence[Sequence[int]]

    @classmethod
    def of(cls, table: AttentionTable) -> Wins:
        names = sorted(table.nmse, key=lambda name: float(table.nmse[name].mean()))
        wins = [[table.wins(a, b) for b in names] for a in names]
        return cls(table.bits, len(table.heads), names, wins)


class Row(NamedTuple):
    """What the report of the shipped example shows of a design; see `quantlab.ReportRow`."""

    design: str
    n_levels: Sequence[int]
    bits_per_entry: float
    measured_nmse: float
    nmse_with_gain: float
    best_db: float


@cache
def stored() -> dict[str, Any]:
    """The file: date, machine, wins by bits, timings, and the report of the shipped example."""
    found: dict[str, Any] = json.loads(
        (files("quantlab") / "data" / "stored.json").read_text(encoding="utf-8")
    )
    return found


def stored_wins(bits: int) -> Wins | None:
    """The wins at this many bits, if they are stored."""
    found = stored()["wins"].get(str(bits))
    return None if found is None else Wins(**found)


def stored_speed() -> Comparison:
    """Timings of one product, and the machine's roofs."""
    speed = dict(stored()["speed"])
    timings = {name: Timing(*values) for name, values in speed.pop("timings").items()}
    return Comparison(**speed, timings=timings)


def stored_products() -> list[tuple[str, float, float]]:
    """Products of many sizes by many routes: name, predicted and measured milliseconds."""
    return [(name, predicted, measured) for name, predicted, measured in stored()["products"]]


def stored_example() -> tuple[int, str, list[Row]]:
    """Bits, the advice, and the rows of the report of layer 2, head 6."""
    example = stored()["example"]
    return example["bits"], example["sentence"], [Row(*row) for row in example["rows"]]


def provenance() -> str:
    """When and where they were measured, as a sentence."""
    machine = stored()["machine"]
    return f"Stored: {stored()['date']}, {machine['processor']}, {machine['cores']} cores"
