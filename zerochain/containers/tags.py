"""ID3v2 tags: titles and pictures in front of a recording or behind it."""

from __future__ import annotations

from zerochain.containers.source import File

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
    """Where what follows the ID3v2 tags at an offset begins; the offset if there are none."""
    for _ in range(_MOST_TAGS):
        if not (size := id3v2_size(file.at(at, 10))):
            break
        at += size
    return at
