"""Which voice speaks, as a vector that conditions a network."""

from __future__ import annotations

import torch
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
