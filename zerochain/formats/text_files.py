r"""Text that people and other programs write and read: lines, CSV and TSV tables, YAML.

Text is decoded strictly and cut into lines where text editors cut it. A line ends at \n, \r\n or
\r alone; `str.splitlines` also ends one at U+2028, U+0085, form feeds and the separators
\x1c … \x1e, which stand inside of names and transcripts.

CSV is written so that a spreadsheet opens it without running anything. A spreadsheet takes a cell
that begins with = + - or @ for a formula, and a formula can run programs or send cells away;
speakers, labels and systems are named by whoever made the data. Such a text is written with an
apostrophe before it, as spreadsheets mark text themselves (OWASP, "CSV injection"). Numbers stay
as they are. `plain` gives the text back, so that nothing is lost to programs that read the file.

YAML is read by its safe subset, and refused where a few lines would grow to billions of values.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml import Node

from zerochain.errors import InputError, counted, listed
from zerochain.formats.atomic import atomic_file
from zerochain.formats.identity import composed

_WITH_END = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_SPACE = re.compile(r"[ \t]+")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def lines_of(text: str, *, keep_ends: bool = False) -> list[str]:
    """The lines of a text, with or without their ends; none of an empty text."""
    lines = _WITH_END.findall(text)
    return lines if keep_ends else [line.rstrip("\r\n") for line in lines]


def fields_of(line: str) -> list[str]:
    """The fields between spaces and tabs; `str.split` also cuts at no-break spaces in labels."""
    stripped = line.strip(" \t")
    return _SPACE.split(stripped) if stripped else []


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte-order mark, or in UTF-16 with one.

    Raises:
        InputError: missing, or in another encoding; the message names the line.
    """
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"  # spreadsheets' "Unicode"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(lines_of(data[: error.start].decode(encoding, "ignore") + "\N{BULLET}"))
        raise InputError(
            f"line {line} is not {encoding.upper().removesuffix('-SIG')} "
            f"(byte 0x{data[error.start]:02x})",
            path=path,
            cause="it was saved in another encoding, by a spreadsheet for example",
            remedy="save it as UTF-8",
        ) from error


@dataclass(frozen=True)
class Row:
    """One row: its line in the file and its non-empty values by column, stripped."""

    line: int
    values: dict[str, str]


def read_rows(
    path: Path,
    required: Collection[str],
    optional: Collection[str] = (),
    *,
    may_be_empty: bool = False,
) -> tuple[list[str], list[Row]]:
    """The columns and rows of a table with a header; commas in a .csv, tabs otherwise.

    A .csv whose header has semicolons and no comma is separated by these, as spreadsheets write it
    where numbers have a decimal comma; such numbers themselves are refused where they are read.

    Names of columns are in Unicode's composed form, those in `required` as well. "Speaker" is the
    column that `required` or `optional` call "speaker", unless that is there too.

    A .csv may quote its values; in a tab-separated table a quotation mark is just a character.

    Raises:
        InputError: missing, in another encoding, no header, a column of `required` missing, any
            twice, rows of another length than the header, or no row unless `may_be_empty`.
    """
    lines = lines_of(read_text(path), keep_ends=True)
    quoted = path.suffix.lower() == ".csv"
    header = next((line for line in lines if line.strip()), "")
    separator = ";" if ";" in header and "," not in header else ","
    reader = csv.reader(
        lines,
        delimiter=separator if quoted else "\t",
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        table = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(
            f"line {reader.line_num}: {error}", path=path, remedy="fix the quotation marks"
        ) from error
    columns = [composed(name.strip()) for name in table[0][1]] if table else []
    known = {name.casefold(): name for name in (*required, *optional) if name not in columns}
    columns = [known.get(name.casefold(), name) for name in columns]
    while columns and not columns[-1]:  # as spreadsheets leave them
        columns.pop()
    _check_columns(columns, required, path, "commas or semicolons" if quoted else "tabs")
    for _, row in table[1:]:
        while len(row) > len(columns) and not row[-1].strip():
            row.pop()
    ragged = [str(line) for line, row in table[1:] if len(row) != len(columns)]
    if ragged:
        raise InputError(
            f"{counted(len(ragged), 'line')} without the header's "
            f"{counted(len(columns), 'column')}: {'line' if len(ragged) == 1 else 'lines'} "
            f"{listed(ragged)}",
            path=path,
            cause="a value holds the separator, or a line was cut short",
            remedy="fix those lines",
        )
    if len(table) < 2 and not may_be_empty:
        raise InputError("holds no row", path=path, remedy="list some recordings in it")
    return columns, [Row(line, _values(columns, row)) for line, row in table[1:]]


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
            remedy="name the columns in the first line; a .csv has commas or semicolons between "
            "columns, anything else tabs",
        )
    twice = [repr(name) for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise InputError(
            f"has a column twice: {listed(twice)}; its columns are {there}",
            path=path,
            remedy="rename one",
        )


def _values(columns: list[str], row: list[str]) -> dict[str, str]:
    pairs = zip(columns, row, strict=True)
    return {name: cell.strip() for name, cell in pairs if cell.strip()}


# Blanks before the sign are skipped by some programs; the wide forms count in East Asian locales.
_FORMULA = re.compile(r"('*)[\s\x00]*[=+\-@＝＋－＠]|('*)[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)


def inert(value: object) -> object:
    """A cell as it is written: a text that a spreadsheet would run gets an apostrophe."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value) or not _FORMULA.match(value):
        return value
    return "'" + value


def plain(cell: str) -> str:
    """The text that a cell was written for; the inverse of `inert`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV with inert cells, its lines ended by a line feed."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    quoting = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in (header, *rows):
        cells = [inert(cell) for cell in row]
        returns = any("\r" in cell for cell in cells if isinstance(cell, str))
        (quoting if returns else writer).writerow(cells)  # Python 3.11 leaves a bare \r unquoted
    return stream.getvalue()


def write_csv(path: Path, header: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV with inert cells, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(csv_text(header, rows), encoding="utf-8", newline="")


_MOST_VALUES = 100_000
_DEEPEST = 50


def parse_yaml(content: bytes | str, path: Path | str | None = None) -> Any:
    """The value in a YAML text; None where there is none.

    Raises:
        InputError: not YAML or not UTF-8, or aliases that expand to too many values.
    """
    try:
        loader = yaml.SafeLoader(content.decode() if isinstance(content, bytes) else content)
        node = loader.get_single_node()
        check_size(node)
        return None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise InputError(
            f"is not YAML ({str(error).partition(chr(10))[0]})",
            path=path,
            cause="a quote, an indentation or a colon is missing, or the file was damaged",
            remedy="fix it",
        ) from error


def read_yaml(path: Path) -> Any:
    """The value in a YAML file.

    Raises:
        InputError: as `parse_yaml`, or it can't be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"can't be read ({error.strerror})", path=path, remedy="check the path"
        ) from error
    return parse_yaml(content, path)


def check_size(node: Node | None) -> None:
    """Raise ValueError where a document would expand to too many values.

    A few lines of aliases of aliases are billions of values once expanded, and an alias within
    itself never ends.
    """
    if node is not None and _n_values(node, {}, 0) > _MOST_VALUES:
        raise ValueError(f"expands to more than {_MOST_VALUES:,} values")


def _n_values(node: Node, known: dict[int, int | None], depth: int) -> int:
    if depth > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} nested levels")
    if id(node) in known:
        n_known = known[id(node)]
        if n_known is None:
            raise ValueError("an alias contains itself")
        return n_known
    known[id(node)] = None
    inner: list[Node] = []
    if isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif isinstance(node, yaml.MappingNode):
        inner = [one for pair in node.value for one in pair]
    known[id(node)] = n = 1 + sum(_n_values(one, known, depth + 1) for one in inner)
    return n
