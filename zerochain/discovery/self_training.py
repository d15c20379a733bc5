"""Self-trained units: a network learns what clustering found, under voices it never heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from zerochain.discovery.augmentation import augmentation_of
from zerochain.discovery.frames import check_enough
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.model import UnitModel
from zerochain.discovery.neural import NeuralUnits, Outcome
from zerochain.discovery.segmentation import Segmentation
from zerochain.discovery.segments import Speech, held_out
from zerochain.discovery.self_training_task import FrameClassifier, FrameTask
from zerochain.discovery.surviving import surviving_bits
from zerochain.errors import InputError
from zerochain.features.augmentation import AugmentationOptions
from zerochain.formats.bundle import Bundle
from zerochain.formats.features import Features
from zerochain.modules.encoder import Encoder, EncoderConfig, Tail, check_tail
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, train

STRIDES = (1, 2, 4, 8)
_OTHER_VOICE = AugmentationOptions(warp=0.15, tilt_db=0, noise=0, n_masks=0)


class SelfTrainingConfig(BaseModel):
    """The classifier, its teachers and how many rounds there are."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    width: int = Field(192, ge=1)
    n_blocks: int = Field(4, ge=0)
    tail: Tail = "none"
    instance_norm: bool = False
    dim: int = Field(64, ge=1)
    """Of the bottleneck, in which units are found."""
    n_targets: int | None = Field(None, ge=2)
    """Units of the first teacher; None is as many as the model's."""
    teacher_context: int = Field(4, ge=0)
    """Frames on each side that the first teacher, K-Means, sees."""
    teacher_components: int = Field(40, ge=1)
    teacher_penalty: float = Field(1.0, ge=0)
    """Of the teachers' segmentation, in mean distortions: labels that change less often."""
    rounds: int = Field(2, ge=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    augmentation: AugmentationOptions | None = AugmentationOptions()
    n_frames: int = Field(128, ge=1)
    """Length of a training segment."""

    def encoder_of(self, n_in: int, stride: int) -> Encoder:
        """An encoder of features of `n_in` dimensions."""
        check_tail(self.tail, self.width)
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


class SelfTrainedUnits(NeuralUnits):
    """K-Means in the bottleneck of a classifier that was trained on the units of a teacher.

    The first teacher is K-Means on stacked frames, its units segmented at a price. The classifier
    sees its neighbourhood and, in training, speech as other vocal tracts would have said it: what
    it learns is what the teacher's units have in common over voices. Its own units teach the
    next round. Rounds stop when a change of voice destroys more of the units' information
    (`surviving_bits`) than it did of the round's before; that needs no labels.

    After Heck, Sakti and Nakamura (2017) and Hsu et al. (2021), with warps in place of
    many speakers.

    Args:
        n_units: K, of the teachers as well.
        stride: frames that one unit lasts: 1, 2, 4 or 8.
        options: how the classifier's features are prepared.
        training: the training loop's settings for each round.
    """

    name = "selftrain"
    outcome: Outcome
    agreement: float
    """Part of training frames, as augmented, on which the classifier agreed with its teacher."""
    surviving: list[float]
    """Bits a step that survive a change of voice: of the first teacher and of each round."""

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
        if n_units < 2 or stride not in STRIDES:
            raise InputError(
                f"n_units={n_units} must be ≥ 2 and stride={stride} one of 1, 2, 4 and 8"
            )
        self.n_units, self.stride, self.device = n_units, stride, device
        self.options = options or FrontEndOptions()
        self.config = config or SelfTrainingConfig()
        self.training = training or TrainingConfig(
            max_steps=1500, batch_size=24, annealing="cosine"
        )

    def fit(self, features: Features) -> Self:
        """Train round after round, and keep the best one's encoder and codebook.

        Raises:
            InputError: fewer frames than units, fewer than two utterances, features that can't
                be augmented, or divergence.
        """
        front_end = FrontEnd.fit(features, 1, self.options)
        learned, kept = held_out(features)
        speech, valid = (Speech.of(part, front_end) for part in (learned, kept))
        check_enough(speech.frames[:: self.stride], self.n_units, features, self.stride)
        self.n_in, self.front_end = speech.frames.shape[1], front_end
        self.trained_on = {"corpus": features.corpus_id, "features": features.id}
        teacher: UnitModel = self._first_teacher(features)
        self.surviving = [self._surviving(teacher, features)]
        best: SelfTrainedUnits | None = None
        with self._training_folder() as folder:
            for number in range(1, self.config.rounds + 1):
                speech = replace(speech, labels=self._labels(teacher, learned))
                valid = replace(valid, labels=self._labels(teacher, kept))
                pupil = self._pupil(
                    speech, valid, teacher.n_units, features, number, folder / f"round-{number}"
                )
                self.surviving.append(self._surviving(pupil, features))
                if best is not None and self.surviving[-1] <= self.surviving[-2]:
                    break
                best = teacher = pupil
            if is_main_process():
                for number in range(1, self.config.rounds + 1):
                    (folder / f"round-{number}" / CHECKPOINT).unlink(missing_ok=True)
        assert best is not None
        self._take(best)
        return self

    def _first_teacher(self, features: Features) -> KMeansUnits:
        dim = features.dim * (2 * self.config.teacher_context + 1)
        options = FrontEndOptions(
            normalisation=self.options.normalisation,
            warp=self.options.warp,
            context=self.config.teacher_context,
            components=min(self.config.teacher_components, dim),
        )
        seed = self.training.seed
        n_units = self.config.n_targets or self.n_units
        return KMeansUnits(n_units, options=options, seed=seed, device=self.device).fit(features)

    def _labels(self, teacher: UnitModel, features: Features) -> NDArray[np.int64]:
        """The teacher's unit at every frame, (N,)."""
        units = teacher.encode(features, Segmentation(self.config.teacher_penalty))
        frames_a_step = round(units.step_ms / features.step_ms)
        return np.concatenate(
            [
                np.repeat(units.steps(name), frames_a_step)[: features.index[name][1]]
                for name in features.ids
            ]
        ).astype(np.int64)

    def _pupil(
        self,
        speech: Speech,
        valid: Speech,
        n_targets: int,
        features: Features,
        number: int,
        folder: Path,
    ) -> SelfTrainedUnits:
        """The model after one round."""
        training = self.training.model_copy(update={"seed": self.training.seed + number - 1})
        torch.manual_seed(training.seed)
        network = FrameClassifier(
            self.config.encoder_of(self.n_in, self.stride), self.config.dim, n_targets
        )
        assert self.front_end is not None
        task = FrameTask(
            network,
            speech,
            valid,
            training,
            stride=self.stride,
            label_smoothing=self.config.label_smoothing,
            augmentation=None
            if self.config.augmentation is None
            else augmentation_of(self.front_end, features, self.config.augmentation, self.device),
            n_frames=self.config.n_frames,
            device=self.device,
        )
        mark = {
            **self._choices(),
            "features": features.id,
            "ids": features.ids,
            "round": number,
            "teacher": self.surviving,
        }
        trained = train(
            task,
            training,
            folder,
            fingerprint=fingerprint(mark),
            device=self.device,
            restart=self.restart,
            tensorboard=self.tensorboard,
        )
        network.load_state_dict(trained.weights)
        pupil = type(self)(
            self.n_units,
            self.stride,
            options=self.options,
            config=self.config,
            training=self.training,
            device=self.device,
        )
        pupil.n_in, pupil.front_end, pupil.trained_on = self.n_in, self.front_end, self.trained_on
        pupil.surviving = list(self.surviving)
        pupil.encoder, pupil.outcome = network.encoder, Outcome.of(trained, network)
        pupil.agreement = trained.best["agreement"]
        pupil._measure(speech, self.training.seed, "kmeans")
        return pupil

    def _take(self, pupil: SelfTrainedUnits) -> None:
        """Become what a round came to."""
        self.encoder, self.codebook, self.outcome = pupil.encoder, pupil.codebook, pupil.outcome
        self.agreement, self.n_used = pupil.agreement, pupil.n_used
        self.perplexity, self.mean_distance = pupil.perplexity, pupil.mean_distance

    def _surviving(self, model: UnitModel, features: Features) -> float:
        """Bits of a unit that survive a change of voice."""
        assert model.front_end is not None
        try:
            changed = augmentation_of(model.front_end, features, _OTHER_VOICE)
        except InputError:  # of such features nobody knows the frequencies
            return float("nan")
        return surviving_bits(model, features, changed, self.training.seed)

    @property
    def summary(self) -> str:
        """How the fit went, in a line for people."""
        rounds = ", ".join(f"{value:.2f}" for value in self.surviving)
        return (
            f"{self.outcome}; bits a step that survive a change of voice, K-Means and each round: "
            f"{rounds}; {self.n_used} of {self.n_units} units in use, "
            f"perplexity {self.perplexity:.1f}"
        )

    def _choices(self) -> dict[str, Any]:
        return {
            "n_units": self.n_units,
            "stride": self.stride,
            "options": self.options.model_dump(),
            "config": self.config.model_dump(),
            "training": self.training.model_dump(),
        }

    def _settings(self) -> Mapping[str, Any]:
        return {
            **self._choices(),
            "n_in": self.n_in,
            "n_used": self.n_used,
            "perplexity": self.perplexity,
            "distortion": self.mean_distance,
            "surviving": self.surviving,
            "agreement": self.agreement,
            "outcome": asdict(self.outcome),
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str = "cpu") -> Self:
        """The model that `save` wrote."""
        settings = bundle.config["settings"]
        model = cls(
            settings["n_units"],
            settings["stride"],
            options=FrontEndOptions(**settings["options"]),
            config=SelfTrainingConfig(**settings["config"]),
            training=TrainingConfig(**settings["training"]),
            device=device,
        )
        model.front_end = FrontEnd.from_config(bundle.config, bundle.tensors)
        model.codebook = bundle.tensors["codebook"]
        model.n_in, model.surviving = settings["n_in"], settings["surviving"]
        model.n_used, model.perplexity = settings["n_used"], settings["perplexity"]
        model.mean_distance, model.agreement = settings["distortion"], settings["agreement"]
        model.outcome = Outcome(**settings["outcome"])
        model.encoder = model.config.encoder_of(model.n_in, model.stride)
        model._load_encoder(bundle.tensors)
        model.trained_on = bundle.trained_on
        return model
