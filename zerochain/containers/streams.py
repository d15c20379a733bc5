"""Containers that are streams of frames or pages: FLAC, Ogg."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from zerochain.containers.source import CUT_SHORT, File, Found, Piece

Begins = Callable[[File, int], bool]
_STREAMINFO = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
_MOST_BLOCKS = 10_000
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
    following = [p for pattern in _STREAMINFO if (p := file.find(pattern, place)) >= 0]
    stop = min(following, default=file.size)
    if n > 0 and n * channels > 0 and stop - place < n // 65535 * 10:
        raise file.refused(f"cut short: it promises {n} samples, {stop - place} bytes are there")
    # A length of 0 is one that was never known: it was written to a pipe.
    return Found(Piece(at, stop), stop, rate, channels, n or None, n)


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
    """One link of an Ogg file: all pages up to the next that begins a stream after data."""
    expected: dict[int, int] = {}
    ended: set[int] = set()
    has_data, stop = False, at
    for page in pages(file, at):
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
            "its last Ogg page is not marked as the last: the writer left the mark out, or the "
            "file was cut short just there"
        )
    end = stop if file.at(stop, 4) == b"OggS" or begins(file, stop) else file.size
    return Found(Piece(at, stop), end, note=note)


def pages(file: File, at: int) -> Iterator[Page]:
    """The pages from `at` on, each whole and with the right checksum.

    Raises:
        InputError: a page is cut short or damaged, or bytes lie between pages.
    """
    while at < file.size:
        head = file.at(at, 27 + 255)
        if head[:4] != b"OggS":
            rest = file.size - at
            if (head[:3] == b"TAG" and rest == 128) or file.is_zero(at, file.size):
                return
            if head[:4] != b"OggS"[: len(head)] or rest >= 4:
                if file.find(b"OggS", at) < 0 and rest < 1 << 16:
                    raise _short(file, rest, "its last Ogg page")
                raise file.refused(f"no Ogg page begins at byte {at:,}", "damaged")
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
                "damaged; decoders would leave the page out",
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


def _short(file: File, rest: int, what: str) -> Exception:
    return file.refused(f"{what} is followed by {rest} bytes that are no page", "damaged")


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's with the bits of each byte the other way round and no inversion."""
    value = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(value.to_bytes(4, "little").translate(_BITS_REVERSED), "big")
