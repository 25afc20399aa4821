"""Matrices out of uploaded bytes, without a pickle, a disk or a promise believed.

Every size that a file states is checked against the bytes that came before anything is allocated.
"""

from __future__ import annotations

import ast
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from .limits import LIMITS, MEGABYTE

#: Entries of a matrix that one may bring.
ENTRIES_LIMIT = 16 * 2**20
Matrix = NDArray[np.float32]
_NPY = b"\x93NUMPY"
_KINDS = "file of kind .npy, .npz, .csv or .safetensors"
_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "I16": "<i2",
                "I32": "<i4", "I64": "<i8"}  # fmt: skip
#: Arrays by their names in a file, and for each other name why there is none.
Arrays = tuple[dict[str, np.ndarray], dict[str, str]]


@dataclass(frozen=True)
class Contents:
    """A file's matrices by name, as finite float32, and for each other array why it is left out."""

    matrices: dict[str, Matrix]
    left_out: dict[str, str]


def read_matrices(name: str, content: bytes, limit: int | None = None) -> Contents:
    """The two-dimensional arrays of an uploaded file.

    Parameters
    ----------
    name : str
        Its extension says the kind; nothing else of it is used, and nothing touches the disk.
    content : bytes
    limit : int
        Bytes that a file, and each array unpacked, may have; default: the server's.

    Raises
    ------
    ValueError
        If there is no matrix in it; says what was expected and what came.
    """
    limit = LIMITS.upload if limit is None else limit
    if not content:
        raise ValueError(f"the file is empty; expected a {_KINDS}")
    if len(content) > limit:
        raise ValueError(
            f"the file has {len(content) / MEGABYTE:,.0f} MB; "
            f"the limit is {limit / MEGABYTE:,.0f} MB"
        )
    kind = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    readers: dict[str, Callable[[bytes, int], Arrays]] = {
        "npy": lambda raw, most: ({"array": _npy(raw, most)}, {}),
        "npz": _npz,
        "csv": lambda raw, most: ({"table": _csv(raw)}, {}),
        "txt": lambda raw, most: ({"table": _csv(raw)}, {}),
        "safetensors": read_tensors,
    }
    if kind not in readers:
        raise ValueError(f"expected a {_KINDS}; got {('.' + kind) if kind else 'no extension'}")
    arrays, left_out = readers[kind](content, limit)
    matrices = {}
    for label, array in arrays.items():
        try:
            matrices[label] = _matrix(array)
        except ValueError as error:
            left_out[label] = f"{error}"
    if not matrices:
        raise ValueError(enumeration(left_out) or f"expected a matrix; got nothing in the .{kind}")
    return Contents(matrices, left_out)


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


def _matrix(array: np.ndarray) -> Matrix:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"expected real numbers; got dtype {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"expected a matrix, an array of 2 dimensions; got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"it is empty: shape {array.shape}")
    if array.size > ENTRIES_LIMIT:
        raise ValueError(f"it has {array.size:,} entries; at most {ENTRIES_LIMIT:,} fit here")
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


def _npy(raw: bytes, limit: int) -> np.ndarray:
    """numpy's own header, read as a literal and held against the bytes that follow."""
    if not raw.startswith(_NPY):
        raise ValueError("expected a .npy file; its first bytes are not numpy's")
    wide = raw[6:7] != b"\x01"
    start = 12 if wide else 10
    if len(raw) < start:
        raise ValueError("the .npy file ends within its header")
    (length,) = struct.unpack("<I" if wide else "<H", raw[8:start])
    if length > 64 * 1024 or start + length > len(raw):
        raise ValueError(
            f"the .npy header claims {length:,} bytes; {len(raw) - start:,} bytes follow"
        )
    try:
        header = ast.literal_eval(raw[start : start + length].decode("latin1"))
        dtype = np.dtype(header["descr"])
        shape, fortran = tuple(header["shape"]), bool(header["fortran_order"])
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        raise ValueError("the .npy header is not numpy's") from None
    if dtype.hasobject:
        raise ValueError("it holds Python objects (a pickle); expected real numbers")
    return _array(raw[start + length :], dtype, shape, fortran, "the .npy file", limit)


def _array(
    body: bytes, dtype: np.dtype, shape: tuple[int, ...], fortran: bool, what: str, limit: int
) -> np.ndarray:
    entries = 1
    for n in shape:
        entries *= n
    needed = entries * dtype.itemsize
    if needed > limit:
        raise ValueError(f"{what} claims shape {shape}, more than {limit / MEGABYTE:,.0f} MB")
    if needed != len(body):
        raise ValueError(
            f"{what} claims shape {shape} of {dtype}, {needed:,} bytes; {len(body):,} bytes follow"
        )
    array = np.frombuffer(body, dtype=dtype, count=entries)
    return array.reshape(shape, order="F" if fortran else "C")


def _npz(raw: bytes, limit: int) -> Arrays:
    """Members are read up to what they state, and all of them together up to the limit."""
    arrays: dict[str, np.ndarray] = {}
    left_out: dict[str, str] = {}
    left = limit
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            if len(members) > 100:
                raise ValueError(f"the .npz has {len(members):,} members; at most 100 are read")
            stated = sum(member.file_size for member in members)
            if stated > limit:
                raise ValueError(
                    f"the .npz unpacks to {stated / MEGABYTE:,.0f} MB; the limit is "
                    f"{limit / MEGABYTE:,.0f} MB"
                )
            for member in members:
                if not member.filename.endswith(".npy"):
                    continue
                with archive.open(member) as file:
                    content = file.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise ValueError(f"the .npz unpacks to more than {limit / MEGABYTE:,.0f} MB")
                label = member.filename[:-4] or "array"
                if label in arrays or label in left_out:
                    raise ValueError(f"the .npz holds {shown([label])[0]!r} twice")
                try:
                    arrays[label] = _npy(content, limit)
                except ValueError as error:
                    left_out[label] = f"{error}"
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f"expected a .npz file; it is not a whole zip archive: {error}") from None
    except Exception as error:
        if isinstance(error, ValueError):
            raise
        raise ValueError(f"the .npz is damaged: {error}") from None  # zlib.error and the like
    return arrays, left_out


def _csv(raw: bytes) -> np.ndarray:
    """Numbers by comma, semicolon, tab or blanks; a first row without a number is a header."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("expected a table of numbers as text; the file is not text") from None
    lines = text.splitlines()
    first = list(islice((line for line in lines if line.strip()), 2))
    if not first:
        raise ValueError("the table is empty")
    mark = next((m for m in (";", "\t", ",") if any(m in line for line in first)), None)
    rows: list[np.ndarray] = []
    headed = False
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = line.split(mark)
        try:
            row = np.array(cells, dtype=np.float64)
        except ValueError:
            if not rows and not headed and len(first) > 1 and not any(map(_like_a_number, cells)):
                headed = True
                continue
            raise ValueError(_bad_cell(at, cells)) from None
        if rows and row.size != rows[0].size:
            raise ValueError(
                f"row {at}: expected {rows[0].size} numbers, as in the rows before; got {row.size}"
            )
        rows.append(row)
        if row.size * len(rows) > ENTRIES_LIMIT:
            raise ValueError(f"the table has more than {ENTRIES_LIMIT:,} entries")
    return np.array(rows)


def _bad_cell(row: int, cells: list[str]) -> str:
    column = next((i for i, cell in enumerate(cells) if not _number(cell)), 0)
    cell = cells[column].strip()
    point = " written like 1234.5" if _like_a_number(cell) else ""
    came = repr(cell[:40]) if cell else "an empty cell"
    return f"row {row}, column {column + 1}: expected a number{point}; got {came}"


def _number(cell: str) -> bool:
    try:
        np.array([cell], dtype=np.float64)
    except ValueError:
        return False
    return True


def _like_a_number(cell: str) -> bool:
    """Also in another notation, such as 1,5 or 1.000,5: that is no header."""
    return _number(re.sub("[,.’']", "", cell))


def read_tensors(raw: bytes, limit: int) -> Arrays:
    """The arrays of a .safetensors file, of any number of dimensions.

    Raises
    ------
    ValueError
        If the file is damaged; says what was expected and what came.
    """
    if len(raw) < 8:
        raise ValueError("the .safetensors file ends within its header")
    (length,) = struct.unpack("<Q", raw[:8])
    if length > min(len(raw) - 8, 2**20):
        raise ValueError(
            f"the .safetensors header claims {length:,} bytes; {len(raw) - 8:,} bytes follow"
        )
    try:
        header = json.loads(raw[8 : 8 + length])
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, AttributeError, RecursionError):
        raise ValueError("the .safetensors header is not JSON") from None
    body = memoryview(raw)[8 + length :]
    arrays: dict[str, np.ndarray] = {}
    left_out: dict[str, str] = {}
    for (name, entry), short in zip(entries.items(), shown(list(entries)), strict=True):
        what = f"tensor {short!r}"
        try:
            kind, (start, end) = str(entry["dtype"]), entry["data_offsets"]
            shape = tuple(int(n) for n in entry["shape"])
            if not 0 <= start <= end <= len(body) or min(shape, default=0) < 0:
                raise ValueError
            part = bytes(body[start:end])
        except (TypeError, KeyError, ValueError):
            raise ValueError(f"{what}: its entry does not fit the file") from None
        if kind == "BF16":
            halves = _array(part, np.dtype("<u2"), shape, False, what, limit)
            arrays[name] = (halves.astype(np.uint32) << 16).view(np.float32)
        elif kind in _SAFETENSORS:
            arrays[name] = _array(part, np.dtype(_SAFETENSORS[kind]), shape, False, what, limit)
        else:
            left_out[name] = f"expected real numbers; got dtype {kind[:40]}"
    return arrays, left_out
