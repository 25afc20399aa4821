"""Sweep: cells with seeds of their own, run by any executor, stored as they finish."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from quantlab import _validate as check
from quantlab.progress import Meter, Progress
from quantlab.sweep.execute import (
    TICK_SECONDS,
    Cell,
    CellFunction,
    Row,
    run_tasks,
    split_chunks,
)
from quantlab.sweep.store import Store


@dataclass(frozen=True)
class Sweep:
    r"""A function on every point of a grid of settings, `trials` times each.

    .. math:: \mathrm{cells} = \mathrm{axis}_1 \times \dots \times \mathrm{axis}_d
              \times \{0, ..., T - 1\}

    Parameters
    ----------
    function : callable
        function(rng, **settings) -> a row (dict) or several. It draws all its randomness from
        `rng`. Processes and clusters import it by name: define it in a module.
    grid : mapping
        Name -> a list (or array, or range) of values, an axis of the grid; anything else, tuples
        included, is one fixed value. Values are numbers, strings, booleans, None, or tuples of
        those.
    trials : int
        T, at least 1.
    seed : int
        Non-negative. A cell's stream is a hash (SHA-256) of seed, settings and trial: it depends
        neither on the other cells nor on the order.

    Raises
    ------
    ValueError, TypeError
        If an axis is empty, has a value twice, a number is not finite, or a value is of another
        type.

    Notes
    -----
    A larger grid or more trials keep the cells that they share with the smaller: run on the same
    store, only what is new is computed. A store knows cells by the function's name, not its code:
    take a new store for a changed function.

    Examples
    --------
    >>> def mean(rng, n):
    ...     return {"mean": rng.normal(size=n).mean()}
    >>> rows = Sweep(mean, {"n": [10, 1000]}, trials=2).run()
    >>> [(row["n"], row["trial"]) for row in rows]
    [(10, 0), (10, 1), (1000, 0), (1000, 1)]
    """

    function: CellFunction
    grid: Mapping[str, Any]
    trials: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function must be callable; got {type(self.function).__name__}")
        check.count(self.trials, "trials")
        check.count(self.seed, "seed", 0)
        _ = self.cells

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell; trials of one settings point lie together."""
        axes = {name: _axis(name, value) for name, value in self.grid.items()}
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        cells = []
        for values in itertools.product(*axes.values()):
            settings = dict(zip(axes, values, strict=True))
            for trial in range(self.trials):
                identity = [self.seed, settings, trial]
                key = _digest([name, *identity]).hex()[:32]
                entropy = int.from_bytes(_digest(identity)[:16], "big")
                cells.append(Cell(settings, trial, key, entropy))
        return tuple(cells)

    def run(
        self,
        executor: Executor | None = None,
        *,
        store: str | Path | None = None,
        progress: Progress = None,
        chunk: int = 1,
    ) -> list[Row]:
        """Run the cells that the store lacks; return the rows of all, in the order of `cells`.

        Parameters
        ----------
        executor : concurrent.futures.Executor, optional
            Where to run (see `open_executor`); None: here, one cell after the other.
        store : path, optional
            Folder of parquet parts (extra `sweep`). Rows are written as cells finish, within a
            second, each part at once or not at all: after a crash the same call resumes.
        progress : callable or True, optional
            progress(finished, all, seconds left), at every finished task (see `ProgressLine`);
            True: a bar of tqdm's.
        chunk : int
            Cells of one task, at most; only cells of the same settings share a task. More is
            quicker for short cells; up to `chunk` cells a worker are redone after a crash.

        Returns
        -------
        list of dict
            Settings, `trial` and what the function returned; numbers are Python's own.

        Raises
        ------
        RuntimeError
            If a cell failed: the first one is named. What had finished is in the store.
        """
        chunk = check.count(chunk, "chunk")
        with ExitStack() as held_open:
            held = held_open.enter_context(Store(store)) if store is not None else None
            finished = held.rows() if held else {}
            todo = [cell for cell in self.cells if cell.key not in finished]
            already = len(self.cells) - len(todo)
            meter = held_open.enter_context(Meter(progress, len(self.cells), already, "sweep"))
            unwritten: list[Row] = []
            written = time.monotonic()
            tasks = run_tasks(self.function, split_chunks(todo, chunk), executor)
            try:
                for cells, rows in tasks:
                    for cell, own in zip(cells, rows, strict=True):
                        finished[cell.key] = own
                        known = {"cell": cell.key, **cell.settings, "trial": cell.trial}
                        unwritten += ({**known, **row} for row in own)
                    meter.add(len(cells))
                    if held and unwritten and time.monotonic() - written > TICK_SECONDS:
                        held.append(unwritten)
                        unwritten, written = [], time.monotonic()
            finally:
                tasks.close()
                if held and unwritten:
                    held.append(unwritten)
        return [
            {**row, **cell.settings, "trial": cell.trial}
            for cell in self.cells
            for row in finished[cell.key]
        ]


def _axis(name: str, value: Any) -> list[Any]:
    if not isinstance(value, (list, range, np.ndarray)):
        return [_plain(name, value)]
    values = [_plain(name, v) for v in value]
    if not values:
        raise ValueError(f"axis {name!r} must have at least one value; got none")
    if len({json.dumps(v) for v in values}) < len(values):
        raise ValueError(f"axis {name!r} must not have a value twice; got {values}")
    return values


def _plain(name: str, value: Any) -> Any:
    """Python's own type for a setting or a result that a hash and a file can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (tuple, list)):
        return tuple(_plain(name, v) for v in value)
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(
            f"{name!r} must hold numbers, strings, booleans, None or tuples of them; "
            f"got {type(value).__name__}"
        )
    if isinstance(value, float) and not np.isfinite(value):
        raise ValueError(f"{name!r} must be finite; got {value}")
    return value


def _digest(identity: Any) -> bytes:
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).digest()
