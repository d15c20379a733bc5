"""Train contrastive predictive coding on prepared speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from zerochain.discovery.codebook import CollapseWatch
from zerochain.discovery.segments import Groups, Speech
from zerochain.errors import InputError
from zerochain.features.augmentation import Augmentation
from zerochain.modules.cpc import Contrast, Cpc, Predicted, contrast
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Update

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
        train: Speech,
        valid: Speech,
        config: TrainingConfig,
        *,
        stride: int,
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
            (speech, groups_of(speech, negatives, shortest)) for speech in (train, valid)
        )
        self._n_validations = min(
            _MOST_VALIDATIONS, -(-len(valid.frames) // (config.batch_size * n_frames))
        )
        self._n_units = 0 if network.quantizer is None else len(network.quantizer.usage)
        self._watch, self._n_used = CollapseWatch(), torch.tensor(self._n_units)

    def batch(self, step: int, process: int) -> Batch:
        """Segments of several groups, the same number of each."""
        return self._batch(*self._train, (self._config.seed, step, process))

    def _batch(self, speech: Speech, groups: Groups, seed: Sequence[int]) -> Batch:
        batch = speech.group_segments(
            groups, self._n_groups, self._n_per_group, self._n_frames, seed
        )
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


def groups_of(speech: Speech, negatives: Negatives, shortest: int) -> Groups:
    """Utterances that negatives may come from together.

    Whoever speaks in an utterance of an unknown speaker, it is one person: such an utterance is
    a group of its own.

    Raises:
        InputError: no utterance has `shortest` frames.
    """
    own = len(speech.speaker_names) + np.arange(len(speech.speakers))
    numbers: NDArray[np.int64]
    match negatives:
        case "speaker":
            known = speech.speakers < len(speech.speaker_names)
            numbers = np.where(known, speech.speakers, own)
        case "utterance":
            numbers = own
        case "any":
            numbers = np.zeros_like(own)
    groups = speech.groups(numbers, shortest)
    if not len(groups.utterances):
        raise InputError(
            f"no utterance of {len(speech.speakers)} lasts {shortest} frames, which predicting "
            "takes",
            cause="the recordings were cut into words or phones",
            remedy="predict fewer steps ahead, take a smaller stride, or give longer recordings",
        )
    return groups


def _generator(batch: Batch) -> Generator:
    return torch.Generator(batch["x"].device).manual_seed(int(batch["seed"]))
