"""What a notebook shows: small tables and rugs, whole as XML, escaped, of the page's colours."""

from __future__ import annotations

import builtins
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.testing import assert_allclose

import quantlab as ql
from quantlab.gemm import plan

LAW = ql.GaussianPair(rho=0.5)
BOOK = ql.Codebook(
    [-2.0, -0.5, 0.5, 3.0], info={"design": "own", "trace": [1.0, 0.5], "nmse": 1e-5}
)
MATRIX = np.linspace(-2, 3, 30, dtype=np.float32).reshape(5, 6)


def shown(thing: object) -> ElementTree.Element:
    html = thing._repr_html_()  # type: ignore[attr-defined]
    root = ElementTree.fromstring(html)
    for part in root.iter():
        # a colour is right on light or on dark, not on both: text and lines take the page's
        assert {part.get("fill"), part.get("stroke")} <= {None, "none", "currentColor"}
        styles = part.get("style", "").replace(" ", "").split(";")
        allowed = {"text-align", "padding", "max-width", "display", ""}
        assert {style.partition(":")[0] for style in styles} <= allowed
    return root


def properties(thing: object) -> dict[str, str]:
    lines = shown(thing).findall("table/tbody/tr")
    return {line.find("th").text: line.find("td").text or "" for line in lines}  # type: ignore


def ticks(thing: object) -> tuple[list[float], list[float]]:
    """Where the rug's centres and thresholds stand, from 0 (first centre) to 1 (the last)."""
    line, *rows = [
        [float(x) for x in re.findall(r"[MH]([\d.]+)", path.get("d", ""))]
        for path in shown(thing).iter("{http://www.w3.org/2000/svg}path")
    ]
    left, right = line
    return tuple([(x - left) / (right - left) for x in row] for row in rows)  # type: ignore


def test_a_codebook_is_a_rug_of_its_centres() -> None:
    assert properties(BOOK) == {"levels": "4", "bits": "2", "trace": "2 values", "nmse": "1e-05"}
    assert "own" in "".join(shown(BOOK).itertext())
    centers, thresholds = ticks(BOOK)
    # a tenth of a pixel of 336
    assert_allclose(centers, (BOOK.centers + 2) / 5, atol=3e-4)
    assert_allclose(thresholds, (BOOK.thresholds + 2) / 5, atol=3e-4)


@pytest.mark.parametrize(
    "centers",
    [np.arange(256.0), [-1.7e308, 0.0, 1.7e308], [0.0, 5e-324], [1e300, 2e300], [-3.0, -2.0]],
    ids=["256", "largest", "least", "large", "negative"],
)
def test_a_rug_of_any_centres(centers: list[float]) -> None:
    book = ql.Codebook(centers)
    places, *rest = ticks(book)
    assert len(places) == book.n_levels
    assert (places[0], places[-1]) == (0.0, 1.0)
    assert len(rest) == (book.n_levels <= 65)  # 255 thresholds are one grey bar


def test_a_coded_matrix() -> None:
    plain = properties(ql.encode(MATRIX, BOOK))
    assert plain["shape"] == "5 x 6"
    assert plain["codes"] == "2 bits, a byte each"
    assert plain["memory"] == "30 bytes"
    assert plain["codebook"] == repr(BOOK)
    assert "scales" not in plain
    assert properties(ql.encode(MATRIX, BOOK, packed=True))["codes"] == "2 bits, packed"
    blocks = ql.encode_blocks(MATRIX, ql.Codebook([-1.0, 0.0, 1.0]), group=4)
    assert properties(blocks)["scales"] == "5 x 2, one for 4 entries"
    assert len(ticks(blocks)[0]) == 3


def test_a_coded_matrix_of_tensors() -> None:
    torch = pytest.importorskip("torch")
    coded = ql.encode(MATRIX, BOOK).to(torch.device("cpu"))
    assert properties(coded)["shape"] == "5 x 6"
    assert "DeviceCodedMatrix" in "".join(shown(coded).itertext())


def test_a_plan() -> None:
    chosen = plan(ql.encode(MATRIX, BOOK), ql.encode(MATRIX.T, BOOK), route="int8")
    assert properties(chosen) == {
        "route": "int8",
        "reason": "asked for",
        "extra_nmse": f"{chosen.extra_nmse:.4g}",
        "coding_nmse": f"{chosen.coding_nmse:.4g}",
        "share": f"{chosen.share:.4g}",
    }


def test_errors() -> None:
    books = ql.design_companding(LAW, 4)
    exact = ql.exact_mse(LAW, *books, inner_dim=8)
    lines = properties(exact)
    assert lines["nmse"] == f"{exact.nmse:.4g}"
    assert lines["bias_share"] == f"{exact.bias_share:.4g}"
    assert lines["inner_dim"] == "8"
    measured = ql.measure(LAW, *books, inner_dim=8, m=4, n=5, trials=3)
    lines = properties(measured)
    assert lines["nmse"] == f"{measured.nmse:.4g}"
    assert lines["95 % interval"] == f"{measured.low:.4g} to {measured.high:.4g}"
    assert (lines["m"], lines["trials"], lines["pair"]) == ("4", "3", repr(LAW))


@pytest.fixture(scope="module")
def report() -> ql.DesignReport:
    return ql.design_report(LAW, bits=2, inner_dim=8, groups=(4,), trials=2)


def test_a_report_is_a_table(report: ql.DesignReport) -> None:
    root = shown(report)
    head = [each.text for each in root.findall("table/thead/tr/th")]
    assert head[:4] == ["design", "n_levels", "bits_per_entry", "exact_nmse"]
    assert "floor_db" not in head  # no row has one
    lines = [[each.text or "" for each in line] for line in root.findall("table/tbody/tr")]
    assert [line[0] for line in lines] == [row.design for row in report.rows]
    assert [line[head.index("measured_nmse")] for line in lines] == [
        f"{row.measured_nmse:.4g}" for row in report.rows
    ]
    assert lines[[line[0] for line in lines].index("int_absmax/4")][3] == ""
    assert repr(LAW) in "".join(root.itertext())


def test_a_report_is_a_dataframe(report: ql.DesignReport) -> None:
    frame = report.to_dataframe()
    assert list(frame.index) == [row.design for row in report.rows]
    row = report["int_absmax"]
    assert frame.loc["int_absmax", "measured_nmse"] == row.measured_nmse
    assert (frame.loc["int_absmax", "n_levels_x"], frame["n_levels_y"].dtype) == (3, np.int64)
    assert frame["exact_nmse"].dtype == frame["floor_db"].dtype == np.float64
    assert math.isnan(frame.loc["int_absmax/4", "exact_nmse"])
    assert frame.attrs == report.settings


def test_without_pandas(report: ql.DesignReport, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def missing(name: str, *args: object, **kwargs: object) -> object:
        if name == "pandas":
            raise ImportError(name)
        return load(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"needs pandas \(pip install pandas\)"):
        report.to_dataframe()


def test_texts_are_escaped() -> None:
    evil = '<script>alert("1")</script>&'
    book = ql.Codebook([0.0, 1.0], info={"design": evil, evil: evil})
    assert properties(book)[evil] == evil  # read back whole: it was text, not an element
    assert "<script" not in book._repr_html_()
    measured = ql.MeasuredError(1.0, 1.0, 0.0, 2.0, np.ones(2), {evil: evil})
    assert properties(measured)[evil] == evil
    assert "<script" not in ql.DesignReport((), {evil: evil})._repr_html_()
    assert "<script" not in ql.encode([[1.0]], book)._repr_html_()
