"""Other people's text files: decoded strictly, and cut into lines where text editors cut them.

A line ends at \\n, \\r\\n or \\r alone. `str.splitlines` also ends one at U+2028, U+0085, form
feeds and the separators \\x1c … \\x1e, which stand inside of names and transcripts.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from zerochain.errors import InputError

_WITH_END = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_SPACE = re.compile(r"[ \t]+")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def lines_of(text: str, *, keep_ends: bool = False) -> list[str]:
    """The lines of a text, with or without their ends; none of an empty text."""
    lines = _WITH_END.findall(text)
    return lines if keep_ends else [line.rstrip("\r\n") for line in lines]


def fields_of(line: str) -> list[str]:
    """What spaces and tabs part; `str.split` also cuts at no-break spaces, inside labels."""
    stripped = line.strip(" \t")
    return _SPACE.split(stripped) if stripped else []


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte-order mark, or in UTF-16 with one.

    Raises:
        InputError: missing, or in another encoding; the message names the line.
    """
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"  # spreadsheets' "Unicode"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(lines_of(data[: error.start].decode(encoding, "ignore") + "\N{BULLET}"))
        raise InputError(
            f"line {line} is not {encoding.upper().removesuffix('-SIG')} "
            f"(byte 0x{data[error.start]:02x})",
            path=path,
            cause="it was saved in another encoding, by a spreadsheet for example",
            remedy="save it as UTF-8",
        ) from error
