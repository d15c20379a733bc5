"""Units, and other labelled stretches, as tiers of Praat TextGrids beside the gold phones."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from zerochain import audio
from zerochain.corpora.annotated import Recordings
from zerochain.corpora.sounds import search, stem, suffix
from zerochain.errors import InputError
from zerochain.exchange.recording_tiers import apart, by_speaker, gathered, root_of
from zerochain.exchange.textgrid import (
    UTTERANCES,
    WITHOUT_TEXT,
    Segment,
    Tier,
    read_textgrid,
    textgrid_text,
)
from zerochain.formats.atomic import atomic_folder
from zerochain.formats.corpus import Corpus, CorpusWarning, read_corpus
from zerochain.formats.headers import write_json
from zerochain.formats.identity import check_same_ids
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.spans import Spans, by_recording
from zerochain.formats.units import UnitFile, read_units
from zerochain.progress import track

MARKER = "textgrids.json"
PHONES = "phones"
"""The tier of gold phones."""


def export_textgrids(
    units: Path | Mapping[str, Path],
    corpus: Path,
    out: Path,
    *,
    split: str | None = None,
    keep: Path | None = None,
) -> tuple[int, int]:
    """Write `out`/<id>.TextGrid for every utterance, with tiers of units and "phones".

    Repeated units are merged. An utterance without gold phones has no tier "phones".

    Args:
        units: a unit file, whose tier is "units"; or tier → unit file, of several systems.
        split: only this split, all of which needs units; None: all utterances with units of every
            system.
        keep: a folder of TextGrids of the utterances, <id>.TextGrid, whose tiers come first; those
            that have the name of a tier that is written are replaced.

    Returns:
        How many were written, and how many of them have phones.

    Raises:
        InputError: units that the corpus lacks or that are longer or shorter than its recordings,
            a split without units, a tier that would have the name of another, TextGrids of other
            lengths than their utterances, or `out` is a folder that zerochain didn't make.
    """
    paths = {"units": units} if isinstance(units, Path) else units
    whole = read_corpus(corpus)
    durations = {u.id: u.duration for u in whole.utterances}
    systems = {tier: read_units(path) for tier, path in paths.items()}
    for tier, unit_file in systems.items():
        if note := unit_file.check_corpus(whole):
            warnings.warn(f"{paths[tier]}: {note}", CorpusWarning, stacklevel=2)
    if split is None:
        shared = set.intersection(*(set(one.ids) for one in systems.values()))
        names = [name for name in next(iter(systems.values())).ids if name in shared]
    else:
        names = whole.select(split=split).ids
        for unit_file in systems.values():
            check_same_ids(names, unit_file.ids, f"split {split!r}", "unit file")
    phones = _phones(whole)
    if keep is not None and not any((keep / f"{name}.TextGrid").is_file() for name in names):
        raise InputError(
            f"holds no TextGrid that is called like an utterance: {names[0]}.TextGrid",
            path=keep,
            cause="they are of whole recordings, or in other folders",
            remedy="write one for each recording (export_recordings, --recordings), or no keep=",
        )
    with atomic_folder(out, MARKER) as temporary:
        for name in track(names, "Writing TextGrids"):
            tiers = {tier: _unit_segments(one, name) for tier, one in systems.items()}
            if name in phones.by_id:
                if PHONES in tiers:
                    raise _two_tiers(PHONES, out)
                tiers[PHONES] = [(p.onset, p.offset, p.phone) for p in phones.by_id[name]]
            kept = () if keep is None else _kept(keep / f"{name}.TextGrid", durations[name])
            file = temporary / f"{name}.TextGrid"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textgrid_text(durations[name], tiers, kept), encoding="utf-8")
        inputs = {
            "units": {tier: unit_file.id for tier, unit_file in systems.items()},
            "corpus": whole.id,
        }
        write_json(temporary / MARKER, "textgrids", inputs)
    return len(names), sum(name in phones.by_id for name in names)


def export_recordings(
    out: Path,
    corpus: Path,
    *,
    units: Mapping[str, Path] | None = None,
    spans: Mapping[str, Path] | None = None,
    segments: bool = False,
    split: str | None = None,
    keep: Path | None = None,
) -> tuple[int, int]:
    """Write a TextGrid for every recording of a corpus, with tiers of what was found in it.

    Times are the recording's. Where it has several speakers, each has a tier, called "units@ana";
    where stretches overlap, those that don't fit are on a tier "units 2". Tiers of utterances are
    always named after their speaker, if that is known: a TextGrid has no other place for it. Gold
    phones are a tier "phones".

    Args:
        out: a folder, which is replaced if an earlier export made it.
        units, spans: tier → file of units or of labelled stretches.
        segments: whether the utterances are a tier "utterances@ana" as well, with their texts or
            else `WITHOUT_TEXT`; `corpora.annotated` reads both.
        split: only this split; stretches of whole recordings are all taken.
        keep: a folder of TextGrids of the recordings, called like these, whose tiers come first;
            those that have the name of a tier that is written are replaced.

    Returns:
        How many were written, and how many of them have tiers of the user.

    Raises:
        InputError: what `recording_tiers.gathered` raises, a recording that can't be read, two
            tiers of one name, or TextGrids of other lengths, of no recording, or two of the same.
    """
    found = gathered(
        corpus,
        units=units,
        spans=spans,
        segments=segments,
        split=split,
        without_text=WITHOUT_TEXT,
    )
    whole, root = found.corpus, root_of(found.corpus)
    for name, line in _phones(whole).by_id.items():
        u = whole.by_id[name]
        begin = u.start or 0.0
        for phone in line if u.audio in found.by_recording else ():
            found.add(PHONES, "", u, begin + phone.onset, begin + phone.offset, phone.phone)
    own = {} if keep is None else _own_grids(keep, root, found.by_recording)
    with atomic_folder(out, MARKER) as temporary:
        for recording, rows in track(found.by_recording.items(), "Writing TextGrids"):
            duration_s = audio.info(root / recording).duration_s
            tiers: dict[str, list[Segment]] = {}
            for name, _, stretches in by_speaker(rows, always=UTTERANCES):
                # To a microsecond, as they are written: in binary, an utterance that ends where the
                # next one begins may end 1e-16 s later, and would be on a tier of its own.
                # An interval without a label is a gap to Praat, so it gets the tier's name.
                exact = [
                    (round(begin, 6), round(end, 6), label or name)
                    for begin, end, label in stretches
                ]
                for i, part in enumerate(apart(exact), 1):
                    tier = name if i == 1 else f"{name} {i}"
                    if tier in tiers:
                        raise _two_tiers(tier, out)
                    tiers[tier] = part
            kept = _kept(own[recording], duration_s, "recording") if recording in own else ()
            file = temporary / f"{stem(recording)}.TextGrid"
            if file.exists():
                raise InputError(f"two recordings would be written to {file.name}", path=out)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textgrid_text(duration_s, tiers, kept), encoding="utf-8")
        write_json(temporary / MARKER, "textgrids", {"corpus": whole.id})
    return len(found.by_recording), len(own)


def _own_grids(keep: Path, root: Path, recordings: Iterable[str]) -> dict[str, Path]:
    """Recording → the user's TextGrid of it; one that is of no recording is an error."""
    known = Recordings(root, recordings)
    own: dict[str, Path] = {}
    found = search(keep, {".textgrid"})
    files = (file for file in (*found.files, *found.links) if suffix(file) == ".textgrid")
    for path in sorted(keep / file for file in files):
        try:
            recording = known.of(path.relative_to(keep).as_posix(), path, ())
        except InputError as error:
            raise InputError(
                error.found, path=path, cause=error.cause, remedy=error.remedy
            ) from error
        if own.setdefault(recording, path) != path:
            raise InputError(
                f"{path.name} and {own[recording].name} are both of {recording}",
                path=keep,
                remedy="leave one of them in the folder",
            )
    if not own:
        raise InputError(
            "holds no .TextGrid file", path=keep, remedy="give TextGrids of the recordings"
        )
    return own


def _two_tiers(name: str, out: Path) -> InputError:
    return InputError(
        f"two tiers would be called {name!r}",
        path=out,
        cause='gold phones are a tier "phones"'
        if name.startswith(PHONES)
        else "stretches that overlap, or are of several speakers, are on tiers that are numbered, "
        "or called after the speakers",
        remedy="rename the file that the tier is named after",
    )


def _phones(corpus: Corpus) -> Phones:
    path = corpus.home / PHONES_FILE
    return read_phones(path) if path.is_file() else Phones({})


def export_spans(spans: Spans, durations_s: Mapping[str, float], out: Path) -> int:
    """Write `out`/<id>.TextGrid for every recording that has spans, a tier per label.

    A span that overlaps an earlier one of its label is in another tier, "LABEL (2)".

    Args:
        durations_s: of the recordings.

    Returns:
        How many were written.

    Raises:
        InputError: spans of a recording whose duration is unknown, or `out` is a folder that
            zerochain didn't make.
    """
    found = by_recording(spans.rows)
    check_same_ids(list(found), durations_s, "spans", "recordings")
    with atomic_folder(out, MARKER) as temporary:
        for name, rows in found.items():
            tiers: dict[str, list[Segment]] = {}
            for row in rows:
                tier, number = row.label, 1
                while tier in tiers and tiers[tier][-1][1] > row.start_s:
                    number += 1
                    tier = f"{row.label} ({number})"
                tiers.setdefault(tier, []).append((row.start_s, row.end_s, row.label))
            file = temporary / f"{name}.TextGrid"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textgrid_text(durations_s[name], tiers), encoding="utf-8")
        write_json(temporary / MARKER, "textgrids", {"spans": spans.system})
    return len(found)


_SAME_S = 0.1


def _kept(path: Path, duration_s: float, whole: str = "utterance") -> tuple[Tier, ...]:
    """The tiers of a user's TextGrid of one utterance or recording; none without such a file."""
    if not path.is_file():
        return ()
    grid = read_textgrid(path)
    if grid.start_s != 0:
        raise InputError(
            f"begins at {grid.start_s:g} s",
            path=path,
            cause="it was cut out of a longer one with its times preserved",
            remedy="shift its times to begin at 0 (in Praat: Modify times), or leave keep= out",
        )
    if abs(grid.end_s - duration_s) > _SAME_S:
        is_part = whole == "utterance"
        raise InputError(
            f"lasts {grid.end_s:.2f} s, and its {whole} {duration_s:.2f} s",
            path=path,
            cause="it is of a whole recording, of which the utterance is a part"
            if is_part
            else "it is of another recording of that name, or of a part of it",
            remedy=f"give TextGrids of the {whole}s, or leave keep= out",
        )
    return grid.tiers


def _unit_segments(unit_file: UnitFile, name: str) -> list[Segment]:
    units, lasting = unit_file.segments(name)
    times = np.append(0, np.cumsum(lasting)) * unit_file.step_ms / 1000
    return [
        (float(onset), float(offset), str(unit))
        for onset, offset, unit in zip(times[:-1], times[1:], units.tolist(), strict=True)
    ]
