"""RTTM, NIST's Rich Transcription Time Marked: who speaks when, for diarisation and its scoring.

One line is one turn, its fields separated by spaces, and times in seconds of the recording:

    SPEAKER recording channel start duration <NA> <NA> speaker <NA> <NA>

Other types of lines (SPKR-INFO, LEXEME, …) say nothing about turns, and `;;` begins a comment.
(NIST, The 2009 RT-09 Rich Transcription Meeting Recognition Evaluation Plan, appendix A.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
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
    """The turns of an RTTM file, in its order; diarisation may leave some without length.

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
        if not (turn.channel >= 1 and 0 <= turn.start <= turn.end < math.inf):
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


def without_spaces(name: str) -> str:
    """A name as RTTM has it: a space separates its fields, so "_" takes the place of any."""
    return "_".join(name.split())


def write_rttm(path: Path, corpus: Corpus) -> tuple[int, list[str]]:
    """Write the utterances of a corpus as turns, by recording and time.

    Spaces in names of recordings and speakers become "_"; `import recordings --rttm` finds such
    recordings again.

    Returns:
        How many turns there are, and the names that were changed.

    Raises:
        InputError: two names are one without their spaces.
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
    recordings = _written({row[0] for row in rows}, "recordings", path)
    speakers = _written({row[4] for row in rows}, "speakers", path)
    lines = [
        f"SPEAKER {recordings[name]} {channel} {start:.3f} {length:.3f} <NA> <NA> "
        f"{speakers[speaker]} <NA> <NA>\n"
        for name, start, length, channel, speaker in rows
    ]
    with atomic_file(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8", newline="")
    changed = [
        name for names in (recordings, speakers) for name, new in names.items() if name != new
    ]
    return len(lines), sorted(changed)


def _written(names: Iterable[str], what: str, path: Path) -> dict[str, str]:
    """Names → what is written of them."""
    found: dict[str, str] = {}
    for name in sorted(names):
        new = without_spaces(name)
        if new in found:
            raise InputError(
                f"the {what} {found[new]!r} and {name!r} have the same name in RTTM, {new!r}, as "
                "spaces separate its fields",
                path=path,
                remedy="rename one of them and import again",
            )
        found[new] = name
    return {name: new for new, name in found.items()}
