"""Parallel corpora: which utterance says the same as which, and splits that agree.

A table of pairs is imported once, checked against both corpora. `write_parallel` then draws the
splits of the two corpora together: whatever is connected by pairs or by the same text is in one
split, so that nothing of a test pair is ever learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy

import zerochain
from zerochain.errors import InputError, counted, listed
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus, Utterance, fill_corpus, read_corpus
from zerochain.formats.headers import write_json
from zerochain.formats.identity import check_same_ids, composed, short, utterance_id
from zerochain.formats.inside import resolved
from zerochain.formats.pairs import PAIRS_FILE, Pairs, read_pairs, write_pairs
from zerochain.formats.phones import PHONES_FILE, read_phones
from zerochain.formats.text_files import read_rows
from zerochain.metrics.text import plain

MARKER, KIND = "parallel.json", "parallel"
SOURCE, TARGET = "source", "target"
_TEST, _TRAIN = "test", "train"
Node = tuple[int, str]
"""An utterance: its side, 0 or 1, and its id."""


def import_pairs(
    table: Path,
    source: Corpus,
    target: Corpus,
    out: Path,
    *,
    source_column: str = "source",
    target_column: str = "target",
) -> Pairs:
    """Write the pairs of a TSV or CSV whose two columns hold utterance ids.

    Raises:
        InputError: a missing column, an empty value, a pair listed twice, or ids that a corpus
            lacks (listed).
    """
    columns = composed(source_column), composed(target_column)
    _, rows = read_rows(table, required=columns)
    empty = [str(row.line) for row in rows if any(name not in row.values for name in columns)]
    if empty:
        raise InputError(
            f"lines {listed(empty)} lack a {source_column!r} or a {target_column!r}",
            path=table,
            remedy="list only utterances that have a counterpart",
        )
    ids = [tuple(utterance_id(row.values[name]) for name in columns) for row in rows]
    pairs = tuple((a, b) for a, b in ids)
    lacking = [
        f"{name} in corpus {corpus.name}"
        for side, corpus in enumerate((source, target))
        for name in dict.fromkeys(pair[side] for pair in pairs)
        if name not in corpus.by_id
    ]
    if lacking:
        raise InputError(
            f"{counted(len(lacking), 'id')} missing: {listed(lacking)}",
            path=table,
            cause="ids are paths within the recordings' folder, without the suffix",
            remedy="fix the table, or swap source= and target=",
        )
    if len(set(pairs)) < len(pairs):
        raise InputError(
            f"lists {counted(len(pairs) - len(set(pairs)), 'pair')} twice",
            path=table,
            remedy="list each once",
        )
    write_pairs(out, Pairs(pairs, source.id, target.id))
    return read_pairs(out)


@dataclass(frozen=True)
class Held:
    """Which pairs are held out for testing.

    Attributes:
        fraction: draw this fraction of the pairs; None: the corpora's split "test", or a fifth
            where they have none.
        n_folds, fold: divide the pairs into folds, of which this one (from 0) is tested, for
            cross-validation; 1 doesn't.
        seed: of the draw.
    """

    fraction: float | None = None
    n_folds: int = 1
    fold: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.fold < self.n_folds or not 0 < (self.fraction or 0.2) < 1:
            raise InputError(
                f"impossible: fold {self.fold} of {self.n_folds}, a fraction of {self.fraction}",
                remedy="folds are counted from 0, and a fraction is between 0 and 1",
            )
        if self.n_folds > 1 and self.fraction is not None:
            raise InputError(
                "a fraction of the pairs and folds exclude each other",
                remedy="give one of the two",
            )


def write_parallel(
    out: Path, source: Corpus, target: Corpus, pairs: Pairs, held: Held | None = None
) -> Pairs:
    """Write `out`/source, `out`/target and `out`/pairs.parquet, their splits made to agree.

    Utterances that are connected by pairs, and utterances of one side with the same text, are in
    the same split. Recordings stay where they are. Those without a
    pair are in split "train" unless the corpus has them in another.

    Args:
        pairs: of the two corpora, in either direction.

    Raises:
        InputError: pairs of other corpora, ids that a corpus lacks, or nothing left to train on
            or to test.
    """
    pairs = _source_to_target(pairs, source, target)
    group = _groups((source, target), pairs.pairs)
    split = _splits((source, target), pairs.pairs, group, held or Held())
    of_pair = Counter(split[group[0, a]] for a, _ in pairs.pairs)
    if not of_pair[_TEST] or not of_pair[_TRAIN]:
        raise InputError(
            f"{counted(of_pair[_TRAIN], 'pair')} to train on and {of_pair[_TEST]} to test",
            cause="they are too few, share utterances or texts, or the corpora's splits say so",
            remedy="give more pairs, or draw another fraction of them",
        )
    with atomic_folder(out, MARKER) as folder:
        sides = [
            _written(
                folder / name, corpus, {u.id: split[group[i, u.id]] for u in corpus.utterances}
            )
            for i, (name, corpus) in enumerate(((SOURCE, source), (TARGET, target)))
        ]
        made = Pairs(pairs.pairs, sides[0].id, sides[1].id)
        write_pairs(folder / PAIRS_FILE, made)
        write_json(folder / MARKER, KIND, {"zerochain": zerochain.__version__, **of_pair})
    return made


def _source_to_target(pairs: Pairs, source: Corpus, target: Corpus) -> Pairs:
    """The pairs from source to target."""
    if (pairs.source_corpus, pairs.target_corpus) == (target.id, source.id):
        pairs = pairs.swapped()
    if (pairs.source_corpus, pairs.target_corpus) != (source.id, target.id):
        raise InputError(
            f"the pairs are of corpora {short(pairs.source_corpus)} and "
            f"{short(pairs.target_corpus)}, not of {source.name} ({short(source.id)}) and "
            f"{target.name} ({short(target.id)})",
            cause="a corpus was imported again, or the pairs belong to another",
            remedy="import the pairs again for these corpora",
        )
    for side, corpus in enumerate((source, target)):
        named = dict.fromkeys(pair[side] for pair in pairs.pairs)
        check_same_ids(named, corpus.ids, "pairs", f"corpus {corpus.name}")
    return pairs


def _written(folder: Path, corpus: Corpus, splits: Mapping[str, str]) -> Corpus:
    audio_root = str(resolved(corpus.home / corpus.audio_root))
    utterances = tuple(replace(u, split=splits[u.id]) for u in corpus.utterances)
    phones = corpus.home / PHONES_FILE
    folder.mkdir()
    fill_corpus(
        folder,
        replace(corpus, utterances=utterances, audio_root=audio_root),
        read_phones(phones) if phones.is_file() else None,
    )
    return read_corpus(folder)


def _groups(sides: Sequence[Corpus], pairs: Sequence[tuple[str, str]]) -> dict[Node, int]:
    """Each utterance's group, all of which has to be in one split; groups are numbered in order."""
    nodes = [(i, name) for i, corpus in enumerate(sides) for name in corpus.ids]
    place = {node: number for number, node in enumerate(nodes)}
    first: dict[tuple[int, str], int] = {}
    edges = [(place[0, a], place[1, b]) for a, b in pairs]
    for i, corpus in enumerate(sides):
        for u in corpus.utterances:
            if text := plain(u.text or ""):
                edges.append((first.setdefault((i, text), place[i, u.id]), place[i, u.id]))
    rows, columns = np.array(edges).T
    graph = scipy.sparse.coo_matrix(
        (np.ones(len(edges)), (rows, columns)), shape=(len(nodes), len(nodes))
    )
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return dict(zip(nodes, labels.tolist(), strict=True))


def _splits(
    sides: Sequence[Corpus], pairs: Sequence[tuple[str, str]], group: dict[Node, int], held: Held
) -> dict[int, str]:
    """The split of each group."""
    members: dict[int, list[Utterance]] = {}
    for (i, name), number in group.items():
        members.setdefault(number, []).append(sides[i].by_id[name])
    given = {number: _given_split(several) for number, several in members.items()}
    size = Counter(group[0, a] for a, _ in pairs)
    there = any(given[number] == _TEST for number in size)
    if held.n_folds == 1 and held.fraction is None and there:
        return given
    drawn = _drawn(size, held)
    return {
        number: _TEST if number in drawn else _TRAIN if given[number] == _TEST else given[number]
        for number in members
    }


def _given_split(utterances: Sequence[Utterance]) -> str:
    """The split of utterances that belong together: test before all others, train last."""
    splits = {u.split for u in utterances if u.split}
    if _TEST in splits:
        return _TEST
    return min(splits - {_TRAIN}, default=_TRAIN)


def _drawn(size: Mapping[int, int], held: Held) -> set[int]:
    """The groups to test, drawn given the number of pairs in each."""
    numbers = sorted(size)
    order = [numbers[i] for i in np.random.default_rng(held.seed).permutation(len(numbers))]
    if held.n_folds > 1:
        return set(order[held.fold :: held.n_folds])
    wanted = (held.fraction or 0.2) * sum(size.values())
    before = np.cumsum([0, *(size[number] for number in order)])[:-1]
    return {number for number, n in zip(order, before, strict=True) if n < wanted}
