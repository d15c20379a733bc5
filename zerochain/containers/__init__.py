"""What a sound file holds, beside what its header promises.

libsndfile believes headers. Here a file is recognised by its first bytes, whatever it is called,
its container is walked, and what is promised is compared with what is there: less is refused as
cut short; more, as recorders leave it that lost power and headers whose 32 bits overflowed, is
read, with a note; files joined end to end are read one after the other.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from zerochain.containers import chunks, mpeg, plain, streams
from zerochain.containers.source import CUT_SHORT, File, Found, Piece, Window, unreadable
from zerochain.errors import InputError

__all__ = ["Contents", "Reader", "examine", "reason", "unreadable"]

RATES = (1_000, 1_000_000)
"""Hz. Below 1 kHz no speech is left; above 1 MHz nobody samples sound."""
MOST_CHANNELS = 256
_MOST_PER_BYTE = 8192
"""Samples that a byte of a file can stand for: silence in FLAC takes 14 bytes for 65,535."""
_UNKNOWN = 1 << 60  # libsndfile gives 2^63 - 1 samples for a FLAC of unknown length
_MOST_PIECES = 10_000
_BLOCK = 1 << 16
_UNCHECKED = {"XI", "SDS", "SD2", "TXW", "DWD", "REX2", "RX2"}
_RAW_FRAMED = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "RAW", "SVX", "HTK"}
_BARE = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
_SLACK = {"MPEG_LAYER_I": 1152, "MPEG_LAYER_II": 1152, "MPEG_LAYER_III": 1152}


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

    @property
    def n_samples(self) -> int:
        return sum(run.n_samples for run in self.runs)

    @property
    def can_seek(self) -> bool:
        """Whether libsndfile goes to any sample exactly.

        It doesn't in Vorbis (up to 256 samples late in the last page), in MP3 (the bits that
        frames borrow from those before are lacking), in Opus, and in GSM not at all.
        """
        bare = self.container in _RAW_FRAMED and self.codec in _BARE
        return bare or self.container == "FLAC"

    @property
    def slack(self) -> int:
        """Samples that may be lacking at the end: this codec's frames have no exact length."""
        return _SLACK.get(self.codec, 0)


def examine(path: Path) -> Contents:
    """What a sound file holds.

    Raises:
        InputError: missing, empty, cut short, damaged, of a format or a rate that isn't read, or
            joined from parts that differ.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError("no such file", path=path, remedy="check the path") from error
    if not path.is_file():
        raise InputError("no such file", path=path, remedy="check the path")
    if status.st_size == 0:
        raise unreadable(path, "the file is empty (0 bytes)", "copying it failed")
    return _examined(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=512)
def _examined(path: Path, size: int, time: int, inode: int) -> Contents:
    """Once for each state of a file: long ones are read through for it."""
    try:
        with File(path) as file:
            found = _walk(file)
    except OSError as error:
        raise unreadable(
            path, f"can't be read ({error.strerror})", "its permissions, or a failing disk"
        ) from error
    read = [_measured(path, one) for one in found]
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
    codec = first.codec if all(one.codec == first.codec for one in read) else "several"
    contents = replace(first, runs=runs, codec=codec, note="; ".join(dict.fromkeys(notes)))
    _check_sense(path, contents, size)
    return contents


def _walk(file: File) -> list[Found]:
    """Everything in the file, container by container."""
    found: list[Found] = []
    at = 0
    while at < file.size:
        parse = _parser(file, at)
        if parse is None and at == 0:
            return [Found(Piece(0, file.size), file.size)]
        if parse is None or len(found) == _MOST_PIECES:
            raise file.refused(
                f"more sound, or something else, begins at byte {at:,}, behind what its header "
                "describes",
                "a second chunk of sound, or several files joined",
                "write it again: 'ffmpeg -i OLD NEW.flac', and compare the lengths",
            )
        one = parse(file, at, _begins)
        found.append(one)
        at = max(one.stop, at + 1)
    return found


def _parser(file: File, at: int):  # type: ignore[no-untyped-def]
    head = file.at(at, 40)
    if tag := mpeg.id3v2_size(head):
        inner = file.at(at + tag, 40)
        if inner[:4] == b"fLaC":
            return lambda file, at, begins: _behind(streams.flac(file, at + tag, begins), at)
        return mpeg.mpeg
    match head[:4]:
        case b"RIFF" | b"RIFX" | b"RF64" | b"BW64" if head[8:12] == b"WAVE":
            return chunks.wav
        case b"riff" if head[24:28] == b"wave":
            return chunks.w64
        case b"FORM" if head[8:12] in (b"AIFF", b"AIFC"):
            return chunks.aiff
        case b"FORM" if head[8:12] in (b"8SVX", b"16SV"):
            return chunks.svx
        case b"caff":
            return chunks.caf
        case b".snd" | b"dns.":
            return plain.au
        case b"NIST" if head[4:8] == b"_1A\n":
            return plain.sphere
        case b"fLaC":
            return streams.flac
        case b"OggS" if file.size - at > 27:
            return streams.ogg
    return mpeg.mpeg if mpeg.begins_at(file, at) else None


def _behind(found: Found, at: int) -> Found:
    return replace(found, piece=replace(found.piece, start=at))


def _begins(file: File, at: int) -> bool:
    """Whether a container begins behind another; MPEG, which two bytes begin, only with a tag."""
    parse = _parser(file, at) if at + 12 <= file.size else None
    return parse is not None and (parse is not mpeg.mpeg or file.at(at, 3) == b"ID3")


def _measured(path: Path, found: Found) -> Contents:
    """What libsndfile makes of a container, compared with what was found."""
    pieces = [found.piece] + ([found.fallback] if found.fallback else [])
    for piece in pieces:
        declared = (found.sample_rate, found.n_channels)
        try:
            with Reader(path, piece, declared) as reader:
                contents = reader.contents
        except InputError:
            if piece is pieces[-1]:
                raise
            continue
        if contents.n_samples >= found.promised or piece is not pieces[-1]:
            if contents.n_samples >= found.promised:
                return replace(contents, note=found.note)
            continue
        raise unreadable(
            path,
            f"the header promises {found.promised} samples, {contents.n_samples} could be read",
            CUT_SHORT,
        )
    raise AssertionError("there is always a piece")


def _check_sense(path: Path, contents: Contents, size: int) -> None:
    if contents.n_samples > size * _MOST_PER_BYTE:
        raise unreadable(
            path,
            f"the header promises {contents.n_samples:,} samples, which {size:,} bytes can't hold",
            "damaged",
        )
    if contents.n_samples <= 0:
        raise unreadable(path, "the file holds no samples", "the recording was stopped at once")


def _check_rate(path: Path, rate: float | None, channels: int | None) -> None:
    if rate is not None and not (math.isfinite(rate) and RATES[0] <= rate <= RATES[1]):
        raise unreadable(
            path,
            f"a sample rate of {rate:,.6g} Hz",
            f"damaged: recordings have {RATES[0]:,} to {RATES[1]:,} Hz",
        )
    if channels is not None and not 1 <= channels <= MOST_CHANNELS:
        raise unreadable(
            path, f"{channels} channels", f"damaged: recordings have 1 to {MOST_CHANNELS}"
        )


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """soundfile seeks after every block it reads, which changes what Opus decodes to."""

    def seekable(self) -> bool:
        return False


class Reader:
    """One piece of a sound file, decoded from its beginning on.

    Args:
        declared: sample rate and channels by the container's own header.

    Raises:
        InputError: libsndfile doesn't read it; a rate or a number of channels without sense.
    """

    def __init__(
        self,
        path: Path,
        piece: Piece,
        declared: tuple[float | None, int | None] = (None, None),
    ) -> None:
        self.path = path
        _check_rate(path, *declared)
        self._handle = path.open("rb", buffering=0)
        try:
            self._file = self._opened(piece, declared)
        except BaseException as error:
            self._handle.close()
            if not isinstance(error, soundfile.LibsndfileError | RuntimeError | TypeError):
                raise
            raise unreadable(
                path, f"not a readable sound file ({reason(error)})", "another format, or damaged"
            ) from error
        try:
            self.contents = self._contents(piece)
        except BaseException:
            self.close()
            raise

    def _opened(self, piece: Piece, declared: tuple[float | None, int | None]) -> _Sequential:
        size = os.fstat(self._handle.fileno()).st_size
        if piece.raw is not None:
            rate, channels = declared
            return _Sequential(
                Window(self._handle, piece),
                format="RAW",
                subtype=piece.raw.subtype,
                endian=piece.raw.endian,
                samplerate=round(rate or 0),
                channels=channels,
            )
        if piece == Piece(0, size):
            # By its handle, not its name: by name, a text called .au is taken for sound.
            return _Sequential(self._handle.fileno(), closefd=False)
        return _Sequential(Window(self._handle, piece))

    def _contents(self, piece: Piece) -> Contents:
        file = self._file
        _check_rate(self.path, file.samplerate, file.channels)
        n = file.frames
        if n > _UNKNOWN:
            n = 0
            while len(block := self.read(_BLOCK)):
                n += len(block)
        return Contents(
            file.format, file.subtype, file.samplerate, file.channels, (Run(piece, max(n, 0)),)
        )

    def read(self, n: int) -> NDArray[np.float32]:
        """The next samples (up to `n`, channels); fewer at the end.

        Raises:
            InputError: they can't be decoded.
        """
        try:
            return np.asarray(self._file.read(n, dtype="float32", always_2d=True))
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise unreadable(
                self.path, f"can't be decoded ({reason(error)})", "damaged or cut short"
            ) from error

    def seek(self, sample: int) -> None:
        """Go to a sample; only where `Contents.can_seek`."""
        try:
            self._file.seek(sample)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise unreadable(
                self.path, f"can't be decoded ({reason(error)})", "damaged or cut short"
            ) from error

    def close(self) -> None:
        self._file.close()
        self._handle.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".")
