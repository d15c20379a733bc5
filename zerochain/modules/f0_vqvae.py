"""The F0 VQ-VAE: pitch movements as a few units a second (Polyak et al., Interspeech 2021)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from zerochain.modules.encoder import Decoder, Encoder, EncoderConfig, mask_of
from zerochain.modules.vqvae import Quantized, Quantizer

STRIDE = 16
"""Frames that one F0 unit lasts: 80 ms of frames of 5 ms."""


class F0VqvaeConfig(BaseModel):
    """Sizes of the network; the published codebook has 20 codes of 128 dimensions."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_units: int = Field(20, ge=1, le=2**20)
    dim: int = Field(128, ge=1, le=65_536)
    width: int = Field(64, ge=1, le=65_536)
    n_blocks: int = Field(2, ge=0, le=256)
    """Residual blocks at the rate of the units, in the encoder and in the decoder."""
    decay: float = Field(0.99, gt=0, lt=1)
    commitment: float = Field(0.25, ge=0)
    restart_below: float = Field(0.03, ge=0, lt=1)


class F0Reconstruction(NamedTuple):
    """What the VQ-VAE makes of F0 contours."""

    z: Tensor
    """(B, T): normalised log F0; means something where the frame is voiced."""
    voicing: Tensor
    """(B, T): logits."""
    quantized: Quantized


class F0Vqvae(nn.Module):
    """z-normalised log F0 and voicing → F0 units → both again.

    What lies beyond an utterance's end is kept at zero in every layer, so that an utterance gives
    the same alone and in a batch.
    """

    def __init__(self, config: F0VqvaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(
            EncoderConfig(
                n_in=2,
                width=config.width,
                n_blocks=config.n_blocks,
                dim=config.dim,
                stride=STRIDE,
            )
        )
        self.quantizer = Quantizer(
            config.n_units,
            config.dim,
            decay=config.decay,
            commitment=config.commitment,
            restart_below=config.restart_below,
        )
        self.decoder = Decoder(config.dim, 2, config.width, config.n_blocks, STRIDE)

    @property
    def encoder_reach(self) -> int:
        """Frames before and after its own 16 that a unit depends on."""
        return 2 + STRIDE - 1 + 2 * self.config.n_blocks * STRIDE

    @property
    def decoder_reach(self) -> int:
        """Units before and after its own that a frame depends on."""
        return 2 + 2 * self.config.n_blocks

    def forward(self, z: Tensor, voiced: Tensor, lengths: Tensor) -> F0Reconstruction:
        """Encode, quantise and decode z and voiced, (B, T) each, of utterances of lengths (B,)."""
        latents = self.latents(z, voiced, lengths)
        steps = n_units_of(lengths)
        quantized = self.quantizer(latents, mask_of(steps, latents.shape[1]))
        made = self.decoder(quantized.vectors, steps)[:, : z.shape[1]]
        return F0Reconstruction(made[..., 0], made[..., 1], quantized)

    def latents(self, z: Tensor, voiced: Tensor, lengths: Tensor) -> Tensor:
        """What is quantised: (B, ⌈T / 16⌉, dim), zero beyond the ends."""
        y: Tensor = self.encoder(torch.stack([z * voiced, voiced], dim=2), lengths)
        return y

    def encode(self, z: Tensor, voiced: Tensor, lengths: Tensor | None = None) -> Tensor:
        """z and voiced (B, T) → units (B, ⌈T / 16⌉); `lengths` (B,) where some end earlier."""
        units: Tensor = self.quantizer(self.latents(z, voiced, _lengths(z, lengths))).units
        return units

    def decode(self, units: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """units (B, N) → z (B, 16 · N) and the probability that a frame is voiced (B, 16 · N).

        `lengths` (B,) in units, where some end earlier.
        """
        made = self.decoder(self.quantizer.codebook[units], _lengths(units, lengths))
        return made[..., 0], made[..., 1].sigmoid()


class F0Errors(NamedTuple):
    """Errors of predicted z and voicing as sums, so that those of batches add up."""

    z: Tensor
    """Huber loss (δ = 1) of z over voiced frames."""
    voicing: Tensor
    """Cross-entropy of the voicing logits over real frames."""
    n_voiced: Tensor
    n_real: Tensor

    @classmethod
    def of(
        cls, z: Tensor, logits: Tensor, true_z: Tensor, voiced: Tensor, real: Tensor
    ) -> F0Errors:
        """Everything is (B, T); `real` is 1 where there is an utterance."""
        functional, both = nn.functional, voiced * real
        huber = functional.huber_loss(z.float(), true_z, reduction="none")
        entropy = functional.binary_cross_entropy_with_logits(
            logits.float(), voiced, reduction="none"
        )
        return cls((huber * both).sum(), (entropy * real).sum(), both.sum(), real.sum())

    def __add__(self, other: object) -> F0Errors:
        """Those of two batches together."""
        if not isinstance(other, F0Errors):
            return NotImplemented
        return F0Errors(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def loss(self) -> Tensor:
        """Mean over voiced and mean over real frames; nothing voiced has no error in z."""
        return self.z / self.n_voiced.clamp(min=1) + self.voicing / self.n_real.clamp(min=1)


def n_units_of(n_frames: Tensor) -> Tensor:
    """⌈n_frames / 16⌉."""
    return torch.div(n_frames + STRIDE - 1, STRIDE, rounding_mode="floor")


def _lengths(x: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is not None:
        return lengths
    return torch.full((len(x),), x.shape[1], device=x.device)
