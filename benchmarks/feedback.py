"""Rounding with feedback: its error beside the law's leading order, and its time beside encode's.

python -m benchmarks.feedback          writes benchmarks/results/feedback.{md,json}, two minutes
python -m benchmarks.feedback --quick  few trials, prints only
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import quantlab as ql
from benchmarks._harness import machine, race
from quantlab.scheme.rounding import feedback_of, moment_of, one_book, round_feedback

RESULTS = Path(__file__).parent / "results"
# m, k, n, K, rho; the last two: the size of the paper's experiments
SETTINGS = (
    (3000, 64, 3000, 64, 0.3), (3000, 64, 3000, 64, 0.7), (3000, 64, 3000, 64, 0.9),
    (3000, 64, 3000, 16, 0.3), (3000, 64, 3000, 16, 0.7), (1000, 256, 1000, 64, 0.7),
    (128, 256, 128, 16, 0.0), (128, 256, 128, 16, 0.7),
)  # fmt: skip
DESIGNS = ("gaussian_compander", "closed_form", "lloyd_max", "bilinear")


def errors(trials: int) -> list[dict]:
    """nmse of each design to the nearest and with feedback, on the same matrices."""
    rows = []
    for m, k, n, levels, rho in SETTINGS:
        pair = ql.GaussianPair(rho)
        books = {name: ql.DESIGNS[name](pair, levels, k) for name in DESIGNS}
        size = {"m": m, "n": n, "trials": trials}
        nearest = ql.measure_designs(pair, books, k, **size)
        fed_back = ql.measure_designs(pair, books, k, **size, rounding="feedback")
        law = ql.asymptotic_mse(pair, levels, k, rounding="feedback") / pair.energy(k)
        for name in DESIGNS:
            found = fed_back[name]
            rows.append({
                "shape": f"{m} x {k} x {n}", "K": levels, "rho": rho, "design": name,
                "nearest": nearest[name].nmse, "feedback": found.nmse,
                "low": found.low, "high": found.high, "law": law,
            })  # fmt: skip
    return rows


def times() -> list[dict]:
    """encode, one product with a square matrix, and round_feedback, in turns."""
    rows = []
    for m, k, bits in ((4096, 64, 2), (4096, 64, 4), (4096, 64, 8), (4096, 512, 4)):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(m, k)).astype(np.float32)
        square = rng.normal(size=(k, k)).astype(np.float32)
        book, _ = ql.design_lloyd_max(ql.GaussianPair(0.0), 2**bits)
        upper, order = feedback_of(moment_of(rng.normal(size=(4 * k, k))))
        tables = one_book(book, k)
        found = race(
            {
                "encode": lambda x=x, book=book: ql.encode(x, book),
                "product": lambda x=x, square=square: x @ square,
                "feedback": lambda x=x, upper=upper, tables=tables, order=order: round_feedback(
                    x, upper, *tables, order
                ),
            },
            "encode",
        )
        seconds = {timing.name: timing.best for timing in found}
        target = 10 * seconds["encode"] + seconds["product"]
        rows.append({"shape": f"{m} x {k}", "bits": bits, **seconds, "target": target})
    return rows


def markdown(record: dict) -> str:
    about = ", ".join(f"{key} {value}" for key, value in record["about"].items())
    lines = [
        "# Rounding with feedback", "", f"Made by `python -m benchmarks.feedback`. {about}.", "",
        "## Error", "",
        "Gaussian pairs, both operands coded, each design to the nearest and with feedback on the "
        f"same {record['trials']} pairs of matrices; intervals of 95 %. law: the leading order "
        "(1 - |rho|) c(0) (1 / K_X^2 + 1 / K_Y^2) k, for m, n >> k. Where m and n are below k some "
        "directions cost nothing, and the error is below the law.", "",
        "| m x k x n | K | rho | design | nearest | feedback | interval | feedback / law |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in record["errors"]:
        lines.append(
            f"| {r['shape']} | {r['K']} | {r['rho']} | {r['design']} | {r['nearest']:.3e} | "
            f"{r['feedback']:.3e} | {r['low']:.3e} to {r['high']:.3e} | "
            f"{r['feedback'] / r['law']:.3f} |"
        )
    lines += [
        "", "## Time", "",
        "ms of the fastest of many calls, in turns. product: with one k x k matrix, float32 by "
        "numpy. target: ten times encode and one product.", "",
        "| m x k | bits | encode | product | feedback | target |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in record["times"]:
        cells = (f"{1e3 * r[name]:.2f}" for name in ("encode", "product", "feedback", "target"))
        lines.append(f"| {r['shape']} | {r['bits']} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few trials, print only")
    quick = parser.parse_args().quick
    trials = 3 if quick else 24
    about = machine(("numpy", "numba", "quantlab"))
    record = {"about": about, "trials": trials, "errors": errors(trials), "times": times()}
    text = markdown(record)
    print(text)
    if not quick:
        (RESULTS / "feedback.md").write_text(text)
        (RESULTS / "feedback.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
