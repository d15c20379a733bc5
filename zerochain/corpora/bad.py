"""What an import can't use, and how its name is printed."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import NamedTuple

from zerochain.errors import InputError


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
