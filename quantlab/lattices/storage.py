"""Lattice-coded matrices on disk: safetensors of packed codes; the header says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab import _validate as check
from quantlab.codes.kernels import pack_kernel, unpack_kernel
from quantlab.codes.layout import packed_width
from quantlab.codes.storage import header_field, read_tensors, write_tensors
from quantlab.lattices.code import MAKERS, LatticeCode
from quantlab.pairs import Operand

_FORMAT = "quantlab.lattice_matrix.v1"
_LAYOUT = (
    "Rows of A (operand x) or columns of B (y), in blocks of n along k; the last is filled up. "
    "codes: a row is a stream of its coordinates, `bits` bits each, least significant bit first; "
    "which: a row is a stream of its blocks' scales. u = 2 c_0 e_0 + sum_i c_i (e_i - e_(i-1)), "
    "for E8 c_7 (1/2, .., 1/2) in place of the last; block = (u - q nearest((u + q offset) / q)) * "
    "multipliers[which] * unit * deviation, q = 2^bits, nearest a point of the lattice."
)

#: codes, which, deviation, k, operand, overloaded: as `LatticeMatrix` takes them
_Parts = tuple[NDArray[np.uint8], NDArray[np.uint8], float, int, Operand, int]


def write(path: str | Path, code: LatticeCode, parts: _Parts) -> None:
    """Packed codes and scales, of as many bits as `bits_per_entry` counts."""
    codes, which, deviation, k, operand, overloaded = parts
    tensors = {"codes": _packed(codes.reshape(len(codes), -1), code.bits)}
    if code.choice_bits:
        tensors["which"] = _packed(which, code.choice_bits)
    header = {
        "format": _FORMAT, "layout": _LAYOUT, "lattice": json.dumps(code.lattice),
        "bits": str(code.bits), "multipliers": json.dumps(code.multipliers),
        "unit": repr(code.unit), "offset": json.dumps(code.offset.tolist()),
        "deviation": repr(deviation), "shape": json.dumps([len(codes), k]),
        "operand": json.dumps(operand), "overloaded": str(overloaded),
    }  # fmt: skip
    write_tensors(path, tensors, header)


def read(path: str | Path) -> tuple[LatticeCode, _Parts]:
    """What `write` wrote; ValueError if the file holds something else."""
    tensors, header = read_tensors(path, _FORMAT, ("codes",))
    code = MAKERS["voronoi"](
        header_field(header, "lattice", str), header_field(header, "bits", int),
        tuple(header_field(header, "multipliers", list)), header_field(header, "unit", float),
    )  # fmt: skip
    if header_field(header, "offset", list) != code.offset.tolist():
        raise ValueError("offset is another than this version's")
    shape = header_field(header, "shape", list)
    if len(shape) != 2:
        raise ValueError(f"shape must be [rows, k]; got {shape}")
    rows, k = (check.count(size, "shape") for size in shape)
    deviation = check.finite_real(header_field(header, "deviation", float), "deviation")
    if deviation < 0:
        raise ValueError(f"deviation must not be negative; got {deviation}")
    operand: Operand = check.operand(header_field(header, "operand", str))  # type: ignore[assignment]
    blocks = -(-k // code.dimension)
    codes = _unpacked(tensors, "codes", rows, blocks * code.dimension, code.bits)
    which = np.zeros((rows, blocks), np.uint8)
    if code.choice_bits:
        which = _unpacked(tensors, "which", rows, blocks, code.choice_bits)
    overloaded = check.count(header_field(header, "overloaded", int), "overloaded", 0, which.size)
    return code, (codes.reshape(rows, blocks, -1), which, deviation, k, operand, overloaded)


def _packed(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    packed = np.empty((len(codes), packed_width(codes.shape[1], bits)), np.uint8)
    pack_kernel(codes, bits, packed)
    return packed


def _unpacked(
    tensors: dict[str, Any], name: str, rows: int, columns: int, bits: int
) -> NDArray[np.uint8]:
    packed, expected = tensors.get(name), (rows, packed_width(columns, bits))
    if packed is None or packed.dtype != np.uint8 or packed.shape != expected:
        told = "nothing" if packed is None else f"{packed.dtype} of shape {packed.shape}"
        raise ValueError(f"{name} must be uint8 of shape {expected}; got {told}")
    codes = np.empty((rows, columns), np.uint8)
    unpack_kernel(packed, bits, codes)
    return codes
