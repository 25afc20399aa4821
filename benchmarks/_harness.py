"""Shared by benchmarks: interleaved timing, peak memory, versions, markdown and JSON."""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

# seconds of one measurement: shorter calls are repeated
_BATCH = 2e-2

Contenders = Mapping[str, Callable[[], object]]


@dataclass
class Timing:
    """One contender: seconds a call (median), speed relative to the baseline, peak memory.

    `best` and `best_ratio`: of the fastest measurement, on a shared machine the steadier figure.
    """

    name: str
    seconds: float
    ratio: float
    low: float
    high: float
    best: float
    best_ratio: float
    peak_mb: float


def race(
    contenders: Contenders, baseline: str, budget: float = 1.0, most_rounds: int = 101
) -> list[Timing]:
    """Time contenders in turns, `budget` seconds each or so; the median of the rounds' ratios.

    A ratio compares calls of one round, so that a slow spell of the machine hits both; `low` and
    `high` are its quartiles.
    """
    names = list(contenders)
    for function in contenders.values():
        function()  # may compile
    once = {name: _clock(function, 1) for name, function in contenders.items()}
    repeats = {name: max(1, round(_BATCH / max(seconds, 1e-7))) for name, seconds in once.items()}
    slowest = max(once[name] * repeats[name] for name in names)
    rounds = max(5, min(most_rounds, round(budget / slowest)))
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for i in range(len(names)):
            name = names[(i + turn) % len(names)]
            times[name].append(_clock(contenders[name], repeats[name]))
    results = []
    for name in names:
        ratios = [b / t for b, t in zip(times[baseline], times[name], strict=True)]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        seconds = statistics.median(times[name])
        best = min(times[name])
        best_ratio = min(times[baseline]) / best
        peak = peak_memory(contenders[name])
        results.append(Timing(name, seconds, ratio, low, high, best, best_ratio, peak))
    return results


def _clock(function: Callable[[], object], repeats: int) -> float:
    """Seconds a call; all but the longest are in a batch, after one that is not counted.

    Other libraries' threads spin for a while after their calls, at the next one's cost.
    """
    if repeats > 1:
        function()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def peak_memory(function: Callable[[], object]) -> float:
    """MB of resident memory that a call adds at its peak (Linux; NaN elsewhere)."""
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # memory freed earlier must not hide the call's
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        function()
        return max(0.0, _status("VmHWM") - before) / 1024
    except (OSError, AttributeError):
        return float("nan")


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return float(line.split()[1])
    raise OSError(key)


def machine(packages: Sequence[str]) -> dict[str, str]:
    """Processor, threads, and the versions of those packages that are installed."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    found = {"processor": model, "cores": str(len(os.sched_getaffinity(0)))}
    found["python"] = platform.python_version()
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@dataclass
class Report:
    """Sections of text and tables; `write` makes NAME.md and NAME.json of them."""

    title: str
    command: str
    about: dict[str, str]
    sections: list[dict[str, object]] = field(default_factory=list)

    def add(self, heading: str, text: str, timings: Mapping[str, Sequence[Timing]]) -> None:
        """A section with a table of timings for each setting (shape, codebook, ...)."""
        rows = {key: [asdict(timing) for timing in value] for key, value in timings.items()}
        self.sections.append({"heading": heading, "text": text, "timings": rows})
        print(self._markdown(self.sections[-1]), file=sys.stderr, flush=True)

    def _markdown(self, section: dict[str, object]) -> str:
        lines = [f"## {section['heading']}", "", str(section["text"]), ""]
        timings = section["timings"]
        assert isinstance(timings, dict)
        for setting, rows in timings.items():
            lines += [
                f"### {setting}",
                "",
                "| | time | ratio | quartiles | fastest | its ratio | peak MB |",
            ]
            lines += ["|---|---:|---:|---:|---:|---:|---:|"]
            for r in rows:
                cells = [
                    _seconds(r["seconds"]),
                    f"{r['ratio']:.2f}",
                    f"{r['low']:.2f} - {r['high']:.2f}",
                    _seconds(r["best"]),
                    f"{r['best_ratio']:.2f}",
                    f"{r['peak_mb']:.1f}",
                ]
                row = " | ".join([r["name"], *cells])
                lines.append(f"| {row.replace('nan - nan', '').replace('nan', '')} |")
            lines.append("")
        return "\n".join(lines)

    def write(self, stem: Path) -> None:
        stem.parent.mkdir(parents=True, exist_ok=True)
        about = ", ".join(f"{key} {value}" for key, value in self.about.items())
        head = f"# {self.title}\n\nMade by `{self.command}`. {about}.\n\n"
        body = "\n".join(self._markdown(section) for section in self.sections)
        stem.with_suffix(".md").write_text(head + body.rstrip() + "\n")
        record = {"title": self.title, "command": self.command, "about": self.about}
        sections = json.loads(json.dumps(self.sections), parse_constant=lambda _: None)
        text = json.dumps({**record, "sections": sections}, indent=1)
        stem.with_suffix(".json").write_text(text + "\n")


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} us"
