"""Decoding with libsndfile: one piece of a file at a time, or all of its pieces end to end.

`Reader` gives libsndfile a piece as a file of its own and reads it from its beginning on; `Decoder`
goes through all pieces of a file and decodes each sample once.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from zerochain.containers.source import CONVERT, CUT_SHORT, Contents, Piece, unreadable
from zerochain.errors import InputError

BLOCK = 57_600
"""Samples decoded at once: a multiple of the frames and blocks of all codecs."""
RATES = (1_000, 1_000_000)
"""Hz. Below 1 kHz there is no speech; above 1 MHz no recordings exist."""
MOST_CHANNELS = 256
_UNKNOWN = 1 << 60  # samples; libsndfile reports 2^63 - 1 for a FLAC of unknown length
_REFUSALS = (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError)


class Window:
    """A piece as a file object of its own, for libsndfile."""

    def __init__(self, handle: io.FileIO, piece: Piece) -> None:
        self._handle, self._piece, self._place = handle, piece, 0
        self._size = len(piece.prefix) + piece.stop - piece.start

    def read(self, n: int = -1) -> bytes:
        left = max(0, self._size - self._place)
        n = left if n < 0 else min(n, left)
        prefix = self._piece.prefix
        data = prefix[self._place : self._place + n]
        if len(data) < n:
            self._handle.seek(self._piece.start + self._place + len(data) - len(prefix))
            data += self._handle.read(n - len(data))
        self._place += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        """Do nothing: other pieces may be read from the open file."""


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """soundfile seeks after every block it reads, which changes what Opus decodes to."""

    def seekable(self) -> bool:
        return False


class Reader:
    """One piece of a sound file, decoded block by block.

    Args:
        sample_rate, n_channels: from the container's own header, where it gives them.

    Raises:
        InputError: libsndfile doesn't read it, or an impossible rate or number of channels.
    """

    def __init__(
        self,
        path: Path,
        piece: Piece,
        sample_rate: float | None = None,
        n_channels: int | None = None,
    ) -> None:
        self.path = path
        self._check(sample_rate, n_channels)
        self._handle = path.open("rb", buffering=0)
        try:
            self._file = self._opened(piece, sample_rate, n_channels)
        except _REFUSALS as error:
            self._handle.close()
            found = f"not a readable sound file ({_reason(error)})"
            raise unreadable(path, found, "another format, or damaged", CONVERT) from error
        self.container, self.codec = str(self._file.format), str(self._file.subtype)
        self.sample_rate, self.n_channels = int(self._file.samplerate), int(self._file.channels)
        n = int(self._file.frames)
        self.n_samples = None if n > _UNKNOWN else max(n, 0) + piece.lead
        """From the header; None where it doesn't say."""
        self._lead = piece.lead
        try:
            self._check(self.sample_rate, self.n_channels)
        except BaseException:
            self.close()
            raise

    def _opened(
        self, piece: Piece, sample_rate: float | None, n_channels: int | None
    ) -> _Sequential:
        if piece.raw is not None:
            return _Sequential(
                Window(self._handle, piece),
                format="RAW",
                subtype=piece.raw.subtype,
                endian=piece.raw.endian,
                samplerate=round(sample_rate or 0),
                channels=n_channels,
            )
        if piece == Piece(0, os.fstat(self._handle.fileno()).st_size):
            # By its handle, not its name: by name, a text file called .au is taken for sound.
            return _Sequential(self._handle.fileno(), closefd=False)
        return _Sequential(Window(self._handle, piece))

    def _check(self, rate: float | None, channels: int | None) -> None:
        if rate is not None and not (math.isfinite(rate) and RATES[0] <= rate <= RATES[1]):
            raise unreadable(
                self.path,
                f"a sample rate of {rate:,.0f} Hz",
                f"damaged: recordings have {RATES[0]:,} to {RATES[1]:,} Hz",
            )
        if channels is not None and not 1 <= channels <= MOST_CHANNELS:
            raise unreadable(
                self.path, f"{channels} channels", f"damaged: recordings have 1 to {MOST_CHANNELS}"
            )

    def read(self, n: int) -> NDArray[np.float32]:
        """The next samples (up to `n`, channels); fewer at the end.

        Raises:
            InputError: they can't be decoded.
        """
        if self._lead > 0:
            silence = np.zeros((min(n, self._lead), self.n_channels), np.float32)
            self._lead -= len(silence)
            return silence
        try:
            return np.asarray(self._file.read(n, dtype="float32", always_2d=True))
        except _REFUSALS as error:
            found = f"can't be decoded ({_reason(error)})"
            raise unreadable(self.path, found, "damaged or cut short") from error

    def seek(self, sample: int) -> None:
        """Go to a sample; only where `Contents.can_seek`.

        Raises:
            InputError: it can't be found.
        """
        try:
            self._file.seek(sample)
        except _REFUSALS as error:
            found = f"can't be decoded ({_reason(error)})"
            raise unreadable(self.path, found, "damaged or cut short") from error

    def close(self) -> None:
        self._file.close()
        self._handle.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Decoder:
    """The samples of a file from beginning to end, whatever pieces it consists of."""

    def __init__(self, path: Path, contents: Contents) -> None:
        self._path, self._contents = path, contents
        self._reader: Reader | None = None
        self._next_run, self._left = 0, 0
        self._rest = np.empty((0, contents.n_channels), np.float32)
        self.place = 0

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def go_to(self, sample: int) -> None:
        """Move to a sample: directly where the codec allows it, otherwise by decoding up to it."""
        if sample == self.place:
            return
        if self._contents.can_seek:
            self._seek(sample)
        while self.place < sample and len(self.read(min(BLOCK, sample - self.place))):
            pass

    def read(self, n: int) -> NDArray[np.float32]:
        """The next `n` samples (n, channels); fewer only at the end.

        Raises:
            InputError: they can't be decoded, or are fewer than promised.
        """
        found = [np.empty((0, self._contents.n_channels), np.float32)]
        try:
            while n > 0 and (self._reader is not None or self._open_next()):
                samples = self._some(n)
                self._left -= len(samples)
                self.place += len(samples)
                n -= len(samples)
                found.append(samples)
                if len(samples) == 0:
                    self._check_end()
                if self._left == 0 or len(samples) == 0:
                    self._close()
        except InputError as error:
            self._close()
            place, self.place = self.place, -1
            if error.found.startswith("the header promises"):
                raise
            promised = self._contents.n_samples
            raise unreadable(
                self._path,
                f"{error.found}: the header promises {promised} samples, {place} could be read",
                "it was cut short while it was copied, or is damaged",
            ) from error
        return found[-1] if len(found) == 2 else np.concatenate(found)

    def _some(self, n: int) -> NDArray[np.float32]:
        """Up to `n` of the next samples.

        Where the codec can't seek, libsndfile is always asked for the same blocks, whichever parts
        are wanted: in some formats (PAF) it loses samples otherwise.
        """
        assert self._reader is not None
        if self._contents.can_seek:
            return self._reader.read(min(n, self._left))
        if len(self._rest) == 0:
            self._rest = self._reader.read(min(BLOCK, self._left))
        some, self._rest = self._rest[:n], self._rest[n:]
        return some

    def _check_end(self) -> None:
        if self._left > self._contents.slack:
            promised = self._contents.n_samples
            raise unreadable(
                self._path,
                f"the header promises {promised} samples, {self.place} could be read",
                CUT_SHORT,
            )

    def _seek(self, sample: int) -> None:
        self._close()
        begin = 0
        for index, run in enumerate(self._contents.runs):
            if begin <= sample < begin + run.n_samples:
                self._next_run = index
                break
            begin += run.n_samples
        if self._open_next() and self._reader is not None:
            self._reader.seek(sample - begin)
            self._left -= sample - begin
            self.place = sample

    def _open_next(self) -> bool:
        if self._next_run == len(self._contents.runs):
            return False
        run = self._contents.runs[self._next_run]
        rate, channels = self._contents.sample_rate, self._contents.n_channels
        self._reader = Reader(self._path, run.piece, rate, channels)
        self._next_run, self._left = self._next_run + 1, run.n_samples
        return True

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self._rest = self._rest[:0]


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".")
