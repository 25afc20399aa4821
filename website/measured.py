"""Figures of the page 'How to choose', read from benchmarks/results when the site is built."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks/results"
#: name on the page -> size and row of benchmarks/results/cpu_amd_epyc.json
_PRODUCTS = {
    "cpu_square_4": ("1024 x 1024 x 1024", "quantlab 4 x 4 bit"),
    "cpu_square_8": ("1024 x 1024 x 1024", "quantlab 8 x 8 bit"),
    "cpu_row_packed": ("1 x 4096 x 4096", "quantlab 4 x 4 bit, packed"),
    "cpu_row_float": ("1 x 4096 x 4096", "quantlab float32 x 4 bit"),
}


def figures() -> dict[str, str]:
    """Name -> text, for the page's `$name`.

    Examples
    --------
    >>> {"scheme_table", "bilinear_16_ms", "cpu_square_4"} <= set(figures())
    True
    """
    design, feedback = _read("design"), _read("feedback")
    ms = {row["what"]: row["ms"] for row in design["timings"]}
    (time,) = (t for t in feedback["times"] if (t["shape"], t["bits"]) == ("4096 x 512", 4))
    digits = _digits()
    return {
        "scheme_table": _scheme_table(),
        "scheme_seconds_fixed": f"{_mean_of_heads('seconds', 4, 'fixed'):.1f}",
        "scheme_seconds_entropy": f"{_mean_of_heads('seconds', 4, 'entropy'):.1f}",
        "scheme_side_fixed": f"{_mean_of_heads('with_side', 4, 'fixed'):.2f}",
        "scheme_side_entropy": f"{_mean_of_heads('with_side', 4, 'entropy'):.2f}",
        "bilinear_16_ms": f"{ms['design_bilinear K=16 k=256 rho=0.8']:.0f}",
        "bilinear_64_ms": f"{ms['design_bilinear K=64 k=256 rho=0.8']:.0f}",
        "feedback_ms": f"{1e3 * time['feedback']:.0f}",
        "encode_ms": f"{1e3 * time['encode']:.1f}",
        "digits_times": f"{digits['balanced'] / digits['data_fit']:.0f}",
        "digits_balanced": f"{digits['balanced']:.1e}",
        "digits_fit": f"{digits['data_fit']:.1e}",
    } | _products()


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _heads(bits: int, lengths: str) -> list[dict[str, Any]]:
    rows = _read("schemes")["heads"]
    return [row for row in rows if (row["bits"], row["lengths"]) == (bits, lengths)]


def _mean_of_heads(column: str, bits: int, lengths: str) -> float:
    values = [row[column] for row in _heads(bits, lengths)]
    return sum(values) / len(values)


def _geometric(values: Iterable[float]) -> str:
    logs = [math.log(value) for value in values]
    return f"{math.exp(sum(logs) / len(logs)):.2e}"


def _scheme_table() -> str:
    lines = [
        "| bits | codebooks, balanced basis | scheme, fixed | scheme, entropy-coded | limit |",
        "|---:|---:|---:|---:|---:|",
    ]
    for bits in sorted({row["bits"] for row in _read("schemes")["heads"]}):
        fixed, entropy = _heads(bits, "fixed"), _heads(bits, "entropy")
        cells = [
            _geometric(row["balanced"] for row in fixed),
            _geometric(row["nmse"] for row in fixed),
            _geometric(row["nmse"] for row in entropy),
            _geometric(row["limit"] for row in fixed),
        ]
        lines.append(f"| {bits} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _digits() -> dict[str, Any]:
    return next(row for row in _read("schemes")["problems"] if "digits" in row["problem"])


def _products() -> dict[str, str]:
    sections = _read("cpu_amd_epyc")["sections"]
    timings = next(s["timings"] for s in sections if s["heading"] == "Products")
    ratios = {(size, row["name"]): row["ratio"] for size in timings for row in timings[size]}
    return {name: f"{ratios[place]:.1f}" for name, place in _PRODUCTS.items()}
