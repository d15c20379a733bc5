"""What is searched for, as a user writes it: a clip, a span of a recording, or rows of a table.

word.wav                 the whole of a sound file
word.wav:0.20-0.85       a part of it, in seconds
session1/u7:1.20-1.85    a part of an utterance that is searched, or of a recording of the
                         corpus, whose times count from the recording's beginning
session1:12:01.20-12:01.85
                         the same with times as players and tables of hits show them
queries.csv              annotations: recording, start_s, end_s and label (formats.spans)
session1.eaf             annotations of ELAN or Praat (.TextGrid), of all tiers; times count from
                         the beginning of the recording of that name
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerochain import audio
from zerochain.corpora.sounds import stem
from zerochain.errors import InputError, counted, listed
from zerochain.exchange.elan import read_elan
from zerochain.exchange.textgrid import read_textgrid
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.identity import composed
from zerochain.formats.spans import LabelledSpan, read_spans
from zerochain.search.find import BEYOND_S, Place, check_duration

TABLES = (".csv", ".tsv", ".txt", ".parquet")
"""Suffixes of tables of annotations."""
TIERS = (".eaf", ".textgrid")
"""Suffixes of files with tiers of annotations."""
_SPAN = re.compile(r"(?P<where>.+):(?P<start>\d+(?:\.\d+)?)-(?P<end>\d+(?:\.\d+)?)", re.DOTALL)
_CLOCK = r"(?:\d+:[0-5]\d:[0-5]\d|\d+:[0-5]\d)(?:\.\d+)?"
_CLOCK_SPAN = re.compile(f"(?P<where>.+?):(?P<start>{_CLOCK})-(?P<end>{_CLOCK})", re.DOTALL)
_QUIET = 1e-3
_PAUSE = 0.1  # 20 dB below the loudest moment


@dataclass(frozen=True)
class Example:
    """An example to be searched for: a place in what is searched, or a clip of its own."""

    label: str
    place: Place | None = None
    clip: audio.Waveform | None = None
    """Mono samples at 16 kHz."""
    name: str = ""


def examples(
    text: str,
    ids: Sequence[str],
    corpus: Corpus | None = None,
    *,
    word: str | None = None,
    label: str | None = None,
) -> list[Example]:
    """What a query on the command line means.

    Args:
        ids: of the utterances that are searched.
        corpus: of these, where recordings are to be found by their names.
        word: of a table, the rows with this label; None takes all rows.
        label: what hits are called; None takes the rows' labels, else the name of the clip.

    Raises:
        InputError: neither a file nor an utterance; impossible times; a silent clip; a table
            without such rows.
    """
    span = _SPAN.fullmatch(text)
    clocked = _CLOCK_SPAN.fullmatch(text)
    path = Path(text)
    searched = Searched(ids, corpus)
    if span is None and clocked is None and path.suffix.lower() in (*TABLES, *TIERS):
        return _of_table(path, searched, word, label)
    if word is not None:
        raise InputError(
            f"word={word!r} only applies to a table of annotations",
            remedy=f"give a table or a file with tiers ({', '.join((*TABLES, *TIERS))}) as the "
            "query",
        )
    if span is None and clocked is None:
        if searched.has(text) and not path.is_file():
            raise InputError(
                f"the query {text!r} is an utterance or recording that is searched, without times",
                remedy=f"give the part that is to be found: '{text}:START-END', in seconds",
            )
        if not path.is_file():
            raise _unknown(text, ids, corpus)
        return [_clip(path, None, None, label)]
    # A name may end like a time on a clock: "tape:1" of "tape:1:20-30" is looked for first.
    if clocked is not None and (span is None or not searched.has(span["where"])):
        span = clocked
    assert span is not None
    where, start_s, end_s = span["where"], _seconds(span["start"]), _seconds(span["end"])
    if not start_s < end_s:
        raise InputError(
            f"the query {text!r} ends before it starts",
            remedy="write START-END, in seconds or as 12:01.20-12:01.85",
        )
    place = searched.place(LabelledSpan(where, start_s, end_s, ""))
    if place is None and Path(where).is_file():
        place = searched.place_in_file(Path(where), start_s, end_s)
    if place is not None:
        return [Example(label or text.rpartition("/")[2], place, name=text)]
    if Path(where).is_file():
        return [_clip(Path(where), start_s, end_s, label)]
    raise _unknown(where, ids, corpus)


def _of_table(path: Path, searched: Searched, word: str | None, label: str | None) -> list[Example]:
    rows = _annotations(path, searched, word)
    chosen = [row for row in rows if word is None or row.label == composed(word)]
    if not chosen:
        there = sorted({row.label for row in rows})
        close = difflib.get_close_matches(word or "", there, 5) or there
        raise InputError(
            f"has no row with the label {word!r}" if word else "holds no row",
            path=path,
            cause=f"there are {listed(close)}" if there else None,
            remedy="choose one of its labels, exactly as they are written"
            if there
            else "list annotations in it: recording, start_s, end_s, label",
        )
    found, lost = [], []
    for row in chosen:
        place = searched.place(row)
        name = f"{row.recording}:{row.start_s:.2f}-{row.end_s:.2f}"
        if place is None:
            lost.append(row.recording)
        else:
            found.append(Example(label or row.label or name, place, name=name))
    if lost:
        raise InputError(
            f"{counted(len(lost), 'row')} of recordings that are not searched: {listed(lost)}",
            path=path,
            cause="they are of another corpus or split, or named in another way",
            remedy="give ids of utterances, or the corpus whose recordings they are",
        )
    return found


def _annotations(path: Path, searched: Searched, word: str | None) -> Sequence[LabelledSpan]:
    """The rows of a table, or the annotations of all tiers; those that two tiers share once.

    Raises:
        InputError: not such a file, or tiers without a word to choose one by.
    """
    suffix = path.suffix.lower()
    if suffix not in TIERS:
        return read_spans(path).rows
    if word is None:
        raise InputError(
            "has many annotations, and all of them would be searched for",
            path=path,
            remedy="give word=, one of them as it is written there",
        )
    names = [path.stem]
    if suffix == ".eaf":
        file = read_elan(path)
        names += [stem(name) for media in file.media for name in media.names]
        name = searched.known(names)
        tiers = file.on_recording(name).tiers
    else:
        name, tiers = searched.known(names), read_textgrid(path).tiers
    spans = dict.fromkeys((i.onset, i.offset, i.label) for tier in tiers for i in tier.intervals)
    return [LabelledSpan(name, *span) for span in spans if span[2]]


class _Cut(NamedTuple):
    """The utterances of a recording, and where they are in it (s)."""

    ids: list[str]
    begins: NDArray[np.float64]
    ends: NDArray[np.float64]


class Searched:
    """The utterances that are searched, by their ids and by the recordings they were cut from."""

    def __init__(self, ids: Sequence[str], corpus: Corpus | None) -> None:
        self._ids = set(ids)
        self._corpus = corpus

    def place(self, row: LabelledSpan) -> Place | None:
        """Where a span is; None where it isn't searched.

        Raises:
            InputError: it is not within one utterance, or the name is that of several recordings.
        """
        name = composed(row.recording)
        if name in self._ids:
            return Place(name, row.start_s, row.end_s)
        file = self._recording(name)
        if file is None:
            return None
        place, (begin_s, until_s) = self._within(file, row.start_s, row.end_s)
        if place is None:
            raise InputError(
                f"the query from {row.start_s:g} to {row.end_s:g} s of {name!r} is not within one "
                f"utterance; the nearest is from {begin_s:.2f} to {until_s:.2f} s",
                cause="it lies in a pause, or reaches over one",
                remedy="give a part of an utterance, or the sound file as FILE:START-END",
            )
        return place

    def place_in_file(self, path: Path, start_s: float, end_s: float) -> Place | None:
        """Where a part of a file is, if that is a recording of the corpus; else None.

        It is None as well where the part is not within one utterance: it is a clip then.
        """
        if self._corpus is None or self._corpus.folder is None:
            return None
        root = (self._corpus.home / self._corpus.audio_root).resolve()
        there = path.resolve()
        inside = composed(there.relative_to(root).as_posix()) if root in there.parents else ""
        return next(
            (self._within(f, start_s, end_s)[0] for f in self._named[0].get(inside, ())), None
        )

    def has(self, name: str) -> bool:
        """Whether it is an utterance or a recording that is searched, or a sound file."""
        whole = composed(name)
        return whole in self._ids or self._recording(whole) is not None or Path(name).is_file()

    def known(self, names: Sequence[str]) -> str:
        """The first name of an utterance or a recording that is searched; else the first of all."""
        there = [n for n in map(composed, names) if n in self._ids or self._recording(n)]
        return (there or list(names))[0]

    def _within(
        self, file: str, start_s: float, end_s: float
    ) -> tuple[Place | None, tuple[float, float]]:
        """The place in the nearest utterance, None beyond it, and when that begins and ends."""
        cut = self._cut[file]
        shared_s = np.minimum(end_s, cut.ends) - np.maximum(start_s, cut.begins)
        best = int(shared_s.argmax())
        begin_s, until_s = float(cut.begins[best]), float(cut.ends[best])
        beyond = start_s < begin_s - BEYOND_S or end_s > until_s + BEYOND_S
        if shared_s[best] <= 0 or beyond:
            return None, (begin_s, until_s)
        place = Place(cut.ids[best], max(0.0, start_s - begin_s), end_s - begin_s)
        return place, (begin_s, until_s)

    def _recording(self, name: str) -> str | None:
        """The recording with this path, or else this name, with or without the suffix."""
        by_path, by_name = self._named
        there = by_path.get(name) or by_name.get(name) or []
        if len(there) > 1:
            raise InputError(
                f"{name!r} is the name of {counted(len(there), 'recording')}: "
                f"{listed(sorted(there))}",
                remedy="give the path of one of them",
            )
        return there[0] if there else None

    @cached_property
    def _cut(self) -> dict[str, _Cut]:
        """Recording → its utterances; built once, however many queries there are."""
        of: dict[str, list[Utterance]] = defaultdict(list)
        for u in () if self._corpus is None else self._corpus.utterances:
            if u.id in self._ids:
                of[u.audio].append(u)
        cut = {}
        for file, group in of.items():
            begins = np.array([u.start or 0.0 for u in group])
            ends = begins + np.array([u.duration for u in group])
            cut[file] = _Cut([u.id for u in group], begins, ends)
        return cut

    @cached_property
    def _named(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Path or name, with and without the suffix → the recordings that it may mean."""
        by_path: dict[str, list[str]] = defaultdict(list)
        by_name: dict[str, list[str]] = defaultdict(list)
        for file in self._cut:
            path = Path(composed(file))  # macOS writes names in their decomposed form
            for key in {path.as_posix(), stem(path.as_posix())}:
                by_path[key].append(file)
            for key in {path.name, path.stem}:
                by_name[key].append(file)
        return by_path, by_name


def _seconds(time: str) -> float:
    """Seconds of a time as it is written: 721.2, 12:01.20 or 0:12:01.20."""
    *outer, last = time.split(":")
    minutes = 0
    for part in outer:
        minutes = 60 * minutes + int(part)
    return 60 * minutes + float(last)


def _clip(path: Path, start_s: float | None, end_s: float | None, label: str | None) -> Example:
    if start_s is not None and end_s is not None:
        lasts_s = audio.info(path).duration_s
        if start_s >= lasts_s or end_s > lasts_s + BEYOND_S:
            raise InputError(
                f"the query from {start_s:g} to {end_s:g} s reaches beyond the clip, which lasts "
                f"{lasts_s:.2f} s",
                path=path,
                remedy="give start and end in seconds from its beginning",
            )
        end_s = min(end_s, lasts_s)
    wave = audio.read(path, start=start_s, end=end_s)
    part = "" if start_s is None else f":{start_s:.2f}-{end_s:.2f}"
    name = f"{path.name}{part}"
    check_duration(name, len(wave) / audio.SAMPLE_RATE)
    check_audible(name, wave)
    return Example(label or path.stem, clip=wave, name=name)


def check_audible(name: str, wave: audio.Waveform) -> None:
    """Raise InputError for a query in which there is no sound."""
    if np.abs(wave).max(initial=0.0) < _QUIET:
        raise InputError(
            f"the query {name} is silent",
            cause="another channel has the speech, or the times are wrong",
            remedy="listen to it, and choose a part in which somebody speaks",
        )


def pause_notes(examples: Sequence[Example], corpus: Corpus) -> list[str]:
    """Notes on queries that are far quieter than the utterances that they were cut from.

    Raises:
        InputError: one is silent, or a recording can't be read.
    """
    notes = []
    for example in examples:
        if example.place is None:
            continue
        wave = corpus.wave(corpus.by_id[example.place.id])
        begin, end = (round(t * audio.SAMPLE_RATE) for t in example.place[1:])
        check_audible(example.name, wave[begin:end])
        loudest = np.abs(wave).max()
        if np.abs(wave[begin:end]).max() < _PAUSE * loudest:
            notes.append(f"{example.name} is far quieter than its utterance: is it a pause?")
    return notes


def _unknown(name: str, ids: Sequence[str], corpus: Corpus | None) -> InputError:
    known = set(ids)
    cut = [] if corpus is None else [u for u in corpus.utterances if u.start is not None]
    recordings = sorted({stem(u.audio) for u in cut if u.id in known})
    close = difflib.get_close_matches(name, [*recordings, *ids], 3, 0.5)
    what = "similar ones are" if close else "there are"
    return InputError(
        f"the query {name!r} is neither a sound file nor an utterance or recording that is "
        f"searched; {what} {listed(close or recordings or list(ids), 3)}",
        remedy="give a sound file, UTTERANCE:START-END in seconds, or a table of annotations",
    )
