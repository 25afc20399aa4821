"""What commands share: help with an example, errors of one line, standard input and output."""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantlab._files import whole_file
from quantlab.files.matrices import STDIN, read_all, read_matrix
from quantlab.progress import ProgressLine


class Unusable(ValueError):
    """What was given cannot be used: exit status 2."""


class Failure(RuntimeError):
    """It could not be done: exit status 1."""


@contextmanager
def telling() -> Iterator[None]:
    """The library's own errors, as those of a command."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise Unusable(f"{error}") from None
    except (ImportError, RuntimeError) as error:
        raise Failure(f"{error}") from None


def add_command(
    commands: Any, name: str, summary: str, description: str, example: str
) -> argparse.ArgumentParser:
    """A subcommand whose help ends with an example."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description,
        epilog="example:\n" + "\n".join(f"  {line}" for line in example.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    return parser


def needs(module: str, extra: str) -> None:
    """Failure, which says what to install, where the module is not."""
    if find_spec(module) is None:
        raise Failure(f"{module} is not installed: pip install -e '.[{extra}]'")


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help=f"{what}; -: standard output"
    )


def matrix(source: str) -> NDArray:
    """The matrix that an argument names; what may be an index in it is told on standard error."""
    found, note = read_matrix(source)
    if note:
        print(f"quantlab: {source}: {note}", file=sys.stderr)
    return found


def both_matrices(sources: list[str]) -> tuple[NDArray, NDArray]:
    """A and B; one file alone is A against its own transpose."""
    if len(sources) > 2:
        raise Unusable(f"expected one matrix or two, A and B; got {len(sources)}")
    if sources.count(STDIN) > 1:
        raise Unusable("standard input is one matrix; the other must be a file")
    a = matrix(sources[0])
    return a, matrix(sources[1]) if len(sources) == 2 else np.ascontiguousarray(a.T)


@contextmanager
def as_file(source: str) -> Iterator[Path]:
    """A path to read from, for what comes by standard input too."""
    if source != STDIN:
        if not Path(source).is_file():
            raise Unusable(f"{source}: there is no such file")
        yield Path(source)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "standard input"
        copy.write_bytes(read_all(STDIN))
        yield copy


def write(output: str, content: bytes) -> None:
    """To a file, whole or not at all, or to standard output, if that is not a terminal."""
    if output != STDIN:
        with whole_file(output) as beside:
            beside.write_bytes(content)
        return
    if sys.stdout.isatty():
        raise Unusable("these bytes are not for a terminal: name a file, or pipe them on")
    sys.stdout.buffer.write(content)


def say(output: str, line: object) -> None:
    """One line on standard output, or on standard error where the output itself goes there."""
    print(line, file=sys.stderr if output == STDIN else sys.stdout)


def progress(label: str) -> ProgressLine | None:
    """A line on standard error where somebody sees it."""
    return ProgressLine(label) if sys.stderr.isatty() else None


def npy(array: NDArray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def to_json(record: Any) -> str:
    """JSON of every digit; numbers that it does not have, NaN and infinite ones, become null."""
    return json.dumps(_plain(record), indent=1, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
