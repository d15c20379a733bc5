"""Tone: F0 relative to the speech around it, beside the MFCCs or as a stream of its own.

A high tone is high for its place in the utterance: speakers differ in level, and F0 declines from
phrase to phrase. The height of a frame is therefore its log F0 in semitones, smoothed over voiced
frames, less either a running mean of half a second, which takes away level, declination and phrase
intonation alike, or a robust line through the utterance (Theil 1950, Sen 1968). Both come from the
utterance alone, so unknown speakers need nothing. Unvoiced frames are interpolated. Tone counts
most in voiced and loud frames, which are mostly vowels: elsewhere it would only be noise.

Beside MFCCs, what separates tones blurs other phones. The stream alone, of kind "tone", leaves
them as they are: its frames are points on half a circle, and differ by the angle between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import scipy  # scipy.ndimage and scipy.stats are loaded where they are used
from numpy.typing import NDArray
from pydantic import Field, model_validator

from zerochain.audio import Waveform
from zerochain.config import Config
from zerochain.errors import InputError
from zerochain.features.f0 import Contour, F0Extractor, F0Options
from zerochain.features.normalisation import TONE, TONE_ALONE, n_tone
from zerochain.features.spectral import SpectralExtractor, SpectralOptions

Doubles = NDArray[np.float64]

_LEAST_VOICED = 3  # frames: a contour through fewer is chance
_LINE_POINTS = 300  # a robust line looks at all pairs of points
_UNHEARD = 1e-3  # the weight of an interpolated frame beside a voiced one's 1
_SLOPE_FRAMES_MS = 180.0
_VOICING_MS = 20.0
_LOUDNESS = 3.0  # a deviation above the mean level is nearly all, one below nearly nothing
_EQUALLY_LOUD = 1e-5
_SATURATION = 1.5  # per semitone: two thirds of one above is high, and three are hardly higher


class ToneOptions(Config):
    """How tone is measured, and how it is weighted beside MFCCs."""

    kind: Literal["mfcc+tone", "tone"] = TONE
    """Behind MFCCs, or alone; then no weight applies."""
    spectral: SpectralOptions = SpectralOptions()
    reference: Literal["local", "declination"] = "local"
    """What F0 is relative to: its running mean, or a robust line through the utterance."""
    smooth_ms: float = Field(30.0, ge=1, le=1000)
    """Standard deviation of the Gaussian that smooths F0."""
    surround_ms: float = Field(250.0, ge=1, le=10_000)
    """Likewise of the running mean."""
    weight: float = Field(1.2, gt=0, le=100)
    """Of a semitone, where MFCCs have a deviation of 1 (after normalisation)."""
    vowels: bool = True
    """Whether height and slope count less in frames that are hardly voiced or quiet."""
    slope_weight: float = Field(0.0, ge=0, le=100)
    """Of a slope of a semitone in 100 ms, by regression over 180 ms; 0 leaves it out."""
    voicing_weight: float = Field(0.0, ge=0, le=100)
    """Of voicing, 0 or 1; 0 leaves it out."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.spectral.kind != "mfcc":
            raise ValueError(f"tone stands beside MFCCs, not {self.spectral.kind}")
        if self.reference == "local" and self.surround_ms <= self.smooth_ms:
            raise ValueError(
                f"surround_ms {self.surround_ms:g} must be above smooth_ms {self.smooth_ms:g}"
            )
        F0Options(step_ms=self.spectral.step_ms)  # has its own limits
        return self

    @property
    def step_ms(self) -> float:
        return self.spectral.step_ms

    @property
    def dim(self) -> int:
        """Dimensions of a frame."""
        n = n_tone(self.kind, self.model_dump())
        return n if self.kind == TONE_ALONE else self.spectral.dim + n


class ToneExtractor:
    """Turns waveforms into MFCCs with tone behind them, (T, D + 1 … 3), or tone alone, (T, 2).

    T is as for MFCCs.
    """

    def __init__(self, options: ToneOptions, device: str = "cpu") -> None:
        self.options = options
        self._spectra = SpectralExtractor(options.spectral, device)
        self._contours = F0Extractor(F0Options(step_ms=options.step_ms), device)

    def __call__(self, waves: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        """Frames of each wave.

        Args:
            waves: mono samples at 16 kHz, each (n ≥ 1,).
        """
        pairs = zip(self._spectra(waves), self._contours(waves), strict=True)
        alone = self.options.kind == TONE_ALONE
        return [
            tone if alone else np.concatenate([frames, tone], axis=1)
            for frames, tone in ((x, self._tone(f0[:, 0], x)) for x, f0 in pairs)
        ]

    def _tone(self, f0: Contour, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return tone_stream(_as_long(f0, len(frames)), self.options, level=frames[:, 0])


def tone_stream(
    f0: Contour, options: ToneOptions, level: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Weighted height and, if asked for, slope and voicing of a contour.

    Where fewer than three frames are voiced, height and slope are 0, which is neither high nor
    low. A constant F0 gives the same.

    Args:
        f0: Hz (T,), 0 where unvoiced, one value every `options.step_ms`.
        level: loudness of each frame on any logarithmic scale (T,), such as the first cepstrum;
            None takes all frames as equally loud.

    Returns:
        (T, 1 … 3) or, of kind "tone", cosine and sine of an angle between -π / 2 (low) and π / 2
        (high): (T, 2).

    Raises:
        InputError: NaN, or below 0.
    """
    if not np.isfinite(f0).all() or (f0 < 0).any():
        raise InputError(
            "an F0 contour has NaN, infinite or negative values",
            cause="it was made by another program",
            remedy="give Hz, and 0 where speech is unvoiced",
        )
    height = tone_height(f0, options)
    focus = _focus(f0 > 0, level, options.step_ms) if options.vowels else np.ones(len(f0))
    if options.kind == TONE_ALONE:
        # Between a small and a large step of F0 speakers differ more than tones do: it saturates.
        angle = np.pi / 2 * np.tanh(_SATURATION * height) * focus
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    parts = [options.weight * height * focus]
    if options.slope_weight > 0:
        parts.append(options.slope_weight * _slope(height, options.step_ms) * focus)
    if options.voicing_weight > 0:
        parts.append(options.voicing_weight * (f0 > 0).astype(np.float64))
    return np.stack(parts, axis=1).astype(np.float32)


def tone_height(f0: Contour, options: ToneOptions) -> Doubles:
    """Semitones (T,) above (or below) what F0 is relative to; see `tone_stream`."""
    voiced = f0 > 0
    if np.count_nonzero(voiced) < _LEAST_VOICED:
        return np.zeros(len(f0))
    at = np.flatnonzero(voiced)
    # Relative to the mean from the start: smaller numbers, and a constant is exactly 0.
    logs = 12 * np.log2(f0[at].astype(np.float64))
    semitones = np.interp(np.arange(len(f0)), at, logs - logs.mean())
    smooth = _smoothed(semitones, voiced, options.smooth_ms / options.step_ms)
    if options.reference == "declination":
        return smooth - _line(semitones, at)
    return smooth - _smoothed(semitones, voiced, options.surround_ms / options.step_ms)


def _smoothed(semitones: Doubles, voiced: NDArray[np.bool_], deviation: float) -> Doubles:
    """Gaussian mean of the voiced frames near each; far from any, of the interpolated ones."""
    weight = np.where(voiced, 1.0, _UNHEARD)
    blur = scipy.ndimage.gaussian_filter1d
    return np.asarray(blur(weight * semitones, deviation) / blur(weight, deviation))


def _focus(voiced: NDArray[np.bool_], level: NDArray[np.float32] | None, step_ms: float) -> Doubles:
    """From 0 (unvoiced or quiet) to 1 (voiced and loud), (T,)."""
    near = scipy.ndimage.gaussian_filter1d(voiced.astype(np.float64), _VOICING_MS / step_ms)
    if level is None:
        return np.asarray(near)
    centred = level.astype(np.float64) - level.mean(dtype=np.float64)
    deviation = np.sqrt((centred**2).mean())
    loud = centred / deviation if deviation > _EQUALLY_LOUD else centred * 0
    return np.asarray(near / (1 + np.exp(-_LOUDNESS * loud)))


def _line(semitones: Doubles, voiced_at: NDArray[np.int64]) -> Doubles:
    """The Theil-Sen line through the voiced frames, at every frame (T,)."""
    chosen = voiced_at[:: -(-len(voiced_at) // _LINE_POINTS)]
    if len(chosen) < _LEAST_VOICED:
        return np.full(len(semitones), np.median(semitones[voiced_at]))
    slope, offset, _, _ = scipy.stats.theilslopes(semitones[chosen], chosen)
    return np.asarray(offset + slope * np.arange(len(semitones)))


def _slope(height: Doubles, step_ms: float) -> Doubles:
    """Semitones in 100 ms (T,): regression over 180 ms, edges repeated."""
    half = max(1, round(_SLOPE_FRAMES_MS / step_ms / 2))
    x = np.arange(-half, half + 1)
    padded = np.pad(height, half, mode="edge")
    per_frame = np.lib.stride_tricks.sliding_window_view(padded, len(x)) @ (x / (x**2).sum())
    return np.asarray(per_frame * 100 / step_ms)


def _as_long(f0: Contour, n_frames: int) -> Contour:
    """A contour cut, or continued as unvoiced, to the MFCCs' frames: they have one more at most."""
    return np.pad(f0[:n_frames], (0, max(0, n_frames - len(f0))))
