"""Train a classifier of frames on a teacher's units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zerochain.discovery.segments import NO_LABEL, Speech
from zerochain.features.augmentation import Augmentation
from zerochain.training.config import TrainingConfig
from zerochain.training.loop import Batch, Update

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
        train: Speech,
        valid: Speech,
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
        batch = self._train.random_segments(self.config.batch_size, self._n_frames, seed)
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
        for batch in self._valid.all_segments(_SEGMENTS_A_BATCH, _LONG_SEGMENT):
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
