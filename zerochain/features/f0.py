"""F0: normalised cross-correlation, the best path through its peaks, and speakers' statistics.

As in RAPT (Talkin 1995) and Praat's "to pitch (cc)" (Boersma 1993): each lag's correlation is
between two windows that lie symmetrically about the frame and are as long as the lag itself; its
peaks are candidates, and Viterbi's algorithm chooses between them and "unvoiced". Contours are in
Hz, 0 where unvoiced; statistics are of log F0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.config import Config
from zerochain.errors import InputError
from zerochain.kernels import compiled

Floats = NDArray[np.float32]


_DECIMATION = 2
_RATE = SAMPLE_RATE // _DECIMATION
_BAND_HZ = (90.0, 1500.0)  # rumble lies below it, most frication above
_N_TAPS = 641
_FFT_SIZE = 8192
_BLOCKS = 16  # of the filter at a time: they stay in the cache
_SHORTEST_WINDOW = 80  # samples, 10 ms: shorter windows of noise correlate by chance
_LEVEL_WINDOW = 160
_ROUNDING = 1e-6
_N_CANDIDATES = 8
_BLOCK = 2048  # frames at a time
_NEAR = 0.85  # of the best correlation: a peak as high may be the true period
_OCTAVE_COST = 0.14  # for an octave below the highest such peak: two periods correlate as well
_JUMP_COST = 0.7  # for an octave between frames 10 ms apart
_SWITCH_COST = 0.3  # for a change of voicing, likewise
_QUIET = 0.05  # of the level of loud frames: below it frames are hardly voiced
_FLOOR = 1e-3  # of the level of loud frames: noise below it correlates with nothing
_LOUD_PERCENTILE = 95
_DEFAULT_HZ, _DEFAULT_DEVIATION, _SMALLEST_DEVIATION = 120.0, 0.2, 0.01

Contour = NDArray[np.float32]
"""F0 in Hz (T,), 0 where unvoiced."""


class F0Options(Config):
    """Where F0 is searched, and how often."""

    kind: Literal["f0"] = "f0"
    low_hz: float = Field(60.0, ge=40)
    high_hz: float = Field(500.0, le=800)
    step_ms: float = Field(5.0, ge=1)
    threshold: float = Field(0.5, ge=0, le=1)
    """A correlation above which a frame tends to be voiced."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.low_hz * 1.5 > self.high_hz:
            raise ValueError(f"low_hz {self.low_hz:g} … high_hz {self.high_hz:g} is no range")
        if self.hop * 1000 != self.step_ms * SAMPLE_RATE or self.hop % _DECIMATION:
            raise ValueError(
                f"step_ms {self.step_ms:g} is no whole number of samples at {_RATE} Hz; the "
                f"nearest is {round(self.step_ms * _RATE / 1000) * 1000 / _RATE:g}"
            )
        return self

    @property
    def hop(self) -> int:
        return round(self.step_ms * SAMPLE_RATE / 1000)

    @property
    def dim(self) -> int:
        return 1


_DEFAULTS = F0Options()


def track_f0(wave: Waveform, options: F0Options = _DEFAULTS, device: str = "cpu") -> Contour:
    """F0 of a recording every `step_ms`.

    Args:
        wave: mono samples at 16 kHz (n ≥ 1,).
        options: range, step and threshold.
        device: where the correlations are computed.

    Returns:
        Hz (T,), 0 where unvoiced; T = ⌈n / step⌉, frame i is centred at i · step. Neither level
        nor offset of the wave matter; silence and what is too short are unvoiced.

    Raises:
        InputError: no samples, or NaN.
    """
    wave = np.asarray(wave)
    if wave.ndim != 1 or len(wave) == 0 or not np.isfinite(wave).all():
        raise InputError(
            f"samples of shape {wave.shape} with NaN or without a sample have no F0",
            cause="the recording is empty or damaged",
            remedy="fix or remove it",
        )
    n_frames = -(-len(wave) // options.hop)
    centred = wave - np.float32(wave.mean(dtype=np.float64))
    peak = _peak(centred)
    if peak <= _ROUNDING * _peak(wave):
        return np.zeros(n_frames, np.float32)
    with torch.inference_mode():
        return _tracked(centred / np.float32(peak), n_frames, options, torch.device(device))


def _peak(wave: Waveform) -> float:
    return max(float(wave.max()), -float(wave.min()))


def _tracked(wave: Waveform, n_frames: int, options: F0Options, device: torch.device) -> Contour:
    lags = np.arange(int(_RATE / options.high_hz) - 1, math.ceil(_RATE / options.low_hz) + 2)
    hop, margin = options.hop // _DECIMATION, max(int(lags[-1]), _LEVEL_WINDOW) + 1
    band = _low_band(torch.from_numpy(wave).to(device))
    waves = torch.zeros(margin + n_frames * hop + margin, device=device)
    waves[margin : margin + len(band)] = band

    def blocks() -> Iterator[Tensor]:
        """Frames, `margin` samples before and after their centres."""
        for first in range(0, n_frames, _BLOCK):
            last = min(first + _BLOCK, n_frames)
            yield waves[first * hop : (last - 1) * hop + 2 * margin]

    level = torch.cat([_levels(block, hop, margin) for block in blocks()]).cpu().numpy()
    loud = float(np.percentile(level, _LOUD_PERCENTILE))
    if loud <= _ROUNDING:
        loud = max(float(level.max()), _ROUNDING)
    parts = [_candidates(block, hop, margin, lags, _FLOOR * loud) for block in blocks()]
    pitch, strength = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    unvoiced = options.threshold + np.clip(1 - level / (_QUIET * loud), 0, None)
    scale = 10 / options.step_ms
    find = best_path if best_path.pays(n_frames, _SPARED_FRAMES) else uncompiled_best_path
    path = find(
        pitch, strength, unvoiced.astype(np.float32), _JUMP_COST * scale, _SWITCH_COST * scale
    )
    f0: Contour = np.clip(np.exp2(path), options.low_hz, options.high_hz, dtype=np.float32)
    return np.where(np.isnan(path), np.float32(0), f0)


def _low_band(wave: Tensor) -> Tensor:
    """The band in which F0 is searched, at half the rate: (n,) → (⌈n / 2⌉,).

    By overlap-save: what a block's transform gives first, one value fewer than there are taps, is
    wrapped around.
    """
    step = _FFT_SIZE - (_N_TAPS - 1)
    n_blocks = -(-len(wave) // step)
    padded = torch.zeros(n_blocks * step + _N_TAPS - 1, device=wave.device)
    padded[_N_TAPS // 2 : _N_TAPS // 2 + len(wave)] = wave
    response = torch.fft.rfft(torch.from_numpy(band_pass()).to(wave), n=_FFT_SIZE)
    blocks = padded.unfold(0, _FFT_SIZE, step)
    band = torch.empty(n_blocks, step // _DECIMATION, device=wave.device)
    for b in range(0, n_blocks, _BLOCKS):
        filtered = torch.fft.irfft(torch.fft.rfft(blocks[b : b + _BLOCKS]) * response, n=_FFT_SIZE)
        band[b : b + _BLOCKS] = filtered[:, _N_TAPS - 1 :: _DECIMATION]
    return band.flatten()[: -(-len(wave) // _DECIMATION)]


@lru_cache
def band_pass() -> NDArray[np.float64]:
    """The filter's taps: the difference of two low passes under a Hamming window, 1 in the middle.

    As `scipy.signal.firwin`; scipy.signal takes half a second to import.
    """
    low, high = (2 * hz / SAMPLE_RATE for hz in _BAND_HZ)
    place = np.arange(_N_TAPS) - _N_TAPS // 2
    taps = high * np.sinc(high * place) - low * np.sinc(low * place)
    taps *= np.hamming(_N_TAPS)
    middle = np.cos(np.pi * place * (low + high) / 2)
    return np.asarray(taps / (taps @ middle))


def _levels(block: Tensor, hop: int, margin: int) -> Tensor:
    """Root mean square about each frame's centre (T,)."""
    window = _windows(block, margin - _LEVEL_WINDOW // 2, _LEVEL_WINDOW, hop, margin)
    return window.square().mean(1).sqrt()


def _candidates(
    block: Tensor, hop: int, margin: int, lags: NDArray[np.int64], floor: float
) -> tuple[Tensor, Tensor]:
    """log2 Hz (T, N) and strength (T, N) of each frame's best peaks; -inf where there are fewer."""
    correlation = torch.stack([_correlation(block, hop, margin, int(k), floor) for k in lags])
    before, here, after = correlation[:-2], correlation[1:-1], correlation[2:]
    curvature = before - 2 * here + after
    shift = (before - after) / (2 * torch.where(curvature < 0, curvature, -1))
    lag = torch.from_numpy(lags[1:-1]).to(block)[:, None] + shift.clamp(-0.5, 0.5)
    pitch = math.log2(_RATE) - lag.log2()
    height = here + (after - before) * shift / 4
    height = height.where((here > before) & (here >= after), -math.inf)
    near_best = height >= _NEAR * height.amax(0)
    first = pitch.gather(0, near_best.byte().argmax(0, keepdim=True))
    strength = height - _OCTAVE_COST * (first - pitch).clamp(min=0)
    best = strength.topk(min(_N_CANDIDATES, len(strength)), dim=0)
    return pitch.gather(0, best.indices).T, best.values.T


def _correlation(block: Tensor, hop: int, margin: int, lag: int, floor: float) -> Tensor:
    """Normalised correlation of two windows `lag` apart, the frame's centre midway (T,)."""
    n = max(lag, _SHORTEST_WINDOW)
    begin = margin - (n + lag) // 2
    a = _windows(block, begin, n, hop, margin)
    b = _windows(block, begin + lag, n, hop, margin)
    energy = (a.square().sum(1) + n * floor**2) * (b.square().sum(1) + n * floor**2)
    return (a * b).sum(1) / energy.sqrt()


def _windows(block: Tensor, begin: int, n: int, hop: int, margin: int) -> Tensor:
    """Of each frame n samples from `begin` on, counted from `margin` before its centre (T, n)."""
    n_frames = 1 + (len(block) - 2 * margin) // hop
    return block[begin : begin + (n_frames - 1) * hop + n].unfold(0, n, hop)


@compiled()
def best_path(
    pitch: Floats, strength: Floats, unvoiced: Floats, jump_cost: float, switch_cost: float
) -> Floats:
    """F0 along the path of the largest summed strength less transition costs, by Viterbi.

    Args:
        pitch: log2 Hz of each frame's candidates (T, N).
        strength: of each candidate (T, N); -inf where there is none.
        unvoiced: strength of being unvoiced (T,).
        jump_cost: for each octave between voiced frames.
        switch_cost: for each change of voicing.

    Returns:
        log2 Hz (T,), NaN where unvoiced.
    """
    n_frames, n = pitch.shape
    came_from = np.empty((n_frames, n + 1), np.uint8)
    score = np.empty(n + 1)  # the last state is unvoiced
    new = np.empty(n + 1)
    score[:n] = strength[0]
    score[n] = unvoiced[0]
    for t in range(1, n_frames):
        for to in range(n + 1):
            best = score[n] - (switch_cost if to < n else 0.0)
            came_from[t, to] = n
            for start in range(n):
                cost = (
                    switch_cost if to == n else jump_cost * abs(pitch[t, to] - pitch[t - 1, start])
                )
                if score[start] - cost > best:
                    best = score[start] - cost
                    came_from[t, to] = start
            new[to] = best + (unvoiced[t] if to == n else strength[t, to])
        score, new = new, score
    path = np.empty(n_frames, np.float32)
    state = int(np.argmax(score))
    for t in range(n_frames - 1, -1, -1):
        path[t] = np.nan if state == n else pitch[t, state]
        state = int(came_from[t, state])
    return path


_SPARED_FRAMES = 2000  # in a process, 10 s of speech: loading the kernel takes longer


def uncompiled_best_path(
    pitch: Floats, strength: Floats, unvoiced: Floats, jump_cost: float, switch_cost: float
) -> Floats:
    """`best_path` frame by frame in NumPy: the same, twenty times as slow."""
    n_frames, n = pitch.shape
    costs = np.empty((n_frames - 1, n + 1, n + 1))  # of the step from a state, last, to a state
    np.abs(pitch[1:, :, None] - pitch[:-1, None, :], out=costs[:, :n, 1:])
    costs[:, :n, 1:] *= jump_cost
    costs[:, :n, 0] = costs[:, n, 1:] = switch_cost
    costs[:, n, 0] = 0
    gains = np.concatenate([strength, unvoiced[:, None]], axis=1, dtype=np.float64)
    came_from = np.empty((n_frames, n + 1), np.int64)
    score, states = gains[0], np.arange(n + 1)
    for t in range(1, n_frames):
        # Unvoiced comes first: of equal paths the compiled loop takes the one from there.
        reached = np.concatenate([score[n:], score[:n]]) - costs[t - 1]
        came_from[t] = reached.argmax(axis=1)
        score = reached[states, came_from[t]] + gains[t]
    path = np.full(n_frames, np.nan, np.float32)
    state = int(score.argmax())
    for t in range(n_frames - 1, -1, -1):
        if state < n:
            path[t] = pitch[t, state]
        state = (came_from[t, state] - 1) % (n + 1)
    return path


class F0Extractor:
    """Turns waveforms into contours for a features folder: (T, 1) each, Hz, 0 where unvoiced."""

    def __init__(self, options: F0Options, device: str = "cpu") -> None:
        self.options = options
        self.device = device

    def __call__(self, waves: Sequence[Waveform]) -> list[Contour]:
        return [track_f0(wave, self.options, self.device)[:, None] for wave in waves]


@dataclass(frozen=True)
class F0Statistics:
    """Mean and standard deviation of a speaker's log F0 (natural logarithm of Hz), voiced frames.

    Where nothing is voiced they are those of 120 Hz and 0.2; a deviation is never below 0.01, so
    that a monotone voice can be normalised.
    """

    log_mean: float
    log_deviation: float
    n_voiced: int

    def __post_init__(self) -> None:
        finite = math.isfinite(self.log_mean) and math.isfinite(self.log_deviation)
        if not finite or self.log_deviation <= 0 or self.n_voiced < 0:
            raise ValueError(f"{self} can't be")

    @classmethod
    def of(cls, contours: Iterable[Contour]) -> Self:
        """From F0 contours in Hz, (T,) each."""
        n, total, squares = 0, 0.0, 0.0
        for contour in contours:
            logs = np.log(contour[contour > 0].astype(np.float64)) - math.log(_DEFAULT_HZ)
            n, total, squares = n + len(logs), total + logs.sum(), squares + (logs**2).sum()
        if n == 0:
            return cls(math.log(_DEFAULT_HZ), _DEFAULT_DEVIATION, 0)
        mean = float(total / n)
        deviation = math.sqrt(max(0.0, float(squares / n) - mean**2))
        return cls(math.log(_DEFAULT_HZ) + mean, max(deviation, _SMALLEST_DEVIATION), n)

    def normalised(self, f0: Contour) -> NDArray[np.float32]:
        """(log F0 - mean) / deviation where voiced, else 0; (T,)."""
        voiced = f0 > 0
        logs = np.log(np.where(voiced, f0, 1).astype(np.float64))
        return np.where(voiced, (logs - self.log_mean) / self.log_deviation, 0).astype(np.float32)

    def restored(self, z: NDArray[np.float32], voiced: NDArray[np.bool_]) -> Contour:
        """The inverse of `normalised`: Hz where voiced, else 0; (T,)."""
        hz = np.exp(self.log_mean + self.log_deviation * z.astype(np.float64))
        return np.where(voiced, hz, 0).astype(np.float32)
