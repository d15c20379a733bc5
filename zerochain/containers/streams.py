"""Containers that are streams of frames or pages: FLAC (RFC 9639), Ogg (RFC 3533), MPEG audio.

A FLAC's header may give a length of 0 or too short a one, so its last frame's own number is read.
Ogg pages carry sequence numbers and checksums, and decoders skip broken pages in silence, so all of
them are checked here.

MP3 and the older MPEG layers are frames one after the other, each with its own header. Nothing
gives the total length except the first frame of most encoders, which holds a table (Xing, Info or
VBRI) with the number of frames instead of sound; decoders trust it. So the frames are walked and
counted here, and compared with the table.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from zerochain.containers.source import (
    CUT_SHORT,
    Begins,
    File,
    Found,
    Piece,
    behind_tags,
    nothing_follows,
)
from zerochain.errors import counted

_STREAMINFO = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
_MOST_BLOCKS = 10_000
_TAIL = 1 << 18
_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
REMUX = "if that is all there is, 'ffmpeg -i OLD -c copy NEW' writes a whole file of it"


def flac(file: File, at: int, begins: Begins) -> Found:
    """Native FLAC at an offset, up to the next one if it was joined."""
    info = file.at(at, 42)
    if info[:8] not in _STREAMINFO or len(info) < 42:
        raise file.refused("not a readable sound file (no STREAMINFO)", "cut short or damaged")
    packed = int.from_bytes(info[18:26], "big")  # rate 20, channels 3, bits 5, samples 36
    rate, channels, n = packed >> 44, (packed >> 41 & 7) + 1, packed & ((1 << 36) - 1)
    place = at + 4
    for _ in range(_MOST_BLOCKS):
        head = file.at(place, 4)
        if len(head) < 4:
            raise file.refused("cut short within its header")
        place += 4 + int.from_bytes(head[1:], "big")
        if head[0] & 0x80:
            break
    stop = _next_stream(file, place)
    if n > 0 and _last_sample(file, place, stop, info) > n:
        # More frames than the header says: the decoder gets a header of unknown length.
        opened = info[:18] + (packed >> 36 << 36).to_bytes(8, "big") + info[26:]
        note = f"the header's length was never finished: it promises {n:,} samples, and more follow"
        return Found(
            Piece(at + 42, stop, prefix=opened), stop, rate, channels, promised=n, note=note
        )
    # A length of 0 means unknown: the file was written to a pipe.
    return Found(Piece(at, stop), stop, rate, channels, n or None, n)


def _next_stream(file: File, place: int) -> int:
    """Where another FLAC was joined to this one, or the end of the file."""
    while (place := file.find(b"fLaC", place)) >= 0:
        if file.at(place, 8) in _STREAMINFO:
            return place
        place += 4
    return file.size


def _last_sample(file: File, start: int, stop: int, info: bytes) -> int:
    """The number of samples by the last frame's own header; 0 where none is found."""
    begin = max(start, stop - _TAIL)
    tail = file.at(begin, stop - begin)
    at = len(tail)
    while (at := max(tail.rfind(b"\xff\xf8", 0, at), tail.rfind(b"\xff\xf9", 0, at))) >= 0:
        if (last := _frame_end(tail[at : at + 16], int.from_bytes(info[8:10], "big"))) is not None:
            return last
    return 0


def _frame_end(head: bytes, fixed_size: int) -> int | None:
    """The first sample after the FLAC frame with this header; None for no frame (RFC 9639, 9.1)."""
    if len(head) < 16 or head[3] & 1 or head[2] >> 4 == 0 or head[2] & 15 == 15:
        return None
    n_more = max(0, 8 - (head[4] ^ 0xFF).bit_length() - 1)
    number = head[4] & (0x7F >> n_more if n_more else 0x7F)
    for byte in head[5 : 5 + n_more]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 0x3F
    place, size, rate = 5 + n_more, head[2] >> 4, head[2] & 15
    n_size = {6: 1, 7: 2}.get(size, 0)
    explicit = int.from_bytes(head[place : place + n_size], "big") + 1
    place += n_size + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if place >= len(head) or _crc8(head[:place]) != head[place]:
        return None
    coded = (
        192
        if size == 1
        else 576 << (size - 2)
        if size < 6
        else 256 << (size - 8)
        if size > 7
        else 0
    )
    n = explicit if n_size else coded
    return (number if head[1] & 1 else number * fixed_size) + n


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value


class Page(NamedTuple):
    """An Ogg page."""

    start: int
    stop: int
    flags: int
    granule: int
    serial: int
    sequence: int

    @property
    def begins(self) -> bool:
        return bool(self.flags & 2)

    @property
    def ends(self) -> bool:
        return bool(self.flags & 4)


def ogg(file: File, at: int, begins: Begins) -> Found:
    """One link of an Ogg chain: all pages up to the next that begins a stream after data."""
    expected: dict[int, int] = {}
    ended: set[int] = set()
    has_data, stop = False, at
    for page in pages(file, at, begins):
        if page.begins and has_data:
            break
        has_data = has_data or not page.begins
        if page.sequence != expected.get(page.serial, page.sequence):
            raise file.refused(
                f"Ogg pages are missing: page {page.sequence} follows page "
                f"{expected[page.serial] - 1}",
                "damaged, or cut out of a longer one",
                REMUX,
            )
        expected[page.serial] = page.sequence + 1 & 0xFFFFFFFF
        if page.ends:
            ended.add(page.serial)
        stop = page.stop
    note = ""
    if expected.keys() - ended:
        note = (
            "its last Ogg page is not marked as the last: the writer omitted the mark, or the "
            "file was cut short exactly there"
        )
    end = stop if nothing_follows(file, stop) is None else file.size
    return Found(Piece(at, stop), end, note=note)


def pages(file: File, at: int, begins: Begins) -> Iterator[Page]:
    """The pages from `at` on up to another container, each whole and with the right checksum.

    Raises:
        InputError: a page is cut short or damaged, or bytes lie between pages.
    """
    while at < file.size:
        head = file.at(at, 27 + 255)
        if head[:4] != b"OggS" and (begins(file, at) or nothing_follows(file, at) is not None):
            return
        if head[:4] != b"OggS"[: len(head)]:
            raise file.refused(
                f"no Ogg page begins at byte {at:,}: {file.size - at:,} bytes are left",
                "damaged, or another file was joined to it",
            )
        n_segments = head[26] if len(head) > 26 else 0
        length = 27 + n_segments + sum(head[27 : 27 + n_segments])
        data = file.at(at, length)
        if len(data) < max(length, 27):
            raise file.refused(
                f"its last Ogg page promises {max(length, 27)} bytes and has {len(data)}",
                CUT_SHORT,
                REMUX,
            )
        if _checksum(data[:22] + bytes(4) + data[26:]) != int.from_bytes(data[22:26], "little"):
            raise file.refused(
                f"the Ogg page at byte {at:,} has a wrong checksum",
                "damaged; decoders would skip the page",
            )
        yield Page(
            at,
            at + length,
            data[5],
            int.from_bytes(data[6:14], "little", signed=True),
            int.from_bytes(data[14:18], "little"),
            int.from_bytes(data[18:22], "little"),
        )
        at += length


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's with the bits of each byte reversed and without inversion."""
    value = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(value.to_bytes(4, "little").translate(_BITS_REVERSED), "big")


_BLOCK = 1 << 20
_RESYNC = 1 << 16
_LONGEST_TABLE = 200
_TAG = 512
_GAPS = 2 * 4095 + 1152
"""Padding samples that an encoder may add around the sound, and decoders remove."""
_DELAY = 529
"""Samples that mpg123 removes at the beginning of a stream with a table."""
_RATES = (44_100, 48_000, 32_000)
_KBPS = {  # (MPEG-1?, layer) → kbit/s by index
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class Frame(NamedTuple):
    """What an MPEG frame's header says."""

    n_bytes: int
    n_samples: int
    sample_rate: int
    layer: int


@lru_cache(maxsize=4096)
def frame(head: bytes) -> Frame | None:
    """The frame whose header begins with these three bytes, or None if they aren't one."""
    if len(head) < 3 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or rate == 3 or bitrate in (0, 15):
        return None
    hertz = _RATES[rate] >> (0, 0, 1, 0)[version] if version else _RATES[rate] >> 2
    is_first = version == 3
    bits = _KBPS[is_first, layer][bitrate] * 1000
    padding = head[2] >> 1 & 1
    if layer == 1:
        return Frame((12 * bits // hertz + padding) * 4, 384, hertz, layer)
    n = 576 if layer == 3 and not is_first else 1152
    return Frame(n // 8 * bits // hertz + padding, n, hertz, layer)


def mpeg_begins_at(file: File, at: int) -> bool:
    """Whether two MPEG frames of one kind follow each other at an offset."""
    first = frame(file.at(at, 3))
    if first is None:
        return False
    second = file.at(at + first.n_bytes, 3)
    return len(second) < 3 or second[:3] == b"TAG" or _is_alike(first, frame(second))


def mpeg(file: File, at: int, begins: Begins, limit: int | None = None) -> Found:
    """MPEG frames from an offset on, up to `limit` or to what is joined after them.

    Raises:
        InputError: fewer frames than the table promises, or the last is cut short.
    """
    stop = file.size if limit is None else limit
    place = behind_tags(file, at)
    head = frame(file.at(place, 3))
    if head is None:
        place = _resynced(file, place, stop, None)
        head = frame(file.at(place, 3)) if place >= 0 else None
        if head is None:
            raise file.refused("not a readable sound file (no MPEG frame)", "damaged, or no MP3")
    table = file.at(place, min(head.n_bytes, _LONGEST_TABLE))
    promised = _promised(table)
    first = place + (head.n_bytes if promised is not None else 0)
    walk = _Walk(file, first, stop, head, begins)
    n, boundary = 0, None
    for begin, _ in walk:
        if promised is not None and n == promised:
            boundary = begin
        n += 1
    if promised is not None and n < promised - 1:
        raise file.refused(
            f"cut short: its table of contents promises {promised} MPEG frames, {n} are there",
            remedy=REMUX,
        )
    note, end = walk.note, walk.stop
    if promised and boundary is not None and n > promised + 1:
        n, end = promised, boundary
        note = f"its table of contents promises {promised} MPEG frames; more follow and were read"
    if end == boundary:
        stop = end
    elif walk.joined_at is not None:
        stop = walk.joined_at
    n_samples = n * head.n_samples
    if promised:
        least = max(0, n_samples - _GAPS)
        return Found(Piece(at, end), stop, head.sample_rate, promised=least, note=note)
    counted = Piece(first, end, prefix=_table(table[:4], n, end - first), lead=_DELAY)
    return Found(
        Piece(at, end),
        stop,
        head.sample_rate,
        n_samples=n_samples,
        promised=n_samples - 2 * head.n_samples,
        note=note,
        fallback=counted if counted.prefix and head.layer == 3 else None,
    )


def _table(head: bytes, n_frames: int, n_bytes: int) -> bytes:
    """A frame with the number of frames that follow, which libsndfile needs.

    Without such a table it guesses the length from the first frame and reads no further: half of an
    MP3 with variable bit rate may be lost.
    """
    is_mono, is_first = head[3] >> 6 == 3, head[1] >> 3 & 3 == 3
    side = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    for index in range(1, 15):
        made = bytes((0xFF, head[1] | 1, index << 4 | head[2] & 0x0C, head[3]))
        found = frame(made[:3])
        if found is not None and found.n_bytes >= 4 + side + 16:
            counts = n_frames.to_bytes(4, "big") + (n_bytes + found.n_bytes).to_bytes(4, "big")
            return (made + bytes(side) + b"Xing\0\0\0\3" + counts).ljust(found.n_bytes, b"\0")
    return b""


class _Walk:
    """The frames of one stream, and how it ended."""

    def __init__(self, file: File, start: int, stop: int, head: Frame, begins: Begins) -> None:
        self._file, self._start, self._limit = file, start, stop
        self._head, self._begins = head, begins
        self.stop, self.note = start, ""
        self.joined_at: int | None = None

    def __iter__(self) -> Iterator[tuple[int, Frame]]:
        place, data, base, first = self._start, b"", 0, True
        while place < self._limit:
            if place + 4 > base + len(data):
                base, data = place, self._file.at(place, min(_BLOCK, self._limit - place))
            found = frame(data[place - base : place - base + 3])
            if found is None or not _is_alike(self._head, found):
                after = self._after(place)
                if after is None:
                    return
                place = after
                continue
            if not first and self._has_table(place, found):
                self.joined_at = place
                return
            if place + found.n_bytes > self._limit:
                raise self._file.refused(
                    f"cut short: its last MPEG frame promises {found.n_bytes} bytes and has "
                    f"{self._limit - place}",
                    remedy=REMUX,
                )
            yield place, found
            place += found.n_bytes
            self.stop, first = place, False

    def _has_table(self, place: int, found: Frame) -> bool:
        return _promised(self._file.at(place, min(found.n_bytes, _LONGEST_TABLE))) is not None

    def _after(self, place: int) -> int | None:
        """Where frames continue after something else; None where the stream ends."""
        file = self._file
        head = file.at(place, 32)
        behind = self._behind_tag(place, head)
        if behind > place:
            return behind
        if head[:3] == b"ID3" or (mpeg_begins_at(file, place) and not self._alike_at(place)):
            self.joined_at = place
            return None
        if self._begins(file, place):
            self.joined_at = place
            return None
        further = _resynced(file, place, self._limit, self._head)
        if further >= 0:
            if not file.is_zero(place, further):
                self.note = f"no MPEG frame in {counted(further - place, 'byte')} at byte {place:,}"
            return further
        rest = self._limit - place
        if rest > _TAG and head[:11] != b"LYRICSBEGIN" and not file.is_zero(place, self._limit):
            found = f"no MPEG frame in the last {counted(rest, 'byte')}, from byte {place:,} on"
            if rest > _RESYNC:
                raise file.refused(found, "damaged, or another file was joined to it")
            self.note = found
        return None

    def _behind_tag(self, place: int, head: bytes) -> int:
        """Where a tag ends that belongs to the frames before it; `place` where there is none."""
        if head[:8] == b"APETAGEX" and len(head) == 32:
            size = int.from_bytes(head[12:16], "little")
            return place + size + (32 if head[23] & 0x80 or head[8:12] == b"\xd0\x07\0\0" else 0)
        if head[:3] == b"TAG":
            return place + (227 if head[3:4] == b"+" else 128)
        # ID3v2 belongs to what is behind it, unless nothing is
        behind = behind_tags(self._file, place)
        is_last = behind == self._limit or self._file.at(behind, 3) == b"TAG"
        return behind if is_last else place

    def _alike_at(self, place: int) -> bool:
        return _is_alike(self._head, frame(self._file.at(place, 3)))


def _is_alike(one: Frame, other: Frame | None) -> bool:
    return other is not None and one.layer == other.layer and one.sample_rate == other.sample_rate


def _resynced(file: File, place: int, limit: int, like: Frame | None) -> int:
    """Where the next two frames begin within 64 KiB (anywhere after zeros), or -1."""
    for offset, data in file.blocks(place, limit):
        if zeros := len(data) - len(data.lstrip(b"\0")):
            place = offset + zeros
        if zeros < len(data):
            break
    data = file.at(place, min(_RESYNC, limit - place))
    at = data.find(b"\xff")
    while at >= 0:
        found = frame(data[at : at + 3])
        if found is not None and (like is None or _is_alike(like, found)):
            after = file.at(place + at + found.n_bytes, 3)
            if len(after) == 3 and _is_alike(found, frame(after)):
                return place + at
        at = data.find(b"\xff", at + 1)
    return -1


def _promised(table: bytes) -> int | None:
    """How many frames the table in a first frame promises; None if there is no table.

    0 is a table without the number.
    """
    for place in (36, 21, 13):
        if table[place : place + 4] in (b"Xing", b"Info"):
            has_frames = len(table) >= place + 12 and table[place + 7] & 1
            return int.from_bytes(table[place + 8 : place + 12], "big") if has_frames else 0
    if table[36:40] == b"VBRI":
        return int.from_bytes(table[50:54], "big")
    return None
