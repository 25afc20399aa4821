"""The Attention, Your data and Speed tabs in process."""

from __future__ import annotations

import csv
import io
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from quantlab.dashboard.pages.attention import _RIVALS, _wins
from quantlab.dashboard.pages.data import ONE
from quantlab.dashboard.parts.wording import compared, two_digits
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import ATTENTION
from quantlab.dashboard.work.background import Task
from quantlab.dashboard.work.matrices import NAMES, compare_designs, report_csv
from quantlab.dashboard.work.speed import Comparison, Timing, compare
from quantlab.data import load_attention
from quantlab.experiments.attention import AttentionTable, attention_errors
from quantlab.experiments.ladder import RUNGS, head_ladder
from quantlab.formats import FORMATS, GROUP_FORMATS
from quantlab.gemm import cost
from tests.dashboard.test_uploads import npy, npz
from tests.dashboard.waiting import until

A, B = ql.GaussianPair(0.9).sample_matrices(96, 64, 80, rng=3)


def upload(page, name: str, array: np.ndarray | bytes, filename: str = "m.npy") -> None:
    content = array if isinstance(array, bytes) else npy(array)
    half = len(content) // 2
    send = page.uploads[name]._handle_msg  # as the browser talks
    send({"status": "initializing"})
    for chunk, data in enumerate((content[:half], content[half:]), 1):
        send({"status": "upload_event", "chunk": chunk, "total_chunks": 2, "name": filename,
              "data": data})  # fmt: skip
    send({"status": "finished"})


def test_two_matrices_are_compared_and_their_files_saved() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    upload(page, "A", A)
    assert page.compare.disabled
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
    assert page.status.text == "", "what was wrong is mended"
    upload(page, "A", np.full((2, 2), np.nan), "<script>.npy")
    until(lambda: "&lt;script&gt;.npy: array: entry (0, 0) is nan" in page.status.text)
    assert page.compare.disabled
    page.mode.value = ONE
    upload(page, "A", A)
    until(lambda: "A is 96 × 64 and B 64 × 96" in page.look_text.text)
    assert not page.second.visible
    session.close()


def test_the_advice_names_the_best_design_of_the_report() -> None:
    answer = compare_designs(ql.EmpiricalPair(A, B), 4, Task(print))
    made = [r for r in answer.report.rows if r.design in ql.DESIGNS or r.design == "empirical"]
    assert answer.best == min(made, key=lambda row: row.measured_nmse).design
    plain = answer.report["gaussian_compander"].measured_nmse
    less = 100 * (1 - answer.report[answer.best].measured_nmse / plain)
    assert f"{less:.0f} % less product error" in answer.sentence
    json.dumps([book.to_dict() for book in answer.books])
    scheme, best = answer.report["scheme"], answer.report[answer.best]
    words = compared(scheme.measured_nmse / best.measured_nmse, "error", NAMES[answer.best])
    assert f"design_scheme((a, b), 4)</code>, has <b>{words}</b>" in answer.sentence
    assert f"costs {scheme.side_bytes / 1000:.3g} kB" in answer.sentence


def test_a_file_of_several_matrices_offers_the_choice() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    long = "vision_model.encoder.layers.10.self_attn.{}_proj.weight".format
    content = npz(**{long("q"): A, long("k"): 2 * A, "waves": np.eye(3, dtype=complex)})
    upload(page, "A", content, "a.npz")
    until(lambda: "a.npz is read. Left out: waves: expected real numbers" in page.status.text)
    choice = page.arrays["A"]
    assert choice.visible
    assert [label[-13:] for label in choice.options] == ["q_proj.weight", "k_proj.weight"]
    upload(page, "B", B)
    until(lambda: page.pair is not None)
    choice.value = choice.options[1]
    until(lambda: page.pair is not None and page.pair.a.max() == 2 * A.max())
    upload(page, "A", b"?", "a.exe")
    until(lambda: "expected a file of kind" in page.status.text)
    assert not choice.visible
    session.close()


def test_an_index_of_pandas_is_told_and_one_in_question_goes_by_a_click() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    columns = [np.arange(96)[:, None], A]
    table = "\n".join(",".join(map(repr, row)) for row in np.hstack(columns).tolist())
    names = ",".join(map(str, range(64)))
    found = page.first_columns["A"]
    upload(page, "B", B)
    until(lambda: "B" in page.files)
    upload(page, "A", f",{names}\n{table}\n".encode(), "pandas.csv")
    until(lambda: "A is 96 × 64 and B 64 × 80" in page.look_text.text)
    assert found.sentence.text == "The first column of A has no name: it is left out."
    assert (found.view.visible, found.button.visible) == (True, False)
    upload(page, "A", table.encode(), "a.csv")
    until(lambda: "A has 65 columns and B 64 rows" in page.status.text)
    assert (found.view.visible, found.button.visible) == (True, True)
    assert found.sentence.text == (
        "The first column of A counts 0, 1, 2, … and may be an index. It is taken as data."
    )
    assert found.button.label == "Leave out the first column of A"
    found.button.clicks += 1
    until(lambda: "A is 96 × 64 and B 64 × 80" in page.look_text.text)
    assert_allclose(page.pair.a, A, rtol=1e-6)
    assert found.sentence.text.endswith("It is left out.")
    assert found.button.label == "Take the first column of A"
    found.button.clicks += 1
    until(lambda: "A has 65 columns and B 64 rows" in page.status.text)
    upload(page, "A", b"?", "a.exe")
    until(lambda: "expected a file of kind" in page.status.text)
    assert not found.view.visible
    session.close()


def test_very_many_matrices_are_told_by_their_number() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    upload(page, "A", np.ones((2, 300, 3, 2), np.int8))
    until(lambda: "The first 512 of 600 matrices are offered." in page.status.text)
    assert page.arrays["A"].options[301] == "array[1, 1]"
    upload(page, "B", np.ones((2, 300, 3, 2), np.int8))
    until(lambda: "A has 2 columns and B 3 rows" in page.status.text)
    assert "The first 512 of 600 matrices are offered." in page.status.text
    session.close()


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (0 * A, B, "A is zero everywhere: its product has no energy to lose."),
        (A, 0 * B, "B is zero everywhere"),
        (1e30 * A, 1e20 * B, "may not fit float32"),
    ],
    ids=["A zero", "B zero", "huge"],
)
def test_matrices_that_have_no_product_are_refused(a, b, says: str) -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    upload(page, "A", a)
    upload(page, "B", b)
    until(lambda: says in page.status.text)
    assert page.look_text.text == "Two matrices are needed."
    assert page.compare.disabled
    session.close()


def test_orthogonal_and_constant_matrices_end_in_a_sentence() -> None:
    left, right = np.zeros((2, 4, 4), np.float32)
    left[:, 0] = right[1] = 1
    with pytest.raises(ValueError, match="product of A and B is zero everywhere"):
        compare_designs(ql.EmpiricalPair(left, right), 4, Task(print))
    constant = ql.EmpiricalPair(np.full((6, 4), 2.0), np.full((4, 6), 2.0))
    answer = compare_designs(constant, 4, Task(print))
    assert "it loses nothing. A has the same value everywhere" in answer.sentence
    assert np.inf in [row.best_db for row in answer.report.rows]
    session = Session({"page": "data"})
    page = session._pages["data"]
    page._show_report(answer)
    assert "+∞ dB" in page.table.text
    assert "<td>0</td>" in page.table.text
    session.close()


def test_a_new_file_ends_a_running_comparison() -> None:
    session = Session({"page": "data"})
    page = session._pages["data"]
    upload(page, "A", A)
    upload(page, "B", B)
    until(lambda: page.pair is not None)
    page._compare()
    assert not page.stop.disabled
    upload(page, "A", 2 * A)
    until(lambda: page.pair is not None and page.pair.a.max() == 2 * A.max())
    assert page.stop.disabled
    assert not page.compare.disabled
    assert page.status.text == "m.npy is read."
    page._compare()
    page.transpose.value = True
    assert page.stop.disabled
    assert "Designing" not in page.status.text
    session.close()


def test_the_page_has_a_name_for_every_design(monkeypatch: pytest.MonkeyPatch) -> None:
    every = {*ql.DESIGNS, *FORMATS, *GROUP_FORMATS, "empirical", "balanced", "scheme"}
    assert every == set(NAMES)
    # 256 centres of the exact optimum take seconds, and its name is the same
    monkeypatch.setitem(ql.DESIGNS, "bilinear", ql.DESIGNS["closed_form"])
    pair = ql.EmpiricalPair(A[:48, :32], B[:32, :40])
    session = Session({"page": "data"})
    page = session._pages["data"]
    named: set[str] = set()
    for bits in (4, 6, 8):
        answer = compare_designs(pair, bits, Task(print))
        named.update(row.design for row in answer.report.rows)
        page._show_report(answer)
        told = page.table.text + answer.sentence
        for name in NAMES:
            assert f">{name}<" not in told
            assert f"than {name}" not in told
        rival = min((r for r in answer.report.rows if r.design in FORMATS), key=lambda r: r.nmse)
        assert NAMES[rival.design] in answer.sentence
    assert named == every
    session.close()


def test_amounts_are_told_as_people_tell_them() -> None:
    assert compared(1.0, "error", "that") == "as much error as that"
    assert compared(0.97, "", "that") == "3 % less than that"
    assert compared(1.97, "", "that") == "97 % more than that"
    assert compared(0.004, "error", "that") == "0.0040 times as much error as that"
    assert compared(4.9e-16, "", "that") == "4.9 × 10⁻¹⁶ times as much as that"
    assert compared(123.4, "", "that") == "120 times as much as that"
    assert two_digits(9.96) == "10"


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


def test_wins_count_every_head_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = [(2, 5), (3, 8), (5, 0)]
    asked = []

    def some(bits: int, **options: Any) -> AttentionTable:
        asked.append((bits, options))
        return attention_errors(bits, **options, heads=heads)

    monkeypatch.setattr("quantlab.dashboard.pages.attention.attention_errors", some)
    _wins.cache_clear()
    session = Session({"page": "attention"})
    page = session._pages["attention"]
    page._count()
    until(lambda: "data-wins" in page.wins.text)
    page._count()
    until(lambda: not page.count.disabled)
    # without heads it means all 72; and once a number of bits
    assert asked == [(4, {"designs": _RIVALS})]
    cells = dict(
        cell.split("'")[1::2][:1] + cell.split(">")[1:2]
        for cell in page.wins.text.replace("</td>", "").split("<td ")[1:]
        if cell.startswith("data-wins")
    )
    assert int(cells["empirical int_absmax"].split("<")[0]) == 3
    assert int(cells["int_absmax empirical"].split("<")[0]) == 0
    assert int(cells["balanced empirical"].split("<")[0]) == 3
    assert int(cells["scheme balanced"].split("<")[0]) == 3
    assert "of 3 heads" in page.wins_text.text
    session.close()
    _wins.cache_clear()


def test_the_ladder_of_a_head_follows_head_and_bits() -> None:
    session = Session({"page": "attention"})
    page = session._pages["attention"]
    for layer, head, bits in ((2, 6, 4), (3, 1, 4), (3, 1, 3)):
        session.state.param.update(layer=layer, head=head)
        page.bits.value = bits
        data = load_attention().head(layer, head)
        expected = head_ladder(data.calibration, data.held_out, bits)
        until(lambda: f"head {head}, {bits} bits" in page.ladder.text.text)  # noqa: B023
        drawn = [-10 * np.log10(expected[name]) for name in RUNGS]
        assert_allclose(page.ladder.bars.data["dB"], drawn, rtol=1e-9)
        assert_allclose(page.ladder.limit.data["dB"][0], -10 * np.log10(expected["limit"]))
        assert page.ladder.range.end > page.ladder.limit.data["dB"][0]
    session.state.head = 2
    assert page.ladder.bars.data["dB"] == [], "the other head's bars go at once"
    session.state.param.update(source="attention", predict=True)
    assert "Hidden until a guess" in page.ladder.text.text
    session.close()


@pytest.fixture
def quick_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs fitted to nothing: what a prediction says is tested with the model."""
    monkeypatch.setattr(cost, "peaks", lambda: cost.Peaks(1e10, 1e12, 5e11, 2e11))
    monkeypatch.setattr(cost, "_coefficients", lambda *kind: np.full(len(cost.WORK), 1e-12))


@pytest.mark.usefixtures("quick_costs")
def test_speed_compares_the_same_product_and_stops() -> None:
    found = compare(16, 256, 200, 4, "cpu", Task(print))
    assert isinstance(found, Comparison)
    names = ["from codes", "from codes, B prepared", "float A by codes", "from float32"]
    assert list(found.timings) == ["numpy fp32", *names]
    assert found.timings["numpy fp32"].ratio == 1
    assert all(t.seconds > 0 and t.rounds >= 1 for t in found.timings.values())
    assert {n for n, t in found.timings.items() if t.predicted} == set(names[:3])
    assert found.timings["numpy fp32"].bytes == 4 * (16 * 256 + 256 * 200 + 16 * 200)
    assert found.roofs == {"copy": 1e10, "int8": 1e12, "fp32": 2e11}
    stopped = Task(print)
    stopped.cancelled = True
    assert compare(256, 256, 256, 4, "cpu", stopped) == "Stopped."


def test_speed_tells_of_the_coded_product_even_where_it_is_slower() -> None:
    session = Session({"page": "speed"})
    page = session._pages["speed"]
    timings = {"numpy fp32": Timing(0.1, 1.0, 3), "from codes": Timing(0.2, 0.5, 3)}
    page._show(Comparison(256, 100, 3000, 2, timings))
    assert "At 256 × 100 × 3,000 and 2 bits" in page.sentence.text
    assert "product from codes takes <b>200 ms</b>, 0.5 times as fast" in page.sentence.text
    session.close()


def test_speed_places_products_under_the_machines_limits() -> None:
    session = Session({"page": "speed"})
    page = session._pages["speed"]
    stored = len(page.products.data["name"])
    assert stored >= 40
    timings = {
        "numpy fp32": Timing(4e-3, 1.0, 3, bytes=3e6),
        "from codes": Timing(1e-3, 4.0, 3, bytes=1e6, predicted=9e-4),
    }
    page._show(Comparison(500, 1000, 400, 4, timings, {"copy": 2e9, "int8": 1e12, "fp32": 2e11}))
    assert list(page.dots.data["x"]) == pytest.approx([4e8 / 3e6, 400])
    assert list(page.dots.data["y"]) == pytest.approx([100, 400])
    assert page.dots.data["predicted"][1] == pytest.approx(4e8 / 9e-4 / 1e9)
    # the ridge: where the copy's rate reaches the peak
    assert page.roofs["int8"].data["x"][1] == pytest.approx(500)
    assert page.roofs["int8"].data["y"] == pytest.approx([0.2, 1000, 1000])
    assert "<b>memory</b> bounds it; it runs at 50% of that limit" in page.roof_text.text
    assert page.products.data["name"][stored:] == ["from codes, 500 × 1,000 × 400"]
    assert page.products.data["measured"][-1] == pytest.approx(1.0)
    session.close()


@pytest.mark.usefixtures("quick_costs")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_speed_shows_a_row_for_each_product(theme: str) -> None:
    session = Session({"page": "speed", "theme": theme})
    page = session._pages["speed"]
    page.m.value, page.k.value, page.n.value = 256, 128, 64
    page._run()
    page.m.value, page.bits.value = 512, 8
    # what was measured, not what is chosen now, nor the stored figures
    until(lambda: "At 256 × 128 × 64 and 4 bits" in page.sentence.text)
    assert page.table.text.count("data-ratio") == 4
    assert "times as fast" in page.sentence.text
    session.close()


@pytest.mark.parametrize(("sizes", "said"), [
    ((0, 8, 8), "whole numbers from 1 to 16,384"), ((None, 8, 8), "whole numbers from 1 to 16,384"),
    ((16384, 16384, 16384), "at most 17,179,869,184 multiply-adds"),
])  # fmt: skip
def test_speed_refuses_sizes_that_would_take_too_long(sizes: tuple, said: str) -> None:
    session = Session({"page": "speed"})
    page = session._pages["speed"]
    # as a browser's message may, past the widget's own bounds
    page.m, page.k, page.n = (SimpleNamespace(value=size) for size in sizes)
    page._run()
    assert said in page.status.text
    assert not page.run.disabled
    session.close()
