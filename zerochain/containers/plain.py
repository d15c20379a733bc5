"""Containers with one header before the samples: AU, NIST SPHERE and rarer ones.

Rarer formats are left to libsndfile, and only the size that their header promises is compared with
the file (`check_rarer`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from zerochain.containers.source import Begins, File, Found, Piece, Raw, extent, nothing_follows

_AU = {1: ("ULAW", 1), 2: ("PCM_S8", 1), 3: ("PCM_16", 2), 4: ("PCM_24", 3), 5: ("PCM_32", 4),
       6: ("FLOAT", 4), 7: ("DOUBLE", 8), 27: ("ALAW", 1)}  # fmt: skip
_SPHERE_FIELD = re.compile(rb"^(\w+) -(i|r|s\d+) (.*)$", re.MULTILINE)
_LONGEST_HEADER = 1 << 16
_LAST_VOC_BLOCK, _VOC_SOUND, _VOC_HEADER = 9, (1, 2, 3, 9), 16


def au(file: File, at: int, begins: Begins) -> Found:
    """Sun/NeXT .au or .snd at an offset."""
    order = ">" if file.at(at, 4) == b".snd" else "<"
    head = file.at(at + 4, 20)
    if len(head) < 20:
        raise file.refused("not a readable sound file (its header is cut short)")
    offset, size, encoding, rate, channels = struct.unpack(order + "5I", head)
    start = at + offset
    raw = None
    if encoding in _AU:
        raw = Raw(_AU[encoding][0], "BIG" if order == ">" else "LITTLE", _AU[encoding][1])
    unit = raw.n_bytes * channels if raw else 1
    return _sound(file, at, start, size, raw, unit, rate, channels, begins)


def sphere(file: File, at: int, begins: Begins) -> Found:
    """NIST SPHERE, as LDC and TIMIT publish it, at an offset."""
    size_line = file.at(at + 8, 8).strip()
    n_header = int(size_line) if size_line.isdigit() else 1024
    if not 16 <= n_header <= _LONGEST_HEADER:
        raise file.refused(f"its SPHERE header claims {n_header} bytes", "damaged")
    head = file.at(at, n_header)
    fields = {name: value.strip() for name, _, value in _SPHERE_FIELD.findall(head)}
    coding = fields.get(b"sample_coding", b"pcm").decode("latin-1")
    if "," in coding or coding.lower() not in ("pcm", "ulaw", "mu-law", "alaw"):
        raise file.refused(
            f"a SPHERE file with sample_coding {coding!r}, which isn't decoded here",
            "LDC's older releases are compressed with Shorten",
            "convert it with LDC's sph2pipe: 'sph2pipe -f wav OLD NEW.wav'",
        )
    rate, channels, width = (
        _integer(fields.get(name), default)
        for name, default in (
            (b"sample_rate", 0),
            (b"channel_count", 1),
            (b"sample_n_bytes", 2 if coding == "pcm" else 1),
        )
    )
    order = "LITTLE" if fields.get(b"sample_byte_format") == b"01" else "BIG"
    kind = {"pcm": "PCM_S8" if width == 1 else f"PCM_{8 * width}", "alaw": "ALAW"}
    raw = None
    if 1 <= width <= 4 and channels > 0:
        raw = Raw(kind.get(coding.lower(), "ULAW"), order, width)
    unit = max(width * channels, 1)
    count = fields.get(b"sample_count")
    promised = _integer(count, 0) * unit if count is not None else None
    return _sound(file, at, at + n_header, promised, raw, unit, rate, channels, begins)


def _integer(value: bytes | None, default: int) -> int:
    try:
        return int(value) if value is not None else default
    except ValueError:
        return 0


def _sound(
    file: File,
    at: int,
    start: int,
    promised: int | None,
    raw: Raw | None,
    unit: int,
    rate: float,
    channels: int,
    begins: Begins,
) -> Found:
    def follows(offset: int) -> int | None:
        end = nothing_follows(file, offset)
        return offset if end is None and begins(file, offset) else end

    magic = file.at(at, 8)  # bytes 4 to 8 of an AU give where its sound begins
    sound = extent(file, start, promised, follows, begins, magic=magic, unit=max(unit, 1))
    if raw is None or channels == 0:
        return Found(Piece(at, sound.stop), sound.end, rate, channels, note=sound.note)
    n = (sound.stop - start) // unit
    bare = Piece(start, start + n * unit, raw)
    if not sound.is_right:
        return Found(bare, sound.end, rate, channels, n, note=sound.note)
    return Found(Piece(at, sound.end), sound.end, rate, channels, n, n, fallback=bare)


def check_rarer(file: File, container: str, n_samples: int, frame_bytes: int) -> None:
    """Compare what a rarer format's header promises with the size of the file.

    IRCAM, PAF and PVF promise nothing: their sound goes to the end of the file. libsndfile
    writes 0 as XI's length.

    Args:
        container: as libsndfile names it.
        frame_bytes: of one sample of all channels.

    Raises:
        InputError: less or more is there.
    """
    if container not in _RARER:
        return
    start, promised = _RARER[container](file, n_samples)
    held = file.size - start
    if promised > held:
        raise file.refused(
            f"cut short: the header promises {promised} bytes of sound, the file has {max(held, 0)}"
        )
    if held - promised >= frame_bytes and nothing_follows(file, start + promised) is None:
        raise file.refused(
            f"the header promises {promised} bytes of sound, and {held - promised} more follow",
            "the header was never finished, or another file was joined to it",
            "write it again with sox, and compare the lengths",
        )


def _avr(file: File, _: int) -> tuple[int, int]:
    channels = 2 if file.number(12, 2, ">") else 1
    return 128, file.number(26, 4, ">") * channels * -(-file.number(14, 2, ">") // 8)


def _htk(file: File, _: int) -> tuple[int, int]:
    if file.number(4, 4, ">") == 0:
        raise file.refused("a sample period of 0", "damaged, or no HTK file")
    return 12, file.number(0, 4, ">") * file.number(8, 2, ">")


def _mpc2k(file: File, _: int) -> tuple[int, int]:
    return 42, file.number(30, 4, "<") * 2 * (2 if file.at(21, 1) == b"\x01" else 1)


def _sds(file: File, n_samples: int) -> tuple[int, int]:
    bits = file.number(6, 1, ">")
    a_block = 60 if bits < 15 else 40 if bits < 22 else 30
    return 21, 127 * -(-n_samples // a_block)


def _mat4(file: File, _: int) -> tuple[int, int]:
    """Two matrices: the sample rate, then the sound."""
    order = "<" if file.number(0, 4, "<") < 1000 else ">"
    start = 20 + file.number(16, 4, order) + 8
    kind, rows, columns = (file.number(start + 4 * i, 4, order) for i in range(3))
    width = (8, 4, 4, 2, 2, 1, 1, 1, 1, 1)[kind // 10 % 10]
    return start + 20 + file.number(start + 16, 4, order), rows * columns * width


def _mat5(file: File, _: int) -> tuple[int, int]:
    """Two elements: the sample rate, then the sound, behind its flags, dimensions and name."""
    order = "<" if file.at(126, 2) == b"IM" else ">"
    place = 128 + 8 + file.number(132, 4, order) + 8
    for _ in range(3):
        kind, size = file.number(place, 4, order), file.number(place + 4, 4, order)
        place += 8 if kind >> 16 else 8 + -(-size // 8) * 8
    return place + 8, file.number(place + 4, 4, order)


def _voc(file: File, _: int) -> tuple[int, int]:
    """The block of sound and those after it, up to the terminator, which may be missing.

    libsndfile takes everything after the first block's header for sound.
    """
    start = place = file.number(20, 2, "<")
    n_sounds = 0
    while len(head := file.at(place, 4)) == 4 and 0 < head[0] <= _LAST_VOC_BLOCK:
        behind = place + 4 + int.from_bytes(head[1:], "little")
        n_sounds += head[0] in _VOC_SOUND
        if n_sounds > 1:
            raise file.refused(
                "its sound is in several blocks, which libsndfile can't tell apart",
                "written by a program that records block by block",
                "convert it: 'sox OLD NEW.flac'",
            )
        if head[0] in _VOC_SOUND and 0 <= file.size - behind <= _VOC_HEADER:
            return start, file.size - start  # sox counts 8 bytes too few
        place = behind
    return start, max(place - start, 0) + (file.at(place, 1) == b"\0")


_RARER: dict[str, Callable[[File, int], tuple[int, int]]] = {
    "AVR": _avr,
    "HTK": _htk,
    "MAT4": _mat4,
    "MAT5": _mat5,
    "MPC2K": _mpc2k,
    "SDS": _sds,
    "VOC": _voc,
    "WVE": lambda file, _: (32, file.number(18, 4, ">")),
}
"""libsndfile's name of a container → where its sound begins, and how many bytes are promised."""
