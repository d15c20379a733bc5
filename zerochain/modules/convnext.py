"""Our default generator: a ConvNeXt at frame rate that filters an excitation's spectra.

The backbone and the inverse transform instead of upsampling are those of Vocos (Siuzdak 2024);
the source and its filters those of neural source-filter models (Wang et al. 2019) and DDSP (Engel
et al. 2020). Since the pitch is given rather than learned, spectral losses alone train it.

A short-time Fourier transform and its inverse, for networks that shape spectra.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from zerochain.audio import SAMPLE_RATE
from zerochain.modules.conditioning import ConditioningConfig
from zerochain.modules.excitation import Start, excite


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


_KERNEL = 7
_LOUDEST = 7.0  # of a log gain: no filter amplifies more than a thousandfold
_NOISE_WHERE_VOICED = -2.0  # log gain at 0 Hz, from where it rises to 0 at the Nyquist frequency
_SMOOTH_HZ = 250.0  # wider than most voices' harmonics lie apart
_BEFORE_TRAINING = -4.0  # log gain: about as loud as speech


class ConvNeXtBlock(nn.Module):
    """x plus a depthwise convolution and two pointwise layers of it (Liu et al. 2022).

    Args:
        width: channels C.
        scale: initial scale of what is added.
    """

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.depthwise = TimeConv(width, width, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pointwise = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, C), mask (B, T, 1) → (B, T, C)."""
        y: Tensor = self.pointwise(self.norm(self.depthwise(x)))
        return torch.addcmul(x, y, self.scale * mask)


class TimeConv(nn.Conv2d):
    """(B, T, C) → (B, T, C'), as an image with channels last: the fastest on a CPU."""

    def __init__(self, n_in: int, n_out: int, groups: int = 1) -> None:
        super().__init__(n_in, n_out, (1, _KERNEL), padding=(0, _KERNEL // 2), groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Convolution over T."""
        return super().forward(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)


class SourceFilterConfig(ConditioningConfig):
    """Sizes of the generator. The defaults make 4 million parameters."""

    width: int = Field(256, ge=1, le=65_536)
    n_blocks: int = Field(8, ge=1, le=256)
    n_fft: int = Field(1024, ge=16, multiple_of=2, le=65_536)
    n_window: int = Field(640, ge=16, le=65_536)
    """Samples of the window that cuts frames out of the excitation: room is left for filters."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not 2 * self.hop <= self.n_window <= self.n_fft:
            raise ValueError(
                f"n_window {self.n_window} must be from {2 * self.hop} (two hops) to "
                f"{self.n_fft} (n_fft)"
            )
        return self


class SourceFilterGenerator(nn.Module):
    """Units, pitch and voice → waveform: S = H_h · E_harmonic + H_n · E_noise, and back to time.

    The backbone predicts for each frame and frequency the log gain and the phase of H_h and the
    log gain of H_n. A table of mean log envelopes, one a unit, is added to both gains, so that
    training can begin at the unit-means baseline (`start_from`). Frame i is centred at i · hop;
    the output is exactly T · hop samples.

    Frames of the unit "nothing" are silent and equal what lies beyond the batch's edges: padding
    with them changes no other frame.
    """

    def __init__(self, config: SourceFilterConfig) -> None:
        super().__init__()
        self.config = config
        self.conditioning = config.conditioning()
        self.first = TimeConv(self.conditioning.dim, config.width)
        self.first_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.width, 1 / config.n_blocks) for _ in range(config.n_blocks)
        )
        self.last_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.transform = ShortTime(config.hop, config.n_fft, config.n_window)
        n_bins = self.transform.n_bins
        self.filters = nn.Linear(config.width, 3 * n_bins)
        self.means = nn.Embedding(config.n_units + 1, n_bins)
        nn.init.constant_(self.means.weight, _BEFORE_TRAINING)
        self.noise_where_voiced = nn.Parameter(torch.linspace(_NOISE_WHERE_VOICED, 0, n_bins))

    @property
    def reach(self) -> int:
        """Frames to either side that a frame's samples depend on."""
        return (1 + self.config.n_blocks) * (_KERNEL // 2) + self.transform.reach

    def log_magnitude(self, waves: Tensor) -> Tensor:
        """Log spectral envelopes, of whose means `start_from` is told.

        Power is averaged over neighbouring bins until no harmonics are left: those are the
        excitation's.

        Args:
            waves: (B, T · hop).

        Returns:
            (B, T, n_bins), at least −11.5.
        """
        power = self.transform.analyse(waves).abs().square()
        half = round(_SMOOTH_HZ * self.config.n_fft / SAMPLE_RATE / 2)
        weights = torch.hann_window(2 * half + 3, periodic=False, device=waves.device)[1:-1]
        padded = nn.functional.pad(power, (half, half), mode="replicate")
        smooth: Tensor = padded.unfold(-1, 2 * half + 1, 1) @ (weights / weights.sum())
        return smooth.clamp(min=1e-10).log() / 2

    def start_from(self, means: Tensor) -> None:
        """Start from each unit's mean log envelope, (n_units + 1, n_bins), with no correction.

        The gain is what is missing between an excitation of unit power and that.
        """
        self.means.weight.data.copy_(means - self.transform.cutting.square().sum().log() / 2)
        nn.init.zeros_(self.filters.weight)
        nn.init.zeros_(self.filters.bias)

    def forward(
        self,
        units: Tensor,
        f0_units: Tensor | None,
        f0: Tensor,
        voices: Tensor,
        start: Start | None = None,
    ) -> Tensor:
        """Speech (B, T · hop).

        Args:
            units: (B, T), of which `n_units` is nothing.
            f0_units: (B, T), or None where the generator has none.
            f0: (B, T) in Hz, 0 where unvoiced.
            voices: (B,) numbers, or (B, n_reference) vectors.
            start: where a chunk starts in its utterance (`excitation.starts`); None at its
                beginning.
        """
        mask = self.conditioning.mask(units)
        x = self.first_norm(self.first(self.conditioning(units, f0_units, f0, voices))) * mask
        for block in self.blocks:
            x = block(x, mask)
        # Spectra in full precision: CUDA has no complex numbers of autocast's.
        gain, angle, noise = self.filters(self.last_norm(x)).float().chunk(3, dim=-1)
        means, voiced = self.means(units), (f0 > 0)[..., None]
        gain = (gain + means).clamp(max=_LOUDEST).exp() * mask
        noise = noise + means + self.noise_where_voiced * voiced
        noise = noise.clamp(max=_LOUDEST).exp() * mask
        audible = mask.expand(-1, -1, self.config.hop).flatten(1)
        source = excite(f0, self.config.hop, start)
        buzz = self.transform.analyse(source.harmonic * audible)
        hiss = self.transform.analyse(source.noise * audible)
        return self.transform.synthesise(buzz * torch.polar(gain, angle) + hiss * noise)
