"""The network of a speaker encoder: log-mel frames → one vector that represents the voice.

The more similar two voices are, the higher is the cosine of their vectors. The network is a small
ECAPA-TDNN (Desplanques et al. 2020), trained to classify speakers with additive-margin softmax
(Wang et al. 2018), as x-vectors are (Snyder et al. 2018).
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, normalize

from zerochain.config import Config
from zerochain.modules.encoder import ResidualBlock, TimeLayer, as_image, halved, image_mask

_DB = 10.0  # scales the network's input: 1 is 10 dB


class SpeakerNetConfig(Config):
    """Sizes of a speaker encoder."""

    n_in: int = Field(80, ge=1, le=2**20)
    width: int = Field(128, ge=1, le=65_536)
    n_blocks: int = Field(3, ge=1, le=256)
    """Residual blocks of two convolutions of kernel 3, over steps of two frames."""
    dim: int = Field(128, ge=1, le=65_536)
    """Dimensions of the vector."""


class SpeakerNet(nn.Module):
    """Log-mel frames in dB (B, T, n_in) and their lengths (B,) → unit vectors (B, dim).

    Convolutions, the concatenated outputs of all blocks, and attentive statistics pooling, as in
    ECAPA-TDNN (Desplanques et al. 2020), but smaller and without its Res2 branches. Only the
    recording's mean level is subtracted first, not the mean of each band, as is usual: those means
    depend on the microphone but also on the voice, and without them speakers recorded with the
    same microphone were distinguished less well. Padding after an utterance's end has no effect.
    """

    def __init__(self, config: SpeakerNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.first = TimeLayer(config.n_in, width, 6, stride=2)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(config.n_blocks))
        self.together = TimeLayer(config.n_blocks * width, 2 * width, 1)
        self.pooling = AttentivePooling(2 * width, width // 2 or 1)
        self.norm = nn.BatchNorm1d(4 * width)
        self.last = nn.Linear(4 * width, config.dim)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The vector of each recording."""
        y, mask = as_image(x / _DB), image_mask(lengths, x.shape[1])
        level = (y * mask).sum(dim=(1, 3), keepdim=True) / (y.shape[1] * lengths.view(-1, 1, 1, 1))
        y = self.first((y - level) * mask)
        mask = image_mask(halved(lengths), y.shape[-1])
        y, outputs = y * mask, []
        for block in self.blocks:
            y = block(y, mask)
            outputs.append(y)
        y = self.together(torch.cat(outputs, dim=1))
        return normalize(self.last(self.norm(self.pooling(y, mask))))


class AttentivePooling(nn.Module):
    """Weighted mean and standard deviation over time, with separate weights for each channel.

    Attentive statistics pooling (Okabe et al. 2018), with weights per channel that also depend on
    the mean and deviation of the whole recording (Desplanques et al. 2020).
    """

    def __init__(self, n_channels: int, width: int) -> None:
        super().__init__()
        self.here = nn.Conv2d(n_channels, width, 1)
        self.everywhere = nn.Linear(2 * n_channels, width, bias=False)
        self.weights = nn.Conv2d(width, n_channels, 1)

    def forward(self, y: Tensor, mask: Tensor) -> Tensor:
        """y (B, C, 1, T), mask (B, 1, 1, T) → (B, 2 C)."""
        whole = self.everywhere(_moments(y, mask / mask.sum(dim=-1, keepdim=True)))
        scores = self.weights(torch.tanh(self.here(y) + whole[:, :, None, None]))
        return _moments(y, scores.masked_fill(mask == 0, -torch.inf).softmax(dim=-1))


def _moments(y: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean and standard deviation over time, concatenated."""
    mean = (y * weights).sum(dim=-1, keepdim=True)
    variance = ((y - mean).square() * weights).sum(dim=-1, keepdim=True)
    return torch.cat([mean, (variance + 1e-4).sqrt()], dim=1).flatten(1)


class SpeakerClassifier(nn.Module):
    """A speaker encoder and a direction for each speaker in training, to classify recordings.

    Additive-margin softmax (Wang et al. 2018): cross-entropy of scaled cosines, of which the true
    speaker's is lowered by a margin, so that a speaker's vectors cluster around its direction.
    """

    def __init__(
        self, encoder: SpeakerNet, n_speakers: int, *, margin: float = 0.2, scale: float = 30.0
    ) -> None:
        super().__init__()
        self.encoder, self.margin, self.scale = encoder, margin, scale
        self.directions = nn.Parameter(torch.randn(n_speakers, encoder.config.dim))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Cosines of recordings and speakers, (B, n_speakers)."""
        return linear(self.encoder(x, lengths), normalize(self.directions))

    def loss(self, cosines: Tensor, speakers: Tensor) -> Tensor:
        """The loss of each recording, (B,), given its speaker, (B,)."""
        lowered = cosines.scatter_add(
            1,
            speakers[:, None],
            torch.full_like(speakers[:, None], -self.margin, dtype=cosines.dtype),
        )
        return cross_entropy(self.scale * lowered, speakers, reduction="none")
