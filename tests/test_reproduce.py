"""`quantlab reproduce`: its table, its files, and its exit status where theory is contradicted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import holoviews as hv
import pytest
from bokeh.models import Line, Span

from quantlab import cli
from quantlab.cli import reproduce as command
from quantlab.experiments import claims, figures, reproduce
from quantlab.experiments.attention_claims import binomial_interval
from quantlab.experiments.claims import Claim, Finding, Run
from quantlab.experiments.finite_levels import closed_form_losses
from quantlab.experiments.reproduce import Report

ROW = {
    "rho": 0.7, "levels": 16, "design": "closed_form", "trials": 20, "plain": 3e-4, "nmse": 2.9e-4,
    "low": 2.8e-4, "high": 3e-4, "exact": 2.7e-4, "deviations": 5.5, "relative": 0.017,
    "relative_low": 0.016, "relative_high": 0.018,
}  # fmt: skip


def report(failing: bool) -> Report:
    claim = Claim("Lower by", "22.3 %", "22.1% [21%, 23%]", "28%", "yes", "a | note")
    finding = Finding([claim], {"products": [ROW]}, {"m": 128}, [ROW] if failing else [])
    return Report({"products": finding}, {"seed": 0}, {"products": 1.0})


def test_a_cell_that_contradicts_the_theory_is_red_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "\x1b[31mFAILS rho = 0.7, K = 16, closed_form" in report(True).to_terminal(color=True)
    assert "\x1b[31m" not in report(True).to_terminal(color=False)
    assert "1 of 1 measured cells CONTRADICT" in report(True).to_markdown()
    for failing, status in ((True, 1), (False, 0)):
        monkeypatch.setattr(
            reproduce, "reproduce", lambda *a, failing=failing, **k: report(failing)
        )
        assert cli.main(["reproduce", "--output", str(tmp_path), "--no-figures"]) == status
        assert ("FAILS" in capsys.readouterr().out) == failing
        record = json.loads((tmp_path / "reproduce.json").read_text())
        assert bool(record["failing"]) == failing
        assert record["experiments"]["products"]["tables"]["products"] == [ROW]
    assert (
        "| Lower by | 22.3 % | 22.1% [21%, 23%] | 28% | yes |"
        in (tmp_path / "reproduce.md").read_text()
    )


def test_the_product_experiment_notices_a_wrong_theory(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        "rho": [0.7], "n_levels": (16,), "m": 32, "k": 256, "n": 32, "batch": 1,
        "designs": ("gaussian_compander", "closed_form", "bilinear"),
    }  # fmt: skip
    monkeypatch.setattr(Run, "sweep", lambda run, name, sweep: replace(sweep, grid=small).run())
    sound = claims.products(Run(quick=True))
    assert sound.failing == []
    assert sound.claims[0].paper == "22.3 %"
    honest = claims.product_table

    def wrong(rows):
        table = honest(rows)
        return [{**row, "deviations": row["deviations"] + 9.0} for row in table]

    monkeypatch.setattr(claims, "product_table", wrong)
    assert len(claims.products(Run(quick=True)).failing) == 6


def test_theory_needs_no_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    few = partial(closed_form_losses, (0.3, 0.8, 0.95), (2, 4, 64), (1, 256, 4096))
    monkeypatch.setattr(claims, "closed_form_losses", few)
    finding = claims.theory(Run(quick=True))
    assert [claim.agrees for claim in finding.claims] == ["yes", "yes", ""]
    worst = "of 27 cells; worst 1011.2 times at rho = 0.8, K = 2, k = 4096"
    assert worst in finding.claims[2].ours
    assert float(re.match(r"0\.\d+", finding.claims[0].ours)[0]) == pytest.approx(0.5774, abs=2e-3)


def test_a_win_rate_has_clopper_and_pearsons_interval() -> None:
    # 71 of 72: beta quantiles, by scipy.stats.binomtest(71, 72).proportion_ci()
    from scipy.stats import binomtest

    for wins in (0, 41, 71, 72):
        expected = binomtest(wins, 72).proportion_ci()
        assert binomial_interval(wins, 72) == pytest.approx(tuple(expected), abs=1e-12)


def test_pictures_are_drawn_without_a_server_or_network(tmp_path: Path) -> None:
    wins = [{"design": "a", "b": 1.0}, {"design": "b", "a": 0.0}]
    curve = [{"rho": r, "levels": k, "ratio": 1.0 + r / k} for r in (0.0, 0.8) for k in (4, 8)]
    tables = {"constants": curve, "attention wins, 4 bits": wins, "unknown": wins}
    written = figures.save_figures(tables, tmp_path)
    assert sorted(path.name for path in written) == [
        "attention_wins_4_bits.html", "attention_wins_4_bits.png",
        "constants.html", "constants.png",
    ]  # fmt: skip
    assert written[0].read_bytes().startswith(b"\x89PNG")
    page = written[1].read_text()
    assert "Bokeh" in page
    assert re.findall(r"<(?:script|link)[^>]*(?:src|href)=", page) == []


def test_bad_requests_are_answered_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"experiment must be one of .* got 'magic'"):
        reproduce.reproduce(only=["magic"])
    arguments = ["reproduce", "--output", str(tmp_path), "--no-figures"]
    assert cli.main([*arguments, "--scheduler", "nowhere"]) == 1
    assert "address of a running Dask scheduler" in capsys.readouterr().err
    assert cli.main([*arguments, "--workers", "0"]) == 1
    assert "workers must be at least 1; got 0" in capsys.readouterr().err
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert cli.main(["reproduce", "--quick"]) == 1
    assert "pip install -e '.[figures]', or --no-figures" in capsys.readouterr().err


def test_points_at_the_ends_are_whole_and_the_papers_line_has_no_curves_colour() -> None:
    rows = [
        {"rho": rho, "exact": 0.2, "closed": 0.2, "closed_low": 0.19, "closed_high": 0.21,
         "best": 0.3, "best_low": 0.29, "best_high": 0.31}
        for rho in (0.0, 0.99)
    ]  # fmt: skip
    picture = hv.render(figures.reduction_figure(rows), backend="bokeh")
    assert picture.x_range.start < -0.02
    assert picture.x_range.end > 1.01
    (line,) = picture.select({"type": Span})
    curves = {glyph.line_color for glyph in picture.select({"type": Line})}
    assert line.line_color == "gray"
    assert line.line_dash == [6]
    assert curves
    assert "gray" not in curves
