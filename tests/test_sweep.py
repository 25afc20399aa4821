"""Sweeps: the same numbers whichever runner, and nothing lost or doubled when they are killed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantlab import progress
from quantlab.progress import Meter
from quantlab.sweep import ProgressLine, Store, Sweep, open_executor
from tests import sweep_cells

GRID = {"size": [3, 40], "scale": [0.5, 2.0]}


def test_cells_are_the_grid_times_the_trials() -> None:
    sweep = Sweep(sweep_cells.noise, {"size": 3, "scale": [1, 2.5]}, trials=2)
    assert [(dict(cell.settings), cell.trial) for cell in sweep.cells] == [
        ({"size": 3, "scale": 1}, 0),
        ({"size": 3, "scale": 1}, 1),
        ({"size": 3, "scale": 2.5}, 0),
        ({"size": 3, "scale": 2.5}, 1),
    ]
    assert len({cell.key for cell in sweep.cells}) == len({c.entropy for c in sweep.cells}) == 4


def test_a_seed_depends_on_its_own_cell_only() -> None:
    small = Sweep(sweep_cells.noise, {"size": [3], "scale": [0.5]}, trials=1)
    large = Sweep(sweep_cells.noise, {"scale": np.array([2.0, 0.5]), "size": [40, 3]}, trials=3)
    (alone,) = small.run()
    assert alone in large.run()
    other = Sweep(sweep_cells.noise, {"size": [3], "scale": [0.5]}, seed=1)
    assert other.run()[0]["first"] != alone["first"]
    # the hash is a promise to stores that exist: this value must never change
    assert small.cells[0].entropy == 0x223E0C9BDFF6849ABF35562EB7875908


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_every_runner_gives_the_same_numbers(runner: str) -> None:
    sweep = Sweep(sweep_cells.noise, GRID, trials=3, seed=7)
    expected = sweep.run()
    with open_executor(runner, workers=2) as executor:
        assert sweep.run(executor, chunk=2) == expected
    assert [row["trial"] for row in expected] == [0, 1, 2] * 4


def test_a_cell_may_give_several_rows() -> None:
    rows = Sweep(sweep_cells.several, {"size": [1, 3]}).run()
    assert [(row["size"], row["name"]) for row in rows] == [
        (1, "0"), (3, "0"), (3, "1"), (3, "2"),
    ]  # fmt: skip


def test_results_are_pythons_own_numbers() -> None:
    (row,) = Sweep(sweep_cells.returning, {"what": "numpy"}).run()
    assert row == {"what": "numpy", "trial": 0, "value": 0.5, "count": 3}
    assert type(row["count"]) is int


def test_a_store_resumes_and_grows(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    few = Sweep(sweep_cells.slow, {"point": [1, 2], "log": str(log)})
    many = Sweep(sweep_cells.slow, {"point": [2, 3, 1], "log": str(log)})
    first = few.run(store=tmp_path / "store")
    rows = many.run(store=tmp_path / "store")
    assert len(list(log.iterdir())) == 3
    assert rows[2] == first[0]
    assert many.run(store=tmp_path / "store") == rows
    assert len(list(log.iterdir())) == 3
    stored = pd.read_parquet(tmp_path / "store")
    assert sorted(stored["point"]) == [1, 2, 3]
    assert sorted(stored["cell"]) == sorted(cell.key for cell in many.cells)


def test_a_torn_part_is_not_read_and_is_cleared(tmp_path: Path) -> None:
    sweep = Sweep(sweep_cells.several, {"size": [2, 1]})
    rows = sweep.run(store=tmp_path)
    whole = next(tmp_path.glob("part-*.parquet")).read_bytes()
    (tmp_path / ".part-0.parquet").write_bytes(whole[: len(whole) // 2])
    assert sweep.run(store=tmp_path) == rows
    assert not list(tmp_path.glob(".part-*"))


def test_a_cell_that_is_stored_twice_counts_once(tmp_path: Path) -> None:
    sweep = Sweep(sweep_cells.several, {"size": [2]})
    rows = sweep.run(store=tmp_path)
    part = next(tmp_path.glob("part-*.parquet"))
    (tmp_path / "part-9.parquet").write_bytes(part.read_bytes())
    assert sweep.run(store=tmp_path) == rows


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(RuntimeError, match="another process writes"):
        Sweep(sweep_cells.several, {"size": [2]}).run(store=tmp_path)


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "part-0.parquet").write_text("x")
    with pytest.raises(ValueError, match=r"part-0.parquet is not a part of a sweep's store"):
        Sweep(sweep_cells.several, {"size": [2]}).run(store=tmp_path)


@pytest.mark.parametrize("runner", ["serial", "processes"])
def test_a_failing_cell_is_named_and_the_others_kept(tmp_path: Path, runner: str) -> None:
    sweep = Sweep(sweep_cells.failing, {"point": [0, 1, 2]})
    with (
        open_executor(runner, workers=1) as executor,
        pytest.raises(RuntimeError, match=r"ArithmeticError in trial 0 of \{'point': 2\}: no good"),
    ):
        sweep.run(executor, store=tmp_path)
    assert sorted(pd.read_parquet(tmp_path)["point"]) == [0, 1]


def test_a_dead_worker_process_is_reported() -> None:
    with (
        open_executor("processes", workers=1) as executor,
        pytest.raises(RuntimeError, match=r"the runner broke .* the same call resumes"),
    ):
        Sweep(sweep_cells.suicidal, {"point": 0}).run(executor)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing", "at least one row"),
        ("clash", "must not hold 'what'"),
        ("array", "'value' must be a number, a string or None; got ndarray"),
    ],
)
def test_bad_rows(what: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        Sweep(sweep_cells.returning, {"what": what}).run()


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        ({"size": []}, ValueError, "axis 'size' must have at least one value"),
        ({"size": [1, 1]}, ValueError, "must not have a value twice"),
        ({"size": [np.nan]}, ValueError, "'size' must be finite; got nan"),
        ({"size": {1: 2}}, TypeError, "'size' must hold numbers, strings.*got dict"),
    ],
)
def test_bad_grids(grid: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Sweep(sweep_cells.several, grid)


def test_bad_runners() -> None:
    with (
        pytest.raises(ValueError, match=r"runner must be one of .* got 'fork'"),
        open_executor("fork"),
    ):
        pass
    with pytest.raises(ValueError, match="workers must be at least 1"), open_executor(workers=0):
        pass
    with (
        pytest.raises(ValueError, match="address of a running Dask scheduler"),
        open_executor(scheduler="nowhere"),
    ):
        pass


def test_progress_tells_share_and_time_left() -> None:
    seen = []
    Sweep(sweep_cells.several, {"size": [1, 2, 3]}).run(progress=lambda *now: seen.append(now))
    assert [(done, total) for done, total, _ in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert seen[0][2] is None
    assert seen[-1][2] == 0.0
    text = io.StringIO()
    line = ProgressLine("phase", text)
    line(1, 4, 3725.0)
    line(2, 4, 1.0)
    line(4, 4, 0.0)
    assert text.getvalue().splitlines() == [
        "phase [######                  ] 1/4  1:02:05 left",
        "phase [########################] 4/4  00:00 left",
    ]


def test_time_left_goes_by_the_pace_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store's 96 cells took none of this run's time."""
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    seen = []
    Meter(lambda *now: seen.append(now), total=100, already=96).add(1)
    monkeypatch.undo()
    assert seen[-1] == (97, 100, 30.0)


def test_a_line_of_progress_is_seen_at_once() -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Stream()
    ProgressLine("phase", stream)(1, 4, None)
    assert stream.flushed.startswith("phase [######")


def test_what_append_has_written_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part's bytes before its name, then the folder: a power cut leaves whole parts."""
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.fstat(handle).st_size))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("named"), replace(a, b)))
    with Store(tmp_path) as store:
        store.append([{"cell": "a", "x": 1}])
        (part,) = store.parts()
    folder = [] if sys.platform == "win32" else [tmp_path.stat().st_size]
    assert done[:2] == [part.stat().st_size, "named"]
    assert len(done) == 2 + len(folder)


def test_processes_are_spawned() -> None:
    """A fork copies locks that this process's threads hold."""
    with open_executor("processes", workers=1) as executor:
        assert executor._mp_context.get_start_method() == "spawn"


KILLED = """
import json, sys
from tests import sweep_cells
from quantlab.sweep import Sweep, open_executor
if __name__ == "__main__":
    log, store = sys.argv[1:]
    with open_executor("processes", workers=2) as executor:
        Sweep(sweep_cells.slow, {"point": list(range(60)), "log": log}).run(executor, store=store)
"""


def test_killed_with_sigkill_it_resumes_with_no_cell_lost_and_none_doubled(tmp_path: Path) -> None:
    log, store, script = tmp_path / "log", tmp_path / "store", tmp_path / "killed.py"
    log.mkdir()
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    run = subprocess.Popen([sys.executable, script, log, store], env=environment)
    deadline = time.monotonic() + 60
    while not list(store.glob("part-*")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    workers = {int(path.read_text() or 0) for path in log.iterdir()} - {0}
    wait_until(lambda: not any(alive(pid) for pid in workers), "the workers of a killed sweep end")

    interrupted = pd.read_parquet(store)
    assert 0 < len(interrupted) < 60
    done_before = {path.name for path in log.iterdir()}
    sweep = Sweep(sweep_cells.slow, {"point": list(range(60)), "log": str(log)})
    with open_executor("threads", workers=8) as executor:
        rows = sweep.run(executor, store=store)
    assert [row["point"] for row in rows] == list(range(60))
    assert [row["value"] for row in rows] == values(sweep)
    again = {int(p.name.split("-")[0]) for p in log.iterdir() if p.name not in done_before}
    assert again.isdisjoint(interrupted["point"])
    stored = pd.read_parquet(store)
    assert sorted(stored["point"]) == list(range(60))
    kept = stored[stored["cell"].isin(interrupted["cell"])]
    assert sorted(kept["value"]) == sorted(interrupted["value"])


def test_a_dask_worker_killed_mid_run_changes_nothing(tmp_path: Path) -> None:
    from distributed import LocalCluster

    sweep = Sweep(sweep_cells.slow, {"point": list(range(40)), "log": str(tmp_path)})
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        victim = next(iter(cluster.workers.values())).process.pid
        killed = []

        def kill_one(done: int, total: int, left: float | None) -> None:
            if done >= 8 and not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(done)

        with open_executor(scheduler=cluster.scheduler_address) as executor:
            rows = sweep.run(executor, progress=kill_one, store=tmp_path / "store")
    assert killed
    assert victim in {int(p.read_text()) for p in tmp_path.glob("*-*")}
    assert [row["point"] for row in rows] == list(range(40))
    assert len(pd.read_parquet(tmp_path / "store")) == 40
    assert [row["value"] for row in rows] == values(sweep)


def values(sweep: Sweep) -> list[float]:
    """What `sweep_cells.slow` draws, without its sleep."""
    return [float(cell.rng().normal()) for cell in sweep.cells]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
