"""Training of a translator: its settings, its network, its losses.

A network predicts the target's units from the source, by cross-entropy with teacher forcing and
smoothed labels, or by CTC. An auxiliary loss predicts the source's own units from a middle layer
(Lee et al. 2022), which teaches the encoder where the data are few. Sources are augmented: vocal
tracts, levels, masks (SpecAugment, Park et al. 2019), or masked units; some pairs are concatenated
with another one. Denoisers and normalisers are trained in the same way with other data and
defaults (`zerochain.translation.pretraining`, `zerochain.translation.normaliser`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss

from zerochain.config import NO_OPTION
from zerochain.errors import InputError, counted, listed
from zerochain.features.augmentation import Augmentation, AugmentationOptions, masked
from zerochain.features.normalisation import Moments
from zerochain.metrics.translation import unit_bleu
from zerochain.modules.decoders import IGNORED, end_of, teacher_forcing
from zerochain.modules.unit_translator import (
    Architecture,
    Auxiliary,
    NetworkSizes,
    Predicted,
    TranslatorConfig,
    UnitTranslator,
    mask_token,
    tag_token,
)
from zerochain.training.crops import like_lengths
from zerochain.training.outcome import Outcome
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running, fit
from zerochain.training.task import Batch, Row, Update, single
from zerochain.translation.data import Material, SourceKind
from zerochain.translation.decoding import ctc_best, greedy, length_limits
from zerochain.translation.pairs import Array, Buckets, Pair, collated, ctc_steps_needed, joined
from zerochain.translation.translator import UnitSequenceModel

_SPECTRAL = ("mfcc", "log-mel")
_MEASURED = 200  # utterances whose deviations set the size of a tilt
_DECODED = 200  # held-out pairs that each validation decodes, at most
_VALIDATION_STEPS = 12_000  # frames or units of a padded batch
_MOST_UPSAMPLING = 8
_LENGTH_SLACK = 1.5
M = TypeVar("M", bound=UnitSequenceModel)


class TranslationConfig(NetworkSizes):
    """What a translator is built from, its losses and its augmentation."""

    architecture: Architecture = "conformer"
    """A conformer and a Transformer; the published LSTMs (rnn); or a conformer that predicts all
    units at once (ctc)."""
    subsampling: Literal[1, 2, 4, 8] | None = Field(
        None, json_schema_extra={"default": "4; units: 1"}
    )
    """Frames of the source per step of the encoder."""
    auxiliary: Auxiliary | None = Field(
        None, json_schema_extra={"default": "ctc if there are source units"}
    )
    """How the source's own units are predicted from a middle layer: by a small decoder (ce), by
    CTC, or not at all."""
    auxiliary_weight: float = Field(8.0, ge=0)
    """Weight of the loss that predicts the source's own units (Lee et al. 2022: 8)."""
    label_smoothing: float = Field(0.2, ge=0, lt=1)
    """Label smoothing of the cross-entropy; CTC has none."""
    concatenated: float = Field(0.25, ge=0, le=1)
    """Fraction of the pairs that are concatenated with another one in training."""
    augment: bool = True
    """Warp and mask the source, or mask some of its units, in training."""
    warp: float = Field(0.1, ge=0, lt=1, json_schema_extra=NO_OPTION)
    """Frequencies are multiplied or divided by up to 1 + this (log-mel and MFCC)."""
    tilt_db: float = Field(1.5, ge=0, json_schema_extra=NO_OPTION)
    """Standard deviation of an utterance's gain, and of the difference between its top and its
    lowest band, in dB."""
    n_time_masks: int = Field(2, ge=0, json_schema_extra=NO_OPTION)
    """Time masks per utterance."""
    time_mask: int = Field(20, ge=1, json_schema_extra=NO_OPTION)
    """Frames of a time mask, at most."""
    n_band_masks: int = Field(2, ge=0, json_schema_extra=NO_OPTION)
    """Band masks per utterance (log-mel alone)."""
    band_mask: int = Field(12, ge=1, json_schema_extra=NO_OPTION)
    """Bands of a band mask, at most."""
    hidden_units: float = Field(0.1, ge=0, lt=1, json_schema_extra=NO_OPTION)
    """Fraction of the source units that are masked, where the source is units."""
    longest_s: float = Field(60.0, gt=0, json_schema_extra={"option": "--longest"})
    """Seconds; longer utterances are refused, in training and after it: attention takes memory."""
    validation: float = Field(0.05, gt=0, lt=1, json_schema_extra=NO_OPTION)
    """Fraction of the pairs that are held out to decide when to stop."""
    pseudo_cap: float = Field(2.0, gt=0)
    """Pseudo pairs per true pair, at most; true ones are repeated where there are more."""

    presets: ClassVar[Mapping[tuple[str, Any], Mapping[str, Any]]] = {
        # Tjandra, Sakti and Nakamura (2020)
        ("architecture", "rnn"): {"width": 256, "n_encoder_layers": 3, "subsampling": 8},
    }

    @property
    def losses(self) -> dict[str, Any]:
        """All that the weights depend on beside the network: losses and augmentation."""
        others = {"architecture", "subsampling", "auxiliary", "pseudo_cap"}
        return self.model_dump(exclude=others | NetworkSizes.model_fields.keys())


RECIPE = Recipe(
    max_steps=4000,
    batch_size=24,
    learning_rate=1e-3,
    annealing="cosine",
    validate_every=100,
    patience=8,
)
"""Moving averages of the weights take the place of an average of the last checkpoints."""


@dataclass(frozen=True, kw_only=True)
class TranslationTraining(Outcome):
    """How the training of a network went."""

    seconds: float
    unit_bleu: float
    """Of held-out pairs."""
    cross_entropy: float
    """Of held-out pairs, in nats per unit."""

    @classmethod
    def of_fit(cls, fitted: Fitted, **facts: Any) -> Self:
        """How a training went, and what else there is to report of it."""
        return cls(
            **asdict(fitted.outcome),
            seconds=fitted.seconds,
            unit_bleu=fitted.best["unit_bleu"],
            cross_entropy=fitted.best["cross_entropy"],
            **facts,
        )


def trained(
    model: type[M],
    material: Material,
    network: TranslatorConfig,
    pairs: tuple[Sequence[Pair], Sequence[Pair]],
    config: TranslationConfig,
    recipe: Recipe,
    running: Running,
    *,
    task: type[TranslationTask] | None = None,
    initialise: Callable[[UnitTranslator], None] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> tuple[M, Fitted]:
    """A model trained on the first pairs and validated on the others; its record says how.

    Args:
        task: None is `TranslationTask`.
        initialise: puts pretrained weights into the network before training.
        settings: all else that the weights depend on, as JSON values by name.

    Raises:
        InputError: it diverges, or the checkpoint is another training's.
    """
    learned, valid = pairs
    torch.manual_seed(recipe.seed)
    made = UnitTranslator(network)
    if initialise is not None:
        initialise(made)
    ratio = max_length_ratio(material, learned)
    chosen = {"config": config.losses, **(settings or {})}
    inputs = {
        **chosen,
        "network": network.model_dump(),
        "files": material.trained_on,
        "pairs": sorted({pair.names for pair in [*material.pairs, *learned]}),
    }
    task = task or TranslationTask
    one = task(made, material.source, learned, valid, config, recipe, ratio, running.device)
    fitted = fit(one, recipe, running, inputs=inputs)
    finished = model(
        network=made.to(running.device),
        source=material.source,
        unit_model=material.target.model_id,
        unit_method=material.target.method,
        step_ms=material.target.step_ms,
        longest_s=config.longest_s,
        max_length_ratio=ratio,
        training={**chosen, "training": recipe.model_dump()},
    )
    return finished, fitted


def max_length_ratio(material: Material, pairs: Sequence[Pair]) -> float:
    """The most units per frame or unit of a source: those of 99 % of the pairs, and half more."""
    ratios = [material.length_ratio(pair) for pair in pairs]
    return float(_LENGTH_SLACK * np.quantile(ratios, 0.99))


def network_config(
    material: Material, config: TranslationConfig, *, least_upsampling: int = 1
) -> TranslatorConfig:
    """The network as it was chosen, with what follows from the data.

    Args:
        least_upsampling: CTC's steps per step of the encoder, at least.

    Raises:
        InputError: the choices don't fit together, or CTC would need too many steps.
    """
    source, own = material.source, material.own
    chosen = config.model_dump(include={"architecture", *NetworkSizes.model_fields})
    # Units of a source are few enough already, so only an explicit choice makes them fewer.
    if source.is_units and "subsampling" not in config.model_fields_set:
        chosen["subsampling"] = 1
    elif config.subsampling is not None:
        chosen["subsampling"] = config.subsampling
    auxiliary = config.auxiliary or ("none" if own is None else "ctc")
    if auxiliary != "none" and own is None:
        raise InputError(
            f"auxiliary={auxiliary!r} predicts the source's own units, and there are none",
            remedy="give a unit file of the source's recordings as well, or auxiliary='none'",
        )
    try:
        built = TranslatorConfig(
            **chosen,
            n_in=source.n_in,
            from_units=source.is_units,
            n_units=material.target.n_units,
            auxiliary=auxiliary,
            n_auxiliary_units=1 if own is None else own.n_units,
        )
    except InputError as error:
        raise InputError(error.found, remedy="choose other sizes of the network") from error
    update = {}
    if built.architecture == "ctc":
        lengths = [len(pair.target) for pair in material.pairs]
        steps = _upsampling(material, lengths, built.subsampling, "target")
        update["upsampling"] = max(least_upsampling, steps)
    if built.auxiliary == "ctc":
        lengths = [len(pair.own) for pair in material.pairs if pair.own is not None]
        steps = _upsampling(material, lengths, built.subsampling, "source's own")
        update["auxiliary_upsampling"] = steps
    return built.model_copy(update=update)


def _upsampling(material: Material, n_targets: Sequence[int], subsampling: int, whose: str) -> int:
    """CTC's steps per step of the encoder, so that every pair has at least one per unit."""
    n_inputs = [len(pair.source) for pair in material.pairs]
    if material.source.is_units:  # their repeats are merged
        n_inputs = [len(material.source.prepared(p.source, p.names[0])) for p in material.pairs]
    lengths = list(zip(n_inputs, n_targets, strict=True))
    factor = ctc_steps_needed(lengths, subsampling)
    if factor > _MOST_UPSAMPLING:
        wrong = [
            pair.source_id
            for pair, one in zip(material.pairs, lengths, strict=True)
            if ctc_steps_needed([one], subsampling) > _MOST_UPSAMPLING
        ]
        raise InputError(
            f"{counted(len(wrong), 'pair has', 'pairs have')} too many {whose} units for the "
            f"length of their source to be predicted by CTC: {listed(wrong)}",
            cause="the pairs don't belong together, or the units are short",
            remedy=f"fix the pairs, use a subsampling= below {subsampling} or longer units, or "
            "(for the translation) another architecture=",
        )
    return factor


class TranslationTask:
    """Cross-entropy with smoothed labels, or CTC, and an auxiliary loss on the source's own units.

    The validation loss is the cross-entropy of held-out pairs, in nats per unit, minus their
    unit-BLEU: a point of BLEU weighs as much as a nat, so that BLEU decides once there is any, and
    the cross-entropy until then and between equals.
    """

    def __init__(
        self,
        network: UnitTranslator,
        source: SourceKind,
        train: Sequence[Pair],
        valid: Sequence[Pair],
        config: TranslationConfig,
        recipe: Recipe,
        max_length_ratio: float,
        device: str,
    ) -> None:
        """Of a network that has its initial weights.

        Args:
            max_length_ratio: the most target units per frame or unit of the source.
        """
        self.networks, self.optimisers = single(
            "translator",
            network,
            torch.optim.AdamW(
                network.parameters(), recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
            ),
        )
        self._network, self._source, self._config = network.config, source, config
        self._train, self._valid, self._recipe = train, valid[:_DECODED], recipe
        self._max_length_ratio, self._device = max_length_ratio, device
        subsampling = network.config.subsampling
        sizes = [len(pair.source) // subsampling + len(pair.target) for pair in train]
        self._buckets = Buckets(np.array(sizes), recipe.batch_size, config.concatenated)
        self._augment = SourceAugmentation.of(config, source, [p.source for p in train], device)

    def batch(self, step: int, process: int) -> Batch:
        """Pairs of like sizes, some of them concatenated with another one."""
        seed = (self._recipe.seed, process)
        rng = np.random.default_rng([*seed, step])
        sources, pairs = [], []
        for i, j in zip(*self._buckets.examples(step, seed), strict=True):
            first, second = self._train[i], None if j < 0 else self._train[j]
            source, pair = self._example(
                first.in_some_voice(rng), None if second is None else second.in_some_voice(rng)
            )
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
        if not (pair.pseudo and self._source.is_units):
            return prepared
        return np.concatenate([[tag_token(self._source.n_in)], prepared])

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
        encoded = network.encode(batch["x"], batch["lengths"])
        if self._network.architecture == "ctc":
            return [hypothesis.units.tolist() for hypothesis, _ in ctc_best(network, encoded)]
        limits = length_limits(batch["lengths"], self._max_length_ratio)
        return [hypothesis.units.tolist() for hypothesis in greedy(network, encoded, limits)]

    def _predicted(self, network: nn.Module, batch: Batch) -> Predicted:
        tokens, _ = teacher_forcing(batch["targets"], batch["n_targets"], self._network.n_units)
        own = None
        if self._network.auxiliary == "ce" and "own" in batch:
            own, _ = teacher_forcing(batch["own"], batch["n_own"], self._network.n_auxiliary_units)
        predicted: Predicted = network(batch["x"], batch["lengths"], tokens, own)
        return predicted

    def _loss(self, predicted: Predicted, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor]:
        """The loss summed over units or tokens, and how many those are."""
        units, lengths, n_units = batch["targets"], batch["n_targets"], self._network.n_units
        if self._network.architecture == "ctc":
            return _ctc(predicted.scores, predicted.lengths, units, lengths), lengths.sum()
        _, labels = teacher_forcing(units, lengths, n_units)
        return _entropy(predicted.scores, labels, smoothing), (labels != IGNORED).sum()

    def _auxiliary_loss(self, predicted: Predicted, batch: Batch) -> Tensor:
        """Per unit of the source's own."""
        assert predicted.auxiliary is not None
        assert predicted.auxiliary_lengths is not None
        units, lengths = batch["own"], batch["n_own"]
        if self._network.auxiliary == "ctc":
            loss = _ctc(predicted.auxiliary, predicted.auxiliary_lengths, units, lengths)
            return loss / lengths.sum()
        _, labels = teacher_forcing(units, lengths, self._network.n_auxiliary_units)
        smoothing = self._config.label_smoothing
        return _entropy(predicted.auxiliary, labels, smoothing) / (labels != IGNORED).sum()


@dataclass(frozen=True, eq=False)
class SourceAugmentation:
    """Random changes to a batch of prepared sources; with augment=False, none."""

    config: TranslationConfig
    source: SourceKind
    spectral: Augmentation | None
    """None where it is unknown which frequencies the features are of."""

    @classmethod
    def of(
        cls, config: TranslationConfig, source: SourceKind, frames: Sequence[Array], device: str
    ) -> SourceAugmentation:
        """For sources like these, which are not yet normalised."""
        if source.name not in _SPECTRAL or source.is_units:
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
        if not config.augment:
            return x
        if self.source.is_units:
            dice = torch.rand(x.shape, generator=generator, device=x.device)
            return torch.where(dice < config.hidden_units, mask_token(self.source.n_in), x)
        if self.spectral is None:
            return masked(x, lengths, config.n_time_masks, config.time_mask, generator)
        x = self.spectral(x, lengths, generator)
        if self.source.name != "log-mel":
            return x
        return bands_masked(x, config.n_band_masks, config.band_mask, generator)


def bands_masked(x: Tensor, n_masks: int, most: int, generator: Generator) -> Tensor:
    """x (B, T, D), normalised, with masks of up to `most` bands at zero (Park et al. 2019)."""
    bands = torch.arange(x.shape[2], device=x.device)
    for _ in range(n_masks):
        dice = torch.rand(2, len(x), 1, generator=generator, device=x.device)
        size = (dice[0] * (min(most, x.shape[2]) + 1)).floor()
        start = (dice[1] * (x.shape[2] - size + 1)).floor()
        inside = (bands >= start) & (bands < start + size)
        x = x.masked_fill(inside[:, None], 0.0)
    return x


def _entropy(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return cross_entropy(
        scores.flatten(0, 1).float(),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=smoothing,
        reduction="sum",
    )


def _ctc(scores: Tensor, n_steps: Tensor, units: Tensor, lengths: Tensor) -> Tensor:
    """Summed over utterances; one with more units than steps, as concatenated, counts as zero."""
    return ctc_loss(
        scores.float().log_softmax(dim=2).transpose(0, 1),
        units,
        n_steps,
        lengths,
        blank=end_of(scores.shape[2] - 1),
        reduction="sum",
        zero_infinity=True,
    )
