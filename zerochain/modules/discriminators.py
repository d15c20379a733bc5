"""Losses between a generator and its discriminators.

How far a made waveform is from the true one, heard through its magnitudes alone.

A discriminator of spectrogram patches: real speech or an inverter's?

Networks that tell recorded waveforms from made ones, and so teach a generator.

All take waves (B, N) and return one `Judgement` a sub-discriminator. `width` scales their
channels; 1 is what was published. Edges are padded with zeros, where the papers reflect, so that
any length will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from zerochain.modules.mel import mel_filters

Form = Literal["lsgan", "wgan"]


class Judgement(NamedTuple):
    """What a discriminator makes of a batch."""

    score: Tensor
    """One number for each patch, any shape: high for what it takes to be real."""
    features: list[Tensor]
    """Outputs of its inner layers, any shapes."""


def halves(
    judgements: Sequence[Judgement],
) -> tuple[list[Judgement], list[Judgement]]:
    """Judgements on a batch of twice B as those on its halves.

    Real and made waves in one batch: so a discriminator runs once before its update, as DDP needs.
    """

    def half(i: int) -> list[Judgement]:
        return [
            Judgement(j.score.chunk(2)[i], [x.chunk(2)[i] for x in j.features]) for j in judgements
        ]

    return half(0), half(1)


def discriminator_loss(
    real: Sequence[Judgement], fake: Sequence[Judgement], form: Form = "lsgan"
) -> Tensor:
    """Sum over discriminators of how badly each tells real from made, () ≥ 0 for LSGAN.

    LSGAN: D(M̂)² + (D(M) − 1)² (Mao et al. 2017). WGAN: D(M̂) − D(M) (Arjovsky et al. 2017), which
    needs a discriminator whose slope is bounded.
    """
    return torch.stack(
        [
            b.score.square().mean() + (a.score - 1).square().mean()
            if form == "lsgan"
            else b.score.mean() - a.score.mean()
            for a, b in zip(real, fake, strict=True)
        ]
    ).sum()


def generator_loss(fake: Sequence[Judgement], form: Form = "lsgan") -> Tensor:
    """Sum over discriminators of how well each sees through the generator, ().

    LSGAN: (D(M̂) − 1)². WGAN: −D(M̂).
    """
    return torch.stack(
        [(j.score - 1).square().mean() if form == "lsgan" else -j.score.mean() for j in fake]
    ).sum()


def feature_matching_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """Sum over discriminators and layers of the mean absolute difference of features, ().

    Larsen et al. 2016; as in HiFi-GAN (Kong et al. 2020), without its weight. No gradient goes
    to the real side.
    """
    return torch.stack(
        [
            (x.detach() - y).abs().mean()
            for a, b in zip(real, fake, strict=True)
            for x, y in zip(a.features, b.features, strict=True)
        ]
    ).sum()


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


_KERNELS = ((3, 9), (3, 5), (3, 5), (3, 3))  # time × frequency
_STRIDES = ((1, 4), (2, 4), (2, 4), (1, 1))
_WIDTHS = (1, 2, 4, 4)
REACH = 12
"""Frames to either side that a score depends on: a patch is 25 frames and 345 bins."""


class PatchDiscriminator(nn.Module):
    """Normalised spectrum → a score for each of its patches.

    The paper says nothing of its discriminator. This one is a PatchGAN (Isola et al. 2017): 2-D
    convolutions with LeakyReLU between, a score for every 4 frames and 64 bins. Each bin has a
    learned bias in the first layer, as convolutions over frequency don't know where they are.
    Spectral normalisation (Miyato et al. 2018) bounds its slope: WGAN needs that, and LSGAN is
    kept by it from a discriminator that wins at once. It needs no second gradient, unlike a
    gradient penalty, so that a step stays affordable on CPUs.

    Args:
        n_bins: of a frame's spectrum.
        width: channels of the first layer; the last have four times as many.
    """

    def __init__(self, n_bins: int, width: int = 16) -> None:
        super().__init__()
        sizes = [1, *(width * w for w in _WIDTHS)]
        self.layers = nn.ModuleList(
            _convolution(sizes[i], sizes[i + 1], kernel, stride)
            for i, (kernel, stride) in enumerate(zip(_KERNELS, _STRIDES, strict=True))
        )
        self.position = nn.Parameter(torch.zeros(1, width, 1, -(-n_bins // _STRIDES[0][1])))
        self.output = _convolution(sizes[-1], 1, (3, 3), (1, 1))

    def forward(self, spectrum: Tensor) -> list[Judgement]:
        """spectrum (B, T, n_bins) → one judgement with scores (B, ⌈T / 4⌉, ⌈n_bins / 64⌉)."""
        x = spectrum[:, None]
        features = []
        for i, layer in enumerate(self.layers):
            x = layer(x) + self.position if i == 0 else layer(x)
            x = nn.functional.leaky_relu(x, 0.2)
            features.append(x)
        return [Judgement(self.output(x)[:, 0], features)]


def _convolution(
    n_in: int, n_out: int, kernel: tuple[int, int], stride: tuple[int, int]
) -> nn.Module:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return spectral_norm(nn.Conv2d(n_in, n_out, kernel, stride, padding))


_Norm = Callable[[nn.Module], nn.Module]


class Discriminators(nn.Module):
    """Several discriminators as one."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, waves: Tensor) -> list[Judgement]:
        """waves (B, N) → what all parts make of them."""
        return [judgement for part in self.parts for judgement in part(waves)]


class MultiPeriodDiscriminator(nn.Module):
    """Samples at every p-th place, beside those at the places between (Kong et al. 2020)."""

    def __init__(self, periods: Sequence[int] = (2, 3, 5, 7, 11), width: float = 1.0) -> None:
        super().__init__()
        self.periods = tuple(periods)
        self.parts = nn.ModuleList(_period_layers(width) for _ in self.periods)

    def forward(self, waves: Tensor) -> list[Judgement]:
        judgements = []
        for period, layers in zip(self.periods, self.parts, strict=True):
            padded = nn.functional.pad(waves, (0, -waves.shape[1] % period))
            judgements.append(layers(padded.view(len(waves), 1, -1, period)))
        return judgements


class MultiScaleDiscriminator(nn.Module):
    """The wave itself, and its averages over ever more samples (Kumar et al. 2019)."""

    def __init__(self, n_scales: int = 3, width: float = 1.0) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            _scale_layers(width, weight_norm if i else spectral_norm) for i in range(n_scales)
        )
        self.pool = nn.AvgPool1d(4, 2, padding=2)

    def forward(self, waves: Tensor) -> list[Judgement]:
        x, judgements = waves[:, None], []
        for i, layers in enumerate(self.parts):
            x = self.pool(x) if i else x
            judgements.append(layers(x))
        return judgements


class MultiResolutionDiscriminator(nn.Module):
    """Magnitudes of several short-time transforms (Jang et al. 2021): the cheapest of the three."""

    def __init__(
        self, resolutions: Sequence[tuple[int, int, int]] = RESOLUTIONS, width: float = 1.0
    ) -> None:
        super().__init__()
        self.resolutions = tuple(resolutions)
        self.parts = nn.ModuleList(_spectral_layers(width) for _ in self.resolutions)

    def forward(self, waves: Tensor) -> list[Judgement]:
        judgements = []
        for resolution, layers in zip(self.resolutions, self.parts, strict=True):
            image = magnitude(waves, *resolution)[:, None]
            # Channels last, of which layers keep to the end: 1.5 times faster on a CPU.
            judgements.append(layers(image.contiguous(memory_format=torch.channels_last)))
        return judgements


class Layers(nn.Module):
    """Convolutions with LeakyReLU between them; the last one's output is the score."""

    def __init__(self, *layers: nn.Module, slope: float = 0.1) -> None:
        super().__init__()
        self.layers, self.slope = nn.ModuleList(layers), slope

    def forward(self, x: Tensor) -> Judgement:
        features: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            x = layer(nn.functional.leaky_relu(x, self.slope) if i else x)
            features.append(x)
        return Judgement(x, features)


def _period_layers(width: float) -> Layers:
    sizes = [1, *(_scaled(n, width) for n in (32, 128, 512, 1024, 1024))]
    strides = (3, 3, 3, 3, 1)
    return Layers(
        *(
            weight_norm(nn.Conv2d(sizes[i], sizes[i + 1], (5, 1), (s, 1), (2, 0)))
            for i, s in enumerate(strides)
        ),
        weight_norm(nn.Conv2d(sizes[-1], 1, (3, 1), padding=(1, 0))),
    )


def _scale_layers(width: float, norm: _Norm) -> Layers:
    sizes = [1, *(_scaled(n, width) for n in (128, 128, 256, 512, 1024, 1024, 1024))]
    shapes = ((15, 1, 1), (41, 2, 4), (41, 2, 16), (41, 4, 16), (41, 4, 16), (41, 1, 16), (5, 1, 1))
    return Layers(
        *(
            norm(
                nn.Conv1d(
                    sizes[i],
                    sizes[i + 1],
                    kernel,
                    stride,
                    padding=kernel // 2,
                    groups=math.gcd(groups, sizes[i], sizes[i + 1]),
                )
            )
            for i, (kernel, stride, groups) in enumerate(shapes)
        ),
        norm(nn.Conv1d(sizes[-1], 1, 3, padding=1)),
    )


def _spectral_layers(width: float) -> Layers:
    n = _scaled(32, width)
    return Layers(
        weight_norm(nn.Conv2d(1, n, (3, 9), padding=(1, 4))),
        *(weight_norm(nn.Conv2d(n, n, (3, 9), (1, 2), (1, 4))) for _ in range(3)),
        weight_norm(nn.Conv2d(n, n, 3, padding=1)),
        weight_norm(nn.Conv2d(n, 1, 3, padding=1)),
        slope=0.2,
    )


def _scaled(n: int, width: float) -> int:
    """At least 4 channels, in multiples of 4, which groups of channels can share."""
    return max(4, 4 * round(n * width / 4))
