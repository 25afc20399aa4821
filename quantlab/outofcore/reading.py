"""Matrices that are read in blocks: what they must be, and how they are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check

#: Bytes that one call may take for its blocks unless told otherwise.
MEMORY = 256 << 20
# bytes an entry of a block takes at most, all temporaries counted: a float64 copy, flags, codes
_BLOCK_BYTES = 24


class Array(Protocol):
    """What an operand must be: numpy.memmap, zarr and dask arrays are."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, index: Any) -> Any: ...


def checked(source: Array, name: str) -> tuple[int, int]:
    if not all(hasattr(source, wanted) for wanted in ("shape", "dtype", "__getitem__")):
        raise TypeError(
            f"{name} must have shape, dtype and slices, as numpy, zarr and dask arrays; "
            f"got {type(source).__name__}"
        )
    shape = tuple(source.shape)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{name} must be a matrix with entries (2-D); got shape {shape}")
    if np.dtype(source.dtype).kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers; got dtype {source.dtype}")
    return shape[0], shape[1]


def entries_in(memory: int) -> int:
    """How many entries a block may have."""
    entries = check.count(memory, "memory") // _BLOCK_BYTES
    if entries < 64:
        raise ValueError(f"memory must be at least {64 * _BLOCK_BYTES} bytes; got {memory}")
    return entries


def steps(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def tiles(shape: tuple[int, int], entries: int, multiple: int = 1) -> Iterator[tuple[slice, slice]]:
    """Whole rows where they fit, else parts of one row that start at multiples."""
    rows, columns = shape
    width = min(columns, max(entries // multiple, 1) * multiple)
    for r in steps(rows, max(1, entries // width)):
        for c in steps(columns, width):
            yield r, c


def blocks(source: Array, entries: int, name: str) -> Iterator[tuple[slice, slice, NDArray]]:
    for r, c in tiles((source.shape[0], source.shape[1]), entries):
        yield r, c, read(source, r, c, name)


def read(source: Array, r: slice, c: slice, name: str) -> NDArray:
    block = np.asarray(source[r, c])
    if block.dtype.kind != "f":
        block = block.astype(np.float64)
    finite = np.isfinite(block)
    if not finite.all():
        i, j = np.argwhere(~finite)[0]
        raise ValueError(
            f"{name} must be finite; {name}[{r.start + i}, {c.start + j}] = {block[i, j]}"
        )
    return block
