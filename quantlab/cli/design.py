"""`quantlab design`: a scheme or codebooks for two matrices, in a file."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from quantlab.cli.common import (
    Unusable,
    add_command,
    add_output,
    both_matrices,
    progress,
    say,
    telling,
    write,
)


def add_design(commands: object) -> None:
    """Add the subcommand to argparse's `commands`."""
    parser = add_command(
        commands, "design", "make a scheme or codebooks for two matrices",
        "Make what `quantlab encode` codes by: a scheme (basis, bits an index, rounding), chosen "
        "by the\nproduct's error on rows and columns left out, or with --codebooks one codebook a "
        "matrix.\nA alone is multiplied by its transpose.",
        "quantlab design A.npy B.npy --bits 4 -o scheme.safetensors\n"
        "quantlab design A.npy B.npy --codebooks --bits 4 -o books.json",
    )  # fmt: skip
    add = parser.add_argument
    add("matrices", nargs="+", metavar="A [B]", help="A (m, k) and B (k, n); see quantlab --help")
    add("--bits", type=float, default=4.0, help="mean of an entry, 0.1 to 8; default: 4")
    add("--held-out", nargs="+", action="append", metavar=("A", "B"),
        help="choose the scheme by the error on these; repeatable")  # fmt: skip
    add("--lengths", choices=("fixed", "entropy"), default="fixed",
        help="of a scheme's codes; default: fixed")  # fmt: skip
    add("--codebooks", action="store_true", help="one codebook for each matrix, no scheme")
    add(
        "--smoothing", type=_smoothing, default=0.0, metavar="S",
        help="of codebooks: 0 for these very matrices, auto for what they stand for; default: 0",
    )  # fmt: skip
    add_output(parser, "scheme: .safetensors; codebooks: .json, .csv or .safetensors")
    parser.set_defaults(run=_design)


def _smoothing(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number or auto; got {text!r}") from None


def _design(options: argparse.Namespace) -> int:
    return _codebooks(options) if options.codebooks else _scheme(options)


def _scheme(options: argparse.Namespace) -> int:
    from quantlab import design_scheme

    if options.output != "-" and not options.output.lower().endswith(".safetensors"):
        raise Unusable(f"a scheme is written as .safetensors; got {options.output!r}")
    if options.smoothing:
        raise Unusable("--smoothing is for --codebooks")
    with telling():
        pair = both_matrices(options.matrices)
        held_out = options.held_out and [both_matrices(each) for each in options.held_out]
        scheme = design_scheme(
            pair, options.bits, lengths=options.lengths, held_out=held_out,
            progress=progress("design"),
        )  # fmt: skip
    if options.output == "-":
        with tempfile.TemporaryDirectory() as folder:
            scheme.save(Path(folder) / "scheme")
            write("-", (Path(folder) / "scheme").read_bytes())
    else:
        scheme.save(options.output)
    say(options.output, scheme)
    return 0


def _codebooks(options: argparse.Namespace) -> int:
    from quantlab import design_empirical
    from quantlab.files.codebooks import EXPECTED, KINDS, to_csv, to_json, to_safetensors

    kind = "json" if options.output == "-" else options.output.rpartition(".")[2].lower()
    if kind not in KINDS:
        raise Unusable(f"codebooks are written as {EXPECTED}; got {options.output!r}")
    if options.bits != int(options.bits):
        raise Unusable(f"codebooks have whole bits; got {options.bits:g}")
    if not 1 <= options.bits <= 8:
        raise Unusable(f"bits must lie from 1 to 8; got {options.bits:g}")
    if options.held_out or options.lengths != "fixed":
        raise Unusable("--held-out and --lengths are for schemes")
    with telling():
        pair = both_matrices(options.matrices)
        books = design_empirical(pair, 2 ** int(options.bits), smoothing=options.smoothing)
    if kind == "safetensors":
        write(options.output, to_safetensors(books))
    else:
        text = to_json(books) if kind == "json" else to_csv(books)
        if options.output == "-":
            print(text, end="")
        else:
            write(options.output, text.encode())
    for operand, book in zip("AB", books, strict=True):
        say(options.output, f"{operand}: {book}")
    return 0
