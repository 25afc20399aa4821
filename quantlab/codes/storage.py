"""Coded matrices on disk: safetensors whose header tells how to decode them without quantlab."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quantlab._files import whole_file
from quantlab.codebook import Codebook

_FORMAT = "quantlab.coded_matrix.v1"
_WITH_OFFSET = "quantlab.offset_matrix.v1"
_LAYOUT = (
    "codes: uint8 (rows, ceil(columns * bits / 8)), row-major; entry j of a row is bits "
    "j * bits .. (j + 1) * bits - 1 of its bytes, least significant bit first (4 bits: low nibble "
    "first). entry = centers[code] * scale; scale, if there, is (1, 1), (rows, 1) or (1, columns), "
    "or with a group g it is (rows, ceil(columns / g)) or (ceil(rows / g), columns). "
    "code = number of thresholds below the value."
)
_OFFSET = "offset, of the scale's shape, is added to the entries that share a scale."


def write(
    path: str | Path,
    packed: NDArray,
    codebook: Codebook,
    scale: NDArray | None,
    group: int | None,
    shape: tuple[int, int],
    offset: NDArray | None = None,
) -> None:
    """Packed codes, centers, thresholds, scale and offset; the header says the rest."""
    tensors = {"codes": packed, "centers": codebook.centers, "thresholds": codebook.thresholds}
    if scale is not None:
        tensors["scale"] = scale
    if offset is not None:
        tensors["offset"] = offset
    header = {
        "format": _FORMAT if offset is None else _WITH_OFFSET,
        "shape": json.dumps(shape),
        "bits": str(codebook.bits),
        "n_levels": str(codebook.n_levels),
        "group": json.dumps(group),
        "info": json.dumps(dict(codebook.info)),
        "layout": _LAYOUT if offset is None else f"{_LAYOUT} {_OFFSET}",
    }
    write_tensors(path, tensors, header)


_Parts = tuple[NDArray, tuple[int, int], Codebook, NDArray | None, int | None]


def read(path: str | Path) -> _Parts:
    """Packed codes, shape, codebook, scale and group; ValueError if the file holds others."""
    return _parts(*read_tensors(path, _FORMAT, ("codes", "centers", "thresholds")))


def read_with_offset(path: str | Path) -> tuple[_Parts, NDArray]:
    """`read` and the offset."""
    names = ("codes", "centers", "thresholds", "offset")
    tensors, header = read_tensors(path, _WITH_OFFSET, names)
    return _parts(tensors, header), tensors["offset"]


def _parts(tensors: Mapping[str, NDArray], header: Mapping[str, str]) -> _Parts:
    info = header_field(header, "info", dict)
    codebook = Codebook(tensors["centers"], tensors["thresholds"], info)
    for name, own in (("bits", codebook.bits), ("n_levels", codebook.n_levels)):
        if header_field(header, name, int) != own:
            raise ValueError(f"{name} is {header[name]}, but the centers' is {own}")
    shape = header_field(header, "shape", list)
    if len(shape) != 2:
        raise ValueError(f"shape must be [rows, columns]; got {shape}")
    group = header_field(header, "group", int, type(None))
    return tensors["codes"], (shape[0], shape[1]), codebook, tensors.get("scale"), group


def write_tensors(path: str | Path, tensors: dict[str, NDArray], header: dict[str, str]) -> None:
    """A safetensors file, whole or not at all."""
    from safetensors.numpy import save_file

    with whole_file(path) as beside:
        save_file(tensors, str(beside), header)


def read_tensors(
    path: str | Path, form: str, names: tuple[str, ...]
) -> tuple[dict[str, NDArray], dict[str, str]]:
    """Tensors and header of a safetensors file; ValueError if its format or a name is not so."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            header = file.metadata() or {}
            if header.get("format") != form:
                raise ValueError(
                    f"the file must have format {form!r}; got {header.get('format')!r}"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"not a safetensors file: {error}") from None
    for name in names:
        if name not in tensors:
            raise ValueError(f"tensor {name!r} is missing; there are {sorted(tensors)}")
    return tensors, header


@contextmanager
def named(path: str | Path) -> Iterator[None]:
    """What is wrong with a file is said with its name."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def header_field(header: Mapping[str, str], name: str, *kinds: type) -> Any:
    """A field of the header, which is JSON."""
    if name not in header:
        raise ValueError(f"header field {name!r} is missing; there are {sorted(header)}")
    try:
        value = json.loads(header[name])
    except json.JSONDecodeError as error:
        raise ValueError(f"header field {name!r} is not JSON ({error}): {header[name]!r}") from None
    if not isinstance(value, kinds) or isinstance(value, bool):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"header field {name!r} must be {expected}; got {header[name]!r}")
    return value
