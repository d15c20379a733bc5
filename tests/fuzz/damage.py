"""Random damage: bytes as disks and networks leave them, and values as people edit them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Rng = np.random.Generator
_NUMBERS = (0, -1, 1, 2**31, -(2**31), 2**63, 10**30, 10**400, 1e308, -1e-300)
_NUMBERS += (float("nan"), float("inf"), -float("inf"), 0.5, 1e9)
_VALUES = (*_NUMBERS, "", "x", "\ud800", "../x", True, None, [], {}, [[]], {"a": 1}, [1, 2], "nan")
_TEXTS = (b"\x00", b"\xff\xfe", b"\n", b"\r", b'"', b"[" * 2000, b"{" * 20, b"9" * 30, b"-1")
_TEXTS += (b"nan", b"1e999", "é\u2028".encode(), b"\xc3", b"&a [*a, *a]", b"<<: *a")
SUMS = ("sha256", "weights_sha256", "index_sha256", "maps_sha256")


def damaged(content: bytes, rng: Rng) -> bytes:
    """The bytes of a file with one to three places of damage."""
    for _ in range(rng.integers(1, 4)):
        content = _once(content, rng)
    return content


def _once(content: bytes, rng: Rng) -> bytes:
    n = len(content)
    start = int(rng.integers(n + 1))
    # The places that say what a file is are at its ends.
    if rng.random() < 0.3:
        start = min(n, int(rng.integers(64))) if rng.random() < 0.7 else max(0, n - 64)
    length = int(min(n - start, 2 ** rng.integers(0, 9)))
    end = start + length
    match int(rng.integers(9)):
        case 0 | 1 | 2:  # bits
            changed = bytearray(content)
            for i in range(start, min(n, start + int(rng.integers(1, 4)))):
                changed[i] ^= 1 << int(rng.integers(8))
            return bytes(changed)
        case 3:
            return content[:start]
        case 4:
            return content[:end] + content[start:end] + content[end:]
        case 5:
            return content[:start] + rng.bytes(length) + content[start:]
        case 6:
            return content[:start] + bytes(length) + content[end:]
        case 7:
            return content[:start] + content[end:]
        case _:
            text = _TEXTS[rng.integers(len(_TEXTS))]
            return content[:start] + text + content[start + len(text) * int(rng.integers(2)) :]


def edited(content: bytes, suffix: str, rng: Rng) -> bytes:
    """A file whose values were changed by somebody who knows its format, and left no checksum."""
    match suffix:
        case ".json":
            value = _changed(json.loads(content), rng)
            return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "replace")
        case ".jsonl":
            lines = [json.loads(line) for line in content.splitlines()]
            i = int(rng.integers(len(lines)))
            lines[i] = _changed(lines[i], rng)
            return "\n".join(map(json.dumps, lines)).encode()
        case ".parquet":
            return _edited_table(content, rng)
    return damaged(content, rng)


def _changed(value: Any, rng: Rng) -> Any:
    """A JSON value with one change somewhere in it, and without checksums."""
    if isinstance(value, dict):
        value = {name: one for name, one in value.items() if name not in SUMS}
    places = list(_places(value))
    if not places:
        return _VALUES[rng.integers(len(_VALUES))]
    holder, key = places[rng.integers(len(places))]
    match int(rng.integers(5)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        case 2 if isinstance(holder, list):
            holder.append(holder[key])
        case 3 if type(holder[key]) in (int, float):
            holder[key] = _NUMBERS[rng.integers(len(_NUMBERS))]
        case _:
            holder[key] = _VALUES[rng.integers(len(_VALUES))]
    return value


def _places(value: Any) -> Any:
    keys = value if isinstance(value, dict) else range(len(value))
    if isinstance(value, dict | list):
        for key in keys:
            yield value, key
            yield from _places(value[key]) if isinstance(value[key], dict | list) else ()


def _edited_table(content: bytes, rng: Rng) -> bytes:
    table = pq.read_table(pa.BufferReader(content))
    metadata = json.loads(table.schema.metadata[b"zerochain"])
    metadata.pop("sha256", None)
    rows = table.to_pylist()
    if rng.random() < 0.4:
        metadata = _changed(metadata, rng)
    else:
        rows = _changed(rows, rng)
    text = json.dumps(metadata).encode()
    try:
        edited = pa.Table.from_pylist(rows)
    except (pa.ArrowException, ValueError, TypeError, AttributeError, OverflowError):
        edited = table
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(edited.replace_schema_metadata({b"zerochain": text}), sink)
    except pa.ArrowException:  # a type that Parquet lacks
        return damaged(content, rng)
    return bytes(sink.getvalue().to_pybytes())
