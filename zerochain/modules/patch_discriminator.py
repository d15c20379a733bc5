"""A discriminator of spectrogram patches: real speech or an inverter's?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from zerochain.modules.adversarial import Judgement

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
