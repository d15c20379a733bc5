"""Import a folder of recordings, all of it or what a table lists or annotations mark.

First the utterances are planned (`plan_folder`, `plan_table`, `plan_segments`): ids from paths,
labels from names, channels, splits. Whatever is unusable is kept with its reason, so that all of it
is reported together. Then `build_corpus` decodes the recordings and writes the corpus.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from zerochain.corpora.annotated import annotated
from zerochain.corpora.build import UNKNOWN, build_corpus
from zerochain.corpora.sounds import (
    UNREAD,
    Bad,
    Sounds,
    channel_of,
    check_path,
    conversion,
    expand_channels,
    part_id,
    sound_files,
    stem,
    suffix,
)
from zerochain.errors import InputError, counted, listed, printable
from zerochain.exchange.alignment_times import Clock
from zerochain.exchange.alignments import read_alignments
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.identity import composed, utterance_id
from zerochain.formats.text_files import Row, read_rows

_COLUMNS = {
    "file", "id", "speaker", "start", "end", "channel", "split", "text", "seconds", "duration",
}  # fmt: skip


@dataclass(frozen=True)
class Pieces:
    """Utterances that recordings were cut into, and what is to be said of it."""

    utterances: tuple[Utterance, ...]
    bad: list[Bad]
    notes: list[str]
    record: dict[str, Any]


Cut = Callable[[tuple[Utterance, ...]], Pieces]
"""Whole recordings, or their channels → the utterances in them."""


def import_folder(
    recordings: Path,
    out: Path,
    *,
    name: str | None = None,
    language: str = "",
    licence: str = "",
    source: str = "",
    table: Path | None = None,
    segments_from: Path | None = None,
    segment_tier: str | None = None,
    text_tier: str | None = None,
    speaker_from: str | None = None,
    split_from: str | None = None,
    test_fraction: float | None = None,
    alignments: Path | None = None,
    tier: str | None = None,
    channel: str | None = None,
    alignment_times: Clock | None = None,
    strip_word_positions: bool = False,
    skip_bad: bool = False,
    copy: bool = False,
    jobs: int | None = None,
    keep: Callable[[Utterance], bool] = lambda _: True,
    cut: Cut | None = None,
) -> Corpus:
    """Import recordings (WAV, FLAC, OGG, MP3, …; any rate, any number of channels) as a corpus.

    An utterance's id is its path in the folder without the suffix. Every file is decoded.
    Links to folders are followed (see `zerochain.corpora.sounds`).

    Args:
        recordings: searched with its subfolders.
        out: the corpus's folder.
        name: of the corpus; that of `out` by default.
        table: TSV or CSV with a column `file` and any of id, speaker, start, end, split, text,
            seconds (checked against the recording), channel (left, right, A, B or a number
            counted from 1); only its recordings are imported.
        segments_from: ELAN files or TextGrids (a folder, or one of them) whose annotations are the
            utterances, with their texts and speakers, instead of a table; see
            `zerochain.corpora.annotated.annotated`.
        segment_tier: whose annotations: a name, a pattern, "#2", "type:utterance" (ELAN's
            linguistic type) or "participant:ana".
        text_tier: the tier with their texts, where it is another.
        speaker_from, split_from: see `zerochain.corpora.folder.labels_from`.
        test_fraction: the share of utterances in split "test", chosen by a hash of the id.
        alignments: gold phones, see `zerochain.exchange.alignments.read_alignments`.
        tier: the TextGrids' tier of phones: a name, a pattern, or "#2" for the second.
        alignment_times: whether alignments of cut utterances have the utterance's times or the
            recording's, where that can't be told.
        strip_word_positions: take Kaldi's endings off the phones, AA1_B → AA1.
        channel: mix (the default), left, right, a number or each; see
            `zerochain.corpora.sounds.expand_channels`.
        skip_bad: leave out unusable files, and record them, instead of refusing.
        copy: convert to 16 kHz mono FLAC inside the corpus instead of referring to the files.
        jobs: threads.
        keep: which of the planned utterances to import.
        cut: makes several utterances of each one, as `zerochain.corpora.long_recordings` does.

    Raises:
        InputError: unusable files (all listed), impossible options, or a table that can't be read.
    """
    _check_options(recordings, split_from, test_fraction)
    _check_segments(table, segments_from, segment_tier or text_tier)
    if segments_from:
        plan = plan_segments(
            recordings,
            segments_from,
            tier=segment_tier,
            text_tier=text_tier,
            with_speakers=speaker_from is None,
            skip_bad=skip_bad,
        )
    elif table:
        plan = plan_table(recordings, table, skip_bad=skip_bad)
    else:
        plan = plan_folder(recordings, skip_bad=skip_bad)
    planned = tuple(filter(keep, plan.utterances))
    left_out = {u.id for u in plan.utterances} - {u.id for u in planned}
    bad = list(plan.bad)
    utterances = _labelled(planned, "speaker", speaker_from, skip_bad, bad)
    utterances = _labelled(utterances, "split", split_from, skip_bad, bad)
    if cut is None:
        utterances = _split_by_hash(utterances, test_fraction)  # channels stay in one split
    utterances = expand_channels(utterances, recordings, channel)
    record: dict[str, Any] = {}
    notes: list[str] = [*plan.record.get("notes", [])]
    if cut is not None:
        pieces = cut(utterances)
        utterances = _split_by_hash(pieces.utterances, test_fraction)
        bad += pieces.bad
        notes += pieces.notes
        record = pieces.record
    notes += _empty_splits(utterances, test_fraction)
    why = "a recording's channels have the same names as another recording"
    utterances, clashes = with_own_ids(utterances, recordings, why, skip_bad=skip_bad)
    recorded = {stem(u.audio) for u in plan.utterances}  # their alignments may lie there as well
    options = {
        "segment_tier": segment_tier,
        "text_tier": text_tier,
        "speaker_from": speaker_from,
        "split_from": split_from,
        "test_fraction": test_fraction,
        "alignments": str(alignments) if alignments else None,
        "tier": tier,
        "channel": channel,
        "alignment_times": alignment_times,
        "strip_word_positions": strip_word_positions,
    }
    draft = Corpus(
        name=name or out.absolute().name,
        utterances=utterances,
        audio_root=str(recordings.absolute()),
        language=language,
        licence=licence,
        source=source,
        record={
            **plan.record,
            "left_out": len(left_out),
            "options": options,
            **record,
            **({"notes": notes} if notes else {}),
        },
    )
    return build_corpus(
        out,
        draft,
        bad=[*bad, *clashes],
        align=partial(
            read_alignments,
            alignments,
            tier=tier,
            times=alignment_times,
            strip_word_positions=strip_word_positions,
        )
        if alignments
        else None,
        unlisted=plan.unlisted | left_out | recorded,
        skip_bad=skip_bad,
        copy=copy,
        jobs=jobs,
    )


def _labelled(
    utterances: tuple[Utterance, ...],
    field: Literal["speaker", "split"],
    pattern: str | None,
    skip_bad: bool,
    bad: list[Bad],
) -> tuple[Utterance, ...]:
    """The utterances with a label; those whose names have none join `bad`."""
    if pattern is None:
        return utterances
    if any(getattr(u, field) is not None for u in utterances):
        raise InputError(
            f"the table has a column {field!r} and {field}_from= is given as well",
            remedy="leave out one of them",
        )
    labels = labels_from(pattern, [stem(u.audio) for u in utterances], field, skip_bad=skip_bad)
    pairs = list(zip(utterances, labels, strict=True))
    why = f"{field}_from={pattern!r} finds no {field} in its name"
    bad += [Bad(u.audio, why, u.id) for u, label in pairs if label is None]
    if field == "speaker":
        return tuple(replace(u, speaker=label) for u, label in pairs if label is not None)
    return tuple(replace(u, split=label) for u, label in pairs if label is not None)


def _split_by_hash(
    utterances: tuple[Utterance, ...], test_fraction: float | None
) -> tuple[Utterance, ...]:
    if test_fraction is None:
        return utterances
    if any(u.split is not None for u in utterances):
        raise InputError(
            "the table has a column 'split' and test_fraction= is given as well",
            remedy="leave out one of them",
        )
    if len(utterances) == 1:
        raise InputError(
            f"test_fraction={test_fraction} can't divide a single utterance, {utterances[0].id!r}",
            cause="one long recording without a table is one utterance",
            remedy="cut it: give a table= with a row per utterance and the columns file, start and "
            "end; or leave test_fraction= out",
        )
    return tuple(replace(u, split=hashed_split(u.id, test_fraction)) for u in utterances)


def _empty_splits(utterances: Sequence[Utterance], test_fraction: float | None) -> list[str]:
    """A note where a test fraction left one of the splits without an utterance."""
    splits = {u.split for u in utterances}
    if test_fraction is None or len(splits) == 2:
        return []
    empty = ({"train", "test"} - splits).pop()
    return [
        f"test_fraction={test_fraction} leaves no utterance in split {empty!r}: each is drawn by "
        f"itself, and {counted(len(utterances), 'utterance')} are too few; give another fraction "
        "or a column 'split'"
    ]


def _check_options(recordings: Path, split_from: str | None, test_fraction: float | None) -> None:
    if not recordings.is_dir():
        raise InputError("no such folder", path=recordings, remedy="check the path")
    check_path(recordings.absolute())
    if test_fraction is not None and split_from is not None:
        raise InputError(
            "split_from= and test_fraction= are both given", remedy="leave out one of them"
        )
    if test_fraction is not None and not 0 < test_fraction < 1:
        raise InputError(
            f"a test fraction of {test_fraction}", remedy="give one between 0 and 1, such as 0.1"
        )


def _check_segments(table: Path | None, segments: Path | None, tier: str | None) -> None:
    if table is not None and segments is not None:
        raise InputError(
            "table= and segments_from= are both given, and each says what the utterances are",
            remedy="leave out one of them",
        )
    if segments is None and tier is not None:
        raise InputError(
            f"tier {tier!r} is chosen, but no annotations are given",
            remedy="give segments_from= as well; gold phones are chosen with tier=",
        )


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


def plan_table(recordings: Path, table: Path, *, skip_bad: bool = False) -> Plan:
    """The utterances that a table lists.

    A file's name is found in whichever of Unicode's forms the disk has it.

    Args:
        skip_bad: rows whose path leaves the folder, or that would share an id, are unusable
            instead of an error.

    Raises:
        InputError: an unreadable table, paths that leave the folder, or duplicate ids.
    """
    columns, rows = read_rows(table, required=["file"])
    sounds = sound_files(recordings)
    outside = [file for row in rows if _leaves(file := row.values.get("file", ""))]
    if outside and not skip_bad:
        raise InputError(
            f"paths out of the recordings' folder: {listed(outside)}",
            path=table,
            remedy="write paths relative to the recordings' folder",
        )
    names = _Names(sounds)
    planned = [_planned(row, names) for row in rows]
    utterances = [item for item in planned if isinstance(item, Utterance)]
    why = "the file is listed twice without an id or start and end"
    kept, clashes = with_own_ids(utterances, table, why, skip_bad=skip_bad)
    unlisted = sorted(set(sounds.files) - names.asked)
    record = {
        **sounds.record,
        "table": str(table),
        "ignored_columns": sorted(set(columns) - _COLUMNS),
        "unlisted": len(unlisted),
    }
    bad = [item for item in planned if isinstance(item, Bad)]
    return Plan(kept, (*bad, *clashes), frozenset(map(stem, unlisted)), record)


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

    def __init__(self, sounds: Sounds) -> None:
        self._there = set(sounds.files)
        self._unreachable = {bad.file: bad.reason for bad in sounds.bad}
        self._by_form: dict[str, list[str]] = defaultdict(list)
        for file in sounds.files:
            self._by_form[composed(file)].append(file)
        self.asked: set[str] = set()

    def find(self, name: str) -> str:
        """The file of this name, or the name itself where there is none.

        Raises:
            InputError: several files have this name in different Unicode forms; it is a broken
                link, or of a format that isn't read.
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
        self.asked.add(forms[0])
        return forms[0]


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
        return Bad(file, f"line {row.line}: {error.found}", get("id", ""))


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


def labels_from(
    pattern: str, ids: Sequence[str], what: str, *, skip_bad: bool = False
) -> list[str | None]:
    """The speaker (`what`) of every id, an id being a path without its suffix.

    `name:ana` sets all to ana. `folder:1` takes the name of the first folder, `folder:-1` that of
    the innermost. Anything else is a regular expression whose group named `what` (or
    whose only group) is the speaker: `(?P<speaker>[^_]+)_`. It is matched from the
    beginning of the file's name, or of the whole path if the pattern has a slash. Names and
    pattern are compared in Unicode's composed form, and labels are returned in it.

    Args:
        skip_bad: give None for an id that the pattern doesn't match, as long as it matches one.

    Raises:
        InputError: a bad pattern, or ids that it doesn't match, which are listed.
    """
    pattern, ids = composed(pattern), [composed(name) for name in ids]
    found: list[str | None]
    if pattern.startswith("name:"):
        found = [pattern.removeprefix("name:").strip() or None] * len(ids)
    elif pattern.startswith("folder:"):
        found = [_folder(name, _level(pattern, what)) for name in ids]
    else:
        expression, group = _compile(pattern, what)
        whole = "/" in pattern
        matches = [expression.match(name if whole else name.split("/")[-1]) for name in ids]
        found = [match[group] if match else None for match in matches]
    unmatched = [printable(name) for name, label in zip(ids, found, strict=True) if not label]
    if unmatched and not (skip_bad and len(unmatched) < len(ids)):
        raise InputError(
            f"{what}_from={pattern!r} finds no {what} in {len(unmatched)} of "
            f"{counted(len(ids), 'file')}: "
            f"{listed(unmatched)}",
            cause="it is matched from the beginning of the file's name, or of the path within the "
            "recordings' folder if the pattern has a slash",
            remedy=f"fix the pattern, or give a table= with a column {what!r}",
        )
    return [label or None for label in found]


def hashed_split(name: str, test_fraction: float) -> str:
    """ "test" for this fraction of ids, else "train"; new recordings don't move the others."""
    digest = hashlib.sha256(name.encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") < test_fraction * 2**64 else "train"


def _level(pattern: str, what: str) -> int:
    try:
        level = int(pattern.removeprefix("folder:"))
    except ValueError:
        level = 0
    if level == 0:
        raise InputError(
            f"{what}_from={pattern!r} is not a folder's level",
            remedy="folder:1 is the first folder below the recordings, folder:-1 the innermost",
        )
    return level


def _folder(name: str, level: int) -> str | None:
    folders = name.split("/")[:-1]
    if not 1 <= abs(level) <= len(folders):
        return None
    return folders[level - 1 if level > 0 else level]


def _compile(pattern: str, what: str) -> tuple[re.Pattern[str], str | int]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"{what}_from={pattern!r} is not a regular expression: {error}",
            remedy=f"for example '(?P<{what}>[^_]+)_', or folder:1",
        ) from error
    if what in expression.groupindex:
        return expression, what
    if expression.groups != 1:
        raise InputError(
            f"{what}_from={pattern!r} has {counted(expression.groups, 'group')}, "
            f"none named {what!r}",
            remedy=f"put (?P<{what}>…) around the {what}",
        )
    return expression, 1
