"""A captioner's network: the regions of a picture → symbols, and a space that both share.

A decoder with attention predicts a caption from the regions; the mean of the regions, and the mean
of a text's encoded symbols, are vectors of unit length whose product says how well a picture and a
text fit each other, by which either is found from the other (image retrieval).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize

from zerochain.config import NO_OPTION, Config
from zerochain.modules.convnext import ConvNextBlock
from zerochain.modules.decoders import TransformerDecoder, teacher_forcing
from zerochain.modules.encoder import mask_of
from zerochain.modules.joint_recogniser import Encoded

_KERNEL = 5
_SCALE = math.log(10.0)  # of the products, at first


class CaptionerSizes(Config):
    """Sizes of a captioner's network that a user chooses."""

    width: int = Field(128, ge=8, le=65_536, multiple_of=8)
    """Channels per layer, a multiple of 8."""
    n_layers: int = Field(2, ge=1, le=256, json_schema_extra=NO_OPTION)
    """Layers of the decoder, and blocks over a text."""
    dropout: float = Field(0.1, ge=0, lt=1, json_schema_extra=NO_OPTION)
    """Dropout of each layer's output."""


class CaptionerConfig(CaptionerSizes):
    """A captioner's network, with what follows from the data."""

    n_in: int = Field(192, ge=1, le=65_536)
    """Values per region."""
    n_regions: int = Field(36, ge=1, le=65_536)
    """The most regions that a picture has."""
    n_symbols: int = Field(30, ge=1, le=65_536)
    """K."""

    @property
    def n_units(self) -> int:
        """K, as decoding calls it."""
        return self.n_symbols


class Seen(NamedTuple):
    """What the network makes of pictures and texts."""

    next: Tensor
    """(B, U + 1, K + 1), scores of each symbol of the texts and of their ends."""
    pictures: Tensor
    """(B, W), of unit length."""
    texts: Tensor
    """(B, W), of unit length."""


class Captioner(nn.Module):
    """Regions (B, R, D) of pictures and texts (B, U) → scores and vectors.

    Padding has no effect.
    """

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.region = nn.Linear(config.n_in, width)
        self.place = nn.Parameter(0.1 * torch.randn(config.n_regions, width))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)
        self.picture_vector = nn.Linear(width, width)
        self.embedding = nn.Embedding(config.n_symbols, width)
        self.blocks = nn.ModuleList(ConvNextBlock(width, _KERNEL) for _ in range(config.n_layers))
        self.text_vector = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.tensor(_SCALE))
        self.decoder = TransformerDecoder(
            config.n_symbols,
            width,
            width,
            n_layers=config.n_layers,
            n_heads=4,
            factor=2,
            dropout=config.dropout,
        )

    def encode(self, x: Tensor, lengths: Tensor) -> Encoded:
        """Regions (B, R, D), (B,) of each picture → what the decoder attends to."""
        y = self.region(x) + self.place[: x.shape[1]]
        return Encoded(self.norm(y + self.down(gelu(self.up(y)))), lengths)

    def pictures(self, encoded: Encoded) -> Tensor:
        """Vectors (B, W) of pictures."""
        mean = _mean(encoded.memory, encoded.lengths)
        found: Tensor = normalize(self.picture_vector(mean), dim=1)
        return found

    def texts(self, symbols: Tensor, counts: Tensor) -> Tensor:
        """Vectors (B, W) of texts (B, U) of so many symbols (B,)."""
        real = mask_of(counts, symbols.shape[1])[..., None]
        y = self.embedding(symbols) * real
        for block in self.blocks:
            y = block(y, real)
        found: Tensor = normalize(self.text_vector(_mean(y, counts)), dim=1)
        return found

    def forward(self, x: Tensor, lengths: Tensor, symbols: Tensor, counts: Tensor) -> Seen:
        """Scores of the texts as the pictures' captions, with teacher forcing, and all vectors."""
        encoded = self.encode(x, lengths)
        tokens, _ = teacher_forcing(symbols, counts, self.config.n_symbols)
        scores = self.decoder(tokens, encoded.memory, encoded.lengths)
        return Seen(scores, self.pictures(encoded), self.texts(symbols, counts))


def _mean(y: Tensor, lengths: Tensor) -> Tensor:
    real = mask_of(lengths, y.shape[1])[..., None]
    total: Tensor = (y * real).sum(dim=1)
    return total / lengths.clamp(min=1)[:, None]
