"""Long calls tell how far they are, and leave nothing half written when they are interrupted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import quantlab as ql
from quantlab import outofcore
from quantlab._files import whole_file
from quantlab.progress import Meter

PAIR = ql.GaussianPair(0.8)
A, B = PAIR.sample_matrices(40, 12, 36, rng=1)
BOOKS = ql.design_companding(PAIR, 8)
CODED = outofcore.encode(A, BOOKS[0]), outofcore.encode(B, BOOKS[1])
CALLS = {
    "measure": lambda progress: ql.measure(PAIR, *BOOKS, 8, m=8, n=8, trials=5, progress=progress),
    "design_report": lambda progress: ql.design_report((A, B), 3, groups=(4,), progress=progress),
    "design_report of a law": lambda progress: ql.design_report(PAIR, 3, 8, progress=progress),
    "design_scheme": lambda progress: ql.design_scheme((A, B), 3, progress=progress),
    "design_bilinear": lambda progress: ql.design_bilinear(PAIR, 4, progress=progress),
    "critical rho": lambda progress: ql.finite_size_critical_rho(4, progress=progress),
    "encode": lambda progress: outofcore.encode(A, BOOKS[0], memory=9_000, progress=progress),
    "matmul": lambda progress: outofcore.matmul(*CODED, memory=9_000, progress=progress),
    "design_empirical": lambda progress: outofcore.design_empirical(
        np.tile(A, (60, 1)), np.tile(B, (1, 60)), 4, memory=50_000, progress=progress
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_long_call_tells_its_steps(name: str) -> None:
    seen: list[tuple[int, int, float | None]] = []
    CALLS[name](lambda *now: seen.append(now))
    done, totals = [step for step, *_ in seen], {total for _, total, _ in seen}
    assert len(totals) == 1
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, totals.pop())
    assert len(seen) > 2
    assert seen[0][2] is None
    assert seen[-1][2] == 0


@pytest.mark.parametrize("name", CALLS)
def test_each_can_be_interrupted_and_called_again(name: str) -> None:
    def stop(done: int, total: int, left: float | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CALLS[name](stop)
    CALLS[name](None)


def test_a_bar_of_tqdm(capsys: pytest.CaptureFixture[str]) -> None:
    CALLS["measure"](True)
    assert "measure: " in capsys.readouterr().err
    meter = Meter(True, 4, label="stopped")
    meter.add(2)
    meter.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert meter.bar.disable, "the bar is closed"
    assert meter.bar.n == 2


def test_without_tqdm_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="pip install tqdm"):
        CALLS["measure"](True)


def test_progress_is_a_callable_or_true() -> None:
    with pytest.raises(TypeError, match=r"progress must be a callable .* got 'yes'"):
        CALLS["measure"]("yes")


def test_fewer_and_more_steps_than_foreseen() -> None:
    seen: list[int] = []
    with Meter(lambda done, total, left: seen.append(done), 3) as meter:
        meter.add()
    assert seen == [0, 1, 3]
    with Meter(lambda done, total, left: seen.append(done), 1) as meter:
        meter.add()
        meter.add()
    assert seen[3:] == [0, 1, 1]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("before")

    def write() -> None:
        with whole_file(path) as beside:
            beside.write_text("hal")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [each.name for each in tmp_path.iterdir()] == ["kept.txt"]
    assert path.read_text() == "before"


@pytest.mark.parametrize("what", ["codebook", "matrix", "scheme"])
def test_an_interrupted_save_keeps_the_file_before(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {
        "codebook": BOOKS[0],
        "matrix": ql.encode(A, BOOKS[0]),
        "scheme": ql.design_scheme((A, B), 3, basis="none", rates="equal", books="matrix"),
    }[what]
    path = tmp_path / "file"
    made.save(path)
    before = path.read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("quantlab._files.os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        made.save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        made.save(tmp_path / "nowhere" / "file")
