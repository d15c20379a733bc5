"""Vectors as text, one a line: ZeroSpeech's submissions, Libri-Light's features.

Numbers are written with nine digits, which give back every float32 exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError


class Line(NamedTuple):
    """One line of a file: its vector (D,), or what is wrong with it."""

    number: int
    """Counted from 1."""
    vector: NDArray[np.float64]
    problem: str


_NONE = np.zeros(0)


def vector_text(vector: NDArray[np.float32]) -> str:
    """A vector (D,) as a line without its end."""
    return " ".join([f"{value:.9g}" for value in vector.tolist()])


def scan_vectors(path: Path, *, single_spaces: bool = False) -> Iterator[Line]:
    """The lines of a file one by one, the bad ones too; a file without lines gives none.

    Args:
        single_spaces: refuse anything but one space between two numbers.
    """
    dim = None
    # Latin-1 keeps every byte, and text ends its lines at \n, \r\n and \r, which bytes don't.
    with path.open(encoding="latin-1") as stream:
        for number, raw in enumerate(stream, 1):
            line = _line(number, raw.rstrip("\n").encode("latin-1"), single_spaces)
            if not line.problem:
                dim = dim or len(line.vector)
                if len(line.vector) != dim:
                    found = f"has {len(line.vector)} numbers, the lines before it {dim}"
                    line = Line(number, _NONE, found)
            yield line


def read_vectors(path: Path, *, single_spaces: bool = False) -> NDArray[np.float64]:
    """The vectors in a file (T, D).

    Raises:
        InputError: no such file, no line, or a bad one; the message names the line.
    """
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    rows = []
    for number, vector, problem in scan_vectors(path, single_spaces=single_spaces):
        if problem:
            raise InputError(
                problem,
                path=f"{path}:{number}",
                cause="the file is no table of numbers, or was cut short",
                remedy="write one vector a line, all of the same length, finite numbers only",
            )
        rows.append(vector)
    if not rows:
        raise InputError(
            "is empty",
            path=path,
            cause="the recording gave no frame, or the program that wrote it was killed",
            remedy="write it again, or leave the recording out",
        )
    return np.stack(rows)


def _line(number: int, text: bytes, single_spaces: bool) -> Line:
    words = text.split()
    if not words:
        return Line(number, _NONE, "is blank")
    if single_spaces and b" ".join(words) != text:
        return Line(number, _NONE, "has something other than one space between its numbers")
    try:
        vector = np.array([float(word) for word in words])
    except ValueError:
        return Line(number, _NONE, f"holds {_first_bad(words)!r}, which is no number")
    if b"_" in text:  # Python reads 1_000
        return Line(number, _NONE, f"holds {_first_bad(words)!r}, which is no number")
    if not np.isfinite(vector).all():
        return Line(number, _NONE, "holds NaN or infinity")
    return Line(number, vector, "")


def _first_bad(words: list[bytes]) -> str:
    for word in words:
        try:
            bad = b"_" in word or not isinstance(float(word), float)
        except ValueError:
            bad = True
        if bad:
            return word[:30].decode("utf-8", "replace")
    return ""
