"""A waveform for a magnitude spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor

from zerochain.inversion.spectrogram import SpectrogramOptions


def griffin_lim(
    magnitude: Tensor,
    options: SpectrogramOptions,
    *,
    n_iterations: int = 32,
    momentum: float = 0.99,
    seed: int = 0,
) -> Tensor:
    """Fast Griffin-Lim (Perraudin, Balazs and Søndergaard, WASPAA 2013).

    Args:
        magnitude: (T, n_bins), linear.
        options: the transform it belongs to.
        momentum: 0 is plain Griffin-Lim (Griffin and Lim, 1984).
        seed: of the random phase it starts from.

    Returns:
        (T · hop,) samples: frame i is centred at i · hop, and the last frame has its whole hop.
    """
    n_frames = len(magnitude)
    window = options.window(magnitude.device)
    target = magnitude.T
    generator = torch.Generator().manual_seed(seed)
    phase = 2 * torch.pi * torch.rand(target.shape, generator=generator).to(target)
    estimate = torch.polar(target, phase)
    previous = torch.zeros_like(estimate)
    length = n_frames * options.hop

    def waveform(spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, options.n_fft, options.hop, window=window, length=length)

    for _ in range(n_iterations):
        consistent = torch.stft(
            waveform(estimate),
            options.n_fft,
            options.hop,
            window=window,
            pad_mode="constant",
            return_complex=True,
        )[:, :n_frames]
        ahead = consistent + momentum * (consistent - previous)
        previous = consistent
        estimate = target * ahead / ahead.abs().clamp_(min=1e-12)
    return waveform(estimate)
