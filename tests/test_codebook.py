"""Codebook: the definition of a quantizer, its validation and its files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab import Codebook

finite = st.floats(-1e6, 1e6, allow_nan=False, width=32)
center_lists = st.lists(finite, min_size=2, max_size=40, unique=True).map(sorted)


@given(center_lists, st.lists(finite, min_size=1, max_size=50))
def test_default_cells_are_nearest_center_cells(centers: list[float], values: list[float]) -> None:
    book = Codebook(centers)
    x = np.array(values)
    nearest = np.abs(x[:, None] - book.centers).min(axis=1)
    # the midpoint's own rounding can send a value to a centre one ulp farther
    assert (np.abs(x - book.quantize(x)) <= nearest * (1 + 1e-12) + 1e-9).all()


@given(center_lists)
def test_centers_are_fixed_points_and_records_round_trip(centers: list[float]) -> None:
    book = Codebook(centers, info={"design": "test"})
    np.testing.assert_array_equal(book.quantize(book.centers), book.centers)
    back = Codebook.from_dict(json.loads(json.dumps(book.to_dict())))
    assert back == book
    assert back.info == book.info


def test_a_value_on_a_threshold_goes_to_the_lower_cell() -> None:
    book = Codebook([0.0, 1.0, 2.0], thresholds=[0.25, 1.75])
    np.testing.assert_array_equal(book.quantize([0.25, 0.2500001, 1.75, 1.7500001]), [0, 1, 1, 2])


def test_bits_count_the_levels() -> None:
    assert [Codebook(np.arange(k)).bits for k in (2, 3, 4, 5, 16, 17, 256)] == [1, 2, 2, 3, 4, 5, 8]


def test_scaled_keeps_the_cells() -> None:
    book = Codebook([-1.0, 0.0, 2.0]).scaled(1.5).scaled(2.0)
    np.testing.assert_array_equal(book.thresholds, [-0.5, 1.0])
    np.testing.assert_array_equal(book.centers, [-3.0, 0.0, 6.0])
    assert book.info["gain"] == 3.0


def test_a_codebook_cannot_be_changed() -> None:
    book = Codebook([0.0, 1.0])
    with pytest.raises(ValueError, match="read-only"):
        book.centers[0] = 5.0
    centers = np.array([0.0, 1.0])
    Codebook(centers)
    centers[0] = 0.5  # the caller's own array stays writeable


def test_large_centers_have_finite_midpoints() -> None:
    assert np.isfinite(Codebook([1e308, 1.5e308]).thresholds).all()


@pytest.mark.parametrize(
    ("centers", "thresholds", "message"),
    [
        ([1.0], None, "at least 2 centers; got 1"),
        ([], None, "at least 2 centers; got 0"),
        ([1.0, 0.0], None, "centers must increase strictly; centers[1] = 0 <= centers[0] = 1"),
        ([0.0, 0.0], None, "centers must increase strictly"),
        ([0.0, np.nan], None, "centers must be finite; centers[1] = nan"),
        ([-np.inf, 0.0], None, "centers must be finite; centers[0] = -inf"),
        ([[0.0, 1.0]], None, "centers must be one-dimensional; got shape (1, 2)"),
        ([0.0, 1.0], [0.2, 0.4], "2 centers need 1 thresholds; got 2"),
        (
            [0.0, 1.0, 2.0],
            [0.5, 0.2],
            "thresholds must increase strictly; thresholds[1] = 0.2 <= thresholds[0] = 0.5",
        ),
        ([0.0, 1.0], [np.inf], "thresholds must be finite"),
    ],
)
def test_bad_codebooks_say_what_is_wrong(centers, thresholds, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Codebook(centers, thresholds)


def test_save_and_load_are_exact(tmp_path: Path) -> None:
    book = Codebook(np.sort(np.random.default_rng(0).normal(size=256)), info={"design": "test"})
    book.save(tmp_path / "book.json")
    assert Codebook.load(tmp_path / "book.json") == book


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "is not a codebook in JSON"),
        ("[1, 2]", "must hold a JSON object; got list"),
        ('{"centers": [0, 1]}', "missing ['thresholds']"),
        ('{"centers": [1, 0], "thresholds": [0.5]}', "centers must increase strictly"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "book.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        Codebook.load(tmp_path / "book.json")


def test_a_file_that_is_not_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "book.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="is not a codebook in JSON"):
        Codebook.load(tmp_path / "book.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a codebook in JSON"),
        ("[1, 2]", "must hold a JSON object; got list"),
        ('{"centers": [0, 1]}', r"missing \['thresholds'\]"),
        ('{"centers": [0, 1], "thresholds": [0.5], "info": 3}', "info must be a JSON object"),
        ('{"centers": [1, 0], "thresholds": [0.5]}', "centers must increase strictly"),
        ('{"centers": [0, "a"], "thresholds": [0.5]}', "could not convert"),
        ('{"centers": [0, 1], "thresholds": [0.5, 0.6]}', "thresholds"),
        ('{"centers": [0, null], "thresholds": [0.5]}', "centers"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Codebook.load(path)
    assert str(path) in str(caught.value)
