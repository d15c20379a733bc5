"""Parallel corpora: which utterance says the same as which, and splits that agree.

A table of pairs is imported once, checked against both corpora. `write_parallel` then draws the
splits of the two corpora together: whatever is connected by pairs or by the same text is in one
split, so that nothing of a test pair is ever learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import scipy

import zerochain
from zerochain import audio
from zerochain.errors import InputError, counted, listed
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import MARKER as CORPUS_MARKER
from zerochain.formats.corpus import (
    SAME_RECORDINGS,
    Corpus,
    Utterance,
    fill_corpus,
    read_corpus,
)
from zerochain.formats.headers import write_json
from zerochain.formats.identity import check_same_ids, composed, short
from zerochain.formats.inside import resolved
from zerochain.formats.pairs import PAIRS_FILE, Pairs, read_pairs, write_pairs
from zerochain.formats.phones import PHONES_FILE, read_phones
from zerochain.formats.text_files import Row, read_rows
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
    """Write the pairs of a TSV or CSV whose two columns name utterances.

    They are named by their ids, or by paths that lead to their recordings: with a suffix, or with
    folders above the one that was imported. Where a column isn't there, the one whose values are
    all utterances of the corpus is taken.

    Raises:
        InputError: no such column and none or several like it, an empty value, a pair listed twice,
            or ids that a corpus lacks (listed).
    """
    columns = composed(source_column), composed(target_column)
    names, rows = read_rows(table, required=())
    sides = tuple(
        _Side(
            corpus, [n for n in names if n != other or n == column], rows, table, column, argument
        )
        for corpus, column, other, argument in (
            (source, *columns, "source_column"),
            (target, *columns[::-1], "target_column"),
        )
    )
    empty = [str(row.line) for row in rows if any(one.column not in row.values for one in sides)]
    if empty:
        raise InputError(
            f"lines {listed(empty)} lack a {sides[0].column!r} or a {sides[1].column!r}",
            path=table,
            remedy="list only utterances that have a counterpart",
        )
    found = [
        tuple(one.named.get(row.values[one.column], row.values[one.column]) for one in sides)
        for row in rows
    ]
    pairs = tuple((a, b) for a, b in found)
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


class _Side:
    """The column of a table of pairs that names the utterances of one corpus.

    Attributes:
        column: the one that was asked for or, where there is no such column, the one whose values
            all name utterances of the corpus.
        named: value → id.
    """

    def __init__(
        self,
        corpus: Corpus,
        columns: Sequence[str],
        rows: Sequence[Row],
        table: Path,
        column: str,
        argument: str,
    ) -> None:
        endings = _Endings(corpus.ids)
        wanted = [column] if column in columns else columns
        values = {c: [row.values[c] for row in rows if c in row.values] for c in wanted}
        ids = {c: [endings.id_of(value) for value in values[c]] for c in wanted}
        full = [c for c in wanted if ids[c] and None not in ids[c]]
        if column not in columns and len({tuple(map(str, ids[c])) for c in full}) != 1:
            counts = [
                f"{c} ({sum(name is not None for name in ids[c])} of {len(rows)})" for c in wanted
            ]
            raise InputError(
                f"has no column {column!r}; utterances of corpus {corpus.name!r} are named in "
                f"{listed(counts)}",
                path=table,
                cause="the columns have other names",
                remedy=f"name the column with {argument}=",
            )
        self.column = column if column in columns else full[0]
        self.named = {
            value: name
            for value, name in zip(values[self.column], ids[self.column], strict=True)
            if name is not None
        }


class _Endings:
    """Finds the id that a table means: the id itself, or a path that leads to the recording.

    The path may have the sound file's suffix, begin with folders above the one that was imported,
    or lack the first folders of the id where only one id ends so.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = set(ids)
        self._by_ending: dict[str, set[str]] = {}
        for name in ids:
            parts = name.split("/")
            for i in range(1, len(parts)):
                self._by_ending.setdefault("/".join(parts[i:]), set()).add(name)

    def id_of(self, value: str) -> str | None:
        """The id; None if there is none, or several are possible."""
        path = composed(value.replace("\\", "/")).removeprefix("./")
        forms = [path]
        if (suffix := PurePosixPath(path).suffix.lower()) in audio.SUFFIXES:
            forms.append(path[: -len(suffix)])
        for form in forms:
            if form in self._ids:
                return form
        for form in forms:
            parts = form.split("/")
            for i in range(1, len(parts)):
                if (rest := "/".join(parts[i:])) in self._ids:
                    return rest
            if len(possible := self._by_ending.get(form, set())) == 1:
                return next(iter(possible))
        return None


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
                folder / name,
                corpus,
                {u.id: split[group[i, u.id]] for u in corpus.utterances},
                _same_recordings(corpus, out / name),
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


def _same_recordings(corpus: Corpus, before: Path) -> list[str]:
    """Ids of the corpora whose features are those of this one with other splits.

    That is the corpus itself and, where this folder held it with other splits before, that one.
    """
    known = [corpus.id, *corpus.record.get(SAME_RECORDINGS, [])]
    if (before / CORPUS_MARKER).is_file():
        earlier = read_corpus(before)
        if earlier.has_recordings_of(corpus.id):
            known += [earlier.id, *earlier.record[SAME_RECORDINGS]]
    return list(dict.fromkeys(known))


def _written(
    folder: Path, corpus: Corpus, splits: Mapping[str, str], same_recordings: list[str]
) -> Corpus:
    audio_root = str(resolved(corpus.home / corpus.audio_root))
    utterances = tuple(replace(u, split=splits[u.id]) for u in corpus.utterances)
    phones = corpus.home / PHONES_FILE
    folder.mkdir()
    fill_corpus(
        folder,
        replace(
            corpus,
            utterances=utterances,
            audio_root=audio_root,
            record={**corpus.record, SAME_RECORDINGS: same_recordings},
        ),
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
