"""Units, segments, hits and clusters as tiers of ELAN files: new ones, or copies of the user's own.

An ELAN file is of a recording, which may hold many utterances and speakers; each speaker gets a
tier. A copy has the user's text with tiers put into it (`elan_edit`).
"""

from __future__ import annotations

import math
import mimetypes
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import quoteattr

from zerochain.corpora.annotated import Recordings
from zerochain.corpora.sounds import search, stem
from zerochain.errors import InputError
from zerochain.exchange.elan import SUFFIX, ElanFile, elan_of, read_elan
from zerochain.exchange.elan_edit import NewTier, Row, with_tiers
from zerochain.exchange.recording_tiers import Key, apart, by_speaker, gathered, root_of
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus
from zerochain.formats.headers import write_json
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
    found = gathered(corpus, units=units, spans=spans, segments=segments, split=split)
    whole = found.corpus
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


def _tiers(
    found: Mapping[Key, Sequence[tuple[float, float, str]]], origin_ms: int, result: Exported
) -> list[NewTier]:
    """The tiers of one recording, on the clock of its ELAN file."""
    tiers: list[NewTier] = []
    for named, (_, kind, speaker), stretches in by_speaker(found):
        rows = []
        for begin_s, end_s, label in stretches:
            begin = math.floor(begin_s * 1000 + 0.5) - origin_ms
            end = max(math.floor(end_s * 1000 + 0.5) - origin_ms, begin + 1)
            if end <= 0:
                result.n_outside += 1
            else:
                rows.append(Row(max(begin, 0), end, label))
        for i, part in enumerate(apart(rows), 1):
            tiers.append(NewTier(named if i == 1 else f"{named} {i}", kind, part, speaker))
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
    known = Recordings(root_of(corpus), dict.fromkeys(u.audio for u in corpus.utterances))
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


def _below(path: Path, keep: Path | None) -> str:
    assert keep is not None
    return path.relative_to(keep).as_posix() if keep.is_dir() else path.name


def _new(corpus: Corpus, recording: str, path: Path) -> ElanFile:
    """An ELAN file without tiers, linked with a recording as ELAN links it."""
    media = Path(os.path.normpath((root_of(corpus) / recording).absolute()))
    relative = Path(os.path.relpath(media, path.absolute().parent)).as_posix()
    mime = "audio/x-wav" if media.suffix.lower() == ".wav" else mimetypes.guess_type(media.name)[0]
    text = _SKELETON.format(
        date=quoteattr(datetime.now().astimezone().isoformat(timespec="seconds")),
        url=quoteattr(f"file://{media.as_posix()}"),
        mime=quoteattr(mime or "unknown"),
        relative=quoteattr(relative if relative.startswith(".") else f"./{relative}"),
    )
    return elan_of(text.encode(), path)
