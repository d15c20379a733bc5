"""The encoder of learned units: convolutions over time, wide enough to see a phone and its
neighbours."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class EncoderConfig(BaseModel):
    """What an encoder is built from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_in: int = Field(39, ge=1)
    width: int = Field(256, ge=1)
    n_blocks: int = Field(4, ge=0)
    """Residual blocks of two convolutions of kernel 3 after the striding ones."""
    dim: int = Field(64, ge=1)
    stride: Literal[1, 2, 4, 8] = 1
    tail: Literal["none", "gru", "transformer"] = "none"
    """What sees the whole utterance, after the convolutions."""
    instance_norm: bool = False
    """Mean and variance of each output dimension taken out over the utterance: what is left of
    a speaker or a room is mostly there."""


class Encoder(nn.Module):
    """Features (B, T, D) and their lengths (B,) → latents (B, ⌈T / stride⌉, dim).

    Whatever lies beyond an utterance's end is kept at zero in every layer, so that an utterance
    gives the same alone and in a batch.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.first = _Layer(config.n_in, width, 5)
        n_halvings = int(math.log2(config.stride))
        self.halvings = nn.ModuleList(_Layer(width, width, 4, stride=2) for _ in range(n_halvings))
        self.blocks = nn.ModuleList(_Block(width) for _ in range(config.n_blocks))
        self.tail = _tail(config)
        self.last = nn.Conv1d(width, config.dim, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Latents, zero beyond the end of each utterance."""
        mask = mask_of(lengths, x.shape[1])
        y = self.first(x.transpose(1, 2) * mask) * mask
        for halving in self.halvings:
            lengths = halved(lengths)
            mask = mask_of(lengths, -(-y.shape[-1] // 2))
            y = halving(y) * mask
        for block in self.blocks:
            y = block(y, mask)
        if self.tail is not None:
            y = self.tail(y, lengths, mask)
        y = self.last(y)
        if self.config.instance_norm:
            y = instance_norm(y, mask)
        latents: Tensor = (y * mask).transpose(1, 2)
        return latents


def mask_of(lengths: Tensor, n: int) -> Tensor:
    """One where there is speech: lengths (B,) → (B, 1, n)."""
    return (torch.arange(n, device=lengths.device) < lengths[:, None]).float()[:, None]


def halved(lengths: Tensor) -> Tensor:
    """⌈length / 2⌉."""
    return torch.div(lengths + 1, 2, rounding_mode="floor")


def instance_norm(y: Tensor, mask: Tensor) -> Tensor:
    """y (B, C, T) with the mean and variance of each channel over its real steps taken out."""
    n = mask.sum(dim=-1, keepdim=True)
    mean = (y * mask).sum(dim=-1, keepdim=True) / n
    variance = ((y - mean).square() * mask).sum(dim=-1, keepdim=True) / n
    return (y - mean) / (variance + 1e-5).sqrt()


class _Layer(nn.Module):
    """Convolution, batch norm, LeakyReLU; (B, C, T) → (B, C', ⌈T / stride⌉)."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv1d(n_in, n_out, kernel, stride, bias=False)
        self.norm = nn.BatchNorm1d(n_out)
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[-1]
        left = (self.kernel - self.stride + 1) // 2
        right = (-(-n // self.stride) - 1) * self.stride + self.kernel - left - n
        y: Tensor = self.activation(self.norm(self.conv(nn.functional.pad(x, (left, right)))))
        return y


class _Block(nn.Module):
    """x plus two convolutions of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, width, 3) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = x
        for layer in self.layers:
            y = layer(y) * mask
        return x + y


class _Gru(nn.Module):
    """x plus a bidirectional GRU's view of the whole utterance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            x.transpose(1, 2), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        y, _ = nn.utils.rnn.pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=x.shape[-1]
        )
        return x + y.transpose(1, 2)


class _Transformer(nn.Module):
    """Two Transformer layers over the whole utterance; the convolutions say where things are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, max(1, width // 64), 2 * width, dropout=0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        y: Tensor = self.layers(x.transpose(1, 2), src_key_padding_mask=mask[:, 0] == 0)
        return y.transpose(1, 2) * mask


def _tail(config: EncoderConfig) -> nn.Module | None:
    match config.tail:
        case "gru":
            return _Gru(config.width)
        case "transformer":
            return _Transformer(config.width)
        case _:
            return None
