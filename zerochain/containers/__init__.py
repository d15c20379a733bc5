"""What a sound file really holds, compared with what its header promises.

libsndfile trusts headers. Here a file is recognised by its first bytes, whatever its name, its
container is parsed, and the header's promise is compared with what is there: less is refused as
cut short; more, as from recorders that lost power or headers whose 32 bits overflowed, is read,
with a note; files joined end to end are read one after the other.

`chunks`, `streams` and `plain` parse the families of containers, `source` says which bytes
are sound, and `reader` decodes them.
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from zerochain.containers import chunks, plain, streams
from zerochain.containers.reader import Reader
from zerochain.containers.source import (
    CONVERT,
    CUT_SHORT,
    Begins,
    Contents,
    File,
    Found,
    Piece,
    Run,
    behind_tags,
    unreadable,
)
from zerochain.errors import InputError, counted

__all__ = ["Contents", "Reader", "Run", "examine", "unreadable"]

_Parser = Callable[[File, int, Begins], Found]
_MAGIC: list[tuple[re.Pattern[bytes], _Parser]] = [
    (re.compile(rb"(RIFF|RIFX|RF64|BW64)....WAVE", re.DOTALL), chunks.wav),
    (re.compile(rb"riff.{20}wave", re.DOTALL), chunks.w64),
    (re.compile(rb"FORM....AIF[FC]", re.DOTALL), chunks.aiff),
    (re.compile(rb"FORM....(8SVX|16SV)", re.DOTALL), chunks.svx),
    (re.compile(rb"caff"), chunks.caf),
    (re.compile(rb"\.snd|dns\."), plain.au),
    (re.compile(rb"NIST_1A\n"), plain.sphere),
    (re.compile(rb"fLaC"), streams.flac),
    (re.compile(rb"OggS.{24}", re.DOTALL), streams.ogg),
]
_FOREIGN = [
    ("not a readable sound file but MPEG-4 (.m4a, .mp4, .3gp)", 4, b"ftyp"),
    ("not a readable sound file but AMR", 0, b"#!AMR"),
    ("not a readable sound file but Matroska or WebM", 0, b"\x1a\x45\xdf\xa3"),
    ("not a readable sound file but Windows Media", 0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    ("not a readable sound file but AAC (ADTS)", 0, b"\xff\xf1"),
    ("not a readable sound file but AAC (ADTS)", 0, b"\xff\xf9"),
    ("not a readable sound file but WavPack", 0, b"wvpk"),
    ("not a readable sound file but Monkey's Audio", 0, b"MAC "),
]
_MOST_PER_BYTE = 8192
"""Samples that a byte of a file can stand for: silence in FLAC takes 14 bytes for 65,535."""
_MOST_PIECES = 10_000
_RACY_NS = 2_000_000_000
"""A file that changed less than 2 s ago may change again with the same time stamp."""


def examine(path: Path) -> Contents:
    """What a sound file holds.

    Raises:
        InputError: missing, empty, cut short, damaged, of a format or a rate that isn't read, or
            joined from parts that differ.
    """
    try:
        status = path.stat()
    except PermissionError as error:
        raise _unopened(path, error) from error
    except (OSError, ValueError) as error:
        raise InputError("no such file", path=path, remedy="check the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError("no such file", path=path, remedy="check the path")
    if status.st_size == 0:
        raise unreadable(path, "the file is empty (0 bytes)", "copying it failed")
    if time.time_ns() - status.st_mtime_ns < _RACY_NS:
        return _examined.__wrapped__(path)
    return _examined(path, status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)


@lru_cache(maxsize=512)
def _examined(path: Path, *_state: int) -> Contents:
    """The contents, cached for each state of a file: long files are read through for it."""
    try:
        with File(path) as file:
            found = _walk(file)
            read = [_measured(path, one) for one in found]
            if len(read) == 1:
                plain.check_rarer(file, read[0].container, read[0].n_samples, read[0].frame_bytes)
    except OSError as error:
        raise _unopened(path, error) from error
    first = read[0]
    for other in read[1:]:
        if (other.sample_rate, other.n_channels) != (first.sample_rate, first.n_channels):
            raise unreadable(
                path,
                f"two recordings joined end to end: one of {first.sample_rate} Hz and "
                f"{first.n_channels} channels, one of {other.sample_rate} Hz and "
                f"{other.n_channels}",
                "files of different formats were joined with 'cat'",
                "split it, or join the recordings with sox or ffmpeg",
            )
    notes = [one.note for one in read if one.note]
    if len(read) > 1:
        notes.insert(0, f"{len(read)} recordings joined end to end; all of them were read")
    runs = tuple(run for one in read for run in one.runs)
    contents = replace(
        first,
        container=_common([one.container for one in read]),
        codec=_common([one.codec for one in read]),
        runs=runs,
        note="; ".join(dict.fromkeys(notes)),
        is_counted=any(one.is_counted for one in read),
    )
    _check_sense(path, contents)
    return contents


def _common(names: list[str]) -> str:
    return names[0] if len(set(names)) == 1 else "several"


def _walk(file: File) -> list[Found]:
    """Everything in the file, container by container, without those that hold no sound."""
    found: list[Found] = []
    at = 0
    while at < file.size:
        if at > 0 and found[0].n_samples == 0 and file.size - at == found[0].stop:
            break  # written to a pipe by libsndfile: the header is repeated before and after
        parse = _parser(file, at)
        if parse is None and at == 0:
            _check_foreign(file)
            return [Found(Piece(0, file.size), file.size)]
        if parse is None or len(found) == _MOST_PIECES:
            raise file.refused(
                f"more sound, or something else, begins at byte {at:,}, after what its header "
                "describes",
                "a second chunk of sound, or several files joined",
                "write it again: 'ffmpeg -i OLD NEW.flac', and compare the lengths",
            )
        one = parse(file, at, _begins)
        found.append(one)
        at = max(one.stop, at + 1)
    return [one for one in found if one.n_samples != 0] or found


def _check_foreign(file: File) -> None:
    head = file.at(0, 12)
    for name, place, magic in _FOREIGN:
        if head[place:].startswith(magic):
            raise file.refused(
                f"{name}, which isn't read here", "as phones and web browsers record", CONVERT
            )


def _parser(file: File, at: int) -> _Parser | None:
    """The parser of the container at an offset; None where none is recognised."""
    inner = behind_tags(file, at)
    head = file.at(inner, 40)
    for magic, parser in _MAGIC:
        if magic.match(head):
            return lambda file, _, begins: parser(file, inner, begins)
    return streams.mpeg if inner > at or streams.mpeg_begins_at(file, at) else None


def _begins(file: File, at: int) -> bool:
    """Whether another container begins here; MPEG, which only two bytes mark, needs a tag."""
    parse = _parser(file, at) if at + 12 <= file.size else None
    return parse is not None and (parse is not streams.mpeg or file.at(at, 3) == b"ID3")


def _measured(path: Path, found: Found) -> Contents:
    """What libsndfile reads from a container, compared with what was found."""
    contents: Contents | None
    try:
        contents = _opened(path, found.piece, found)
    except InputError:
        if found.fallback is None:
            raise
        contents = None
    if found.fallback is not None and (contents is None or contents.n_samples != found.n_samples):
        contents = _opened(path, found.fallback, found)
    assert contents is not None
    if contents.n_samples < found.promised:
        raise unreadable(
            path,
            f"the header promises {counted(found.promised, 'sample')}, "
            f"{contents.n_samples:,} could be read",
            CUT_SHORT,
        )
    if contents.is_counted and contents.n_samples == found.promised:
        return replace(contents, note="")
    return contents


def _opened(path: Path, piece: Piece, found: Found) -> Contents:
    with Reader(path, piece, found.sample_rate, found.n_channels) as reader:
        n = reader.n_samples
        if n is None:
            n = 0
            while len(block := reader.read(1 << 16)):
                n += len(block)
        if found.at_most is not None:
            n = min(n, found.at_most)
        return Contents(
            reader.container,
            reader.codec,
            reader.sample_rate,
            reader.n_channels,
            (Run(piece, n),),
            found.note,
            is_counted=reader.n_samples is None,
        )


def _unopened(path: Path, error: OSError) -> InputError:
    found = f"can't be read ({error.strerror})"
    return unreadable(path, found, "its permissions, or a failing disk")


def _check_sense(path: Path, contents: Contents) -> None:
    size = path.stat().st_size
    if contents.n_samples > size * _MOST_PER_BYTE:
        raise unreadable(
            path,
            f"the header promises {contents.n_samples:,} samples, which {size:,} bytes can't hold",
            "damaged",
        )
    if contents.n_samples <= 0:
        raise unreadable(path, "the file holds no samples", "the recording was stopped immediately")
