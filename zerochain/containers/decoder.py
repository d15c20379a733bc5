"""A sound file decoded from one end to the other, each sample once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain.containers import Contents
from zerochain.containers.reader import Reader
from zerochain.containers.source import CUT_SHORT, unreadable
from zerochain.errors import InputError

BLOCK = 57_600
"""Samples decoded at once: a multiple of the frames and blocks of all codecs."""


class Decoder:
    """The samples of a file from one end to the other, whatever pieces it consists of."""

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
        """Go on to a sample: at once where the codec allows it, else by decoding up to it."""
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

        Where the codec can't seek, libsndfile is always asked for the same blocks, whatever parts
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
