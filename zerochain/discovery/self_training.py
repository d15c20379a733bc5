"""Self-trained units: a network learns what clustering found, under voices it never heard.

Settings of self-trained units.

Train a classifier of frames on a teacher's units.

Teachers of self-trained units: the first one, and what any of them says of each frame.

How much of the information in units survives a change of voice: no labels are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zerochain.discovery.front_end import FrontEnd, FrontEndOptions, augmentation_of, check_enough
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.model import Frames, UnitModel
from zerochain.discovery.neural import NO_LABEL, NeuralUnits, held_out, prepared
from zerochain.discovery.segmentation import Segmentation
from zerochain.errors import InputError
from zerochain.features.augmentation import Augmentation, AugmentationOptions
from zerochain.formats.features import Features
from zerochain.modules.encoder import Encoder, EncoderConfig, Tail, check_tail
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.crops import Crops
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, Batch, Update, train
from zerochain.training.outcome import Outcome


class SelfTrainingConfig(BaseModel):
    """The classifier, its teachers and how many rounds there are."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    width: int = Field(128, ge=1, le=65_536)
    n_blocks: int = Field(4, ge=0, le=256)
    tail: Tail = "none"
    instance_norm: bool = False
    dim: int = Field(64, ge=1, le=65_536)
    """Of the bottleneck, in which units are found."""
    n_targets: int | None = Field(None, ge=2)
    """Units of the first teacher; None is as many as the model's."""
    teacher_context: int = Field(4, ge=0)
    """Frames on each side that the first teacher, K-Means, sees."""
    teacher_components: int = Field(40, ge=1)
    teacher_penalty: float = Field(1.0, ge=0)
    """Of the teachers' segmentation, in mean distortions: labels that change less often."""
    rounds: int = Field(1, ge=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    augmentation: AugmentationOptions | None = AugmentationOptions(tilt_db=1.5)
    n_frames: int = Field(128, ge=1)
    """Length of a training segment."""

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


_SEGMENTS_A_BATCH, _LONG_SEGMENT = 8, 512


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
    """Cross-entropy of a teacher's units at each step, given augmented speech.

    Validation hears speech as it is. A step's label is that of its middle frame.
    """

    def __init__(
        self,
        network: FrameClassifier,
        train: Crops,
        valid: Crops,
        config: TrainingConfig,
        *,
        stride: int,
        label_smoothing: float,
        augmentation: Augmentation | None,
        n_frames: int,
        device: str,
    ) -> None:
        self.network, self.config = network, config
        self.networks: dict[str, nn.Module] = {"classifier": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "classifier": torch.optim.AdamW(
                network.parameters(), config.learning_rate, weight_decay=0.01
            )
        }
        self._train, self._valid = train, valid
        self._stride, self._label_smoothing = stride, label_smoothing
        self._augmentation, self._n_frames, self._device = augmentation, n_frames, device

    def batch(self, step: int, process: int) -> Batch:
        """Random segments of the training utterances."""
        seed = (self.config.seed, step, process)
        batch = self._train.random(self.config.batch_size, self._n_frames, seed)
        # From the same numbers, so that a resumed run hears the same voices on any device.
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
            scores, labels, ignore_index=NO_LABEL, label_smoothing=self._label_smoothing
        )
        update("classifier", loss)
        right = (scores.detach().argmax(dim=1) == labels).sum() / (labels != NO_LABEL).sum()
        return {"train_loss": loss, "agreement": right}

    def validate(self, network: nn.Module) -> float:
        """Cross-entropy of held-out utterances, in nats."""
        total, n = 0.0, 0
        for batch in self._valid.all(_SEGMENTS_A_BATCH, _LONG_SEGMENT):
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
    """K-Means on stacked frames, otherwise prepared as the pupil's are.

    Args:
        n_units: unless the configuration says how many targets there are.

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
    frames_a_step = round(units.step_ms / features.step_ms)
    lasting = (np.repeat(units.steps(name), frames_a_step) for name in features.ids)
    lengths = (n_frames for _, n_frames in features.index.values())
    # The last step of an utterance may reach beyond its end.
    cut = [labels[:n_frames] for labels, n_frames in zip(lasting, lengths, strict=True)]
    return np.concatenate(cut).astype(np.int64)


_OTHER_VOICE = AugmentationOptions(warp=0.15, tilt_db=0, noise=0, n_masks=0)
_FRAMES = 100_000


def surviving_bits(
    model: UnitModel, features: Features, reference: UnitModel, seed: int
) -> float | None:
    """What units of speech in other voices still say of what a reference heard in the first one.

    Mutual information, in bits a frame, between the reference's units of speech and the model's
    of the same speech as other vocal tracts would have said it. Units that follow the voice have
    little, and so have units that carry nothing, or less and less of what was said: the reference
    stays the same for all models that are compared. A random sample of utterances is looked at;
    they and their changes follow from the seed alone.

    Returns:
        None for features of which nobody knows the frequencies.
    """
    assert model.front_end is not None
    try:
        voices = augmentation_of(model.front_end, features, _OTHER_VOICE)
    except InputError:
        return None
    names = _sample(features, seed)
    heard = _units(reference, features, names)
    changed = _units(model, features, names, _changing(voices, seed))
    return mutual_information(heard, changed, max(reference.n_units, model.n_units))


def mutual_information(a: NDArray[np.int64], b: NDArray[np.int64], k: int) -> float:
    """Of two sequences of units below `k`, both (N,), in bits.

    With Miller and Madow's (1955) correction: of few pairs, chance alone makes bits. Of
    independent sequences it comes to zero on average, and may lie a little below.
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
    frames_a_step = round(model.step_ms / features.step_ms)
    units = (
        np.repeat(costs.argmin(axis=1), frames_a_step)[: features.index[name][1]]
        for name, costs in model.costs(features, names, change)
    )
    return np.concatenate(list(units)).astype(np.int64)


def _sample(features: Features, seed: int) -> list[str]:
    """Ids of random utterances, until they have `_FRAMES` or there are no more."""
    names, total = [], 0
    for i in np.random.default_rng(seed).permutation(len(features)):
        names.append(features.ids[i])
        total += features.index[names[-1]][1]
        if total >= _FRAMES:
            break
    return names


class SelfTrainedUnits(NeuralUnits):
    """K-Means in the bottleneck of a classifier that was trained on the units of a teacher.

    The first teacher is K-Means on stacked frames, its units segmented at a price. The classifier
    sees its neighbourhood and, in training, speech as other vocal tracts would have said it: what
    it learns is what the teacher's units have in common over voices. Its own units teach the
    next round. Rounds stop when units of speech in other voices say less of what the first
    teacher heard (`surviving_bits`) than those of the round before; that needs no labels. Where
    it can't be measured, all rounds are done and the last is kept.

    After Heck, Sakti and Nakamura (2017) and Hsu et al. (2021), with warps in place of
    many speakers.

    Args:
        n_units: K, of the teachers as well.
        stride: frames that one unit lasts: 1, 2, 4 or 8.
        options: how the classifier's features are prepared.
        training: the training loop's settings for each round.
    """

    name = "selftrain"
    _config_class = SelfTrainingConfig
    _min_units = 2
    config: SelfTrainingConfig
    agreement: float
    """Part of training steps, as augmented, on which the classifier agreed with its teacher."""
    surviving: list[float | None]
    """Bits a frame that survive a change of voice: of the first teacher and of each round; None
    where features don't say how another voice would sound."""
    best_round: int
    """The one that was kept, from 1."""

    def __init__(
        self,
        n_units: int = 256,
        stride: int = 1,
        *,
        options: FrontEndOptions | None = None,
        config: SelfTrainingConfig | None = None,
        training: TrainingConfig | None = None,
        device: str = "cpu",
    ) -> None:
        training = training or TrainingConfig(max_steps=700, batch_size=24, annealing="cosine")
        super().__init__(n_units, stride, options, config, training, device)

    def fit(self, features: Features) -> Self:
        """Train round after round, and keep the best one's encoder and codebook.

        Raises:
            InputError: fewer frames than units, fewer than two utterances, features that can't
                be augmented, or divergence.
        """
        front_end = FrontEnd.fit(features, 1, self.options)
        augmentation = self._augmentation(front_end, features)
        learned, kept = held_out(features)
        speech, valid = (prepared(part, front_end, []) for part in (learned, kept))
        check_enough(speech.arrays["x"][:: self.stride], self.n_units, features, self.stride)
        self.n_in, self.front_end = speech.arrays["x"].shape[1], front_end
        self.trained_on = {"corpus": features.corpus_id, "features": features.id}
        seed, mark = self.training.seed, {"features": features.id, "ids": features.ids}
        teacher: UnitModel = first_teacher(
            self.n_units, features, self.options, self.config, seed, self.device
        )
        first = teacher
        self.surviving = [surviving_bits(first, features, first, seed)]
        with self._training_folder() as folder:
            if self.restart and is_main_process():
                for checkpoint in folder.rglob(CHECKPOINT):  # of later rounds as well
                    checkpoint.unlink()
            for number in range(1, self.config.rounds + 1):
                penalty = self.config.teacher_penalty
                speech = speech.with_array("labels", labels_of(teacher, learned, penalty), NO_LABEL)
                valid = valid.with_array("labels", labels_of(teacher, kept, penalty), NO_LABEL)
                task = self._task(speech, valid, teacher.n_units, augmentation, number)
                pupil = self._pupil(task, number, folder / f"round-{number}", mark)
                pupil._measure(speech, seed, "kmeans")
                self.surviving.append(surviving_bits(pupil, features, first, seed))
                if number > 1 and not _is_better(*self.surviving[-2:]):
                    break
                self._take(pupil)
                teacher = pupil
        return self

    def _augmentation(self, front_end: FrontEnd, features: Features) -> Augmentation | None:
        if self.config.augmentation is None:
            return None
        return augmentation_of(front_end, features, self.config.augmentation, self.device)

    def _task(
        self,
        speech: Crops,
        valid: Crops,
        n_targets: int,
        augmentation: Augmentation | None,
        number: int,
    ) -> FrameTask:
        """What a round trains, from weights of its own."""
        training = self.training.model_copy(update={"seed": self.training.seed + number - 1})
        torch.manual_seed(training.seed)
        return FrameTask(
            FrameClassifier(self._encoder(), self.config.dim, n_targets),
            speech,
            valid,
            training,
            stride=self.stride,
            label_smoothing=self.config.label_smoothing,
            augmentation=augmentation,
            n_frames=self.config.n_frames,
            device=self.device,
        )

    def _pupil(self, task: FrameTask, number: int, folder: Path, mark: Mapping[str, Any]) -> Self:
        """The model after one round, still without a codebook.

        The checkpoint's mark doesn't tell the teacher: it follows from everything else.
        """
        trained = train(
            task,
            task.config,
            folder,
            fingerprint=fingerprint({**self._choices(), **mark, "round": number}),
            device=self.device,
            restart=self.restart,
            tensorboard=self.tensorboard,
        )
        task.network.load_state_dict(trained.weights)
        pupil = copy(self)
        pupil.encoder, pupil.codebook = task.network.encoder, None
        pupil.outcome = Outcome.of(trained, task.network)
        pupil.agreement, pupil.best_round = trained.best["agreement"], number
        return pupil

    def _take(self, pupil: Self) -> None:
        """Become what a round came to."""
        self.encoder, self.codebook, self.outcome = pupil.encoder, pupil.codebook, pupil.outcome
        self.agreement, self.best_round = pupil.agreement, pupil.best_round
        self.n_used, self.perplexity = pupil.n_used, pupil.perplexity
        self.mean_distance = pupil.mean_distance

    @property
    def summary(self) -> str:
        """How the fit went, in a line for people."""
        return (
            f"round {self.best_round} of {len(self.surviving) - 1} kept: {self.outcome}; its "
            f"teacher's unit told in {100 * self.agreement:.0f} % of training steps; "
            f"{self._survival}; {self.n_used} of {self.n_units} units in use, "
            f"perplexity {self.perplexity:.1f}"
        )

    @property
    def _survival(self) -> str:
        bits = [f"{value:.2f}" for value in self.surviving if value is not None]
        if not bits:
            return "what survives a change of voice can't be measured on such features"
        rounds = ", ".join(f"round {i} {value}" for i, value in enumerate(bits[1:], start=1))
        return f"bits a frame that survive a change of voice: K-Means {bits[0]}, {rounds}"

    def _settings(self) -> Mapping[str, Any]:
        return {
            **self._choices(),
            "n_in": self.n_in,
            **self._usage(),
            "surviving": self.surviving,
            "best_round": self.best_round,
            "agreement": self.agreement,
            "outcome": asdict(self.outcome),
        }

    def _restore(self, settings: Mapping[str, Any]) -> None:
        self.surviving, self.best_round = settings["surviving"], settings["best_round"]
        self.agreement = settings["agreement"]

    def _encoder(self) -> Encoder:
        return self.config.encoder_of(self.n_in, self.stride)


def _is_better(before: float | None, now: float | None) -> bool:
    """Whether a round is to be kept, by the bits of it and of the round before that survive."""
    return before is None or now is None or now > before
