"""JSON files and headers: strict parsing, one validated model per header, and a checksum.

All JSON that is read goes through `parse_json`, which refuses what Python's own parser lets pass:
duplicate keys, halves of characters, endless nesting. A header carries its own checksum (`sha256`,
of everything else that it holds), so that a damaged byte is noticed. Headers of older versions have
none, and are read without.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file
from zerochain.formats.inside import file_content

VERSION = 1
NEWEST = {"bundle": 2}
"""The newest format version of kinds that have had more than one; all older ones are read."""
SEAL = "sha256"
_DEEPEST = 50  # levels of nested lists and objects; real files have about five
_HALVES = re.compile("[\ud800-\udfff]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Header(BaseModel):
    """The keys of every header. A kind's own model adds its keys and forbids all others."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)

    kind: str
    version: int
    sha256: str | None = None


H = TypeVar("H", bound=Header)
M = TypeVar("M", bound=BaseModel)


def parse_json(content: bytes | str, path: Path | str) -> Any:
    """The value in a JSON text.

    Raises:
        InputError: not JSON or not UTF-8, a duplicate key, half a character (a lone surrogate),
            or more than 50 nested levels.
    """
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    try:
        value = json.loads(raw, object_pairs_hook=_table)
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode()
        _check_depth(value)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"is not JSON ({str(error).partition(chr(10))[0]})",
            path=path,
            cause="it was cut short or damaged",
            remedy="make it again",
        ) from error
    return value


def json_object(content: bytes | str, path: Path | str) -> dict[str, Any]:
    """The object in a JSON text.

    Raises:
        InputError: as `parse_json`, or another kind of value.
    """
    value = parse_json(content, path)
    if not isinstance(value, dict):
        raise InputError(
            f"holds a JSON {type(value).__name__}, not an object",
            path=path,
            cause="it was not written by zerochain",
            remedy="make it again",
        )
    return value


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key is there twice")
    return table


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        if not level:
            return
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [v for values in inner for v in values if isinstance(v, dict | list)]
    raise ValueError(f"more than {_DEEPEST} nested levels")


def validated(model: type[M], value: object, path: Path | str) -> M:
    """A value as an instance of its model.

    Raises:
        InputError: a key is missing or unknown, or a value is of another type or out of range.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(
            explained_by(error),
            path=path,
            cause="it was edited or damaged, or not written by zerochain",
            remedy="make it again",
        ) from error


def explained_by(error: ValidationError) -> str:
    """What pydantic found, in one line."""
    errors = error.errors(include_url=False)
    lacking = [_name(e["loc"]) for e in errors if e["type"] == "missing"]
    if lacking:
        return f"lacks {', '.join(lacking)}"
    unknown = [_name(e["loc"]) for e in errors if e["type"] == "extra_forbidden"]
    if unknown:
        return f"has an unknown key: {', '.join(unknown)}"
    return f"is invalid: {', '.join(map(_said, errors))}"


def _said(error: ErrorDetails) -> str:
    if error["type"] == "value_error":  # of a validator of ours, with a message of its own
        return error["msg"].removeprefix("Value error, ")
    return f"{_name(error['loc'])!r} is {_clipped(error['input'])}"


def _name(place: tuple[int | str, ...]) -> str:
    return ".".join(map(str, place)) or "it"


def _clipped(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def check_header(value: dict[str, Any], kind: str, model: type[H], path: Path) -> H:
    """A header as its model, if it is one of this kind, of a known version and undamaged.

    Raises:
        InputError: it is not.
    """
    if value.get("kind") != kind:
        raise InputError(
            f"holds a {value.get('kind')!r}, not a {kind!r}",
            path=path,
            cause="two arguments were swapped",
            remedy="'zerochain show' prints what a file or folder is",
        )
    check_version(value.get("version"), path, NEWEST.get(kind, VERSION))
    header = validated(model, value, path)
    if SEAL in value and value[SEAL] != _seal(value):  # older versions wrote none, but never null
        raise InputError(
            "was changed since it was written: its checksum does not match",
            path=path,
            cause="it was damaged while it was copied, or edited",
            remedy="copy it again, or make it again",
        )
    return header


def check_version(version: object, path: Path, newest: int = VERSION) -> None:
    """Refuse a version that this zerochain doesn't read."""
    if type(version) is not int or not VERSION <= version <= newest:
        known = f"version {VERSION}" if newest == VERSION else f"versions {VERSION} to {newest}"
        raise InputError(
            f"has format version {version!r}; this zerochain reads {known}",
            path=path,
            cause="it was written by a newer or much older zerochain",
            remedy="upgrade zerochain, or make the file again with this one",
        )


def json_text(value: Any, **how: Any) -> str:
    """JSON in valid UTF-8: bytes of paths that aren't text are written as escapes, caf\\udce9."""
    text = json.dumps(value, ensure_ascii=False, **how)
    return _HALVES.sub(lambda half: f"\\\\u{ord(half[0]):04x}", text)


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """A header with its checksum, as JSON will give it back.

    The checksum comes right behind the kind: a cut that removes it also removes part of the kind or
    of the next key. At the end, the text before it would pass for an older version's header.
    """
    plain = json.loads(json_text(value))
    return {"kind": plain.pop("kind"), SEAL: _seal({"kind": value["kind"], **plain}), **plain}


def _seal(value: dict[str, Any]) -> str:
    rest = {name: one for name, one in value.items() if name != SEAL}
    text = json.dumps(rest, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_header(path: Path, kind: str, model: type[H]) -> H:
    """The header in a JSON file.

    Raises:
        InputError: missing, unreadable, damaged, or of another kind or version.
    """
    try:
        found = file_content(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(
            f"no such file, so {path.parent} is not a {kind}",
            path=path,
            remedy="check the path; 'zerochain show FOLDER' prints what a folder is",
        ) from error
    return check_header(json_object(found, path), kind, model, path)


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """As `read_header`, for a kind without a model: everything but the checksum."""
    header = read_header(path, kind, Header).model_dump()
    header.pop(SEAL)
    return header


def write_json(path: Path, kind: str, value: dict[str, Any], *, editable: bool = False) -> None:
    """Write an object atomically, with its kind and version first.

    Args:
        editable: people may change it by hand, so it gets no checksum.
    """
    header = {"kind": kind, "version": VERSION, **value}
    text = json_text(header if editable else sealed(header), indent=2)
    with atomic_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
