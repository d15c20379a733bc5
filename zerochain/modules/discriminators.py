"""Discriminators and losses that train a generator of waveforms or spectra.

A discriminator is trained to tell recorded from generated speech, and the generator to fool it:
least squares GAN (Mao et al. 2017) or Wasserstein GAN (Arjovsky et al. 2017). Discriminators of
waveforms take waves (B, N) and return one `Judgement` per sub-discriminator; `PatchDiscriminator`
takes spectra. `width` scales their channels; 1 is the published size. Edges are padded with zeros,
where the papers reflect, so that any length is possible.

The spectral losses compare generated and recorded waveforms by magnitudes alone, as the phase is
hardly audible and hard to predict (Yamamoto et al. 2020; Kong et al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.linalg import vector_norm
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from zerochain.modules.mel import mel_filters

Form = Literal["lsgan", "wgan"]


class Judgement(NamedTuple):
    """A discriminator's output for a batch."""

    score: Tensor
    """One number per patch, of any shape: high if it is classified as recorded."""
    features: list[Tensor]
    """Outputs of its inner layers, of any shape."""


def halves(
    judgements: Sequence[Judgement],
) -> tuple[list[Judgement], list[Judgement]]:
    """Judgements on a batch of size 2 · B, split into those on its two halves.

    Recorded and generated waves share a batch because torch's DistributedDataParallel (DDP)
    requires that a discriminator runs only once before its update.
    """

    def half(i: int) -> list[Judgement]:
        return [
            Judgement(j.score.chunk(2)[i], [x.chunk(2)[i] for x in j.features]) for j in judgements
        ]

    return half(0), half(1)


def discriminator_loss(
    real: Sequence[Judgement], fake: Sequence[Judgement], form: Form = "lsgan"
) -> Tensor:
    """The discriminators' loss, summed over them, () ≥ 0 for LSGAN.

    LSGAN: D(M̂)² + (D(M) − 1)² (Mao et al. 2017). WGAN: D(M̂) − D(M) (Arjovsky et al. 2017), which
    requires a discriminator with a bounded slope.
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
    """The generator's adversarial loss, summed over discriminators, ().

    LSGAN: (D(M̂) − 1)². WGAN: −D(M̂).
    """
    return torch.stack(
        [(j.score - 1).square().mean() if form == "lsgan" else -j.score.mean() for j in fake]
    ).sum()


def feature_matching_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """Sum over discriminators and layers of the mean absolute difference of features, ().

    Larsen et al. 2016; as in HiFi-GAN (Kong et al. 2020), without its weight. Gradients flow to
    the generated side only.
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

    Hann windows; zeros outside the signal. The floor keeps the gradient of the root finite.
    """
    window = torch.hann_window(n_window, device=waves.device)
    spectrum = torch.stft(
        waves, n_fft, hop, n_window, window, pad_mode="constant", return_complex=True
    )
    magnitudes: Tensor = Magnitude.apply(spectrum)  # type: ignore[no-untyped-call]
    return magnitudes


class Magnitude(torch.autograd.Function):
    """Complex numbers → their magnitudes, at least √1e-7; below that the gradient is zero.

    A plain sum of squares has the same gradient, by many more passes over memory.
    """

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor) -> Tensor:
        real, imaginary = spectrum.real, spectrum.imag  # abs() would take hypot, which is slow
        power = (real * real).addcmul_(imaginary, imaginary)
        magnitudes = power.sqrt_().clamp_(min=_LEAST)
        ctx.save_for_backward(spectrum, magnitudes)
        return magnitudes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """|s|' = s / |s|."""
        spectrum, magnitudes = ctx.saved_tensors
        found: Tensor = spectrum * torch.where(magnitudes > _LEAST, gradient / magnitudes, 0)
        return found


_LEAST = 1e-7**0.5


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
        """Generated and recorded waves (B, N) → ()."""
        return (self.log_mel(made) - self.log_mel(real)).abs().mean()


def multi_resolution_loss(
    made: Tensor, real: Tensor, resolutions: tuple[tuple[int, int, int], ...] = RESOLUTIONS
) -> Tensor:
    """Spectral convergence plus log magnitude distance, the mean over resolutions.

    ‖S − Ŝ‖ / ‖S‖ + mean |log S − log Ŝ| (Yamamoto et al. 2020), where ‖·‖ is Frobenius' norm over
    the batch.

    Args:
        made, real: generated and recorded waves (B, N).
        resolutions: n_fft, hop and window of each, in samples.
    """
    losses = []
    for n_fft, hop, n_window in resolutions:
        x, y = magnitude(real, n_fft, hop, n_window), magnitude(made, n_fft, hop, n_window)
        convergence = vector_norm(x - y) / vector_norm(x)
        losses.append(convergence + (x.log() - y.log()).abs().mean())
    return torch.stack(losses).mean()


_KERNELS = ((3, 9), (3, 5), (3, 5), (3, 3))  # time × frequency
_STRIDES = ((1, 4), (2, 4), (2, 4), (1, 1))
_WIDTHS = (1, 2, 4, 4)
REACH = 12
"""Number of frames on either side that a score depends on: a patch is 25 frames by 345 bins."""


class PatchDiscriminator(nn.Module):
    """Normalised spectrum → a score for each of its patches.

    The Code2Spec paper (Tjandra et al. 2019) doesn't describe its discriminator. This one is a
    PatchGAN (Isola et al. 2017): 2-D convolutions with LeakyReLU between them, with one score per
    4 frames × 64 bins. The first layer has a learned bias per frequency, since convolutions are
    otherwise blind to absolute frequency. Spectral normalisation (Miyato et al. 2018) bounds the
    slope: WGAN requires that, and with LSGAN it stops the discriminator from winning at once.
    Unlike a gradient penalty it needs no second derivatives, which keeps a step affordable on
    CPUs.

    Args:
        n_bins: number of bins of a spectrum.
        width: channels of the first layer; the last layers have four times as many.
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
    """Several discriminators as one network."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, waves: Tensor) -> list[Judgement]:
        """waves (B, N) → the judgements of all parts."""
        return [judgement for part in self.parts for judgement in part(waves)]


class MultiPeriodDiscriminator(nn.Module):
    """Waves folded into rows of p samples, for several periods p (Kong et al. 2020)."""

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
    """The wave, and versions of it at half and a quarter of its rate (Kumar et al. 2019)."""

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
            # Channels last, which all layers then keep: 1.5 times faster on a CPU.
            judgements.append(layers(image.contiguous(memory_format=torch.channels_last)))
        return judgements


_PATCH_RESOLUTIONS = ((512, 128, 512), (1024, 256, 1024), (2048, 512, 2048))
_FLOOR = 1e-2  # of magnitudes: quieter than speech, whose differences below it are inaudible


class MultiResolutionPatchDiscriminator(nn.Module):
    """Patches of the log magnitudes of several short-time transforms: for CPUs.

    The same evidence as that of `MultiResolutionDiscriminator`, at a tenth of the operations:
    a quarter as many frames, and convolutions whose first strides are 4 along frequency and 2 along
    time. At width 1 it has 237,000 parameters.
    """

    def __init__(
        self,
        resolutions: Sequence[tuple[int, int, int]] = _PATCH_RESOLUTIONS,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        self.resolutions = tuple(resolutions)
        self.parts = nn.ModuleList(
            PatchDiscriminator(n_fft // 2 + 1, _scaled(16, width))
            for n_fft, _, _ in self.resolutions
        )

    def forward(self, waves: Tensor) -> list[Judgement]:
        judgements = []
        for resolution, part in zip(self.resolutions, self.parts, strict=True):
            spectrum = magnitude(waves, *resolution).clamp(min=_FLOOR).log().transpose(1, 2)
            judgements += part(spectrum / -math.log(_FLOOR))
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
    """`n` channels scaled: a multiple of 4, so that groups divide them, and at least 4."""
    return max(4, 4 * round(n * width / 4))
