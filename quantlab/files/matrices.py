"""One matrix of a file, named as on the command line, in its own precision."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path

from numpy.typing import NDArray

from quantlab._matrices import finite_matrix
from quantlab.files.tables import TABLES, read_table
from quantlab.files.tensors import MEGABYTE, Arrays, read_npy, read_npz, read_tensors

#: The name of standard input, and of standard output.
STDIN = "-"
#: Bytes of a file that is read as a whole; `quantlab.outofcore` reads larger ones in parts.
LIMIT = 2000 * MEGABYTE
KINDS = (*TABLES, "npy", "npz", "safetensors")
_NAMED = re.compile(r"(-|.*\.(?:npy|npz|safetensors|csv|tsv|txt)):(.*)", re.IGNORECASE | re.DOTALL)
_INDEXED = re.compile(r"(.*)\[(\d{1,9}(?:, ?\d{1,9})*)\]", re.DOTALL)


def read_matrix(source: str) -> tuple[NDArray, str]:
    """A finite matrix (m, n), float32 or float64, and a note on what its first column may be.

    Parameters
    ----------
    source : str
        FILE, FILE:NAME for one of several arrays, FILE:NAME[i,j] for a matrix of an array of more
        dimensions, FILE:NAME.T for its transpose; of a file that holds one array FILE:[i,j] and
        FILE:.T. "-" is standard input, whose kind is told by its first bytes.

    Raises
    ------
    ValueError
        Names the source; says what was expected and what came.
    """
    path, name = split(source)
    content = read_all(path)
    try:
        if not content:
            raise ValueError("the file is empty")
        kind = kind_of(path, content)
        if kind in TABLES:
            table = read_table(content)
            note = f"the first column {table.index}" if table.index else ""
            if note:
                note += ": left out" if table.left_out else "; it is taken as numbers"
            if name not in ("", ".T"):
                raise ValueError("a table has one matrix, without a name")
            return _finite(_chosen({"": table.numbers}, {}, name)), note
        return _finite(_chosen(*read_arrays(kind, content), name)), ""
    except (ValueError, TypeError) as error:
        raise ValueError(f"{source}: {error}") from None


def split(source: str) -> tuple[str, str]:
    """The file and the name in it, which is empty where none is given."""
    named = None if Path(source).exists() else _NAMED.fullmatch(source)
    return (named[1], named[2]) if named else (source, "")


def read_all(path: str) -> bytes:
    """All bytes of a file, a pipe or standard input; ValueError if there are none to be had."""
    if path == STDIN:
        content = sys.stdin.buffer.read(LIMIT + 1)
    else:
        try:
            kind = Path(path).stat()
            if not (stat.S_ISREG(kind.st_mode) or stat.S_ISFIFO(kind.st_mode)):
                raise ValueError(f"{path}: expected a file; it is a folder or a device")
            with open(path, "rb") as file:
                content = file.read(min(kind.st_size, LIMIT) + 1)
                if stat.S_ISFIFO(kind.st_mode):
                    content += file.read(LIMIT)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
    if len(content) > LIMIT:
        raise ValueError(f"{path}: more than {LIMIT // MEGABYTE:,} MB; see quantlab.outofcore")
    return content


def kind_of(path: str, content: bytes) -> str:
    """The kind that the name states; of standard input, what its first bytes look like."""
    kind = Path(path).suffix[1:].lower()
    if kind in KINDS:
        return kind
    if path != STDIN:
        came = f".{kind[:20]}" if kind else "no extension"
        raise ValueError(f"expected a file of kind .{', .'.join(KINDS)}; got {came}")
    if content.startswith(b"\x93NUMPY"):
        return "npy"
    if content.startswith(b"PK\x03\x04"):
        return "npz"
    return "safetensors" if content[8:9] == b"{" else "csv"


def read_arrays(kind: str, content: bytes) -> Arrays:
    """Arrays by name, and why others are left out, of a .npy, .npz or .safetensors."""
    if kind == "npy":
        return {"": read_npy(content)}, {}
    return read_npz(content, LIMIT) if kind == "npz" else read_tensors(content)


def _chosen(arrays: dict[str, NDArray], left_out: dict[str, str], name: str) -> NDArray:
    """The array of that name; without one, the only array that has matrices."""
    if name in arrays:
        return arrays[name]
    if name in left_out:
        raise ValueError(left_out[name])
    if name.endswith(".T"):
        array = _chosen(arrays, left_out, name[:-2])
        return array.T if array.ndim == 2 else array
    indexed = _INDEXED.fullmatch(name)
    if indexed:
        array = _chosen(arrays, left_out, indexed[1])
        at = tuple(map(int, indexed[2].split(",")))
        if array.ndim != len(at) + 2 or any(
            i >= n for i, n in zip(at, array.shape[:-2], strict=True)
        ):
            raise ValueError(f"[{indexed[2]}] is no matrix of the array of shape {array.shape}")
        return array[at]
    several = [each for each, array in arrays.items() if array.ndim >= 2]
    if not name and len(several) == 1:
        return arrays[several[0]]
    there = ", ".join(each[:60] for each in several[:8]) + (", ..." if len(several) > 8 else "")
    if not there:
        why = next((f"{each}: {reason}" for each, reason in left_out.items()), "it holds none")
        raise ValueError(f"expected a matrix; {why}")
    if not name:
        raise ValueError(f"which one? Append :NAME; there are {there}")
    raise ValueError(f"there is no {name[:60]!r} in it; there are {there}")


def _finite(array: NDArray) -> NDArray:
    if array.ndim > 2:
        index = ",".join("0" * (array.ndim - 2))
        raise ValueError(f"which matrix of the shape {array.shape}? Append :NAME[{index}]")
    return finite_matrix(array, "the matrix")
