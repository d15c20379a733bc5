"""The encoder of learned units: convolutions over time, wide enough to see a phone and its
neighbours."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from zerochain.modules.convolutions import ResidualBlock, TimeLayer

Tail = Literal["none", "gru", "transformer"]


class EncoderConfig(BaseModel):
    """What an encoder is built from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_in: int = Field(39, ge=1, le=2**20)
    width: int = Field(256, ge=1, le=65_536)
    n_blocks: int = Field(4, ge=0, le=256)
    """Residual blocks of two convolutions of kernel 3 after the striding ones."""
    dim: int = Field(64, ge=1, le=65_536)
    stride: Literal[1, 2, 4, 8, 16] = 1
    tail: Tail = "none"
    """What sees the whole utterance, after the convolutions."""
    instance_norm: bool = False
    """Mean and variance of each output dimension taken out over the utterance: what is left of
    a speaker or a room is mostly there."""

    @model_validator(mode="after")
    def _check_tail(self) -> Self:
        check_tail(self.tail, self.width)
        return self


def check_tail(tail: Tail, width: int) -> None:
    """Raise ValueError where a tail can't share the channels among its directions or heads."""
    parts = {"none": 1, "gru": 2, "transformer": _n_heads(width)}[tail]
    if width % parts:
        raise ValueError(f"a {tail} can't share a width of {width} among {parts}")


class Encoder(nn.Module):
    """Features (B, T, D) and their lengths (B,) → latents (B, ⌈T / stride⌉, dim).

    Whatever lies beyond an utterance's end is kept at zero in every layer, so that an utterance
    gives the same alone and in a batch.
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
        """Latents, zero beyond the end of each utterance."""
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
    """One where there is speech: lengths (B,) → (B, n)."""
    return (torch.arange(n, device=lengths.device) < lengths[:, None]).float()


def image_mask(lengths: Tensor, n: int) -> Tensor:
    """`mask_of` for images of time: (B, 1, 1, n)."""
    return mask_of(lengths, n)[:, None, None]


def halved(lengths: Tensor) -> Tensor:
    """⌈length / 2⌉."""
    return torch.div(lengths + 1, 2, rounding_mode="floor")


def instance_norm(z: Tensor, real: Tensor) -> Tensor:
    """z (B, T, C) with the mean and variance of each channel over its real steps taken out.

    `real` (B, T, 1) is one where steps are real.
    """
    n = real.sum(dim=1, keepdim=True)
    mean = (z * real).sum(dim=1, keepdim=True) / n
    variance = ((z - mean).square() * real).sum(dim=1, keepdim=True) / n
    return (z - mean) / (variance + 1e-5).sqrt()


def _n_heads(width: int) -> int:
    return max(1, width // 64)


class _Gru(nn.Module):
    """x (B, T, C) plus a bidirectional GRU's view of the whole utterance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor, real: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        y, _ = nn.utils.rnn.pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=x.shape[1]
        )
        return x + y


class _Transformer(nn.Module):
    """Two Transformer layers over the whole utterance; the convolutions say where things are."""

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
