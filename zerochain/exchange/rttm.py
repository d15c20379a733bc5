"""RTTM, NIST's Rich Transcription Time Marked: who speaks when, for diarisation and its scoring.

One line is one turn, its fields separated by spaces, and times in seconds of the recording:

    SPEAKER recording channel start duration <NA> <NA> speaker <NA> <NA>

Other types of lines (SPKR-INFO, LEXEME, …) say nothing about turns, and `;;` begins a comment.
(NIST, The 2009 RT-09 Rich Transcription Meeting Recognition Evaluation Plan, appendix A.)
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from zerochain.corpora.sounds import stem
from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import composed
from zerochain.formats.text_files import fields_of, lines_of, read_text

_NOTHING = "<NA>"
_LEAST_FIELDS = 8


class Turn(NamedTuple):
    """A stretch of a recording in which one speaker talks; times in seconds."""

    recording: str
    channel: int
    """Counted from 1; 1 is written for mono recordings and mixes too."""
    start: float
    end: float
    speaker: str | None


def read_rttm(path: Path) -> list[Turn]:
    """The turns of an RTTM file, in its order.

    Raises:
        InputError: a turn that is damaged, with its line, or no turn at all.
    """
    turns = [
        _turn(fields, f"{path}:{number}")
        for number, line in enumerate(lines_of(read_text(path)), 1)
        if (fields := fields_of(line)) and fields[0] == "SPEAKER"
    ]
    if not turns:
        raise InputError(
            "holds no turn: no line begins with SPEAKER",
            path=path,
            cause="it is another format, such as CTM",
            remedy="write lines such as 'SPEAKER story 1 0.52 3.18 <NA> <NA> ana <NA> <NA>'",
        )
    return turns


def _turn(fields: list[str], where: str) -> Turn:
    try:
        _, recording, channel, start, length, _, _, speaker = fields[:_LEAST_FIELDS]
        turn = Turn(
            composed(recording),
            int(channel) if channel != _NOTHING else 1,
            float(start),
            round(float(start) + float(length), 6),
            None if speaker == _NOTHING else composed(speaker),
        )
        if not (turn.channel >= 1 and 0 <= turn.start < turn.end < math.inf):
            raise ValueError
    except ValueError:
        raise InputError(
            f"not a turn: {' '.join(fields)!r}",
            path=where,
            cause="a field is missing, or its channel, start or duration is impossible",
            remedy="write SPEAKER, recording, channel from 1, start and duration in seconds, <NA>, "
            "<NA>, speaker, separated by spaces",
        ) from None
    return turn


def write_rttm(path: Path, corpus: Corpus) -> int:
    """Write the utterances of a corpus as turns, by recording and time; how many there are.

    Raises:
        InputError: the name of a recording or a speaker has a space in it.
    """
    rows = sorted(
        (
            stem(u.audio),
            u.start or 0.0,
            u.duration if u.end is None else u.end - (u.start or 0.0),
            u.channel or 1,
            u.speaker or _NOTHING,
        )
        for u in corpus.utterances
    )
    for recording, _, _, _, speaker in rows:
        for name, what in ((recording, "recording"), (speaker, "speaker")):
            if len(name.split()) != 1:
                raise InputError(
                    f"the {what} {name!r} has a space in its name, which separates RTTM's fields",
                    path=path,
                    remedy="rename it and import again",
                )
    lines = [
        f"SPEAKER {name} {channel} {start:.3f} {length:.3f} <NA> <NA> {speaker} <NA> <NA>\n"
        for name, start, length, channel, speaker in rows
    ]
    with atomic_file(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8", newline="")
    return len(lines)
