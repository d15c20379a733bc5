"""Text files of other people's: UTF-8, composed, and lines that end where editors say they do."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from zerochain.errors import InputError

_LINE_END = re.compile(r"\r\n|\n|\r")


def split_lines(text: str) -> list[str]:
    r"""Lines without their ends, which are \n, \r\n and \r alone.

    `str.splitlines` also cuts at form feeds, U+0085 and U+2028, which may stand inside a label.
    """
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, with or without a byte-order mark, composed (NFC).

    Raises:
        InputError: missing, or in another encoding.
    """
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(split_lines(data[: error.start].decode("utf-8", "replace") + "x"))
        raise InputError(
            f"line {line} is not UTF-8 (byte 0x{data[error.start]:02x})",
            path=path,
            cause="it was saved in another encoding, by a spreadsheet or an old aligner",
            remedy="save it as UTF-8",
        ) from error
    return split_lines(unicodedata.normalize("NFC", text))
