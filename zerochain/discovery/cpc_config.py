"""What VQ-CPC is built from."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from zerochain.discovery.cpc_training import Negatives
from zerochain.features.augmentation import AugmentationOptions
from zerochain.modules.cpc import ContextEncoder, Cpc, NarrowEncoder
from zerochain.modules.encoder import Encoder, EncoderConfig
from zerochain.modules.quantizer import Quantizer


class CPCConfig(BaseModel):
    """What VQ-CPC is built from and trained by, but for the training loop's own settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    encoder: Literal["narrow", "conv"] = "narrow"
    """Whether a latent sees hardly more than its own frames, or its neighbours as well."""
    width: int = Field(256, ge=1, le=65_536)
    n_layers: int = Field(4, ge=0, le=256)
    """Layers of one step each, or residual blocks of two convolutions."""
    codebook_dim: int = Field(64, ge=1, le=65_536)
    context_dim: int = Field(256, ge=1, le=4096)
    n_predictions: int = Field(6, ge=1, le=128)
    """Steps ahead that are predicted."""
    negatives: Negatives = "speaker"
    """Where negatives are from: those of another speaker would teach who speaks."""
    n_negatives: int = Field(17, ge=1)
    n_per_group: int = Field(8, ge=1)
    """Segments of a batch that take negatives from each other."""
    quantise: bool = True
    """Whether codes or latents are predicted; without, K-Means makes the codebook in the end."""
    warm_up_steps: int = Field(0, ge=0)
    """Of training without quantisation, after which K-Means makes the first codebook."""
    decay: float = Field(0.99, gt=0, lt=1)
    commitment: float = Field(0.25, ge=0)
    restart_below: float = Field(0.03, ge=0, lt=1)
    latents: Literal["encoder", "context"] = "encoder"
    """What units are found in: a step's latent, or the causal network's view of all so far."""
    codebook_from: Literal["training", "kmeans"] = "training"
    """Whether K-Means on the latents replaces the codebook in the end; on contexts it always
    makes it."""
    augmentation: AugmentationOptions | None = None
    """Makes the past and the future of each segment sound like two speakers."""
    n_frames: int = Field(128, ge=1)
    """Length of a training segment."""

    @classmethod
    def published(cls) -> Self:
        """The network of van Niekerk et al. 2020, there with 512 units, stride 2 and log-mel.

        They had an LSTM, and a codebook that began at random."""
        return cls(width=512, decay=0.999, restart_below=0)

    @property
    def codebook_made_by(self) -> Literal["training", "kmeans"]:
        """Where the units' codebook is really from: contexts and plain latents were given none."""
        trained = self.quantise and self.latents == "encoder"
        return self.codebook_from if trained else "kmeans"

    def encoder_of(self, n_in: int, stride: int) -> nn.Module:
        """An encoder of features of `n_in` dimensions."""
        if self.encoder == "narrow":
            return NarrowEncoder(n_in, self.width, self.n_layers, self.codebook_dim, stride)
        config = EncoderConfig(
            n_in=n_in,
            width=self.width,
            n_blocks=self.n_layers,
            dim=self.codebook_dim,
            stride=stride,
        )
        return Encoder(config)

    def network_of(self, n_in: int, n_units: int, stride: int, *, quantise: bool) -> Cpc:
        """The whole network, with a quantizer or without."""
        quantizer = Quantizer(
            n_units,
            self.codebook_dim,
            decay=self.decay,
            commitment=self.commitment,
            restart_below=self.restart_below,
        )
        return Cpc(
            self.encoder_of(n_in, stride),
            quantizer if quantise else None,
            self.codebook_dim,
            self.context_dim,
            self.n_predictions,
        )

    def deployed(self, network: Cpc) -> nn.Module:
        """The part of a network that encoding takes."""
        if self.latents == "encoder":
            return network.encoder
        return ContextEncoder(network.encoder, network.quantizer, network.context)
