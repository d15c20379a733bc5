"""Transcriber's .trs: turns of speakers, cut into segments by the times at which they begin.

A turn has one speaker, none (a pause), or several who talk at once, whose texts begin with
<Who nb="1"/>, <Who nb="2"/>, …. A segment lasts from its <Sync> to the next one, or to the end of
its turn. Events, comments and background sounds stand between the texts and say nothing.
(Barras, Geoffrois, Wu and Liberman, Speech Communication 33, 2001; its trans-14.dtd.)
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from xml.etree.ElementTree import Element

from zerochain.exchange.elan import ElanTiers, Media
from zerochain.exchange.textgrid import Interval, Tier
from zerochain.exchange.xml_tree import LINE, read_tree, reading
from zerochain.formats.identity import composed

SUFFIX = ".trs"
PROGRAM = "Transcriber"
KIND = "turns"
"""The linguistic type of its tiers."""
_SECONDS = re.compile(r"\s*[0-9]{1,9}(\.[0-9]*)?(e-?[0-9])?\s*", re.ASCII | re.I)
NOBODY = "no speaker"
"""The tier of segments with a text in turns without a speaker."""


def read_transcriber(path: Path) -> ElanTiers:
    """A tier of each speaker, and the recording; segments without a text are pauses.

    Segments whose times contradict those of their turn are `Tier.contradictory`: editing a turn
    leaves some behind, and a file has hundreds that are right.

    Raises:
        InputError: not such a file, or damaged.
    """
    root = read_tree(path, "Trans", PROGRAM)
    with reading(path, PROGRAM):
        tiers = _tiers(root)
    name = root.get("audio_filename", "")
    return ElanTiers(tiers, (Media(name, "", 0),) if name else ())


def _tiers(root: Element) -> tuple[Tier, ...]:
    named = ((one.get("id", ""), one.get("name", "")) for one in root.iter("Speaker"))
    names = {identity: name or identity for identity, name in named}
    found: dict[str, list[Interval]] = defaultdict(list)
    contradictory: dict[str, list[Interval]] = defaultdict(list)
    for turn in root.iter("Turn"):
        ids = turn.get("speaker", "").split()
        unknown = [one for one in ids if one not in names]
        if unknown:
            raise ValueError(f"line {turn.get(LINE)}: a turn of the unknown speaker {unknown[0]!r}")
        for i, one, fits in _segments(turn, max(1, len(ids))):
            name = composed(" ".join(names[ids[i]].split())) if ids else NOBODY
            found[name] += [one] if fits else []
            contradictory[name] += [] if fits else [one]
    return tuple(
        Tier(
            name,
            tuple(line),
            kind=KIND,
            speaker="" if name == NOBODY else name,
            contradictory=tuple(contradictory[name]),
        )
        for name, line in found.items()
    )


def _segments(turn: Element, n_speakers: int) -> Iterator[tuple[int, Interval, bool]]:
    """The texts of a turn, with the number of the speaker from 0 on, and whether its times fit.

    They fit if nothing before it in the turn is later, and nothing behind it earlier.
    """
    where = f"line {turn.get(LINE)}"
    start, end = _time(turn, "startTime"), _time(turn, "endTime")
    begins = [start]
    texts = [[""] * n_speakers]
    who = 0
    texts[-1][who] += turn.text or ""
    for one in turn:
        if (one.text or "").strip() or len(one):
            raise ValueError(f"line {one.get(LINE)}: a text within {one.tag}")
        if one.tag == "Sync":
            begins.append(_time(one, "time"))
            texts.append([""] * n_speakers)
            who = 0
        elif one.tag == "Who":
            number = one.get("nb", "")
            if not (number.isascii() and number.isdigit() and 1 <= int(number) <= n_speakers):
                raise ValueError(f"line {one.get(LINE)}: speaker {number!r} of {n_speakers}")
            who = int(number) - 1
        texts[-1][who] += f" {one.tail or ''}"
    times = [*begins, end]
    latest = list(accumulate(times, max))
    earliest = list(accumulate(reversed(times), min))[::-1]
    for k, line in enumerate(texts):
        onset, offset = times[k], times[k + 1]
        fits = latest[k] == onset <= offset == earliest[k + 1]
        for i, text in enumerate(line):
            if label := composed(" ".join(text.split())):
                yield i, Interval(f"{where}, {onset:g} s", onset, offset, label), fits


def _time(one: Element, name: str) -> float:
    text = one.get(name)
    if text is None:
        raise ValueError(f"line {one.get(LINE)}: {one.tag} without {name}")
    if not _SECONDS.fullmatch(text):
        raise ValueError(f"line {one.get(LINE)}: {name} is {text[:40]!r}, not seconds")
    return float(text)
