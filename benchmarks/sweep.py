"""The phase-diagram sweep: 41 rho x 8 K x 5 designs x 20 trials at 128 x 256 x 128, by workers.

python benchmarks/sweep.py        writes benchmarks/results/sweep.{md,json}; about a minute
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from quantlab.experiments.designs import LAW_DESIGNS
from quantlab.experiments.matrix_product import product_errors, product_table
from quantlab.experiments.statistics import chance_limit
from quantlab.sweep import Sweep, open_executor

RESULTS = Path(__file__).parent / "results"
TRIALS = 20
GRID = {
    "rho": np.round(np.linspace(0.0, 1.0, 41), 4),
    "n_levels": (2, 3, 4, 6, 8, 16, 32, 64),
    "designs": LAW_DESIGNS,
    "m": 128, "k": 256, "n": 128,
}  # fmt: skip


def main() -> None:
    sweep = Sweep(product_errors, GRID, TRIALS)
    seconds, rows = {}, {}
    for workers in (1, 2, 1, 2):
        start = time.perf_counter()
        with open_executor("processes", workers) as executor:
            rows[workers] = sweep.run(executor, chunk=TRIALS)
        took = time.perf_counter() - start
        seconds[workers] = min(took, seconds.get(workers, took))
        print(f"{workers} workers: {took:.1f} s", flush=True)
    assert rows[1] == rows[2]
    products = len(rows[1]) // 2  # each gives a row without gain and one with
    table = product_table(rows[1])
    # at rho = 1 the mean is a plain one, and its few trials far from normal
    deviations = np.abs([row["deviations"] for row in table if row["rho"] < 1])
    record = {
        "products": products,
        "seconds": seconds,
        "speed_up": seconds[1] / seconds[2],
        "cells": deviations.size,
        "largest_deviation": float(deviations.max()),
        "limit": chance_limit(deviations.size, TRIALS),
        "processors": os.cpu_count(),
        "Python": platform.python_version(),
        "numpy": np.__version__,
    }
    (RESULTS / "sweep.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = [
        "# The phase-diagram sweep",
        "",
        f"41 rho x 8 K (2 to 64) x 5 designs x {TRIALS} trials = {products:,} coded products of "
        "128 x 256 x 128,",
        "codebooks and worker start included; the shorter of two runs. Both runs give the same "
        "numbers.",
        "",
        "| workers | seconds |",
        "|---|---|",
        *(f"| {workers} | {took:.1f} |" for workers, took in sorted(seconds.items())),
        "",
        f"Speed-up {record['speed_up']:.2f} on {record['processors']} processors. Largest "
        f"deviation from exact theory over {record['cells']:,} cells with rho < 1: "
        f"{record['largest_deviation']:.1f} standard errors (limit {record['limit']:.1f}).",
        "",
    ]
    (RESULTS / "sweep.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
