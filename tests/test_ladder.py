"""The ladder of attention heads, against the figures of theory and the definition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.data import load_attention
from quantlab.experiments import figures
from quantlab.experiments.attention import attention_errors
from quantlab.experiments.attention_claims import _ladder, _ladder_claims, shipped_heads
from quantlab.experiments.ladder import (
    ALLOCATED,
    LIMIT,
    RUNGS,
    head_ladder,
    ladder_rows,
    ladder_table,
)
from quantlab.scheme import feedback_matrix, round_feedback


def test_the_rungs_without_feedback_are_the_designs() -> None:
    head = load_attention().head(1, 3)
    found = head_ladder(head.calibration, head.held_out, 4)
    assert list(found) == [*RUNGS, LIMIT]
    known = {name: design for name, (design, fed_back) in RUNGS.items() if not fed_back}
    plain = {name: design for name, design in known.items() if design != ALLOCATED}
    table = attention_errors(4, list(plain.values()), [(1, 3)])
    for name, design in plain.items():
        assert_allclose(found[name], table.nmse[design][0], rtol=1e-6)
    scheme = ql.design_scheme(
        head.calibration_pair(), 4, basis="diagonal", rates="allocated", rounding="nearest",
        books="index",
    )  # fmt: skip
    error = energy = 0.0
    for a, b in head.held_out.pairs():
        c = a.astype(float) @ b
        error += np.sum((c - scheme.encode(a, "x").decode() @ scheme.encode(b, "y").decode()) ** 2)
        energy += np.sum(c**2)
    assert_allclose(found["allocated bits"], error / energy, rtol=1e-3)
    assert found[LIMIT] == ql.limit_nmse(head.calibration_pair(), 4)


def test_feedback_is_the_definition() -> None:
    head = load_attention().head(1, 3)
    a, b = (matrix.astype(float) for matrix in head.calibration_pair())
    books = ql.design_empirical((a, b), 16, smoothing="auto")
    decoded = []
    for data, own, other, others in (
        (head.held_out.queries, books[0], books[1], b.T),
        (head.held_out.keys, books[1], books[0], a),
    ):
        m, k = others.shape
        moment = others.T @ others
        moment = (moment + np.trace(moment) / m * np.eye(k)) / (m + k)  # shrunk by k / (m + k)
        moment += np.mean((other.quantize(others) - others) ** 2) * np.eye(k)
        order = np.argsort(np.diag(moment))
        upper, _ = feedback_matrix(moment[np.ix_(order, order)])
        tables = [np.tile(t, (k, 1)) for t in (own.centers, own.thresholds)]
        codes = round_feedback(data.reshape(-1, k), upper, *tables, np.full(k, 16), order)
        decoded.append(own.centers[codes].reshape(data.shape))
    logits = head.held_out.queries.astype(float) @ head.held_out.keys.swapaxes(1, 2)
    error = logits - decoded[0] @ decoded[1].swapaxes(1, 2)
    (found, _) = head_ladder(head.calibration, head.held_out, 4, ["fitted + feedback"]).values()
    # float32 data: a cell on a border may differ
    assert_allclose(found, np.sum(error**2) / np.sum(logits**2), rtol=1e-3)
    (nearest, _) = head_ladder(head.calibration, head.held_out, 4, ["fitted"]).values()
    assert found < 0.8 * nearest


def test_reproduce_tells_the_ladder() -> None:
    """Every sixth head at 4 bits; theory has 6.32e-3 balanced and 4.19e-3 with feedback for all."""
    rows = _ladder(shipped_heads(), 12, quick=True)
    table = {row["rung"]: row for row in rows}
    assert_allclose(table["balanced"]["nmse"], 6.3e-3, rtol=0.15)
    assert_allclose(table["balanced + feedback"]["nmse"], 4.15e-3, rtol=0.15)
    assert table["fitted + feedback"]["nmse"] < 0.6 * table["fitted"]["nmse"]
    assert table[LIMIT]["over_limit_db"] == 0
    assert all(row["over_limit_db"] >= 0 for row in rows)
    (claim,) = _ladder_claims(rows, "these heads", 12, 6)
    assert claim.best.startswith("allocated bits: nmse 2.")
    assert "better on 12 of 12 heads" in claim.best
    assert figures.ladder_figure(rows) is not None
    again = ladder_table(ladder_rows(list(load_attention().heads())[::6][:2], [4]))
    assert again[0]["heads"] == 2


def test_bad_rungs_and_bits() -> None:
    head = load_attention().head(0, 0)
    with pytest.raises(ValueError, match=r"rung must be one of .* got 'top'"):
        head_ladder(head.calibration, head.held_out, 4, ["top"])
    with pytest.raises(ValueError, match="bits must be at most 8; got 9"):
        head_ladder(head.calibration, head.held_out, 9)
