"""Decode recordings, once each and block by block: how long they are, and what is odd about them.

However long a recording is, only a block of it is in memory at a time. What is measured on the way
(level, clipping, noise at full scale, channels that cancel each other) becomes a remark; only what
can't be decoded makes an utterance unusable.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zerochain import audio
from zerochain.corpora.sounds import Bad
from zerochain.errors import InputError, printable
from zerochain.formats.corpus import Utterance

SILENT = 1e-3
_FULL_SCALE, _CLIPPED_SHARE = 0.999, 1e-3
_OVER = 8.0
"""Beyond full scale, floating-point recordings have some headroom, but not 18 dB of it."""
_SHORT_S = 0.1
NOISE_S = 0.1
"""From this much noise at full scale on, it is reported (s)."""
_NOISE_WINDOW, _NOISE_RMS, _NOISE_CORRELATION = 400, 0.4, 0.3
"""Neighbouring samples of speech this loud are similar; random samples have an RMS of 0.58 and no
correlation."""
_TOLERANCE_S = 0.1
_LONG_S = 300.0
"""The longest utterance that is held in memory for a copy (s)."""
_CANCELLED, _QUIET = 0.1, 0.1
"""20 dB."""
_DIFFERENT = 3**-0.5
"""The ratio for two equally loud channels with a correlation of 0.5."""


@dataclass(frozen=True)
class Job:
    """A recording and the utterances in it."""

    path: Path
    utterances: tuple[Utterance, ...]
    copies: Mapping[str, Path] | None = None
    """Where to write each as 16 kHz FLAC, by its id."""


@dataclass(frozen=True)
class Measured:
    """An utterance that could be decoded: its file's header, its length at 16 kHz, its oddities."""

    header: audio.AudioInfo
    duration: float
    oddities: tuple[str, ...]


def measure_file(job: Job) -> dict[str, Measured | Bad]:
    """Decode the utterances of one recording, in one pass, and copy them if asked to.

    Returns:
        What was found, by the utterances' ids.

    Raises:
        InputError, OSError: a copy can't be written.
    """
    found: dict[str, Measured | Bad] = {}
    takes = [_Take(u, job.copies) for u in job.utterances]
    stream = _blocks(job)
    while (block := next(stream)) is not None:
        if isinstance(block, str):
            rest = (u for u in job.utterances if u.id not in found)
            found |= {u.id: Bad(printable(u.audio), block, u.id) for u in rest}
            break
        take = takes[block.part]
        if block.error is not None:
            u = take.utterance
            found[u.id] = Bad(printable(u.audio), block.error.found, u.id)
            take.drop()
            continue
        take.add(block.wave)
        if block.is_last:
            found[take.utterance.id] = take.measured(audio.info(job.path), block.levels)
            take.copy(job.path)
    return found


def _blocks(job: Job) -> Iterator[audio.Block | str | None]:
    """The blocks of a recording, then None; where it can't be read further, the reason first."""
    try:
        yield from audio.blocks(job.path, [u.part for u in job.utterances])
    except Exception as error:
        yield why_not(error)
    yield None


def why_not(error: Exception) -> str:
    """Why a file can't be decoded, in a few words."""
    match error:
        case InputError():
            return error.found
        case MemoryError():
            return "there is not enough memory to decode it"
        case OSError():
            return f"can't be opened ({error.strerror or error})"
        case _:
            return f"can't be decoded ({type(error).__name__}: {error})"


class _Take:
    """An utterance being decoded: its measurements and, for a copy, its samples."""

    def __init__(self, utterance: Utterance, copies: Mapping[str, Path] | None) -> None:
        self.utterance = utterance
        self._path = None if copies is None else copies[utterance.id]
        self._meter = Meter()
        self._waves: list[audio.Waveform] | None = None if copies is None else []

    def add(self, wave: audio.Waveform) -> None:
        self._meter.add(wave)
        if self._waves is not None:
            self._waves.append(wave)
            if self._meter.duration > _LONG_S:
                self._waves = None

    def measured(self, header: audio.AudioInfo, levels: audio.ChannelLevels | None) -> Measured:
        oddities = self._meter.oddities(header, self.utterance.duration, levels)
        return Measured(header, self._meter.duration, tuple(oddities))

    def copy(self, recording: Path) -> None:
        """Write the copy; a long one is decoded again, since its peak is only known at its end."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._waves is not None:
            wave = np.concatenate(self._waves)
            self._path.write_bytes(audio.encoded(self._path, wave))
        else:
            again = audio.blocks(recording, [self.utterance.part])
            audio.write_chunks(self._path, (block.wave for block in again))
        self.drop()

    def drop(self) -> None:
        """Hold no samples any longer."""
        self._waves = None


def full_scale_noise(wave: audio.Waveform) -> tuple[float, float]:
    """Seconds of noise at full scale, and when it begins."""
    noise = _Noise()
    noise.add(wave)
    return noise.found()


class Meter:
    """Measurements of an utterance's samples at 16 kHz, given block by block."""

    def __init__(self) -> None:
        self.n_samples, self.peak = 0, 0.0
        self._low, self._high = math.inf, -math.inf
        self._n_clipped, self._noise = 0, _Noise()

    def add(self, block: audio.Waveform) -> None:
        """The samples that follow."""
        level = np.abs(block)
        self.n_samples += len(block)
        self.peak = max(self.peak, float(level.max(initial=0.0)))
        self._low = min(self._low, float(block.min(initial=math.inf)))
        self._high = max(self._high, float(block.max(initial=-math.inf)))
        self._n_clipped += int(np.count_nonzero(level >= _FULL_SCALE))
        self._noise.add(block)

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.n_samples / audio.SAMPLE_RATE

    def oddities(
        self, header: audio.AudioInfo, claimed: float, levels: audio.ChannelLevels | None = None
    ) -> Iterator[str]:
        """What deserves a look.

        Args:
            header: the recording's.
            claimed: the duration in a table, or NaN.
            levels: of the channels, where they are mixed.
        """
        if header.note:
            yield header.note
        yield from of_channels(levels) if levels is not None else ()
        if self.peak < SILENT:
            yield "silent (never above -60 dB)"
        elif (self._high - self._low) / 2 < SILENT:
            yield f"silent, at a constant {self._high:.2g} of full scale"
        noisy_s, begin_s = self._noise.found()
        clipped = self._n_clipped / self.n_samples
        if self.peak > _OVER:
            yield (
                f"{self.peak:,.0f} times as loud as full scale, as if integers were stored as "
                "floating-point numbers"
            )
        elif noisy_s >= NOISE_S:
            yield (
                f"{noisy_s:.2f} s of noise at full scale, from {begin_s:.2f} s on: a byte may be "
                "lost there, so that the following samples are misaligned"
            )
        elif clipped > _CLIPPED_SHARE:
            yield f"clipped ({clipped:.1%} of the samples at full scale)"
        if self.duration < _SHORT_S:
            yield f"shorter than {_SHORT_S} s"
        if header.sample_rate < audio.SAMPLE_RATE:
            half = header.sample_rate // 2
            yield f"recorded at {header.sample_rate} Hz, so nothing above {half} Hz"
        if abs(self.duration - claimed) > _TOLERANCE_S:  # False for NaN, where none is claimed
            yield f"lasts {self.duration:.3f} s, the table says {claimed:.3f} s"


def of_channels(levels: audio.ChannelLevels) -> Iterator[str]:
    """Whether channels were mixed that shouldn't have been."""
    loudest, quietest = max(levels.rms), min(levels.rms)
    independent = math.hypot(*levels.rms) / len(levels.rms)
    """RMS of the mean, if the channels were independent."""
    if loudest < SILENT:
        return
    if levels.mean_rms < _CANCELLED * independent:
        yield (
            "its channels cancel each other when they are mixed (one has the opposite phase): "
            "take one of them, with channel='left'"
        )
    elif quietest < _QUIET * loudest:
        channel = levels.rms.index(loudest) + 1
        yield (
            f"only channel {channel} holds sound, and was mixed with silent ones: "
            f"channel='{channel}' takes only that one"
        )
    elif levels.difference_rms > _DIFFERENT * levels.mean_rms:
        yield (
            "its channels differ, two speakers or two microphones, and were mixed: channel='left', "
            "channel='right' or channel='each' keeps them apart"
        )


class _Noise:
    """Windows of noise at full scale, counted from an utterance's beginning."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._n_windows, self._n_noisy, self._first = 0, 0, math.nan

    def add(self, block: audio.Waveform) -> None:
        wave = np.concatenate([self._rest, block]) if len(self._rest) else block
        n = len(wave) // _NOISE_WINDOW
        self._rest = wave[n * _NOISE_WINDOW :].copy()
        windows = wave[: n * _NOISE_WINDOW].reshape(n, _NOISE_WINDOW)
        power = np.mean(windows**2, axis=1)
        alike = np.mean(windows[:, 1:] * windows[:, :-1], axis=1)
        noisy = (power > _NOISE_RMS**2) & (np.abs(alike) < _NOISE_CORRELATION * power)
        if noisy.any() and not self._n_noisy:
            self._first = self._n_windows + int(noisy.argmax())
        self._n_windows, self._n_noisy = self._n_windows + n, self._n_noisy + int(noisy.sum())

    def found(self) -> tuple[float, float]:
        """Seconds of noise, and when it begins (0 if there is none)."""
        window_s = _NOISE_WINDOW / audio.SAMPLE_RATE
        return self._n_noisy * window_s, (self._first if self._n_noisy else 0) * window_s
