"""Codebooks out and in again, bad files, Lloyd's own iteration, and the page in process."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import quantlab as ql
from dashboard.app import Session
from dashboard.codebook_files import LIMIT, read, to_csv, to_json, to_python, to_safetensors
from quantlab.design.lloyd_max import lloyd_trace

BOOKS = ql.design_bilinear(ql.GaussianPair(0.9, sigma_y=3.0), (5, 8))


@pytest.mark.parametrize("write", [to_json, to_csv])
def test_files_bring_the_same_codebooks_back(write) -> None:
    assert read("books", write(BOOKS).encode()) == BOOKS


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
        (b'{"centers": [1, 2]}', "missing"),
        (b"[" * 2000, "not JSON"),
        (json.dumps(list(range(257))).encode(), "at most 256"),
        (b"1\n" * LIMIT, "bytes"),
    ],
)
def test_bad_files_are_named(content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read("mine", content)


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


def test_the_page_shows_the_designs_codebook() -> None:
    session = Session({"page": "codebooks", "rho": "0.9", "k_x": "8"})
    page = session._pages["codebooks"]
    page.design.value = "Closed form"
    expected = ql.DESIGNS["closed_form"](ql.GaussianPair(0.9), (8, 8), 256)
    deadline = time.monotonic() + 30
    while page.books != expected:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert_allclose(page.centers.data["u"], expected[0].centers)
    page.upload.param.update(value=to_json(expected).encode(), filename="a.json")
    assert "1 times as much" in page.status.text
    page.upload.param.update(value=b"2\n1\n", filename="<b>.csv")
    assert "&lt;b&gt;.csv" in page.status.text
    assert "must increase strictly" in page.status.text
    assert np.size(page.own_centers.data["u"]) == 0
    session.close()
