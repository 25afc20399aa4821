"""Do the tests see faults? One fault at a time is put into a copy of the repository, and tests run.

    python -m benchmarks.mutants LOG              300 faults, about an hour on one core
    python -m benchmarks.mutants LOG --survivors  once more those that no test has caught
    python -m benchmarks.mutants LOG --table      counts only, and writes results/mutants.md
    --room NAME   one room alone      --trust   without the tests' own run, which must pass, first

Needs cosmic-ray (pip install cosmic-ray), whose operators make the faults: + for -, * for /, < for
<=, `and` for `or`, a negated condition, a constant one higher or lower, a loop that never turns,
an exception that is not caught; and two of _faults.py: a call without one of its keywords, and a
call that is not made. Each place in the code has at most one fault.

Left alone: docstrings and strings, annotations, what is raised, `__repr__`, code for type checkers,
decorators, imports, and the numbers and keywords of the pages' look (width, margin, ...).

The sample depends on the seed and on each fault alone: where code changes, other files keep theirs.
LOG has one JSON line a fault, the last one counts, and a run goes on where the last has stopped. A
line with the outcome "equivalent" and a "why", written by hand, says that no test can see a fault;
results/mutants.json keeps these.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from benchmarks._faults import ROOT, SEED, Mutant, places_of, rank

RESULTS = Path(__file__).parent / "results"
COUNT = 292
LEAST = 10  # faults of the smallest room
TEST_LIMIT = 60  # seconds of one test
LIMIT = 360  # seconds of all tests of one fault
ROOMS = {
    "pairs": ("quantlab/pairs/",),
    "density": ("quantlab/density.py",),
    "distortion": ("quantlab/distortion.py",),
    "design": ("quantlab/design/",),
    "codes": ("quantlab/codes/",),
    "gemm": ("quantlab/gemm/",),
    "balancing": ("quantlab/balancing.py",),
    "sweep": ("quantlab/sweep/",),
    "files": ("quantlab/files/",),
    "dashboard": tuple(f"dashboard/{part}" for part in ("state.py", "work/", "pages/")),
}
# the tests of a file are those of the longest path here that it begins with, likeliest first
TESTS = {
    "quantlab/pairs/": "pairs density distortion scale",
    "quantlab/pairs/empirical": "empirical pairs scale report balancing",
    "quantlab/density": "density pairs scale display",
    "quantlab/distortion": "distortion scale bilinear pairs",
    "quantlab/design/": "lloyd_max codebook density formats scale",
    "quantlab/design/bilinear": "bilinear scale report",
    "quantlab/design/_product_error": "bilinear scale report",
    "quantlab/design/empirical": "empirical scale report",
    "quantlab/design/weighted_kmeans": "weighted_kmeans empirical",
    "quantlab/design/kmeans_kernels": "weighted_kmeans empirical",
    "quantlab/formats/codebooks": "formats codes",
    "quantlab/codes/": "codes codebook matrices display gemm_cpu formats outofcore",
    "quantlab/codes/device": "gemm_cuda measure_cuda codes",
    "quantlab/gemm/": "gemm_cpu codes display gemm_cuda",
    "quantlab/gemm/cuda/": "gemm_cuda measure_cuda display",
    "quantlab/balancing": "balancing scale report",
    "quantlab/sweep/": "sweep experiments",
    "dashboard/pages/": "figures page_texts pages session controls state doctests",
    "dashboard/state": "state session controls pages doctests",
    "dashboard/work/": "state session error_study pages controls doctests",
    "dashboard/work/error_study": "error_study controls session doctests",
    "dashboard/work/matrices": "page_texts pages uploads session doctests",
    "quantlab/files/": "uploads codebooks session pages doctests",
    "quantlab/files/codebooks": "codebooks session doctests",
    "dashboard/pages/codebooks": "figures codebooks session controls doctests",
    "dashboard/pages/data": "figures page_texts pages uploads session controls doctests",
    "dashboard/pages/error_study": "figures error_study session controls doctests",
}
CAUGHT = ("caught", "timeout")


def sample() -> list[Mutant]:
    """COUNT faults, shared among the rooms as their places are, in an order of chance."""
    shown = ("git", "ls-files", "*.py")
    listed = subprocess.run(shown, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = listed.stdout.split()
    found = {
        room: [p for path in paths if path.startswith(starts) for p in places_of(room, path)]
        for room, starts in ROOMS.items()
    }
    total = sum(map(len, found.values()))
    chosen: list[Mutant] = []
    for places in found.values():
        count = max(LEAST, round(COUNT * len(places) / total))
        places.sort(key=lambda place: rank(place.key))
        valid = filter(None, (place.mutant() for place in places))
        chosen += itertools.islice(valid, count)
    return sorted(chosen, key=lambda mutant: mutant.name)


def tests_of(path: str) -> list[str]:
    key = max((key for key in TESTS if path.startswith(key)), key=len)
    folder = "tests/dashboard" if path.startswith(("dashboard/", "quantlab/files/")) else "tests"
    tests = [f"{folder}/test_{name}.py" for name in TESTS[key].split()]
    return [*tests, path] if path.startswith("quantlab/") else tests


def compiled(path: str) -> bool:
    """Whether Numba's cache may hold code of this file: its key does not see inlined modules."""
    return re.search("numba|_jit|llvmlite", (ROOT / path).read_text()) is not None


class Copy:
    """A copy of the checkout, in which tests run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.cache = folder / "numba"
        shown = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        listed = subprocess.run(shown, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)

    def run(self, tests: list[str], cache: Path) -> tuple[str, str]:
        """What becomes of the tests, and the last line of what pytest says."""
        options = ("-x", "-q", "-p", "no:cacheprovider", "--doctest-modules", "-m", "not browser")
        limits = (f"faulthandler_timeout={TEST_LIMIT}", "faulthandler_exit_on_timeout=true")
        command = (sys.executable, "-m", "pytest", *options, "-o", limits[0], "-o", limits[1])
        environment = os.environ | {
            "PYTHONPATH": str(self.root),
            "NUMBA_CACHE_DIR": str(cache),
        }
        with subprocess.Popen(
            (*command, *tests),
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                out, _ = process.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                return "timeout", ""
            finally:  # with the servers and workers that it has started
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode == 4 or process.returncode == 5:
            raise RuntimeError(out)
        said = [s for s in out.splitlines() if s.startswith(("FAILED", "ERROR"))] or [""]
        if "Timeout (" in out:
            return "timeout", said[-1]
        return "caught" if process.returncode else "survived", said[-1]

    def try_out(self, mutant: Mutant) -> dict[str, object]:
        target = self.root / mutant.path
        own = compiled(mutant.path)
        cache = Path(tempfile.mkdtemp(dir=self.root.parent)) if own else self.cache
        sound, made = target.read_bytes(), target.stat()
        start = time.perf_counter()
        try:
            target.write_text(mutant.text)
            outcome, said = self.run(tests_of(mutant.path), cache)
        finally:
            target.write_bytes(sound)  # at its own time, which Numba's cache goes by
            os.utime(target, ns=(made.st_atime_ns, made.st_mtime_ns))
            if own:
                shutil.rmtree(cache, ignore_errors=True)
        record = asdict(mutant)
        record.pop("text")
        return {
            **record,
            "outcome": outcome,
            "by": said,
            "seconds": round(time.perf_counter() - start, 1),
        }


def read(log: Path) -> dict[str, dict]:
    """What is known of each fault, by its name."""
    kept = RESULTS / "mutants.json"
    known = json.loads(kept.read_text()) if kept.exists() else []
    lines = log.read_text().splitlines() if log.exists() else []
    found: dict[str, dict] = {}
    for line in (*known, *map(json.loads, lines)):
        found[line["name"]] = found.get(line["name"], {}) | line
    return found


def table(results: list[dict]) -> str:
    """By room: faults, those without effect, caught, survivors and percentage."""
    lines = [
        "| room | faults | equivalent | caught | survivors | caught, % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for room in (*ROOMS, "all"):
        outcomes = [r["outcome"] for r in results if room in (r["room"], "all")]
        same = outcomes.count("equivalent")
        caught = sum(outcome in CAUGHT for outcome in outcomes)
        visible = len(outcomes) - same
        share = f"{100 * caught / visible:.1f}" if visible else ""
        counts = (len(outcomes), same, caught, visible - caught)
        lines.append(f"| {room} | {' | '.join(map(str, counts))} | {share} |")
    return "\n".join(lines)


def listing(results: list[dict], outcome: str) -> list[str]:
    return [
        f"- `{r['path']}:{r['line']}`: `{r['before'] or ' '}` becomes `{r['after'] or ' '}`"
        + (f". {r['why']}" if outcome == "equivalent" else "")
        for r in sorted(results, key=lambda r: (r["path"], r["line"]))
        if r["outcome"] == outcome
    ]


def commit() -> str:
    command = ("git", "rev-parse", "--short=10", "HEAD")
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def notes() -> str:
    """What is written by hand at the end of results/mutants.md, and stays."""
    found = RESULTS / "mutants.md"
    text = found.read_text() if found.exists() else ""
    return text.partition("## Notes\n")[2].strip()


def markdown(results: list[dict]) -> str:
    """results/mutants.md: the table, the faults that no test can see, and those that none saw."""
    return "\n".join(
        [
            "# Faults put into the code", "",
            f"`python -m benchmarks.mutants LOG`, seed {SEED}, the code of commit {commit()}: one "
            "fault at a time, the tests of that file, and whether one fails. A percentage is of "
            "the faults that are not equivalent.", "",
            table(results), "",
            "## Equivalent, or out of a test's reach", "", *listing(results, "equivalent"), "",
            "## Survivors", "", *(listing(results, "survived") or ["None."]), "",
            "## Notes", "", notes(), "",
        ]
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--survivors", action="store_true", help="run those once more")
    parser.add_argument("--table", action="store_true", help="run nothing, write the results")
    parser.add_argument("--trust", action="store_true", help="the tests are known to pass")
    parser.add_argument("--room", choices=ROOMS, help="this room alone")
    chosen = parser.parse_args()
    mutants = [m for m in sample() if chosen.room in (None, m.room)]
    done = read(chosen.log)
    if not chosen.table:
        waiting = [
            m
            for m in mutants
            if m.name not in done or (chosen.survivors and done[m.name]["outcome"] == "survived")
        ]
        with tempfile.TemporaryDirectory() as folder:
            copy = Copy(Path(folder))
            sound: set[str] = set()
            for number, mutant in enumerate(waiting, 1):
                tests = [test for test in tests_of(mutant.path) if test not in sound]
                if tests and not chosen.trust:
                    outcome, said = copy.run(tests, copy.cache)
                    if outcome != "survived":
                        raise RuntimeError(f"without a fault, too: {outcome}, {said}")
                    sound.update(tests)
                done[mutant.name] = copy.try_out(mutant)
                with chosen.log.open("a") as file:
                    file.write(json.dumps(done[mutant.name]) + "\n")
                print(
                    f"{number}/{len(waiting)}  {done[mutant.name]['outcome']}  "
                    f"{done[mutant.name]['seconds']} s  {mutant.path}:{mutant.line}  "
                    f"{mutant.before}  ->  {mutant.after}",
                    flush=True,
                )
    results = [done[m.name] for m in mutants if m.name in done]
    print(table(results))
    if chosen.table:
        (RESULTS / "mutants.md").write_text(markdown(results))
        same = [r for r in results if r["outcome"] == "equivalent"]
        (RESULTS / "mutants.json").write_text(json.dumps(same, indent=1) + "\n")


if __name__ == "__main__":
    main()
