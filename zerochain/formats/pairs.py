"""`pairs.parquet`: which utterance of one corpus says the same as which of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import check_ids, check_same_ids
from zerochain.formats.tables import read_table, write_table

KIND = "pairs"
_SCHEMA = pa.schema(
    [
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("target_id", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Pairs:
    """(source id, target id) pairs, and the ids of the two corpora."""

    pairs: tuple[tuple[str, str], ...]
    source_corpus: str
    target_corpus: str


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
    table, header = read_table(path, KIND, _SCHEMA, "source_corpus", "target_corpus")
    columns = (table[name].to_pylist() for name in _SCHEMA.names)
    rows = tuple(zip(*columns, strict=True))
    _check(rows, path)
    if source is not None:
        check_same_ids([s for s, _ in rows], source.ids, "pairs", f"corpus {source.name}")
    if target is not None:
        check_same_ids([t for _, t in rows], target.ids, "pairs", f"corpus {target.name}")
    return Pairs(rows, str(header["source_corpus"]), str(header["target_corpus"]))


def _check(rows: tuple[tuple[str, str], ...], path: Path) -> None:
    if not rows:
        raise InputError("holds no pair", path=path, remedy="check the table it was made from")
    if len(set(rows)) < len(rows):
        raise InputError(
            f"holds {len(rows) - len(set(rows))} pairs twice", path=path, remedy="list each once"
        )
    for column, side in zip(_SCHEMA.names, zip(*rows, strict=True), strict=True):
        check_ids(set(side), path, column)
