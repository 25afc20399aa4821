"""Matrices out of uploaded bytes: what is offered of a file's arrays, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from quantlab.files.tables import ENTRIES_LIMIT, TABLES, read_table
from quantlab.files.tensors import MEGABYTE, Arrays, read_npy, read_npz, read_tensors

#: Matrices of a file that one may choose from.
MATRICES_LIMIT = 512
KINDS = ".npy, .npz, .csv, .tsv or .safetensors"
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Contents:
    """A file's matrices by name, as finite float32, and for each other array why it is left out.

    `more` counts the matrices beyond the first `MATRICES_LIMIT`; `index` and `index_left_out` are
    a table's: why its first column may be an index, and whether the matrix is without it.
    """

    matrices: dict[str, Matrix]
    left_out: dict[str, str]
    more: int = 0
    index: str = ""
    index_left_out: bool = False


def read_matrices(name: str, content: bytes, limit: int = 50 * MEGABYTE) -> Contents:
    """The matrices of an uploaded file; of an array (batch, heads, m, n) each by its index.

    Parameters
    ----------
    name : str
        Its extension says the kind; nothing else of it is used, and nothing touches the disk.
    content : bytes
    limit : int
        Bytes that a file, and each array unpacked, may have.

    Raises
    ------
    ValueError
        If there is no matrix in it; says what was expected and what came.
    """
    if not content:
        raise ValueError(f"the file is empty; expected a file of kind {KINDS}")
    if len(content) > limit:
        raise ValueError(
            f"the file has {len(content) / MEGABYTE:,.0f} MB; "
            f"the limit is {limit / MEGABYTE:,.0f} MB"
        )
    kind = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    if kind in TABLES:
        table = read_table(content)
        matrices = {"table": _matrix(table.numbers)}
        return Contents(matrices, {}, index=table.index, index_left_out=table.left_out)
    readers: dict[str, Callable[[bytes], Arrays]] = {
        "npy": lambda raw: ({"array": read_npy(raw)}, {}),
        "npz": lambda raw: read_npz(raw, limit),
        "safetensors": read_tensors,
    }
    if kind not in readers:
        came = f".{kind[:20]}" if kind else "no extension"
        raise ValueError(f"expected a file of kind {KINDS}; got {came}")
    arrays, left_out = readers[kind](content)
    found = _offered(arrays, left_out)
    if not found.matrices:
        raise ValueError(enumeration(left_out) or f"expected a matrix; got nothing in the .{kind}")
    return found


def _offered(arrays: dict[str, np.ndarray], left_out: dict[str, str]) -> Contents:
    """The first of the matrices in the arrays; `left_out` gains why others are none."""
    matrices: dict[str, Matrix] = {}
    tried = count = 0
    for name, array in arrays.items():
        try:
            count += _planes(array)
        except ValueError as error:
            left_out[name] = f"{error}"
            continue
        for index in islice(np.ndindex(array.shape[:-2]), MATRICES_LIMIT - tried):
            tried += 1
            label = f"{name}{list(index) if index else ''}"
            try:
                matrices[label] = _matrix(array[index])
            except ValueError as error:
                left_out[label] = f"{error}"
    return Contents(matrices, left_out, more=count - tried)


def enumeration(reasons: dict[str, str], most: int = 3) -> str:
    """Names and what is said of each, in one line; beyond `most` their number."""
    names = shown(list(reasons))
    said = [f"{name}: {why}" for name, why in zip(names, reasons.values(), strict=True)][:most]
    more = len(reasons) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def shown(names: Sequence[str], head: int = 12, width: int = 44) -> list[str]:
    """Names short enough to be read, cut in the middle, and as distinct as they came.

    Examples
    --------
    >>> shown(["model.encoder.layers.10.self_attn.q.weight"], head=5, width=20)
    ['model…_attn.q.weight']
    """
    short = list(names)
    for tail in range(width - head - 1, 4 * width):
        short = [
            name if len(name) <= head + tail + 1 else f"{name[:head]}…{name[-tail:]}"
            for name in names
        ]
        if len(set(short)) == len(short):
            return short
    return [f"{name} ({number})" for number, name in enumerate(short, 1)]


def _planes(array: np.ndarray) -> int:
    """How many matrices an array of real numbers (..., m, n) of 2 to 4 dimensions holds."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected real numbers; got dtype {array.dtype}")
    if not 2 <= array.ndim <= 4:
        raise ValueError(
            f"expected a matrix, or an array of 3 or 4 dimensions; got shape {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"it is empty: shape {array.shape}")
    entries = math.prod(array.shape[-2:])
    if entries > ENTRIES_LIMIT:
        raise ValueError(f"it has {entries:,} entries; at most {ENTRIES_LIMIT:,} fit here")
    return math.prod(array.shape[:-2])


def _matrix(array: np.ndarray) -> Matrix:
    """Finite float32 of an array (m, n)."""
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(array, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(matrix))
    if bad.size:
        row, column = divmod(int(bad[0]), matrix.shape[1])
        raise ValueError(
            f"entry ({row}, {column}) is {array[row, column]}; expected finite numbers "
            "that fit float32"
        )
    return matrix
