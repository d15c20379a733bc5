"""Self-trained units: a network learns K-Means units from speech with other voices.

K-Means labels every frame. A classifier with a bottleneck learns the labels from speech whose
spectra are warped as if another vocal tract had said it; K-Means of the bottleneck makes the units,
which may label the frames for the next round. After Heck, Sakti and Nakamura 2017 ("Feature
optimized DPGMM clustering for unsupervised subword modeling") and HuBERT (Hsu et al. 2021), with
warps in place of many speakers. Whether a round helped is measured without transcripts: see
`surviving_bits`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from copy import copy
from itertools import count
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zerochain.config import Config
from zerochain.discovery.front_end import FrontEndOptions, augmentation_of
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.model import Frames, UnitModel
from zerochain.discovery.neural import NeuralUnits, Speech
from zerochain.discovery.segmentation import Segmentation
from zerochain.errors import InputError
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.formats.features import Features
from zerochain.modules.encoder import Encoder, EncoderConfig, Tail, check_tail
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running
from zerochain.training.task import Batch, Update

NO_LABEL = -100
"""The label beyond an utterance's end, which cross-entropy ignores."""
_CROPS_PER_BATCH, _LONGEST_CROP = 8, 512  # in validation
_OTHER_VOICE = AugmentationOptions(warp=0.15, tilt_db=0, noise=0, n_masks=0)
_SURVIVAL_FRAMES = 100_000  # of speech, on which survival is measured


class SelfTrainingConfig(Config):
    """The classifier, its teachers and how many rounds there are."""

    width: int = Field(128, ge=1, le=65_536)
    """Channels per layer."""
    n_blocks: int = Field(4, ge=0, le=256)
    """Residual blocks."""
    tail: Tail = "none"
    """Layer over the whole segment after the convolutions."""
    instance_norm: bool = False
    """Normalise the bottleneck's mean and variance per utterance."""
    dim: int = Field(64, ge=1, le=65_536, json_schema_extra={"option": "--bottleneck"})
    """Dimensions of the bottleneck, in which units are discovered."""
    n_targets: int | None = Field(None, ge=2, json_schema_extra={"option": None})
    """Units of the first teacher; None is as many as the model's."""
    teacher_context: int = Field(4, ge=0, json_schema_extra={"option": None})
    """Frames on each side in the input of the first teacher, K-Means."""
    teacher_components: int = Field(40, ge=1, json_schema_extra={"option": None})
    """Principal components of those frames."""
    teacher_penalty: float = Field(1.0, ge=0)
    """Penalty per segment of the teachers' labels, as a multiple of the mean distortion: the
    higher, the less often labels change."""
    rounds: int = Field(1, ge=1)
    """Maximum number of rounds; fewer if units become less robust to a change of voice."""
    label_smoothing: float = Field(0.1, ge=0, lt=1, json_schema_extra={"option": None})
    """Probability that is distributed over all labels."""
    augmentation: AugmentationOptions | None = Field(
        AugmentationOptions(tilt_db=1.5), json_schema_extra={"option": "--augment"}
    )
    """Change the vocal tract and the room of the speech in training."""
    n_frames: int = Field(128, ge=1, json_schema_extra={"option": "--segment-frames"})
    """Length of a training segment in frames."""

    @model_validator(mode="after")
    def _check_tail(self) -> Self:
        check_tail(self.tail, self.width)
        return self

    def encoder_of(self, n_in: int, stride: int) -> Encoder:
        """An encoder of features of `n_in` dimensions."""
        return Encoder(
            EncoderConfig(
                n_in=n_in,
                width=self.width,
                n_blocks=self.n_blocks,
                dim=self.dim,
                stride=stride,
                tail=self.tail,
                instance_norm=self.instance_norm,
            )
        )


RECIPE = Recipe(
    max_steps=700,
    batch_size=24,
    learning_rate=1e-3,
    annealing="cosine",
    validate_every=100,
    patience=5,
)
"""Of each round."""


class SelfTrainedUnits(NeuralUnits):
    """K-Means in the bottleneck of a classifier that was trained on the units of a teacher.

    The first teacher is K-Means on stacked frames, its units segmented at a price. The classifier
    sees a step's neighbourhood and, in training, speech with other voices: it learns what the
    teacher's units have in common over voices. Its own units are the next round's teacher. Rounds
    stop when less of the first teacher's information survives a change of voice than in the round
    before (`surviving_bits`); where that can't be measured, the last round is kept.

    Args:
        n_units: K, of the teachers as well.
        stride: frames per unit: 1, 2, 4 or 8.
        options: how the classifier's features are prepared.
        config: the classifier, its teachers and the rounds.
        recipe: how long and how each round is trained, the first one's seed among it.

    Attributes:
        agreement: part of training steps, as augmented, at which the classifier agreed with its
            teacher.
        surviving: bits per frame that survive a change of voice, of the first teacher and of each
            round; None where features don't say how another voice would sound.
        best_round: the one that was kept, from 1.
    """

    name = "selftrain"
    default_options = FrontEndOptions(normalisation="utterance")
    config_class = SelfTrainingConfig
    _min_units = 2
    config: SelfTrainingConfig
    agreement: float
    surviving: list[float | None]
    best_round: int

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 1,
        *,
        options: FrontEndOptions | None = None,
        config: SelfTrainingConfig | None = None,
        recipe: Recipe = RECIPE,
        device: str = "cpu",
    ) -> None:
        super().__init__(n_units, stride, options, config, recipe, device)

    def _train(self, speech: Speech, running: Running) -> None:
        """Train round after round, and keep the best one's encoder and codebook."""
        features, seed = speech.features, self.recipe.seed
        augmentation = None
        if self.config.augmentation is not None:
            assert self.front_end is not None
            augmentation = augmentation_of(
                self.front_end, features, self.config.augmentation, self.device
            )
        first = first_teacher(self.n_units, features, self.options, self.config, seed, self.device)
        teacher: UnitModel = first
        self.surviving = [surviving_bits(first, features, first, seed)]
        running.discard()
        for number in range(1, self.config.rounds + 1):
            student = copy(self)
            student._learn_from(teacher, speech, augmentation, number, running)
            self.earlier_s = student.earlier_s
            self.surviving.append(surviving_bits(student, features, first, seed))
            if number > 1 and not _is_better(*self.surviving[-2:]):
                break
            vars(self).update(vars(student))
            teacher = student

    def _learn_from(
        self,
        teacher: UnitModel,
        speech: Speech,
        augmentation: Augmentation | None,
        number: int,
        running: Running,
    ) -> None:
        """One round: train a classifier on the teacher's labels, from weights of its own."""
        penalty = self.config.teacher_penalty
        labels, kept = (labels_of(teacher, p, penalty) for p in (speech.learned, speech.kept))
        recipe = self.recipe.model_copy(update={"seed": self.recipe.seed + number - 1})
        torch.manual_seed(recipe.seed)
        network = FrameClassifier(self._network(), self.config.dim, teacher.n_units)
        task = FrameTask(
            network,
            speech.train.with_array("labels", labels, NO_LABEL),
            speech.valid.with_array("labels", kept, NO_LABEL),
            self.config,
            recipe,
            stride=self.stride,
            augmentation=augmentation,
            device=self.device,
        )
        follows = {"labels": hashlib.sha256(labels.tobytes() + kept.tobytes()).hexdigest()}
        part = running.part(f"round-{number}")
        fitted = self._run(task, recipe, part, speech, follows)
        self.encoder, self.codebook, self.outcome = network.encoder, None, fitted.outcome
        self.agreement, self.best_round = fitted.best["agreement"], number
        self._measure(speech, "kmeans")

    def _network(self) -> Encoder:
        return self.config.encoder_of(self.n_in, self.stride)

    @property
    def summary(self) -> str:
        """How the fit went, in one line for people."""
        return (
            f"round {self.best_round} of {len(self.surviving) - 1} kept: {self.outcome}; agrees "
            f"with its teacher in {100 * self.agreement:.0f} % of training steps; "
            f"{self._survival}; {self.usage}"
        )

    @property
    def _survival(self) -> str:
        bits = [f"{value:.2f}" for value in self.surviving if value is not None]
        if not bits:
            return "what survives a change of voice can't be measured on such features"
        rounds = ", ".join(f"round {i} {value}" for i, value in enumerate(bits[1:], start=1))
        return f"bits per frame that survive a change of voice: K-Means {bits[0]}, {rounds}"

    def _settings(self) -> Mapping[str, Any]:
        own = ("surviving", "best_round", "agreement")
        return {**super()._settings(), **{name: getattr(self, name) for name in own}}

    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(settings, tensors)
        self.surviving, self.best_round = settings["surviving"], settings["best_round"]
        self.agreement = settings["agreement"]


class FrameClassifier(nn.Module):
    """An encoder, and for each of its latents the scores of K units: (B, ⌈T / stride⌉, K)."""

    def __init__(self, encoder: nn.Module, dim: int, n_units: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(dim, n_units)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, D) and lengths (B,) → scores."""
        scores: Tensor = self.head(self.encoder(x, lengths))
        return scores


class FrameTask:
    """Cross-entropy of a teacher's labels at each step, given augmented speech.

    A step's label is that of its middle frame. Validation is on speech as it is.

    Args:
        train, valid: with "labels" of each frame, `NO_LABEL` beyond an utterance's end.
        stride: frames per step.
    """

    def __init__(
        self,
        network: FrameClassifier,
        train: Crops,
        valid: Crops,
        config: SelfTrainingConfig,
        recipe: Recipe,
        *,
        stride: int,
        augmentation: Augmentation | None,
        device: str,
    ) -> None:
        self.networks: dict[str, nn.Module] = {"classifier": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "classifier": torch.optim.AdamW(
                network.parameters(), recipe.learning_rate, weight_decay=0.01
            )
        }
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
        x = batch["x"]
        if self._augmentation is not None:
            generator = torch.Generator(x.device).manual_seed(int(batch["seed"]))
            x = self._augmentation(x, batch["lengths"], generator)
        scores = networks["classifier"](x, batch["lengths"]).flatten(0, 1).float()
        labels = self._labels(batch)
        loss = cross_entropy(
            scores, labels, ignore_index=NO_LABEL, label_smoothing=self._config.label_smoothing
        )
        update("classifier", loss)
        right = (scores.detach().argmax(dim=1) == labels).sum() / (labels != NO_LABEL).sum()
        return {"train_loss": loss, "agreement": right}

    def validate(self, network: nn.Module) -> float:
        """Cross-entropy of held-out utterances, in nats."""
        total, n = 0.0, 0
        for batch in self._valid.all(_CROPS_PER_BATCH, _LONGEST_CROP):
            here = {name: value.to(self._device) for name, value in batch.items()}
            scores = network(here["x"], here["lengths"]).flatten(0, 1).float()
            labels = self._labels(here)
            loss = cross_entropy(scores, labels, ignore_index=NO_LABEL, reduction="sum")
            total, n = total + float(loss), n + int((labels != NO_LABEL).sum())
        return total / n

    def _labels(self, batch: Batch) -> Tensor:
        """Of each step, (B · ⌈T / stride⌉,): that of its middle frame, or its last real one."""
        labels = batch["labels"]
        starts = torch.arange(0, labels.shape[1], self._stride, device=labels.device)
        last = batch["lengths"][:, None] - 1
        middle = torch.minimum((starts + self._stride // 2).expand(len(labels), -1), last)
        chosen = labels.gather(1, middle)
        return torch.where(starts <= last, chosen, NO_LABEL).flatten()


def first_teacher(
    n_units: int,
    features: Features,
    options: FrontEndOptions,
    config: SelfTrainingConfig,
    seed: int,
    device: str = "cpu",
) -> KMeansUnits:
    """K-Means on stacked frames, otherwise prepared as the classifier's are.

    Args:
        n_units: of the model; the configuration may give the teacher another number.

    Raises:
        InputError: fewer frames than units.
    """
    context = config.teacher_context
    components = min(config.teacher_components, features.dim * (2 * context + 1))
    stacked = options.model_copy(update={"context": context, "components": components})
    n_targets = config.n_targets or n_units
    return KMeansUnits(n_targets, options=stacked, seed=seed, device=device).fit(features)


def labels_of(teacher: UnitModel, features: Features, penalty: float) -> NDArray[np.int64]:
    """The teacher's unit at every frame of the features, in their order: (N,).

    Args:
        penalty: of its segmentation, in mean distortions.
    """
    units = teacher.encode(features, Segmentation(penalty))
    frames_per_step = round(units.step_ms / features.step_ms)
    lasting = (np.repeat(units.steps(name), frames_per_step) for name in features.ids)
    lengths = (n_frames for _, n_frames in features.index.values())
    # The last step of an utterance may reach beyond its end.
    cut = [labels[:n_frames] for labels, n_frames in zip(lasting, lengths, strict=True)]
    return np.concatenate(cut).astype(np.int64)


def surviving_bits(
    model: UnitModel, features: Features, reference: UnitModel, seed: int
) -> float | None:
    """How much information in a reference's units survives a change of voice in the model's.

    Mutual information, in bits per frame, between the reference's units of speech and the model's
    units of the same speech with other vocal tracts. Units that follow the voice have little, and
    so have units that carry little of what is said: the reference stays the same for all models
    that are compared. Measured on a random sample of utterances, which follows from the seed
    alone, as do their changes.

    Returns:
        None for features whose frequencies are unknown.
    """
    assert model.front_end is not None
    try:
        voices = augmentation_of(model.front_end, features, _OTHER_VOICE)
    except InputError:
        return None
    names = _sample(features, seed)
    before = _units(reference, features, names)
    changed = _units(model, features, names, _changing(voices, seed))
    return mutual_information(before, changed, max(reference.n_units, model.n_units))


def mutual_information(a: NDArray[np.int64], b: NDArray[np.int64], k: int) -> float:
    """Of two sequences of units below `k`, both (N,), in bits.

    With the correction of Miller and Madow (1955), as few pairs share some bits by chance: for
    independent sequences it is 0 on average, and may be a little below.
    """
    return _entropy(a) + _entropy(b) - _entropy(a * k + b)


def _changing(change: Augmentation, seed: int) -> Callable[[Frames], Frames]:
    """The change of one utterance after the other, each drawn by its number alone."""
    numbers = count()

    def changed(frames: Frames) -> Frames:
        own = np.random.SeedSequence((seed, next(numbers))).generate_state(1)
        generator = torch.Generator().manual_seed(int(own[0]))
        made: Frames = change(torch.tensor(frames)[None], torch.tensor([len(frames)]), generator)[
            0
        ].numpy()
        return made

    return changed


def _entropy(values: NDArray[np.int64]) -> float:
    """In bits, of values (N,)."""
    counts = np.unique(values, return_counts=True)[1]
    shares = counts / len(values)
    correction = (len(counts) - 1) / (2 * len(values))
    return float((correction - (shares * np.log(shares)).sum()) / np.log(2))


def _units(
    model: UnitModel,
    features: Features,
    names: list[str],
    change: Callable[[Frames], Frames] | None = None,
) -> NDArray[np.int64]:
    """The model's unit at every frame of these utterances."""
    frames_per_step = round(model.step_ms / features.step_ms)
    units = (
        np.repeat(costs.argmin(axis=1), frames_per_step)[: features.index[name][1]]
        for name, costs in model.costs(features, names, change)
    )
    return np.concatenate(list(units)).astype(np.int64)


def _sample(features: Features, seed: int) -> list[str]:
    """Ids of random utterances, until they have `_SURVIVAL_FRAMES` or there are no more."""
    names, total = [], 0
    for i in np.random.default_rng(seed).permutation(len(features)):
        names.append(features.ids[i])
        total += features.index[names[-1]][1]
        if total >= _SURVIVAL_FRAMES:
            break
    return names


def _is_better(before: float | None, now: float | None) -> bool:
    """Whether a round is to be kept, by the bits of it and of the round before that survive."""
    return before is None or now is None or now > before
