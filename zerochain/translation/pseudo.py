"""Pairs of which a machine made one side: more to learn from, and less to be trusted.

Back-translation (Sennrich et al. 2016): a translator the other way round says what the source
of a target without a pair may have been; sampled rather than likeliest units (Edunov et al.
2018), and a tag in front of them (Caswell et al. 2019). Label propagation: a source without a
pair gets the target of the paired source that it is most like.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zerochain.errors import InputError
from zerochain.formats.features import Features
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile, read_units
from zerochain.translation.data import Material, Pair
from zerochain.translation.source import arrays, read_source

CAP = 2.0
"""Made-up pairs for a true one, at most."""
_SLACK = 1.5  # of the relative lengths of nearly all true pairs


@dataclass(frozen=True)
class Pseudo:
    """Files with pairs of one id on both sides.

    Attributes:
        source: a features folder or unit file like the translator's source.
        target: a unit file like its target.
    """

    source: Path
    target: Path


@dataclass(frozen=True, eq=False)
class Added:
    """The pairs that are added to true ones, and why others are not."""

    pairs: list[Pair]
    trained_on: Mapping[str, str]
    left_out: Mapping[str, int]
    """Why → how many."""


def read_pseudo(
    files: Sequence[Pseudo], material: Material, valid: Sequence[Pair], learned: Sequence[Pair]
) -> Added:
    """Read made-up pairs, without those that would spoil what is measured or learned.

    Left out are pairs with an utterance that is held out, sources in which nothing is to be
    heard, and pairs of which one side is far longer than in true ones, as runaways are.

    Raises:
        InputError: sources or targets of another kind than the material's, ids that don't
            match, or own units of the sources that are asked for and not there.
        ModelMismatchError: units of another model.
    """
    pairs: list[Pair] = []
    trained_on: dict[str, str] = {}
    for i, one in enumerate(files, start=1):
        given, said = read_source(one.source), read_units(one.target)
        _check_kind(given, said, one, material)
        trained_on |= {f"pseudo source {i}": given.id, f"pseudo target {i}": said.id}
        pairs += _pairs(given, said, one, material)
    # A made-up side bears the id and the corpus of the recording that it was made from.
    hidden = {name for pair in valid for name in pair.names}
    known = [pair for pair in pairs if hidden.isdisjoint(pair.names)]
    lowest, highest = _usual(learned, material)
    heard = [pair for pair in known if not material.source.is_still(pair.source)]
    fitting = [p for p in heard if lowest <= _relative_length(p, material) <= highest]
    left = {
        "held_out": len(pairs) - len(known),
        "still": len(known) - len(heard),
        "odd_length": len(heard) - len(fitting),
    }
    if files and not fitting:
        raise InputError(
            f"none of {len(pairs)} made-up pairs can be used: {left['held_out']} are of "
            f"utterances held out, in {left['still']} nothing is to be heard, "
            f"{left['odd_length']} are too long on one side",
            path=files[0].source,
            cause="the translator that made them learned nothing",
            remedy="train that one longer, or leave --pseudo out",
        )
    return Added(fitting, trained_on, left)


def mixed(true: Sequence[Pair], pseudo: Sequence[Pair], cap: float) -> list[Pair]:
    """Both, the true ones so often that there are at most `cap` made-up ones for each.

    Raises:
        InputError: a cap that is no positive number.
    """
    if not 0 < cap < math.inf:
        raise InputError(f"a cap of {cap} made-up pairs for a true one makes no sense")
    times = max(1, math.ceil(len(pseudo) / (cap * len(true))))
    return [*(times * list(true)), *pseudo]


def _check_kind(
    given: Features | UnitFile, said: UnitFile, files: Pseudo, material: Material
) -> None:
    if isinstance(given, UnitFile) and not material.source.hears_units:
        raise InputError(
            f"holds units, but the translator listens to {material.source}",
            path=files.source,
            cause="back-translation makes up units of the source language, not speech",
            remedy="train the translator from units of the source (a unit file as SOURCE), or "
            "give features here, and a made-up target",
        )
    material.source.check(given, files.source)
    said.check_model(material.target.model_id, "target of the pairs")


def _pairs(
    given: Features | UnitFile, said: UnitFile, files: Pseudo, material: Material
) -> list[Pair]:
    """Of the ids on the side that has fewer, which the other side has to have."""
    if len(given.ids) <= len(said.ids):
        names = list(given.ids)
        check_same_ids(names, said.ids, f"source {files.source}", f"target {files.target}")
    else:
        names = said.ids
        check_same_ids(names, given.ids, f"target {files.target}", f"source {files.source}")
    own = material.own
    if own is not None:
        where = "units of the source's own"
        check_same_ids(names, own.ids, f"made-up pairs {files.source}", where)
    heard = arrays(given)
    return [
        Pair(
            source=heard[name],
            target=said.segments(name)[0],
            own=None if own is None else own.segments(name)[0],
            names=(f"{given.corpus_id} {name}", f"{said.corpus_id} {name}"),
            pseudo=True,
        )
        for name in names
    ]


def _usual(pairs: Sequence[Pair], material: Material) -> tuple[float, float]:
    """The least and the most units for a frame or unit of a source."""
    lengths = [_relative_length(pair, material) for pair in pairs]
    low, high = np.quantile(lengths, [0.01, 0.99])
    return float(low / _SLACK), float(high * _SLACK)


def _relative_length(pair: Pair, material: Material) -> float:
    return len(pair.target) / len(material.source.prepared(pair.source, pair.names[0]))
