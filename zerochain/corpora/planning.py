"""Which utterances an import is of: all files of a folder, rows of a table, or annotations.

A plan has ids from paths, and of a table or annotations also times, speakers and texts; nothing is
decoded yet. Whatever is known to be unusable is kept with its reason.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from zerochain.corpora.annotated import annotated
from zerochain.corpora.build import UNKNOWN
from zerochain.corpora.sounds import (
    UNREAD,
    Bad,
    Sounds,
    channel_of,
    conversion,
    part_id,
    reason,
    sound_files,
    stem,
    suffix,
)
from zerochain.errors import InputError, counted, listed, printable
from zerochain.formats.corpus import Utterance
from zerochain.formats.identity import composed, utterance_id
from zerochain.formats.text_files import Row, read_rows

_COLUMNS = {
    "file", "id", "speaker", "start", "end", "channel", "split", "text", "seconds", "duration",
}  # fmt: skip

_OTHER_NAMES = {
    "file": ("path", "filename", "file_name", "audio", "audio_filepath", "wav"),
    "speaker": ("client_id", "speaker_id", "spk"),
    "text": ("sentence", "transcript", "transcription"),
    "start": ("begin", "onset", "start_s", "start_time", "begin_time", "tmin", "xmin"),
    "end": ("stop", "end_s", "end_time", "stop_time", "tmax", "xmax"),
}
"""What other programs call these columns: Common Voice, Hugging Face's folders, Praat, …"""
_START_WORDS = {"start", "begin", "onset", "offset", "tmin", "xmin"}
_END_WORDS = {"end", "stop", "offset", "tmax", "xmax", "duration", "dur", "length"}
"""First words of columns that may hold such a time, in whichever unit ("start_ms")."""


@dataclass(frozen=True)
class Plan:
    """The utterances to import, what is already known to be unusable, and what to record."""

    utterances: tuple[Utterance, ...]
    bad: tuple[Bad, ...]
    unlisted: frozenset[str]
    record: dict[str, Any]


def plan_folder(recordings: Path, *, skip_bad: bool = False) -> Plan:
    """Every sound file of a folder and its subfolders, in the order of their paths.

    Args:
        skip_bad: files that would share an id are unusable, all of them, instead of an error.

    Raises:
        InputError: no such folder, no sound file, or files that would share an id.
    """
    sounds = sound_files(recordings)
    utterances, bad = [], list(sounds.bad)
    for file in sounds.files:
        try:
            utterances.append(Utterance(utterance_id(stem(file)), file, UNKNOWN))
        except InputError as error:
            bad.append(Bad(printable(file), f"{error.found}: {_odd(file)}"))
    why = "two files differ only in their suffix, or in how Unicode writes a letter"
    kept, clashes = with_own_ids(utterances, recordings, why, skip_bad=skip_bad)
    return Plan(kept, (*bad, *clashes), frozenset(), sounds.record)


def plan_table(
    recordings: Path, table: Path, *, with_speakers: bool = True, skip_bad: bool = False
) -> Plan:
    """The utterances that a table lists.

    A file's name is found in whichever of Unicode's forms the disk has it. Where a column isn't
    there, the only one that other programs call so is taken ("path", "sentence").

    Args:
        with_speakers: whether a column of another name may hold the speakers.
        skip_bad: rows whose path leaves the folder, or that would share an id, are unusable
            instead of an error.

    Raises:
        InputError: an unreadable table, times in columns that aren't read, paths that leave the
            folder, or duplicate ids.
    """
    optional = (*_COLUMNS, "offset", *itertools.chain(*_OTHER_NAMES.values()))
    columns, rows = read_rows(table, required=(), optional=optional)
    renamed = _renamed(columns)
    if not with_speakers:
        renamed = {name: meant for name, meant in renamed.items() if meant != "speaker"}
    if "file" not in (*columns, *renamed.values()):
        read_rows(table, required=["file"])  # raises
    rows = [
        replace(row, values={renamed.get(name, name): one for name, one in row.values.items()})
        for row in rows
    ]
    ignored = {name for name in columns if name not in renamed} - _COLUMNS
    _check_times(ignored, {*columns, *renamed.values()}, table)
    sounds = sound_files(recordings)
    outside = [file for row in rows if _leaves(file := row.values.get("file", ""))]
    if outside and not skip_bad:
        raise InputError(
            f"paths out of the recordings' folder: {listed(outside)}",
            path=table,
            remedy="write paths relative to the recordings' folder",
        )
    names = _Names(sounds, recordings)
    planned = [_planned(row, names) for row in rows]
    utterances = [item for item in planned if isinstance(item, Utterance)]
    why = "the file is listed twice without an id or start and end"
    kept, clashes = with_own_ids(utterances, table, why, skip_bad=skip_bad)
    unlisted = sorted(set(sounds.files) - names.asked)
    record = {
        **sounds.record,
        "table": str(table),
        "ignored_columns": sorted(ignored),
        "renamed_columns": renamed,
        "unlisted": len(unlisted),
    }
    bad = [item for item in planned if isinstance(item, Bad)]
    return Plan(kept, (*bad, *clashes), frozenset(map(stem, unlisted)), record)


def _renamed(columns: Collection[str]) -> dict[str, str]:
    """Columns of other names → what they are called here."""
    renamed = {}
    for name, others in _OTHER_NAMES.items():
        found = [one for one in others if one in columns]
        if len(found) == 1 and name not in columns:
            renamed[found[0]] = name
    there = {*columns, *renamed.values()}
    if "offset" in columns and "start" in there and there.isdisjoint({"end", "duration"}):
        renamed["offset"] = "end"
    elif "offset" in columns and "duration" in columns and there.isdisjoint({"start", "end"}):
        renamed["offset"] = "start"
    return renamed


def _check_times(ignored: Set[str], known: Set[str], table: Path) -> None:
    """Raise InputError where times would be ignored, and utterances be longer than they are."""
    if "start" not in known:
        words = _START_WORDS
    elif known.isdisjoint({"end", "duration", "seconds"}):
        words = _END_WORDS
    else:
        return
    if found := sorted(repr(one) for one in ignored if _first_word(one) in words):
        them, so = ("them", "columns") if len(found) > 1 else ("it", "a column")
        raise InputError(
            f"has times, it seems, in {so} that would be ignored: {listed(found)}",
            path=table,
            cause="utterances are cut by the columns 'start' and 'end', or 'start' and 'duration'",
            remedy=f"give {them} such a name, and times in seconds, or remove {them}",
        )


def _first_word(name: str) -> str:
    """ "start" of "start_ms", "Start [s]" and "startTime"."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return next(iter(re.findall(r"[^\W\d_]+", spaced)), "").lower()


def plan_segments(
    recordings: Path,
    segments: Path,
    *,
    tier: str | None = None,
    text_tier: str | None = None,
    with_speakers: bool = True,
    skip_bad: bool = False,
) -> Plan:
    """The utterances that annotations mark; arguments as `zerochain.corpora.annotated.annotated`.

    Args:
        skip_bad: annotations of the same times and speaker are unusable instead of an error.

    Raises:
        InputError: no annotations, several files of them for one recording, or equal annotations.
    """
    sounds = sound_files(recordings)
    found = annotated(
        recordings,
        sounds.files,
        segments,
        tier=tier,
        text_tier=text_tier,
        with_speakers=with_speakers,
    )
    why = "an annotation is there twice, on tiers of one speaker"
    kept, clashes = with_own_ids(found.utterances, segments, why, skip_bad=skip_bad)
    unlisted = sorted(set(sounds.files) - found.used)
    record = {
        **sounds.record,
        "segments": str(segments),
        "unannotated": len(unlisted),
        "unannotated_files": unlisted,
        "notes": found.notes,
    }
    bad = (*sounds.bad, *found.bad, *clashes)
    return Plan(kept, bad, frozenset(map(stem, unlisted)), record)


def with_own_ids(
    utterances: Iterable[Utterance], path: Path, cause: str, *, skip_bad: bool
) -> tuple[tuple[Utterance, ...], list[Bad]]:
    """The utterances whose id no other has; with `skip_bad` the others are returned as unusable.

    Raises:
        InputError: ids that are given twice, unless `skip_bad`.
    """
    by_id: dict[str, list[Utterance]] = defaultdict(list)
    for u in utterances:
        by_id[u.id].append(u)
    clashes = [group for group in by_id.values() if len(group) > 1]
    if clashes and not skip_bad:
        names = [
            f"{printable(group[0].id)} ("
            + " and ".join(dict.fromkeys(printable(u.audio) for u in group))
            + ")"
            for group in clashes
        ]
        raise InputError(
            f"{counted(len(clashes), 'id')} would be given twice: {listed(names, 5)}",
            path=path,
            cause=cause,
            remedy="rename or remove one of each, or give your own ids in a table=",
        )
    bad = [
        Bad(u.audio, f"{len(group)} utterances would have the id {u.id!r}: {cause}", u.id)
        for group in clashes
        for u in group
    ]
    return tuple(group[0] for group in by_id.values() if len(group) == 1), bad


class _Names:
    """Files' names as the disk has them, by their names in Unicode's composed form."""

    def __init__(self, sounds: Sounds, root: Path) -> None:
        self._root, self._there = root, set(sounds.files)
        self._unreachable = {bad.file: bad.reason for bad in sounds.bad}
        self._by_form: dict[str, list[str]] = defaultdict(list)
        self._by_loose: dict[str, set[str]] = defaultdict(set)
        for file in sounds.files:
            self._by_form[composed(file)].append(file)
            for part in (file, PurePosixPath(file).name):
                self._by_loose[_loose(part)].add(file)
        self.asked: set[str] = set()

    def find(self, name: str) -> str:
        """The file of this name, or the name itself where there is none.

        Raises:
            InputError: several files have this name in different Unicode forms; there is none of it
                but one much like it; it is a broken link, or of a format that isn't read.
        """
        plain = PurePosixPath(name).as_posix()
        if plain in self._unreachable:
            raise InputError(self._unreachable[plain])
        if suffix(plain) in UNREAD:
            raise InputError(f"{suffix(plain)} files aren't read: {conversion(plain)} converts it")
        forms = [plain] if plain in self._there else self._by_form.get(composed(plain), [plain])
        if len(forms) > 1:
            written = " and ".join(ascii(form) for form in forms)
            raise InputError(
                f"{len(forms)} files have this name in different Unicode forms: {written}"
            )
        is_there = forms[0] in self._there or os.path.exists(self._root / plain)  # noqa: PTH110
        if not is_there and (alike := self._alike(plain)):
            raise InputError(f"no such file; is {alike!r} meant?")
        self.asked.add(forms[0])
        return forms[0]

    def _alike(self, name: str) -> str | None:
        """The only file whose name differs in case, its suffix or the folders before it."""
        parts = name.split("/")
        ends = ("/".join(parts[begin:]) for begin in range(len(parts)))
        found = next(filter(None, (self._by_loose.get(_loose(end)) for end in ends)), set())
        return next(iter(found)) if len(found) == 1 else None


def _loose(name: str) -> str:
    """A file's name without its suffix and the case of its letters."""
    return composed(stem(name)).casefold()


def _planned(row: Row, names: _Names) -> Utterance | Bad:
    get = row.values.get
    file = get("file")
    if file is None:
        return Bad(f"line {row.line}", "the column 'file' is empty", get("id", ""))
    if _leaves(file):
        return Bad(file, f"line {row.line}: the path leaves the recordings' folder", get("id", ""))
    try:
        start, end = _seconds(row, "start"), _seconds(row, "end")
        claimed = _seconds(row, "seconds" if "seconds" in row.values else "duration")
        if start is not None and end is None and claimed is not None:
            end = round(start + claimed, 9)
        channel = channel_of(get("channel", "mix"))
        if end is not None and end <= (start or 0.0):
            raise InputError(f"ends at {end} s, before it starts")
        return Utterance(
            id=utterance_id(get("id") or part_id(file, start, end, channel)),
            audio=names.find(file),
            duration=UNKNOWN if claimed is None else claimed,
            speaker=_label(row, "speaker"),
            start=start,
            end=end,
            channel=channel,
            split=_label(row, "split"),
            text=get("text"),
        )
    except InputError as error:
        return Bad(file, f"line {row.line}: {reason(error)}", get("id", ""))


_WRITTEN = {
    ",": ("the decimal point is a comma", "have the spreadsheet write numbers with a point"),
    ":": ("it is written as hours, minutes and seconds", "write seconds, such as 61.5 for 1:01.5"),
}
"""By a character that a time in seconds doesn't have: the likely cause and the fix."""


def _seconds(row: Row, column: str) -> float | None:
    text = row.values.get(column)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        cause, remedy = _WRITTEN.get(next((c for c in text if c in _WRITTEN), ""), (None, None))
        raise InputError(f"{column} {text!r} is not a time in seconds", cause=cause, remedy=remedy)
    return value


def _label(row: Row, column: str) -> str | None:
    text = row.values.get(column)
    if text is not None and not text.isprintable():
        raise InputError(f"{column} {text!r} holds control characters")
    return text


def _odd(name: str) -> str:
    """Why a file's name can't be an id."""
    if any("\udc80" <= c <= "\udcff" for c in name):  # how Python keeps bytes that aren't text
        return "the name's bytes are not UTF-8"
    if not name.isprintable():
        return "the name holds a control character"
    return "it begins or ends with a space, or holds a backslash"


def _leaves(file: str) -> bool:
    path = PurePosixPath(file.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts
