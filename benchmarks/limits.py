"""The ladder to the floor: its rungs, entropy-coded designs beside uniform grids, E8's encoding.

python -m benchmarks.limits             all of it, ten minutes: quantlab/data/limits.json, which
                                        the Limits page and notebook 09 show, and
                                        benchmarks/results/limits.{md,json}
python -m benchmarks.limits times       one part: rungs, designs or times
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import quantlab as ql
from benchmarks._harness import machine, race
from quantlab.design.entropy_coded import uniform_at_entropy
from quantlab.experiments.codes_ladder import SHAPE, code_rungs
from quantlab.lattices import PyramidCode, VoronoiCode

RESULTS = Path(__file__).parent / "results" / "limits.json"
RHOS = (0.0, 0.5, 0.8, 0.95)
BITS, INNER_DIMS = (1, 2, 3, 4, 5, 6), (1, 256, 4096)
SIZE = 2048
TARGET = 60  # E8 codes of SIZE x SIZE, in times of a copy


def rungs() -> list[dict[str, Any]]:
    rows = [row for rho in RHOS for row in code_rungs(rho, trials=8)]
    record = {"shape": SHAPE, "trials": 8, "law": "GaussianPair", "rows": rows}
    target = Path(ql.__file__).parent / "data" / "limits.json"
    target.write_text(json.dumps(record, indent=0) + "\n")
    return [row for row in rows if row["rho"] == 0]


def designs() -> list[dict[str, Any]]:
    """Exact nmse of `design_entropy_coded` and of uniform cells with the best centres."""
    rows = []
    for rho in RHOS:
        pair = ql.GaussianPair(rho)
        for bits in BITS:
            for k in INNER_DIMS:
                best = ql.design_entropy_coded(pair, bits, k)
                found = ql.exact_mse(pair, *best, k).nmse
                grid = ql.exact_mse(pair, *uniform_at_entropy(pair, bits, k), k).nmse
                rows.append({
                    "rho": rho, "bits": bits, "k": k, "entropy-coded": found, "uniform": grid,
                    "ratio": found / grid, "start": best[0].info["start"],
                })  # fmt: skip
                print(rows[-1], flush=True)
    return rows


def times() -> list[dict[str, Any]]:
    """Encoding a float32 matrix, in turns with a copy of it."""
    x = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
    out = np.empty_like(x)
    contenders: dict[str, Callable[[], object]] = {"np.copyto": lambda: np.copyto(out, x)}
    for bits in (2, 3, 4):
        code = VoronoiCode.gaussian("E8", bits)
        contenders[f"E8, {code.bits_per_entry:g} bits"] = lambda code=code: code.encode(x)
    code = VoronoiCode.gaussian("E8", 4)
    coded = code.encode(x)
    contenders["E8, 4.25 bits, operand y"] = lambda: code.encode(x, "y")
    contenders["E8, 4.25 bits, decode"] = coded.decode
    pyramid = PyramidCode(8, 6, 3)
    contenders["pyramid, 2.25 bits"] = lambda: pyramid.encode(x)
    return [
        {
            "what": timing.name, "ms": 1e3 * timing.seconds, "copies": 1 / timing.ratio,
            "fastest ms": 1e3 * timing.best, "fastest in copies": 1 / timing.best_ratio,
        }
        for timing in race(contenders, "np.copyto", budget=3.0)
    ]  # fmt: skip


PARTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "times": times, "designs": designs, "rungs": rungs
}  # fmt: skip


def markdown(record: dict[str, Any]) -> str:
    lines = ["# The ladder to the floor", "", "Made by `python -m benchmarks.limits`.", ""]
    texts = {
        "times": f"Encoding {SIZE} x {SIZE} float32 entries; the target for E8 is {TARGET} copies.",
        "designs": "Exact nmse at equal entropy; largest ratio: {worst:.9f}.",
        "rungs": f"Products of {' x '.join(map(str, SHAPE))} of a Gaussian pair, rho = 0, 8 trials;"
        " low to high: 95 %. Other rho: quantlab/data/limits.json.",
    }
    for part, text in texts.items():
        if part not in record:
            continue
        rows = record[part]["rows"]
        worst = max((row.get("ratio", 0) for row in rows), default=0)
        about = ", ".join(f"{key} {value}" for key, value in record[part]["about"].items())
        lines += [f"## {part.capitalize()}", "", text.format(worst=worst), "", f"{about}.", ""]
        lines += ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
        lines += ["| " + " | ".join(map(_cell, row.values())) + " |" for row in rows]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cell(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("part", nargs="?", choices=list(PARTS), help="all unless given")
    record = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    about = machine(("numpy", "numba", "scipy"))
    chosen = parser.parse_args().part
    for part in [chosen] if chosen else PARTS:
        record[part] = {"about": about, "rows": PARTS[part]()}
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")
        RESULTS.with_suffix(".md").write_text(markdown(record))


if __name__ == "__main__":
    main()
