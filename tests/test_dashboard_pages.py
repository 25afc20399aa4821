"""The Attention, Your data and Speed tabs in process."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from dashboard.app import Session
from dashboard.background import Task
from dashboard.data_page import ONE, compare_designs, report_csv
from dashboard.speed_page import compare
from dashboard.state import ATTENTION
from tests.test_dashboard_uploads import npy

A, B = ql.GaussianPair(0.9).sample_matrices(96, 64, 80, rng=3)


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def upload(page, name: str, array: np.ndarray, filename: str = "m.npy") -> None:
    content, half = npy(array), len(npy(array)) // 2
    send = page.uploads[name]._handle_msg  # as the browser talks
    send({"status": "initializing"})
    for chunk, data in enumerate((content[:half], content[half:]), 1):
        send({"status": "upload_event", "chunk": chunk, "total_chunks": 2, "name": filename,
              "data": data})  # fmt: skip
    send({"status": "finished"})


def test_two_matrices_are_compared_and_their_files_saved() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    assert page.compare.disabled
    upload(page, "A", A)
    upload(page, "B", B)
    until(lambda: not page.compare.disabled)
    assert "A is 96 × 64 and B 64 × 80" in page.look_text.text
    assert all(button.disabled for button in page.saves)
    page.bits.value = 3
    page._compare()
    until(lambda: page.answer is not None)
    assert not any(button.disabled for button in page.saves)
    assert page.verdict.text.startswith("<b>Use ")
    rows = {
        row["design"]: row for row in csv.DictReader(io.StringIO(report_csv(page.answer.report)))
    }
    assert float(rows[page.answer.best]["measured_nmse"]) < float(
        rows["gaussian_compander"]["measured_nmse"]
    )
    from safetensors.numpy import load

    stored = load(page._codes(0, page.answer))
    assert_array_equal(stored["centers"], page.answer.books[0].centers)
    assert stored["codes"].shape == (96, 24)
    session.close()
    assert page.files == {}


def test_matrices_that_do_not_fit_are_told_with_the_remedy() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    upload(page, "A", A)
    upload(page, "B", B.T)
    until(lambda: "A has 64 columns and B 80 rows" in page.status.text)
    assert "Transposing B would make them fit" in page.status.text
    page.transpose.value = True
    until(lambda: "A is 96 × 64 and B 64 × 80" in page.look_text.text)
    upload(page, "A", np.full((2, 2), np.nan), "<script>.npy")
    until(lambda: "&lt;script&gt;.npy: array: entry (0, 0) is nan" in page.status.text)
    assert page.compare.disabled
    page.mode.value = ONE
    upload(page, "A", A)
    until(lambda: "A is 96 × 64 and B 64 × 96" in page.look_text.text)
    session.close()


def test_the_advice_names_the_best_design_of_the_report() -> None:
    answer = compare_designs(ql.EmpiricalPair(A, B), 4, Task(print))
    made = [r for r in answer.report.rows if r.design in ql.DESIGNS or r.design == "empirical"]
    assert answer.best == min(made, key=lambda row: row.measured_nmse).design
    plain = answer.report["gaussian_compander"].measured_nmse
    less = 100 * (1 - answer.report[answer.best].measured_nmse / plain)
    assert f"{less:.0f} % less product error" in answer.sentence
    json.dumps([book.to_dict() for book in answer.books])


def test_a_click_on_the_map_chooses_the_head() -> None:
    session = Session({"page": "attention"})
    page = session._pages["attention"]
    assert len(page.map.data["rho"]) == 72
    page.map.selected.indices = [5 * 12 + 3]
    state = session.state
    assert (state.source, state.layer, state.head) == (ATTENTION, 5, 3)
    assert page.chosen.data == {"layer": [5], "head": [3]}
    assert_allclose(state.rho, page.map.data["rho"][63], atol=1e-4)
    until(lambda: page.logits[1].data["logits"])
    exact, coded = (source.data["logits"][0] for source in page.logits)
    assert exact.shape == coded.shape == (48, 48)
    until(lambda: "head 3" in page.logit_text.text)
    session.close()


def test_wins_count_every_head_once() -> None:
    session = Session({"page": "attention"})
    page = session._pages["attention"]
    page._count()
    until(lambda: "data-wins" in page.wins.text)
    cells = dict(
        cell.split("'")[1::2][:1] + cell.split(">")[1:2]
        for cell in page.wins.text.replace("</td>", "").split("<td ")[1:]
        if cell.startswith("data-wins")
    )
    assert int(cells["empirical int_absmax"].split("<")[0]) == 72
    assert int(cells["int_absmax empirical"].split("<")[0]) == 0
    assert int(cells["balanced empirical"].split("<")[0]) >= 68
    session.close()


def test_speed_compares_the_same_product_and_stops() -> None:
    found = compare(256, 4, "cpu", Task(print))
    assert set(found) == {"numpy fp32", "from codes", "from float32"}
    assert found["numpy fp32"].ratio == 1
    assert all(t.seconds > 0 and t.rounds >= 1 for t in found.values())
    stopped = Task(print)
    stopped.cancelled = True
    assert compare(256, 4, "cpu", stopped) == "Stopped."


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_speed_shows_a_row_for_each_product(theme: str) -> None:
    session = Session({"page": "speed", "theme": theme})
    page = session._pages["speed"]
    page.size.value = 256
    page._run()
    until(lambda: page.bars.data["name"])
    assert page.table.text.count("data-ratio") == 3
    assert "times as fast" in page.sentence.text
    session.close()
