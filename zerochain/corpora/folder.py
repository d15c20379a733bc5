"""Import a folder of recordings, all of it or what a table lists or annotations mark.

First the utterances are planned (`planning`), and get labels from names, channels and splits.
Whatever is unusable is kept with its reason, so that all of it is reported together. Then
`build_corpus` decodes the recordings and writes the corpus.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from zerochain.corpora.build import build_corpus
from zerochain.corpora.planning import plan_folder, plan_segments, plan_table, with_own_ids
from zerochain.corpora.sounds import Bad, check_path, expand_channels, stem, within_recordings
from zerochain.errors import InputError, counted, listed, printable
from zerochain.exchange.alignment_times import Clock
from zerochain.exchange.alignments import read_alignments
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.identity import composed


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
            channel (left, right, A, B or a number counted from 1) and seconds or duration, which
            give the end that a start lacks and are checked otherwise; only its recordings are
            imported.
        segments_from: files of ELAN, Praat (TextGrids), Transcriber or FLEx (.flextext), a folder
            or one of them, whose annotations are the utterances, with their texts and speakers,
            instead of a table; see `zerochain.corpora.annotated.annotated`.
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
        plan = plan_table(recordings, table, with_speakers=speaker_from is None, skip_bad=skip_bad)
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
    if table:
        utterances, late = within_recordings(utterances, recordings)
        notes += late
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
        in_folders = pattern.startswith("folder:")
        raise InputError(
            f"{what}_from={pattern!r} finds no {what} in {len(unmatched)} of "
            f"{counted(len(ids), 'file')}: "
            f"{listed(unmatched)}",
            cause="they are not in so many folders below the one that is imported"
            if in_folders
            else "it is matched from the beginning of the file's name, or of the path within the "
            "recordings' folder if the pattern has a slash",
            remedy=("put them into folders" if in_folders else "fix the pattern")
            + f"; or list recordings and their {what}s in a table, for 'zerochain import folder "
            "--table'",
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
