"""`quantlab info`: what a file holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.cli.common import STDIN, add_command, as_file, telling, to_json
from quantlab.cli.kinds import Kind, kind_of_file
from quantlab.files.matrices import kind_of, read_all, read_arrays
from quantlab.files.tables import TABLES, read_table


def add_info(commands: object) -> None:
    """Add the subcommand to argparse's `commands`."""
    parser = add_command(
        commands, "info", "what a file holds",
        "List a file's matrices, or say what is in a scheme, in codebooks or in codes.",
        "quantlab info model.safetensors\nquantlab info scheme.safetensors --json",
    )  # fmt: skip
    parser.add_argument("file", metavar="FILE", help="-: standard input")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    with telling(), as_file(options.file) as path:
        name = STDIN if options.file == STDIN else str(path)
        record = _described(name, path)
    if options.json:
        print(to_json({"file": options.file, **record}))
        return 0
    rows = record.pop("arrays", None)
    print(f"{options.file}: {record.pop('kind')}")
    for key, value in record.items():
        held = value.items() if isinstance(value, dict) else ()
        print(f"  {key}: {', '.join(f'{name} {each}' for name, each in held) or value}")
    if rows:
        wide = max(len(row["name"]) for row in rows)
        for row in rows:
            shape = " x ".join(map(str, row["shape"])) or "one number"
            left_out = row.get("left_out")
            spread = (
                left_out
                or f"{row['dtype']:8} {row['min']:.4g} to {row['max']:.4g}, rms {row['rms']:.4g}"
                + (f", {row['not_finite']} not finite" if row["not_finite"] else "")
            )
            print(f"  {row['name']:{wide}}  {shape:14} {spread}")
    return 0


def _described(name: str, path: Path) -> dict[str, Any]:
    kind = kind_of_file(path)
    described: dict[str, Any] = {"kind": kind.value}
    if kind is Kind.SCHEME:
        return described | _scheme(path)
    if kind in (Kind.CODES, Kind.OFFSET_CODES, Kind.LATTICE_CODES, Kind.SCHEME_CODES):
        return described | _codes(path, kind)
    if kind is Kind.CODEBOOKS:
        return described | _codebooks(path)
    content = path.read_bytes() if name == STDIN else read_all(name)
    try:
        if not content:
            raise ValueError("the file is empty")
        ending = kind_of(name, content)
        if ending in TABLES:
            table = read_table(content)
            if table.index:
                described["note"] = f"the first column {table.index}"
            arrays: dict[str, NDArray] = {"table": table.numbers}
            left_out: dict[str, str] = {}
        else:
            arrays, left_out = read_arrays(ending, content)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    rows = [_row(each, array) for each, array in arrays.items()]
    rows += [{"name": each, "shape": [], "left_out": why} for each, why in left_out.items()]
    return described | {"arrays": rows}


def _row(name: str, array: NDArray) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name or "array", "shape": list(array.shape), "dtype": str(array.dtype)
    }  # fmt: skip
    if array.dtype.kind not in "fiub":
        return row | {"left_out": f"expected real numbers; got dtype {array.dtype}"}
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        rms = float(np.sqrt(np.mean(np.square(finite)))) if finite.size else float("nan")
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (rms, rms)
    return row | {
        "min": low, "max": high, "rms": rms, "not_finite": int(values.size - finite.size),
    }  # fmt: skip


def _scheme(path: Path) -> dict[str, Any]:
    from quantlab import Scheme

    scheme = Scheme.load(path)
    parts = ("basis", "rates", "rounding", "lengths", "books", "inner_dim", "side_bytes")
    return {name: getattr(scheme, name) for name in parts} | {
        "codes": [name for name, coder in (("x", scheme.x), ("y", scheme.y)) if coder is not None],
        "bits": scheme.info.get("bits"),
        "predicted_nmse": scheme.predicted_nmse,
    }


def _codes(path: Path, kind: Kind) -> dict[str, Any]:
    from quantlab import CodedMatrix, SchemeMatrix
    from quantlab.formats import OffsetMatrix
    from quantlab.lattices import LatticeMatrix

    if kind is Kind.LATTICE_CODES:
        points = LatticeMatrix.load(path)
        return {
            "shape": list(points.shape), "operand": points.operand,
            "bits_per_entry": points.bits_per_entry, "lattice": points.code.lattice,
            "overloaded": points.overloaded,
        }  # fmt: skip
    if kind is Kind.SCHEME_CODES:
        by_scheme = SchemeMatrix.load(path)
        return {
            "shape": list(by_scheme.shape), "operand": by_scheme.operand,
            "bits_per_entry": by_scheme.bits_per_entry, "bytes": by_scheme.nbytes,
        }  # fmt: skip
    offset = OffsetMatrix.load(path) if kind is Kind.OFFSET_CODES else None
    coded = offset.coded if offset else CodedMatrix.load(path)
    return {
        "shape": list(coded.shape), "bits_per_entry": coded.bits,
        "bytes": (offset or coded).nbytes, "levels": coded.codebook.n_levels,
        "scaled": coded.scale is not None,
    }  # fmt: skip


def _codebooks(path: Path) -> dict[str, Any]:
    from quantlab.files.codebooks import read

    try:
        books = read(path.name if path.suffix else "x.json", path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    return {
        name: {
            "levels": book.n_levels, "bits": book.bits, "from": float(book.centers[0]),
            "to": float(book.centers[-1]), "design": book.info.get("design", "custom"),
        }
        for name, book in zip("xy", books, strict=True)
    }  # fmt: skip
