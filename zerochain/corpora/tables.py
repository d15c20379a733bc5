"""Other people's tables (TSV and CSV): every row, or an error that says which lines are bad."""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from zerochain.errors import InputError, listed


@dataclass(frozen=True)
class Row:
    """One row: its line in the file and its non-empty values by column, stripped."""

    line: int
    values: dict[str, str]


def read_rows(path: Path, required: Collection[str]) -> tuple[list[str], list[Row]]:
    """The columns and rows of a table with a header; commas in a .csv, tabs otherwise.

    A .csv may quote its values; in a tab-separated table a quotation mark is just a character.

    Raises:
        InputError: missing, not UTF-8, no header, a column of `required` missing or twice, rows
            of another length than the header, or no row.
    """
    lines = read_text(path).splitlines(keepends=True)
    quoted = path.suffix.lower() == ".csv"
    reader = csv.reader(
        lines,
        delimiter="," if quoted else "\t",
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        table = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(
            f"line {reader.line_num}: {error}", path=path, remedy="mend the quotation marks"
        ) from error
    columns = [name.strip() for name in table[0][1]] if table else []
    _check_columns(columns, required, path, "commas" if quoted else "tabs")
    ragged = [str(line) for line, row in table[1:] if len(row) != len(columns)]
    if ragged:
        raise InputError(
            f"{len(ragged)} lines don't have the header's {len(columns)} columns: "
            f"lines {listed(ragged)}",
            path=path,
            cause="a value holds the separator, or a line was cut short",
            remedy="mend those lines",
        )
    if len(table) < 2:
        raise InputError("holds no row", path=path, remedy="list some recordings in it")
    return columns, [Row(line, _values(columns, row)) for line, row in table[1:]]


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte-order mark.

    Raises:
        InputError: missing, or in another encoding.
    """
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"line {line} is not UTF-8 (byte 0x{data[error.start]:02x})",
            path=path,
            cause="it was saved in another encoding, by a spreadsheet for example",
            remedy="save it as UTF-8",
        ) from error


def _check_columns(
    columns: list[str], required: Collection[str], path: Path, separator: str
) -> None:
    there = listed([repr(name) for name in columns]) or "none"
    missing = [repr(name) for name in required if name not in columns]
    if missing:
        raise InputError(
            f"has no column {listed(missing)}; its columns are {there}",
            path=path,
            cause=f"no header line, or columns that are not separated by {separator}",
            remedy="name the columns in the first line; .csv means commas, anything else tabs",
        )
    if len(set(columns)) < len(columns):
        raise InputError(
            f"has a column twice; its columns are {there}", path=path, remedy="rename one"
        )


def _values(columns: list[str], row: list[str]) -> dict[str, str]:
    pairs = zip(columns, row, strict=True)
    return {name: cell.strip() for name, cell in pairs if cell.strip()}
