"""Containers that are streams of frames or pages: FLAC (RFC 9639) and Ogg (RFC 3533).

A FLAC's header may give a length of 0 or too short a one, so its last frame's own number is read.
Ogg pages carry sequence numbers and checksums, and decoders skip broken pages in silence, so all of
them are checked here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from zerochain.containers.source import CUT_SHORT, Begins, File, Found, Piece, nothing_follows

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
