"""Units of many voices → the units that one voice would have said, without any text.

A translator learns more from targets that are all said alike (Lee et al. 2022, whose normaliser
learned from transcripts who says the same). Here an inverter of several voices makes the pairs:
it speaks the same units in each, and what is encoded from that differs by voice alone.

    zerochain translate normaliser prepare INVERTER MODEL units.parquet --out spoken
    zerochain translate normaliser train spoken/béa.parquet spoken/carl.parquet \\
        --target spoken/ana.parquet --out normalisers/ana
    zerochain translate normaliser apply normalisers/ana units.parquet --out normalised.parquet

The normaliser is a small conformer over merged units that CTC trains, with at least two steps
for a unit. Units of the one voice are among what it hears: they are to stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.bundle import MARKER
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.metrics.translation import Estimate, error_rate
from zerochain.training.config import TrainingConfig
from zerochain.translation.data import Material, Pair, held_out
from zerochain.translation.fitting import Running, fit, keep
from zerochain.translation.source import SourceKind, arrays
from zerochain.translation.task import TranslationConfig
from zerochain.translation.translator import Translator, check_lengths, network_config

NORMALISER = "normaliser"
NETWORK = {"width": 128, "n_encoder_layers": 3, "n_decoder_layers": 1}
_TEST = 0.1
_LEAST_UPSAMPLING = 2  # a voice may need more units for what another says with fewer


@dataclass(frozen=True)
class Gain:
    """Unit error rates in % against the one voice's units, over utterances never learned from."""

    name: str
    """Of the file of which the utterances are."""
    before: Estimate
    after: Estimate


def train_normaliser(
    spoken: Sequence[Path],
    target: Path,
    out: Path,
    *,
    network: Mapping[str, Any] | None = None,
    config: TranslationConfig | None = None,
    training: TrainingConfig | None = None,
    device: str = "cpu",
    restart: bool = False,
    tensorboard: bool = False,
) -> tuple[list[Gain], dict[str, Any]]:
    """Train a normaliser on units of the same utterances in several voices; save it as `out`.

    Args:
        spoken: unit files, each of another voice; their ids are ids of the target's.
        target: the unit file of the one voice.
        network: fields of TranslatorConfig beside those of `NETWORK`.

    Returns:
        What it gains on a tenth of the utterances, which it never heard in any voice: for each
        spoken file, and last for the one voice's own; and how its training went.

    Raises:
        InputError: too few utterances, ids that the target lacks, one that is too long.
        ModelMismatchError: the files are of several unit models.
    """
    check_replaceable(out, MARKER)
    config, training = config or TranslationConfig(), training or TrainingConfig()
    material, names = _material([*spoken, target], target)
    check_lengths(
        {p.names[0].split(" ", 1)[1]: material.source.seconds(p.source) for p in material.pairs},
        config.longest_s,
    )
    rest, test = held_out(material.pairs, _TEST)
    learned, valid = held_out(rest, config.validation)
    chosen = {**NETWORK, **(network or {}), "architecture": "ctc"}
    built = network_config(material, chosen)
    steps = max(_LEAST_UPSAMPLING, built.upsampling)
    built = built.model_copy(update={"upsampling": steps})
    model, report = fit(
        material,
        built,
        (learned, valid),
        out,
        config,
        training,
        Running(device, restart, tensorboard),
    )
    gains = _gains(model, test, names)
    report |= {
        "n_utterances": len({pair.names[1] for pair in material.pairs}),
        "n_test": len({pair.names[1] for pair in test}),
        "unit_error_rate": {
            gain.name: {"before": gain.before.value, "after": gain.after.value} for gain in gains
        },
    }
    keep(model, out, material.trained_on, report, NORMALISER)
    return gains, report


def normalise(normaliser: Path, units: Path, out: Path, *, device: str = "cpu") -> UnitFile:
    """Write the units that the one voice would have said, without repeats or durations.

    Raises:
        InputError: no normaliser, or utterances that are too long.
        ModelMismatchError: units of another model than it was trained on.
    """
    model, given = Translator.load(normaliser, device, NORMALISER), read_units(units)
    given.check_model(model.unit_model, NORMALISER)
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


def _gains(model: Translator, test: Sequence[Pair], names: Mapping[str, str]) -> list[Gain]:
    made = model.translate({pair.names[0]: pair.source for pair in test})
    gains = []
    for number, name in names.items():
        pairs = [pair for pair in test if pair.names[0].split(" ", 1)[0] == number]
        if not pairs:
            continue
        said = [[pair.target.tolist()] for pair in pairs]
        before = [model.source.prepared(p.source, p.names[0]).tolist() for p in pairs]
        after = [made[pair.names[0]].tolist() for pair in pairs]
        gains.append(Gain(name, error_rate(before, said), error_rate(after, said)))
    return gains
