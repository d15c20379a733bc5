"""Utterances from annotations: where TextGrids, ELAN files and the like say that somebody speaks.

Every annotation on the chosen tiers is an utterance: its times, its text, and as its speaker the
tier's participant. An ELAN file is linked with its recording, by a path of the machine that wrote
it and by one relative to the file; recordings move, so the name counts, and only recordings in the
folder that is imported are looked at. A file without such a link is named like its recording.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from zerochain.corpora.build import UNKNOWN
from zerochain.corpora.sounds import OVERSHOOT_S, Bad, duration_s, part_id, search, stem, unusable
from zerochain.errors import InputError, counted, listed
from zerochain.exchange import flextext, transcriber
from zerochain.exchange.elan import SUFFIX, ElanFile, ElanTiers, Media, read_elan
from zerochain.exchange.elan_edit import OURS, SEGMENTS
from zerochain.exchange.textgrid import (
    UTTERANCES,
    WITHOUT_TEXT,
    Interval,
    TextGrid,
    Tier,
    Tiered,
    matching,
    read_textgrid,
)
from zerochain.formats.corpus import Utterance
from zerochain.formats.identity import composed, utterance_id
from zerochain.metrics.silences import SILENCES


def _read_textgrid(path: Path) -> TextGrid:
    """A TextGrid; tiers of utterances that `textgrid_export` wrote have their speakers again."""
    grid = read_textgrid(path)
    return replace(grid, tiers=tuple(_of_utterances(one, grid) or one for one in grid.tiers))


def _of_utterances(tier: Tier, grid: TextGrid) -> Tier | None:
    """A tier "utterances@ana", or what didn't fit on it, "utterances@ana 2"; None of others."""
    first = re.sub(r" \d+$", "", tier.name)
    name = first if any(one.name == first for one in grid.tiers) else tier.name
    if name != UTTERANCES and not name.startswith(f"{UTTERANCES}@"):
        return None
    return replace(
        tier,
        kind=SEGMENTS,
        speaker=name.removeprefix(UTTERANCES).removeprefix("@"),
        intervals=tuple(one for one in tier.intervals if one.label != WITHOUT_TEXT),
        unlabelled=tuple(
            one._replace(label="") for one in tier.intervals if one.label == WITHOUT_TEXT
        ),
    )


_READERS: Mapping[str, Callable[[Path], ElanFile | ElanTiers | TextGrid]] = {
    SUFFIX: read_elan,
    ".textgrid": _read_textgrid,
    transcriber.SUFFIX: transcriber.read_transcriber,
    flextext.SUFFIX: flextext.read_flextext,
}
SUFFIXES = frozenset(_READERS)
OVERLAP_S = 0.015
"""Neighbours on a tier may overlap by as much, from rounding; the later one is cut."""
_PRAAT_S = "silent"
"""What Praat's own detector of silences calls them."""


@dataclass
class Annotated:
    """The utterances that annotations make of recordings, and what is wrong or worth a look."""

    utterances: list[Utterance] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    """The recordings with annotations."""


def annotated(
    recordings: Path,
    files: Sequence[str],
    segments: Path,
    *,
    tier: str | None = None,
    text_tier: str | None = None,
    with_speakers: bool = True,
) -> Annotated:
    """The utterances that TextGrids and files of ELAN, Transcriber and FLEx mark in recordings.

    Annotations of different tiers may overlap, those of one tier by 15 ms at most. Annotations
    without length are left out, those without a text are utterances in ELAN, where they are common,
    and gaps in TextGrids. What reaches up to half a second beyond its recording is cut there.

    Args:
        recordings: their folder.
        files: the recordings, relative to it.
        segments: a folder of .eaf, .TextGrid, .trs and .flextext files, or one of them.
        tier: whose annotations are utterances, as `phones_of` takes it; several match where each
            speaker has one, and of tiers below each other the uppermost. None: the tiers without a
            parent, if there is one or all of them are of one linguistic type; units and the like
            that `export_elan` wrote don't count. Of TextGrids, tiers called "utterances" or
            "utterances@SPEAKER" if there are any, as `export_textgrids` writes them.
        text_tier: texts are what this tier has at the same time, rather than the annotations' own.
        with_speakers: a speaker is the tier's participant (the SPEAKER of "utterances@SPEAKER"), or
            where there is none and several tiers match, the tier's name.

    Raises:
        InputError: no such file or folder, or none in it.
    """
    paths = _files(segments)
    known = Recordings(recordings, files)
    found, counts = Annotated(), _Counts()
    by_recording: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        name = path.relative_to(segments).as_posix() if segments.is_dir() else path.name
        try:
            held = _READERS[path.suffix.lower()](path)
            media = () if isinstance(held, TextGrid) else held.media
            file = known.of(name, path, media)
            if isinstance(held, ElanFile):
                held = held.on_recording(stem(file))
            turns = list(_turns(held, tier, text_tier, counts))
        except (InputError, OSError) as error:
            found.bad.append(unusable(path, error))
            continue
        by_recording[file].append(path)
        found.used.add(file)
        counts.empty += [] if turns else [str(path)]
        lasting = duration_s(recordings / file)
        if isinstance(held, TextGrid) and lasting and not held.is_as_long_as(lasting):
            counts.other_length.append(f"{path} ({held.end_s:g} s, not {lasting:g} s)")
        _add(found, file, lasting, turns, with_speakers, counts)
    _refuse_twice(by_recording, segments)
    found.notes += counts.lines()
    return found


@dataclass
class _Counts:
    """What is left out or changed on the way."""

    without_length: int = 0
    overlaps: int = 0
    cut: int = 0
    empty: list[str] = field(default_factory=list)
    other_length: list[str] = field(default_factory=list)
    """TextGrids with the lengths that they give for their recordings."""
    silent: list[str] = field(default_factory=list)
    """Texts of annotations that name a pause."""

    def lines(self) -> list[str]:
        counts = [
            (self.without_length, "annotation", "without length left out"),
            (self.overlaps, "overlap", "of up to 15 ms on a tier taken for rounding"),
            (self.cut, "annotation", "cut where the recording ends"),
            (
                len(self.empty),
                "file",
                f"without an annotation on its tiers: {listed(self.empty, 3)}",
            ),
            (
                len(self.other_length),
                "TextGrid",
                "longer or shorter than the recording, as if of another: "
                f"{listed(self.other_length, 3)}",
            ),
            (
                len(self.silent),
                "utterance",
                "with a label of pauses as text, taken like any other: "
                f"{listed(sorted({*self.silent}), 3)}; clear these labels if nobody speaks there",
            ),
        ]
        return [f"{counted(n, one)} {what}" for n, one, what in counts if n]


class _Turn(NamedTuple):
    interval: Interval
    text: str
    tier: Tier
    is_one_of_several: bool
    """Whether other tiers of its file have been chosen too."""
    is_contradictory: bool = False
    """Whether its times contradict others, so that there is nothing to cut."""


def _files(segments: Path) -> list[Path]:
    if not segments.exists():
        raise InputError("no such file or folder", path=segments, remedy="check the path")
    if segments.is_dir():
        found = search(segments, SUFFIXES)
        paths = [segments / file for file in (*found.files, *found.links)]
    else:
        paths = [segments]
    paths = sorted(path for path in paths if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(
            "holds no annotations" if segments.is_dir() else "is not a file of annotations",
            path=segments,
            remedy="annotations are .eaf, .TextGrid, .trs or .flextext files",
        )
    return paths


def _refuse_twice(by_recording: dict[str, list[Path]], segments: Path) -> None:
    twice = {file: paths for file, paths in by_recording.items() if len(paths) > 1}
    if twice:
        file, paths = next(iter(twice.items()))
        raise InputError(
            f"several files of annotations for {counted(len(twice), 'recording')}: "
            f"{listed(list(map(str, paths)))} are of {file}",
            path=segments,
            cause="the folder holds copies, or TextGrids beside the ELAN files they were made from",
            remedy="keep one file for every recording",
        )


class Recordings:
    """The recordings of a folder, to be found by what a file of annotations is linked with."""

    def __init__(self, root: Path, files: Iterable[str]) -> None:
        self._root = os.path.normpath(root.absolute())
        self._by_path = {composed(file): file for file in files}
        self._by_whole_stem: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path, file in self._by_path.items():
            name = PurePosixPath(path).name
            self._by_whole_stem[stem(path)].append(file)
            self._by_name[name].append(file)
            self._by_stem[stem(name)].append(file)

    def of(self, name: str, path: Path, media: Sequence[Media]) -> str:
        """The recording that a file of annotations is of.

        Where its links lead, if that is in the folder; then by the names of its media, with the
        same suffix or another, as sound taken from a film has; then by the file's own name.

        Args:
            name: of the file, below the folder of annotations.

        Raises:
            InputError: none, or several of that name in different folders.
        """
        for place in (place for one in media for place in _places(one, path)):
            inside = composed(os.path.relpath(place, self._root)).replace(os.sep, "/")
            if inside in self._by_path:
                return self._by_path[inside]
        names = [one for each in media for one in each.names]
        own = composed(stem(name))
        ways = [self._by_name.get(one, []) for one in names]
        ways += [self._by_stem.get(stem(one), []) for one in names]
        ways += [self._by_whole_stem.get(own, []), self._by_stem.get(PurePosixPath(own).name, [])]
        fitting = next((way for way in ways if way), [])
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise InputError(
                f"several recordings may be its own: {listed(fitting)}",
                cause="recordings in different folders share a name",
                remedy="rename them, or place it like its recording",
            )
        plain = list(dict.fromkeys(map(unquote, names)))  # links have each name in both forms
        raise InputError(
            f"its recording is not in {self._root}: {listed(plain or [own])}",
            cause="the recording was moved or renamed, or is in another folder",
            remedy="give the folder that holds it, or name the file of annotations like it",
        )


def _places(media: Media, path: Path) -> Iterator[str]:
    """The paths that a file's links may mean."""
    if media.relative_url:
        for form in (media.relative_url, unquote(media.relative_url)):
            yield os.path.normpath(path.parent.absolute() / form)
    for form in (media.url.removeprefix("file://"), unquote(urlsplit(media.url).path)):
        if form.startswith("/"):
            yield os.path.normpath(form)


def _turns(
    held: Tiered, wanted: str | None, text_tier: str | None, counts: _Counts
) -> Iterator[_Turn]:
    """The annotations of the chosen tiers, with their texts."""
    tiers = _chosen(held, wanted)
    texts = None
    if text_tier is not None:
        found = matching(held, text_tier, argument="text_tier", holds="holds the texts")
        texts = [one.tier for one in found]
    for tier in tiers:
        own = None if texts is None else _Labels(_of_speaker(texts, tier))
        for one in _apart(tier, counts):
            text = one.label if own is None else own.within(one.onset, one.offset)
            yield _Turn(one, text, tier, len(tiers) > 1)
        for one in tier.contradictory:
            yield _Turn(one, one.label, tier, len(tiers) > 1, is_contradictory=True)


def _chosen(held: Tiered, wanted: str | None) -> list[Tier]:
    if wanted is not None:
        found = matching(held, wanted, argument="segment_tier", holds="marks the utterances")
        return _uppermost([one.tier for one in found], held)
    full = [one for one in held.tiers if one.intervals or one.unlabelled or one.contradictory]
    roots = [one for one in full if not one.parent]
    if not roots:
        raise InputError("has no annotation", remedy="leave it out of the folder")
    # Units, hits and words that `export elan` wrote are no utterances.
    likely = [one for one in roots if one.kind == SEGMENTS or not one.kind.startswith(OURS)]
    if isinstance(held, TextGrid):  # whose other tiers have no types to be told apart by
        likely = [one for one in likely if one.kind == SEGMENTS] or likely
    kinds = {one.kind for one in likely}
    if len(likely) == 1 or (len(kinds) == 1 and likely[0].kind):
        return likely
    roots = likely or roots
    shown = [f"{one.name!r}" + (f" (type {one.kind!r})" if one.kind else "") for one in roots]
    first = f"'type:{roots[0].kind}'" if roots[0].kind else repr(roots[0].name)
    raise InputError(
        f"has {counted(len(roots), 'tier')} that may mark the utterances: {listed(shown)}",
        cause="one tier is of what was said, others of notes, gestures or phones",
        remedy=f"choose by name, pattern, linguistic type or participant: segment_tier={first}",
    )


def _uppermost(tiers: list[Tier], held: Tiered) -> list[Tier]:
    """Those that are not below another of them: of a participant, the utterances, not words."""
    parents = {one.name: one.parent for one in held.tiers}
    names = {one.name for one in tiers}

    def above(name: str) -> Iterator[str]:
        seen = {name}
        while (name := parents.get(name, "")) and name not in seen:
            seen.add(name)
            yield name

    return [one for one in tiers if not names.intersection(above(one.name))]


def _of_speaker(texts: Sequence[Tier], tier: Tier) -> list[Tier]:
    """Of tiers of texts those below a tier, or else its speaker's, or else all."""
    below = [one for one in texts if one.parent and one.parent == tier.name]
    same = [one for one in texts if one.speaker and one.speaker == tier.speaker]
    return below or same or list(texts)


class _Labels:
    """Labels to be found by time."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        found = [((i.onset + i.offset) / 2, i.label) for tier in tiers for i in tier.intervals]
        found.sort(key=lambda one: one[0])
        self._middles, self._labels = [m for m, _ in found], [label for _, label in found]

    def within(self, onset: float, offset: float) -> str:
        """Those with their middle in a stretch, with blanks between them."""
        first, last = bisect_left(self._middles, onset), bisect_right(self._middles, offset)
        return " ".join(self._labels[first:last])


def _apart(tier: Tier, counts: _Counts) -> Iterator[Interval]:
    """A tier's annotations in the order of time, none within another.

    Raises:
        InputError: one ends before it begins, or two overlap by more than rounding explains.
    """
    before: Interval | None = None
    every = sorted((*tier.intervals, *tier.unlabelled), key=lambda one: (one.onset, one.offset))
    for given in every:
        one = given
        if one.offset < one.onset:
            raise InputError(
                f"{one.place}: ends at {one.offset:g} s, before it begins at {one.onset:g} s",
                cause="another program wrote or edited it",
                remedy="correct its times, or remove it",
            )
        if one.offset == one.onset:
            counts.without_length += 1
            continue
        if before is not None and one.onset < before.offset:
            if before.offset - one.onset > OVERLAP_S or one.offset <= before.offset:
                raise InputError(
                    f"{one.place}: begins at {one.onset:g} s, before {before.place} ends at "
                    f"{before.offset:g} s",
                    cause="speakers who overlap share a tier, or an annotation is there twice",
                    remedy="give each speaker a tier, or remove one of the annotations",
                )
            counts.overlaps += 1
            one = one._replace(onset=before.offset)
        yield one
        before = one


def _add(
    found: Annotated,
    file: str,
    lasting: float | None,
    turns: Sequence[_Turn],
    with_speakers: bool,
    counts: _Counts,
) -> None:
    """Add the utterances of one recording, which lasts so many seconds if that is known."""
    for turn in turns:
        one, tier = turn.interval, turn.tier
        start, end = one.onset, one.offset
        speaker = tier.speaker or (tier.name if turn.is_one_of_several else None)
        name = part_id(file, start, end, None)
        if turn.is_one_of_several:
            name += "_" + re.sub(r"[/\\\s]+", "_", speaker or "")
        if turn.is_contradictory:
            why = f"{one.place}: until {end:g} s, but the times of its turn go backwards"
            found.bad.append(Bad(file, why, name))
            continue
        if lasting is not None and end > lasting:
            if start < 0 or start >= lasting or end > lasting + OVERSHOOT_S:
                why = f"{one.place}: ends at {end:g} s, and the recording at {lasting:.3f} s"
                found.bad.append(Bad(file, why, name))
                continue
            counts.cut += end - lasting > 1e-3
            end = lasting
        if start < 0:
            why = f"{one.place}: begins {-start:g} s before the recording (TIME_ORIGIN)"
            found.bad.append(Bad(file, why, name))
            continue
        try:
            identity = utterance_id(name)
        except InputError as error:
            found.bad.append(Bad(file, f"{one.place}: {error.found}", name))
            continue
        if turn.text and (turn.text in SILENCES or turn.text.casefold() == _PRAAT_S):
            counts.silent.append(turn.text)
        found.utterances.append(
            Utterance(
                id=identity,
                audio=file,
                duration=UNKNOWN,
                speaker=speaker if with_speakers else None,
                start=start,
                end=end,
                text=turn.text or None,
            )
        )
