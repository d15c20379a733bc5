"""A sound file's bytes, what its header promises of them, and which of them are sound.

Three kinds of sizes are wrong without any sound being lost: those that were left open because the
file was written to a pipe, those that a recorder had no time to correct before its power was gone,
and those that wrapped round at 4 GiB because a header has 32 bits for them. Behind the sound there
may be other chunks, ID3 tags (titles and pictures), a missing or an extra padding byte, or zeros
that fill a sector; none of these is sound.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from zerochain.errors import InputError

_SCANNED = 1 << 20
REPAIR = "fix or remove it (imports can skip it)"
CONVERT = "if it plays, convert it: 'ffmpeg -i OLD NEW.flac'"
CUT_SHORT = "the file was cut short while it was copied"


def unreadable(path: Path, found: str, cause: str, remedy: str = REPAIR) -> InputError:
    """An error about a sound file."""
    return InputError(found, path=path, cause=cause, remedy=remedy)


class Raw(NamedTuple):
    """How bare samples are stored, in libsndfile's names."""

    subtype: str
    endian: str
    n_bytes: int
    """Of a sample."""


@dataclass(frozen=True)
class Piece:
    """A run of a file's bytes that is decoded on its own."""

    start: int
    stop: int
    raw: Raw | None = None
    """Set where the bytes are bare samples; None where they begin with a header."""
    prefix: bytes = b""
    """A header made for bytes without a correct one."""
    lead: int = 0
    """Samples that the decoder removes at the beginning because of that header."""


@dataclass(frozen=True)
class Found:
    """What one container in a file holds."""

    piece: Piece
    stop: int
    """Where the container ends: the file's size, unless another follows."""
    sample_rate: float | None = None
    n_channels: int | None = None
    n_samples: int | None = None
    """The number in the bytes, where it is known without decoding."""
    promised: int = 0
    """The minimum number of samples that libsndfile has to find."""
    at_most: int | None = None
    """The number of samples, where libsndfile takes padding for more."""
    note: str = ""
    fallback: Piece | None = None
    """The same sound as bare samples, if libsndfile reads the header differently."""


_EXACT = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "RAW"}
WIDTHS = {
    "PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8,
    "ULAW": 1, "ALAW": 1, "DPCM_8": 1, "DPCM_16": 2,
}  # fmt: skip
"""Bytes per sample in the codecs that store each sample by itself."""


@dataclass(frozen=True)
class Run:
    """A piece of a file, and the samples that it decodes to."""

    piece: Piece
    n_samples: int


@dataclass(frozen=True)
class Contents:
    """What a sound file holds."""

    container: str
    codec: str
    sample_rate: int
    n_channels: int
    runs: tuple[Run, ...]
    note: str = ""
    is_counted: bool = False
    """Its header doesn't give its length: its samples were counted by decoding them."""

    @property
    def n_samples(self) -> int:
        return sum(run.n_samples for run in self.runs)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels, where samples are stored uncompressed; else 1."""
        return WIDTHS.get(self.codec, 0) * self.n_channels or 1

    @property
    def can_seek(self) -> bool:
        """Whether libsndfile seeks to any sample exactly.

        It doesn't in Vorbis (up to 256 samples late in the last page), in MP3 (the bits that
        frames borrow from those before are missing), in Opus, and in GSM not at all.
        """
        bare = self.container in _EXACT and self.codec in WIDTHS
        return (bare or self.container == "FLAC") and not self.is_counted

    @property
    def block(self) -> int:
        """Samples by which other programs may overestimate its length."""
        return 320 if self.codec == "GSM610" else 1

    @property
    def slack(self) -> int:
        """Samples that may be missing at the end: MPEG frames have no exact length."""
        return 1152 if self.codec.startswith("MPEG") else 0


class File:
    """Random access to a file's bytes; each access has a bounded size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = path.open("rb", buffering=0)
        self.size = os.fstat(self._handle.fileno()).st_size

    def __enter__(self) -> File:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.close()

    def at(self, offset: int, n: int) -> bytes:
        """Up to `n` bytes from `offset` on; fewer at the end of the file."""
        if not 0 <= offset < self.size:
            return b""
        self._handle.seek(offset)
        return self._handle.read(n)

    def number(self, offset: int, n: int, byteorder: str, *, signed: bool = False) -> int:
        """The integer of `n` bytes at `offset`; 0 where the file has ended."""
        data = self.at(offset, n)
        if len(data) < n:
            return 0
        return int.from_bytes(data, "little" if byteorder == "<" else "big", signed=signed)

    def blocks(self, start: int, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) from `start` to `stop`, a mebibyte at a time."""
        stop = self.size if stop is None else min(stop, self.size)
        while start < stop and (data := self.at(start, min(_SCANNED, stop - start))):
            yield start, data
            start += len(data)

    def find(self, pattern: bytes, start: int) -> int:
        """Where `pattern` next begins, or -1."""
        kept = b""
        for offset, data in self.blocks(start):
            joined = kept + data
            if (place := joined.find(pattern)) >= 0:
                return offset - len(kept) + place
            kept = joined[-len(pattern) + 1 :]
        return -1

    def is_zero(self, start: int, stop: int) -> bool:
        """Whether there are only zero bytes in between."""
        return not any(data.strip(b"\0") for _, data in self.blocks(start, stop))

    def refused(self, found: str, cause: str = CUT_SHORT, remedy: str = REPAIR) -> InputError:
        return unreadable(self.path, found, cause, remedy)


Begins = Callable[[File, int], bool]
"""Whether another container begins at an offset."""


_ID3V2 = (b"ID3\2", b"ID3\3", b"ID3\4")
"""With the version: a chunk of AIFF or WAV is called "ID3 "."""
_MOST_TAGS = 1000


def id3v2_size(head: bytes) -> int:
    """Bytes of the ID3v2 tag that begins with these ten; 0 if there is none."""
    if len(head) < 10 or head[:4] not in _ID3V2 or max(head[6:10]) >= 0x80:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return size + (20 if head[5] & 0x10 else 10)


def behind_tags(file: File, at: int) -> int:
    """Where the ID3v2 tags at an offset end; the offset itself if there are none."""
    for _ in range(_MOST_TAGS):
        if not (size := id3v2_size(file.at(at, 10))):
            break
        at += size
    return at


_WRAP = 1 << 32
_NEAR = 1 << 13
_SOX_AIFF = 0x7F000000
_PADDING = 1 << 16
"""Recorders fill the last sector or cluster of a card with zeros."""
Follows = Callable[[int], "int | None"]
"""Offset after the sound → where the container ends; None where more sound follows."""


class Extent(NamedTuple):
    """The bytes of sound that a container has."""

    stop: int
    end: int
    """Where the container ends: the file's size, unless another follows."""
    note: str = ""
    is_right: bool = True
    """Whether the header agrees."""


def is_open(size: int) -> bool:
    """Whether a 32-bit size only means "to the end", as programs write it to a pipe.

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
        follows: recognises what may come after the sound.
        begins: recognises the next container where the size is open.
        magic: the container's first bytes.
        unit: bytes of a frame or block; an incomplete one at the end isn't sound.
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
    """Where another container of the same kind was joined, or the end of the file."""
    while (start := file.find(magic, start)) >= 0:
        if begins(file, start):
            return start
        start += 1
    return file.size


def nothing_follows(file: File, offset: int) -> int | None:
    """The file's size if only padding or tags follow, else None; for formats without chunks."""
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
