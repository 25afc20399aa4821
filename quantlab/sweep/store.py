"""A folder of parquet parts, each written whole or not at all."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

Row = dict[str, Any]


class Store:
    """Rows of finished cells, one parquet file for each `append`; readable as one data set.

    A part is written beside its place, synced to disk and renamed: a crash at any moment leaves
    complete parts, and all rows of a cell are in one part. One sweep writes at a time. Readers
    (`pandas.read_parquet(folder)`, DuckDB, Dask) may look at any time.

    Parameters
    ----------
    folder : path
        Made if it is not there.

    Raises
    ------
    ImportError
        Without pyarrow (extra `sweep`).
    RuntimeError
        If another process writes to the folder (on entering the `with` block).
    ValueError
        If a part is not one of ours (on reading).
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise ImportError("a store needs pyarrow: pip install -e '.[sweep]'") from None
        self.folder = Path(folder)
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Store:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / ".lock", "ab")
        try:
            _lock(self._lock)
        except OSError:
            self._lock.close()
            raise RuntimeError(f"another process writes to {self.folder}; one at a time") from None
        for left_behind in self.folder.glob(".part-*"):
            left_behind.unlink()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock:
            self._lock.close()  # releases the lock, as the end of the process does

    def parts(self) -> list[Path]:
        """Complete parts, the oldest first."""
        return sorted(self.folder.glob("part-*.parquet"))

    def append(self, rows: Sequence[Row]) -> None:
        """Write one part; on return it is on the disk."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = dict.fromkeys(name for row in rows for name in row)
        table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
        name = f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        beside = self.folder / f".{name}"
        with open(beside, "wb") as file:
            pq.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.folder / name)
        _sync_folder(self.folder)

    def rows(self) -> dict[str, list[Row]]:
        """Cell key -> its rows, without the key; empty values are left out."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        found: dict[str, list[Row]] = {}
        for part in self.parts():
            try:
                table = pq.ParquetFile(part).read()
                table.column("cell")
            except (pa.ArrowInvalid, KeyError) as error:
                raise ValueError(f"{part} is not a part of a sweep's store: {error}") from None
            own: dict[str, list[Row]] = {}
            for row in table.to_pylist():
                key = row.pop("cell")
                own.setdefault(key, []).append({k: v for k, v in row.items() if v is not None})
            for key, rows in own.items():
                found.setdefault(key, rows)
        return found


def _lock(file: IO[bytes]) -> None:
    """Exclusive, without waiting: OSError if it is taken."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":  # Windows cannot open folders; its rename is in the journal
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
