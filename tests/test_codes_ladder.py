"""The ladder to the floor: measured rungs, and the table that is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import quantlab
from quantlab.experiments.codes_ladder import code_rungs
from quantlab.limits import floor_nmse

STORED = json.loads((Path(quantlab.__file__).parent / "data" / "limits.json").read_text())["rows"]


def test_rungs_are_over_the_floor_and_in_order() -> None:
    rows = code_rungs(0.0, entropy_bits=(2,), trials=2)
    found = {(row["rung"], round(row["bits"], 2)): row for row in rows}
    assert all(row["nmse"] > floor_nmse(row["bits"]) for row in rows)
    assert all(row["low"] <= row["nmse"] <= row["high"] for row in rows)
    optimal, uniform = found["optimal, entropy", 2.0], found["uniform, entropy", 2.0]
    assert optimal["nmse"] < 1.01 * uniform["nmse"] < found["Lloyd-Max", 2]["nmse"]
    assert found["E8", 4.25]["over_floor_db"] < 2.3 < found["Lloyd-Max", 4]["over_floor_db"]
    assert found["NV", 4.5]["nmse"] < found["FP4", 4]["nmse"]


def test_the_shipped_table_is_of_this_code() -> None:
    again = code_rungs(0.0, entropy_bits=(1,), trials=8)
    stored = {(r["rung"], round(r["bits"], 6)): r["nmse"] for r in STORED if r["rho"] == 0.0}
    for row in again:
        assert abs(row["nmse"] / stored[row["rung"], round(row["bits"], 6)] - 1) < 1e-6
    assert {row["rho"] for row in STORED} == {0.0, 0.5, 0.8, 0.95}
