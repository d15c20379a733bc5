"""What a folder of recordings, or a table about them, says there is to import."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from zerochain import audio
from zerochain.corpora.build import UNKNOWN, Bad
from zerochain.corpora.tables import Row, read_rows
from zerochain.errors import InputError, listed
from zerochain.formats.corpus import Utterance
from zerochain.formats.identity import utterance_id

_COLUMNS = {"file", "id", "speaker", "start", "end", "split", "text", "seconds", "duration"}


@dataclass(frozen=True)
class Plan:
    """The utterances to be imported, what is already known to be unusable, what to record."""

    utterances: tuple[Utterance, ...]
    bad: tuple[Bad, ...]
    unlisted: frozenset[str]
    record: dict[str, Any]


def plan_folder(recordings: Path) -> Plan:
    """Every sound file of a folder and its subfolders, in the order of their paths.

    Raises:
        InputError: no such folder, no sound file, or files that would share an id.
    """
    files, others = sound_files(recordings)
    utterances, bad = [], []
    for file in files:
        try:
            utterances.append(Utterance(utterance_id(stem(file)), file, UNKNOWN))
        except InputError as error:
            bad.append(Bad(_printable(file), error.found))
    _check_ids(utterances, recordings, "two files differ only in their suffix")
    return Plan(tuple(utterances), tuple(bad), frozenset(), others)


def plan_table(recordings: Path, table: Path) -> Plan:
    """The utterances that a table lists.

    Raises:
        InputError: an unreadable table, paths that leave the folder, or duplicate ids.
    """
    columns, rows = read_rows(table, required=["file"])
    files, others = sound_files(recordings)
    named = [row.values.get("file", "") for row in rows]
    strays = [file for file in named if _leaves(file)]
    if strays:
        raise InputError(
            f"{len(strays)} paths leave the recordings' folder: {listed(strays)}",
            path=table,
            remedy="write paths relative to the recordings' folder",
        )
    planned = [_planned(row) for row in rows]
    utterances = [item for item in planned if isinstance(item, Utterance)]
    _check_ids(utterances, table, "the file is listed twice without an id or start and end")
    unlisted = sorted(set(files) - set(named))
    record = {
        **others,
        "table": str(table),
        "ignored_columns": sorted(set(columns) - _COLUMNS),
        "unlisted": len(unlisted),
    }
    bad = tuple(item for item in planned if isinstance(item, Bad))
    return Plan(tuple(utterances), bad, frozenset(map(stem, unlisted)), record)


def sound_files(recordings: Path) -> tuple[list[str], dict[str, Any]]:
    """The sound files (relative paths, sorted), and how many other and hidden files there are.

    Raises:
        InputError: not a folder, or no sound file in it.
    """
    if not recordings.is_dir():
        raise InputError("no such folder", path=recordings, remedy="check the path")
    paths = [p.relative_to(recordings) for p in recordings.rglob("*") if p.is_file()]
    shown = [p for p in paths if not any(part.startswith(".") for part in p.parts)]
    sounds = sorted(p.as_posix() for p in shown if p.suffix.lower() in audio.SUFFIXES)
    others = Counter(p.suffix for p in shown if p.suffix.lower() not in audio.SUFFIXES)
    if not sounds:
        what = listed([f"{n} {suffix or '(no suffix)'}" for suffix, n in sorted(others.items())])
        raise InputError(
            f"holds no sound file; it holds {what or 'nothing'}",
            path=recordings,
            cause="it is another folder, or the recordings are of a format that isn't read",
            remedy=f"convert them to one of {', '.join(sorted(audio.SUFFIXES))}",
        )
    hidden = len(paths) - len(shown)
    return sounds, {"other_files": dict(sorted(others.items())), "hidden": hidden}


def _planned(row: Row) -> Utterance | Bad:
    get = row.values.get
    file = get("file")
    if file is None:
        return Bad(f"line {row.line}", "the column 'file' is empty")
    try:
        start, end = _seconds(row, "start"), _seconds(row, "end")
        claimed = _seconds(row, "seconds" if "seconds" in row.values else "duration")
        if end is not None and end <= (start or 0.0):
            return Bad(file, f"line {row.line}: ends at {end} s, before it starts")
        return Utterance(
            id=utterance_id(get("id") or _segment_id(file, start, end)),
            audio=file,
            duration=UNKNOWN if claimed is None else claimed,
            speaker=get("speaker"),
            start=start,
            end=end,
            split=get("split"),
            text=get("text"),
        )
    except InputError as error:
        return Bad(file, f"line {row.line}: {error.found}")


def _seconds(row: Row, column: str) -> float | None:
    text = row.values.get(column)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{column} {text!r} is not a time in seconds")
    return value


def _segment_id(file: str, start: float | None, end: float | None) -> str:
    """The file's path without its suffix; with the segment's milliseconds if it is one."""
    if start is None and end is None:
        return stem(file)
    last = "end" if end is None else f"{round(end * 1000):08d}"
    return f"{stem(file)}_{round((start or 0.0) * 1000):08d}-{last}"


def _check_ids(utterances: Sequence[Utterance], path: Path, cause: str) -> None:
    files: dict[str, list[str]] = defaultdict(list)
    for u in utterances:
        files[u.id].append(u.audio)
    clashes = [" and ".join(names) for names in files.values() if len(names) > 1]
    if clashes:
        raise InputError(
            f"{len(clashes)} ids would be given twice: {listed(clashes)}",
            path=path,
            cause=cause,
            remedy="rename or remove one of each, or give ids of your own in a --table",
        )


def _leaves(file: str) -> bool:
    path = PurePosixPath(file.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts


def stem(file: str) -> str:
    """A path without its suffix: the id of a whole recording."""
    return PurePosixPath(file).with_suffix("").as_posix()


def _printable(file: str) -> str:
    return file.encode(errors="backslashreplace").decode()
