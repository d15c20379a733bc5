"""VQ-VAE units: codes from which a decoder that is given the speaker reconstructs the features.

The conditional VQ-VAE of Tjandra et al. 2019 ("VQVAE unsupervised unit discovery and multi-scale
Code2Spec inverter for ZeroSpeech 2019"): encoder, vector quantisation (van den Oord et al. 2017),
and a decoder of codes and a speaker embedding, so that the codes need not carry the voice. Ours is
of 1-D convolutions with a codebook of moving averages; `encoder="published"` is theirs. Networks
are in `modules/vqvae.py` and `modules/encoder.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from zerochain.config import Config
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.neural import CollapseWatch, NeuralUnits, Speech, start_codebook
from zerochain.errors import counted
from zerochain.modules.encoder import Decoder, Encoder, EncoderConfig, Tail, check_tail, mask_of
from zerochain.modules.vqvae import (
    ConditionalVqvae,
    PublishedDecoder,
    PublishedEncoder,
    Quantizer,
    Reconstruction,
)
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running
from zerochain.training.task import Batch, Update

RECIPE = Recipe(
    max_steps=10_000, batch_size=32, learning_rate=5e-4, validate_every=200, patience=10
)
_CROPS_PER_BATCH, _LONGEST_CROP = 8, 512  # in validation

_OF_CONV = ("n_blocks", "tail", "instance_norm")
_PUBLISHED = {"ema": False, "restart_below": 0.0, "jitter": 0.0, "kmeans_start": False}
"""A gradient codebook, and none of what came after Tjandra et al. 2019."""


class VQVAEConfig(Config):
    """What a VQ-VAE is built from and what it is trained for; the recipe says how long and how."""

    encoder: Literal["conv", "published"] = "conv"
    """1-D convolutions, or all of Tjandra et al. 2019: a 2-D encoder, and by default no EMA,
    restarts, jitter or k-means start. The decoder mirrors the encoder."""
    width: int = Field(256, ge=1, le=65_536)
    """Channels per layer."""
    n_blocks: int = Field(4, ge=0, le=256)
    """Residual blocks of encoder and decoder; only with encoder conv."""
    tail: Tail = "none"
    """Layer over the whole segment after the convolutions; only with encoder conv."""
    instance_norm: bool = False
    """Normalise the latents' mean and variance per utterance; only with encoder conv."""
    codebook_dim: int = Field(64, ge=1, le=65_536)
    """Dimensions of a codebook vector."""
    speaker_dim: int = Field(32, ge=1, le=65_536)
    """Dimensions of the speaker embedding."""
    ema: bool = True
    """Learn the codebook by moving averages rather than by gradients."""
    decay: float = Field(0.99, gt=0, lt=1)
    """Decay per step of the codebook's moving averages."""
    commitment: float = Field(0.25, ge=0)
    """Weight of the commitment loss."""
    restart_below: float = Field(0.03, ge=0, lt=1)
    """Usage of a unit, relative to the mean usage, below which its vector is reinitialised."""
    jitter: float = Field(0.3, ge=0, le=1)
    """Probability that a step takes its neighbour's code in training."""
    kmeans_start: bool = Field(True, json_schema_extra={"option": "--kmeans-start/--random-start"})
    """Initialise the codebook by K-Means of the untrained encoder's latents, or at random."""
    codebook_from: Literal["training", "kmeans"] = "training"
    """The final codebook: as trained, or K-Means of the trained encoder's latents."""
    n_frames: int = Field(128, ge=1, json_schema_extra={"option": "--segment-frames"})
    """Length of a training segment in frames."""

    presets: ClassVar = {("encoder", "published"): _PUBLISHED}

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_tail(self.tail, self.width)
        fields = type(self).model_fields
        wrong = [n for n in _OF_CONV if getattr(self, n) != fields[n].default]
        if self.encoder == "published" and wrong:
            name = wrong[0]
            raise ValueError(f"{name}={getattr(self, name)!r} only applies to encoder='conv'")
        return self

    @classmethod
    def published(cls) -> Self:
        """The system of Tjandra et al. 2019."""
        return cls(encoder="published")

    def encoder_of(self, n_in: int, stride: int) -> nn.Module:
        """An encoder of features of `n_in` dimensions."""
        if self.encoder == "published":
            return PublishedEncoder(n_in, self.codebook_dim, stride, self.width)
        return Encoder(
            EncoderConfig(
                n_in=n_in,
                width=self.width,
                n_blocks=self.n_blocks,
                dim=self.codebook_dim,
                stride=stride,
                tail=self.tail,
                instance_norm=self.instance_norm,
            )
        )

    def network_of(self, n_in: int, n_speakers: int, n_units: int, stride: int) -> ConditionalVqvae:
        """The whole VQ-VAE."""
        dim = self.codebook_dim + self.speaker_dim
        decoder: nn.Module
        if self.encoder == "published":
            decoder = PublishedDecoder(dim, n_in, stride, self.width)
        else:
            decoder = Decoder(dim, n_in, self.width, self.n_blocks, stride)
        quantizer = Quantizer(
            n_units,
            self.codebook_dim,
            ema=self.ema,
            decay=self.decay,
            commitment=self.commitment,
            restart_below=self.restart_below,
            jitter=self.jitter,
        )
        encoder = self.encoder_of(n_in, stride)
        return ConditionalVqvae(encoder, quantizer, decoder, n_speakers, self.speaker_dim)


class VQVAEUnits(NeuralUnits):
    """The conditional VQ-VAE. Encoding needs neither the decoder nor a speaker.

    It reconstructs what it is given: the features, as the front end prepares them.

    Args:
        n_units: K.
        stride: frames per unit: 1, 2, 4 or 8.
        options: how features are prepared.
        config: the network.
        recipe: how long and how it is trained, the seed among it.
    """

    name = "vqvae"
    config_class = VQVAEConfig
    config: VQVAEConfig
    n_speakers: int

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 4,
        *,
        options: FrontEndOptions | None = None,
        config: VQVAEConfig | None = None,
        recipe: Recipe = RECIPE,
        device: str = "cpu",
    ) -> None:
        super().__init__(n_units, stride, options, config, recipe, device)

    def _train(self, speech: Speech, running: Running) -> None:
        seed = self.recipe.seed
        torch.manual_seed(seed)
        self.n_speakers = speech.n_speakers
        network = self.config.network_of(self.n_in, self.n_speakers, self.n_units, self.stride)
        n_frames = self.config.n_frames
        task = VqvaeTask(
            network, speech.train, speech.valid, self.recipe, n_frames=n_frames, device=self.device
        )
        if self.config.kmeans_start:
            start_codebook(network.encoder, network.quantizer, task.batch, seed, self.device)
        self.outcome = self._run(task, self.recipe, running, speech).outcome
        self.encoder = network.encoder
        self.codebook = network.quantizer.codebook.detach().cpu().numpy()
        self._measure(speech, self.config.codebook_from)

    @property
    def summary(self) -> str:
        """How the fit went, in one line for people."""
        speakers = counted(self.n_speakers, "speaker") if self.n_speakers else "no known speaker"
        return f"{speakers}, {self.outcome}; {self.usage}"

    @property
    def method(self) -> str:
        """The model in a few words for people."""
        words = ["published"] if self.config.encoder == "published" else []
        return " ".join([super().method, *words])

    @property
    def findings(self) -> list[str]:
        """Warnings about how the fit went."""
        alone = "no speaker is known: all share one embedding, and the codes carry voices"
        return [*([] if self.n_speakers else [alone]), *super().findings]

    def _settings(self) -> Mapping[str, Any]:
        return {**super()._settings(), "n_speakers": self.n_speakers}

    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(settings, tensors)
        self.n_speakers = settings["n_speakers"]

    def _network(self) -> nn.Module:
        return self.config.encoder_of(self.n_in, self.stride)


class VqvaeTask:
    """Squared error of the features that codes and speaker give, and the quantizer's loss.

    Both are means over real frames and dimensions: up to a factor, −log p(x | z, s) of a Gaussian.
    Validation is on the squared error alone, through the quantizer.

    Args:
        n_frames: length of a training segment.
    """

    def __init__(
        self,
        network: ConditionalVqvae,
        train: Crops,
        valid: Crops,
        recipe: Recipe,
        *,
        n_frames: int,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"vqvae": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "vqvae": torch.optim.Adam(network.parameters(), recipe.learning_rate)
        }
        self._train, self._valid, self._recipe = train, valid, recipe
        self._n_frames, self._device = n_frames, device
        self._n_units, self._watch = len(network.quantizer.usage), CollapseWatch()
        self._n_used = torch.tensor(self._n_units)

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of the training utterances."""
        return self._train.random(
            self._recipe.batch_size, self._n_frames, (self._recipe.seed, step, process)
        )

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of encoder, codebook and decoder."""
        made: Reconstruction = networks["vqvae"](batch["x"], batch["lengths"], batch["speakers"])
        total, n = squared_error(made.x, batch)
        error = total / n
        loss = error + made.quantized.loss
        update("vqvae", loss)
        self._n_used = made.quantized.n_used
        return {
            "train_loss": loss,
            "reconstruction": error,
            "quantization": made.quantized.loss,
            "perplexity": made.quantized.perplexity,
            "n_used": made.quantized.n_used,
        }

    def validate(self, network: nn.Module) -> float:
        """Mean squared error of the held-out utterances."""
        total, n = 0.0, 0.0
        for batch in self._valid.all(_CROPS_PER_BATCH, _LONGEST_CROP):
            here = {name: value.to(self._device) for name, value in batch.items()}
            made: Reconstruction = network(here["x"], here["lengths"], here["speakers"])
            part, count = squared_error(made.x, here)
            total, n = total + float(part), n + float(count)
        self._watch(int(self._n_used), self._n_units)
        return total / n


def squared_error(x: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sum over real frames of the squared error's mean over dimensions, and their number."""
    real = mask_of(batch["lengths"], batch["x"].shape[1])
    errors = (x.float() - batch["x"]).square().mean(dim=2)
    return (errors * real).sum(), real.sum()
