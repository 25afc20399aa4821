"""Coded matrices on disk: safetensors whose header tells how to decode them without quantlab."""

from __future__ import annotations

import json
from pathlib import Path

from quantlab.codebook import Codebook
from quantlab.codes.matrix import CodedMatrix

_FORMAT = "quantlab.coded_matrix.v1"
_LAYOUT = (
    "codes: uint8 (rows, ceil(columns * bits / 8)), row-major; entry j of a row is bits "
    "j * bits .. (j + 1) * bits - 1 of its bytes, least significant bit first (4 bits: low nibble "
    "first). entry = centers[code] * scale; scale, if there, is (1, 1), (rows, 1) or (1, columns), "
    "or with a group g it is (rows, ceil(columns / g)) or (ceil(rows / g), columns). "
    "code = number of thresholds below the value."
)


def save(coded: CodedMatrix, path: str | Path) -> None:
    """Write the packed codes, centers, thresholds and scale; the header says the rest."""
    from safetensors.numpy import save_file

    book = coded.codebook
    tensors = {"codes": coded.packed, "centers": book.centers, "thresholds": book.thresholds}
    if coded.scale is not None:
        tensors["scale"] = coded.scale
    header = {
        "format": _FORMAT,
        "shape": json.dumps(coded.shape),
        "bits": str(coded.bits),
        "n_levels": str(book.n_levels),
        "group": json.dumps(coded.group),
        "info": json.dumps(dict(book.info)),
        "layout": _LAYOUT,
    }
    save_file(tensors, str(path), header)


def load(path: str | Path) -> CodedMatrix:
    """Read what `save` wrote, packed; ValueError if the file holds something else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT:
                came = header.get("format")
                raise ValueError(f"{path} must have format {_FORMAT!r}; got {came!r}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from None
    codebook = Codebook(tensors["centers"], tensors["thresholds"], json.loads(header["info"]))
    shape, group = json.loads(header["shape"]), json.loads(header["group"])
    return CodedMatrix.from_packed(tensors["codes"], shape, codebook, tensors.get("scale"), group)
