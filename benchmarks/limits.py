"""Measures the rungs that the dashboard's Limits page and notebook 09 show.

python benchmarks/limits.py       writes quantlab/data/limits.json, two minutes
"""

from __future__ import annotations

import json
from pathlib import Path

import quantlab
from quantlab.experiments.codes_ladder import SHAPE, code_rungs

RHOS = (0.0, 0.5, 0.8, 0.95)


def main() -> None:
    rows = [row for rho in RHOS for row in code_rungs(rho, trials=8)]
    record = {"shape": SHAPE, "trials": 8, "law": "GaussianPair", "rows": rows}
    target = Path(quantlab.__file__).parent / "data" / "limits.json"
    target.write_text(json.dumps(record, indent=0) + "\n")


if __name__ == "__main__":
    main()
