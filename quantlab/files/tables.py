"""A matrix out of a table in text, and what its first column may be instead of data."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from itertools import islice
from typing import TextIO

import numpy as np

#: Entries of a matrix that one may bring.
ENTRIES_LIMIT = 16 * 2**20
#: Endings of a table's name.
TABLES = ("csv", "tsv", "txt")
_INDEX_NAMES = ("id", "index", "unnamed: 0")


@dataclass(frozen=True)
class Table:
    """Numbers (m, n), and why the file's first column may be an index; empty if it is like others.

    `index` goes on after "the first column"; `left_out`: that column is not among the numbers.
    """

    numbers: np.ndarray
    index: str
    left_out: bool


def read_table(raw: bytes) -> Table:
    """Numbers by comma, semicolon, tab or blanks, with quotes or without.

    A first row without a number is a header. A first column without a name in it, or of words,
    is left out; one that counts its rows or is named like an index is taken and pointed out.

    Raises
    ------
    ValueError
        Says which cell, row or size is not as expected.
    """
    try:
        return _table(io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("expected a table of numbers as text; the file is not text") from None


def _table(text: TextIO) -> Table:
    first = list(islice(filter(str.strip, text), 2))
    if not first:
        raise ValueError("the table is empty")
    text.seek(0)
    mark = next((m for m in (";", "\t", ",") if any(m in line for line in first)), None)
    lines = text if mark else (" ".join(line.split()) for line in text)
    mark = mark or " "
    cells = csv.reader(lines, delimiter=mark, skipinitialspace=True, strict=True)
    header: list[str] | None = None
    rows: list[np.ndarray] = []
    words: tuple[int, list[str]] | None = None  # the first row, if it begins with a word
    skip = 0
    try:
        for row in cells:
            if not mark.join(row).strip():
                continue
            if header is None:
                header = row if len(first) > 1 and _is_header(row, first, mark) else []
                if header:
                    continue
            if not rows:
                unnamed = bool(header) and not header[0].strip()
                if not unnamed and row[0].strip() and not _like_a_number(row[0]):
                    words = cells.line_num, row
                skip = int(len(row) > 1 and (unnamed or words is not None))
            elif words and _number(row[0]):
                raise ValueError(_bad_cell(*words))
            try:
                numbers = np.array(row[skip:], dtype=np.float64)
            except ValueError:
                raise ValueError(_bad_cell(cells.line_num, row, skip)) from None
            if rows and numbers.size != rows[0].size:
                raise ValueError(
                    f"row {cells.line_num}: expected {rows[0].size + skip} cells, as in the rows "
                    f"before; got {len(row)}"
                )
            rows.append(numbers)
            if numbers.size * len(rows) > ENTRIES_LIMIT:
                raise ValueError(f"the table has more than {ENTRIES_LIMIT:,} entries")
    except csv.Error as error:
        raise ValueError(f"row {cells.line_num}: {error}") from None
    found = np.array(rows)
    if skip:
        return Table(found, "holds words" if words else "has no name", left_out=True)
    return Table(found, _index(found, header[0] if header else ""), left_out=False)


def _is_header(row: list[str], first: list[str], mark: str) -> bool:
    """Whether the first of two lines names the columns.

    It does without a number in it; one in quotes is a name where the next line does without them.
    An index without a name comes before names that are numbers: `,0,1,2` and `"","2020","2021"`.
    """
    if not row[0].strip() and len(row) > 1:
        counts = [cell.strip() for cell in row[1:]] == [str(i) for i in range(len(row) - 1)]
        if counts or first[0].startswith('""'):
            return True
    return not any(map(_like_a_number, row if '"' in first[1] else first[0].split(mark)))


def _index(numbers: np.ndarray, name: str) -> str:
    """Why the first of several columns may be an index; empty if it looks like the others."""
    if numbers.shape[1] < 2:
        return ""
    if name.strip().lower() in _INDEX_NAMES:
        return f"is called “{name.strip()}”"
    start, count = numbers[0, 0], len(numbers)
    if count > 1 and start in (0, 1) and (numbers[:, 0] == start + np.arange(count)).all():
        return "counts 1, 2, 3, …" if start else "counts 0, 1, 2, …"
    return ""


def _bad_cell(row: int, cells: list[str], skip: int = 0) -> str:
    column = next((i for i, cell in enumerate(cells) if i >= skip and not _number(cell)), skip)
    cell = cells[column].strip() if column < len(cells) else ""
    point = " written like 1234.5" if _like_a_number(cell) else ""
    came = repr(cell[:40]) if cell else "an empty cell"
    return f"row {row}, column {column + 1}: expected a number{point}; got {came}"


def _number(cell: str) -> bool:
    try:
        np.array([cell], dtype=np.float64)
    except ValueError:
        return False
    return True


def _like_a_number(cell: str) -> bool:
    """Also in another notation, such as 1,5 or 1.000,5: that is no header."""
    return _number(re.sub("[,.’']", "", cell))
