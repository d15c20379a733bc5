"""What is searched for, as a user writes it: a clip, a span of a recording, or rows of a table.

word.wav                 the whole of a sound file
word.wav:0.20-0.85       a part of it, in seconds
session1/u7:1.20-1.85    a part of an utterance that is searched, or of a recording of the
                         corpus, whose times count from the recording's beginning
queries.csv              annotations: recording, start_s, end_s and label (formats.spans)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from zerochain import audio
from zerochain.corpora.sounds import stem
from zerochain.errors import InputError, counted, listed
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.identity import composed
from zerochain.formats.spans import LabelledSpan, read_spans
from zerochain.search.find import BEYOND_S, Place, check_duration

TABLES = (".csv", ".tsv", ".txt", ".parquet")
"""Suffixes of tables of annotations."""
_SPAN = re.compile(r"(?P<where>.+):(?P<start>\d+(?:\.\d+)?)-(?P<end>\d+(?:\.\d+)?)", re.DOTALL)
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
    path = Path(text)
    if span is None and path.suffix.lower() in TABLES:
        return _of_table(path, ids, corpus, word, label)
    if word is not None:
        raise InputError(
            f"word={word!r} only applies to a table of annotations",
            remedy=f"give a table ({', '.join(TABLES)}) as the query",
        )
    if span is None:
        if not path.is_file():
            raise _unknown(text, ids, corpus)
        return [_clip(path, None, None, label)]
    where, start_s, end_s = span["where"], float(span["start"]), float(span["end"])
    if not start_s < end_s:
        raise InputError(
            f"the query {text!r} ends before it starts", remedy="write START-END in seconds"
        )
    place = _place(LabelledSpan(where, start_s, end_s, ""), set(ids), corpus)
    if place is not None:
        return [Example(label or text.rpartition("/")[2], place, name=text)]
    if Path(where).is_file():
        return [_clip(Path(where), start_s, end_s, label)]
    raise _unknown(where, ids, corpus)


def _of_table(
    path: Path,
    ids: Sequence[str],
    corpus: Corpus | None,
    word: str | None,
    label: str | None,
) -> list[Example]:
    rows = read_spans(path).rows
    chosen = [row for row in rows if word is None or row.label == composed(word)]
    if not chosen:
        there = sorted({row.label for row in rows})
        close = difflib.get_close_matches(word or "", there, 5) or there
        raise InputError(
            f"has no row with the label {word!r}" if word else "holds no row",
            path=path,
            cause=f"there are {listed(close)}" if there else None,
            remedy="choose one of its labels, exactly as they are written",
        )
    found, lost, known = [], [], set(ids)
    for row in chosen:
        place = _place(row, known, corpus)
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


def _place(row: LabelledSpan, known: Set[str], corpus: Corpus | None) -> Place | None:
    """Where a span is among the utterances that are searched; None where it isn't."""
    name = composed(row.recording)
    if name in known:
        return Place(name, row.start_s, row.end_s)
    if corpus is None:
        return None
    cut = _cut_from(name, [u for u in corpus.utterances if u.id in known])
    if not cut:
        return None
    u = max(cut, key=partial(_shared_s, row))
    begin_s = u.start or 0.0
    start_s, end_s = row.start_s - begin_s, row.end_s - begin_s
    if _shared_s(row, u) <= 0 or start_s < -BEYOND_S or end_s > u.duration + BEYOND_S:
        near = f"{begin_s:.2f} to {begin_s + u.duration:.2f} s"
        raise InputError(
            f"the query from {row.start_s:g} to {row.end_s:g} s of {name!r} is not within one "
            f"utterance; the nearest is from {near}",
            cause="it lies in a pause, or reaches over one",
            remedy="give a part of an utterance, or the sound file as FILE:START-END",
        )
    return Place(u.id, max(0.0, start_s), end_s)


def _cut_from(name: str, searched: Sequence[Utterance]) -> list[Utterance]:
    """The utterances of a recording: its path or its name alone, with or without the suffix."""
    cut = [u for u in searched if name in {u.audio, stem(u.audio)}] or [
        u for u in searched if name in {Path(u.audio).name, Path(u.audio).stem}
    ]
    if len(there := sorted({u.audio for u in cut})) > 1:
        raise InputError(
            f"{name!r} is the name of {counted(len(there), 'recording')}: {listed(there)}",
            remedy="give the path of one of them",
        )
    return cut


def _shared_s(row: LabelledSpan, u: Utterance) -> float:
    """How long a span and an utterance of one recording are both; below 0, how far apart."""
    begin_s = u.start or 0.0
    return min(row.end_s, begin_s + u.duration) - max(row.start_s, begin_s)


def _clip(path: Path, start_s: float | None, end_s: float | None, label: str | None) -> Example:
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
