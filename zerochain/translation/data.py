"""The data of a translator: its kind of source, and pairs of a source and a target utterance.

The source is features of one kind, or units of one unit model. A translator is tied to its source
as an inverter is to its unit model: other features, or units of another model, are refused rather
than translated into something that looks plausible. Features are normalised by each utterance's own
mean and deviation, so that a single recording of an unknown speaker is translated as it would be
among others; units lose their repeats.

Pairs are read from files (`read_parallel`), divided into training and validation (`held_out`),
drawn into batches of like lengths (`Buckets`), concatenated (`joined`) and padded (`collated`). A
target is the units of an utterance with repeats merged: only their order is translated, and an
inverter predicts their durations. The source may come with its own units, for an auxiliary loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy  # scipy.sparse is loaded where it is used
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from zerochain.config import Config
from zerochain.errors import InputError, ModelMismatchError, counted, listed
from zerochain.features.normalisation import Moments
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import Features, check_frames, read_features
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.pairs import Pairs, read_pairs
from zerochain.formats.units import UnitFile, read_units, run_lengths
from zerochain.modules.unit_translator import end_of
from zerochain.training.recipe import validation_ids
from zerochain.training.task import Batch

Array = NDArray[Any]
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


UnitArray = NDArray[np.int32]
_SPREAD = 0.15  # random change of sizes before pairs are sorted by them, so that batches differ


@dataclass(frozen=True, eq=False)
class Pair:
    """A source, the target's units with repeats merged, and the source's own units likewise."""

    source: Array
    """As its file has it: frames (T, D), or units (T,), one per step."""
    target: UnitArray
    own: UnitArray | None
    names: tuple[str, str]
    """Corpus and id of the source, and of the target, with a space between: unique over corpora."""
    pseudo: bool = False
    """Whether a machine made one side; a source of units then gets a tag."""
    variants: tuple[Array, ...] = ()
    """The source as other voices would have spoken it, of the same kind."""

    @property
    def source_id(self) -> str:
        """The source's id alone: utterances of several corpora may have the same."""
        return self.names[0].split(" ", 1)[1]

    @property
    def source_corpus(self) -> str:
        """The source's corpus; "" where its file names none."""
        return self.names[0].split(" ", 1)[0]

    def in_some_voice(self, rng: np.random.Generator) -> Pair:
        """The pair with its source, or one of the variants in its place: each equally likely."""
        if not self.variants:
            return self
        return replace(
            self, source=(self.source, *self.variants)[rng.integers(len(self.variants) + 1)]
        )


def held_out(pairs: Sequence[Pair], fraction: float) -> tuple[list[Pair], list[Pair]]:
    """The pairs to train on, and those to validate on.

    Pairs that share an utterance stay together, and so do those that share one with them: no
    utterance that is held out is used in training.

    Raises:
        InputError: all pairs are connected, as a single one is.
    """
    names = [name for pair in pairs for name in (f"> {pair.names[0]}", f"< {pair.names[1]}")]
    _, codes = np.unique(names, return_inverse=True)
    ones, size = np.ones(len(pairs)), int(codes.max()) + 1
    graph = scipy.sparse.coo_matrix((ones, (codes[::2], codes[1::2])), shape=(size, size))
    n_groups, group = scipy.sparse.csgraph.connected_components(graph, directed=False)
    if n_groups < 2:
        what = counted(len(pairs), "pair")
        raise InputError(
            f"{what} can't be divided into training and validation"
            + ("" if len(pairs) == 1 else ": all are connected by shared utterances"),
            cause="the pairs were restricted too much, or one utterance is in all of them",
            remedy="give more pairs; at least a few hundred are needed to learn anything",
        )
    # By a name rather than by order, so that more pairs don't change which are held out.
    label: dict[int, str] = {}
    for name, code in zip(names, codes, strict=True):
        label[group[code]] = min(name, label.get(group[code], name))
    chosen = validation_ids(list(label.values()), fraction)
    of_pair = [label[group[code]] in chosen for code in codes[::2]]
    return (
        [pair for pair, valid in zip(pairs, of_pair, strict=True) if not valid],
        [pair for pair, valid in zip(pairs, of_pair, strict=True) if valid],
    )


@dataclass(frozen=True, eq=False)
class Buckets:
    """Batches of examples of like sizes and of about equal total size, drawn anew in every epoch.

    An example is a pair, or two of them concatenated. Which are concatenated is drawn before they
    are divided into batches: one that is twice as long as the others would double the padding of
    its whole batch.

    Args:
        sizes: of each pair (N,), whole numbers.
        batch_size: pairs per batch, on average; a batch is at least as large as the largest
            example.
        concatenated: fraction of the pairs that are concatenated with another one.
    """

    sizes: NDArray[np.int64]
    batch_size: int
    concatenated: float = 0.0

    @property
    def n_batches(self) -> int:
        """Per epoch."""
        largest = int(self.sizes.max()) * (2 if self.concatenated else 1)
        share = max(self.batch_size * self.sizes.mean(), largest)
        return max(1, int(self.sizes.sum() / share))

    def examples(
        self, step: int, seed: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The examples of a step, from 1: the same for the same seed. No batch is empty.

        Returns:
            The pairs (n,), and the pair that each is concatenated with (n,), -1 if with none.
        """
        epoch, place = divmod(step - 1, self.n_batches)
        rng, n = np.random.default_rng([*seed, epoch]), len(self.sizes)
        noise = rng.uniform(1 - _SPREAD, 1 + _SPREAD, n)
        second = np.full(n, -1)
        if self.concatenated:
            second = np.where(rng.random(n) < self.concatenated, rng.integers(n, size=n), second)
        sizes = self.sizes + np.where(second >= 0, self.sizes[second], 0)
        order = np.argsort(sizes * noise)
        before = np.cumsum(sizes[order]) - sizes[order]
        batch = before * self.n_batches // sizes.sum()
        chosen: NDArray[np.int64] = order[batch == rng.permutation(self.n_batches)[place]]
        return chosen, second[chosen]


def joined(first: Pair, second: Pair, prepared: Callable[[Pair], Array]) -> tuple[Array, Pair]:
    """Two pairs concatenated: the prepared source, and the pair of both."""
    source = np.concatenate([prepared(first), prepared(second)])
    own = None
    if first.own is not None and second.own is not None:
        own = merged(np.concatenate([first.own, second.own]))
    target = merged(np.concatenate([first.target, second.target]))
    return source, Pair(source, target, own, first.names)


def merged(units: UnitArray) -> UnitArray:
    """Units without repeats."""
    return units[np.flatnonzero(np.diff(units, prepend=-1))]


def collated(sources: Sequence[Array], pairs: Sequence[Pair], n_units: int) -> Batch:
    """Prepared sources and their targets, padded.

    Returns:
        "x" (B, T, D) or (B, T), "lengths" (B,), "targets" (B, U) and "n_targets" (B,), and, where
        there are any, the source's own units "own" (B, V) and "n_own" (B,).
    """
    x, lengths = padded(sources)
    targets, n_targets = padded([pair.target for pair in pairs], fill=end_of(n_units))
    batch = {"x": x, "lengths": lengths, "targets": targets, "n_targets": n_targets}
    own = [pair.own for pair in pairs if pair.own is not None]
    if own:
        batch["own"], batch["n_own"] = padded(own)
    return batch


def padded(sequences: Sequence[Array], fill: int = 0) -> tuple[Tensor, Tensor]:
    """Frames (T, D) or units (T,) of several as one tensor (B, longest T, …), and lengths (B,)."""
    lengths = torch.tensor([len(one) for one in sequences])
    first = sequences[0]
    dtype = torch.float32 if first.dtype.kind == "f" else torch.int64
    x = torch.full((len(sequences), int(lengths.max()), *first.shape[1:]), fill, dtype=dtype)
    for row, one in enumerate(sequences):
        x[row, : len(one)] = torch.from_numpy(np.array(one))
    return x, lengths


def ctc_steps_needed(lengths: Sequence[tuple[int, int]], subsampling: int) -> int:
    """CTC's steps per step of the encoder, so that all (source, target) lengths fit."""
    return max(math.ceil(target / math.ceil(source / subsampling)) for source, target in lengths)


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
        units.check_model(target.model_id, "first target")
        if theirs is not None and own is not None:
            theirs.check_model(own.model_id, "first source")
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
