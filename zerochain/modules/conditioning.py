"""The inputs of a waveform generator, as one vector per frame: content, pitch and voice.

Content is a unit and pitch is log F0, with or without F0 units (Polyak et al., Interspeech 2021).
A voice is a learned vector, or a projection of a speaker encoder's vector, as in Jia et al. 2018.
The unit `n_units` stands for padding: its frames are zero, as if they lay outside the batch.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from zerochain.config import Config


class VoiceEmbedding(nn.Module):
    """A learned vector for each voice, or a projection of a speaker encoder's vector of it.

    With a speaker encoder, any voice can be used, from a recording of it, even if it is unseen in
    training.

    Args:
        n_voices: number of voices in training.
        dim: dimensions of the result.
        n_reference: dimensions of the speaker encoder's vectors; 0 without a speaker encoder.
    """

    references: Tensor
    """(n_voices, n_reference): the speaker encoder's vector of each voice in training."""

    def __init__(self, n_voices: int, dim: int, n_reference: int = 0) -> None:
        super().__init__()
        self.n_voices, self.n_reference = n_voices, n_reference
        if n_reference:
            self.register_buffer("references", torch.zeros(n_voices, n_reference))
            self.projection = nn.Linear(n_reference, dim)
        else:
            self.table = nn.Embedding(n_voices, dim)

    def forward(self, voices: Tensor) -> Tensor:
        """voices (B,) numbers, or (B, n_reference) vectors of any voice → (B, dim)."""
        if self.n_reference:
            known = not voices.is_floating_point()
            y: Tensor = self.projection(self.references[voices] if known else voices)
        else:
            y = self.table(voices)
        return y


class ConditioningConfig(Config):
    """The settings that all generators share."""

    n_units: int = Field(ge=1, le=2**20)
    n_f0_units: int = Field(0, ge=0, le=2**20)
    """0 without F0 units."""
    n_voices: int = Field(1, ge=1, le=2**20)
    n_reference: int = Field(0, ge=0, le=65_536)
    """Dimensions of a speaker encoder's vectors; 0 if voices are numbers."""
    n_unit_embedding: int = Field(128, ge=1, le=65_536)
    n_f0_embedding: int = Field(32, ge=1, le=65_536)
    n_voice_embedding: int = Field(64, ge=1, le=65_536)
    hop: int = Field(160, ge=1, le=65_536)
    """Samples per frame."""

    def conditioning(self) -> Conditioning:
        """The generator's first layer."""
        voice = VoiceEmbedding(self.n_voices, self.n_voice_embedding, self.n_reference)
        return Conditioning(
            self.n_units,
            self.n_f0_units,
            voice,
            self.n_voice_embedding,
            self.n_unit_embedding,
            self.n_f0_embedding,
        )


class Conditioning(nn.Module):
    """The vectors of a frame's unit, F0 unit and voice, its voicing and its log F0, concatenated.

    The unit `n_units` is padding before and after an utterance: its frames are all zero, as
    convolutions pad the batch.

    Args:
        n_units, n_f0_units: sizes of the two unit inventories; no F0 units if 0.
        voice: maps voices to vectors of `n_voice` dimensions.
        width, n_f0: dimensions of the vectors of units and of F0 units.
    """

    def __init__(
        self,
        n_units: int,
        n_f0_units: int,
        voice: VoiceEmbedding,
        n_voice: int,
        width: int = 128,
        n_f0: int = 32,
    ) -> None:
        super().__init__()
        self.padding = n_units
        self.unit = nn.Embedding(n_units + 1, width, padding_idx=n_units)
        self.f0_unit = nn.Embedding(n_f0_units + 1, n_f0) if n_f0_units else None
        self.voice = voice
        self.dim = width + (n_f0 if n_f0_units else 0) + n_voice + 2

    def mask(self, units: Tensor) -> Tensor:
        """1 where units (B, T) are not padding, else 0: (B, T, 1)."""
        return (units != self.padding)[..., None].to(self.unit.weight.dtype)

    def forward(self, units: Tensor, f0_units: Tensor | None, f0: Tensor, voices: Tensor) -> Tensor:
        """units (B, T), f0_units (B, T), f0 (B, T) in Hz, voices (B,) or (B, E) → (B, T, dim).

        Raises:
            ValueError: F0 units are given but the generator has none, or vice versa.
        """
        if (f0_units is None) != (self.f0_unit is None):
            raise ValueError("the generator has F0 units but none are given, or vice versa")
        voice = self.voice(voices)[:, None].expand(-1, units.shape[1], -1)
        voiced = f0 > 0
        pitch = torch.where(voiced, f0.clamp(min=1) / 100, torch.ones_like(f0)).log()
        parts = [self.unit(units), voice, torch.stack([voiced.to(voice), pitch.to(voice)], -1)]
        if self.f0_unit is not None:
            parts.append(self.f0_unit(f0_units))
        return torch.cat(parts, dim=-1) * self.mask(units)
