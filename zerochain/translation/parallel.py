"""Parallel speech as files: which utterances say the same, heard in one way and said in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zerochain.errors import InputError, listed
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import Features
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.pairs import Pairs, read_pairs
from zerochain.formats.units import UnitFile, read_units
from zerochain.translation.data import Pair
from zerochain.translation.source import SourceKind, arrays, read_source


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
