"""Read, write and resample sound files: the only place that touches them.

Recordings may last for hours, so everything goes block by block: a pass over a file decodes each
sample once, however many parts of it are wanted, and resamples every part by itself as it goes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from zerochain.containers import Contents, examine
from zerochain.containers.reader import BLOCK, Decoder
from zerochain.containers.source import unreadable
from zerochain.errors import InputError, counted
from zerochain.formats.atomic import atomic_file, explained

SAMPLE_RATE = 16_000
SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mpga", ".aif", ".aiff"}
    | {".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".bwf", ".sph", ".nist", ".wve", ".voc"}
)
"""Suffixes of the files that importing a folder takes for recordings."""
_IN_MEMORY = 1 << 24
_LONGEST_WAV = (1 << 32) - 1 - 36
_WRITTEN = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
Waveform = NDArray[np.float32]
"""Mono samples (n,) between -1 and 1."""
_NOTHING: Waveform = np.empty(0, np.float32)


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file holds."""

    sample_rate: int
    n_channels: int
    n_samples: int
    note: str = ""
    """What deserves a look, such as sound beyond what the header says."""

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate


class Part(NamedTuple):
    """A part of a recording; by default, all of it."""

    start: float | None = None
    """Seconds; None is the beginning."""
    end: float | None = None
    """Seconds; None is the end."""
    channel: int | None = None
    """Counted from 1; None is the mean of all channels."""


@dataclass(frozen=True)
class ChannelLevels:
    """How loud the channels of a part and their mean are, at the recording's own rate.

    Where `mean_rms` is far below every channel's, they cancel: one has the opposite phase.
    """

    rms: tuple[float, ...]
    """Of each channel; 1 is full scale."""
    mean_rms: float
    """Of the mean of all channels."""
    difference_rms: float
    """Of the difference between the two channels that differ most."""


class Block(NamedTuple):
    """The next samples of one of the parts that a pass over a recording reads."""

    part: int
    """Its index among the parts asked for."""
    wave: Waveform
    """May be empty. Don't change it in place: parts that overlap may share it."""
    is_last: bool = False
    levels: ChannelLevels | None = None
    """With the last block, where several channels are mixed."""
    error: InputError | None = None
    """With the last block: the part can't be used, including earlier blocks."""


def info(path: Path) -> AudioInfo:
    """What a sound file holds, as far as its header and its content agree.

    Raises:
        InputError: missing, empty, cut short, or not a sound file that libsndfile reads.
    """
    contents = examine(path)
    return AudioInfo(contents.sample_rate, contents.n_channels, contents.n_samples, contents.note)


def read(
    path: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    channel: int | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> Waveform:
    """A sound file, or the part from `start` to `end` seconds, mono and resampled (soxr, HQ).

    A part is an exact slice of the whole, for every codec, which is then resampled.

    Args:
        channel: counted from 1; None is the mean of all channels.

    Raises:
        InputError: unreadable, truncated, empty, NaN in it, `start` … `end` outside it, or a
            channel that it lacks.
    """
    (wave,) = read_parts(path, [Part(start, end, channel)], sample_rate=sample_rate)
    return wave


def read_parts(
    path: Path, parts: Sequence[Part], *, sample_rate: int = SAMPLE_RATE
) -> Iterator[Waveform]:
    """Parts of a sound file in the order given, each as `read` gives it, in one pass.

    The parts may overlap. One that comes before its turn waits in memory, so it is best to ask
    for them in the order of their beginnings.

    Raises:
        InputError: as `read`, once it is the unusable part's turn.
    """
    collected = [bytearray() for _ in parts]
    ready: dict[int, InputError | None] = {}
    turn = 0
    try:
        for block in blocks(path, parts, sample_rate=sample_rate):
            collected[block.part] += block.wave.data
            if not block.is_last:
                continue
            ready[block.part] = block.error
            while turn in ready:
                if (error := ready.pop(turn)) is not None:
                    raise error
                buffer, collected[turn] = collected[turn], bytearray()
                yield np.frombuffer(buffer, np.float32)
                turn += 1
    except MemoryError:
        raise unreadable(
            path,
            "too long to be held in memory as one utterance",
            "a recording of many hours",
            "cut it into utterances: 'start' and 'end' in a table, or Kaldi's segments",
        ) from None


def blocks(
    path: Path, parts: Sequence[Part] = (Part(),), *, sample_rate: int = SAMPLE_RATE
) -> Iterator[Block]:
    """One pass over a sound file: the samples of all parts, block by block as they come.

    Of each part, the blocks are in order and together are what `read` returns; those of parts
    that overlap are interleaved. Each part ends with a block that `is_last`, in any case. A part
    that can't be used has an error in that block and doesn't keep the others from being read.

    Raises:
        InputError: the file can't be read at all.
    """
    contents = examine(path)
    waiting: list[_Open] = []
    for index, part in enumerate(parts):
        try:
            waiting.append(_Open(path, index, part, contents, sample_rate))
        except InputError as error:
            yield _failed(index, error)
    waiting.sort(key=lambda one: one.first)
    with Decoder(path, contents) as decoder:
        yield from _pass(decoder, contents, waiting)


def _pass(decoder: Decoder, contents: Contents, waiting: list[_Open]) -> Iterator[Block]:
    at_once = max(1, BLOCK // contents.n_channels)
    open_parts: list[_Open] = []
    while waiting or open_parts:
        try:
            if not open_parts:
                decoder.go_to(waiting[0].first)
            while waiting and waiting[0].first <= decoder.place:
                open_parts.append(waiting.pop(0))
            stop = min(
                decoder.place + at_once,
                *(one.last for one in open_parts),
                *(one.first for one in waiting[:1]),
            )
            samples = decoder.read(stop - decoder.place)
        except InputError as error:
            lost = open_parts or waiting[:1]
            if not contents.can_seek:  # then nothing after the damage can be reached
                lost = open_parts + waiting
            yield from (_failed(one.index, error) for one in lost)
            waiting = [one for one in waiting if one not in lost]
            open_parts = []
            continue
        at_end = decoder.place < stop
        for one in open_parts:
            yield from one.add(samples, decoder.place, at_end)
        open_parts = [one for one in open_parts if not one.is_done]
        if at_end:
            for one in waiting:
                yield from one.add(samples[:0], decoder.place, True)
            return


class _Open:
    """A part being read: mixed, checked, measured and resampled block by block."""

    def __init__(
        self, path: Path, index: int, part: Part, contents: Contents, sample_rate: int
    ) -> None:
        self._path, self.index, self._channel = path, index, part.channel
        self._sample_rate, n_channels = sample_rate, contents.n_channels
        self.first, self.last = _limits(path, part, contents)
        if part.channel is not None and not 1 <= part.channel <= n_channels:
            raise unreadable(
                path,
                f"channel {part.channel} asked for, but it has {n_channels}",
                "the channel is that of another recording",
                "choose channel 1" + (f" to {n_channels}" if n_channels > 1 else ", the only one"),
            )
        self._resampled = resampler(contents.sample_rate, sample_rate)
        self._levels = _Levels(n_channels) if n_channels > 1 and part.channel is None else None
        self._not_finite = self._n_made = 0
        self.is_done = False

    def add(self, samples: NDArray[np.float32], place: int, at_end: bool) -> Iterator[Block]:
        """The block from the next samples (n, channels), which end at `place`."""
        self.is_done = at_end or place >= self.last
        if samples.shape[1] == 1:
            mono = samples[:, 0]
        elif self._channel is not None:
            mono = np.ascontiguousarray(samples[:, self._channel - 1])
        else:
            channels = np.array(samples.T, order="C")  # sums along contiguous rows are far faster
            with np.errstate(over="ignore", invalid="ignore"):
                mono = channels.mean(axis=0)
            assert self._levels is not None
            self._levels.add(channels, mono)
        self._not_finite += len(mono) - int(np.isfinite(mono).sum())
        wave = _NOTHING if self._not_finite else self._resampled(mono, self.is_done)
        self._n_made += len(wave)
        if not self.is_done:
            if len(wave):
                yield Block(self.index, wave)
        elif error := self._error():
            yield _failed(self.index, error)
        else:
            levels = None if self._levels is None else self._levels.found()
            yield Block(self.index, wave, True, levels)

    def _error(self) -> InputError | None:
        if self._not_finite:
            found = f"NaN or infinity in {counted(self._not_finite, 'sample')}"
            return unreadable(self._path, found, "bad processing")
        if self._n_made == 0:
            found = f"no sample remains at {self._sample_rate} Hz"
            return unreadable(self._path, found, "too short a segment")
        return None


def _limits(path: Path, part: Part, contents: Contents) -> tuple[int, int]:
    """The first sample of a part and the one after its last."""
    rate, n = contents.sample_rate, contents.n_samples
    start = 0.0 if part.start is None else part.start
    end = n / rate if part.end is None else part.end
    if math.isfinite(start * rate) and math.isfinite(end * rate):
        first, last = round(start * rate), n if part.end is None else round(end * rate)
        if 0 <= first < last <= n + max(rate // 100, contents.block) and first < n:
            return first, min(last, n)
        if first == last < n:
            found = f"{part.start} … {part.end} s asked for, which holds no sample"
            raise unreadable(path, found, "it ends where it starts")
    raise unreadable(
        path,
        f"{part.start} … {part.end} s asked for, but it lasts {n / rate:.3f} s",
        "times in another unit than seconds, or a table of segments of another recording",
    )


class _Levels:
    """Accumulates `ChannelLevels`."""

    def __init__(self, n_channels: int) -> None:
        self._power, self._apart = np.zeros(n_channels), np.zeros(n_channels)
        self._mean_power, self._n = 0.0, 0

    def add(self, channels: NDArray[np.float32], mean: Waveform) -> None:
        """Add the next samples: (channels, n), and their mean (n,)."""
        with np.errstate(over="ignore", invalid="ignore"):  # what isn't finite is refused later
            self._power += [float(np.dot(channel, channel)) for channel in channels]
            channels -= mean
            self._apart += [float(np.dot(channel, channel)) for channel in channels]
            self._mean_power += float(np.dot(mean, mean))
        self._n += len(mean)

    def found(self) -> ChannelLevels:
        n = max(self._n, 1)
        return ChannelLevels(
            tuple(np.sqrt(self._power / n).tolist()),
            math.sqrt(self._mean_power / n),
            math.sqrt(self._apart.max() / n),
        )


def _failed(index: int, error: InputError) -> Block:
    return Block(index, _NOTHING, True, error=error)


def resampler(from_rate: int, to_rate: int) -> Callable[[Waveform, bool], Waveform]:
    """A function (next samples, whether they are the last) → samples at the new rate.

    The pieces together equal `resample` of the whole, bit for bit.
    """
    if from_rate == to_rate:
        return lambda wave, is_last: wave
    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    return lambda wave, is_last: np.asarray(stream.resample_chunk(wave, last=is_last), np.float32)


def resample(wave: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """Change the sample rate with soxr at high quality."""
    if from_rate == to_rate:
        return wave
    return np.asarray(soxr.resample(wave, from_rate, to_rate, quality="HQ"), np.float32)


def write(path: Path, wave: Waveform, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono 16-bit audio atomically; the suffix (.wav, .flac, .ogg) chooses the format.

    Raises:
        InputError: as `encoded`, another suffix, or the disk is full.
    """
    data = encoded(path, wave, sample_rate)
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def check_other(path: Path, recording: Path) -> None:
    """Raise InputError if a sound file that is to be written is a recording that is read.

    Be it by a link, or another spelling of its path.
    """
    if path.exists() and recording.exists() and path.samefile(recording):
        raise InputError(
            "is the recording itself, which would be lost",
            path=path,
            remedy="choose another name for the speech",
        )


def write_chunks(path: Path, chunks: Iterable[Waveform], sample_rate: int = SAMPLE_RATE) -> None:
    """Write a sound file atomically from samples that come chunk by chunk, however long it is.

    The same file as `write` makes of all of them (except for an Ogg's random serial number). The
    peak is known only at the end, so samples wait: the first minutes in memory, the rest in a
    nameless file next to `path`.

    Raises:
        InputError: as `write`; a WAV of more than 4 GiB.
    """
    kind, subtype = _written(path)
    peak, n = 1.0, 0
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with SpooledTemporaryFile(_IN_MEMORY, dir=str(path.parent)) as waiting:
            for chunk in chunks:
                if len(chunk) == 0:
                    continue
                _check_samples(path, chunk)
                peak, n = max(peak, float(np.abs(chunk).max())), n + len(chunk)
                waiting.write(chunk.astype(np.float32).tobytes())
            if n == 0:
                raise InputError("there are no samples to write", path=path)
            if kind == "WAV" and 2 * n > _LONGEST_WAV:
                raise InputError(
                    f"{n:,} samples are more than a WAV can hold", path=path, remedy="write .flac"
                )
            waiting.seek(0)
            with atomic_file(path) as temporary, temporary.open("w+b") as file:
                sink = _Sink(file)
                with soundfile.SoundFile(sink, "w", sample_rate, 1, subtype, format=kind) as sound:
                    while block := waiting.read(4 * BLOCK):
                        sound.write(np.frombuffer(block, np.float32) / np.float32(peak))
                        sink.check()
                sink.check()


class _Sink:
    """A file for libsndfile to write to, so that a full disk raises Python's own error."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._error: OSError | None = None
        self.seek, self.tell, self.read = file.seek, file.tell, file.read

    def write(self, data: bytes) -> int:
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
        return len(data)

    def check(self) -> None:
        """Raise the first error of a write."""
        if self._error is not None:
            raise self._error


def encoded(path: Path, wave: Waveform, sample_rate: int = SAMPLE_RATE) -> bytes:
    """The bytes of the sound file that `path`'s suffix (.wav, .flac, .ogg) asks for.

    Sound above full scale is scaled down as a whole rather than clipped.

    Raises:
        InputError: no samples, NaN, or another suffix.
    """
    kind, subtype = _written(path)
    _check_samples(path, wave)
    peak = float(np.abs(wave).max())
    data = wave / peak if peak > 1 else wave
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", sample_rate, 1, subtype, format=kind) as file:
        for start in range(0, len(data), BLOCK):  # libsndfile 1.2 crashes on minutes of Vorbis
            file.write(data[start : start + BLOCK])
    return buffer.getvalue()


def _written(path: Path) -> tuple[str, str]:
    if path.suffix.lower() not in _WRITTEN:
        raise InputError(
            f"sound is not written as {path.suffix!r}",
            path=path,
            remedy="write .wav, .flac or .ogg",
        )
    return _WRITTEN[path.suffix.lower()]


def _check_samples(path: Path, wave: Waveform) -> None:
    if wave.ndim != 1 or len(wave) == 0 or not np.isfinite(wave).all():
        raise InputError(
            f"samples of shape {wave.shape} with NaN or without a sample can't be written",
            path=path,
            cause="the model that made them diverged",
            remedy="train it again",
        )
