"""Units, segments, hits and clusters as tiers of ELAN files: new ones, or copies of the user's own.

An ELAN file is of a recording, which may hold many utterances and speakers; each speaker gets a
tier. A copy has the user's text with tiers put into it (`elan_edit`).
"""

from __future__ import annotations

import math
import mimetypes
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from zerochain.corpora.annotated import Recordings
from zerochain.corpora.sounds import search, stem
from zerochain.errors import InputError
from zerochain.exchange.elan import SUFFIX, ElanFile, elan_of, read_elan
from zerochain.exchange.elan_edit import OURS, SEGMENTS, NewTier, Row, with_tiers
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus, CorpusWarning, Utterance, read_corpus
from zerochain.formats.headers import write_json
from zerochain.formats.identity import check_same_ids, composed
from zerochain.formats.spans import Spans, read_spans
from zerochain.formats.units import read_units
from zerochain.progress import track

MARKER = "elan.json"
_BEYOND_S = 0.05
_SKELETON = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE={date} FORMAT="3.0" VERSION="3.0" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
        <MEDIA_DESCRIPTOR MEDIA_URL={url} MIME_TYPE={mime} RELATIVE_MEDIA_URL={relative}/>
    </HEADER>
    <TIME_ORDER/>
    <CONSTRAINT DESCRIPTION="Time subdivision of parent annotation's time interval, no time gaps \
allowed within this interval" STEREOTYPE="Time_Subdivision"/>
    <CONSTRAINT DESCRIPTION="Symbolic subdivision of a parent annotation. Annotations referring to \
the same parent are ordered" STEREOTYPE="Symbolic_Subdivision"/>
    <CONSTRAINT DESCRIPTION="1-1 association with a parent annotation" \
STEREOTYPE="Symbolic_Association"/>
    <CONSTRAINT DESCRIPTION="Time alignable annotations within the parent annotation's time \
interval, gaps are allowed" STEREOTYPE="Included_In"/>
</ANNOTATION_DOCUMENT>
"""


@dataclass
class Exported:
    """What was written."""

    files: list[str] = field(default_factory=list)
    n_copies: int = 0
    """Of the user's own files."""
    n_annotations: int = 0
    n_outside: int = 0
    """Annotations before the time at which the user's file begins (TIME_ORIGIN)."""
    left_out: list[str] = field(default_factory=list)
    """The user's files of recordings without annotations."""


def export_elan(
    out: Path,
    corpus: Path,
    *,
    units: Mapping[str, Path] | None = None,
    spans: Mapping[str, Path] | None = None,
    segments: bool = False,
    split: str | None = None,
    keep: Path | None = None,
) -> Exported:
    """Write an ELAN file for every recording of a corpus, with tiers of what was found in it.

    Of units, repeats are merged. Where a recording has several speakers, each has a tier, called
    "units@ana"; where annotations overlap, those that don't fit are on a tier "units 2". Times are
    rounded to milliseconds.

    Args:
        out: a folder, which is replaced if an earlier export made it.
        units, spans: tier → file of units or of labelled stretches.
        segments: whether the utterances, with their texts, are a tier "utterances" as well.
        split: only this split, all of which needs units; stretches of whole recordings are all
            taken.
        keep: a folder of the user's .eaf files, or one of them: recordings that have one get a copy
            of it with these tiers, the others a new file.

    Raises:
        InputError: utterances or recordings that the corpus lacks, units of another length,
            stretches beyond their utterance, nothing to write, or files of the user that can't be
            read, are of the same recording or have tiers of their own with such names.
    """
    whole = read_corpus(corpus)
    chosen = whole if split is None else whole.select(split=split)
    found = _Found(whole)
    if segments:
        for u in chosen.utterances:
            begin = u.start or 0.0
            found.add("utterances", SEGMENTS, u, begin, begin + u.duration, u.text or "")
    for tier, path in (units or {}).items():
        _add_units(found, tier, path, whole, None if split is None else chosen.ids)
    for tier, path in (spans or {}).items():
        _add_spans(found, tier, read_spans(path), path, set(chosen.ids))
    if not found.by_recording:
        raise InputError(
            "there is nothing to write",
            path=corpus,
            remedy="give files of units or spans of this corpus, or its segments",
        )
    result = Exported()
    own = {} if keep is None else _own_files(keep, whole, found.by_recording, result)
    with atomic_folder(out, MARKER) as temporary:
        for recording, rows in track(found.by_recording.items(), "Writing ELAN files"):
            source = own.get(recording)
            if source is None:
                name = f"{stem(recording)}{SUFFIX}"
                file = _new(whole, recording, out / name)
            else:
                name, file = _below(source, keep), read_elan(source)
            tiers = _tiers(rows, file.origin_ms(stem(recording)), result)
            target = temporary / name
            if target.exists():
                raise InputError(f"two recordings would be written to {name}", path=out)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(with_tiers(file, tiers))
            result.files.append(name)
            result.n_copies += source is not None
            result.n_annotations += sum(len(tier.rows) for tier in tiers)
        write_json(temporary / MARKER, "elan", {"corpus": whole.id})
    return result


Key = tuple[str, str, str]
"""A tier's name, its linguistic type, its speaker."""


class _Found:
    """Annotations by recording and tier, in seconds of the recording."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.by_recording: dict[str, dict[Key, list[tuple[float, float, str]]]] = {}

    def add(
        self, tier: str, kind: str, place: Utterance | str, begin: float, end: float, label: str,
        speaker: str | None = None,
    ) -> None:  # fmt: skip
        """Add one, of an utterance or of a recording's file; its times are the recording's."""
        if isinstance(place, Utterance):
            speaker = speaker or place.speaker
            place = place.audio
        tiers = self.by_recording.setdefault(place, {})
        tiers.setdefault((tier, kind, speaker or ""), []).append((begin, end, label))


def _add_units(
    found: _Found, tier: str, path: Path, corpus: Corpus, names: Sequence[str] | None
) -> None:
    unit_file = read_units(path)
    if note := unit_file.check_corpus(corpus):
        warnings.warn(f"{path}: {note}", CorpusWarning, stacklevel=4)
    if names is not None:
        check_same_ids(names, unit_file.ids, "split", "unit file")
    for name in unit_file.ids if names is None else names:
        u = corpus.by_id[name]
        units, lasting = unit_file.segments(name)
        times = np.append(0, np.cumsum(lasting)) * unit_file.step_ms / 1000
        begin = u.start or 0.0
        for onset, offset, unit in zip(times[:-1], times[1:], units.tolist(), strict=True):
            # The last step may reach beyond the utterance
            end = begin + min(float(offset), u.duration)
            if begin + onset < end:
                found.add(tier, f"{OURS}units", u, begin + float(onset), end, str(unit))


def _add_spans(found: _Found, tier: str, spans: Spans, path: Path, chosen: set[str]) -> None:
    corpus = found.corpus
    files = {composed(stem(u.audio)): u.audio for u in corpus.utterances}
    names = list(dict.fromkeys(row.recording for row in spans.rows))
    check_same_ids(names, {*corpus.ids, *files}, "spans", f"corpus {corpus.name}")
    kind = OURS + re.sub(r"\s+", "-", spans.what)
    for row in spans.rows:
        u = corpus.by_id.get(row.recording)
        if u is None:
            file = files[row.recording]
            found.add(tier, kind, file, row.start_s, row.end_s, row.label, row.speaker)
            continue
        if row.end_s > u.duration + _BEYOND_S:
            raise InputError(
                f"{row.label!r} ends at {row.end_s:g} s, and the utterance {u.id!r} at "
                f"{u.duration:.3f} s",
                path=path,
                cause="times are the recording's, and the utterance is a part of it",
                remedy="give the recording's name instead of the utterance's id",
            )
        if u.id in chosen:
            begin = u.start or 0.0
            end = begin + min(row.end_s, u.duration)
            if begin + row.start_s < end:
                found.add(tier, kind, u, begin + row.start_s, end, row.label, row.speaker)


def _tiers(
    found: Mapping[Key, Sequence[tuple[float, float, str]]], origin_ms: int, result: Exported
) -> list[NewTier]:
    """The tiers of one recording, on the clock of its ELAN file."""
    speakers = defaultdict(set)
    for name, _, speaker in found:
        speakers[name].add(speaker)
    tiers: list[NewTier] = []
    for (name, kind, speaker), stretches in found.items():
        rows = []
        for begin_s, end_s, label in stretches:
            begin = math.floor(begin_s * 1000 + 0.5) - origin_ms
            end = max(math.floor(end_s * 1000 + 0.5) - origin_ms, begin + 1)
            if end <= 0:
                result.n_outside += 1
            else:
                rows.append(Row(max(begin, 0), end, label))
        named = f"{name}@{speaker}" if len(speakers[name]) > 1 and speaker else name
        for i, part in enumerate(_apart(rows), 1):
            tiers.append(NewTier(named if i == 1 else f"{named} {i}", kind, part, speaker))
    return tiers


def _apart(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows on as few tiers as hold them without overlap, each on the first that has room."""
    tiers: list[list[Row]] = []
    for row in sorted(rows):
        room = next((tier for tier in tiers if tier[-1].end_ms <= row.begin_ms), None)
        if room is None:
            tiers.append([row])
        else:
            room.append(row)
    return tiers


def _own_files(
    keep: Path, corpus: Corpus, recordings: Iterable[str], result: Exported
) -> dict[str, Path]:
    """Recording → the user's file of it."""
    if keep.is_dir():
        paths = sorted(keep / file for file in search(keep, {SUFFIX}).files)
        paths = [path for path in paths if path.suffix.lower() == SUFFIX]
    else:
        paths = [keep]
    if not all(path.is_file() and path.suffix.lower() == SUFFIX for path in paths) or not paths:
        raise InputError(
            "holds no .eaf file" if keep.is_dir() else "is not an .eaf file",
            path=keep,
            remedy="give ELAN files of the corpus's recordings",
        )
    known = Recordings(_root(corpus), dict.fromkeys(u.audio for u in corpus.utterances))
    wanted, own = set(recordings), dict[str, Path]()
    for path in paths:
        file = read_elan(path)
        try:
            recording = known.of(_below(path, keep), path, file.media)
        except InputError as error:
            if len(paths) == 1:
                raise InputError(
                    error.found, path=path, cause=error.cause, remedy=error.remedy
                ) from error
            result.left_out.append(str(path))
            continue
        if recording not in wanted:
            result.left_out.append(str(path))
        elif own.setdefault(recording, path) != path:
            raise InputError(
                f"{path.name} and {own[recording].name} are both of {recording}",
                path=keep,
                remedy="give one of them: keep=FILE.eaf",
            )
    return own


def _root(corpus: Corpus) -> Path:
    """The folder of a corpus's recordings."""
    return corpus.home / corpus.audio_root  # which is absolute, or below the corpus


def _below(path: Path, keep: Path | None) -> str:
    assert keep is not None
    return path.relative_to(keep).as_posix() if keep.is_dir() else path.name


def _new(corpus: Corpus, recording: str, path: Path) -> ElanFile:
    """An ELAN file without tiers, linked with a recording as ELAN links it."""
    media = Path(os.path.normpath((_root(corpus) / recording).absolute()))
    relative = Path(os.path.relpath(media, path.absolute().parent)).as_posix()
    mime = "audio/x-wav" if media.suffix.lower() == ".wav" else mimetypes.guess_type(media.name)[0]
    text = _SKELETON.format(
        date=quoteattr(datetime.now().astimezone().isoformat(timespec="seconds")),
        url=quoteattr(f"file://{media.as_posix()}"),
        mime=quoteattr(mime or "unknown"),
        relative=quoteattr(relative if relative.startswith(".") else f"./{relative}"),
    )
    return elan_of(text.encode(), path)
