"""How units are to be spoken: at what pitch and how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.features.f0 import Contour, F0Statistics
from zerochain.formats.units import run_lengths
from zerochain.inversion.contours import resampled
from zerochain.inversion.f0_units import F0Quantizer
from zerochain.inversion.prosody import whole_steps
from zerochain.inversion.voices import Voice


@dataclass(frozen=True)
class Manner:
    """Changes to how units are spoken; the default changes nothing."""

    semitones: float = 0.0
    """The voice is so much higher."""
    flatten: bool = False
    """One pitch throughout: the voice's mean."""
    rate: float = 1.0
    """Above 1 is faster."""
    durations: Literal["given", "predicted"] = "given"
    """Whether units last as long as their file says, or, repeats merged, as the inverter thinks."""
    pitch: Literal["units", "exact"] = "units"
    """Whether a recording's pitch goes through F0 units, or is copied, moved to the voice."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            InputError: a rate that isn't positive, or more than five octaves.
        """
        if not 0 < self.rate < math.inf:
            raise InputError(f"a rate of {self.rate} is not positive", remedy="1.2 is faster")
        if not abs(self.semitones) <= 60:
            raise InputError(f"{self.semitones} semitones are no pitch", remedy="12 is an octave")

    @property
    def changes_pitch(self) -> bool:
        return self.flatten or self.semitones != 0

    def of_pitch(self, f0: Contour, statistics: F0Statistics) -> Contour:
        """F0 in Hz (T,), 0 where unvoiced, changed as asked."""
        voiced = f0 > 0
        hz = np.where(voiced, math.exp(statistics.log_mean), 0) if self.flatten else f0
        return (hz * 2 ** (self.semitones / 12)).astype(np.float32)


def at_rate(steps: NDArray[np.int32], rate: float) -> NDArray[np.int32]:
    """The unit of each step, faster: every run of a unit is shortened, none to less than a step.

    Args:
        steps: (N,).
        rate: above 1 is faster.
    """
    if rate == 1:
        return steps
    units, durations = run_lengths(steps)
    return np.repeat(units, whole_steps(durations.astype(np.float64), len(steps) / rate))


def aligned(old: NDArray[np.int32], new: NDArray[np.int32]) -> NDArray[np.float64]:
    """For each of `new`'s steps, where in `old` it comes from, where runs were stretched.

    Both have the same runs: so a contour follows its units, however unevenly they were rounded.
    """
    _, before = run_lengths(old)
    _, after = run_lengths(new)
    starts = np.cumsum(before) - before
    place = np.arange(len(new)) - np.repeat(np.cumsum(after) - after, after)
    stretch = np.repeat(before / after, after)
    return np.asarray(np.repeat(starts, after) + place * stretch, np.float64)


def moved(
    f0: Contour,
    step_ms: float,
    speaker: F0Statistics,
    voice: Voice,
    quantizer: F0Quantizer | None,
    places_ms: NDArray[np.float64],
) -> Contour:
    """A recording's F0 in another voice, at given times.

    Args:
        f0: Hz (T,) of the recording, 0 where unvoiced.
        step_ms: of a frame of it.
        speaker: statistics of whoever speaks in it.
        quantizer: F0 goes through its units; None: it is copied.
        places_ms: (N,) ascending times in the recording.

    Returns:
        Hz (N,), 0 where unvoiced.
    """
    if quantizer is None:
        here = voice.statistics.restored(speaker.normalised(f0), f0 > 0)
    else:
        n_frames = math.ceil(len(f0) * step_ms / quantizer.step_ms)
        fine = resampled(f0, step_ms, quantizer.step_ms, n_frames)
        units = quantizer.units(fine, speaker)
        here, step_ms = quantizer.contour(units, voice.statistics, n_frames), quantizer.step_ms
    frames = np.minimum((places_ms / step_ms).round().astype(np.int64), len(here) - 1)
    return np.asarray(here[frames], np.float32)
