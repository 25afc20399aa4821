"""Codebooks out and in again, bad files, Lloyd's own iteration, and the page in process."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import save

import quantlab as ql
from quantlab.dashboard.session import Session
from quantlab.dashboard.state import DESIGN_LABELS, LAWS
from quantlab.design.lloyd_max import lloyd_trace
from quantlab.files.codebooks import (
    KINDS,
    LIMIT,
    read,
    to_csv,
    to_json,
    to_python,
    to_safetensors,
)
from tests.dashboard.waiting import until

BOOKS = ql.design_bilinear(ql.GaussianPair(0.9, sigma_y=3.0), (5, 8))


WRITERS = {
    "json": lambda books: to_json(books).encode(),
    "csv": lambda books: to_csv(books).encode(),
    "safetensors": to_safetensors,
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_bring_the_same_codebooks_back(kind: str) -> None:
    assert read(f"books.{kind}", WRITERS[kind](BOOKS)) == BOOKS


def test_python_and_safetensors_reproduce_every_bit() -> None:
    from safetensors.numpy import load

    made: dict = {}
    exec(to_python(BOOKS), made)
    assert (made["codebook_x"], made["codebook_y"]) == BOOKS
    tensors = load(to_safetensors(BOOKS))
    assert_array_equal(tensors["y_centers"], BOOKS[1].centers)
    assert_array_equal(tensors["x_thresholds"], BOOKS[0].thresholds)


def test_one_column_of_centres_serves_both_operands() -> None:
    for content in (b"-1\n0.5\n2\n", b"[-1, 0.5, 2]"):
        x, y = read("mine.csv", content)
        assert x == y
        assert_array_equal(x.centers, [-1, 0.5, 2])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\x00\x01", "not text"),
        (b"{not json", "not JSON"),
        (b"[1]", "at least 2 centers"),
        (b"[2, 1]", "must increase strictly"),
        (b"[1, NaN]", "must be finite"),
        (b"1\nhalf\n", "line 2: expected a number; got 'half'"),
        (b"1,2\n3,4\n", "one centre on each line"),
        (b'{"x": 1, "y": 2}', "expected objects"),
        (b"operand,index,center,threshold_above\nz,0,1,\n", "line 2 is not operand, index"),
        (b"operand,index,center,threshold_above\n\nx,0,1\n", "line 3 is not operand, index"),
        (b'{"centers": [1, 2]}', "missing"),
        (b"[" * 2000, "not JSON"),
        (json.dumps(list(range(257))).encode(), "at most 256"),
        (b"1\n" * LIMIT, "bytes"),
    ],
)
def test_bad_files_are_named(content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read("mine.csv", content)


@pytest.mark.parametrize("content", [b" \n\t\n ", b"\xef\xbb\xbf\n", b'""\r\r'])
def test_a_file_without_a_codebook_is_named(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"is empty|expected"):
        read("mine.csv", content)


def test_other_kinds_of_files_are_named() -> None:
    for name, came in (("books.npy", ".npy"), ("books", "no extension")):
        with pytest.raises(ValueError, match=f"json, .csv or .safetensors; got {came}"):
            read(name, b"1\n2\n")
    with pytest.raises(ValueError, match="header claims"):
        read("a.safetensors", b"1\n2\n3\n4\n5\n")
    with pytest.raises(ValueError, match="missing x_centers, x_thresholds, y_centers"):
        read("a.safetensors", save({"y_thresholds": np.ones(2)}))
    with pytest.raises(ValueError, match="too large"):
        read("a.json", b"[1, 1" + b"0" * 400 + b"]")


@pytest.mark.parametrize("weighted", [False, True])
def test_lloyds_iteration_ends_at_the_design(weighted: bool) -> None:
    pair = ql.GaussianPair(0.7)
    trace = lloyd_trace(pair, 4, weighted=weighted, steps=400)
    assert trace.shape == (401, 4)
    book = ql.design_lloyd_max(pair, 4, weighted=weighted)[0]
    # the iteration converges linearly
    assert_allclose(trace[-1], book.centers, atol=1e-8)
    with pytest.raises(ValueError, match="steps"):
        lloyd_trace(pair, 4, steps=0)


def bring(page, name: str, content: bytes) -> None:
    """As the browser talks."""
    send = page.upload._handle_msg
    send({"status": "initializing"})
    send({"status": "upload_event", "chunk": 1, "total_chunks": 1, "name": name, "data": content})
    send({"status": "finished"})


def test_the_page_shows_the_designs_codebook() -> None:
    session = Session({"page": "codebooks", "rho": "0.9", "k_x": "8"})
    page = session._pages["codebooks"]
    page.design.value = "Closed form"
    expected = ql.DESIGNS["closed_form"](ql.GaussianPair(0.9), (8, 8), 256)
    until(lambda: page.books == expected and len(page.centers.data["u"]) == 8)
    assert_allclose(page.centers.data["u"], expected[0].centers)
    bring(page, "a.safetensors", to_safetensors(expected))
    until(lambda: "as much as the design shown" in page.status.text)
    assert_allclose(page.own_centers.data["u"], expected[0].centers)
    session.state.k_x = 16
    until(lambda: "more than" in page.status.text or "times as much as" in page.status.text)
    bring(page, "<b>.csv", b"2\n1\n")
    assert "&lt;b&gt;.csv" in page.status.text
    assert "must increase strictly" in page.status.text
    assert np.size(page.own_centers.data["u"]) == 0
    session.state.k_x = 12
    until(lambda: page.books and page.books[0].n_levels == 12)
    until(lambda: page.status.text == "")
    bring(page, "a.npy", b"no")
    assert "got .npy" in page.status.text
    session.close()


def test_centres_beyond_all_measure_are_told() -> None:
    session = Session({"page": "codebooks", "k_x": "8"})
    page = session._pages["codebooks"]
    bring(page, "a.json", b"[-1e300, 1e300]")
    until(lambda: "your centres are too large" in page.status.text)
    session.close()


@pytest.mark.parametrize("law", LAWS)
def test_every_number_of_levels_is_shown(law: str) -> None:
    """The first of a session, and one that a slider has come to."""
    session = Session({"page": "codebooks", "law": law, "k_x": "64"})
    page = session._pages["codebooks"]
    for levels in (64, 33, 32, 40, 2, 256):
        session.state.k_x = levels
        for design in ("Closed form", "Plain"):
            page.design.value = design
            until(lambda name=design: f"{name}, {levels} levels" in page.sentence.text)  # noqa: B023
            made: dict = {}
            exec(page.python.value, made)
            assert made["codebook_x"].n_levels == levels
            assert page.table.text.count("<tr><th scope='row'>") == levels
            assert np.size(page.centers.data["u"]) == levels
            drawn = levels <= 32
            says = f"move the {levels} centres" if drawn else "is drawn up to 32 levels"
            until(lambda says=says: says in page.trace_text.text)  # the last that is written
            assert (len(page.trace.data["u"]), len(page.now.data["u"])) == (levels * drawn,) * 2
            assert page.step.disabled is page.play.disabled is not drawn
    session.close()


def test_the_trace_is_drawn_at_the_step_of_the_slider() -> None:
    session = Session({"page": "codebooks", "k_x": "8"})
    page = session._pages["codebooks"]
    until(lambda: page.trace.data["u"])
    page.step.value = 19
    session.state.k_x = 10
    until(lambda: len(page.trace.data["u"]) == 10)
    assert page.now.data["step"] == [page.step.value] * 10
    assert page.now.data["u"] == [line[page.step.value] for line in page.trace.data["u"]]
    assert [len(line) for line in page.trace.data["u"]] == 10 * [page.step.end + 1]
    session.close()


def test_nothing_of_the_last_codebooks_stays_where_there_are_none() -> None:
    session = Session({"page": "codebooks", "k_x": "8"})
    page = session._pages["codebooks"]
    assert all(button.disabled for button in (*page.files, page.copy))
    until(lambda: page.books)
    assert not any(button.disabled for button in (*page.files, page.copy))
    page._failed("no such <design>")
    assert "no such &lt;design&gt;" in page.sentence.text
    assert page.python.value == page.table.text == ""
    drawn = (page.cells, page.centers, page.own_centers, page.pdf, page.now, page.trace)
    assert not any(np.size(column) for source in drawn for column in source.data.values())
    assert all(button.disabled for button in (*page.files, page.copy))
    session.close()


def test_cells_reach_beyond_the_figure_in_two_shades() -> None:
    session = Session({"page": "codebooks", "k_x": "5"})
    page = session._pages["codebooks"]
    until(lambda: page.books)
    left, right, alpha = (list(page.cells.data[name]) for name in ("left", "right", "alpha"))
    assert left[1:] == right[:-1]
    assert (left[0], right[-1]) == (-9.2, 9.2), "twice the figure's reach"
    assert alpha == [0.05, 0.18, 0.05, 0.18, 0.05]
    assert all(button.auto for button in page.files), "one click saves"
    for levels, absent in ((64, {"Data fit"}), (65, {"Data fit", "Bilinear"})):
        session.state.k_x = levels
        assert set(DESIGN_LABELS.values()) - set(page.design.options) == absent
    session.close()


def test_a_codebook_file_has_at_most_64_kilobytes() -> None:
    line = b"[-1, 1]"
    books = read("a.json", line + b" " * (2**16 - len(line)))
    assert books[0].n_levels == 2
    with pytest.raises(ValueError, match="has 65,537 bytes; a codebook file has at most 65,536"):
        read("a.json", line + b" " * (2**16 + 1 - len(line)))
