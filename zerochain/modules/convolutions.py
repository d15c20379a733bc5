"""Convolutions over time.

Layers of many channels see time as the width of an image one pixel high, (B, C, 1, T), laid out
with channels last: that is what (B, T, C) is in memory, and the fastest form on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MultiScaleConv1d(nn.Module):
    """Convolutions of several kernel sizes over the same input, their outputs side by side.

    Every kernel gives the same share of the output channels; then batch normalisation and
    LeakyReLU. Tensors are (B, C, T); time keeps its length ("same" zero padding).

    Args:
        n_in, n_out: channels; `n_out` is the total over all kernels and divisible by their number.
        kernels: odd kernel sizes.
    """

    def __init__(self, n_in: int, n_out: int, kernels: Sequence[int]) -> None:
        super().__init__()
        if n_out % len(kernels):
            raise ValueError(f"{n_out} channels can't be shared by {len(kernels)} kernels")
        share = n_out // len(kernels)
        self.scales = nn.ModuleList(
            nn.Conv1d(n_in, share, kernel, padding=kernel // 2, bias=False) for kernel in kernels
        )
        self.norm = nn.BatchNorm1d(n_out)
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, n_in, T) → (B, n_out, T)."""
        y: Tensor = self.activation(self.norm(torch.cat([scale(x) for scale in self.scales], 1)))
        return y


class TimeLayer(nn.Module):
    """Convolution, batch norm, LeakyReLU; (B, C, 1, T) → (B, C', 1, ⌈T / stride⌉).

    Args:
        n_in, n_out: channels C, C'.
        kernel: kernel − stride must be even, so that both edges get the same zeros.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        padding, odd = divmod(kernel - stride, 2)
        if odd or padding < 0:
            raise ValueError(f"a kernel of {kernel} with a stride of {stride} is not symmetric")
        self.stride = stride
        self.conv = nn.Conv2d(n_in, n_out, (1, kernel), (1, stride), (0, padding), bias=False)
        self.norm = nn.BatchNorm2d(n_out)
        self.activation = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """What lies beyond the end of x is taken as zero."""
        missing = -x.shape[-1] % self.stride
        if missing:
            x = nn.functional.pad(x, (0, missing))
        y: Tensor = self.activation(self.norm(self.conv(x)))
        return y


class ResidualBlock(nn.Module):
    """x plus two convolutions of it, masked by mask (B, 1, 1, T)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TimeLayer(width, width, 3) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, C, 1, T) → (B, C, 1, T)."""
        y = x
        for layer in self.layers:
            y = layer(y) * mask
        return x + y
