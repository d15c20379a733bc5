"""Typed Parquet tables that carry their kind, their version and their metadata."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file

VERSION = 1
_KEY = b"zerochain"
_NUMBER = (int, float)
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "config": dict,
    "ids": list,
    "n_units": int,
    "options": dict,
    "record": dict,
    "sample_rate": int,
    "seconds": _NUMBER,
    "step_ms": _NUMBER,
    "trained_on": dict,
}
"""What the keys of headers hold, in every format alike; those that are needed else hold text."""


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
    header = _json_object(text, path)
    check_version(header.get("version"), path)
    return header


def read_table(
    path: Path, kind: str, schema: pa.Schema, *needed: str, optional: Collection[str] = ()
) -> tuple[pa.Table, dict[str, Any]]:
    """A table's columns, cast to `schema`, and its metadata, with at least the keys `needed`.

    Columns named in `optional` may be missing, as older versions wrote none; they are null then.

    Raises:
        InputError: as `table_header`, and a table of another kind, a missing column or key, a
            column or value of another type, damaged data, or a null where the schema has none.
    """
    header = table_header(path)
    if header.get("kind") != kind:
        raise InputError(
            f"is a table of kind {header.get('kind')!r}, not {kind!r}",
            path=path,
            cause="two arguments were swapped",
            remedy="'zerochain show FILE' says what a file is",
        )
    _check_keys(header, needed, path)
    try:
        # ParquetFile reads this one file; read_table would take "speaker=3/" for a column.
        table = pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"can't be decoded ({str(error).splitlines()[0]})",
            path=path,
            cause="it was damaged while it was copied",
            remedy="copy it again, or make it again",
        ) from error
    for field in map(schema.field, optional):
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise InputError(
            f"column {missing[0]!r} is missing (there are {', '.join(table.column_names)})",
            path=path,
            cause="the table was edited by another program",
            remedy="make it again",
        )
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise InputError(
                f"column {field.name!r} holds {table[field.name].null_count} empty values",
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


def read_json(path: Path, kind: str, *needed: str) -> dict[str, Any]:
    """The object in a JSON file whose "kind" and "version" are as expected.

    Raises:
        InputError: missing, unreadable, of another kind or version, without a key `needed`, or
            with a value of another type.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"no such file, so {path.parent} is not a {kind}",
            path=path,
            remedy="check the path; 'zerochain show FOLDER' says what a folder is",
        ) from error
    value = _json_object(content, path)
    if value.get("kind") != kind:
        raise InputError(
            f"holds a {value.get('kind')!r}, not a {kind!r}",
            path=path,
            cause="two arguments were swapped",
            remedy="'zerochain show FOLDER' says what a folder is",
        )
    check_version(value.get("version"), path)
    _check_keys(value, needed, path)
    return value


def _json_object(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:  # not JSON, or not UTF-8
        raise InputError(
            f"is not JSON ({error})", path=path, cause="it was cut short", remedy="make it again"
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            f"holds a JSON {type(value).__name__}, not an object",
            path=path,
            cause="it was not written by zerochain",
            remedy="make it again",
        )
    return value


def _check_keys(header: dict[str, Any], needed: tuple[str, ...], path: Path) -> None:
    missing = [name for name in needed if name not in header]
    texts = dict.fromkeys(needed, str)
    wrong = [
        f"{name!r} is {header[name]!r}"
        for name, expected in {**texts, **_TYPES}.items()
        if name in header and not _is_a(header[name], expected)
    ]
    if missing or wrong:
        raise InputError(
            f"lacks {', '.join(missing)}" if missing else f"makes no sense: {', '.join(wrong)}",
            path=path,
            cause="it was edited, or not written by zerochain",
            remedy="make it again",
        )


def _is_a(value: object, expected: type | tuple[type, ...]) -> bool:
    """Whether a JSON value is of a type; true and false are no numbers."""
    return isinstance(value, expected) and not isinstance(value, bool)


def write_json(path: Path, kind: str, value: dict[str, Any]) -> None:
    """Write an object atomically, with its kind and version first."""
    text = json.dumps({"kind": kind, "version": VERSION, **value}, ensure_ascii=False, indent=2)
    with atomic_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
