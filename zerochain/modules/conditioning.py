"""What a generator of speech is told of each frame: content, pitch and voice.

Which voice speaks, as a vector that conditions a network.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class VoiceEmbedding(nn.Module):
    """A learned vector for each voice, or a projection of what a speaker encoder hears in it.

    With references, voices that training never met can speak: from a recording of theirs.

    Args:
        n_voices: that training knows.
        dim: of the vector.
        n_reference: dimensions of the speaker encoder's vectors; 0 where there is no encoder.
    """

    references: Tensor
    """(n_voices, n_reference): what the speaker encoder hears in each voice."""

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


class ConditioningConfig(BaseModel):
    """What all generators have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_units: int = Field(ge=1, le=2**20)
    n_f0_units: int = Field(0, ge=0, le=2**20)
    """0 where there are no F0 units."""
    n_voices: int = Field(1, ge=1, le=2**20)
    n_reference: int = Field(0, ge=0, le=65_536)
    """Dimensions of a speaker encoder's vectors; 0 where voices are numbers alone."""
    n_unit_embedding: int = Field(128, ge=1, le=65_536)
    n_f0_embedding: int = Field(32, ge=1, le=65_536)
    n_voice_embedding: int = Field(64, ge=1, le=65_536)
    hop: int = Field(160, ge=1, le=65_536)
    """Samples a frame."""

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
    """Vectors of a frame's unit, of its F0 unit, of the voice, and log F0, side by side.

    The unit `n_units` is "nothing", what lies before and after an utterance: there all is zero,
    as beyond the edges of the batch.

    Args:
        n_units, n_f0_units: sizes of the two unit inventories; no F0 units if 0.
        voice: gives a vector of `n_voice` dimensions.
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
        self.nothing = n_units
        self.unit = nn.Embedding(n_units + 1, width, padding_idx=n_units)
        self.f0_unit = nn.Embedding(n_f0_units + 1, n_f0) if n_f0_units else None
        self.voice = voice
        self.dim = width + (n_f0 if n_f0_units else 0) + n_voice + 2

    def mask(self, units: Tensor) -> Tensor:
        """Where there is something: (B, T, 1) of 0 and 1."""
        return (units != self.nothing)[..., None].to(self.unit.weight.dtype)

    def forward(self, units: Tensor, f0_units: Tensor | None, f0: Tensor, voices: Tensor) -> Tensor:
        """units (B, T), f0_units (B, T), f0 (B, T) in Hz, voices (B,) or (B, E) → (B, T, dim).

        Raises:
            ValueError: F0 units where there are none, or none where there are some.
        """
        if (f0_units is None) != (self.f0_unit is None):
            raise ValueError("the generator was made with F0 units and gets none, or vice versa")
        voice = self.voice(voices)[:, None].expand(-1, units.shape[1], -1)
        voiced = f0 > 0
        pitch = torch.where(voiced, f0.clamp(min=1) / 100, torch.ones_like(f0)).log()
        parts = [self.unit(units), voice, torch.stack([voiced.to(voice), pitch.to(voice)], -1)]
        if self.f0_unit is not None:
            parts.append(self.f0_unit(f0_units))
        return torch.cat(parts, dim=-1) * self.mask(units)
