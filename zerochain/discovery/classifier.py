"""A frame classifier: an encoder with a bottleneck, trained to predict a class of every frame.

What self-training (`self_training.py`), whose classes are a teacher's units, and the topline
(`topline.py`), whose classes are gold phones, have in common. In training the input is changed as
if another voice had spoken, and spans of it can be masked; targets are labels, or posteriors
(`teacher.py`). Units are the classes, which have posteriors, or a codebook of the bottleneck.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from zerochain.config import Config
from zerochain.discovery.front_end import augmentation_of
from zerochain.discovery.model import Frames
from zerochain.discovery.neural import NeuralUnits, Speech, encoder_of
from zerochain.discovery.teacher import COMPONENTS, SHARES, soft_cross_entropy
from zerochain.features.augmentation import Augmentation, AugmentationOptions, spans
from zerochain.formats.bundle import within
from zerochain.formats.features import Features
from zerochain.formats.weights import weights_of, with_weights
from zerochain.modules.encoder import Tail, check_tail
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running
from zerochain.training.task import Batch, Update, single

NO_LABEL = -100
"""The label beyond an utterance's end, which cross-entropy ignores."""
_CROPS_PER_BATCH, _LONGEST_CROP = 8, 512  # in validation
_MEAN_FRAMES = 300_000  # of training speech, of whose latents classes have means
_ONLY_CONV = ("tail", "instance_norm")
_HEAD = "head"


class ClassifierConfig(Config):
    """The network, and how its input is changed in training."""

    encoder: Literal["conv", "convnext"] = "conv"
    """Residual convolutions, which see 10 frames on each side, or a ConvNeXt, by default of 192
    channels and 5 blocks, which sees 26: what masks hide has to be predicted from further away."""
    width: int = Field(128, ge=1, le=65_536)
    """Channels per layer."""
    n_blocks: int = Field(4, ge=0, le=256)
    """Residual blocks."""
    kernel: int = Field(11, ge=1, le=255)
    """Steps that each block's convolution covers, an odd number; only with encoder convnext."""
    tail: Tail = "none"
    """Layer over the whole segment after the convolutions; only with encoder conv."""
    instance_norm: bool = False
    """Normalise the bottleneck's mean and variance per utterance; only with encoder conv."""
    dim: int = Field(64, ge=1, le=65_536, json_schema_extra={"option": "--bottleneck"})
    """Dimensions of the bottleneck, in which units are discovered."""
    masked: float = Field(0.0, ge=0, lt=1)
    """Fraction of the frames that are masked in training, by a vector that is learned."""
    mask_span: int = Field(10, ge=1)
    """Frames of a masked span."""
    loss_on: Literal["all", "masked"] = "all"
    """Whether all frames are to be predicted, or only those that are masked."""
    label_smoothing: float = Field(0.1, ge=0, lt=1, json_schema_extra={"option": None})
    """Probability that is distributed over all labels; posteriors stay as they are."""
    augmentation: AugmentationOptions | None = Field(
        AugmentationOptions(tilt_db=1.5), json_schema_extra={"option": "--augment"}
    )
    """Change the vocal tract and the room of the speech in training."""
    n_frames: int = Field(128, ge=1, json_schema_extra={"option": "--segment-frames"})
    """Length of a training segment in frames."""

    presets: ClassVar = {("encoder", "convnext"): {"width": 192, "n_blocks": 5}}

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_tail(self.tail, self.width)
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} must be odd: a step is in its middle")
        fields, only = type(self).model_fields, {"conv": ("kernel",), "convnext": _ONLY_CONV}
        for name in only[self.encoder]:
            value = getattr(self, name)
            if value != fields[name].default:
                other = "convnext" if self.encoder == "conv" else "conv"
                raise ValueError(f"{name}={value!r} only applies to encoder={other!r}")
        if self.loss_on == "masked" and self.masked == 0:
            raise ValueError("loss_on='masked' needs masked= above 0: nothing would be learned")
        return self

    def encoder_of(self, n_in: int, stride: int) -> nn.Module:
        """An encoder of features of `n_in` dimensions."""
        return encoder_of(self, n_in, self.dim, stride)


class Run(NamedTuple):
    """How one classifier is trained."""

    recipe: Recipe
    running: Running
    labels: str
    """A digest of its targets: training that was interrupted continues only on the same ones."""
    augmentation: Augmentation | None


class ClassifierUnits(NeuralUnits):
    """Units of a frame classifier; with a head they are its classes.

    Costs are then −log posterior in nats, so is the price of a segment, and the codebook has the
    mean latent of each class.

    Attributes:
        head: latents → scores of the classes; None where the codebook makes the units.
    """

    head: nn.Module | None = None

    @property
    @abstractmethod
    def classifier(self) -> ClassifierConfig:
        """The network."""

    def _train_classifier(
        self, train: Crops, valid: Crops, n_classes: int, speech: Speech, run: Run
    ) -> Fitted:
        """Train an encoder and a head on the targets of `train`, and keep both."""
        torch.manual_seed(run.recipe.seed)
        n_in = self.n_in if self.classifier.masked else None
        network = FrameClassifier(self._network(), self.classifier.dim, n_classes, n_in)
        task = FrameTask(
            network,
            train,
            valid,
            self.classifier,
            run.recipe,
            stride=self.stride,
            augmentation=run.augmentation,
            device=self.device,
        )
        fitted = self._run(task, run.recipe, run.running, speech, {"labels": run.labels})
        self.encoder, self.codebook, self.outcome = network.encoder, None, fitted.outcome
        self.head = network.head
        return fitted

    def _measure_classes(self, speech: Speech) -> None:
        """The mean latent of each class, as the codebook, and how classes are used."""
        chosen = speech.train.sample(_MEAN_FRAMES, self.recipe.seed)
        latents = np.concatenate(self.latents_of([speech.train.utterance("x", u) for u in chosen]))
        (scored,) = self._scored([latents])
        self.codebook = class_means(latents, -scored)
        self._measure(speech)
        # Usage is that of the classes, not of what is nearest to their means.
        counts = np.bincount(scored.argmin(axis=1), minlength=self.n_units)
        shares = counts[counts > 0] / counts.sum()
        self.n_used = len(shares)
        self.perplexity = float(np.exp(-(shares * np.log(shares)).sum()))

    def _augmentation(self, features: Features) -> Augmentation | None:
        """What changes the voices of the speech in training."""
        if self.classifier.augmentation is None:
            return None
        assert self.front_end is not None
        return augmentation_of(self.front_end, features, self.classifier.augmentation, self.device)

    def _network(self) -> nn.Module:
        return self.classifier.encoder_of(self.n_in, self.stride)

    def _costs(self, utterances: list[Frames]) -> list[Frames]:
        if self.head is None:
            return super()._costs(utterances)
        return self._scored(self.latents_of(utterances))

    def _scored(self, latents: list[Frames]) -> list[Frames]:
        """−log posterior of each class, (T, K) in nats, for latents (T, E) of each utterance."""
        assert self.head is not None
        self.head.to(self.device).eval()
        with torch.inference_mode():
            return [
                -log_softmax(self.head(torch.from_numpy(z).to(self.device)), 1).cpu().numpy()
                for z in latents
            ]

    def _restore_head(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        weights = within(_HEAD, tensors)
        self.head = with_weights(lambda: nn.Linear(self.classifier.dim, self.n_units), weights)

    def _tensors(self) -> dict[str, NDArray[Any]]:
        head = {} if self.head is None else weights_of(self.head)
        return {**super()._tensors(), **{f"{_HEAD}.{name}": w for name, w in head.items()}}


def class_means(latents: Frames, log_posteriors: Frames) -> Frames:
    """The mean of the latents (N, E) of each class, (K, E), by their log-posteriors (N, K).

    A class that is the most probable of no latent has the mean weighted by its posteriors.
    """
    best = log_posteriors.argmax(axis=1)
    counts = np.bincount(best, minlength=log_posteriors.shape[1])
    sums = np.zeros((len(counts), latents.shape[1]))
    np.add.at(sums, best, latents)
    for k in np.flatnonzero(counts == 0):
        logs = log_posteriors[:, k].astype(float)
        weights = np.exp(logs - logs.max())  # at least one is 1, however improbable the class is
        sums[k] = weights @ latents / weights.sum()
    means: Frames = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    return means


class FrameClassifier(nn.Module):
    """An encoder, and for each of its latents the scores of K units: (B, ⌈T / stride⌉, K).

    Args:
        encoder: features → latents.
        dim: of a latent.
        n_units: K.
        n_in: of a frame, if frames are to be masked by a vector that is learned.
    """

    def __init__(self, encoder: nn.Module, dim: int, n_units: int, n_in: int | None = None) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(dim, n_units)
        self.mask = None if n_in is None else nn.Parameter(torch.zeros(n_in))

    def forward(self, x: Tensor, lengths: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Features (B, T, D), lengths (B,) and whether a frame is hidden (B, T) → scores."""
        if hidden is not None:
            assert self.mask is not None
            x = torch.where(hidden[..., None], self.mask.to(x.dtype), x)
        scores: Tensor = self.head(self.encoder(x, lengths))
        return scores


class FrameTask:
    """Cross-entropy of a teacher's targets at each step, given augmented and masked speech.

    Targets are its posteriors at all frames of a step where the speech has them; else its labels,
    a step's that of its middle frame. Validation is on speech as it is.

    Args:
        train, valid: with "labels" of each frame, `NO_LABEL` beyond an utterance's end, and soft
            targets if the teacher has posteriors.
        stride: frames per step.
    """

    def __init__(
        self,
        network: FrameClassifier,
        train: Crops,
        valid: Crops,
        config: ClassifierConfig,
        recipe: Recipe,
        *,
        stride: int,
        augmentation: Augmentation | None,
        device: str,
    ) -> None:
        self.networks, self.optimisers = single(
            "classifier",
            network,
            torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=0.01),
        )
        self._train, self._valid, self._config, self._recipe = train, valid, config, recipe
        self._stride, self._augmentation, self._device = stride, augmentation, device

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of the training utterances."""
        seed = (self._recipe.seed, step, process)
        batch = self._train.random(self._recipe.batch_size, self._config.n_frames, seed)
        # From the same numbers, so that a resumed run draws the same voices on any device.
        batch["seed"] = torch.tensor(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        return batch

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of the classifier."""
        x, lengths = batch["x"], batch["lengths"]
        generator = torch.Generator(x.device).manual_seed(int(batch["seed"]))
        if self._augmentation is not None:
            x = self._augmentation(x, lengths, generator)
        hidden = None
        if self._config.masked:
            span = self._config.mask_span
            hidden = spans(x.shape[1], lengths, self._config.masked, span, generator)
            scores = networks["classifier"](x, lengths, hidden)
        else:
            scores = networks["classifier"](x, lengths)
        counted = hidden if self._config.loss_on == "masked" else None
        loss, n, labels = self._loss(scores.float(), batch, counted, self._config.label_smoothing)
        loss = loss / n.clamp(min=1)  # short utterances have no masks
        update("classifier", loss)
        right = (scores.detach().flatten(0, 1).argmax(dim=1) == labels).sum()
        return {"train_loss": loss, "agreement": right / (labels != NO_LABEL).sum().clamp(min=1)}

    def validate(self, network: nn.Module) -> float:
        """Cross-entropy of held-out utterances, in nats."""
        total, n = 0.0, 0
        for batch in self._valid.all(_CROPS_PER_BATCH, _LONGEST_CROP):
            here = {name: value.to(self._device) for name, value in batch.items()}
            scores = network(here["x"], here["lengths"]).float()
            loss, count, _ = self._loss(scores, here, None, 0.0)
            total, n = total + float(loss), n + int(count)
        return total / n

    def _loss(
        self, scores: Tensor, batch: Batch, only: Tensor | None, smoothing: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The sum of the loss, of how many steps or (soft) frames, and the labels of the steps.

        Args:
            scores: (B, ⌈T / stride⌉, K).
            only: whether each frame counts, (B, T); None is all of them.
        """
        if only is not None:
            batch = {**batch, "labels": torch.where(only, batch["labels"], NO_LABEL)}
        labels = self._labels(batch)
        if SHARES not in batch:
            loss = cross_entropy(
                scores.flatten(0, 1),
                labels,
                ignore_index=NO_LABEL,
                label_smoothing=smoothing,
                reduction="sum",
            )
            return loss, (labels != NO_LABEL).sum(), labels
        real = batch["labels"] != NO_LABEL
        shares = batch[SHARES] * real[..., None]
        loss = soft_cross_entropy(scores, batch[COMPONENTS], shares, self._stride)
        return loss, real.sum(), labels

    def _labels(self, batch: Batch) -> Tensor:
        """Of each step, (B · ⌈T / stride⌉,): that of its middle frame, or its last real one."""
        labels = batch["labels"]
        starts = torch.arange(0, labels.shape[1], self._stride, device=labels.device)
        last = batch["lengths"][:, None] - 1
        middle = torch.minimum((starts + self._stride // 2).expand(len(labels), -1), last)
        chosen = labels.gather(1, middle)
        return torch.where(starts <= last, chosen, NO_LABEL).flatten()
