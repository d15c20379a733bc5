"""Convolutions over time."""

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
