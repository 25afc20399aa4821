"""Makes limits.json: the measured rungs that the dashboard's Limits page and notebook 09 show.

python -m quantlab.data.make_limits       some minutes
"""

from __future__ import annotations

import json
from pathlib import Path

from quantlab.experiments.codes_ladder import SHAPE, code_rungs

RHOS = (0.0, 0.5, 0.8, 0.95)


def main() -> None:
    rows = [row for rho in RHOS for row in code_rungs(rho, trials=8)]
    record = {"shape": SHAPE, "trials": 8, "law": "GaussianPair", "rows": rows}
    (Path(__file__).parent / "limits.json").write_text(json.dumps(record, indent=0) + "\n")


if __name__ == "__main__":
    main()
