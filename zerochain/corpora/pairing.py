"""Import a table of which utterance of one corpus says the same as which of another."""

from __future__ import annotations

from pathlib import Path

from zerochain.corpora.tables import read_rows
from zerochain.errors import InputError, listed
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import composed, utterance_id
from zerochain.formats.pairs import Pairs, read_pairs, write_pairs


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
            f"{len(lacking)} ids are missing: {listed(lacking)}",
            path=table,
            cause="ids are paths within the recordings' folder, without the suffix",
            remedy="mend the table, or swap --source and --target",
        )
    if len(set(pairs)) < len(pairs):
        raise InputError(
            f"lists {len(pairs) - len(set(pairs))} pairs twice", path=table, remedy="list each once"
        )
    write_pairs(out, Pairs(pairs, source.id, target.id))
    return read_pairs(out, source, target)
