"""Measurements to a file as they come, a line of JSON each: what a run that is cut off leaves."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Seconds of one measurement after which the process ends itself, with a traceback.
LIMIT = 120
#: Exit status where the device takes no further calls: `--resume` goes on in a new process.
DEVICE_LOST = 3


class Log:
    """Runs measurements that the file does not hold yet.

    A line is written before each, {"started": [setting, name]}, and one after it. A measurement
    that was started and never ended is not tried again.
    """

    def __init__(self, path: Path | None, resume: bool = False) -> None:
        self.path = path
        self.done: dict[tuple[str, str], dict] = {}
        self.started: set[tuple[str, str]] = set()
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if not resume:
            path.unlink(missing_ok=True)
        for held in lines(path):
            if "started" in held:
                self.started.add(tuple(held["started"]))
            else:
                self.done[held["setting"], held["name"]] = held

    def run(self, setting: str, name: str, work: Callable[[], dict]) -> dict:
        """What `work` found, or found before; {"note": why not}, whatever it raises."""
        key = setting, name
        if key in self.done:
            return self.done[key]
        lost = False
        if key in self.started:
            found = {"note": "not timed: the process ended in it"}
        else:
            self._write({"started": key})
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            try:
                found = work()
            except Exception as error:  # another library's, too: the next rows are to be measured
                said = (str(error).splitlines() or [""])[0][:90].replace("|", "/")
                found = {"note": f"not timed: {type(error).__name__}: {said}"}
                lost = device_is_lost()
            finally:
                faulthandler.cancel_dump_traceback_later()
        self.done[key] = {"setting": setting, "name": name, **found}
        self._write(self.done[key])
        print(f"{setting} | {name}: {_said(found)}", flush=True)
        if lost:
            sys.exit(DEVICE_LOST)
        return self.done[key]

    def _write(self, line: dict) -> None:
        if self.path is not None:
            append(self.path, line)


def append(path: Path, line: dict) -> None:
    """To the disk before anything else happens, on a line of its own."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")  # after a line that was cut off
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def lines(path: Path) -> list[dict]:
    """All whole lines; none if there is no file."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # one that was being written
    return found


def _said(found: dict) -> str:
    if found.get("s") is None:
        return str(found.get("note", "done"))
    return f"{1e3 * found['s']:.4f} ms, {found.get('note', '')}"


def device_is_lost() -> bool:
    """Whether a kernel's fault has ended the process's context: every later call would fail."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return False
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return True
    return False
