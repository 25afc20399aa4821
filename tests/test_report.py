"""design_report: one table of every design."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from quantlab import EmpiricalPair, GaussianPair, balance, design_empirical, exact_mse
from quantlab.design import DESIGNS
from quantlab.formats import FORMATS, group_formats_at
from quantlab.limits import floor_nmse, limit_nmse
from quantlab.report import design_report
from quantlab.scheme import design_scheme


def test_a_law() -> None:
    pair = GaussianPair(rho=0.0)
    report = design_report(pair, bits=4, inner_dim=64, groups=(32,), trials=4)
    names = {row.design for row in report.rows}
    assert set(DESIGNS) < names
    assert {"nf4", "int_mse", "nf4/32", "int_absmax/32"} < names
    assert "fp8_e4m3" not in names
    assert set(group_formats_at(4)) < names
    assert "q6_k" not in names
    assert report["int4_g32_zero"].bits_per_entry == 4.625
    assert report["nvfp4"].nmse < report["nf4"].nmse
    assert "int_mse/32" not in names  # a group's absmax is its scale

    row = report["nf4"]
    exact = exact_mse(pair, *FORMATS["nf4"](pair, 16), inner_dim=64)
    assert row.exact_nmse == row.nmse == exact.nmse
    assert (row.bias_share, row.gain) == (exact.bias_share, exact.gain)
    assert_allclose(row.floor_db, 10 * np.log10(exact.nmse / floor_nmse(4)), rtol=1e-12)
    assert row.bits_per_entry == 4
    for row in report.rows:
        # 4 x 128^2 entries that share 64 factors: a few percent
        if row.exact_nmse is not None:
            assert_allclose(row.measured_nmse, row.exact_nmse, rtol=0.06)
        assert row.nmse_with_gain <= row.nmse * (1 + 1e-9)
        assert row.floor_db is not None
        assert row.floor_db > 0
    blocks = report["nf4/32"]
    assert blocks.bits_per_entry == 4.5
    assert_allclose(blocks.floor_db, 10 * np.log10(blocks.nmse / floor_nmse(4.5)), rtol=1e-12)
    nmse = [row.nmse for row in report.rows]
    assert nmse == sorted(nmse)
    assert_allclose([row.best_db for row in report.rows], 10 * np.log10(np.array(nmse) / nmse[0]))


def test_correlated_laws_have_no_floor() -> None:
    report = design_report(GaussianPair(rho=0.8), bits=2, inner_dim=16, trials=2)
    assert all(row.floor_db is row.limit_db is None for row in report.rows)
    assert report.rows[0].design == "bilinear"


def test_two_matrices() -> None:
    a, b = GaussianPair(rho=0.7).sample_matrices(60, 80, 50, rng=1)
    report = design_report((a, b), bits=3)
    row = report["int_absmax"]
    books = FORMATS["int_absmax"]((a, b), 8)
    c = a.astype(float) @ b
    coded = books[0].quantize(a) @ books[1].quantize(b)
    left = c - coded
    assert_allclose(row.measured_nmse, np.vdot(left, left) / np.vdot(c, c), rtol=1e-9)
    assert_allclose(row.bias_share, left.mean() ** 2 / np.mean(left**2), rtol=1e-6)
    assert_allclose(row.gain, np.vdot(c, coded) / np.vdot(coded, coded), rtol=1e-9)
    gained = c - row.gain * coded
    assert_allclose(row.nmse_with_gain, np.vdot(gained, gained) / np.vdot(c, c), rtol=1e-6)
    assert row.exact_nmse is None
    assert row.n_levels == (7, 7)
    assert report["empirical"].nmse < report["closed_form"].nmse
    moved = balance((a, b)).apply(a, b)
    books = design_empirical(moved, 8)
    left = c - books[0].quantize(moved[0]) @ books[1].quantize(moved[1])
    # the basis is applied in float32
    assert_allclose(report["balanced"].nmse, np.vdot(left, left) / np.vdot(c, c), rtol=1e-4)
    same = design_report(EmpiricalPair(a, b), bits=3)
    assert same.rows == report.rows
    row, scheme = report["scheme"], design_scheme((a, b), 3)
    coded = scheme.encode(a, "x"), scheme.encode(b, "y")
    left = c - coded[0].decode(float) @ coded[1].decode(float)
    assert_allclose(row.nmse, np.vdot(left, left) / np.vdot(c, c), rtol=1e-6)
    assert row.nmse < report["empirical"].nmse
    assert row.side_bytes == scheme.side_bytes > 0
    assert report["empirical"].side_bytes == 4 * 2 * 8
    assert row.bits_per_entry == pytest.approx(3)
    for each in report.rows:
        over = 10 * np.log10(each.nmse / limit_nmse((a, b), each.bits_per_entry))
        assert_allclose(each.limit_db, over, rtol=1e-9)
        assert each.encode_seconds > 0
        assert each.product_seconds > 0


def test_groups_of_large_entries_have_float32_scales_and_pay_for_them() -> None:
    a, b = GaussianPair(rho=0.5).sample_matrices(20, 64, 20)
    plain = design_report((a, b), bits=4, groups=(32,))
    large = design_report((a * 2.0**20, b), bits=4, groups=(32,))
    assert plain["nf4/32"].bits_per_entry == 4.5
    assert large["nf4/32"].bits_per_entry == 4 + (32 + 16) / 2 / 32
    # float16 rounds scales by up to 2^-11, the codes' error is some 100 times that
    assert_allclose(large["nf4/32"].nmse, plain["nf4/32"].nmse, rtol=0.02)


def test_held_out_matrices() -> None:
    law = GaussianPair(rho=0.5)
    fitted = law.sample_matrices(50, 40, 50, rng=2)
    others = [law.sample_matrices(30, 40, 20, rng=seed) for seed in (3, 4)]
    report = design_report(fitted, bits=2, held_out=others)
    books = FORMATS["uniform"](fitted, 4)
    error = energy = 0.0
    for a, b in others:
        c = a.astype(float) @ b
        error += np.sum((c - books[0].quantize(a) @ books[1].quantize(b)) ** 2)
        energy += np.sum(c**2)
    assert_allclose(report["uniform"].measured_nmse, error / energy, rtol=1e-9)
    assert report.settings["samples"] == 2


def test_writes_itself() -> None:
    report = design_report(GaussianPair(rho=0.3), bits=1, inner_dim=8, trials=2)
    lines = report.to_markdown().splitlines()
    assert len(lines) == len(report.rows) + 2
    assert lines[2].startswith(f"| {report.rows[0].design} | 2 x 2 | 1 |")
    assert len({line.count("|") for line in lines}) == 1
    record = json.loads(json.dumps(report.to_dict()))
    assert record["rows"][0]["exact_nmse"] == report.rows[0].exact_nmse
    assert record["settings"]["inner_dim"] == 8


def test_bad_arguments() -> None:
    law = GaussianPair(rho=0.0)
    a, b = law.sample_matrices(4, 4, 4)
    with pytest.raises(ValueError, match="bits must be at most 8; got 9"):
        design_report(law, 9)
    with pytest.raises(ValueError, match="held_out is for matrices"):
        design_report(law, 2, held_out=[(a, b)])
    with pytest.raises(ValueError, match="inner_dim is for laws"):
        design_report((a, b), 2, inner_dim=4)
    with pytest.raises(ValueError, match="at least one pair"):
        design_report((a, b), 2, held_out=[])
    with pytest.raises(ValueError, match="share the inner dimension"):
        design_report((a, b), 2, held_out=[(a, b[:3])])
    with pytest.raises(KeyError, match="nf5"):
        design_report(law, 1, inner_dim=2, trials=1)["nf5"]
