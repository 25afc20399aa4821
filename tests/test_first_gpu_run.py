"""A first run on a card may be cut off at any moment: what it found by then stays, and is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks._cuda_log import append, lines
from benchmarks._first_tests import summary

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}


def run_until(rows: int, folder: Path, *options: str) -> tuple[list[dict], str]:
    """The benchmark in the interpreter, killed when so many rows are in its file: rows, table.

    The table is written anew after each row: it is read before the kill, which may cut it off.
    """
    script = ROOT / "benchmarks" / "cuda_products.py"
    process = subprocess.Popen(
        [sys.executable, script, "--output", folder, *options],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip

    def held() -> list[dict]:
        return [line for line in lines(folder / "cuda_rows.jsonl") if "name" in line]

    table, told = "", False
    deadline = time.monotonic() + 600
    while not told and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
        file, found = folder / "cuda.md", held()
        table = file.read_text() if file.exists() else ""
        told = len(found) >= rows and f"{1e3 * found[0]['s']:.4f}" in table
    process.kill()
    said = process.communicate()[0].decode()
    assert told, said
    return held(), table


@pytest.mark.skipif(find_spec("triton") is None, reason="no Triton: the benchmark is NOT tested")
def test_a_run_that_is_killed_leaves_its_rows(tmp_path) -> None:
    rows, table = run_until(3, tmp_path)
    assert [row["name"] for row in rows[:2]] == ["cuBLAS bf16", "cuBLAS float32, tf32 off"]
    assert rows[0]["setting"] == "(144, 144) x (144, 144)", "the largest product comes first"
    assert all(row["s"] > 0 for row in rows)
    assert "not a measurement" in table

    # killed in a row, and while a line was written
    file = tmp_path / "cuda_rows.jsonl"
    ours = "quantlab, 4 bit x 4 bit packed"
    rows = rows[:3]
    file.unlink()
    for line in [*rows, {"started": [rows[0]["setting"], ours]}]:
        append(file, line)
    with file.open("a") as half:
        half.write('{"setting": "(144')
    again, _ = run_until(7, tmp_path, "--resume")
    assert '\n{"setting": "(144\n' in file.read_text(), "a line of its own comes after it"
    assert again[:3] == rows, "nothing is measured twice"
    names = [row["name"] for row in again]
    assert len(set(names)) == len(names)
    assert again[names.index(ours)]["note"] == "not timed: the process ended in it"
    assert again[names.index(ours) + 1]["s"] > 0


def test_tests_that_end_the_process_are_named_and_the_rest_goes_on(tmp_path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os, time\n"
        "def test_passes(): pass\n"
        "def test_fails(): assert 1 + 1 == 3\n"
        "def test_lasts(): time.sleep(30)\n"
        "def test_ends_the_process(): os._exit(7)\n"
        "def test_comes_last(): pass\n"
        "def test_of_a_route(): pass\n"
    )
    outcomes = tmp_path / "tests.jsonl"
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "benchmarks._first_tests",
        "-p", "no:cacheprovider", "--outcomes", outcomes, "--limit", "0.5", tmp_path,
    ]  # fmt: skip
    bare = ENVIRONMENT | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    codes = [
        subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True).returncode
        for _ in range(2)
    ]
    assert codes == [7, 0], "ended by a test, which is not run again; the rest"
    held = lines(outcomes)
    assert held[0]["test"].endswith("test_of_a_route"), "the benchmark's rows rely on it"
    assert held[-1] == {"finished": True}
    assert summary(outcomes).splitlines() == [
        "2 failed, 3 passed, 1 started",
        "failed: test_it.py::test_fails: AssertionError: assert (1 + 1) == 3",
        "failed: test_it.py::test_lasts: TimeoutError: took over 0.5 s",
        "never ended: test_it.py::test_ends_the_process",
    ]
