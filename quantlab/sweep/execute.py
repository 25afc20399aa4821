"""What runs a sweep's cells: tasks of a few cells each, on an executor or here."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab.sweep.runners import one_thread_each

Row = dict[str, Any]
CellFunction = Callable[..., "Row | Sequence[Row]"]

TICK_SECONDS = 1.0


@dataclass(frozen=True)
class Cell:
    """One settings point and trial. `key` names it in a store; `entropy` seeds it."""

    settings: Mapping[str, Any]
    trial: int
    key: str
    entropy: int

    def rng(self) -> np.random.Generator:
        """The cell's own stream: the same in every run, order, runner and machine."""
        return np.random.default_rng(np.random.SeedSequence(self.entropy))


def split_chunks(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    chunks: list[list[Cell]] = []
    for cell in cells:
        last = chunks[-1] if chunks else None
        if last and len(last) < size and last[0].settings is cell.settings:
            last.append(cell)
        else:
            chunks.append([cell])
    return chunks


def run_cells(function: CellFunction, cells: Sequence[Cell]) -> list[list[Row]]:
    """What a worker does with one task: the rows of each cell."""
    results = []
    for cell in cells:
        try:
            found = function(cell.rng(), **cell.settings)
            results.append(_checked([found] if isinstance(found, Mapping) else found, cell))
        except Exception as error:
            place = f"trial {cell.trial} of {dict(cell.settings)}"
            raise RuntimeError(f"{type(error).__name__} in {place}: {error}") from error
    return results


def _checked(rows: Sequence[Row], cell: Cell) -> list[Row]:
    if len(rows) == 0:
        raise ValueError("a cell must give at least one row; got none")
    for name in {"cell", "trial", *cell.settings}:
        if any(name in row for row in rows):
            raise ValueError(f"a row must not hold {name!r}, which names the cell")
    return [{k: _result(k, v) for k, v in row.items() if v is not None} for row in rows]


def _result(name: str, value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"{name!r} must be a number, a string or None; got {type(value).__name__}")
    return value


def run_tasks(
    function: CellFunction, tasks: list[list[Cell]], executor: Executor | None
) -> Generator[tuple[list[Cell], list[list[Row]]], None, None]:
    """(cells, rows) of each task as it finishes, nothing when a while passes without one."""
    with one_thread_each():
        if executor is None:
            for cells in tasks:
                yield cells, run_cells(function, cells)
            return
        done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        running: dict[Future, list[Cell]] = {}
        try:
            for cells in tasks:
                future = executor.submit(run_cells, function, cells)
                running[future] = cells
                future.add_done_callback(done.put)
            while running:
                try:
                    future = done.get(timeout=TICK_SECONDS)
                except queue.Empty:
                    yield [], []
                    continue
                yield running.pop(future), future.result()
        except (BrokenExecutor, CancelledError) as error:
            raise RuntimeError(
                f"the runner broke ({type(error).__name__}: {error}); what is stored is kept, "
                "and the same call resumes"
            ) from error
        finally:
            for future in running:
                future.cancel()
