"""Self-trained units: a network learns what clustering found, under voices it never heard."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import torch

from zerochain.discovery.augmentation import augmentation_of
from zerochain.discovery.frames import check_enough
from zerochain.discovery.front_end import FrontEnd, FrontEndOptions
from zerochain.discovery.model import UnitModel
from zerochain.discovery.neural import NeuralUnits
from zerochain.discovery.segments import Speech, held_out
from zerochain.discovery.self_training_config import SelfTrainingConfig
from zerochain.discovery.self_training_task import FrameClassifier, FrameTask
from zerochain.discovery.surviving import surviving_bits
from zerochain.discovery.teacher import first_teacher, labels_of
from zerochain.features.augmentation import Augmentation
from zerochain.formats.features import Features
from zerochain.modules.encoder import Encoder
from zerochain.training.checkpoint import fingerprint
from zerochain.training.config import TrainingConfig
from zerochain.training.device import is_main_process
from zerochain.training.loop import CHECKPOINT, train
from zerochain.training.outcome import Outcome


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
        speech, valid = (Speech.of(part, front_end) for part in (learned, kept))
        check_enough(speech.frames[:: self.stride], self.n_units, features, self.stride)
        self.n_in, self.front_end = speech.frames.shape[1], front_end
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
                speech = replace(speech, labels=labels_of(teacher, learned, penalty))
                valid = replace(valid, labels=labels_of(teacher, kept, penalty))
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
        speech: Speech,
        valid: Speech,
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
