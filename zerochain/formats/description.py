"""One record per kind of file: its name, what marks it, how it is read and how it is described.

Every module of a format has such a record, `FILE_KIND`; `zerochain.formats.kinds` lists them all.
`zerochain show` and whoever else walks a folder go through that list, so that a new kind is
declared in one place. A description is plain text; how it is printed is up to its reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
FIRST = 5
"""Utterances, pairs or rows that a description shows as examples."""
_LONGEST_LIST = 8


@dataclass(frozen=True)
class Table:
    """A titled table of a description."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    most: int | None = None
    """Rows to print; None is all of them."""


@dataclass(frozen=True)
class Description:
    """What a file holds, for people."""

    title: str
    facts: Mapping[str, str]
    """Name → value; those with an empty value aren't known."""
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class FileKind(Generic[T]):
    """A kind of file or folder that zerochain writes."""

    name: str
    """As in its header."""
    marker: str
    """Of a folder, the file in it that names its kind; of a table, its usual name."""
    read: Callable[[Path], T]
    """Reads the folder, or the table; raises InputError."""
    describe: Callable[[T], Description]

    @property
    def is_folder(self) -> bool:
        """Whether the marker stands for the folder that holds it; tables stand for themselves."""
        return not self.marker.endswith((".parquet", ".jsonl"))


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """The options of a nested configuration, as outer.inner and text; long lists are cut."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and len(value) > _LONGEST_LIST:
            shown = ", ".join(map(str, value[:_LONGEST_LIST]))
            yield f"{prefix}{key}", f"{shown} … {len(value) - _LONGEST_LIST} more"
        else:
            yield f"{prefix}{key}", str(value)
