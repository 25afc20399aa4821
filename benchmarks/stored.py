"""Figures that the dashboard's pages show until one's own replace them.

Win rates for Attention, timings for Speed, the report of the shipped example for Your data.

python benchmarks/stored.py       writes quantlab/data/stored.json, three minutes
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, astuple
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from _harness import machine  # noqa: E402

from benchmarks.cost import measured_products  # noqa: E402
from quantlab import EmpiricalPair  # noqa: E402
from quantlab.dashboard.pages.attention import win_table  # noqa: E402
from quantlab.dashboard.work.background import Task  # noqa: E402
from quantlab.dashboard.work.matrices import compare_designs  # noqa: E402
from quantlab.dashboard.work.speed import compare  # noqa: E402
from quantlab.dashboard.work.stored import Row, Wins  # noqa: E402
from quantlab.data import load_attention  # noqa: E402

BITS, SIZE, SPEED_BITS, EXAMPLE_BITS = (2, 3, 4, 6, 8), 1024, 4, 4


def main() -> None:
    task = Task(lambda _: None)
    speed = compare(SIZE, SIZE, SIZE, SPEED_BITS, "cpu", task)
    assert not isinstance(speed, str)
    products = measured_products()
    pair = EmpiricalPair(*load_attention().head(2, 6).calibration_pair())
    answer = compare_designs(pair, EXAMPLE_BITS, task)
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(["numpy", "numba"]),
        "wins": {str(bits): asdict(Wins.of(win_table(bits, task))) for bits in BITS},
        "speed": asdict(speed) | {"timings": {n: astuple(t) for n, t in speed.timings.items()}},
        "products": [
            (f"{p['kind']}, {p['m']} × {p['k']} × {p['n']}", *(
                float(f"{1e3 * p[which]:.3g}") for which in ("predicted", "measured")
            ))
            for p in products
        ],
        "example": {
            "bits": EXAMPLE_BITS, "sentence": answer.sentence,
            "rows": [[getattr(row, f) for f in Row._fields] for row in answer.report.rows],
        },
    }  # fmt: skip
    target = ROOT / "quantlab" / "data" / "stored.json"
    target.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
