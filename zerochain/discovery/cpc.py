"""VQ-CPC units: codes from which what comes next is told from what the same speaker says else.

Train contrastive predictive coding on prepared speech.

What VQ-CPC is built from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor, nn

from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, augmentation_of, check_enough
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
from zerochain.errors import InputError
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.formats.features import Features
from zerochain.modules.cpc import ContextEncoder, Contrast, Cpc, NarrowEncoder, Predicted, contrast
from zerochain.modules.encoder import Encoder, EncoderConfig
from zerochain.modules.vqvae import Quantizer
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.crops import Crops, Groups
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, Batch, Trained, Update, train
from zerochain.training.outcome import Outcome

Negatives = Literal["speaker", "utterance", "any"]
_MOST_VALIDATIONS = 16  # batches


class CpcTask:
    """InfoNCE, and the quantizer's commitment loss if there is one.

    Args:
        negatives: where what might have come is from.
        n_per_group: segments of a batch that take their negatives from each other.
        n_negatives: against which each prediction is told.
        n_frames: length of a training segment.
        augmentation: makes two views of each segment: the past of one predicts the other's
            future. None predicts a segment from itself.
    """

    def __init__(
        self,
        network: Cpc,
        train: Crops,
        valid: Crops,
        config: TrainingConfig,
        *,
        stride: int,
        n_speakers: int,
        negatives: Negatives,
        n_per_group: int,
        n_negatives: int,
        n_frames: int,
        augmentation: Augmentation | None,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"cpc": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "cpc": torch.optim.Adam(network.parameters(), config.learning_rate)
        }
        self._config, self._augmentation, self._device = config, augmentation, device
        self._n_groups, self._n_per_group = config.batch_size // n_per_group, n_per_group
        self._n_negatives, self._n_frames = n_negatives, n_frames
        shortest = network.n_steps * stride + 1
        self._train, self._valid = (
            (speech, groups_of(speech, n_speakers, negatives, shortest))
            for speech in (train, valid)
        )
        self._n_validations = min(
            _MOST_VALIDATIONS, -(-valid.bounds[-1] // (config.batch_size * n_frames))
        )
        self._n_units = 0 if network.quantizer is None else len(network.quantizer.usage)
        self._watch, self._n_used = CollapseWatch(), torch.tensor(self._n_units)

    def batch(self, step: int, process: int) -> Batch:
        """Segments of several groups, the same number of each."""
        return self._batch(*self._train, (self._config.seed, step, process))

    def _batch(self, speech: Crops, groups: Groups, seed: Sequence[int]) -> Batch:
        batch = speech.grouped(groups, self._n_groups, self._n_per_group, self._n_frames, seed)
        # From the same numbers, so that a resumed run draws the same negatives on any device.
        batch["seed"] = torch.tensor(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        return batch

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of all parts."""
        generator = _generator(batch)
        x, other = batch["x"], None
        if self._augmentation is not None:
            x, other = (self._augmentation(x, batch["lengths"], generator) for _ in range(2))
        made: Predicted = networks["cpc"](x, batch["lengths"], other)
        result = self._contrast(made, generator)
        error = result.loss / result.n.sum().clamp(min=1)
        accuracies = result.correct / result.n.clamp(min=1)
        losses = {
            "contrast": error,
            **{f"accuracy_{k}": value for k, value in enumerate(accuracies, start=1)},
        }
        if made.quantized is None:
            update("cpc", error)
            return {"train_loss": error, **losses}
        loss = error + made.quantized.loss
        update("cpc", loss)
        self._n_used = made.quantized.n_used
        return {
            "train_loss": loss,
            **losses,
            "quantization": made.quantized.loss,
            "perplexity": made.quantized.perplexity,
            "n_used": made.quantized.n_used,
        }

    def validate(self, network: nn.Module) -> float:
        """InfoNCE of held-out utterances, always with the same segments and negatives."""
        total, n = 0.0, 0
        for i in range(self._n_validations):
            batch = self._batch(*self._valid, (self._config.seed, 0, i))
            here = {name: value.to(self._device) for name, value in batch.items()}
            made: Predicted = network(here["x"], here["lengths"])
            result = self._contrast(made, _generator(here))
            total, n = total + float(result.loss), n + int(result.n.sum())
        self._watch(int(self._n_used), self._n_units)
        return total / n

    def _contrast(self, made: Predicted, generator: Generator) -> Contrast:
        return contrast(made, self._n_groups, self._n_negatives, generator)


def groups_of(speech: Crops, n_speakers: int, negatives: Negatives, shortest: int) -> Groups:
    """Utterances that negatives may come from together.

    Whoever speaks in an utterance of an unknown speaker, it is one person: such an utterance is
    a group of its own.

    Raises:
        InputError: no utterance has `shortest` frames.
    """
    speakers = speech.numbers["speakers"]
    own = n_speakers + np.arange(len(speech))
    numbers: NDArray[np.int64]
    match negatives:
        case "speaker":
            known = speakers < n_speakers
            numbers = np.where(known, speakers, own)
        case "utterance":
            numbers = own
        case "any":
            numbers = np.zeros_like(own)
    groups = speech.groups(numbers, shortest)
    if not len(groups.utterances):
        raise InputError(
            f"no utterance of {len(speech)} lasts {shortest} frames, which predicting takes",
            cause="the recordings were cut into words or phones",
            remedy="predict fewer steps ahead, take a smaller stride, or give longer recordings",
        )
    return groups


def _generator(batch: Batch) -> Generator:
    return torch.Generator(batch["x"].device).manual_seed(int(batch["seed"]))


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


_WARM_UP = "warm-up"  # its folder


class CPCUnits(NeuralUnits):
    """Vector-quantised contrastive predictive coding (van Niekerk et al. 2020).

    Args:
        n_units: K.
        stride: frames that one unit lasts: 1, 2, 4 or 8.
        options: how features are prepared.
        config: the network and what it is to predict.
        training: the training loop's settings, the seed among them; a batch is made of groups.
    """

    name = "vqcpc"
    _config_class = CPCConfig
    config: CPCConfig

    def __init__(
        self,
        n_units: int = 512,
        stride: int = 2,
        *,
        options: FrontEndOptions | None = None,
        config: CPCConfig | None = None,
        training: TrainingConfig | None = None,
        device: str = "cpu",
    ) -> None:
        training = training or TrainingConfig(batch_size=64, learning_rate=4e-4)
        super().__init__(n_units, stride, options, config, training, device)
        if self.training.batch_size % self.config.n_per_group:
            raise InputError(
                f"a batch of {self.training.batch_size} segments is no whole number of groups of "
                f"{self.config.n_per_group}",
                remedy="choose another --batch-size or --group-size",
            )

    def fit(self, features: Features) -> Self:
        """Train the network, and measure how its codebook is used.

        Raises:
            InputError: fewer steps than units, fewer than two utterances, none as long as what
                is to be predicted, features that can't be augmented, or divergence.
        """
        front_end = FrontEnd.fit(features, 1, self.options)
        learned, kept = held_out(features)
        speakers = speakers_of(learned)
        speech = prepared(learned, front_end, speakers)
        check_enough(speech.arrays["x"][:: self.stride], self.n_units, features, self.stride)
        valid = prepared(kept, front_end, speakers)
        augmentation = None
        if self.config.augmentation is not None:
            augmentation = augmentation_of(
                front_end, features, self.config.augmentation, self.device
            )
        self.n_in, self.n_speakers = speech.arrays["x"].shape[1], len(speakers)
        mark = {"features": features.id, "ids": features.ids}
        network = self._trained(speech, valid, augmentation, mark)
        self.encoder, self.codebook = self.config.deployed(network), None
        if network.quantizer is not None and self.config.latents == "encoder":
            self.codebook = network.quantizer.codebook.detach().cpu().numpy()
        self.front_end = front_end
        self.trained_on = {"corpus": features.corpus_id, "features": features.id}
        self._measure(speech, self.training.seed, self.config.codebook_made_by)
        return self

    def _trained(
        self,
        speech: Crops,
        valid: Crops,
        augmentation: Augmentation | None,
        mark: Mapping[str, Any],
    ) -> Cpc:
        """The network after one training or, with a warm-up, after two.

        The validation losses of the two can't be compared, so each has its own best weights.
        """
        torch.manual_seed(self.training.seed)
        config, warm_up_steps = self.config, self.config.warm_up_steps * self.config.quantise
        network = self._network(quantise=config.quantise and not warm_up_steps)
        with self._training_folder() as folder:
            if warm_up_steps:
                warm_up = self.training.model_copy(update={"max_steps": warm_up_steps})
                task = self._task(network, speech, valid, augmentation, warm_up)
                self._train(network, task, warm_up, folder / _WARM_UP, mark)
                warm, network = network, self._network(quantise=True)
                network.load_state_dict(warm.state_dict(), strict=False)  # but for the quantizer
            task = self._task(network, speech, valid, augmentation, self.training)
            if network.quantizer is not None:
                seed = self.training.seed
                start_codebook(network.encoder, network.quantizer, task.batch, seed, self.device)
            trained = self._train(network, task, self.training, folder, mark)
            if is_main_process():
                (folder / _WARM_UP / CHECKPOINT).unlink(missing_ok=True)
        self.outcome = Outcome.of(trained, network)
        ahead = range(1, config.n_predictions + 1)
        self.accuracies = [trained.best[f"accuracy_{k}"] for k in ahead]
        return network

    def _network(self, *, quantise: bool) -> Cpc:
        return self.config.network_of(self.n_in, self.n_units, self.stride, quantise=quantise)

    def _task(
        self,
        network: Cpc,
        speech: Crops,
        valid: Crops,
        augmentation: Augmentation | None,
        training: TrainingConfig,
    ) -> CpcTask:
        return CpcTask(
            network,
            speech,
            valid,
            training,
            stride=self.stride,
            n_speakers=self.n_speakers,
            negatives=self.config.negatives,
            n_per_group=self.config.n_per_group,
            n_negatives=self.config.n_negatives,
            n_frames=self.config.n_frames,
            augmentation=augmentation,
            device=self.device,
        )

    def _train(
        self,
        network: Cpc,
        task: CpcTask,
        training: TrainingConfig,
        folder: Path,
        mark: Mapping[str, Any],
    ) -> Trained:
        trained = train(
            task,
            training,
            folder,
            fingerprint=fingerprint({**self._choices(), **mark}),
            device=self.device,
            restart=self.restart,
            tensorboard=self.tensorboard,
        )
        network.load_state_dict(trained.weights)
        return trained

    @property
    def summary(self) -> str:
        """How the fit went, in a line for people."""
        speakers = f"{self.n_speakers} speakers" if self.n_speakers else "no known speaker"
        told = " ".join(f"{100 * accuracy:.0f}" for accuracy in self.accuracies)
        return (
            f"{speakers}, {self.outcome}; 1 to {self.config.n_predictions} steps ahead told in "
            f"{told} % (by chance {100 / (1 + self.config.n_negatives):.0f}); {self.n_used} of "
            f"{self.n_units} units in use, perplexity {self.perplexity:.1f}"
        )

    @property
    def method(self) -> str:
        """The model in a few words for people."""
        words = ["context"] if self.config.latents == "context" else []
        if not self.config.quantise:
            words.append("continuous")
        return " ".join([super().method, *words])

    @property
    def findings(self) -> list[str]:
        """What deserves a look."""
        found = []
        if not self.n_speakers and self.config.negatives == "speaker":
            found.append(
                "no speaker is known: negatives were taken from the same utterance, which is "
                "one speaker's as well"
            )
        if self.n_used < COLLAPSED * self.n_units:
            found.append(collapse(self.n_used, self.n_units))
        return found

    def _settings(self) -> Mapping[str, Any]:
        return {
            **self._choices(),
            "n_in": self.n_in,
            "n_speakers": self.n_speakers,
            **self._usage(),
            "accuracies": self.accuracies,
            "outcome": asdict(self.outcome),
        }

    def _restore(self, settings: Mapping[str, Any]) -> None:
        self.n_speakers, self.accuracies = settings["n_speakers"], settings["accuracies"]

    def _encoder(self) -> nn.Module:
        return self.config.deployed(self._network(quantise=self.config.quantise))
