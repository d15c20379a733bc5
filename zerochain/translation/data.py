"""The data of a translator: its kind of source, and pairs of a source and a target utterance.

The source is features of one kind, or units of one unit model. A translator is tied to its source
as an inverter is to its unit model: other features, or units of another model, are refused rather
than translated into something that looks plausible. Features are normalised by each utterance's own
mean and deviation, so that a single recording of an unknown speaker is translated as it would be
among others; units lose their repeats.

`read_parallel` reads pairs from files; `zerochain.translation.pairs` makes batches of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from zerochain.config import Config
from zerochain.errors import InputError, ModelMismatchError, listed
from zerochain.features.normalisation import Moments
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import Features, check_frames, read_features
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.pairs import Pairs, read_pairs
from zerochain.formats.units import UnitFile, read_units, run_lengths
from zerochain.translation.pairs import Array, Pair

_SILENT = 1e-4  # standard deviation over time, in the features' own unit: digital silence is at 0


class SourceKind(Config):
    """Which features, or units of which model, a translator takes."""

    kind: Literal["features", "units"]
    name: str
    """The extractor, or the unit model's id."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the extractor."""
    n_in: int = Field(ge=1)
    """Dimensions of a frame, or the number of units."""
    step_ms: float = Field(gt=0)

    @classmethod
    def of(cls, given: Features | UnitFile) -> SourceKind:
        """The kind of these features or units."""
        if isinstance(given, UnitFile):
            return cls(kind="units", name=given.model_id, n_in=given.n_units, step_ms=given.step_ms)
        return cls(
            kind="features",
            name=given.extractor,
            options=dict(given.options),
            n_in=given.dim,
            step_ms=given.step_ms,
        )

    @property
    def is_units(self) -> bool:
        return self.kind == "units"

    def check(self, given: Features | UnitFile, path: Path | None = None) -> None:
        """Refuse a source of another kind.

        Raises:
            ModelMismatchError: units of another model.
            InputError: units instead of features or the reverse, or other features.
        """
        theirs = SourceKind.of(given)
        if theirs.kind == self.kind == "units" and theirs.name != self.name:
            raise ModelMismatchError(
                f"the units are of unit model {short(theirs.name)}, but the translator takes "
                f"those of {short(self.name)}",
                path=path,
                cause="the recordings were encoded with another model, or source and target "
                "were swapped",
                remedy=f"encode with unit model {short(self.name)}",
            )
        if theirs._compared != self._compared:
            raise InputError(
                f"holds {theirs}, but the translator takes {self}",
                path=path,
                cause="they were extracted with other options",
                remedy="extract the same features that it was trained on",
            )

    def seconds(self, array: Array) -> float:
        """Duration of an utterance, given its frames or its units, one per step."""
        return len(array) * self.step_ms / 1000

    def is_silent(self, array: Array) -> bool:
        """Whether nothing changes over the utterance: digital silence, or one unit throughout."""
        if self.is_units:
            return bool((array == array[0]).all())
        return bool(array.std(axis=0).max() < _SILENT)

    def prepared(self, array: Array, name: str) -> Array:
        """The network's input: frames (T, D) normalised, or units (T,) with repeats merged.

        Raises:
            InputError: frames of another shape, NaN, or units out of range.
        """
        if not self.is_units:
            check_frames(array, self.n_in, name)
            return Moments.of([array]).apply(array)
        if array.ndim != 1 or not len(array) or array.min() < 0 or array.max() >= self.n_in:
            raise InputError(
                f"utterance {name!r} has no units, or some outside 0 … {self.n_in - 1}",
                cause="they are of another unit model",
                remedy="encode the recording with the unit model of the translator's source",
            )
        return run_lengths(array.astype(np.int32))[0]

    @property
    def _compared(self) -> tuple[object, ...]:
        """What has to be equal; where a checkpoint is stored doesn't matter."""
        options = {name: value for name, value in self.options.items() if name != "path"}
        return self.kind, self.name, options, self.n_in, self.step_ms

    def __str__(self) -> str:
        if self.is_units:
            return f"units of {short(self.name)}"
        options = ", ".join(f"{key} {value}" for key, value in self.options.items())
        return f"{self.name} features ({options or 'no options'}) of {self.n_in} dimensions"


def read_source(path: Path) -> Features | UnitFile:
    """The features in a folder, or the units in a file.

    Raises:
        InputError: it is neither, or damaged.
    """
    return read_features(path) if path.is_dir() else read_units(path)


def arrays(given: Features | UnitFile) -> Mapping[str, Array]:
    """Utterance → its frames (T, D), or its units, one per step (T,)."""
    if isinstance(given, UnitFile):
        return {name: given.steps(name) for name in given.ids}
    return {name: given[name] for name in given.ids}


def check_lengths(seconds: Mapping[str, float], longest_s: float) -> None:
    """Refuse utterances that are too long.

    Raises:
        InputError: there are some; the message lists them.
    """
    if long := too_long(seconds, longest_s):
        raise InputError(
            f"utterances are longer than {longest_s:g} s: {listed(long)}",
            cause="whole recordings were given rather than sentences",
            remedy="cut them at pauses, or train with a larger longest_s=",
        )


def too_long(seconds: Mapping[str, float], longest_s: float) -> list[str]:
    """Utterances of more than `longest_s`, with their durations; rounding is allowed for."""
    return [f"{name} ({s:.0f} s)" for name, s in seconds.items() if s > longest_s + 0.1]


@dataclass(frozen=True)
class Parallel:
    """Files that belong together.

    Attributes:
        source: a features folder, or a unit file.
        target: a unit file.
        pairs: a pairs table of the two corpora, in either order.
        own_units: a unit file of the source's recordings, for the auxiliary loss.
    """

    source: Path
    target: Path
    pairs: Path
    own_units: Path | None = None


@dataclass(frozen=True)
class Part:
    """The pairs of one split alone; a corpus decides about the pairs of its own utterances."""

    corpora: tuple[Path, ...]
    split: str

    def of(self, pairs: Pairs, path: Path) -> Pairs:
        """The pairs of the split.

        Raises:
            InputError: they are of other corpora.
        """
        corpora = [read_corpus(folder) for folder in self.corpora]
        mine = [c for c in corpora if c.id in (pairs.source_corpus, pairs.target_corpus)]
        if not mine:
            raise InputError(
                f"pairs {short(pairs.source_corpus)} with {short(pairs.target_corpus)}, neither "
                f"of which is among the corpora given: {listed([c.name for c in corpora])}",
                path=path,
                cause="a corpus was imported again, or the pairs are of other corpora",
                remedy="give the corpus of the source, or of the target, whose splits are meant",
            )
        for corpus in mine:
            pairs = pairs.of_split(corpus, self.split)
        return pairs


@dataclass(frozen=True, eq=False)
class Material:
    """The contents of all the files together."""

    pairs: list[Pair]
    source: SourceKind
    target: UnitFile
    """Of the first files; the others are of the same unit model."""
    own: UnitFile | None
    trained_on: dict[str, str]
    """Name of a file → its id."""

    def length_ratio(self, pair: Pair) -> float:
        """Units of the target per frame or unit of the source."""
        return len(pair.target) / len(self.source.prepared(pair.source, pair.names[0]))

    def sources(self) -> dict[str, Array]:
        """Source → its frames or units: under its id, with its corpus where several have that."""
        corpora: dict[str, set[str]] = {}
        for pair in self.pairs:
            corpora.setdefault(pair.source_id, set()).add(pair.source_corpus)
        return {
            pair.source_id
            if len(corpora[pair.source_id]) == 1
            else f"{pair.source_id} of corpus {short(pair.source_corpus)}": pair.source
            for pair in self.pairs
        }

    def check_lengths(self, longest_s: float) -> None:
        """Refuse sources that are too long (`zerochain.translation.data.check_lengths`)."""
        seconds = {name: self.source.seconds(array) for name, array in self.sources().items()}
        check_lengths(seconds, longest_s)


def read_parallel(
    files: Sequence[Parallel], part: Part | None = None, variants: Sequence[Path] = ()
) -> Material:
    """Read pairs from one or several sources into the same target units.

    Args:
        variants: sources of the same recordings in other voices, each of one of the corpora.

    Raises:
        InputError: files of different kinds, of other corpora than the pairs, or without
            utterances that the pairs name.
        ModelMismatchError: target units, or the sources' own, of several unit models.
    """
    if len({one.own_units is None for one in files}) > 1:
        raise InputError(
            "some sources come with their own units and some without",
            remedy="give own_units of all sources, or of none",
        )
    pairs, source, target, own = [], None, None, None
    trained_on: dict[str, str] = {}
    for i, one in enumerate(files):
        given, units = read_source(one.source), read_units(one.target)
        theirs = None if one.own_units is None else read_units(one.own_units)
        source, target, own = source or SourceKind.of(given), target or units, own or theirs
        source.check(given, one.source)
        _check_same_model(units, str(one.target), target, str(files[0].target))
        if theirs is not None and own is not None:
            _check_same_model(theirs, str(one.own_units), own, str(files[0].own_units))
        table = oriented(read_pairs(one.pairs), given, units, one.pairs)
        table = table if part is None else part.of(table, one.pairs)
        pairs += _pairs(table, given, units, theirs, one)
        number = "" if i == 0 else f" {i + 1}"
        ids = {"source": given.id, "target": units.id}
        ids |= {} if theirs is None else {"source units": theirs.id}
        trained_on |= {f"{name}{number}": identity for name, identity in ids.items()}
    assert source is not None
    assert target is not None
    for i, path in enumerate(variants, start=1):
        other = read_source(path)
        source.check(other, path)
        pairs = _with_variant(pairs, other, path)
        trained_on[f"variant {i}"] = other.id
    return Material(pairs, source, target, own, trained_on)


def _check_same_model(units: UnitFile, path: str, first: UnitFile, first_path: str) -> None:
    """Raise ModelMismatchError unless both are of one unit model, as a translator predicts."""
    if units.model_id != first.model_id:
        raise ModelMismatchError(
            f"{path}: units of unit model {short(units.model_id)}, but {first_path} has those of "
            f"{short(first.model_id)}",
            cause="each corpus was encoded with a unit model of its own, or one was fitted again",
            remedy="encode both with one unit model, whatever corpus it was fitted on: "
            "zerochain encode MODEL CORPUS",
        )


def _with_variant(pairs: Sequence[Pair], other: Features | UnitFile, path: Path) -> list[Pair]:
    """The pairs, with one more variant of the sources that are of its corpus."""
    mine = [pair for pair in pairs if pair.source_corpus == other.corpus_id]
    if not mine:
        raise InputError(
            f"is of corpus {short(other.corpus_id)}, of which no source is",
            path=path,
            cause="other recordings were encoded, such as the targets', or the corpus was imported "
            "again",
            remedy="encode the recordings of the source in another voice",
        )
    names = sorted({pair.source_id for pair in mine})
    check_same_ids(names, other.ids, "sources of pairs", f"variant {path}")
    heard, chosen = arrays(other), set(map(id, mine))
    return [
        replace(pair, variants=(*pair.variants, heard[pair.source_id]))
        if id(pair) in chosen
        else pair
        for pair in pairs
    ]


def oriented(pairs: Pairs, source: Features | UnitFile, target: UnitFile, path: Path) -> Pairs:
    """The pairs from source to target, in whichever direction they were written.

    Raises:
        InputError: they are of other corpora.
    """
    corpora = {pairs.source_corpus, pairs.target_corpus}
    given = [("source", source.corpus_id), ("target", target.corpus_id)]
    other = [f"the {side} is of corpus {short(c)}" for side, c in given if c and c not in corpora]
    if other:
        raise InputError(
            f"pairs corpora {short(pairs.source_corpus)} and {short(pairs.target_corpus)}, but "
            f"{' and '.join(other)}",
            path=path,
            cause="a corpus was imported again, or these are other corpora's files",
            remedy="extract, encode and pair the corpora that there are now",
        )
    reverse = pairs.target_corpus in (source.corpus_id, "") and (
        source.corpus_id != pairs.source_corpus
    )
    return pairs.swapped() if reverse and pairs.source_corpus != pairs.target_corpus else pairs


def _pairs(
    table: Pairs,
    given: Features | UnitFile,
    target: UnitFile,
    own: UnitFile | None,
    files: Parallel,
) -> list[Pair]:
    sources, targets = (sorted({pair[side] for pair in table.pairs}) for side in (0, 1))
    where = f"pairs {files.pairs}"
    check_same_ids(sources, given.ids, where, f"source {files.source}")
    check_same_ids(targets, target.ids, where, f"target {files.target}")
    if own is not None:
        check_same_ids(sources, own.ids, where, f"source's units {files.own_units}")
    return pairs_of(table.pairs, given, target, own)


def pairs_of(
    ids: Iterable[tuple[str, str]],
    given: Features | UnitFile,
    target: UnitFile,
    own: UnitFile | None,
    *,
    pseudo: bool = False,
) -> list[Pair]:
    """A pair for each (source, target) of `ids`, all of which are there."""
    inputs = arrays(given)
    return [
        Pair(
            source=inputs[a],
            target=target.segments(b)[0],
            own=None if own is None else own.segments(a)[0],
            names=(f"{given.corpus_id} {a}", f"{target.corpus_id} {b}"),
            pseudo=pseudo,
        )
        for a, b in ids
    ]
