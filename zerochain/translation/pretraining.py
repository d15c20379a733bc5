"""Pretraining on units alone: a denoiser, whose parts a translator starts from.

Text infilling (BART, Lewis et al. 2020) on units, as Popuri et al. (2022) pretrained their unit
decoder: spans of an utterance are each replaced by one mask, and the network predicts all units. It
learns which units follow which in a language, without any pair. A translator from these units can
start from its encoder, a translator into them from its decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from zerochain.config import NO_OPTION
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.bundle import timeless
from zerochain.formats.identity import short
from zerochain.formats.units import read_units
from zerochain.modules.unit_translator import UnitTranslator, mask_token
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running, finish
from zerochain.training.task import Batch, Row
from zerochain.translation.data import Material, SourceKind
from zerochain.translation.pairs import Array, Pair, held_out
from zerochain.translation.task import RECIPE as TRANSLATOR_RECIPE
from zerochain.translation.task import (
    TranslationConfig,
    TranslationTask,
    TranslationTraining,
    network_config,
    trained,
)
from zerochain.translation.translator import UnitSequenceModel


class PretrainingConfig(TranslationConfig):
    """What a denoiser is built from, and how its input is masked.

    Neither is its source augmented further, nor are utterances concatenated.
    """

    architecture: Literal["conformer", "rnn"] = "conformer"
    """That of the translator; a CTC translator starts from a conformer's encoder."""
    masked: float = Field(0.3, ge=0, lt=1, json_schema_extra=NO_OPTION)
    """Fraction of the units that is masked (Popuri et al. 2022)."""
    mean_span: float = Field(10.0, gt=0, json_schema_extra=NO_OPTION)
    """Mean length of a masked span in units (same); a short utterance has shorter ones."""
    concatenated: float = Field(0.0, ge=0, le=1, json_schema_extra=NO_OPTION)
    """Fraction of the utterances that are concatenated with another one in training."""
    augment: bool = Field(False, json_schema_extra=NO_OPTION)
    """Mask single units as well."""


RECIPE = TRANSLATOR_RECIPE
"""As a translator's."""


@dataclass(frozen=True, eq=False)
class Denoiser(UnitSequenceModel):
    """Units with masked spans → all units, of the same unit model."""

    MODEL = WHAT = "denoiser"


@dataclass(frozen=True, kw_only=True)
class DenoiserTraining(TranslationTraining):
    """How the training of a denoiser went."""

    n_utterances: int
    n_held_out: int


def pretrain(
    units: Sequence[Path],
    out: Path,
    *,
    config: PretrainingConfig | None = None,
    recipe: Recipe = RECIPE,
    running: Running | None = None,
) -> tuple[Denoiser, DenoiserTraining]:
    """Train a denoiser of the units of one model, whoever speaks; save it as `out`.

    The checkpoint and log.csv stand beside it in `<out>.training`; called again, training goes on
    from there with the same result.

    Args:
        units: unit files, of any corpora.

    Raises:
        InputError: fewer than two utterances, one that is too long, or divergence.
        ModelMismatchError: units of several models.
    """
    config, running = config or PretrainingConfig(), (running or Running()).beside(out)
    material = _material(units)
    material.check_lengths(config.longest_s)
    learned, valid = held_out(material.pairs, config.validation)
    model, fitted = trained(
        Denoiser,
        material,
        network_config(material, config),
        (learned, valid),
        config,
        recipe,
        running,
        task=DenoisingTask,
    )
    report = DenoiserTraining.of_fit(
        fitted, n_utterances=len(material.pairs), n_held_out=len(valid)
    )
    record = {**model.training, **timeless(asdict(report))}
    model = replace(model, training=record, trained_on=material.trained_on)
    finish(fitted, out, lambda: model.save(out))
    return model, report


def infilled(
    units: NDArray[np.int32], token: int, masked: float, mean: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Units (N,) with spans of them replaced by one token each: (M,), M ≤ N.

    Args:
        token: what stands for a span.
        masked: fraction of the units that are masked, in all.
        mean: of the lengths of spans, which are Poisson-distributed and at least 1.
    """
    hidden = np.zeros(len(units), bool)
    left = round(masked * len(units))
    while left > 0:
        length = min(max(1, int(rng.poisson(mean))), left)
        start = int(rng.integers(len(units) - length + 1))
        left -= int((~hidden[start : start + length]).sum())
        hidden[start : start + length] = True
    # Spans that touch are one span, with one token.
    kept = np.concatenate([[True], ~(hidden[1:] & hidden[:-1])])
    tokens: NDArray[np.int64] = np.where(hidden, token, units)[kept].astype(np.int64)
    return tokens


class DenoisingTask(TranslationTask):
    """Predict all units from units with masked spans, which are other ones in every step."""

    _config: PretrainingConfig
    _rng: np.random.Generator

    def batch(self, step: int, process: int) -> Batch:
        """As a translation's, from numbers of this step alone."""
        self._rng = np.random.default_rng([self._recipe.seed, process, step])
        return super().batch(step, process)

    def validate(self, network: nn.Module) -> Row:
        """As a translation's, with the same masks every time."""
        self._rng = np.random.default_rng(self._recipe.seed)
        return super().validate(network)

    def _prepared(self, pair: Pair) -> Array:
        units, token = super()._prepared(pair), mask_token(self._source.n_in)
        return infilled(units, token, self._config.masked, self._config.mean_span, self._rng)


def _material(files: Sequence[Path]) -> Material:
    """Each utterance as the translation of itself."""
    given = [read_units(path) for path in files]
    for one in given:
        one.check_model(given[0].model_id, "first file")
    pairs = [
        Pair(one.steps(name), one.segments(name)[0], None, (f"{i} {name}", f"{i} {name}"))
        for i, one in enumerate(given)
        for name in one.ids
    ]
    trained_on = {f"units {i}": one.id for i, one in enumerate(given, start=1)}
    return Material(pairs, SourceKind.of(given[0]), given[0], None, trained_on)


Part = Literal["encoder", "decoder"]
_SIZES: Mapping[Part, tuple[str, ...]] = {
    "encoder": ("width", "n_encoder_layers", "n_heads", "factor", "kernel", "subsampling"),
    "decoder": ("width", "n_decoder_layers", "n_heads", "factor", "decoder_width"),
}
"""Settings that two networks have to share for a part of one to fit the other; the LSTMs'
`embedding` is one more."""


@dataclass(frozen=True, eq=False)
class Start:
    """Parts of pretrained networks from which a translator's network starts."""

    parts: Mapping[Part, Denoiser]
    trained_on: Mapping[str, str]
    """"start 1", … → the id of the bundle."""

    @property
    def sizes(self) -> dict[str, Any]:
        """The settings of a TranslationConfig that the parts need."""
        sizes: dict[str, Any] = {}
        for part, model in self.parts.items():
            given = model.network.config
            names = {*_SIZES[part], "embedding"}
            # A CTC translator may start from a conformer's encoder.
            if part == "decoder" or model.architecture == "rnn":
                names.add("architecture")
            sizes |= {name: getattr(given, name) for name in names}
        return sizes

    def applied_to(self, config: TranslationConfig) -> TranslationConfig:
        """The config with the sizes of the parts in place of its defaults.

        Raises:
            InputError: a size was given explicitly, and is another one.
        """
        given = {name: getattr(config, name) for name in config.model_fields_set}
        for name, size in self.sizes.items():
            if given.get(name, size) != size:
                raise InputError(
                    f"{name}={given[name]} was given, and the pretrained network has {size}",
                    remedy="leave it out, or pretrain a network of that size",
                )
        return TranslationConfig(**{**given, **self.sizes})

    def initialise(self, network: UnitTranslator) -> None:
        """Copy the parts' weights into a network of these sizes."""
        for part, model in self.parts.items():
            getattr(network, part).load_state_dict(getattr(model.network, part).state_dict())


def read_start(
    folders: Sequence[Path], source: SourceKind, unit_model: str, config: TranslationConfig
) -> Start:
    """The encoder of a denoiser of the source's units, the decoder of one of the target's.

    Args:
        folders: bundles of denoisers.
        unit_model: id of the target's.
        config: of the translator.

    Raises:
        ModelMismatchError: a denoiser is of neither side's units.
        InputError: not a denoiser, two for the same part, or of another architecture.
    """
    parts: dict[Part, Denoiser] = {}
    trained_on = {}
    for i, folder in enumerate(folders, start=1):
        model = Denoiser.load(folder)
        trained_on[f"start {i}"] = model.id
        for part in _of_use(model, folder, source, unit_model, config):
            if part in parts:
                raise InputError(
                    f"is a second {part} to start from",
                    path=folder,
                    remedy="give one for the source's units and one for the target's",
                )
            parts[part] = model
    _check_alike(list(parts.values()))
    return Start(parts, trained_on)


def _of_use(
    model: Denoiser, folder: Path, source: SourceKind, unit_model: str, config: TranslationConfig
) -> list[Part]:
    """The parts of a denoiser that fit the translator."""
    is_ctc = config.architecture == "ctc"
    parts: list[Part] = []
    if source.is_units and source.name == model.unit_model:
        parts.append("encoder")
    if unit_model == model.unit_model and not is_ctc:
        parts.append("decoder")
    if not parts:
        raise ModelMismatchError(
            f"is pretrained on units of {short(model.unit_model)}, but the translator goes from "
            f"{source} to units of {short(unit_model)}"
            + (" by CTC, which has no decoder" if is_ctc else ""),
            path=folder,
            cause="it was pretrained on units of another model",
            remedy="pretrain on the units of the translator's source or target",
        )
    is_chosen = "architecture" in config.model_fields_set
    if is_chosen and (model.architecture == "rnn") != (config.architecture == "rnn"):
        raise InputError(
            f"has architecture {model.architecture}, and architecture={config.architecture!r} was "
            "given",
            path=folder,
            remedy=f"pretrain with architecture={config.architecture!r}",
        )
    return parts


def _check_alike(models: Sequence[Denoiser]) -> None:
    for name in ("architecture", "width", "n_heads", "factor", "embedding"):
        found = {getattr(model.network.config, name) for model in models}
        if len(found) > 1:
            values = " and ".join(map(str, sorted(found)))
            raise InputError(
                f"the pretrained networks differ in {name}: {values}",
                remedy="pretrain both sides with the same sizes",
            )
