"""ConvNeXt encoder and decoder of frames, all of whose blocks are at the rate of the units.

The first layer takes features to the units' rate at once. After it come blocks of a depthwise
convolution over time and a perceptron per step (Liu et al. 2022): a few operations per step, and a
wide receptive field. A training step costs about 40 % of one of the residual networks in
`encoder.py`.

Padding after an utterance's end is kept at zero in every layer, so that an utterance's output
doesn't depend on the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerochain.modules.encoder import mask_of

_EXPANSION = 2  # of the perceptron's hidden layer
_BRANCH = 0.5  # initial scale of a block's residual branch


class ConvNextBlock(nn.Module):
    """x plus a depthwise convolution over time and a perceptron of it.

    Args:
        width: channels C.
        kernel: steps that the convolution covers; odd.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, _EXPANSION * width)
        self.down = nn.Linear(_EXPANSION * width, width)
        self.scale = nn.Parameter(torch.full((width,), _BRANCH))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x (B, T, C), real (B, T, 1), 0 in padding → (B, T, C)."""
        y = self.norm(over_time(self.depthwise, x))
        y = self.down(nn.functional.gelu(self.up(y)))
        return torch.addcmul(x, y, self.scale * real)


class ConvNextEncoder(nn.Module):
    """Features (B, T, D) and their lengths (B,) → latents (B, ⌈T / stride⌉, dim).

    Args:
        n_in, dim: D, and dimensions of a latent.
        width: channels per layer.
        n_blocks: number of blocks.
        kernel: steps that a block's convolution covers; odd.
        stride: frames per step.
    """

    def __init__(
        self, n_in: int, dim: int, *, width: int, n_blocks: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv1d(n_in, width, 3 * stride, stride, padding=stride)
        self.first_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(ConvNextBlock(width, kernel) for _ in range(n_blocks))
        self.last_norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, dim)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Latents, zero after the end of each utterance."""
        x = x * mask_of(lengths, x.shape[1])[..., None]
        x = nn.functional.pad(x, (0, 0, 0, -x.shape[1] % self.stride))
        steps = torch.div(lengths + self.stride - 1, self.stride, rounding_mode="floor")
        real = mask_of(steps, x.shape[1] // self.stride)[..., None]
        y = self.first_norm(over_time(self.first, x)) * real
        for block in self.blocks:
            y = block(y, real)
        latents: Tensor = self.last(self.last_norm(y)) * real
        return latents


class ConvNextDecoder(nn.Module):
    """Codes (B, T', C) and their lengths (B,) → features (B, T' · stride, D).

    Args:
        n_in, n_out: C, D.
        width, n_blocks, kernel, stride: as the encoder's.
    """

    def __init__(
        self, n_in: int, n_out: int, *, width: int, n_blocks: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        self.n_out = n_out
        self.first = nn.Conv1d(n_in, width, 3, padding=1)
        self.blocks = nn.ModuleList(ConvNextBlock(width, kernel) for _ in range(n_blocks))
        self.last_norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, stride * n_out)

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Padding after the end of each utterance is zero in all layers but the last."""
        real = mask_of(lengths, codes.shape[1])[..., None]
        y = over_time(self.first, codes * real) * real
        for block in self.blocks:
            y = block(y, real)
        x: Tensor = self.last(self.last_norm(y))
        return x.reshape(len(x), -1, self.n_out)


def over_time(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution over the time of x (B, T, C)."""
    y: Tensor = conv(x.transpose(1, 2)).transpose(1, 2)
    return y
