"""What the training loop trains: a translator, from batches of pairs.

How a translator is trained, beside what the training loop is told.

What the source of a pair goes through in training: SpecAugment, warps, hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss

from zerochain.features.augmentation import Augmentation, AugmentationOptions, masked
from zerochain.features.normalisation import Moments
from zerochain.metrics.translation import unit_bleu
from zerochain.modules.unit_decoders import end_of
from zerochain.modules.unit_translator import Predicted, UnitTranslator, hidden_of, tag_of
from zerochain.training.config import TrainingConfig
from zerochain.training.crops import like_lengths
from zerochain.training.loop import Batch, Row, Update
from zerochain.translation.data import IGNORED, Buckets, Pair, collated, joined, taught
from zerochain.translation.decoding import ctc_best, greedy, most_units
from zerochain.translation.source import Array, SourceKind


class TranslationConfig(BaseModel):
    """Losses and augmentation. 0 leaves an augmentation out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    label_smoothing: float = Field(0.2, ge=0, lt=1)
    """Of the units that are said one after the other; CTC has none."""
    auxiliary_weight: float = Field(8.0, ge=0)
    """Of the loss that predicts the source's own units (Lee et al. 2022: 8)."""
    concatenated: float = Field(0.25, ge=0, le=1)
    """Part of the pairs that are followed by another one."""
    warp: float = Field(0.1, ge=0, lt=1)
    """Frequencies are multiplied by up to 1 + this, or divided by it (log-mel and MFCC)."""
    tilt_db: float = Field(1.5, ge=0)
    """Standard deviation of an utterance's gain, and of its top band over its lowest."""
    n_time_masks: int = Field(2, ge=0)
    time_mask: int = Field(20, ge=1)
    """The most frames that one of them hides."""
    n_band_masks: int = Field(2, ge=0)
    band_mask: int = Field(12, ge=1)
    """The most bands that one of them hides (log-mel alone)."""
    hidden_units: float = Field(0.1, ge=0, lt=1)
    """Part of the source units that are hidden, where it listens to units."""
    longest_s: float = Field(60.0, gt=0)
    """Longer utterances are refused, in training and after it: attention takes memory."""
    validation: float = Field(0.05, gt=0, lt=1)
    """Part of the pairs that is held out to see when to stop."""


_SPECTRAL = ("mfcc", "log-mel")
_MEASURED = 200  # utterances


@dataclass(frozen=True, eq=False)
class SourceAugmentation:
    """Random changes to a batch of prepared sources."""

    config: TranslationConfig
    source: SourceKind
    spectral: Augmentation | None
    """Where it is known which frequencies features hold."""

    @classmethod
    def of(
        cls, config: TranslationConfig, source: SourceKind, frames: Sequence[Array], device: str
    ) -> SourceAugmentation:
        """For sources such as these, before normalisation."""
        if source.name not in _SPECTRAL or source.hears_units:
            return cls(config, source, None)
        measured = [Moments.of([array]).deviation for array in frames[:_MEASURED]]
        options = AugmentationOptions(
            warp=config.warp,
            tilt_db=config.tilt_db,
            noise=0.0,
            n_masks=config.n_time_masks,
            mask_frames=config.time_mask,
        )
        deviation = np.mean(measured, axis=0)
        spectral = Augmentation.of(options, source.name, source.options, deviation, device)
        return cls(config, source, spectral)

    def __call__(self, x: Tensor, lengths: Tensor, generator: Generator) -> Tensor:
        """x (B, T, D) or units (B, T), changed."""
        config = self.config
        if self.source.hears_units:
            dice = torch.rand(x.shape, generator=generator, device=x.device)
            return torch.where(dice < config.hidden_units, hidden_of(self.source.n_in), x)
        if self.spectral is None:
            return masked(x, lengths, config.n_time_masks, config.time_mask, generator)
        x = self.spectral(x, lengths, generator)
        if self.source.name != "log-mel":
            return x
        return bands_masked(x, config.n_band_masks, config.band_mask, generator)


def bands_masked(x: Tensor, n_masks: int, most: int, generator: Generator) -> Tensor:
    """x (B, T, D), normalised, with up to `most` neighbouring bands at zero (Park et al. 2019)."""
    bands = torch.arange(x.shape[2], device=x.device)
    for _ in range(n_masks):
        dice = torch.rand(2, len(x), 1, generator=generator, device=x.device)
        size = (dice[0] * (min(most, x.shape[2]) + 1)).floor()
        start = (dice[1] * (x.shape[2] - size + 1)).floor()
        inside = (bands >= start) & (bands < start + size)
        x = x.masked_fill(inside[:, None], 0.0)
    return x


_DECODED = 200  # held-out pairs at most: they are translated again and again
_VALIDATION_STEPS = 12_000  # of a padded batch


class TranslationTask:
    """Cross-entropy with smoothed labels, or CTC, and an auxiliary loss on the source's own units.

    Validation takes the cross-entropy of held-out pairs, in nats a unit, minus their unit-BLEU: a
    point of BLEU weighs as much as a nat, so that BLEU decides once there is any, and until
    then, and between equals, the cross-entropy does.
    """

    def __init__(
        self,
        network: UnitTranslator,
        source: SourceKind,
        train: Sequence[Pair],
        valid: Sequence[Pair],
        config: TranslationConfig,
        training: TrainingConfig,
        limit: float,
        device: str,
    ) -> None:
        """Begin with a network.

        Args:
            limit: the most target units for a frame or unit of the source.
        """
        self.networks: dict[str, nn.Module] = {"translator": network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "translator": torch.optim.AdamW(
                network.parameters(), training.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
            )
        }
        self._network, self._source, self._config = network.config, source, config
        self._train, self._valid, self._training = train, valid[:_DECODED], training
        self._limit, self._device = limit, device
        subsampling = network.config.subsampling
        sizes = [len(pair.source) // subsampling + len(pair.target) for pair in train]
        self._buckets = Buckets(np.array(sizes), training.batch_size)
        self._augment = SourceAugmentation.of(config, source, [p.source for p in train], device)

    def batch(self, step: int, process: int) -> Batch:
        """Pairs of like sizes, some of them followed by another one."""
        seed = (self._training.seed, process)
        chosen = self._buckets.indices(step, seed)
        rng = np.random.default_rng([*seed, step])
        second = rng.integers(len(self._train), size=len(chosen))
        doubled = rng.random(len(chosen)) < self._config.concatenated
        sources, pairs = [], []
        for i, j, both in zip(chosen, second, doubled, strict=True):
            source, pair = self._example(self._train[i], self._train[j] if both else None)
            sources.append(source)
            pairs.append(pair)
        batch = collated(sources, pairs, self._network.n_units)
        # From the same numbers, so that a resumed run sees the same masks on any device.
        batch["seed"] = torch.tensor(int(rng.integers(2**31)))
        return batch

    def _example(self, first: Pair, second: Pair | None) -> tuple[Array, Pair]:
        most = self._config.longest_s
        if second is None or (
            self._source.seconds(first.source) + self._source.seconds(second.source) > most
        ):
            return self._prepared(first), first
        return joined(first, second, self._prepared)

    def _prepared(self, pair: Pair) -> Array:
        prepared = self._source.prepared(pair.source, pair.names[0])
        if not (pair.pseudo and self._source.hears_units):
            return prepared
        return np.concatenate([[tag_of(self._source.n_in)], prepared])

    def training_step(
        self, networks: Mapping[str, nn.Module], batch: Batch, update: Update
    ) -> Mapping[str, Tensor]:
        """One step of the translator."""
        generator = torch.Generator(batch["x"].device).manual_seed(int(batch["seed"]))
        batch["x"] = self._augment(batch["x"], batch["lengths"], generator)
        predicted = self._predicted(networks["translator"], batch)
        loss, n = self._loss(predicted, batch, self._config.label_smoothing)
        losses = {"translation": loss / n}
        total = losses["translation"]
        if predicted.auxiliary is not None:
            losses["auxiliary"] = self._auxiliary_loss(predicted, batch)
            total = total + self._config.auxiliary_weight * losses["auxiliary"]
        update("translator", total)
        return {"train_loss": total, **losses}

    def validate(self, network: nn.Module) -> Row:
        """Cross-entropy and unit-BLEU of held-out pairs, and the loss made of both."""
        assert isinstance(network, UnitTranslator)
        total, n = 0.0, 0
        hypotheses, references = [], []
        sources = [self._prepared(pair) for pair in self._valid]
        for group in like_lengths([len(source) for source in sources], _VALIDATION_STEPS):
            pairs = [self._valid[i] for i in group]
            batch = collated([sources[i] for i in group], pairs, self._network.n_units)
            batch = {name: value.to(self._device) for name, value in batch.items()}
            loss, count = self._loss(self._predicted(network, batch), batch, 0.0)
            total, n = total + float(loss), n + int(count)
            hypotheses += self._translated(network, batch)
            references += [pair.target.tolist() for pair in pairs]
        bleu = unit_bleu(hypotheses, references)
        return {"cross_entropy": total / n, "unit_bleu": bleu, "valid_loss": total / n - bleu}

    def _translated(self, network: UnitTranslator, batch: Batch) -> list[list[int]]:
        heard = network.hear(batch["x"], batch["lengths"])
        if self._network.architecture == "ctc":
            return [hypothesis.units.tolist() for hypothesis, _ in ctc_best(network, heard)]
        limits = most_units(batch["lengths"], self._limit)
        return [hypothesis.units.tolist() for hypothesis in greedy(network, heard, limits)]

    def _predicted(self, network: nn.Module, batch: Batch) -> Predicted:
        tokens, _ = taught(batch["targets"], batch["n_targets"], self._network.n_units)
        own = None
        if self._network.auxiliary == "ce" and "own" in batch:
            own, _ = taught(batch["own"], batch["n_own"], self._network.n_auxiliary_units)
        predicted: Predicted = network(batch["x"], batch["lengths"], tokens, own)
        return predicted

    def _loss(self, predicted: Predicted, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor]:
        """Summed over what is to be said, and how much that is."""
        units, lengths, n_units = batch["targets"], batch["n_targets"], self._network.n_units
        if self._network.architecture == "ctc":
            return _ctc(predicted.scores, predicted.lengths, units, lengths), lengths.sum()
        _, labels = taught(units, lengths, n_units)
        return _entropy(predicted.scores, labels, smoothing), (labels != IGNORED).sum()

    def _auxiliary_loss(self, predicted: Predicted, batch: Batch) -> Tensor:
        """Of a unit of the source's own."""
        assert predicted.auxiliary is not None
        assert predicted.auxiliary_lengths is not None
        units, lengths = batch["own"], batch["n_own"]
        if self._network.auxiliary == "ctc":
            loss = _ctc(predicted.auxiliary, predicted.auxiliary_lengths, units, lengths)
            return loss / lengths.sum()
        _, labels = taught(units, lengths, self._network.n_auxiliary_units)
        smoothing = self._config.label_smoothing
        return _entropy(predicted.auxiliary, labels, smoothing) / (labels != IGNORED).sum()


def _entropy(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return cross_entropy(
        scores.flatten(0, 1).float(),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=smoothing,
        reduction="sum",
    )


def _ctc(scores: Tensor, n_steps: Tensor, units: Tensor, lengths: Tensor) -> Tensor:
    """Summed over utterances; one that has more units than steps, once joined, counts nothing."""
    return ctc_loss(
        scores.float().log_softmax(dim=2).transpose(0, 1),
        units,
        n_steps,
        lengths,
        blank=end_of(scores.shape[2] - 1),
        reduction="sum",
        zero_infinity=True,
    )
