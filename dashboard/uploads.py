"""Matrices out of uploaded bytes, without a pickle, a disk or a promise believed.

Every size that a file states is checked against the bytes that came before anything is allocated.
"""

from __future__ import annotations

import ast
import io
import json
import struct
import zipfile
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dashboard.limits import LIMITS, MEGABYTE

#: Entries of a matrix that one may bring.
ENTRIES_LIMIT = 16 * 2**20
Matrix = NDArray[np.float32]
_NPY = b"\x93NUMPY"
_KINDS = "file of kind .npy, .npz, .csv or .safetensors"
_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "I16": "<i2",
                "I32": "<i4", "I64": "<i8"}  # fmt: skip


def read_matrices(name: str, content: bytes, limit: int | None = None) -> dict[str, Matrix]:
    """The two-dimensional arrays of an uploaded file, by name, as finite float32.

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
        Says what was expected and what came.
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
    readers: dict[str, Callable[[bytes, int], dict[str, np.ndarray]]] = {
        "npy": lambda raw, most: {"array": _npy(raw, most)},
        "npz": _npz,
        "csv": lambda raw, most: {"table": _csv(raw)},
        "txt": lambda raw, most: {"table": _csv(raw)},
        "safetensors": _safetensors,
    }
    if kind not in readers:
        raise ValueError(f"expected a {_KINDS}; got {('.' + kind) if kind else 'no extension'}")
    arrays = readers[kind](content, limit)
    good = {label: _matrix(array, label) for label, array in arrays.items() if array.ndim == 2}
    if not good:
        shapes = ", ".join(f"{label}: {array.shape}" for label, array in list(arrays.items())[:5])
        raise ValueError(f"expected a matrix, an array of 2 dimensions; got {shapes or 'nothing'}")
    return good


def _matrix(array: np.ndarray, label: str) -> Matrix:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{label}: expected real numbers; got dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{label} is empty: shape {array.shape}")
    if array.size > ENTRIES_LIMIT:
        raise ValueError(f"{label} has {array.size:,} entries; at most {ENTRIES_LIMIT:,} fit here")
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(array, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(matrix))
    if bad.size:
        row, column = divmod(int(bad[0]), matrix.shape[1])
        raise ValueError(
            f"{label}: entry ({row}, {column}) is {array[row, column]}; expected finite numbers "
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
        raise ValueError("the .npy file holds Python objects (a pickle); expected real numbers")
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


def _npz(raw: bytes, limit: int) -> dict[str, np.ndarray]:
    """Members are read up to what they state, and all of them together up to the limit."""
    arrays, left = {}, limit
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
                label = member.filename.replace("\\", "/").rsplit("/", 1)[-1][:-4]
                arrays[label[:40] or "array"] = _npy(content, limit)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f"expected a .npz file; it is not a whole zip archive: {error}") from None
    except Exception as error:
        if isinstance(error, ValueError):
            raise
        raise ValueError(f"the .npz is damaged: {error}") from None  # zlib.error and the like
    return arrays


def _csv(raw: bytes) -> np.ndarray:
    """Numbers by comma, semicolon, tab or blanks; a first line of names is left out."""
    try:
        lines = [line for line in raw.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise ValueError("expected a table of numbers as text; the file is not text") from None
    if not lines:
        raise ValueError("the table is empty")
    mark = next((m for m in (";", "\t", ",") if any(m in line for line in lines[:2])), None)
    rows: list[np.ndarray] = []
    for number, line in enumerate(lines):
        words = line.split(mark)
        try:
            row = np.array(words, dtype=np.float64)
        except ValueError:
            if number == 0 and len(lines) > 1:
                continue
            raise ValueError(
                f"line {number + 1}: expected numbers; got {line[:40].strip()!r}"
            ) from None
        if rows and row.size != rows[0].size:
            raise ValueError(
                f"line {number + 1} has {row.size} numbers; those before have {rows[0].size}"
            )
        rows.append(row)
        if row.size * len(rows) > ENTRIES_LIMIT:
            raise ValueError(f"the table has more than {ENTRIES_LIMIT:,} entries")
    return np.array(rows)


def _safetensors(raw: bytes, limit: int) -> dict[str, np.ndarray]:
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
    body, arrays = memoryview(raw)[8 + length :], {}
    for name, entry in entries.items():
        try:
            kind, (start, end) = entry["dtype"], entry["data_offsets"]
            shape = tuple(int(n) for n in entry["shape"])
            if not 0 <= start <= end <= len(body) or min(shape, default=0) < 0:
                raise ValueError
        except (TypeError, KeyError, ValueError):
            raise ValueError(f"tensor {name[:40]!r}: its entry does not fit the file") from None
        part = bytes(body[start:end])
        what = f"tensor {name[:40]!r}"
        if kind == "BF16":
            halves = _array(part, np.dtype("<u2"), shape, False, what, limit)
            arrays[name[:40]] = (halves.astype(np.uint32) << 16).view(np.float32)
        elif kind in _SAFETENSORS:
            arrays[name[:40]] = _array(
                part, np.dtype(_SAFETENSORS[kind]), shape, False, what, limit
            )
        else:
            raise ValueError(f"{what} has dtype {kind}; expected real numbers")
    return arrays
