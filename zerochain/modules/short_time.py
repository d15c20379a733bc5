"""A short-time Fourier transform and its inverse, for networks that shape spectra."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ShortTime(nn.Module):
    """Frames centred at i · hop, cut out by one window and laid over each other by another.

    What lies beyond the signal is zero. Far enough from its edges, `synthesise(analyse(x))` is x.
    The cutting window is shorter than the transform, so that what filters add to a frame's end
    has room; the other one, as long as the transform, lets that fade.

    Args:
        hop: samples from frame to frame.
        n_fft: samples of the transform, even.
        n_window: samples of the cutting window, at least two hops.
    """

    cutting: Tensor
    """(n_fft,)."""
    laying: Tensor
    """(n_fft,): divided by what the two windows add up to."""

    def __init__(self, hop: int, n_fft: int, n_window: int) -> None:
        super().__init__()
        if n_fft % 2 or not 2 * hop <= n_window <= n_fft:
            raise ValueError(
                f"{n_fft=} must be even and {n_window=} from two hops of {hop} to that"
            )
        self.hop, self.n_fft = hop, n_fft
        edge = (n_fft - n_window) // 2
        cutting = nn.functional.pad(
            torch.hann_window(n_window, dtype=torch.float64), (edge, n_fft - n_window - edge)
        )
        laying = torch.hann_window(n_fft, dtype=torch.float64)
        places = torch.arange(n_fft) % hop
        total = torch.zeros(hop, dtype=torch.float64).index_add_(0, places, cutting * laying)
        self.register_buffer("cutting", cutting.float(), persistent=False)
        self.register_buffer("laying", (laying / total[places]).float(), persistent=False)

    @property
    def n_bins(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def reach(self) -> int:
        """Frames to either side that a sample's synthesis depends on."""
        return -(-self.n_fft // (2 * self.hop))

    def analyse(self, waves: Tensor) -> Tensor:
        """waves (B, T · hop) → complex spectra (B, T, n_bins)."""
        half = self.n_fft // 2
        padded = nn.functional.pad(waves, (half, half - self.hop))
        spectra: Tensor = torch.fft.rfft(padded.unfold(-1, self.n_fft, self.hop) * self.cutting)
        return spectra

    def synthesise(self, spectra: Tensor) -> Tensor:
        """Complex spectra (B, T, n_bins) → waves (B, T · hop)."""
        n, hop = self.reach, self.hop
        edge = n * hop - self.n_fft // 2
        frames = nn.functional.pad(torch.fft.irfft(spectra, self.n_fft) * self.laying, (edge, edge))
        batch, n_frames = frames.shape[:2]
        # Block j of frame i falls into hop i + j − n of the signal.
        blocks = frames.view(batch, n_frames, 2 * n, hop)
        total = blocks.new_zeros(batch, n_frames + 2 * n - 1, hop)
        for j in range(2 * n):
            total[:, j : j + n_frames] += blocks[:, :, j]
        return total[:, n : n + n_frames].flatten(1)
