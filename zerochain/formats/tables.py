"""Typed Parquet tables that carry their kind, their version and their metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file

VERSION = 1
_KEY = b"zerochain"


def write_table(path: Path, kind: str, table: pa.Table, metadata: dict[str, Any]) -> None:
    """Write a table atomically, with its kind, its version and JSON metadata in the schema."""
    header = {"kind": kind, "version": VERSION, **metadata}
    text = json.dumps(header, ensure_ascii=False, sort_keys=True).encode()
    with atomic_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata({_KEY: text}), temporary, compression="zstd")


def table_header(path: Path) -> dict[str, Any]:
    """The JSON metadata of a table: its kind, its version and what else it carries.

    Raises:
        InputError: no such file, not Parquet, not a zerochain table, or of an unknown version.
    """
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"is not a readable Parquet file ({str(error).splitlines()[0]})",
            path=path,
            cause="it is of another format, or was cut short while it was copied",
            remedy="make it again, or see 'zerochain import --help' for other people's formats",
        ) from error
    text = (schema.metadata or {}).get(_KEY)
    if text is None:
        raise InputError(
            "is a Parquet file without zerochain's metadata",
            path=path,
            cause="it was written by another program, which drops schema metadata",
            remedy="import it ('zerochain import --help'), or write it with zerochain.formats",
        )
    header: dict[str, Any] = json.loads(text)
    check_version(header.get("version"), path)
    return header


def read_table(path: Path, kind: str, schema: pa.Schema) -> tuple[pa.Table, dict[str, Any]]:
    """A table's columns, cast to `schema`, and its metadata.

    Raises:
        InputError: as `table_header`, and a table of another kind, a missing column, a column
            of another type, or a null where the schema has none.
    """
    header = table_header(path)
    if header.get("kind") != kind:
        raise InputError(
            f"is a table of kind {header.get('kind')!r}, not {kind!r}",
            path=path,
            cause="two arguments were swapped",
            remedy="'zerochain show FILE' says what a file is",
        )
    table = pq.read_table(path)
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise InputError(
            f"column {missing[0]!r} is missing (there are {', '.join(table.column_names)})",
            path=path,
            cause="the table was edited by another program",
            remedy="make it again",
        )
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InputError(
            f"a column has the wrong type: {error}", path=path, remedy="make it again"
        ) from error
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise InputError(
                f"column {field.name!r} holds {table[field.name].null_count} empty values",
                path=path,
                remedy="make it again",
            )
    return table, header


def check_version(version: object, path: Path) -> None:
    """Refuse a version that this zerochain doesn't know."""
    if version != VERSION:
        raise InputError(
            f"has format version {version!r}; this zerochain reads version {VERSION}",
            path=path,
            cause="it was written by a newer or much older zerochain",
            remedy="upgrade zerochain, or make the file again with this one",
        )


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """The object in a JSON file whose "kind" and "version" are as expected.

    Raises:
        InputError: missing, unreadable, of another kind or version.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"no such file, so {path.parent} is not a {kind}",
            path=path,
            remedy="check the path; 'zerochain show FOLDER' says what a folder is",
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"is not JSON ({error})", path=path, cause="it was cut short", remedy="make it again"
        ) from error
    if not isinstance(value, dict) or value.get("kind") != kind:
        found = value.get("kind") if isinstance(value, dict) else type(value).__name__
        raise InputError(
            f"holds a {found!r}, not a {kind!r}",
            path=path,
            cause="two arguments were swapped",
            remedy="'zerochain show FOLDER' says what a folder is",
        )
    check_version(value.get("version"), path)
    return value


def write_json(path: Path, kind: str, value: dict[str, Any]) -> None:
    """Write an object atomically, with its kind and version first."""
    text = json.dumps({"kind": kind, "version": VERSION, **value}, ensure_ascii=False, indent=2)
    with atomic_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
