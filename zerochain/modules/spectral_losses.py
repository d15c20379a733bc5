"""How far a made waveform is from the true one, heard through its magnitudes alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerochain.modules.mel import mel_filters

RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""n_fft, hop and window of Yamamoto et al. 2020, in samples."""


def magnitude(waves: Tensor, n_fft: int, hop: int, n_window: int) -> Tensor:
    """waves (B, N) → magnitudes (B, n_fft // 2 + 1, 1 + N // hop), at least 3e-4.

    Hann windows; zeros beyond the edges. The floor keeps the slope of the root finite.
    """
    window = torch.hann_window(n_window, device=waves.device)
    spectrum = torch.stft(
        waves, n_fft, hop, n_window, window, pad_mode="constant", return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()
    return power.clamp(min=1e-7).sqrt()


class MelLoss(nn.Module):
    """Mean absolute difference of log mel spectra, as in HiFi-GAN (Kong et al. 2020).

    There its weight is 45.
    """

    filters: Tensor
    """(n_fft // 2 + 1, n_mels)."""

    def __init__(self, n_fft: int = 1024, hop: int = 256, n_mels: int = 80) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        filters = torch.from_numpy(mel_filters(n_fft, n_mels).copy())
        self.register_buffer("filters", filters, persistent=False)

    def log_mel(self, waves: Tensor) -> Tensor:
        """waves (B, N) → (B, frames, n_mels)."""
        mel = magnitude(waves, self.n_fft, self.hop, self.n_fft).transpose(1, 2) @ self.filters
        return mel.clamp(min=1e-5).log()

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """made, real (B, N) → ()."""
        return (self.log_mel(made) - self.log_mel(real)).abs().mean()


def multi_resolution_loss(
    made: Tensor, real: Tensor, resolutions: tuple[tuple[int, int, int], ...] = RESOLUTIONS
) -> Tensor:
    """Spectral convergence plus log magnitude distance, the mean over resolutions.

    ‖S − Ŝ‖ / ‖S‖ + mean |log S − log Ŝ| (Yamamoto et al. 2020), where ‖·‖ is Frobenius' norm over
    the batch.

    Args:
        made, real: (B, N).
        resolutions: n_fft, hop and window of each, in samples.
    """
    losses = []
    for n_fft, hop, n_window in resolutions:
        x, y = magnitude(real, n_fft, hop, n_window), magnitude(made, n_fft, hop, n_window)
        # The norm's own slope at zero is undefined, where made equals real.
        convergence = ((x - y).square().sum() + 1e-12).sqrt() / x.square().sum().sqrt()
        losses.append(convergence + (x.log() - y.log()).abs().mean())
    return torch.stack(losses).mean()
