"""What an import can't use, and how its name is printed.

Many files that can't be used for one and the same cause, as one line.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from zerochain.errors import InputError, listed


class Bad(NamedTuple):
    """A file, or an utterance in it, that can't be used, and why."""

    file: str
    reason: str
    id: str = ""
    """Of the utterance that is lost; empty where the file is of no known utterance."""


def printable(name: str) -> str:
    r"""A file's name with what is no text, or moves the cursor, as escapes: `caf\udce9.wav`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def check_path(folder: Path) -> None:
    """Raise InputError if no corpus could refer to a folder: its name is no text."""
    if any(unicodedata.category(c) in {"Cs", "Cc"} for c in str(folder)):
        raise InputError(
            "the folder's path is no text",
            path=printable(str(folder)),
            cause="it was named in another encoding than UTF-8, or with control characters",
            remedy="rename the folder",
        )


_ALIKE = 4
"""From so many on they are one line."""
_SHOWN = 3
_DETAIL = re.compile(r"'[^']*'|\d+(?:\.\d+)?")


def grouped(bad: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each file and why it can't be used, or for many of one cause.

    Causes that differ only in numbers and in what stands in quotation marks are one; the first
    file's is shown.

    Args:
        bad: files and reasons, in the order to be shown.
    """
    causes: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for file, reason in bad:
        causes[_DETAIL.sub("…", reason)].append((file, reason))
    lines = []
    for entries in causes.values():
        if len(entries) < _ALIKE:
            lines += [f"{file}: {reason}" for file, reason in entries]
            continue
        same = len({reason for _, reason in entries}) == 1
        files = list(dict.fromkeys(file for file, _ in entries))
        if len(files) == 1:
            lines.append(f"{files[0]}: {entries[0][1]}, and {len(entries) - 1} more like it")
            continue
        like = "" if same else ", such as the first of them"
        lines.append(f"{len(files)} files{like}: {entries[0][1]} ({listed(files, _SHOWN)})")
    return lines
