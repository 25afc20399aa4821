"""The gallery: products of real matrices, what they are, and what the designs make of them."""

from __future__ import annotations

import json

import holoviews as hv
import numpy as np
import pytest
from bokeh.models import Scatter
from numpy.testing import assert_array_equal

import quantlab as ql
from quantlab.cli import main
from quantlab.data import load_attention, make_gallery, problem
from quantlab.data.problems import _RECORDS
from quantlab.experiments.designs import calibrated
from quantlab.experiments.figures import gallery_figure
from quantlab.experiments.gallery import GALLERY_DESIGNS, _errors, gallery_rows

PROBLEMS = ql.data.gallery()


def law(name: str) -> ql.GaussianPair:
    return ql.EmpiricalPair(*PROBLEMS[name].calibration).gaussian()


def test_the_file_is_small_and_holds_what_the_script_makes() -> None:
    assert make_gallery.OUTPUT.stat().st_size < 3_000_000
    with np.load(make_gallery.OUTPUT, allow_pickle=False) as file:
        names = {name.split(".")[0] for name in file.files}
        assert all(file[name].dtype in (np.uint8, np.float16) for name in file.files)
    assert names == set(make_gallery.MAKERS) == set(PROBLEMS) - {"attention"}


def test_every_problem_says_what_it_is_and_where_it_comes_from() -> None:
    records = json.loads(_RECORDS.read_text(encoding="utf-8"))
    assert all(all(record.values()) for record in records.values())
    free = ("public domain", "CC0", "CC BY 4.0", "Apache-2.0")
    assert all(one.licence.startswith(free) for one in PROBLEMS.values())
    assert all(one.sentence.endswith(".") and one.why.endswith(".") for one in PROBLEMS.values())


@pytest.mark.parametrize("name", PROBLEMS)
def test_both_parts_are_products_and_are_not_the_same(name: str) -> None:
    one = PROBLEMS[name]
    (a, b), (other_a, other_b) = one.calibration, one.held_out
    for left, right in (one.calibration, one.held_out):
        assert left.shape[1] == right.shape[0]
        assert left.dtype == right.dtype == np.float32
        assert np.isfinite(left).all()
        assert np.isfinite(right).all()
        with pytest.raises(ValueError, match="read-only"):
            left[0, 0] = 0
    assert not np.array_equal(a[:4, :4], other_a[:4, :4])
    assert not np.array_equal(b[:4, :4], other_b[:4, :4])
    # one inner index is one thing in both parts, unless it counts what was measured
    assert (a.shape[1] == other_a.shape[1]) or one.inner in ("sample", "quarter", "year")


def test_correlations_reach_from_end_to_end_and_lie_in_order() -> None:
    assert all(abs(law(name).rho - one.rho) < 1e-4 for name, one in PROBLEMS.items())
    rhos = [law(name).rho for name in PROBLEMS]
    assert rhos == sorted(rhos)
    assert rhos[0] < -0.8
    assert rhos[-1] > 0.94
    assert sum(abs(rho) > ql.CRITICAL_RHO for rho in rhos) >= 6


def test_the_attention_problem_is_the_shipped_head() -> None:
    head = load_attention().head(5, 0)
    assert_array_equal(PROBLEMS["attention"].held_out[0], head.held_out.pair()[0])
    others = (ql.EmpiricalPair(*each.calibration_pair()).gaussian() for each in
              load_attention().heads())  # fmt: skip
    assert max(abs(each.rho) for each in others) == abs(law("attention").rho)


def test_a_rotated_row_has_the_product_of_the_row() -> None:
    rows, (a, b) = PROBLEMS["photo"].calibration, PROBLEMS["photo_rotated"].calibration
    left, right = (x / np.linalg.norm(x, axis=axis, keepdims=True) for x, axis in zip(
        rows, (1, 0), strict=True))  # fmt: skip
    # lengths of 16, and float16 entries: 256 products of relative error 2^-11 each
    np.testing.assert_allclose(a @ b, 256 * left @ right, rtol=1e-3)


def test_only_the_rotated_photograph_is_read_well_by_the_law() -> None:
    trusted = {
        name: ql.gaussian_reading(one.calibration, held_out=[one.held_out], trials=19).trusted
        for name, one in PROBLEMS.items()
    }
    assert [name for name, found in trusted.items() if found] == ["photo_rotated"]


def held_out_errors(name: str) -> dict[str, tuple[float, float]]:
    """Of the closed form, the plain compander and the data fit at 4 bits."""
    one = PROBLEMS[name]
    pair, (a, b) = ql.EmpiricalPair(*one.calibration), one.held_out
    found = {}
    for design in ("closed_form", "gaussian_compander", "empirical"):
        books = calibrated(pair, design, 16)
        found[design] = _errors(a.astype(float) @ b, books[0](a), books[1](b))
    return found


def test_where_the_law_holds_beyond_the_transition_the_closed_form_keeps_its_promise() -> None:
    found = held_out_errors("photo_rotated")
    assert found["closed_form"][0] < 0.4 * found["gaussian_compander"][0]
    assert found["closed_form"][1] < 0.75 * found["gaussian_compander"][1]  # with best gains
    rows = held_out_errors("photo")
    assert rows["closed_form"][0] > 50 * rows["empirical"][0]


def test_a_row_is_what_the_report_measures() -> None:
    (row,) = gallery_rows(4, ["el_nino"])
    one = problem("el_nino")
    report = ql.design_report(one.calibration, 4, held_out=[one.held_out])
    for name in ("gaussian_compander", "closed_form", "empirical", "balanced", "scheme"):
        assert row[name] == pytest.approx(report[name].nmse, rel=1e-6), name
        assert row[f"{name}+gain"] == pytest.approx(report[name].nmse_with_gain, rel=1e-6), name
    assert row["winner"] == min(GALLERY_DESIGNS, key=lambda name: row[name])
    assert row["closed_form"] < row["empirical"]
    assert row["peak"] == pytest.approx((3 - row["rho"] ** -2) ** 0.5)


def test_the_map_has_every_problem_at_both_peaks() -> None:
    rows = [
        {"problem": name, "bits": 4, "rho": rho, "peak": max(3 - rho**-2, 0) ** 0.5, "trusted": own}
        for name, rho, own in (("low", -0.8, False), ("middle", 0.2, False), ("high", 0.9, True))
    ]
    picture = hv.render(gallery_figure(rows), backend="bokeh")
    dots = [each.data_source.data for each in picture.renderers if isinstance(each.glyph, Scatter)]
    found = {place for data in dots for place in zip(data["x"], data["y"], strict=True)}
    assert found == {(row["rho"], sign * row["peak"]) for row in rows for sign in (1, -1)}


def test_report_of_a_problem_warns_before_it_shows_the_closed_form(capsys) -> None:
    assert main(["report", "--gallery", "growth"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert PROBLEMS["growth"].sentence in text
    assert PROBLEMS["growth"].licence in text
    assert 0 < text.index("is not to be trusted") < text.index("closed_form")
    assert main(["report", "--gallery", "growth", "--bits", "1", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["gallery"]["name"] == "growth"
    assert record["reading"]["trusted"] is False
    assert main(["report", "--gallery", "none"]) == 2
    assert "problem must be one of co2_season, co2_trend" in capsys.readouterr().err
    assert main(["report", "a.npy", "--gallery", "growth"]) == 2
    assert "--gallery has its own matrices" in capsys.readouterr().err
    assert main(["report"]) == 2
    assert "or --gallery NAME; got none" in capsys.readouterr().err
