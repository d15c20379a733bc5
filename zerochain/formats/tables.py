"""Typed Parquet tables that carry their kind, their version and their metadata in the schema.

A reader states the columns it wants; missing, duplicate or null ones are refused, other columns are
ignored. Parquet's own page checksums guard the values, a seal the metadata (see `headers`), and the
number of rows is compared with what was decoded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from zerochain.errors import InputError, counted
from zerochain.formats.atomic import atomic_file
from zerochain.formats.headers import (
    VERSION,
    Header,
    check_header,
    check_version,
    json_object,
    sealed,
)

_KEY = b"zerochain"
_MOST_ROWS_PER_BYTE = 1000  # our tables have far fewer: each row has its own id or times
_ROWS_AT_ONCE = 8192
_UNREADABLE = (pa.ArrowException, OSError, ValueError, MemoryError)

H = TypeVar("H", bound=Header)


class Read(NamedTuple, Generic[H]):
    """A table as it was read."""

    table: pa.Table
    header: H
    id: str
    """SHA-256 of the file."""


def write_table(path: Path, kind: str, table: pa.Table, metadata: dict[str, Any]) -> None:
    """Write a table atomically, with its kind, its version and JSON metadata in the schema.

    Each page of values carries a checksum, and so does the metadata. Another program may change
    values all the same, as long as it leaves the metadata alone: its pages have no checksum.
    """
    header = sealed({"kind": kind, "version": VERSION, **metadata})
    text = json.dumps(header, ensure_ascii=False, sort_keys=True).encode()
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        pq.write_table(
            table.replace_schema_metadata({_KEY: text}),
            stream,  # not the path: Arrow takes UTF-8 alone
            compression="zstd",
            write_page_checksum=True,
        )


def table_header(path: Path) -> dict[str, Any]:
    """The JSON metadata of a table: its kind, its version and what else it carries.

    Raises:
        InputError: no such file, not Parquet, not a zerochain table, or of an unknown version.
    """
    header = _header(_opened(_content(path), path), path)
    check_version(header.get("version"), path)
    return header


def read_table(
    path: Path,
    kind: str,
    schema: pa.Schema,
    model: type[H],
    *,
    optional: Collection[str] = (),
) -> Read[H]:
    """A table's columns, cast to `schema`, its metadata, and the file's id, all of one reading.

    Args:
        model: of the metadata.
        optional: columns that may be missing, as older versions wrote none; they are null then.

    Raises:
        InputError: as `table_header`, and a table of another kind, a missing column or key, a
            column or value of another type, damaged data, or a null where the schema has none.
    """
    content = _content(path)
    file = _opened(content, path)
    value = _header(file, path)
    if value.get("kind") != kind:
        raise InputError(
            f"is a table of kind {value.get('kind')!r}, not {kind!r}",
            path=path,
            cause="two arguments were swapped",
            remedy="'zerochain show FILE' prints what a file is",
        )
    header = check_header(value, kind, model, path)
    try:
        n_rows = file.metadata.num_rows
        if n_rows > _MOST_ROWS_PER_BYTE * len(content):
            raise ValueError(f"it claims {n_rows:,} rows")
        # In batches it takes a third of the memory that file.read() takes for lists of numbers.
        batches = list(file.iter_batches(batch_size=_ROWS_AT_ONCE))
        table = pa.Table.from_batches(batches, file.schema_arrow)
        table.validate(full=True)
        if len(table) != n_rows:  # which no checksum covers
            raise ValueError(f"its parts have {len(table):,} rows, not {n_rows:,}")
    except _UNREADABLE as error:
        raise _undecodable(path, str(error).partition("\n")[0]) from error
    columns = _columns(table, schema, optional, path)
    return Read(columns, header, hashlib.sha256(content).hexdigest())


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    return path.read_bytes()


def _opened(content: bytes, path: Path) -> pq.ParquetFile:
    # ParquetFile reads this one file; pq.read_table would take "speaker=3/" for a column.
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        _ = file.schema_arrow
    except _UNREADABLE as error:
        raise InputError(
            f"is not a readable Parquet file ({str(error).partition(chr(10))[0]})",
            path=path,
            cause="it has another format, or was cut short while it was copied",
            remedy="make it again, or see 'zerochain import --help' for other people's formats",
        ) from error
    return file


def _header(file: pq.ParquetFile, path: Path) -> dict[str, Any]:
    text = (file.schema_arrow.metadata or {}).get(_KEY)
    if text is None:
        raise InputError(
            "is a Parquet file without zerochain's metadata",
            path=path,
            cause="it was written by another program, which drops schema metadata",
            remedy="import it ('zerochain import --help'), or write it with zerochain.formats",
        )
    return json_object(text, path)


def _columns(table: pa.Table, schema: pa.Schema, optional: Collection[str], path: Path) -> pa.Table:
    for field in map(schema.field, optional):
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    missing = [name for name in schema.names if name not in table.column_names]
    twice = [name for name in schema.names if table.column_names.count(name) > 1]
    if missing or twice:
        what = f"{missing[0]!r} is missing" if missing else f"{twice[0]!r} is there twice"
        raise InputError(
            f"column {what} (there are {', '.join(table.column_names)})",
            path=path,
            cause="the table was edited by another program",
            remedy="make it again",
        )
    for field in schema:
        n_empty = table[field.name].null_count
        if not field.nullable and n_empty:
            raise InputError(
                f"column {field.name!r} holds {counted(n_empty, 'empty value')}",
                path=path,
                cause="the table was edited by another program",
                remedy="make it again",
            )
    try:
        columns = table.select(schema.names).cast(schema)
        columns.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        raise InputError(
            f"a column has the wrong type: {error}", path=path, remedy="make it again"
        ) from error
    return columns


def _undecodable(path: Path, why: str) -> InputError:
    return InputError(
        f"can't be decoded ({why})",
        path=path,
        cause="it was damaged while it was copied",
        remedy="copy it again, or make it again",
    )
