"""Self-trained units: a network learns K-Means units from speech with other voices.

K-Means labels every frame. A classifier with a bottleneck learns the labels from speech whose
spectra are warped as if another vocal tract had said it; K-Means of the bottleneck makes the units,
which may label the frames for the next round. After Heck, Sakti and Nakamura 2017 ("Feature
optimized DPGMM clustering for unsupervised subword modeling") and HuBERT (Hsu et al. 2021), with
warps in place of many speakers. Whether a round helped is measured without transcripts: see
`surviving_bits`.

Masked prediction is the same with other settings: `masked` hides spans of the input, the teacher's
posteriors are soft targets (`teacher="gmm"`), the context is wide (`encoder="convnext"`), and units
are the classifier's own classes (`units="classes"`), whose posteriors lose less than a codebook.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import copy
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from zerochain.discovery.classifier import NO_LABEL, ClassifierConfig, ClassifierUnits, Run
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.mixtures import GMMUnits, MixtureConfig
from zerochain.discovery.model import UnitModel
from zerochain.discovery.neural import Speech
from zerochain.discovery.segmentation import Segmentation
from zerochain.discovery.survival import surviving_bits
from zerochain.discovery.teacher import COMPONENTS, SHARES, SoftTargets, given_targets, soft_targets
from zerochain.errors import InputError
from zerochain.features.augmentation import Augmentation
from zerochain.formats.features import Features
from zerochain.training.crops import Crops
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running


class SelfTrainingConfig(ClassifierConfig):
    """The classifier, its teachers and how many rounds there are."""

    teacher: Literal["kmeans", "gmm", "fmllr"] = "kmeans"
    """The first teacher: K-Means, whose units are labels; or a Gaussian mixture, whose posteriors
    are soft targets; or fmllr, a mixture that adapts to speakers."""
    units: Literal["kmeans", "classes"] = Field(
        "kmeans", json_schema_extra={"option": "--unit-source"}
    )
    """K-Means in the bottleneck, or the classifier's own classes, which have posteriors. Their
    penalties are in nats."""
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


RECIPE = Recipe(
    max_steps=700,
    batch_size=24,
    learning_rate=1e-3,
    annealing="cosine",
    validate_every=100,
    patience=5,
)
"""Of each round."""


class SelfTrainedUnits(ClassifierUnits):
    """K-Means in the bottleneck of a classifier that was trained on the units of a teacher.

    With `units="classes"` units are the classifier's own classes: costs are −log posterior in
    nats, so is the price of a segment, and the codebook has the mean latent of each class.

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
        soft_targets: posteriors of the same speech, which the first round learns in place of the
            first teacher's; a model that is loaded needs none. The first teacher is still the
            reference for what survives a change of voice.

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
        soft_targets: Features | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(n_units, stride, options, config, recipe, device)
        n_targets = self.config.n_targets if soft_targets is None else soft_targets.dim
        if self.config.units == "classes" and n_targets not in {None, n_units}:
            raise InputError(
                f"there are {n_targets} targets and n_units={n_units}",
                cause="with units='classes' the teacher's classes become the units",
                remedy=f"use n_units={n_targets}, or units='kmeans'",
            )
        self._targets = soft_targets
        self.has_posteriors = self.config.units == "classes"

    @property
    def classifier(self) -> SelfTrainingConfig:
        """The network of each round."""
        return self.config

    def _train(self, speech: Speech, running: Running) -> None:
        """Train round after round, and keep the best one's encoder and codebook."""
        features, seed = speech.features, self.recipe.seed
        augmentation = self._augmentation(features)
        first = first_teacher(self.n_units, features, self.options, self.config, seed, self.device)
        teacher: UnitModel | Features = first if self._targets is None else self._targets
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
        teacher: UnitModel | Features,
        speech: Speech,
        augmentation: Augmentation | None,
        number: int,
        running: Running,
    ) -> None:
        """One round: train a classifier on the teacher's labels, from weights of its own."""
        parts = ((speech.train, speech.learned), (speech.valid, speech.kept))
        (train, first), (valid, second) = (self._with_targets(teacher, *part) for part in parts)
        recipe = self.recipe.model_copy(update={"seed": self.recipe.seed + number - 1})
        labels = hashlib.sha256(first + second).hexdigest()
        run = Run(recipe, running.part(f"round-{number}"), labels, augmentation)
        n_classes = teacher.dim if isinstance(teacher, Features) else teacher.n_units
        fitted = self._train_classifier(train, valid, n_classes, speech, run)
        self.agreement, self.best_round = fitted.best["agreement"], number
        if self.config.units == "kmeans":
            self.head = None
            self._measure(speech, "kmeans")
        else:
            self._measure_classes(speech)

    def _with_targets(
        self, teacher: UnitModel | Features, crops: Crops, features: Features
    ) -> tuple[Crops, bytes]:
        """Speech with a teacher's targets, and their bytes: labels, and posteriors if it has any.

        A teacher with longer steps than a frame gives labels alone.
        """
        if isinstance(teacher, Features):
            targets = given_targets(teacher, features)
            best = targets.shares.argmax(axis=1)[:, None]
            labels = np.take_along_axis(targets.components, best, axis=1)[:, 0].astype(np.int64)
            return _with_soft(crops.with_array("labels", labels, NO_LABEL), targets)
        soft = teacher.has_posteriors and teacher.stride == 1
        labels = labels_of(teacher, features, 0 if soft else self.config.teacher_penalty)
        crops = crops.with_array("labels", labels, NO_LABEL)
        if not soft:
            return crops, labels.tobytes()
        return _with_soft(crops, soft_targets(teacher, features))

    @property
    def distortion(self) -> float:
        """What penalties are counted in: of classes a nat, else the mean squared distance."""
        return 1.0 if self.config.units == "classes" else super().distortion

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
        first = "K-Means" if self.config.teacher == "kmeans" else "GMM"
        return f"bits per frame that survive a change of voice: {first} {bits[0]}, {rounds}"

    def _settings(self) -> Mapping[str, Any]:
        own = ("surviving", "best_round", "agreement")
        return {**super()._settings(), **{name: getattr(self, name) for name in own}}

    def _restore(self, settings: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(settings, tensors)
        self.surviving, self.best_round = settings["surviving"], settings["best_round"]
        self.agreement = settings["agreement"]
        if self.config.units == "classes":
            self._restore_head(tensors)


def first_teacher(
    n_units: int,
    features: Features,
    options: FrontEndOptions,
    config: SelfTrainingConfig,
    seed: int,
    device: str = "cpu",
) -> UnitModel:
    """K-Means on stacked frames, otherwise prepared as the classifier's are; or a mixture on these.

    Args:
        n_units: of the model; the configuration may give the teacher another number.

    Raises:
        InputError: fewer frames than units.
    """
    n_targets = config.n_targets or n_units
    if config.teacher != "kmeans":
        adapt = MixtureConfig(adapt="fmllr" if config.teacher == "fmllr" else "none")
        mixture = GMMUnits(n_targets, options=options, config=adapt, seed=seed, device=device)
        return mixture.fit(features)
    context = config.teacher_context
    components = min(config.teacher_components, features.dim * (2 * context + 1))
    stacked = options.model_copy(update={"context": context, "components": components})
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


def _with_soft(crops: Crops, targets: SoftTargets) -> tuple[Crops, bytes]:
    """Speech that has labels with soft targets as well, and the bytes of both."""
    digest = crops.arrays["labels"].tobytes()
    crops = crops.with_array(COMPONENTS, targets.components).with_array(SHARES, targets.shares)
    return crops, digest + targets.components.tobytes() + targets.shares.tobytes()


def _is_better(before: float | None, now: float | None) -> bool:
    """Whether a round is to be kept, by the bits of it and of the round before that survive."""
    return before is None or now is None or now > before
