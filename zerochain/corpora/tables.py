"""Other people's tables (TSV and CSV): every row, or an error that says which lines are bad.

Import a table of which utterance of one corpus says the same as which of another.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from zerochain.errors import InputError, listed
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import composed, utterance_id
from zerochain.formats.pairs import Pairs, read_pairs, write_pairs
from zerochain.formats.text_files import lines_of, read_text


@dataclass(frozen=True)
class Row:
    """One row: its line in the file and its non-empty values by column, stripped."""

    line: int
    values: dict[str, str]


def read_rows(path: Path, required: Collection[str]) -> tuple[list[str], list[Row]]:
    """The columns and rows of a table with a header; commas in a .csv, tabs otherwise.

    Names of columns are in Unicode's composed form, those in `required` as well.

    A .csv may quote its values; in a tab-separated table a quotation mark is just a character.

    Raises:
        InputError: missing, in another encoding, no header, a column of `required` missing, any
            twice, rows of another length than the header, or no row.
    """
    lines = lines_of(read_text(path), keep_ends=True)
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
            f"line {reader.line_num}: {error}", path=path, remedy="fix the quotation marks"
        ) from error
    columns = [composed(name.strip()) for name in table[0][1]] if table else []
    while columns and not columns[-1]:  # as spreadsheets leave them
        columns.pop()
    _check_columns(columns, required, path, "commas" if quoted else "tabs")
    for _, row in table[1:]:
        while len(row) > len(columns) and not row[-1].strip():
            row.pop()
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


def import_pairs(
    table: Path,
    source: Corpus,
    target: Corpus,
    out: Path,
    *,
    source_column: str = "source",
    target_column: str = "target",
) -> Pairs:
    """Write the pairs of a TSV or CSV whose two columns hold utterance ids.

    Raises:
        InputError: a missing column, an empty value, a pair listed twice, or ids that a corpus
            lacks (listed).
    """
    columns = composed(source_column), composed(target_column)
    _, rows = read_rows(table, required=columns)
    empty = [str(row.line) for row in rows if any(name not in row.values for name in columns)]
    if empty:
        raise InputError(
            f"lines {listed(empty)} lack a {source_column!r} or a {target_column!r}",
            path=table,
            remedy="list only utterances that have a counterpart",
        )
    ids = [tuple(utterance_id(row.values[name]) for name in columns) for row in rows]
    pairs = tuple((a, b) for a, b in ids)
    lacking = [
        f"{name} in corpus {corpus.name}"
        for side, corpus in enumerate((source, target))
        for name in dict.fromkeys(pair[side] for pair in pairs)
        if name not in corpus.by_id
    ]
    if lacking:
        raise InputError(
            f"{len(lacking)} ids are missing: {listed(lacking)}",
            path=table,
            cause="ids are paths within the recordings' folder, without the suffix",
            remedy="mend the table, or swap --source and --target",
        )
    if len(set(pairs)) < len(pairs):
        raise InputError(
            f"lists {len(pairs) - len(set(pairs))} pairs twice", path=table, remedy="list each once"
        )
    write_pairs(out, Pairs(pairs, source.id, target.id))
    return read_pairs(out, source, target)
