"""VQ-VAE units: codes from which a decoder that knows the speaker rebuilds the features.

Train a conditional VQ-VAE on prepared speech.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from zerochain.config import Config
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, check_enough
from zerochain.discovery.neural import (
    COLLAPSED,
    CollapseWatch,
    NeuralUnits,
    collapse,
    held_out,
    prepared,
    speakers_of,
    start_codebook,
)
from zerochain.formats.features import Features
from zerochain.modules.encoder import Decoder, Encoder, EncoderConfig, Tail, check_tail, mask_of
from zerochain.modules.vqvae import (
    ConditionalVqvae,
    PublishedDecoder,
    PublishedEncoder,
    Quantizer,
    Reconstruction,
)
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.crops import Crops
from zerochain.training.loop import Batch, Update, train
from zerochain.training.outcome import Outcome

RECIPE = TrainingConfig(
    max_steps=10_000, batch_size=32, learning_rate=5e-4, validate_every=200, patience=10
)
_SEGMENTS_A_BATCH, _LONG_SEGMENT = 8, 512


class VqvaeTask:
    """Squared error of the features from their codes and their speaker, and the quantizer's loss.

    Both are means over real frames and dimensions, −log p(x | z, s) of a Gaussian but for a
    factor. Validation sees the squared error alone, through the quantizer.

    Args:
        n_frames: length of a training segment.
    """

    def __init__(
        self,
        network: ConditionalVqvae,
        train: Crops,
        valid: Crops,
        config: TrainingConfig,
        *,
        n_frames: int,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"vqvae": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "vqvae": torch.optim.Adam(network.parameters(), config.learning_rate)
        }
        self._train, self._valid, self._config = train, valid, config
        self._n_frames, self._device = n_frames, device
        self._n_units, self._watch = len(network.quantizer.usage), CollapseWatch()
        self._n_used = torch.tensor(self._n_units)

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of the training utterances."""
        return self._train.random(
            self._config.batch_size, self._n_frames, (self._config.seed, step, process)
        )

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of all parts."""
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
        for batch in self._valid.all(_SEGMENTS_A_BATCH, _LONG_SEGMENT):
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


_OF_CONV = ("n_blocks", "tail", "instance_norm")
_PUBLISHED = {"ema": False, "restart_below": 0.0, "jitter": 0.0, "kmeans_start": False}
"""A gradient codebook, and none of what came after Tjandra et al. 2019."""


class VQVAEConfig(Config):
    """What a VQ-VAE is built from and trained by, but for the training loop's own settings."""

    encoder: Literal["conv", "published"] = "conv"
    """1-D convolutions, or all of Tjandra et al. 2019: a 2-D encoder, and by default no EMA,
    restarts, jitter or k-means start. The decoder mirrors the encoder."""
    width: int = Field(256, ge=1, le=65_536)
    """Channels of a layer."""
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

    What it rebuilds is what it sees: the features, as the front end prepares them.

    Args:
        n_units: K.
        stride: frames that one unit lasts: 1, 2, 4 or 8.
        options: how features are prepared.
        config: the network; None is ours.
        training: the training loop's settings, the seed among them; None is `RECIPE`.
    """

    name = "vqvae"
    _config_class = VQVAEConfig
    config: VQVAEConfig

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 4,
        *,
        options: FrontEndOptions | None = None,
        config: VQVAEConfig | None = None,
        training: TrainingConfig | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(n_units, stride, options, config, training or RECIPE, device)

    def fit(self, features: Features) -> Self:
        """Train the network, and measure how its codebook is used.

        Raises:
            InputError: fewer steps than units, fewer than two utterances, or divergence.
        """
        front_end = FrontEnd.fit(features, 1, self.options)
        learned, kept = held_out(features)
        speakers = speakers_of(learned)
        speech = prepared(learned, front_end, speakers)
        check_enough(speech.arrays["x"][:: self.stride], self.n_units, features, self.stride)
        valid = prepared(kept, front_end, speakers)
        self.n_speakers = len(speakers)
        network = self._train(features, speech, valid)
        self.encoder = network.encoder
        self.codebook = network.quantizer.codebook.detach().cpu().numpy()
        self.front_end = front_end
        self.trained_on = {"corpus": features.corpus_id, "features": features.id}
        self._measure(speech, self.training.seed, self.config.codebook_from)
        return self

    def _train(self, features: Features, speech: Crops, valid: Crops) -> ConditionalVqvae:
        torch.manual_seed(self.training.seed)
        self.n_in = speech.arrays["x"].shape[1]
        network = self.config.network_of(self.n_in, self.n_speakers, self.n_units, self.stride)
        task = VqvaeTask(
            network,
            speech,
            valid,
            self.training,
            n_frames=self.config.n_frames,
            device=self.device,
        )
        if self.config.kmeans_start:
            start_codebook(
                network.encoder, network.quantizer, task.batch, self.training.seed, self.device
            )
        settings = {**self._choices(), "features": features.id, "ids": features.ids}
        with self._training_folder() as folder:
            trained = train(
                task,
                self.training,
                folder,
                fingerprint=fingerprint(settings),
                device=self.device,
                restart=self.restart,
                tensorboard=self.tensorboard,
            )
        network.load_state_dict(trained.weights)
        self.outcome = Outcome.of(trained, network)
        return network

    @property
    def summary(self) -> str:
        """How the fit went, in a line for people."""
        speakers = f"{self.n_speakers} speakers" if self.n_speakers else "no known speaker"
        return (
            f"{speakers}, {self.outcome}; {self.n_used} of {self.n_units} units in use, "
            f"perplexity {self.perplexity:.1f}"
        )

    @property
    def method(self) -> str:
        """The model in a few words for people."""
        words = ["published"] if self.config.encoder == "published" else []
        return " ".join([super().method, *words])

    @property
    def findings(self) -> list[str]:
        """What deserves a look."""
        found = []
        if not self.n_speakers:
            found.append("no speaker is known: all share one embedding, and the codes carry voices")
        if self.n_used < COLLAPSED * self.n_units:
            found.append(collapse(self.n_used, self.n_units))
        return found

    def _settings(self) -> Mapping[str, Any]:
        return {
            **self._choices(),
            "n_in": self.n_in,
            "n_speakers": self.n_speakers,
            **self._usage(),
            "outcome": asdict(self.outcome),
        }

    def _restore(self, settings: Mapping[str, Any]) -> None:
        self.n_speakers = settings["n_speakers"]

    def _encoder(self) -> nn.Module:
        return self.config.encoder_of(self.n_in, self.stride)
