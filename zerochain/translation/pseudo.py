"""Pseudo pairs, of which a machine made one side: more data, of less quality.

Back-translation (Sennrich et al. 2016): a translator in the other direction predicts a source for
a target without a pair, by sampling rather than the likeliest units (Edunov et al. 2018), and a
tag in front marks it (Caswell et al. 2019). Label propagation: a source without a pair gets the
target of the most similar paired source (`zerochain.translation.baselines`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zerochain.errors import InputError, counted
from zerochain.formats.features import Features
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile, read_units
from zerochain.translation.data import Material, pairs_of, read_source
from zerochain.translation.pairs import Pair

_SLACK = 1.5  # of the length ratios of nearly all true pairs


@dataclass(frozen=True)
class Pseudo:
    """Files of pseudo pairs, whose two sides have the same id.

    Attributes:
        source: a features folder or unit file like the translator's source.
        target: a unit file like its target.
    """

    source: Path
    target: Path


@dataclass(frozen=True, eq=False)
class Added:
    """The pseudo pairs that are used, and why others are not."""

    pairs: list[Pair]
    trained_on: Mapping[str, str]
    left_out: Mapping[str, int]
    """Reason → how many."""


def read_pseudo(
    files: Sequence[Pseudo], material: Material, valid: Sequence[Pair], learned: Sequence[Pair]
) -> Added:
    """Read pseudo pairs, without those that would spoil the validation or the training.

    Left out are pairs with an utterance that is held out, silent sources, and pairs of which one
    side is far longer than in true ones, as where decoding did not come to an end.

    Raises:
        InputError: sources or targets of another kind than the material's, ids that don't
            match, or sources without own units where the material has them.
        ModelMismatchError: units of another model.
    """
    pairs: list[Pair] = []
    trained_on: dict[str, str] = {}
    for i, one in enumerate(files, start=1):
        given, target = read_source(one.source), read_units(one.target)
        _check_kind(given, target, one, material)
        trained_on |= {f"pseudo source {i}": given.id, f"pseudo target {i}": target.id}
        pairs += _pairs(given, target, one, material)
    # The side that a machine made has the id and the corpus of the recording it was made from.
    hidden = {name for pair in valid for name in pair.names}
    known = [pair for pair in pairs if hidden.isdisjoint(pair.names)]
    lowest, highest = _usual_ratios(learned, material)
    audible = [pair for pair in known if not material.source.is_silent(pair.source)]
    fitting = [p for p in audible if lowest <= material.length_ratio(p) <= highest]
    left = {
        "held_out": len(pairs) - len(known),
        "silent": len(known) - len(audible),
        "odd_length": len(audible) - len(fitting),
    }
    if files and not fitting:
        raise InputError(
            f"none of {counted(len(pairs), 'pseudo pair')} can be used: {left['held_out']} are of "
            f"utterances held out, {left['silent']} silent, {left['odd_length']} too long on one "
            "side",
            path=files[0].source,
            cause="the translator that made them learned nothing",
            remedy="train that translator for longer, or leave pseudo= out",
        )
    return Added(fitting, trained_on, left)


def mixed(true: Sequence[Pair], pseudo: Sequence[Pair], cap: float) -> list[Pair]:
    """All pairs, the true ones repeated so that there are at most `cap` pseudo pairs for each."""
    times = max(1, math.ceil(len(pseudo) / (cap * len(true))))
    return [*(times * list(true)), *pseudo]


def _check_kind(
    given: Features | UnitFile, target: UnitFile, files: Pseudo, material: Material
) -> None:
    if isinstance(given, UnitFile) and not material.source.is_units:
        raise InputError(
            f"holds units, but the translator takes {material.source}",
            path=files.source,
            cause="back-translation predicts units of the source language, not speech",
            remedy="train the translator from units of the source (a unit file as the source), or "
            "give features here, with targets by label propagation",
        )
    material.source.check(given, files.source)
    target.check_model(material.target.model_id, "target of the pairs")


def _pairs(
    given: Features | UnitFile, target: UnitFile, files: Pseudo, material: Material
) -> list[Pair]:
    """Pairs of the ids on the side with fewer of them, all of which the other side has to have."""
    sides = f"source {files.source}", f"target {files.target}"
    if len(given.ids) <= len(target.ids):
        names = list(given.ids)
        check_same_ids(names, target.ids, *sides)
    else:
        names = target.ids
        check_same_ids(names, given.ids, *sides[::-1])
    own = material.own
    if own is not None:
        check_same_ids(names, own.ids, f"pseudo pairs {files.source}", "source's own units")
    return pairs_of(zip(names, names, strict=True), given, target, own, pseudo=True)


def _usual_ratios(pairs: Sequence[Pair], material: Material) -> tuple[float, float]:
    """The least and the greatest length ratio that is plausible."""
    low, high = np.quantile([material.length_ratio(pair) for pair in pairs], [0.01, 0.99])
    return float(low / _SLACK), float(high * _SLACK)
