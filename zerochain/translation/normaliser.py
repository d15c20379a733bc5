"""A normaliser: units of many voices → the units that one voice would have, without any text.

A translator learns more from targets that all have the same accent (Lee et al. 2022, whose
normaliser learned from transcripts which utterances are the same). Here an inverter of several
voices makes the pairs: it speaks the same units in each voice, and what is encoded from that
differs by voice alone.

    zerochain translate normaliser prepare INVERTER MODEL units.parquet --out spoken
    zerochain translate normaliser train spoken/béa.parquet spoken/carl.parquet \\
        --target spoken/ana.parquet --out normalisers/ana
    zerochain translate normaliser apply normalisers/ana units.parquet --out normalised.parquet

It is a small conformer over merged units, trained with CTC, with at least two steps per unit. Units
of the one voice are among its training inputs: it has to leave them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.bundle import timeless
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.metrics.translation import Estimate, error_rate
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running, finish
from zerochain.translation.data import Material, SourceKind, arrays
from zerochain.translation.pairs import Pair, held_out
from zerochain.translation.task import RECIPE as TRANSLATOR_RECIPE
from zerochain.translation.task import (
    TranslationConfig,
    TranslationTraining,
    network_config,
    trained,
)
from zerochain.translation.translator import UnitSequenceModel

_TEST = 0.1
_LEAST_UPSAMPLING = 2  # a voice may have fewer units where another has more


class NormaliserConfig(TranslationConfig):
    """What a normaliser is built from, and how it is trained."""

    architecture: Literal["ctc"] = "ctc"
    """Always CTC: hardly any unit changes its place."""
    width: int = Field(128, ge=1, le=65_536)
    """Channels per layer."""
    n_encoder_layers: int = Field(3, ge=1, le=256, json_schema_extra={"option": "--layers"})
    """Layers of the encoder."""
    n_decoder_layers: int = Field(1, ge=1, le=256)
    """Layers after the encoder, at the rate of CTC's steps."""


RECIPE = TRANSLATOR_RECIPE.model_copy(update={"max_steps": 3000})
"""A smaller network than a translator's, and an easier task."""


@dataclass(frozen=True, eq=False)
class Normaliser(UnitSequenceModel):
    """Units of any voice → those of one voice, of the same unit model."""

    MODEL = WHAT = "normaliser"


@dataclass(frozen=True)
class Gain:
    """Unit error rates in % against the one voice's units, on utterances not trained on."""

    name: str
    """Path of the utterances' unit file."""
    before: Estimate
    after: Estimate


@dataclass(frozen=True, kw_only=True)
class NormaliserTraining(TranslationTraining):
    """How the training of a normaliser went."""

    n_utterances: int
    n_test: int
    """Utterances that the error rates are measured on, each in several voices."""
    unit_error_rate: Mapping[str, Mapping[str, float]]
    """Unit file → in %, "before" and "after"."""


def train_normaliser(
    spoken: Sequence[Path],
    target: Path,
    out: Path,
    *,
    config: NormaliserConfig | None = None,
    recipe: Recipe = RECIPE,
    running: Running | None = None,
) -> tuple[list[Gain], NormaliserTraining]:
    """Train a normaliser on units of the same utterances in several voices; save it as `out`.

    The checkpoint and log.csv stand beside it in `<out>.training`; called again, training goes on
    from there with the same result.

    Args:
        spoken: unit files, each of another voice; their ids are ids of the target's.
        target: the unit file of the one voice.

    Returns:
        Its gain on a tenth of the utterances, which are not trained on in any voice, for each
        spoken file and last for the one voice's own; and how its training went.

    Raises:
        InputError: too few utterances, ids that the target lacks, one that is too long, or
            divergence.
        ModelMismatchError: the files are of several unit models.
    """
    config, running = config or NormaliserConfig(), (running or Running()).beside(out)
    material, names = _material([*spoken, target], target)
    material.check_lengths(config.longest_s)
    rest, test = held_out(material.pairs, _TEST)
    pairs = held_out(rest, config.validation)
    network = network_config(material, config, least_upsampling=_LEAST_UPSAMPLING)
    model, fitted = trained(Normaliser, material, network, pairs, config, recipe, running)
    gains = _gains(model, test, names)
    report = NormaliserTraining.of_fit(
        fitted,
        n_utterances=len({pair.names[1] for pair in material.pairs}),
        n_test=len({pair.names[1] for pair in test}),
        unit_error_rate={
            gain.name: {"before": gain.before.value, "after": gain.after.value} for gain in gains
        },
    )
    record = {**model.training, **timeless(asdict(report))}
    model = replace(model, training=record, trained_on=material.trained_on)
    finish(fitted, out, lambda: model.save(out))
    return gains, report


def normalise(normaliser: Path, units: Path, out: Path, *, device: str = "cpu") -> UnitFile:
    """Write the units that the one voice would have, without repeats or durations.

    Raises:
        InputError: not a normaliser, or utterances that are too long.
        ModelMismatchError: units of another model than it was trained on.
    """
    model, given = Normaliser.load(normaliser, device), read_units(units)
    given.check_model(model.unit_model, Normaliser.WHAT)
    made = UnitFile(
        units=model.translate(arrays(given)),
        n_units=given.n_units,
        step_ms=given.step_ms,
        model_id=given.model_id,
        method=f"normalised: {given.method}",
        speakers=given.speakers,
        corpus_id=given.corpus_id,
    )
    write_units(out, made)
    return made


def _material(files: Sequence[Path], target: Path) -> tuple[Material, dict[str, str]]:
    """Pairs of all voices with the one, and a name for each file."""
    one = read_units(target)
    given = [read_units(path) for path in files]
    for path, spoken in zip(files, given, strict=True):
        if spoken.model_id != one.model_id:
            raise ModelMismatchError(
                f"the units are of unit model {short(spoken.model_id)}, those of the one voice "
                f"({target}) of {short(one.model_id)}",
                path=path,
                cause="the voices were encoded with different models",
                remedy="encode all voices with one model",
            )
        check_same_ids(spoken.ids, one.ids, f"units {path}", f"target {target}")
    _check_different(files, given)
    pairs = [
        Pair(spoken.steps(name), one.segments(name)[0], None, (f"{i} {name}", f"one {name}"))
        for i, spoken in enumerate(given)
        for name in spoken.ids
    ]
    trained_on = {f"units {i}": spoken.id for i, spoken in enumerate(given[:-1], start=1)}
    material = Material(pairs, SourceKind.of(one), one, None, {**trained_on, "target": one.id})
    return material, {str(i): str(path) for i, path in enumerate(files)}


def _check_different(files: Sequence[Path], given: Sequence[UnitFile]) -> None:
    known: dict[str, Path] = {}
    for path, spoken in zip(files, given, strict=True):
        if spoken.id in known:
            raise InputError(
                f"holds the same units as {known[spoken.id]}",
                path=path,
                cause="a file is named twice, or the target is among the other voices'",
                remedy="give each voice's units once, the one voice's as the target alone",
            )
        known[spoken.id] = path


def _gains(model: Normaliser, test: Sequence[Pair], names: Mapping[str, str]) -> list[Gain]:
    made = model.translate({pair.names[0]: pair.source for pair in test})
    gains = []
    for number, name in names.items():
        pairs = [pair for pair in test if pair.names[0].split(" ", 1)[0] == number]
        if not pairs:
            continue
        references = [[pair.target.tolist()] for pair in pairs]
        before = [model.source.prepared(p.source, p.names[0]).tolist() for p in pairs]
        after = [made[pair.names[0]].tolist() for pair in pairs]
        gains.append(Gain(name, error_rate(before, references), error_rate(after, references)))
    return gains
