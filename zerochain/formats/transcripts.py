"""`transcripts.parquet`: what was recognised in each utterance, with its confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pydantic import ConfigDict

from zerochain.errors import InputError
from zerochain.formats.description import FIRST, Description, FileKind, Table
from zerochain.formats.headers import Header
from zerochain.formats.identity import check_ids, short
from zerochain.formats.tables import read_table, write_table

KIND = "transcripts"
TRANSCRIPTS_FILE = "transcripts.parquet"
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
    ]
)


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    model_id: str
    corpus_id: str


@dataclass(frozen=True)
class Transcripts:
    """Texts of utterances, by a model.

    Attributes:
        texts: utterance → its text, "" where nothing was recognised; units are separated by spaces.
        confidence: utterance → the geometric mean of its symbols' probabilities, 0 to 1.
    """

    texts: Mapping[str, str]
    confidence: Mapping[str, float]
    model_id: str
    corpus_id: str
    id: str = ""


def write_transcripts(path: Path, transcripts: Transcripts) -> None:
    """Write transcripts atomically.

    Raises:
        InputError: none, an impossible id, or a confidence outside 0 … 1.
    """
    _check(transcripts, path)
    ids = list(transcripts.texts)
    table = pa.Table.from_arrays(
        [
            pa.array(ids, pa.string()),
            pa.array([transcripts.texts[name] for name in ids], pa.string()),
            pa.array([transcripts.confidence[name] for name in ids], pa.float64()),
        ],
        schema=_SCHEMA,
    )
    header = {"model_id": transcripts.model_id, "corpus_id": transcripts.corpus_id}
    write_table(path, KIND, table, header)


def read_transcripts(path: Path) -> Transcripts:
    """Read transcripts.

    Raises:
        InputError: not transcripts, an unknown version, a duplicate id, none, or a confidence
            outside 0 … 1.
    """
    table, header, identity = read_table(path, KIND, _SCHEMA, _Header)
    ids = table["id"].to_pylist()
    check_ids(ids, path)
    transcripts = Transcripts(
        dict(zip(ids, table["text"].to_pylist(), strict=True)),
        dict(zip(ids, table["confidence"].to_pylist(), strict=True)),
        header.model_id,
        header.corpus_id,
        identity,
    )
    _check(transcripts, path)
    return transcripts


def _check(transcripts: Transcripts, path: Path) -> None:
    check_ids(transcripts.texts, path)
    if not transcripts.texts:
        raise InputError("holds no transcript", path=path, remedy="transcribe some recordings")
    for name, confidence in transcripts.confidence.items():
        if not 0 <= confidence <= 1:  # NaN isn't either
            raise InputError(
                f"utterance {name!r} has a confidence of {confidence}",
                path=path,
                cause="another program wrote it, or it was damaged",
                remedy="transcribe again",
            )


def _describe(transcripts: Transcripts) -> Description:
    rows = [
        [name, f"{transcripts.confidence[name]:.2f}", transcripts.texts[name]]
        for name in list(transcripts.texts)[:FIRST]
    ]
    n_empty = sum(not text for text in transcripts.texts.values())
    return Description(
        "transcripts",
        {
            "utterances": f"{len(transcripts.texts)}, {n_empty} of them empty",
            "model": short(transcripts.model_id),
            "corpus": short(transcripts.corpus_id),
            "id": short(transcripts.id),
        },
        (Table("first transcripts", ["id", "confidence", "text"], rows),),
    )


FILE_KIND: FileKind[Transcripts] = FileKind(KIND, TRANSCRIPTS_FILE, read_transcripts, _describe)
