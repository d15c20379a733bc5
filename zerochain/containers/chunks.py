"""Containers made of chunks, each with a name and a size: WAV, RF64, W64, AIFF, SVX, CAF.

A container is walked chunk by chunk up to its sound; `source.extent` then finds how far the sound
really goes, whatever its chunk claims. Layouts differ in the width and byte order of names and
sizes, in alignment, and in whether a size counts its own header.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from zerochain.containers.source import (
    Begins,
    Extent,
    File,
    Found,
    Piece,
    Raw,
    extent,
    is_open,
    nothing_follows,
)
from zerochain.containers.streams import mpeg

_MOST_CHUNKS = 10_000
_KNOWN = set(
    b"list bext id3  cue  fact smpl inst peak ixml junk pad  fllr umid axml disp cart chna levl "
    b"_pmx name auth anno mark comt appl midi info strg uuid free chan afsp minf elm1 regn".split()
) | {b"id3 ", b"cue ", b"pad "}
"""Chunks without sound: a copy that was cut short may have lost part of these."""
_MPEG = {0x50, 0x55}
_PCM, _FLOAT, _ALAW, _ULAW, _GSM, _EXTENSIBLE = 1, 3, 6, 7, 0x31, 0xFFFE
_W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_RIFF_TAIL = bytes.fromhex("912ecf11a5d628db04c10000")
_AIFC = {
    b"NONE": ">", b"twos": ">", b"in24": ">", b"in32": ">",
    b"sowt": "<", b"23ni": "<", b"42ni": "<",
}  # fmt: skip
_AIFC_FLOAT = {b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8}
_LAW = {b"ulaw": "ULAW", b"ULAW": "ULAW", b"alaw": "ALAW", b"ALAW": "ALAW"}


class Layout(NamedTuple):
    """How the chunks of a container are written."""

    name_bytes: int
    size_bytes: int
    order: str
    alignment: int
    counts_header: bool = False


class Chunk(NamedTuple):
    """A chunk's name, where its content begins, and how long it says it is."""

    name: bytes
    start: int
    size: int


RIFF, RIFX = Layout(4, 4, "<", 2), Layout(4, 4, ">", 2)
W64 = Layout(16, 8, "<", 8, counts_header=True)
CAF = Layout(4, 8, ">", 1)


def chunks(file: File, layout: Layout, offset: int, base: int = 0) -> Iterator[Chunk]:
    """The chunks from `offset` on, until one exceeds the end of the file.

    Args:
        base: the beginning of the container, for chunks that are aligned to it.
    """
    header = layout.name_bytes + layout.size_bytes
    for _ in range(_MOST_CHUNKS):
        data = file.at(offset, header)
        if len(data) < header:
            return
        size = int.from_bytes(
            data[layout.name_bytes :],
            "little" if layout.order == "<" else "big",
            signed=layout is CAF,
        )
        size -= header if layout.counts_header else 0
        yield Chunk(data[: layout.name_bytes], offset + header, size)
        if size < 0:
            return
        offset = _behind(file, layout, offset + header + size, size, base)


def after(file: File, layout: Layout, offset: int, begins: Begins, base: int) -> int | None:
    """Where a container ends whose sound ends at `offset`; None if more sound follows.

    Chunks may follow, one after the other; a writer may have left out the padding byte before them.
    Then comes the end of the file, zeros up to it, or another container.
    """
    places = {offset, offset + -(offset - base) % layout.alignment}
    for place in sorted(places, reverse=True):
        if (end := _end_of_chunks(file, layout, place, begins, base)) is not None:
            return end
    return None


def _end_of_chunks(file: File, layout: Layout, place: int, begins: Begins, base: int) -> int | None:
    for _ in range(_MOST_CHUNKS):
        if (end := nothing_follows(file, place)) is not None:
            return end
        if begins(file, place):
            return place
        chunk = next(chunks(file, layout, place), None)
        if chunk is None or chunk.size < 0 or not _is_named(chunk.name):
            return None
        if chunk.name[:4] == b"data" and chunk.size > 0:
            return place  # not a container, so the caller refuses it by name
        stop = chunk.start + chunk.size
        if stop > file.size:
            return file.size if chunk.name[:4].lower() in _KNOWN else None
        place = _behind(file, layout, stop, chunk.size, base)
    return None


def _behind(file: File, layout: Layout, stop: int, size: int, base: int) -> int:
    """Where the next chunk begins after one of this size; some writers omit the padding."""
    pad = -(stop - base) % layout.alignment if layout is W64 else size % layout.alignment
    name = file.at(stop, layout.name_bytes)
    return stop if pad and len(name) == layout.name_bytes and _is_named(name) else stop + pad


def _is_named(name: bytes) -> bool:
    if len(name) == 16 and name[4:] not in (_W64_TAIL, _RIFF_TAIL):
        return False
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name[:4])


def wav(file: File, at: int, begins: Begins) -> Found:
    """RIFF or RIFX WAVE, or RF64/BW64, at an offset."""
    magic = file.at(at, 4)
    layout = RIFX if magic == b"RIFX" else RIFF
    long_size: int | None = None
    form = b""
    for chunk in chunks(file, layout, at + 12):
        if chunk.name == b"ds64":
            long_size = file.number(chunk.start + 8, 8, "<")
        elif chunk.name == b"fmt ":
            form = file.at(chunk.start, min(chunk.size, 1 << 12))
        elif chunk.name == b"data":
            size = chunk.size
            wraps = not (magic in (b"RF64", b"BW64") and size == 0xFFFFFFFF and long_size)
            promised = size if wraps else long_size
            return _riff_sound(file, at, chunk.start, promised, form, layout, begins, wraps=wraps)
    raise _no_sound(file, "data")


def w64(file: File, at: int, begins: Begins) -> Found:
    """Sony Wave64 at an offset."""
    form = b""
    for chunk in chunks(file, W64, at + 40, at):
        if chunk.name[:4] == b"fmt ":
            form = file.at(chunk.start, min(chunk.size, 1 << 12))
        elif chunk.name[:4] == b"data":
            promised = chunk.size if 0 < chunk.size < 1 << 62 else None
            return _riff_sound(file, at, chunk.start, promised, form, W64, begins, wraps=False)
    raise _no_sound(file, "data")


def _riff_sound(
    file: File,
    at: int,
    start: int,
    promised: int | None,
    form: bytes,
    layout: Layout,
    begins: Begins,
    *,
    wraps: bool,
) -> Found:
    if len(form) < 16:
        raise file.refused("its 'fmt ' chunk is missing or too short", "another format, or damaged")
    tag, channels, rate, _, block, bits = struct.unpack(layout.order + "HHIIHH", form[:16])
    if tag == _EXTENSIBLE and len(form) >= 26:
        (tag,) = struct.unpack(layout.order + "H", form[24:26])
    raw = _riff_raw(tag, channels, block, bits, layout.order)
    if raw and tag == _PCM and raw.n_bytes * 8 >= bits + 16:
        raise file.refused(
            f"its header says {bits} bits, but {raw.n_bytes} bytes for each sample",
            "a program changed the number of channels or the width, and not the rest of the header",
            "write it again: 'sox OLD NEW.flac', and compare the lengths",
        )
    unit = raw.n_bytes * channels if raw else max(block, 1)
    follows = _follows(file, layout, begins, at)
    if layout is RIFF and promised is not None and _counts_header(file, at, start, promised):
        promised = None
    sound = extent(
        file, start, promised, follows, begins, magic=file.at(at, 4), unit=unit, wraps=wraps
    )
    if tag in _MPEG:
        return _mpeg_inside(file, start, sound, begins)
    if raw:
        return _pcm(at, start, sound, raw, rate, channels)
    at_most = None
    if tag == _GSM:  # libsndfile would decode a padding byte to a block of noise
        at_most = (sound.stop - start) // 65 * 320
    if sound.is_right:
        piece = Piece(at, sound.stop if layout is W64 else sound.end)
        return Found(piece, sound.end, rate, channels, note=sound.note, at_most=at_most)
    size = sound.stop - start
    if size + len(form) + 28 >= 1 << 32 or layout is RIFX:
        raise file.refused(
            f"the header promises {promised} bytes of sound, the file has {size}",
            "the header was never finished, or its size wrapped at 4 GiB",
            "write it again: 'ffmpeg -ignore_length 1 -i OLD NEW.flac'",
        )
    return Found(
        Piece(start, sound.stop, prefix=_riff_header(form, size)),
        sound.end, rate, channels, note=sound.note, at_most=at_most,
    )  # fmt: skip


def _counts_header(file: File, at: int, start: int, promised: int) -> bool:
    """Whether the sound's size is that of the whole file, and the file is complete."""
    whole = file.number(at + 4, 4, "<") + 8
    return whole == file.size - at and 0 < promised - (file.size - start) <= start - at


def _mpeg_inside(file: File, start: int, sound: Extent, begins: Begins) -> Found:
    inner = mpeg(file, start, begins, sound.stop)
    if inner.stop < sound.stop:
        raise file.refused(
            f"a second stream of MPEG frames begins at byte {inner.stop:,}",
            "two recordings were joined",
            "write it again: 'ffmpeg -i OLD NEW.flac', and compare the lengths",
        )
    return replace(inner, stop=sound.end, note="; ".join(filter(None, (sound.note, inner.note))))


def _riff_header(form: bytes, size: int) -> bytes:
    """A WAV header, for sound whose own header gives a wrong size."""
    form += b"\0" * (len(form) % 2)
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", len(head) + size) + head


def _riff_raw(tag: int, channels: int, block: int, bits: int, order: str) -> Raw | None:
    endian = "LITTLE" if order == "<" else "BIG"
    width = block // channels if channels and block % channels == 0 else 0
    if tag == _PCM and 1 <= bits <= 32:
        width = width if width * 8 >= bits and width <= 4 else -(-bits // 8)
        return Raw("PCM_U8" if width == 1 else f"PCM_{8 * width}", endian, width)
    if tag == _FLOAT and bits in (32, 64):
        return Raw("FLOAT" if bits == 32 else "DOUBLE", endian, bits // 8)
    if tag in (_ALAW, _ULAW):
        return Raw("ALAW" if tag == _ALAW else "ULAW", endian, 1)
    return None


def aiff(file: File, at: int, begins: Begins) -> Found:
    """AIFF or AIFC at an offset."""
    compressed = file.at(at + 8, 4) == b"AIFC"
    common, sound_chunk = b"", None
    for chunk in chunks(file, RIFX, at + 12):
        if chunk.name == b"COMM":
            common = file.at(chunk.start, min(chunk.size, 22))
        elif chunk.name == b"SSND":
            sound_chunk = chunk
        if common and sound_chunk:
            break
    if sound_chunk is None or len(common) < 18:
        raise _no_sound(file, "COMM" if sound_chunk else "SSND")
    channels, n_frames, bits = struct.unpack(">HIH", common[:8])
    rate = _extended(common[8:18])
    raw = _aiff_raw(common[18:22] if compressed else b"NONE", bits)
    skipped = file.number(sound_chunk.start, 4, ">")
    start = sound_chunk.start + 8 + (skipped if skipped < sound_chunk.size else 0)
    promised = max(sound_chunk.size - (start - sound_chunk.start), 0)
    unit = raw.n_bytes * channels if raw else 1
    is_unknown = sound_chunk.size == 0 or is_open(sound_chunk.size)
    if raw and n_frames * unit > promised and not is_unknown:
        raise file.refused(
            f"cut short: the header promises {n_frames:,} samples, the sound has "
            f"{promised // unit:,}"
        )
    follows = _follows(file, RIFX, begins, at)
    sound = extent(file, start, promised, follows, begins, magic=b"FORM", unit=unit)
    if raw:
        found = _pcm(at, start, sound, raw, rate, channels)
        if sound.is_right and 0 <= n_frames < (found.n_samples or 0) - 1:
            note = (
                f"the header promises {n_frames:,} samples, and all {found.n_samples:,} were read"
            )
            return replace(found, note=note, piece=found.fallback or found.piece, fallback=None)
        return found
    if sound.note:
        raise _inseparable(file, start, promised)
    return Found(Piece(at, sound.end), sound.end, rate, channels)


def _aiff_raw(kind: bytes, bits: int) -> Raw | None:
    width = -(-bits // 8)
    if kind == b"raw " and width == 1:
        return Raw("PCM_U8", "BIG", 1)
    if kind in _AIFC and 1 <= width <= 4:
        endian = "LITTLE" if _AIFC[kind] == "<" else "BIG"
        return Raw("PCM_S8" if width == 1 else f"PCM_{8 * width}", endian, width)
    if kind in _AIFC_FLOAT:
        return Raw("FLOAT" if _AIFC_FLOAT[kind] == 4 else "DOUBLE", "BIG", _AIFC_FLOAT[kind])
    return Raw(_LAW[kind], "BIG", 1) if kind in _LAW else None


def _extended(data: bytes) -> float:
    """An 80-bit IEEE 754 number, as AIFF writes its sample rate; NaN if invalid."""
    head, mantissa = struct.unpack(">HQ", data)
    exponent = (head & 0x7FFF) - 16383 - 63
    if not -200 < exponent < 200:
        return 0.0 if mantissa == 0 else float("nan")
    return math.ldexp(mantissa, exponent) * (-1 if head & 0x8000 else 1)


def svx(file: File, at: int, begins: Begins) -> Found:
    """Amiga 8SVX or 16SV at an offset."""
    width = 2 if file.at(at + 8, 4) == b"16SV" else 1
    rate = 0
    for chunk in chunks(file, RIFX, at + 12):
        if chunk.name == b"VHDR":
            rate = file.number(chunk.start + 12, 2, ">")
        elif chunk.name == b"BODY":
            follows = _follows(file, RIFX, begins, at)
            sound = extent(
                file, chunk.start, chunk.size, follows, begins, magic=b"FORM", unit=width
            )
            raw = Raw("PCM_S8" if width == 1 else "PCM_16", "BIG", width)
            return _pcm(at, chunk.start, sound, raw, rate, 1)
    raise _no_sound(file, "BODY")


def caf(file: File, at: int, begins: Begins) -> Found:
    """Apple's Core Audio Format at an offset."""
    rate, kind, flags, packet, channels, bits = 0.0, b"", 0, 0, 0, 0
    for chunk in chunks(file, CAF, at + 8):
        if chunk.name == b"desc" and chunk.size >= 32:
            values = struct.unpack(">d4sIIIII", file.at(chunk.start, 32).ljust(32, b"\0"))
            rate, kind, flags, packet, _, channels, bits = values
        elif chunk.name == b"data":
            start = chunk.start + 4  # after the count of edits
            promised = None if chunk.size < 4 else chunk.size - 4
            raw = _caf_raw(kind, flags, bits, packet // channels if channels else 0)
            unit = raw.n_bytes * channels if raw else 1
            follows = _follows(file, CAF, begins, at)
            sound = extent(
                file, start, promised, follows, begins, magic=file.at(at, 8), unit=unit, wraps=False
            )
            if raw:
                return _pcm(at, start, sound, raw, rate, channels)
            if sound.note:
                raise _inseparable(file, start, promised)
            return Found(Piece(at, sound.end), sound.end, rate, channels)
    raise _no_sound(file, "data")


def _caf_raw(kind: bytes, flags: int, bits: int, width: int) -> Raw | None:
    endian = "LITTLE" if flags & 2 else "BIG"
    if kind == b"lpcm" and flags & 1 and bits in (32, 64):
        return Raw("FLOAT" if bits == 32 else "DOUBLE", endian, bits // 8)
    if kind == b"lpcm" and not flags & 1 and 1 <= bits <= 32 and width == -(-bits // 8):
        return Raw("PCM_S8" if width == 1 else f"PCM_{8 * width}", endian, width)
    return Raw(_LAW[kind], "BIG", 1) if kind in _LAW else None


def _pcm(at: int, start: int, sound: Extent, raw: Raw, rate: float, channels: int) -> Found:
    n = (sound.stop - start) // max(raw.n_bytes * channels, 1)
    bare = Piece(start, start + n * raw.n_bytes * channels, raw)
    if not sound.is_right:
        return Found(bare, sound.end, rate, channels, n, note=sound.note)
    return Found(Piece(at, sound.end), sound.end, rate, channels, n, n, fallback=bare)


def _follows(file: File, layout: Layout, begins: Begins, base: int) -> Callable[[int], int | None]:
    return lambda offset: after(file, layout, offset, begins, base)


def _inseparable(file: File, start: int, promised: int | None) -> Exception:
    return file.refused(
        f"the header promises {promised} bytes of sound, the file has {file.size - start}, of a "
        "codec that needs the right size",
        "the header was never finished, or another file was joined to it",
        "write it again: 'ffmpeg -i OLD NEW.flac', and compare the lengths",
    )


def _no_sound(file: File, chunk: str) -> Exception:
    return file.refused(
        f"not a readable sound file (it has no {chunk!r} chunk)", "cut short at its beginning"
    )
