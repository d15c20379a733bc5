"""CSV files for people and other programs, which a spreadsheet opens without running anything.

A spreadsheet takes a cell that begins with = + - or @ for a formula, and a formula can run
programs or send cells away; speakers, labels and systems are named by whoever made the data. Such
a text is written with an apostrophe before it, as spreadsheets mark text themselves. Numbers stay
as they are. `plain` gives the text back, so that nothing is lost to programs that read the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from zerochain.formats.atomic import atomic_file

# Blanks before the sign are skipped by some programs; the wide forms count in East Asian locales.
_FORMULA = re.compile(r"('*)[\s\x00]*[=+\-@＝＋－＠]|('*)[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)


def inert(value: object) -> object:
    """A cell as it is written: `value`, unless it is a text that a spreadsheet would run."""
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
