"""The conditional VQ-VAE: an encoder, a quantizer, and a decoder that is told who speaks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zerochain.modules.encoder import mask_of
from zerochain.modules.quantizer import Quantized, Quantizer


class Reconstruction(NamedTuple):
    """What a VQ-VAE makes of features."""

    x: Tensor
    """(B, T, D)"""
    quantized: Quantized


class ConditionalVqvae(nn.Module):
    """p(x | z, s) of Tjandra et al. 2019: codes and a speaker's embedding, decoded.

    Args:
        encoder: features (B, T, D) and lengths (B,) → latents (B, ⌈T / stride⌉, E).
        quantizer: latents → codes.
        decoder: codes with the speaker's embedding beside each (B, ⌈T / stride⌉, E + S) and
            lengths (B,) in steps → (B, ≥ T, D').
        n_speakers: L; the number L itself stands for whoever is unknown.
        speaker_dim: S.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        n_speakers: int,
        speaker_dim: int = 32,
    ) -> None:
        super().__init__()
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder
        self.speakers = nn.Embedding(n_speakers + 1, speaker_dim)
        # The mean of the others' distribution: where a held-out speaker is, and nobody trains it.
        nn.init.zeros_(self.speakers.weight[-1])

    def forward(self, x: Tensor, lengths: Tensor, speakers: Tensor) -> Reconstruction:
        """Encode, quantise and decode x (B, T, D) of speakers (B,)."""
        latents = self.encoder(x, lengths)
        stride = -(-x.shape[1] // latents.shape[1])
        steps = torch.div(lengths + stride - 1, stride, rounding_mode="floor")
        quantized = self.quantizer(latents, mask_of(steps, latents.shape[1]))
        speaker = self.speakers(speakers)[:, None].expand(-1, latents.shape[1], -1)
        decoded = self.decoder(torch.cat([quantized.vectors, speaker], dim=2), steps)
        return Reconstruction(decoded[:, : x.shape[1]], quantized)
