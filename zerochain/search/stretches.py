"""Speech as segments of units between pauses: what words and terms are looked for in.

Repeats of a unit are merged. With the recordings, two things are known besides. Segments in pauses
are left out, so that no word begins or ends with one: pauses are quiet, nearer to the recording's
floor than to its loud parts, for at least 150 ms; shorter ones are closures of stops. And syllables
begin where the level falls towards a dip between two vowels; most words of most languages begin
there too (Räsänen, Doyle and Frank 2018, "Pre-linguistic segmentation of speech into syllable-like
units").
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, find_peaks, sosfiltfilt

from zerochain import audio
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, CorpusWarning
from zerochain.formats.units import UnitFile
from zerochain.progress import track

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]
FRAME_MS = 10
_FRAME = FRAME_MS * audio.SAMPLE_RATE // 1000
MIN_PAUSE_MS = 150
_FLOOR, _LOUD = 5, 95
"""Percentiles of the level."""
_SHARE = 0.35
"""A frame is quiet below this share of the way, in dB, from the floor to the loud parts."""
_NO_RANGE_DB, _SILENT_DB = 6.0, -60.0
"""A recording whose level varies less is one pause if it is below this level, or none at all."""
_VOWELS_HZ = (300.0, 4000.0)
_SMOOTH_FRAMES = 6
_DIP_DB = 3.0
_FALL_FRAMES = 12
"""Syllables: the band of the level, its smoothing, the least depth of a dip, and how long before
its bottom the fall is looked for."""


class Stretch(NamedTuple):
    """Segments of one utterance, without a pause between them."""

    id: str
    units: Ints
    """(N,)"""
    times: Doubles
    """Where each segment begins, and the last one ends, in seconds: (N + 1,)."""
    ends_syllable: NDArray[np.bool_]
    """Whether a syllable ends with the segment, (N,); of any segment where nobody knows."""


@dataclass(frozen=True)
class Stretches:
    """All speech of a unit file."""

    stretches: list[Stretch]
    n_units: int
    pauses_s: float
    """Seconds of the segments left out as pauses."""

    @property
    def seconds(self) -> float:
        """Seconds of speech."""
        return float(sum(one.times[-1] - one.times[0] for one in self.stretches))

    @property
    def units(self) -> Ints:
        """The units of all stretches, laid end to end: (N,)."""
        return np.concatenate([one.units for one in self.stretches])

    @property
    def bounds(self) -> Longs:
        """Where each stretch begins in `units`, and the last one ends: (S + 1,)."""
        return np.append(0, np.cumsum([len(one.units) for one in self.stretches]))


def stretches_of(
    unit_file: UnitFile, corpus: Corpus | None = None, *, min_pause_ms: float = MIN_PAUSE_MS
) -> Stretches:
    """The speech of all utterances of a unit file.

    Args:
        corpus: the recordings, to leave out pauses; None takes each utterance whole.

    Raises:
        InputError: ids or lengths that are not the corpus's, or all recordings are silent.
    """
    if corpus is not None and (note := unit_file.check_corpus(corpus)):
        warnings.warn(note, CorpusWarning, stacklevel=3)
    found: list[Stretch] = []
    pauses_s = 0.0
    for name in track(unit_file.ids, "Looking for pauses") if corpus else unit_file.ids:
        units, lengths = unit_file.segments(name)
        times = np.append(0, np.cumsum(lengths)) * unit_file.step_ms / 1000
        is_pause, ends = np.zeros(len(units), bool), np.ones(len(units), bool)
        if corpus is not None:
            wave = corpus.wave(corpus.by_id[name])
            is_pause = _mostly(pauses(wave, min_pause_ms=min_pause_ms), times)
            nearest = np.abs(times[1:, None] - syllable_onsets(wave)[None, :])
            ends[:] = False
            ends[nearest.argmin(axis=0)] = True
        pauses_s += float(np.diff(times)[is_pause].sum())
        edges = np.flatnonzero(np.diff(np.concatenate([[True], is_pause, [True]]).astype(np.int8)))
        for begin, end in edges.reshape(-1, 2).tolist():
            is_last = np.arange(begin, end) == end - 1
            inside = slice(begin, end)
            found.append(
                Stretch(name, units[inside], times[begin : end + 1], ends[inside] | is_last)
            )
    if not found:
        raise InputError(
            "all recordings are silent",
            path=None if corpus is None else corpus.folder,
            cause="the wrong channel was imported, or the level doesn't vary",
            remedy="leave out the corpus, and pauses are not looked for",
        )
    return Stretches(found, unit_file.n_units, pauses_s)


def pauses(wave: audio.Waveform, *, min_pause_ms: float = MIN_PAUSE_MS) -> NDArray[np.bool_]:
    """Which frames of 10 ms are in a pause, (T,)."""
    level = _level(wave, np.full(3, 1 / 3))
    n_frames = len(level)
    floor, loud = np.percentile(level, [_FLOOR, _LOUD])
    if loud - floor < _NO_RANGE_DB:
        return np.full(n_frames, loud < _SILENT_DB)
    quiet: NDArray[np.bool_] = level < floor + _SHARE * (loud - floor)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2).tolist():
        if (end - begin) * FRAME_MS < min_pause_ms:
            quiet[begin:end] = False
    return quiet


def syllable_onsets(wave: audio.Waveform) -> Doubles:
    """When syllables begin, in seconds: where the level of vowels falls fastest before a dip."""
    if len(wave) <= _SMOOTH_FRAMES * _FRAME:  # too short for the filter, and for two syllables
        return np.zeros(0)
    band = butter(2, _VOWELS_HZ, btype="band", fs=audio.SAMPLE_RATE, output="sos")
    window = np.hanning(_SMOOTH_FRAMES + 2)[1:-1]
    level = _level(sosfiltfilt(band, wave), window / window.sum())
    change = np.diff(level, prepend=level[0])
    dips, _ = find_peaks(-level, prominence=_DIP_DB)
    begins = np.maximum(dips - _FALL_FRAMES, 0)
    falls = [b + int(change[b : d + 1].argmin()) for b, d in zip(begins, dips, strict=True)]
    return np.array(falls) * FRAME_MS / 1000


def _level(wave: NDArray[np.floating], window: Doubles) -> Doubles:
    """Level in dB of frames of 10 ms, (T,), whose power is smoothed."""
    n_frames = max(1, -(-len(wave) // _FRAME))
    padded = np.zeros(n_frames * _FRAME)
    padded[: len(wave)] = wave
    power = (padded.reshape(n_frames, _FRAME) ** 2).mean(axis=1)
    level = 10 * np.log10(np.convolve(power, window, "same")[:n_frames] + 1e-12)
    return np.asarray(level)


def _mostly(quiet: NDArray[np.bool_], times: Doubles) -> NDArray[np.bool_]:
    """Which segments are in a pause for most of their time, (N,)."""
    total = np.append(0, np.cumsum(quiet)).astype(np.float64)
    at = np.interp(times * 1000 / FRAME_MS, np.arange(len(total)), total)
    return np.diff(at) * FRAME_MS / 1000 > np.diff(times) / 2
