"""`spans.parquet`: labelled stretches of recordings: hits of a search, clusters, words, segments.

One row is one stretch: `recording`, `start_s`, `end_s`, `label`, and where they are known `score`,
`speaker` and, of utterances that are parts of longer sound files, the file and the times in it
(`audio`, `audio_start_s`, `audio_end_s`), to be found in other programs. `recording` is the id of
an utterance or the name of a recording (its path without the suffix); times count from the
beginning of whichever it is. Stretches may overlap and come in any order. The same columns are read
from a .csv or .tsv, so that a spreadsheet can write them too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import ConfigDict

from zerochain.errors import InputError, counted
from zerochain.formats.corpus import Corpus
from zerochain.formats.description import FIRST, Description, FileKind, Table
from zerochain.formats.headers import Header
from zerochain.formats.identity import composed, short, utterance_id
from zerochain.formats.tables import read_table, write_table
from zerochain.formats.text_files import Row, plain, read_rows, write_csv

KIND = "spans"
SPANS_FILE = "spans.parquet"
COLUMNS = ("recording", "start_s", "end_s", "label")
OPTIONAL = ("score", "speaker", "audio", "audio_start_s", "audio_end_s")
_SCHEMA = pa.schema(
    [
        pa.field("recording", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("speaker", pa.string()),
        pa.field("audio", pa.string()),
        pa.field("audio_start_s", pa.float64()),
        pa.field("audio_end_s", pa.float64()),
    ]
)
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_MOST_FREQUENT = 12
_DIGITS = 4


class _Header(Header):
    model_config = ConfigDict(extra="forbid")

    what: str
    system: str = ""
    corpus_id: str = ""


class LabelledSpan(NamedTuple):
    """One stretch of a recording or an utterance, in seconds from its beginning."""

    recording: str
    start_s: float
    end_s: float
    label: str
    score: float | None = None
    """Higher is better; None where there is none."""
    speaker: str | None = None
    audio: str | None = None
    """Of an utterance that is a part of a longer sound file: the file."""
    audio_start_s: float | None = None
    """In that file."""
    audio_end_s: float | None = None


@dataclass(frozen=True)
class Spans:
    """Stretches, what they are, what found them and in which corpus."""

    rows: tuple[LabelledSpan, ...]
    what: str = "spans"
    """hits, clusters, words, segments, …: names the tier in other programs."""
    system: str = ""
    corpus_id: str = ""


def write_spans(path: Path, spans: Spans) -> None:
    """Write stretches atomically: as CSV where the path ends in .csv, otherwise as Parquet.

    A CSV keeps the rows alone, not what they are or what found them.

    Raises:
        InputError: a stretch without length or with an impossible time, score, id or label.
    """
    rows = tuple(_checked(row, path, f"row {i}") for i, row in enumerate(spans.rows, 1))
    if path.suffix.lower() == ".csv":
        optional = [name for name in OPTIONAL if any(getattr(r, name) is not None for r in rows)]
        names = [*COLUMNS, *optional]
        write_csv(path, names, ([getattr(row, name) for name in names] for row in rows))
        return
    columns = [pa.array([row[i] for row in rows], one.type) for i, one in enumerate(_SCHEMA)]
    header = {"what": spans.what, "system": spans.system, "corpus_id": spans.corpus_id}
    write_table(path, KIND, pa.Table.from_arrays(columns, schema=_SCHEMA), header)


def read_spans(path: Path) -> Spans:
    """Read stretches from a table of ours, or from a .csv, .tsv or .txt (tabs) with its columns.

    Names are composed (NFC). Of a text file, `what` is the file's name without the suffix, and
    columns of other names are ignored.

    Raises:
        InputError: not such a table, a column missing, or as `write_spans`.
    """
    if path.suffix.lower() in _TEXT_SUFFIXES:
        _, lines = read_rows(path, COLUMNS, OPTIONAL, may_be_empty=True)
        rows = (_of_text(line, path) for line in lines)
        return Spans(tuple(rows), what=path.stem)
    table, header, _ = read_table(path, KIND, _SCHEMA, _Header, optional=OPTIONAL)
    columns = (table[name].to_pylist() for name in _SCHEMA.names)
    found = (LabelledSpan(*row) for row in zip(*columns, strict=True))
    rows = (_checked(row, path, f"row {i}") for i, row in enumerate(found, 1))
    return Spans(tuple(rows), header.what, header.system, header.corpus_id)


def in_files(rows: Iterable[LabelledSpan], corpus: Corpus) -> list[LabelledSpan]:
    """Stretches of utterances with their times in the sound files, where these are longer.

    Args:
        rows: whose recordings are utterances of the corpus.
    """
    return [
        row._replace(
            audio=utterance.audio,
            audio_start_s=round(utterance.start + row.start_s, _DIGITS),
            audio_end_s=round(utterance.start + row.end_s, _DIGITS),
        )
        if (utterance := corpus.by_id[row.recording]).start is not None
        else row
        for row in rows
    ]


def clock(seconds: float) -> str:
    """A time in a recording as players show it: 4:07.25, 1:02:03.50."""
    minutes, rest = divmod(round(100 * seconds), 6000)
    clocked = f"{minutes % 60}:{rest / 100:05.2f}"
    return clocked if minutes < 60 else f"{minutes // 60}:{clocked:0>8}"


def by_recording(rows: Iterable[LabelledSpan]) -> dict[str, list[LabelledSpan]]:
    """The stretches of each recording, in the order of time."""
    found: dict[str, list[LabelledSpan]] = {}
    for row in sorted(rows, key=lambda row: (row.start_s, row.end_s)):
        found.setdefault(row.recording, []).append(row)
    return found


def by_label(rows: Iterable[LabelledSpan]) -> dict[str, list[LabelledSpan]]:
    """The stretches of each label, all in their order."""
    found: dict[str, list[LabelledSpan]] = {}
    for row in rows:
        found.setdefault(row.label, []).append(row)
    return found


def _of_text(line: Row, path: Path) -> LabelledSpan:
    values, where = line.values, f"line {line.line}"
    missing = [name for name in COLUMNS if name != "label" and name not in values]
    if missing:
        raise InputError(f"{where}: {missing[0]!r} is empty", path=path, remedy="fill it in")
    return _checked(
        LabelledSpan(
            plain(values["recording"]),
            _number(values["start_s"], "start_s", where, path),
            _number(values["end_s"], "end_s", where, path),
            plain(values.get("label", "")),
            _number(values["score"], "score", where, path) if "score" in values else None,
            plain(values["speaker"]) if "speaker" in values else None,
            plain(values["audio"]) if "audio" in values else None,
            *(
                _number(values[name], name, where, path) if name in values else None
                for name in ("audio_start_s", "audio_end_s")
            ),
        ),
        path,
        where,
    )


def _number(text: str, column: str, where: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"{where}: {column} {text!r} is not a number",
            path=path,
            remedy="write seconds with a point: 12.5",
        ) from None


def _checked(row: LabelledSpan, path: Path, where: str) -> LabelledSpan:
    """The row with its names composed."""
    try:
        name = utterance_id(row.recording)
    except InputError as error:
        raise InputError(
            f"{where}: {error.found}", path=path, cause=error.cause, remedy=error.remedy
        ) from error
    if not (math.isfinite(row.end_s) and 0 <= row.start_s < row.end_s):
        raise InputError(
            f"{where}: from {row.start_s:g} to {row.end_s:g} s of {name!r}",
            path=path,
            cause="start and end are swapped, or a time is negative or missing",
            remedy="a stretch begins at 0 s or later and ends after that",
        )
    if row.score is not None and not math.isfinite(row.score):
        raise InputError(
            f"{where}: a score of {row.score}",
            path=path,
            remedy="leave the score empty where there is none",
        )
    for at_s in (row.audio_start_s, row.audio_end_s):
        if at_s is not None and not (math.isfinite(at_s) and at_s >= 0):
            raise InputError(
                f"{where}: a time of {at_s:g} s in its sound file",
                path=path,
                remedy="leave audio_start_s and audio_end_s out where they are not known",
            )
    for text in (row.label, row.speaker or "", row.audio or ""):
        if not text.isprintable() and _has_controls(text):
            raise InputError(
                f"{where}: {text!r} holds control characters", path=path, remedy="remove them"
            )
    speaker = None if row.speaker is None else composed(row.speaker)
    return row._replace(recording=name, label=composed(row.label), speaker=speaker)


def _has_controls(text: str) -> bool:
    """Whether it holds what no text file or XML can: control characters, halves of characters."""
    return any(
        (c < " " and c not in "\n\t") or "\x7f" <= c < "\xa0" or "\ud800" <= c <= "\udfff"
        for c in text
    )


def _describe(spans: Spans) -> Description:
    counts = Counter(row.label for row in spans.rows)
    most = counts.most_common(_MOST_FREQUENT)
    scores = [row.score for row in spans.rows if row.score is not None]
    shown = [
        [
            row.recording,
            f"{row.start_s:.3f}",
            f"{row.end_s:.3f}",
            row.label,
            "" if row.score is None else f"{row.score:.3g}",
            row.speaker or "",
            row.audio or "",
            "" if row.audio_start_s is None else f"{row.audio_start_s:.3f}",
            "" if row.audio_end_s is None else f"{row.audio_end_s:.3f}",
        ]
        for row in spans.rows[:FIRST]
    ]
    return Description(
        spans.what,
        {
            "spans": f"{counted(len(spans.rows), 'span')} of {counted(len(counts), 'label')}",
            "recordings": str(len({row.recording for row in spans.rows})),
            "seconds": f"{sum(row.end_s - row.start_s for row in spans.rows):.1f}",
            "scores": f"{min(scores):.3g} … {max(scores):.3g}" if scores else "",
            "most frequent": ", ".join(f"{name} {n}" for name, n in most),
            "system": spans.system,
            "corpus": short(spans.corpus_id),
        },
        (Table("first spans", [*COLUMNS, *OPTIONAL], shown),),
    )


FILE_KIND: FileKind[Spans] = FileKind(KIND, SPANS_FILE, read_spans, _describe)
