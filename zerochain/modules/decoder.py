"""The decoder of our own VQ-VAE: the encoder's mirror image."""

from __future__ import annotations

import math

from torch import Tensor, nn

from zerochain.modules.convolutions import ResidualBlock, TimeLayer
from zerochain.modules.encoder import as_image, as_sequence, image_mask


class Decoder(nn.Module):
    """Codes (B, T', C) and their lengths (B,) → features (B, T' · stride, D).

    Residual blocks at the rate of the codes, then one doubling for each of the encoder's
    halvings.

    Args:
        n_in, n_out: C, D.
        width: channels of a layer.
        n_blocks: residual blocks.
        stride: frames a step, a power of two.
    """

    def __init__(self, n_in: int, n_out: int, width: int, n_blocks: int, stride: int) -> None:
        super().__init__()
        self.first = TimeLayer(n_in, width, 3)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(n_blocks))
        self.doublings = nn.ModuleList(_Doubling(width) for _ in range(int(math.log2(stride))))
        self.last = nn.Linear(width, n_out)

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """What is beyond the end of each utterance is zero until the last layer."""
        mask = image_mask(lengths, codes.shape[1])
        y = self.first(as_image(codes) * mask) * mask
        for block in self.blocks:
            y = block(y, mask)
        for doubling in self.doublings:
            mask = mask.repeat_interleave(2, dim=-1)
            y = doubling(y) * mask
        x: Tensor = self.last(as_sequence(y))
        return x


class _Doubling(nn.Module):
    """Twice as many steps: (B, C, 1, T) → (B, C, 1, 2T)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(width, width, (1, 4), (1, 2), (0, 1), bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.activation = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.norm(self.conv(x)))
        return y
