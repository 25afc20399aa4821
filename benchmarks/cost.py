"""How well the cost model predicts: products of many sizes, by each route, predicted and measured.

python -m benchmarks.cost          writes benchmarks/results/cost.{md,json}, two minutes
python -m benchmarks.cost --quick  prints only, fewer rounds

Sizes are drawn at random (seed 7), none of them among those that the model was fitted to.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import quantlab as ql
from benchmarks._harness import machine
from quantlab.gemm.cost import cost, example, peaks
from quantlab.gemm.dispatch import FUSED_ROWS
from quantlab.gemm.layouts import Layout, Product

RESULTS = Path(__file__).parent / "results" / "cost"
_FLOAT, _PACKED, _BYTES = Layout(32), Layout(4, 16), Layout(8, 64)
_WIDE, _GROUPED = Layout(8, 256), Layout(8, 256, group=32)
#: name -> route, layouts of A and B, most rows
KINDS = {
    "int8, 4 bits packed": ("int8", _PACKED, _PACKED, 2048),
    "int8, a byte a code": ("int8", _BYTES, _BYTES, 2048),
    "int8, B prepared": ("int8", _PACKED, Layout(4, 16, prepared=True), 16),
    "int16, K = 256": ("int16", _WIDE, _WIDE, 1024),
    "grouped by 32": ("grouped", _GROUPED, _GROUPED, 1024),
    "fused, float A": ("fused", _FLOAT, _PACKED, FUSED_ROWS),
    "fused, groups of 32": ("fused", _FLOAT, Layout(4, 16, group=32), FUSED_ROWS),
    "fp32, float A": ("fp32", _FLOAT, _PACKED, 1024),
}
_EACH = 8


def sizes(most_rows: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Sizes from thousands to thousands of millions of multiply-adds, few rows and many."""
    found: list[tuple[int, int, int]] = []
    while len(found) < _EACH:
        m, k, n = (int(2**x) for x in rng.uniform([0, 6, 6], [np.log2(most_rows), 12.5, 12.5]))
        if 2**20 <= m * k * n <= 2**32:
            found.append((m, k, n))
    return found


def measured_products(quick: bool = False) -> list[dict]:
    """Predicted and measured seconds; the fastest of rounds that go over all products in turn."""
    rng = np.random.default_rng(7)
    rows, calls = [], []
    for name, (route, a, b, most) in KINDS.items():
        for m, k, n in sizes(most, rng):
            left, right = example(a, (m, k), 1, rng), example(b, (k, n), 0, rng)
            product = Product(route, m, k, n, a, b)
            calls.append((left, right, route))
            rows.append({"kind": name, "m": m, "k": k, "n": n, "product": product})
    seconds = np.empty((3 if quick else 9, len(calls)))
    for call in calls:
        ql.matmul(call[0], call[1], route=call[2])
    for turn in range(len(seconds)):
        for i, (left, right, route) in enumerate(calls):
            repeats, start = 0, time.perf_counter()
            while repeats < 1 or time.perf_counter() - start < 3e-3:
                ql.matmul(left, right, route=route)
                repeats += 1
            seconds[turn, i] = (time.perf_counter() - start) / repeats
    for row, each in zip(rows, seconds.min(axis=0), strict=True):
        found = cost(row.pop("product"))
        row |= {"predicted": found.seconds, "measured": float(each), "bound": found.bound,
                "share": found.limit / float(each)}  # fmt: skip
    return rows


def tables(rows: list[dict]) -> str:
    lines = ["| route | products | median off | largest predicted / measured | smallest |",
             "|---|---:|---:|---:|---:|"]  # fmt: skip
    for kind in [*KINDS, "all"]:
        ratios = np.array(
            [r["predicted"] / r["measured"] for r in rows if kind in (r["kind"], "all")]
        )
        lines.append(
            f"| {kind} | {len(ratios)} | {np.median(np.abs(ratios - 1)):.1%} | "
            f"{ratios.max():.2f} | {ratios.min():.2f} |"
        )
    lines += ["", "| route | m x k x n | predicted ms | measured | ratio | bound | of the limit |",
              "|---|---|---:|---:|---:|---|---:|"]  # fmt: skip
    lines += [
        f"| {r['kind']} | {r['m']} x {r['k']} x {r['n']} | {1e3 * r['predicted']:.3g} | "
        f"{1e3 * r['measured']:.3g} | {r['predicted'] / r['measured']:.2f} | {r['bound']} | "
        f"{r['share']:.0%} |"
        for r in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    start = time.perf_counter()
    limits = peaks()
    rows = measured_products(quick)
    about = machine(["numpy", "numba"])
    text = (
        "# Predicted and measured products\n\nMade by `python -m benchmarks.cost` in "
        f"{time.perf_counter() - start:.0f} s. "
        + ", ".join(f"{key} {value}" for key, value in about.items())
        + f".\n\nThis machine: copies {limits.copy / 1e9:.0f} GB/s, int8 {limits.int8 / 1e9:.0f}, "
        f"int16 {limits.int16 / 1e9:.0f}, fp32 {limits.fp32 / 1e9:.0f} Gop/s.\n\n{tables(rows)}\n"
    )
    print(text)
    if not quick:
        RESULTS.with_suffix(".md").write_text(text)
        record = {"command": "python -m benchmarks.cost", "about": about, "products": rows}
        RESULTS.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
