"""Codebooks as text and files, out and in again without losing a bit."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from quantlab.codebook import Codebook
from quantlab.files.tensors import read_tensors

Books = tuple[Codebook, Codebook]
#: Bytes of a codebook that is brought along.
LIMIT = 64 * 1024
#: Files that codebooks are written to and read from.
KINDS = ("json", "csv", "safetensors")
EXPECTED = ".json, .csv or .safetensors"
_HEADER = ["operand", "index", "center", "threshold_above"]
_TENSORS = ("x_centers", "x_thresholds", "y_centers", "y_thresholds")


def to_json(books: Books) -> str:
    """Both codebooks as `Codebook.to_dict` has them."""
    record = {operand: book.to_dict() for operand, book in zip("xy", books, strict=True)}
    return json.dumps(record, indent=1) + "\n"


def to_csv(books: Books) -> str:
    """A row for each centre with the threshold above it; the last one has none."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(_HEADER)
    for operand, book in zip("xy", books, strict=True):
        above = [*map(repr, book.thresholds.tolist()), ""]
        for i, center in enumerate(book.centers.tolist()):
            table.writerow([operand, i, repr(center), above[i]])
    return out.getvalue()


def to_safetensors(books: Books) -> bytes:
    """Four float64 tensors: x_centers, x_thresholds, y_centers, y_thresholds."""
    from safetensors.numpy import save

    tensors = {}
    for operand, book in zip("xy", books, strict=True):
        tensors[f"{operand}_centers"] = book.centers
        tensors[f"{operand}_thresholds"] = book.thresholds
    return save(tensors, {"format": "quantlab.codebooks.v1"})


def to_python(books: Books) -> str:
    """Lines that make the same codebooks anywhere quantlab is installed."""
    lines = ["import quantlab as ql", ""]
    for operand, book in zip("xy", books, strict=True):
        lines += [
            f"codebook_{operand} = ql.Codebook(",
            f"    centers={book.centers.tolist()},",
            f"    thresholds={book.thresholds.tolist()},",
            ")",
        ]
    return "\n".join(lines) + "\n"


def read(name: str, content: bytes) -> Books:
    """One's own codebooks: a file as written here, or one column of centres for both operands.

    Raises
    ------
    ValueError
        Says what was expected and what came.
    """
    kind = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    if kind not in KINDS:
        raise ValueError(
            f"expected codebooks as {EXPECTED}; got {('.' + kind[:20]) if kind else 'no extension'}"
        )
    if not content:
        raise ValueError("the file is empty; expected codebooks")
    if len(content) > LIMIT:
        raise ValueError(
            f"the file has {len(content):,} bytes; a codebook file has at most {LIMIT:,}"
        )
    try:
        books = _from_safetensors(content) if kind == "safetensors" else _from_text(content)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{error}") from None
    for book in books:
        if book.n_levels > 256:
            raise ValueError(f"a codebook has at most 256 centres; got {book.n_levels}")
    return books


def _from_text(content: bytes) -> Books:
    try:
        words = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError("the file is not text; expected codebooks as JSON or CSV") from None
    return _from_json(words) if words[:1] in ("{", "[") else _from_csv(words)


def _from_safetensors(content: bytes) -> Books:
    tensors = read_tensors(content)[0]
    missing = [name for name in _TENSORS if name not in tensors]
    if missing:
        raise ValueError(
            f"expected the tensors {', '.join(_TENSORS)}; missing {', '.join(missing)}"
        )
    x, x_thresholds, y, y_thresholds = (tensors[name] for name in _TENSORS)
    return Codebook(x, x_thresholds), Codebook(y, y_thresholds)


def _from_json(words: str) -> Books:
    try:
        record: Any = json.loads(words)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if isinstance(record, list):
        return _both(Codebook(record))
    if "x" in record and "y" in record:
        pair = record["x"], record["y"]
        if not all(isinstance(each, dict) for each in pair):
            raise ValueError("expected objects with centers and thresholds under x and y")
        return Codebook.from_dict(pair[0]), Codebook.from_dict(pair[1])
    return _both(Codebook.from_dict(record))


def _from_csv(words: str) -> Books:
    try:
        lines = list(enumerate(csv.reader(words.splitlines()), 1))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None
    rows = [(number, row) for number, row in lines if row]
    if not rows:
        raise ValueError("the file is empty; expected codebooks")
    if rows[0][1] == _HEADER:
        found: dict[str, tuple[list[float], list[float]]] = {"x": ([], []), "y": ([], [])}
        for number, row in rows[1:]:
            if len(row) != len(_HEADER) or row[0] not in found:
                raise ValueError(f"line {number} is not {', '.join(_HEADER)}: {','.join(row)!r}")
            centers, thresholds = found[row[0]]
            centers.append(_number(row[2], number))
            if row[3]:
                thresholds.append(_number(row[3], number))
        return Codebook(*found["x"]), Codebook(*found["y"])
    if any(len(row) != 1 for _, row in rows):
        raise ValueError(f"expected one centre on each line, or the columns {', '.join(_HEADER)}")
    return _both(Codebook([_number(row[0], number) for number, row in rows]))


def _number(word: str, line: int) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"line {line}: expected a number; got {word[:40]!r}") from None


def _both(book: Codebook) -> Books:
    return book, book
