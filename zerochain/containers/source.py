"""A sound file's bytes, and the runs of them that libsndfile is given to decode."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from zerochain.errors import InputError

_SCANNED = 1 << 20
REPAIR = "fix or remove it (imports take --skip-bad)"
CONVERT = "if it plays, convert it: 'ffmpeg -i OLD NEW.flac'"
CUT_SHORT = "the file was cut short while it was copied"


def unreadable(path: Path, found: str, cause: str, remedy: str = REPAIR) -> InputError:
    """The refusal of a sound file."""
    return InputError(found, path=path, cause=cause, remedy=remedy)


class Raw(NamedTuple):
    """How bare samples are stored, as libsndfile names it."""

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
    """Where the bytes are bare samples; None where libsndfile finds a header in them."""
    prefix: bytes = b""
    """A header made for bytes that lack a right one."""
    lead: int = 0
    """Samples that the decoder takes away at the beginning because of that header."""


@dataclass(frozen=True)
class Found:
    """What one container in a file holds."""

    piece: Piece
    stop: int
    """Where the container ends: the file's size, unless another one follows."""
    sample_rate: float | None = None
    n_channels: int | None = None
    n_samples: int | None = None
    """That the bytes hold, where they tell without being decoded."""
    promised: int = 0
    """The least number of samples that libsndfile has to find."""
    at_most: int | None = None
    """Samples there are, where libsndfile takes padding for more."""
    note: str = ""
    fallback: Piece | None = None
    """The same sound as bare samples, for where libsndfile reads the header otherwise."""


class File:
    """Random access to a file's bytes; each access is of bounded size."""

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
        """Whether nothing but zero bytes lies between."""
        return not any(data.strip(b"\0") for _, data in self.blocks(start, stop))

    def refused(self, found: str, cause: str = CUT_SHORT, remedy: str = REPAIR) -> InputError:
        return unreadable(self.path, found, cause, remedy)


Begins = Callable[[File, int], bool]
"""Whether another container begins at an offset."""
