"""Pairs of utterances as training sees them: read, held out, drawn, padded.

Parallel speech as files: which utterances say the same, heard in one way and said in another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerochain.errors import InputError, listed
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import Features
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.pairs import Pairs, read_pairs
from zerochain.formats.units import UnitFile, read_units
from zerochain.modules.unit_decoders import begin_of, end_of
from zerochain.training.loop import Batch
from zerochain.training.split import validation_ids
from zerochain.translation.source import Array, SourceKind, arrays, read_source

UnitArray = NDArray[np.int32]
IGNORED = -100
_SPREAD = 0.15  # by how much sizes are changed when pairs of like sizes are put together


@dataclass(frozen=True, eq=False)
class Pair:
    """A source, the target's units with repeats merged, and the source's own units likewise."""

    source: Array
    """As the corpus has it: frames (T, D), or units (T,), one a step."""
    target: UnitArray
    own: UnitArray | None
    names: tuple[str, str]
    """Of the utterances, told apart from those of the same name in other corpora."""
    pseudo: bool = False
    """Whether one side was made up by a machine; where it is a source of units, it gets a tag."""


def held_out(pairs: Sequence[Pair], fraction: float) -> tuple[list[Pair], list[Pair]]:
    """What to train on, and the pairs by which to see when training is done.

    Pairs that share an utterance, and those that share one with them, stay together: what is
    held out is never heard or said in training.

    Raises:
        InputError: all pairs hang together, as a single one does.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    names = [name for pair in pairs for name in (f"> {pair.names[0]}", f"< {pair.names[1]}")]
    _, codes = np.unique(names, return_inverse=True)
    ones, size = np.ones(len(pairs)), int(codes.max()) + 1
    graph = coo_matrix((ones, (codes[::2], codes[1::2])), shape=(size, size))
    n_groups, group = connected_components(graph, directed=False)
    if n_groups < 2:
        what = "is 1 pair" if len(pairs) == 1 else f"are {len(pairs)} pairs that share utterances"
        raise InputError(
            f"there {what}: none can be held out to see when training is done",
            cause="the pairs were restricted too much, or one utterance is in all of them",
            remedy="give more pairs; a few hundred are the least from which anything is learned",
        )
    # By a name rather than by order, so that more pairs don't change who is held out.
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
    """Batches of pairs of like sizes, equally large in all, drawn anew in every epoch.

    Args:
        sizes: of each pair (N,), whole numbers.
        batch_size: pairs in a batch, on average; a batch is at least as large as the largest pair.
    """

    sizes: NDArray[np.int64]
    batch_size: int

    @property
    def n_batches(self) -> int:
        """In an epoch."""
        share = max(self.batch_size * self.sizes.mean(), int(self.sizes.max()))
        return max(1, int(self.sizes.sum() / share))

    def indices(self, step: int, seed: Sequence[int]) -> NDArray[np.int64]:
        """The pairs of a step, from 1: the same for the same numbers. None of a batch is empty."""
        epoch, place = divmod(step - 1, self.n_batches)
        rng = np.random.default_rng([*seed, epoch])
        order = np.argsort(self.sizes * rng.uniform(1 - _SPREAD, 1 + _SPREAD, len(self.sizes)))
        before = np.cumsum(self.sizes[order]) - self.sizes[order]
        batch = before * self.n_batches // self.sizes.sum()
        chosen: NDArray[np.int64] = order[batch == rng.permutation(self.n_batches)[place]]
        return chosen


def joined(first: Pair, second: Pair, prepared: Callable[[Pair], Array]) -> tuple[Array, Pair]:
    """Two pairs, one after the other: the prepared source, and the pair of both."""
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
    """Prepared sources and what is to be predicted of them, padded.

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


def taught(units: Tensor, lengths: Tensor, n_units: int) -> tuple[Tensor, Tensor]:
    """What a decoder is fed, and what is to follow each token of it, both (B, U + 1).

    Args:
        units: (B, U), whatever beyond the lengths (B,).
        n_units: how many units there are.
    """
    real = torch.arange(units.shape[1], device=units.device) < lengths[:, None]
    units = units.masked_fill(~real, end_of(n_units))
    begin = units.new_full((len(units), 1), begin_of(n_units))
    labels = torch.cat([units, units.new_full((len(units), 1), end_of(n_units))], dim=1)
    beyond = torch.arange(labels.shape[1], device=units.device) > lengths[:, None]
    return torch.cat([begin, units], dim=1), labels.masked_fill(beyond, IGNORED)


def steps_needed(pairs: Sequence[tuple[int, int]], subsampling: int) -> int:
    """How many steps CTC needs for one of the encoder, over pairs of input and output lengths."""
    return max(math.ceil(said / math.ceil(heard / subsampling)) for heard, said in pairs)


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
    """Pairs of one split alone: each corpus says so of those pairs that are of it."""

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
                f"pairs {short(pairs.source_corpus)} with {short(pairs.target_corpus)}, which are "
                f"none of the corpora given: {listed([c.name for c in corpora])}",
                path=path,
                cause="a corpus was imported again, or it is another one's",
                remedy="give the corpus of the source, or of the target, whose splits count",
            )
        for corpus in mine:
            pairs = pairs.of_split(corpus, self.split)
        return pairs


@dataclass(frozen=True, eq=False)
class Material:
    """What all the files together come to."""

    pairs: list[Pair]
    source: SourceKind
    target: UnitFile
    """Of the first files; the others are of the same unit model."""
    own: UnitFile | None
    trained_on: dict[str, str]


def read_parallel(files: Sequence[Parallel], part: Part | None = None) -> Material:
    """Read pairs from one or several sources into the same target units.

    Raises:
        InputError: files of different kinds, of other corpora than the pairs, or without
            utterances that the pairs name.
        ModelMismatchError: target units, or the sources' own, of several unit models.
    """
    if len({one.own_units is None for one in files}) > 1:
        raise InputError(
            "some sources come with their own units and some without",
            remedy="give --source-units once for each source, or not at all",
        )
    pairs, source, target, own = [], None, None, None
    trained_on: dict[str, str] = {}
    for i, one in enumerate(files):
        given, said = read_source(one.source), read_units(one.target)
        theirs = None if one.own_units is None else read_units(one.own_units)
        source, target, own = source or SourceKind.of(given), target or said, own or theirs
        source.check(given, one.source)
        said.check_model(target.model_id, "first target")
        if theirs is not None and own is not None:
            theirs.check_model(own.model_id, "first source")
        table = oriented(read_pairs(one.pairs), given, said, one.pairs)
        table = table if part is None else part.of(table, one.pairs)
        pairs += _pairs(table, given, said, theirs, one)
        number = "" if i == 0 else f" {i + 1}"
        ids = {"source": given.id, "target": said.id}
        ids |= {} if theirs is None else {"source units": theirs.id}
        trained_on |= {f"{name}{number}": identity for name, identity in ids.items()}
    assert source is not None
    assert target is not None
    return Material(pairs, source, target, own, trained_on)


def oriented(pairs: Pairs, source: Features | UnitFile, target: UnitFile, path: Path) -> Pairs:
    """The pairs from source to target, whichever way round they were written.

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
    table: Pairs, given: Features | UnitFile, said: UnitFile, own: UnitFile | None, files: Parallel
) -> list[Pair]:
    heard_ids, said_ids = ({pair[side] for pair in table.pairs} for side in (0, 1))
    check_same_ids(sorted(heard_ids), given.ids, f"pairs {files.pairs}", f"source {files.source}")
    check_same_ids(sorted(said_ids), said.ids, f"pairs {files.pairs}", f"target {files.target}")
    if own is not None:
        where = f"source's units {files.own_units}"
        check_same_ids(sorted(heard_ids), own.ids, f"pairs {files.pairs}", where)
    heard = arrays(given)
    return [
        Pair(
            source=heard[a],
            target=said.segments(b)[0],
            own=None if own is None else own.segments(a)[0],
            names=(f"{given.corpus_id} {a}", f"{said.corpus_id} {b}"),
        )
        for a, b in table.pairs
    ]
