"""Predictors of prosody from units: the duration of each unit, and F0 and voicing of each frame.

Merged units have no durations, and units of most models carry little pitch; both have to be
predicted before speech can be synthesised. The duration predictor is that of FastSpeech 2 (Ren et
al. 2021); F0 is predicted by the same kind of network over frames, as log F0 normalised by the
voice's mean and deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from zerochain.config import Config
from zerochain.modules.conditioning import VoiceEmbedding
from zerochain.modules.encoder import mask_of


class ProsodyConfig(Config):
    """Sizes of both predictors."""

    n_units: int = Field(ge=1, le=2**20)
    width: int = Field(64, ge=1, le=65_536)
    n_duration_layers: int = Field(3, ge=1, le=256)
    """Of the duration predictor, each reaching one unit further."""
    n_wide_duration_layers: int = Field(0, ge=0, le=16)
    """After these, each reaching twice as far as the one before it."""
    duration_width: int | None = Field(None, ge=1, le=65_536)
    """Of the duration predictor; None is `width`."""
    n_f0_layers: int = Field(6, ge=1, le=24)
    """Each layer doubles the dilation: the reach of n layers, in frames, is 2ⁿ − 1 either side."""
    dropout: float = Field(0.2, ge=0, lt=1)
    n_voices: int = Field(0, ge=0, le=2**20)
    """0: the predictions don't depend on the voice."""
    voice_dim: int = Field(32, ge=1, le=65_536)
    n_reference: int = Field(0, ge=0, le=65_536)
    """Dimensions of a speaker encoder's vectors; 0 if voices are numbers."""
    voice_dropout: float = Field(0.1, ge=0, lt=1)
    """Probability that the voice is left out in training, so that predictions for an unknown voice
    are possible."""


class Predicted(NamedTuple):
    """The predictions for a batch."""

    log_durations: Tensor
    """(B, N): log(duration + 1), durations in steps."""
    z: Tensor
    """(B, T): normalised log F0, valid where the frame is voiced."""
    voicing: Tensor
    """(B, T): logits."""


class ProsodyNet(nn.Module):
    """A duration predictor and an F0 predictor, both over units."""

    def __init__(self, config: ProsodyConfig) -> None:
        super().__init__()
        self.config = config
        voice_dim = config.voice_dim if config.n_voices else 0
        if config.n_voices:
            self.voices = VoiceEmbedding(config.n_voices, voice_dim, config.n_reference)
        near = [1] * config.n_duration_layers
        wide = [2 ** (i + 1) for i in range(config.n_wide_duration_layers)]
        width = config.duration_width or config.width
        self.duration_layers = UnitConvolutions(
            config.n_units, width, voice_dim, config.dropout, near + wide, 1
        )
        dilations = [2**i for i in range(config.n_f0_layers)]
        self.f0_layers = UnitConvolutions(
            config.n_units, config.width, voice_dim, config.dropout, dilations, 2
        )

    def start_from(self, log_durations: Tensor) -> None:
        """Start from each unit's mean log duration (n_units,), with no correction.

        F0 has no such start: it depends on a unit's neighbours more than on the unit, and training
        from the means gave worse predictions.
        """
        self.duration_layers.start_from(log_durations[:, None])

    def shrink_durations(self, factor: float) -> None:
        """Let what context and voice say about a duration count by this factor, from now on.

        What remains at 0 is each unit's own duration.
        """
        self.duration_layers.shrink(factor)

    @property
    def f0_reach(self) -> int:
        """Number of frames on either side that a frame's F0 depends on."""
        return self.f0_layers.reach

    def forward(
        self,
        units: Tensor,
        n_units: Tensor,
        frames: Tensor,
        n_frames: Tensor,
        voices: Tensor,
        frame_voices: Tensor,
    ) -> Predicted:
        """Both predictions, from different crops: merged units (B, N), units of frames (B, T)."""
        log_durations = self.log_durations(units, n_units, self.voice(voices))
        return Predicted(log_durations, *self.f0(frames, n_frames, self.voice(frame_voices)))

    def voice(self, voices: Tensor) -> Tensor | None:
        """Voices as `VoiceEmbedding` takes them → (B, voice_dim), zero if left out in training."""
        if not self.config.n_voices:
            return None
        vectors: Tensor = self.voices(voices)
        if self.training:
            kept = torch.rand(len(vectors), 1, device=vectors.device) >= self.config.voice_dropout
            vectors = vectors * kept
        return vectors

    def log_durations(self, units: Tensor, lengths: Tensor, voice: Tensor | None) -> Tensor:
        """Merged units (B, N), lengths (B,) and voice vectors (B, voice_dim) → (B, N)."""
        y: Tensor = self.duration_layers(units, lengths, voice)
        return y[..., 0]

    def f0(self, frames: Tensor, lengths: Tensor, voice: Tensor | None) -> tuple[Tensor, Tensor]:
        """Units of frames (B, T) → z and voicing logits, (B, T) each; None is an unknown voice."""
        y = self.f0_layers(frames, lengths, voice)
        return y[..., 0], y[..., 1]


class UnitConvolutions(nn.Module):
    """Units (B, T) → (B, T, n_out): residual convolutions of kernel 3 over embedded units.

    Their output is added to a table with one output per unit. Padding after an utterance's end is
    kept at zero in every layer, so that an utterance's output doesn't depend on the batch.
    """

    def __init__(
        self,
        n_units: int,
        width: int,
        voice_dim: int,
        dropout: float,
        dilations: Sequence[int],
        n_out: int,
    ) -> None:
        super().__init__()
        self.reach = sum(dilations)
        self.means = nn.Embedding(n_units, n_out)
        nn.init.zeros_(self.means.weight)
        self.embedding = nn.Embedding(n_units, width)
        self.dropout = nn.Dropout(dropout)
        self.voice = nn.Linear(voice_dim, width, bias=False) if voice_dim else None
        self.layers = nn.ModuleList(_Layer(width, d, dropout) for d in dilations)
        self.last = nn.Linear(width, n_out)

    def start_from(self, means: Tensor) -> None:
        """Start from a table of outputs per unit (n_units, n_out), with no correction."""
        self.means.weight.data.copy_(means)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def shrink(self, factor: float) -> None:
        """Multiply by this factor what is added to the table."""
        self.last.weight.data.mul_(factor)
        self.last.bias.data.mul_(factor)

    def forward(self, units: Tensor, lengths: Tensor, voice: Tensor | None) -> Tensor:
        """Units (B, T), lengths (B,), voice vectors (B, voice_dim) or None → (B, T, n_out)."""
        mask = mask_of(lengths, units.shape[1])[..., None]
        x = self.dropout(self.embedding(units))
        if self.voice is not None and voice is not None:
            x = x + self.voice(voice)[:, None]
        for layer in self.layers:
            x = layer(x, mask)
        y: Tensor = self.means(units) + self.last(x)
        return y


class _Layer(nn.Module):
    """x (B, T, C) plus a convolution of it, ReLU, layer norm and dropout."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.conv((x * mask).transpose(1, 2)).transpose(1, 2)
        z: Tensor = x + self.dropout(self.norm(torch.relu(y)))
        return z
