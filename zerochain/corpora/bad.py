"""What an import can't use, and how its name is printed."""

from __future__ import annotations

from typing import NamedTuple


class Bad(NamedTuple):
    """A file, or an utterance in it, that can't be used, and why."""

    file: str
    reason: str
    id: str = ""
    """Of the utterance that is lost; empty where the file is of no known utterance."""


def printable(name: str) -> str:
    r"""A file's name with what is no text, or moves the cursor, as escapes: `caf\udce9.wav`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
