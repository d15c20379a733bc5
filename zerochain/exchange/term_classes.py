"""ZeroSpeech's files for term discovery: classes of spans, and lines of gold phones or words.

    Class 1 optional name            buckeye_s01 0.0000 0.1200 SIL
    s0107a 12.30 12.81               buckeye_s01 0.1200 0.2100 dh
    s2001b 3.05 3.48

    Class 2 …

A class ends with an empty line. Times are seconds. Fields are separated by spaces, so names can't
hold any.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from zerochain.errors import InputError, counted, listed
from zerochain.exchange.alignment_files import read_of_many, time
from zerochain.formats.atomic import atomic_file
from zerochain.formats.corpus import CorpusWarning
from zerochain.formats.identity import composed, utterance_id
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.spans import LabelledSpan, Spans, by_label, read_spans
from zerochain.formats.text_files import fields_of, lines_of, read_text

TABLES = {".parquet", ".csv", ".tsv"}
"""Suffixes of tables of spans; other files are of the challenge's formats."""
_CLASS = "Class"


def read_terms(path: Path) -> Spans:
    """Discovered spans: a table (see `formats.spans`), or a file of classes, by its content.

    Raises:
        InputError: as `read_spans` and `read_classes`.
    """
    if path.is_file() and path.suffix.lower() not in TABLES:
        with path.open("rb") as stream:
            if stream.read(len(_CLASS) + 3).removeprefix(b"\xef\xbb\xbf").startswith(b"Class"):
                return read_classes(path)
    return read_spans(path)


def read_classes(path: Path) -> Spans:
    """Classes of spans; a class without a name is called by its number. Empty classes are dropped.

    Raises:
        InputError: a line of another form, a span outside of any class or that ends before it
            starts, two classes of one number or name, or no span.
    """
    rows: list[LabelledSpan] = []
    label: str | None = None
    seen: dict[str, int] = {}
    for i, line in enumerate(lines_of(read_text(path)), 1):
        fields = fields_of(line)
        if not fields:
            label = None
        elif fields[0] == _CLASS and len(fields) > 1:
            label = _label(fields, seen, i, path)
        elif len(fields) != 3 or label is None:
            raise InputError(
                f"line {i}: {line!r}",
                path=path,
                cause="a span belongs to a class, and an empty line ends one",
                remedy="write 'Class NUMBER', then lines 'name start end' in seconds",
            )
        else:
            start_s, end_s = time(fields[1], i, path), time(fields[2], i, path)
            if not 0 <= start_s < end_s:
                raise InputError(f"line {i}: from {start_s:g} to {end_s:g} s", path=path)
            rows.append(LabelledSpan(utterance_id(fields[0]), start_s, end_s, label))
    if not rows:
        raise InputError("holds no span", path=path, cause="nothing was discovered")
    return Spans(tuple(rows), what="clusters", system=path.stem)


def _label(fields: list[str], seen: dict[str, int], line: int, path: Path) -> str:
    number, label = fields[1], composed(" ".join(fields[2:]) or fields[1])
    for key in {f"{_CLASS} {number}", label}:
        if seen.setdefault(key, line) != line:
            raise InputError(
                f"lines {seen[key]} and {line} begin a class {key!r}",
                path=path,
                remedy="give every class a number and a name of its own",
            )
    return label


def write_classes(path: Path, spans: Spans) -> None:
    """Write spans as classes, one for each label in the order of their first span, atomically.

    Raises:
        InputError: a recording whose name holds a space.
    """
    spaced = sorted({row.recording for row in spans.rows if len(row.recording.split()) != 1})
    if spaced:
        raise InputError(
            f"the format can't hold names with spaces: {listed(spaced)}",
            remedy="write a table (.parquet or .csv), or rename the recordings",
        )
    with (
        atomic_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as out,
    ):
        for i, (label, rows) in enumerate(by_label(spans.rows).items()):
            out.write(f"{_CLASS} {i} {' '.join(label.split())}".rstrip() + "\n")
            out.writelines(f"{row.recording} {row.start_s:.6f} {row.end_s:.6f}\n" for row in rows)
            out.write("\n")


def read_gold(path: Path) -> Phones:
    """Lines `name onset offset label` of many recordings, as the challenge's .phn and .wrd.

    Labels without length, as aligners leave them, are left out, with a warning.

    Raises:
        InputError: a line of another form, or that ends before it starts; no line with a length.
    """
    by_id: dict[str, list[Phone]] = {}
    n_empty = 0
    for name, intervals in read_of_many(path).items():
        for place, onset, offset, label in intervals:
            if onset == offset:
                n_empty += 1
                continue
            if not onset < offset:
                raise InputError(f"{place}: from {onset:g} to {offset:g} s", path=path)
            by_id.setdefault(name, []).append(Phone(onset, offset, composed(label)))
    if not by_id:
        raise InputError("holds no label with a length", path=path)
    if n_empty:
        found = f"{path}: {counted(n_empty, 'label')} without length left out"
        warnings.warn(found, CorpusWarning, stacklevel=3)
    return Phones(by_id, source=str(path))
