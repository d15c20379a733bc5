"""Networks that tell recorded waveforms from made ones, and so teach a generator.

All take waves (B, N) and return one `Judgement` a sub-discriminator. `width` scales their
channels; 1 is what was published. Edges are padded with zeros, where the papers reflect, so that
any length will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from zerochain.modules.adversarial import Judgement
from zerochain.modules.spectral_losses import RESOLUTIONS, magnitude

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
