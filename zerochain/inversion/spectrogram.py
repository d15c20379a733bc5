"""The spectra that an inverter predicts: linear or log magnitudes of a short-time transform."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from zerochain.audio import SAMPLE_RATE

_FLOOR = 1e-5


class SpectrogramOptions(BaseModel):
    """A short-time Fourier transform whose frame i is centred at i · hop samples.

    The window is shorter than the transform: 1024 of 2048 samples gives Griffin-Lim a better
    phase than a full window, and keeps the published 1025 bins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_fft: int = Field(2048, ge=16, le=65_536)
    n_window: int = Field(1024, ge=16, le=65_536)
    hop: int = Field(160, ge=1, le=65_536)
    scale: Literal["log", "linear"] = "log"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.n_window > self.n_fft:
            raise ValueError(f"n_window {self.n_window} is longer than n_fft {self.n_fft}")
        return self

    @property
    def n_bins(self) -> int:
        return self.n_fft // 2 + 1

    def window(self, device: torch.device | str) -> Tensor:
        """The Hann window in the middle of n_fft samples."""
        edge = (self.n_fft - self.n_window) // 2
        window = torch.hann_window(self.n_window, device=device)
        return torch.nn.functional.pad(window, (edge, self.n_fft - self.n_window - edge))

    def magnitude(self, waves: Tensor) -> Tensor:
        """waves (B, (T - 1) · hop + n_fft) → (B, T, n_bins), without padding."""
        return self.magnitude_of_frames(waves.unfold(-1, self.n_fft, self.hop))

    def magnitude_of_frames(self, frames: Tensor) -> Tensor:
        """The samples around each frame's centre (…, n_fft) → (…, n_bins)."""
        spectrum: Tensor = torch.fft.rfft(frames * self.window(frames.device))
        return spectrum.abs()

    def scaled(self, magnitude: Tensor) -> Tensor:
        """What the network predicts."""
        return (magnitude + _FLOOR).log() if self.scale == "log" else magnitude

    def unscaled(self, spectrum: Tensor) -> Tensor:
        """The inverse of `scaled`; never negative."""
        magnitude = spectrum.exp() - _FLOOR if self.scale == "log" else spectrum
        return magnitude.clamp(min=0)


def hop_of(step_ms: float) -> int:
    """Samples in a step."""
    return round(step_ms * SAMPLE_RATE / 1000)
