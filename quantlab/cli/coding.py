"""`quantlab encode`, `decode` and `multiply`: matrices as codes, in files and pipes."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab.cli.common import (
    Unusable,
    add_command,
    add_output,
    as_file,
    both_matrices,
    matrix,
    npy,
    say,
    telling,
    write,
)
from quantlab.cli.kinds import Kind, kind_of_file


def add_encode(commands: object) -> None:
    """Add the subcommand to argparse's `commands`."""
    parser = add_command(
        commands, "encode", "code a matrix by what `quantlab design` wrote",
        "Code a matrix by a scheme or by codebooks. What is written explains itself: it is decoded "
        "and\nmultiplied without the scheme.",
        "quantlab encode A.npy scheme.safetensors --operand x -o A.codes.safetensors",
    )  # fmt: skip
    add = parser.add_argument
    add("matrix", metavar="MATRIX", help="see quantlab --help")
    add("design", metavar="DESIGN", help="a scheme, or codebooks, as `quantlab design` wrote them")
    add("--operand", choices=("x", "y"), required=True,
        help="x: it is A (m, k), the left factor; y: it is B (k, n), the right one")  # fmt: skip
    add_output(parser, "codes, .safetensors")
    parser.set_defaults(run=_encode)


def add_decode(commands: object) -> None:
    """Add the subcommand to argparse's `commands`."""
    parser = add_command(
        commands, "decode", "the matrix that codes stand for",
        "Decode what `quantlab encode` wrote, to numbers.",
        "quantlab encode A.npy books.json --operand x -o - | quantlab decode - -o A.coded.npy",
    )  # fmt: skip
    parser.add_argument("coded", metavar="CODES", help="as `quantlab encode` wrote them; -: stdin")
    add_output(parser, "matrix, .npy or .csv")
    parser.set_defaults(run=_decode)


def add_multiply(commands: object) -> None:
    """Add the subcommand to argparse's `commands`."""
    parser = add_command(
        commands, "multiply", "the product of two matrices, one or both as codes",
        "Multiply from the codes, as quantlab.matmul does; one factor may be a plain matrix.",
        "quantlab multiply A.codes.safetensors B.codes.safetensors -o C.npy --compare A.npy B.npy",
    )  # fmt: skip
    add = parser.add_argument
    add("left", metavar="A", help="codes or a matrix (m, k); -: codes on standard input")
    add("right", metavar="B", help="codes or a matrix (k, n)")
    add("--compare", nargs=2, metavar=("A", "B"),
        help="matrices: also say the nmse against their product")  # fmt: skip
    add_output(parser, "product (m, n), .npy or .csv")
    parser.set_defaults(run=_multiply)


def _encode(options: argparse.Namespace) -> int:
    from quantlab import Scheme, encode

    values = matrix_of(options.matrix)
    with as_file(options.design) as path, telling():
        if kind_of_file(path) is Kind.SCHEME:
            coded: Any = Scheme.load(path).encode(values, options.operand)
        else:
            from quantlab.files.codebooks import read

            books = read(path.name, path.read_bytes())
            coded = encode(values, books[options.operand == "y"], packed=True)
    with tempfile.TemporaryDirectory() as folder:
        coded.save(Path(folder) / "codes")
        write(options.output, (Path(folder) / "codes").read_bytes())
    say(options.output, coded)
    return 0


def _decode(options: argparse.Namespace) -> int:
    with telling():
        coded = _codes(options.coded)
        if coded is None:
            raise Unusable(f"{options.coded}: expected codes, as `quantlab encode` writes them")
        decoded = coded.decode()
    _write_matrix(options.output, decoded)
    return 0


def _multiply(options: argparse.Namespace) -> int:
    from quantlab import matmul

    factors = options.left, options.right
    if factors.count("-") > 1:
        raise Unusable("standard input is one factor; the other must be a file")
    with telling():
        found = [_codes(source) for source in factors]
        if found[0] is found[1] is None:
            raise Unusable("neither factor is coded: see quantlab encode")
        a, b = (
            matrix(source) if coded is None else coded
            for source, coded in zip(factors, found, strict=True)
        )
        product = np.asarray(matmul(a, b))
        if options.compare:
            left, right = both_matrices(options.compare)
            nmse = _nmse(left, right, product)
    _write_matrix(options.output, product)
    if options.compare:
        say(options.output, f"nmse {nmse:.6e}")
    return 0


def matrix_of(source: str) -> NDArray:
    with telling():
        return matrix(source)


def _codes(source: str) -> Any:
    """The coded matrix of a file; None if it is another kind of file."""
    from quantlab import CodedMatrix, SchemeMatrix
    from quantlab.formats import OffsetMatrix
    from quantlab.lattices import LatticeMatrix

    readers: dict[Kind, Any] = {
        Kind.CODES: CodedMatrix, Kind.SCHEME_CODES: SchemeMatrix,
        Kind.OFFSET_CODES: OffsetMatrix, Kind.LATTICE_CODES: LatticeMatrix,
    }  # fmt: skip
    if source != "-" and not Path(source).is_file():
        return None  # FILE:NAME, or a file that `matrix` says is not there
    with as_file(source) as path:
        kind = kind_of_file(path)
        if kind in readers:
            return readers[kind].load(path)
        if source == "-":
            raise Unusable("expected codes on standard input; a plain factor must be a file")
    return None


def _nmse(a: NDArray, b: NDArray, product: NDArray) -> float:
    exact = a.astype(np.float64) @ b.astype(np.float64)
    if exact.shape != product.shape:
        raise Unusable(f"the product has shape {product.shape}, that of --compare {exact.shape}")
    energy = float(np.vdot(exact, exact))
    if energy == 0:
        raise Unusable("nmse needs a product that is not zero everywhere")
    left = exact - product
    return float(np.vdot(left, left)) / energy


def _write_matrix(output: str, values: NDArray) -> None:
    if output.lower().endswith(".csv"):
        text = io.StringIO()
        np.savetxt(text, values, fmt="%.9g", delimiter=",")
        write(output, text.getvalue().encode())
    elif output == "-" or output.lower().endswith(".npy"):
        write(output, npy(values))
    else:
        raise Unusable(f"a matrix is written as .npy or .csv; got {output!r}")
