"""Our generator of waveforms from units, F0 and a voice: filters of an excitation.

A ConvNeXt at frame rate filters the spectra of an excitation (a buzz at F0, and noise). The
backbone and the inverse transform instead of upsampling are those of Vocos (Siuzdak 2024); the
source and its filters those of neural source-filter models (Wang et al. 2019) and DDSP (Engel et
al. 2020). Since the pitch is given rather than learned, spectral losses alone train it.

The excitation is a function of a sample's position in the utterance, never of where a computation
began, so that speech synthesised in chunks is the same as speech synthesised at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from zerochain.audio import SAMPLE_RATE
from zerochain.modules.conditioning import ConditioningConfig


class Start(NamedTuple):
    """The state of the excitation at the start of a chunk."""

    phase: Tensor
    """(B,) float64: phase of the fundamental, in cycles."""
    noise: Tensor
    """(B,) int64: position in an endless sequence of noise."""

    @classmethod
    def random(cls, n: int, seed: int) -> Self:
        """Random states for training segments, so that no network memorises a piece of noise."""
        generator = torch.Generator().manual_seed(seed)
        phase = torch.rand(n, generator=generator, dtype=torch.float64)
        return cls(phase, torch.randint(1 << 62, (n,), generator=generator))


class Excitation(NamedTuple):
    """The two parts of the excitation, each with a flat spectrum and, where not zero, power 1."""

    harmonic: Tensor
    """(B, T · hop): zero where unvoiced."""
    noise: Tensor
    """(B, T · hop)."""


def starts(f0: Tensor, hop: int, seed: int = 0) -> Start:
    """The state at every frame: fields of shape (B, T), from which `at` selects a frame.

    Args:
        f0: contours (B, T) of whole utterances in Hz, 0 where unvoiced.
        hop: samples per frame.
        seed: seed of the noise.
    """
    left, right = _ends(f0)
    advance = _advance(left, right, hop) * (f0 > 0)
    phase = advance.cumsum(dim=1) - advance
    first = _hashed(torch.tensor(seed, device=f0.device))
    noise = first + hop * torch.arange(f0.shape[1], device=f0.device)
    return Start(phase - phase.round(), noise.expand(f0.shape))


def at(start: Start, frame: int) -> Start:
    """The state at a chunk's first frame, selected from the result of `starts`."""
    return Start(start.phase[:, frame], start.noise[:, frame])


@torch.no_grad()
def excite(f0: Tensor, hop: int, start: Start | None = None) -> Excitation:
    """A pulse train without aliasing, and white noise, from an F0 contour.

    The pulse train is the sum of all harmonics up to the Nyquist frequency with equal amplitudes,
    in closed form (the Dirichlet kernel); the highest harmonic fades in and out as F0 changes. F0
    and voicing are interpolated between frames, so a voiced stretch fades in and out within one
    frame. After the last frame the signal is unvoiced.

    Args:
        f0: (B, T) in Hz, 0 where unvoiced; frame i is at sample i · hop.
        hop: samples per frame.
        start: the state at the start of this chunk; None at the start of the utterance.
    """
    start = at(starts(f0[:, :1], hop), 0) if start is None else start
    left, right = _ends(f0)
    inside = torch.arange(hop, device=f0.device, dtype=torch.float64)
    advance, slope = _advance(left, right, hop), (right - left) / (2 * hop)
    # The phase advances in voiced frames only. The frame before a voiced stretch, where it fades
    # in, counts backwards from the phase that the stretch begins with.
    begin = start.phase.to(f0.device)[:, None] + (advance * (f0 > 0)).cumsum(dim=1) - advance
    cycles = begin[..., None] + (left[..., None] + slope[..., None] * inside) * inside / SAMPLE_RATE
    phase = 2 * math.pi * (cycles - cycles.round()).float()
    pitch = left[..., None] + 2 * slope[..., None] * inside
    voiced = (f0 > 0).float()
    after = torch.nn.functional.pad(voiced[:, 1:], (0, 1))
    gain = voiced[..., None] + (after - voiced)[..., None] * (inside / hop).float()
    harmonic = gain * _pulses(phase, pitch.float())
    n = f0.shape[1] * hop
    places = start.noise.to(f0.device)[:, None] + torch.arange(n, device=f0.device)
    return Excitation(harmonic.flatten(1), white_noise(places))


def white_noise(places: Tensor) -> Tensor:
    """Uniform noise of power 1 at any positions (int64) of an endless sequence."""
    return (_hashed(places) >> 40).float() * (math.sqrt(3) / (1 << 23))


def _ends(f0: Tensor) -> tuple[Tensor, Tensor]:
    """F0 (B, T) at the start and end of each frame, float64, held constant at voicing edges."""
    f0 = f0.double().clamp(min=0)
    after = torch.nn.functional.pad(f0[:, 1:], (0, 1))
    return torch.where(f0 > 0, f0, after), torch.where(after > 0, after, f0)


def _advance(left: Tensor, right: Tensor, hop: int) -> Tensor:
    """Cycles in each frame, in which F0 changes linearly from `left` to `right`."""
    return (left + right) * (hop / 2 / SAMPLE_RATE)


def _pulses(phase: Tensor, f0: Tensor) -> Tensor:
    """√(2/x) · (Σ_{k<n} cos kφ + (x − n) cos nφ), with x = Nyquist / F0 and n = ⌊x⌋.

    The sum is in closed form, sin((n − ½)φ) / (2 sin(φ/2)) − ½, whose limit is used near φ = 0.

    Args:
        phase: φ from −π to π.
        f0: Hz, of the same shape; the result is 0 where it is 0.
    """
    x = (SAMPLE_RATE / 2 / f0.clamp(min=1)).clamp(min=1)
    n = x.floor()
    half = (phase / 2).sin()
    safe = torch.where(half.abs() < 1e-4, torch.ones_like(half), half)
    kernel = ((n - 0.5) * phase).sin() / (2 * safe)
    kernel = torch.where(half.abs() < 1e-4, n - 0.5, kernel) - 0.5
    return (kernel + (x - n) * (n * phase).cos()) * (2 / x).sqrt() * (f0 > 0)


def _hashed(x: Tensor) -> Tensor:
    """Hash of int64 numbers, the same on every device: SplitMix64's mixer (Steele et al. 2014)."""
    x = x * -7046029254386353131
    x = (x ^ _shifted(x, 30)) * -4658895280553007687
    x = (x ^ _shifted(x, 27)) * -7723592293110705685
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, n: int) -> Tensor:
    """Logical shift to the right; `>>` on signed numbers is arithmetic."""
    return (x >> n) & ((1 << (64 - n)) - 1)


class ShortTime(nn.Module):
    """Short-time Fourier transform and its inverse, with frames centred at i · hop.

    The signal is zero outside its ends. Except near them, `synthesise(analyse(x))` is x. The
    analysis window is shorter than the transform, which leaves room for the tails that filtering
    adds to a frame; the synthesis window is as long as the transform and fades them out.

    Args:
        hop: samples between frames.
        n_fft: samples of the transform, even.
        n_window: samples of the analysis window, at least two hops.
    """

    analysis_window: Tensor
    """(n_fft,)."""
    synthesis_window: Tensor
    """(n_fft,): divided by the overlap-added product of both windows."""

    def __init__(self, hop: int, n_fft: int, n_window: int) -> None:
        super().__init__()
        if n_fft % 2 or not 2 * hop <= n_window <= n_fft:
            raise ValueError(
                f"{n_fft=} must be even, and {n_window=} between two hops of {hop} and n_fft"
            )
        self.hop, self.n_fft = hop, n_fft
        edge = (n_fft - n_window) // 2
        analysis = nn.functional.pad(
            torch.hann_window(n_window, dtype=torch.float64), (edge, n_fft - n_window - edge)
        )
        synthesis = torch.hann_window(n_fft, dtype=torch.float64)
        places = torch.arange(n_fft) % hop
        total = torch.zeros(hop, dtype=torch.float64).index_add_(0, places, analysis * synthesis)
        synthesis = synthesis / total[places]
        self.register_buffer("analysis_window", analysis.float(), persistent=False)
        self.register_buffer("synthesis_window", synthesis.float(), persistent=False)

    @property
    def n_bins(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def reach(self) -> int:
        """Number of frames on either side that a synthesised sample depends on."""
        return -(-self.n_fft // (2 * self.hop))

    def analyse(self, waves: Tensor) -> Tensor:
        """waves (B, T · hop) → complex spectra (B, T, n_bins)."""
        half = self.n_fft // 2
        padded = nn.functional.pad(waves, (half, half - self.hop))
        frames = padded.unfold(-1, self.n_fft, self.hop) * self.analysis_window
        spectra: Tensor = torch.fft.rfft(frames)
        return spectra

    def synthesise(self, spectra: Tensor) -> Tensor:
        """Complex spectra (B, T, n_bins) → waves (B, T · hop)."""
        n, hop = self.reach, self.hop
        edge = n * hop - self.n_fft // 2
        frames = torch.fft.irfft(spectra, self.n_fft) * self.synthesis_window
        frames = nn.functional.pad(frames, (edge, edge))
        batch, n_frames = frames.shape[:2]
        # Overlap-add by blocks of one hop: block j of frame i belongs to hop i + j − n.
        blocks = frames.view(batch, n_frames, 2 * n, hop)
        total = blocks.new_zeros(batch, n_frames + 2 * n - 1, hop)
        for j in range(2 * n):
            total[:, j : j + n_frames] += blocks[:, :, j]
        return total[:, n : n + n_frames].flatten(1)


_KERNEL = 7
_LOUDEST = 7.0  # the highest log gain: no filter amplifies more than about a thousandfold
_NOISE_WHERE_VOICED = -2.0  # log gain at 0 Hz, rising to 0 at the Nyquist frequency
_SMOOTH_HZ = 250.0  # wider than the distance of harmonics in most voices
_BEFORE_TRAINING = -4.0  # log gain: about the level of speech


class ConvNeXtBlock(nn.Module):
    """x plus a depthwise convolution and two pointwise layers of it (Liu et al. 2022).

    Args:
        width: channels C.
        scale: initial scale of the residual branch.
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
    """Sizes of the generator. The defaults give 4 million parameters."""

    width: int = Field(256, ge=1, le=65_536)
    n_blocks: int = Field(8, ge=1, le=256)
    n_fft: int = Field(1024, ge=16, multiple_of=2, le=65_536)
    n_window: int = Field(640, ge=16, le=65_536)
    """Samples of the analysis window; shorter than n_fft, as filtering adds tails to frames."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not 2 * self.hop <= self.n_window <= self.n_fft:
            raise ValueError(
                f"n_window {self.n_window} must be from {2 * self.hop} (two hops) to "
                f"{self.n_fft} (n_fft)"
            )
        return self


class SourceFilterGenerator(nn.Module):
    """Units, pitch and voice → waveform: the inverse STFT of H_h · E_harmonic + H_n · E_noise.

    For each frame and frequency the backbone predicts the log gain and the phase of the filter H_h
    and the log gain of H_n. Each unit's mean log envelope, from a table, is added to both gains, so
    that training can start from the unit-means baseline (`start_from`). Frame i is centred at
    i · hop; the output has exactly T · hop samples.

    Frames of padding (the unit `n_units`) are silent and equal what convolutions assume outside
    the batch: adding them changes no other frame.
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
        """Log spectral envelopes, whose means per unit `start_from` takes.

        Power is averaged over neighbouring bins, wide enough to smooth out the harmonics, which
        come from the excitation.

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

        A gain is an envelope divided by the spectrum of an excitation of power 1.
        """
        power = self.transform.analysis_window.square().sum()
        self.means.weight.data.copy_(means - power.log() / 2)
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
            units: (B, T); the unit `n_units` is padding.
            f0_units: (B, T), or None where the generator has none.
            f0: (B, T) in Hz, 0 where unvoiced.
            voices: (B,) numbers, or (B, n_reference) vectors.
            start: where a chunk starts in its utterance (`starts`); None at its
                beginning.
        """
        mask = self.conditioning.mask(units)
        x = self.first_norm(self.first(self.conditioning(units, f0_units, f0, voices))) * mask
        for block in self.blocks:
            x = block(x, mask)
        # Spectra in full precision: autocast's types have no complex counterpart on CUDA.
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
