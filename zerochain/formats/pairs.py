"""`pairs.parquet`: which utterance of one corpus says the same as which utterance of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pydantic import ConfigDict

from zerochain.errors import InputError, counted
from zerochain.formats.corpus import Corpus
from zerochain.formats.description import FIRST, Description, FileKind, Table
from zerochain.formats.headers import Header
from zerochain.formats.identity import check_ids, check_same_ids, short
from zerochain.formats.tables import read_table, write_table

KIND = "pairs"
PAIRS_FILE = "pairs.parquet"
_SCHEMA = pa.schema(
    [
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("target_id", pa.string(), nullable=False),
    ]
)


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    source_corpus: str
    target_corpus: str


@dataclass(frozen=True)
class Pairs:
    """(source id, target id) pairs, and the ids of the two corpora."""

    pairs: tuple[tuple[str, str], ...]
    source_corpus: str
    target_corpus: str

    def swapped(self) -> Pairs:
        """The other direction."""
        pairs = tuple((target, source) for source, target in self.pairs)
        return Pairs(pairs, self.target_corpus, self.source_corpus)

    def of_split(self, corpus: Corpus, split: str) -> Pairs:
        """Those whose utterances of this corpus, on either side or both, are in a split.

        Raises:
            InputError: the pairs are of other corpora, or none is in the split.
        """
        corpora = (self.source_corpus, self.target_corpus)
        sides = [side for side, identity in enumerate(corpora) if identity == corpus.id]
        if not sides:
            raise InputError(
                f"the pairs are of corpora {short(corpora[0])} and {short(corpora[1])}, neither "
                f"of which is {corpus.name} ({short(corpus.id)})",
                cause="the corpus was imported again, or the pairs belong to another",
                remedy="import the pairs again for these corpora",
            )
        named = {pair[side] for pair in self.pairs for side in sides}
        check_same_ids(named, corpus.ids, "pairs", f"corpus {corpus.name}")
        inside = set(corpus.select(split=split).ids)
        kept = tuple(pair for pair in self.pairs if all(pair[side] in inside for side in sides))
        if not kept:
            raise InputError(
                f"no pair is in split {split!r} of corpus {corpus.name}", remedy="choose another"
            )
        return Pairs(kept, *corpora)


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Write pairs atomically.

    Raises:
        InputError: none, or the same pair twice.
    """
    _check(pairs.pairs, path)
    sources, targets = (list(side) for side in zip(*pairs.pairs, strict=True))
    table = pa.Table.from_arrays([pa.array(sources), pa.array(targets)], schema=_SCHEMA)
    header = {"source_corpus": pairs.source_corpus, "target_corpus": pairs.target_corpus}
    write_table(path, KIND, table, header)


def read_pairs(path: Path, source: Corpus | None = None, target: Corpus | None = None) -> Pairs:
    """Read pairs and, where the corpora are given, check that their ids are there.

    Raises:
        InputError: not a pairs table, empty, the same pair twice, or ids missing in a corpus.
    """
    table, header, _ = read_table(path, KIND, _SCHEMA, _Header)
    columns = (table[name].to_pylist() for name in _SCHEMA.names)
    rows = tuple(zip(*columns, strict=True))
    _check(rows, path)
    if source is not None:
        check_same_ids([s for s, _ in rows], source.ids, "pairs", f"corpus {source.name}")
    if target is not None:
        check_same_ids([t for _, t in rows], target.ids, "pairs", f"corpus {target.name}")
    return Pairs(rows, header.source_corpus, header.target_corpus)


def _check(rows: tuple[tuple[str, str], ...], path: Path) -> None:
    if not rows:
        raise InputError("holds no pair", path=path, remedy="check the table it was made from")
    if len(set(rows)) < len(rows):
        raise InputError(
            f"holds {counted(len(rows) - len(set(rows)), 'pair')} twice",
            path=path,
            remedy="list each once",
        )
    for column, side in zip(_SCHEMA.names, zip(*rows, strict=True), strict=True):
        check_ids(set(side), path, column)


def _describe(pairs: Pairs) -> Description:
    return Description(
        "pairs of utterances that say the same",
        {
            "pairs": f"{len(pairs.pairs)}",
            "source corpus": short(pairs.source_corpus),
            "target corpus": short(pairs.target_corpus),
        },
        (Table("first pairs", ["source", "target"], pairs.pairs[:FIRST]),),
    )


FILE_KIND: FileKind[Pairs] = FileKind(KIND, PAIRS_FILE, read_pairs, _describe)
