"""What a header promises beside what the file holds.

Three kinds of sizes are wrong without any sound being lost: those that were left open because
the file was written to a pipe, those that a recorder didn't come to correct before its power was
gone, and those that wrapped round at 4 GiB because a header has 32 bits for them. Behind the
sound, other chunks may follow, a missing or an extra padding byte, or zeros that fill a sector;
those are no sound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zerochain.containers.source import Begins, File
from zerochain.containers.tags import behind_tags

_WRAP = 1 << 32
_NEAR = 1 << 13
_SOX_AIFF = 0x7F000000
_PADDING = 1 << 16
"""Recorders fill the last sector or cluster of a card with zeros."""
Follows = Callable[[int], "int | None"]
"""Offset behind the sound → where the container ends; None where what follows is more sound."""


class Extent(NamedTuple):
    """The bytes of sound that a container has."""

    stop: int
    end: int
    """Where the container ends: the file's size, unless another one follows."""
    note: str = ""
    is_right: bool = True
    """The header says the same."""


def is_open(size: int) -> bool:
    """Whether a 32-bit size only says "to the end", as programs write it to a pipe.

    They write the largest signed or unsigned number (ffmpeg, flac, mpg123, lame, arecord), less
    some header or rounded down to a block (sox and espeak: 0x7FFFF000; sox in AIFF: 0x7F000000).
    """
    ends = (_WRAP // 2, _WRAP - 1, _SOX_AIFF)
    return any(end - _NEAR <= size <= end for end in ends)


def extent(
    file: File,
    start: int,
    promised: int | None,
    follows: Follows,
    begins: Begins,
    *,
    magic: bytes,
    unit: int = 1,
    wraps: bool = True,
    what: str = "header",
) -> Extent:
    """How far the sound that begins at `start` goes.

    Args:
        promised: bytes, by the header; None where it leaves the size open.
        follows: recognises what may come behind the sound.
        begins: recognises the next container where the size is open.
        magic: the container's first bytes.
        unit: bytes of a frame or block; what is left of one is no sound.
        wraps: the header's size has 32 bits.

    Raises:
        InputError: the file holds less than is promised.
    """
    held = file.size - start
    if promised is None or (wraps and is_open(promised) and promised > held):
        stop = _next_container(file, start, magic, begins)
        return Extent(stop, stop, is_right=False)
    if promised > held:
        raise file.refused(
            f"cut short: the {what} promises {promised} bytes of sound, the file has {max(held, 0)}"
        )
    end = follows(start + promised)
    if end is not None:
        return Extent(start + promised, end)
    if held - promised <= unit:
        return Extent(start + promised, file.size)
    if wraps:
        for stop in range(start + promised + _WRAP, file.size + 1, _WRAP):
            if (end := follows(stop)) is not None:
                return Extent(stop, end, _told(promised, stop - start, "wrapped at 4 GiB"), False)
    stop = _next_container(file, start + promised, magic, begins)
    note = _told(promised, stop - start, "was never finished") if promised else ""
    return Extent(stop, stop, note, False)


def _next_container(file: File, start: int, magic: bytes, begins: Begins) -> int:
    """Where another container of the same kind begins that was joined, or the end of the file."""
    while (start := file.find(magic, start)) >= 0:
        if begins(file, start):
            return start
        start += 1
    return file.size


def nothing_follows(file: File, offset: int) -> int | None:
    """Where the file ends if at most padding lies between: for formats without more chunks."""
    if offset >= file.size:
        return file.size
    tail = file.at(offset, 4)
    if file.size - offset == 128 and tail[:3] == b"TAG":  # ID3v1
        return file.size
    if behind_tags(file, offset) >= file.size:
        return file.size
    if file.size - offset <= _PADDING and file.is_zero(offset, file.size):
        return file.size
    return None


def _told(promised: int, held: int, why: str) -> str:
    return (
        f"the header's size {why}: it promises {promised} bytes of sound; all {held} that are "
        "there were read"
    )
