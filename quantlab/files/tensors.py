"""Arrays out of numpy's files and safetensors, without a pickle or a promise believed.

The libraries' own parsers read the headers; every size that one states is held against the bytes
that came before anything is allocated.
"""

from __future__ import annotations

import io
import math
import re
import zipfile

import numpy as np
from numpy.lib import format as npy

MEGABYTE = 1_000_000
#: Bytes of a .safetensors header.
HEADER_LIMIT = 2**20
_CODES = np.arange(256, dtype=np.uint16)
#: Real numbers as numpy has them; the others as tables of what each code stands for.
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "I16": "<i2",
           "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8",
           "BOOL": "?"}  # fmt: skip
_E4M3 = 256 * ((_CODES & 0x80) << 8 | (_CODES & 0x7F) << 7).view(np.float16)
_E4M3[[0x7F, 0xFF]] = np.nan
_EIGHT_BITS = {"F8_E4M3": _E4M3, "F8_E5M2": (_CODES << 8).view(np.float16)}
#: Arrays by their names in a file, and for each other name why there is none.
Arrays = tuple[dict[str, np.ndarray], dict[str, str]]


def read_npy(raw: bytes) -> np.ndarray:
    """The array of a .npy file, a view of its bytes; ValueError if it holds no real numbers."""
    file = io.BytesIO(raw)
    try:
        version = npy.read_magic(file)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, fortran, dtype = read_header[version](file)
        if min(shape, default=0) < 0:
            raise ValueError
    except Exception:  # the header is a literal: it fails in as many ways as Python has
        raise ValueError("expected a .npy file; its header is not numpy's") from None
    if dtype.hasobject:
        raise ValueError("it holds Python objects (a pickle); expected real numbers")
    if dtype.kind not in "fiub":
        raise ValueError(f"expected real numbers; got dtype {dtype}"[:100])
    follow = len(raw) - file.tell()
    if math.prod(shape) * dtype.itemsize != follow:
        claim = f"shape {shape}"[:80]
        raise ValueError(f"the .npy file claims {claim} of {dtype}; {follow:,} bytes follow")
    flat = np.frombuffer(raw, dtype, math.prod(shape), file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def read_npz(raw: bytes, limit: int) -> Arrays:
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
                    raise ValueError(f"the .npz holds {label[-40:]!r} twice")
                try:
                    arrays[label] = read_npy(content)
                except ValueError as error:
                    left_out[label] = f"{error}"
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f"expected a .npz file; it is not a whole zip archive: {error}") from None
    except Exception as error:
        if isinstance(error, ValueError):
            raise
        raise ValueError(f"the .npz is damaged: {error}") from None  # zlib.error and the like
    return arrays, left_out


def read_tensors(raw: bytes) -> Arrays:
    """The arrays of a .safetensors file, of any number of dimensions, layer 2 before layer 10.

    Raises
    ------
    ValueError
        If the file is damaged; says what was expected and what came.
    """
    from safetensors import SafetensorError, deserialize

    length = int.from_bytes(raw[:8], "little")
    if length > HEADER_LIMIT:
        raise ValueError(
            f"the .safetensors header claims {length:,} bytes; at most {HEADER_LIMIT:,} are read"
        )
    try:
        tensors = deserialize(raw)
    except SafetensorError as error:
        why = f"{error}".removeprefix("Error while deserializing: ")
        raise ValueError(f"the .safetensors file is damaged: {why[:200]}") from None
    arrays: dict[str, np.ndarray] = {}
    left_out: dict[str, str] = {}
    for name, tensor in sorted(tensors, key=lambda pair: _natural(pair[0])):
        kind, data, shape = tensor["dtype"], tensor["data"], tensor["shape"]
        if kind == "BF16":
            halves = np.frombuffer(data, "<u2").astype(np.uint32)
            arrays[name] = (halves << 16).view(np.float32).reshape(shape)
        elif kind in _EIGHT_BITS:
            arrays[name] = _EIGHT_BITS[kind][np.frombuffer(data, np.uint8)].reshape(shape)
        elif kind in _DTYPES:
            arrays[name] = np.frombuffer(data, _DTYPES[kind]).reshape(shape)
        else:
            left_out[name] = f"expected real numbers; got dtype {kind}"
    return arrays, left_out


def _natural(name: str) -> list[tuple[int, str]]:
    """Names in the order of the numbers in them."""
    return [(len(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]
