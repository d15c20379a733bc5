"""MFCC-39 and log-mel-80 in torch, equal to librosa's numbers, for many utterances at once.

Utterances lie one after the other on one time axis, so that a batch wastes nothing on padding
and every step is one operation on all frames, on a CPU or a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from zerochain.audio import SAMPLE_RATE, Waveform
from zerochain.config import Config
from zerochain.modules.mel import cosines, mel_filters

_AMIN = 1e-10
_TOP_DB = 80.0
_DELTA_WIDTH = 9


class SpectralOptions(Config):
    """How frames are computed. The defaults are librosa's at 16 kHz, 25 ms and 10 ms."""

    kind: Literal["mfcc", "log-mel"] = "mfcc"
    window_ms: float = Field(25.0, ge=1, le=10_000)
    step_ms: float = Field(10.0, ge=1, le=10_000)
    n_mels: int = Field(80, ge=1, le=1024)
    n_mfcc: int = Field(13, ge=1, le=1024)
    n_deltas: Literal[0, 1, 2] = 2
    """Orders of regression coefficients after the MFCCs: 2 makes 13 into 39."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.hop * 1000 != self.step_ms * SAMPLE_RATE:
            nearest = self.hop * 1000 / SAMPLE_RATE
            raise ValueError(
                f"step_ms {self.step_ms:g} is no whole number of samples at {SAMPLE_RATE} Hz; "
                f"the nearest is {nearest:g}"
            )
        if self.kind == "mfcc" and self.n_mels < self.n_mfcc:
            raise ValueError(f"n_mels {self.n_mels} is too few for {self.n_mfcc} cepstra")
        return self

    @property
    def n_fft(self) -> int:
        """Samples of a window."""
        return round(self.window_ms * SAMPLE_RATE / 1000)

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return round(self.step_ms * SAMPLE_RATE / 1000)

    @property
    def dim(self) -> int:
        """Dimensions of a frame."""
        return self.n_mels if self.kind == "log-mel" else self.n_mfcc * (1 + self.n_deltas)


class SpectralExtractor:
    """Turns waveforms into frames: `extractor([wave, …])` gives one (T, D) array a wave.

    T = 1 + n // hop; frame i is centred at i · step_ms, with zeros beyond the edges. Equal to
    `librosa.feature.mfcc` + `librosa.feature.delta`, or `librosa.power_to_db(melspectrogram)`,
    with n_fft = window and the options' n_mels, to 1e-3. Below 9 frames, where librosa's deltas
    are undefined, the edge frames are repeated (its mode="nearest").
    """

    def __init__(self, options: SpectralOptions, device: str = "cpu") -> None:
        self.options = options
        self.device = torch.device(device)

    def __call__(self, waves: Sequence[Waveform]) -> list[NDArray[np.float32]]:
        """Frames of each wave.

        Args:
            waves: mono samples at 16 kHz, each (n ≥ 1,).
        """
        counts = [1 + len(wave) // self.options.hop for wave in waves]
        with torch.inference_mode():
            frames = self._flat(waves, counts).cpu().numpy()
        return np.split(frames, np.cumsum(counts)[:-1])

    def _flat(self, waves: Sequence[Waveform], counts: list[int]) -> Tensor:
        owner = torch.repeat_interleave(torch.tensor(counts, device=self.device))
        log_mel = self._log_mel(waves, counts)
        loudest = torch.full((len(waves),), -math.inf, device=self.device)
        loudest.scatter_reduce_(0, owner, log_mel.amax(dim=1), "amax")
        log_mel = torch.maximum(log_mel, (loudest - _TOP_DB)[owner, None])
        if self.options.kind == "log-mel":
            return log_mel
        cepstra = (log_mel.double() @ self._dct).float()
        return torch.cat([cepstra, *deltas(cepstra, counts, self.options.n_deltas)], dim=1)

    def _log_mel(self, waves: Sequence[Waveform], counts: list[int]) -> Tensor:
        """All frames' mel energies in dB, (N, n_mels), before the 80 dB floor."""
        n_fft, hop = self.options.n_fft, self.options.hop
        # Each wave starts on a multiple of the hop, after half a window of zeros.
        slots = [-(-(len(wave) + 2 * (n_fft // 2)) // hop) for wave in waves]
        starts = np.concatenate([[0], np.cumsum(slots)])
        signal = np.zeros(starts[-1] * hop + n_fft)
        for wave, start in zip(waves, starts, strict=False):
            begin = start * hop + n_fft // 2
            signal[begin : begin + len(wave)] = wave
        rows = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, counts, strict=False)])
        strided = torch.from_numpy(signal).to(self.device).unfold(0, n_fft, hop)
        everywhere: Tensor = torch.cat(
            [self._mel_db(block) for block in torch.split(strided, _BLOCK)]
        )
        return everywhere.index_select(0, torch.from_numpy(rows).to(self.device))

    def _mel_db(self, frames: Tensor) -> Tensor:
        # In single precision the quietest bands, 80 dB below the loudest, are off by 0.002 dB.
        spectrum = torch.fft.rfft(frames * self._window)
        power = spectrum.real.square().add_(spectrum.imag.square()).float()
        energy: Tensor = power @ self._mel
        return energy.clamp_(min=_AMIN).log10_().mul_(10)

    @cached_property
    def _window(self) -> Tensor:
        return torch.hann_window(self.options.n_fft, device=self.device, dtype=torch.float64)

    @cached_property
    def _mel(self) -> Tensor:
        filters = mel_filters(self.options.n_fft, self.options.n_mels)
        return torch.from_numpy(filters).to(self.device)

    @cached_property
    def _dct(self) -> Tensor:
        """Orthonormal DCT-II, (n_mels, n_mfcc)."""
        matrix = cosines(self.options.n_mels)[: self.options.n_mfcc].T
        return torch.from_numpy(matrix.copy()).to(self.device)


_BLOCK = 512  # frames: the window, spectrum and power of a block stay in the cache


def deltas(frames: Tensor, counts: Sequence[int], orders: int) -> list[Tensor]:
    """First (and second) derivatives by Savitzky-Golay regression over nine frames.

    A polynomial of the derivative's own order has the same derivative all over its window, so
    librosa's interpolated edges are the outermost inner values.

    Args:
        frames: (N, D), utterances one after the other.
        counts: frames of each utterance, N in all.
        orders: 0, 1 or 2.

    Returns:
        One (N, D) for each order.
    """
    if orders == 0:
        return []
    half = _DELTA_WIDTH // 2
    parts = list(torch.split(frames, list(counts)))
    rows, start = [], 0
    for i, n in enumerate(counts):
        here = np.arange(n)
        if n < _DELTA_WIDTH:  # regression over repeated edges, centred at every frame
            edge = parts[i][:1].expand(half, -1), parts[i][-1:].expand(half, -1)
            parts[i] = torch.cat([edge[0], parts[i], edge[1]])
        else:
            here = np.clip(here - half, 0, n - _DELTA_WIDTH)
        rows.append(start + here)
        start += len(parts[i])
    flat = frames if start == len(frames) else torch.cat(parts)
    weights = torch.from_numpy(_regression(orders)).to(frames)
    slopes = flat.unfold(0, _DELTA_WIDTH, 1) @ weights
    chosen = slopes[torch.from_numpy(np.concatenate(rows)).to(frames.device)]
    return list(chosen.unbind(dim=-1))


def _regression(orders: int) -> NDArray[np.float64]:
    """Weights of the nine frames for each derivative, (9, orders), as scipy's savgol_coeffs.

    In closed form: scipy.signal takes half a second to import.
    """
    x = np.arange(_DELTA_WIDTH) - _DELTA_WIDTH // 2
    slope = x / (x**2).sum()
    bend = x**2 - (x**2).mean()
    return np.stack([slope, 2 * bend / (bend**2).sum()], axis=1)[:, :orders]
