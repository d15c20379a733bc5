"""Convolutional encoders and decoders over time, which most networks here are made of.

`Encoder` maps features to latents at a lower rate, and its receptive field covers a phone and its
neighbours; `Decoder` mirrors it. Padding after an utterance's end is kept at zero in every layer,
so that an utterance's output doesn't depend on the batch.

Layers with many channels treat time as the width of an image one pixel high, (B, C, 1, T), with
channels last in memory. This is the same memory as (B, T, C), and 2-D convolutions on it are the
fastest on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from zerochain.config import Config
from zerochain.modules.recurrence import in_both_directions


class MultiScaleConv1d(nn.Module):
    """Convolutions with several kernel sizes over the same input, their outputs concatenated.

    Each kernel computes the same share of the output channels; then follow batch normalisation and
    LeakyReLU. Tensors are (B, C, T); the length is kept ("same" zero padding).

    Args:
        n_in, n_out: channels; `n_out` is the total over all kernels and divisible by their number.
        kernels: odd kernel sizes.
    """

    def __init__(self, n_in: int, n_out: int, kernels: Sequence[int]) -> None:
        super().__init__()
        if n_out % len(kernels):
            raise ValueError(f"{n_out} channels can't be divided among {len(kernels)} kernels")
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
        """x is padded with zeros to a multiple of the stride."""
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


Tail = Literal["none", "gru", "transformer"]


class EncoderConfig(Config):
    """Sizes and form of an encoder."""

    n_in: int = Field(39, ge=1, le=2**20)
    width: int = Field(256, ge=1, le=65_536)
    n_blocks: int = Field(4, ge=0, le=256)
    """Residual blocks of two convolutions of kernel 3, after the strided ones."""
    dim: int = Field(64, ge=1, le=65_536)
    stride: Literal[1, 2, 4, 8, 16] = 1
    tail: Tail = "none"
    """The layer after the convolutions whose context is the whole utterance."""
    instance_norm: bool = False
    """Normalise each output dimension to mean 0 and variance 1 over the utterance: its mean and
    variance carry most of what is left of the speaker and the room."""

    @model_validator(mode="after")
    def _check_tail(self) -> Self:
        check_tail(self.tail, self.width)
        return self


def check_tail(tail: Tail, width: int) -> None:
    """Raise ValueError if a tail's directions or heads don't divide the number of channels."""
    parts = {"none": 1, "gru": 2, "transformer": _n_heads(width)}[tail]
    if width % parts:
        raise ValueError(f"a {tail} can't share a width of {width} among {parts}")


class Encoder(nn.Module):
    """Features (B, T, D) and their lengths (B,) → latents (B, ⌈T / stride⌉, dim).

    Padding after an utterance's end is kept at zero in every layer, so that an utterance's latents
    don't depend on the batch.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.first = TimeLayer(config.n_in, width, 5)
        n_halvings = int(math.log2(config.stride))
        self.halvings = nn.ModuleList(
            TimeLayer(width, width, 4, stride=2) for _ in range(n_halvings)
        )
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(config.n_blocks))
        self.tail = _tail(config)
        self.last = nn.Linear(width, config.dim)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Latents, zero after the end of each utterance."""
        y, mask = as_image(x), image_mask(lengths, x.shape[1])
        y = self.first(y * mask) * mask
        for halving in self.halvings:
            lengths = halved(lengths)
            y = halving(y)
            mask = image_mask(lengths, y.shape[-1])
            y = y * mask
        for block in self.blocks:
            y = block(y, mask)
        z, real = as_sequence(y), mask[:, 0, 0, :, None]
        if self.tail is not None:
            z = self.tail(z, lengths, real)
        z = self.last(z)
        if self.config.instance_norm:
            z = instance_norm(z, real)
        latents: Tensor = z * real
        return latents


def as_image(x: Tensor) -> Tensor:
    """(B, T, C) → (B, C, 1, T), channels last: the same memory."""
    return x.transpose(1, 2).unsqueeze(2)


def as_sequence(y: Tensor) -> Tensor:
    """The inverse of `as_image`."""
    return y.squeeze(2).transpose(1, 2)


def mask_of(lengths: Tensor, n: int) -> Tensor:
    """Lengths (B,) → 1 where steps are speech, 0 in padding: (B, n)."""
    return (torch.arange(n, device=lengths.device) < lengths[:, None]).float()


def image_mask(lengths: Tensor, n: int) -> Tensor:
    """`mask_of` in the shape for `as_image`: (B, 1, 1, n)."""
    return mask_of(lengths, n)[:, None, None]


def halved(lengths: Tensor) -> Tensor:
    """⌈length / 2⌉."""
    return torch.div(lengths + 1, 2, rounding_mode="floor")


def instance_norm(z: Tensor, real: Tensor) -> Tensor:
    """z (B, T, C), each channel normalised to mean 0 and variance 1 over its real steps.

    `real` (B, T, 1) is 1 where steps are speech and 0 in padding.
    """
    n = real.sum(dim=1, keepdim=True)
    mean = (z * real).sum(dim=1, keepdim=True) / n
    variance = ((z - mean).square() * real).sum(dim=1, keepdim=True) / n
    return (z - mean) / (variance + 1e-5).sqrt()


def _n_heads(width: int) -> int:
    return max(1, width // 64)


class _Gru(nn.Module):
    """x (B, T, C) plus a bidirectional GRU over it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor, real: Tensor) -> Tensor:
        return x + in_both_directions(self.gru, x, lengths)


class _Transformer(nn.Module):
    """Two Transformer layers without positions: the convolutions before them encode the order."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, _n_heads(width), 2 * width, dropout=0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor, lengths: Tensor, real: Tensor) -> Tensor:
        y: Tensor = self.layers(x, src_key_padding_mask=real[..., 0] == 0)
        return y


def _tail(config: EncoderConfig) -> nn.Module | None:
    match config.tail:
        case "gru":
            return _Gru(config.width)
        case "transformer":
            return _Transformer(config.width)
        case _:
            return None


class Decoder(nn.Module):
    """Codes (B, T', C) and their lengths (B,) → features (B, T' · stride, D).

    Residual blocks at the rate of the codes, then one doubling of the rate for each halving in the
    encoder.

    Args:
        n_in, n_out: C, D.
        width: channels per layer.
        n_blocks: number of residual blocks.
        stride: frames per step, a power of two.
    """

    def __init__(self, n_in: int, n_out: int, width: int, n_blocks: int, stride: int) -> None:
        super().__init__()
        self.first = TimeLayer(n_in, width, 3)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(n_blocks))
        self.doublings = nn.ModuleList(_Doubling(width) for _ in range(int(math.log2(stride))))
        self.last = nn.Linear(width, n_out)

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Padding after the end of each utterance is zero in all layers but the last."""
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
