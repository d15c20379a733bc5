"""The page of a search: each query and its hits, to be listened to. One file without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import zerochain
from zerochain import audio
from zerochain.errors import counted
from zerochain.formats.atomic import atomic_file
from zerochain.formats.corpus import Corpus
from zerochain.progress import track
from zerochain.report import style
from zerochain.report.examples import LONGEST_S, MOST_BYTES, Player, Sound, played
from zerochain.report.page import render
from zerochain.search.find import Found, Hit, Place
from zerochain.search.queries import Example

_AROUND_S = 0.15
"""Played before and behind a place: its ends are estimates."""


@dataclass(frozen=True)
class _Group:
    """A label: examples of it, and where it was found."""

    label: str
    n_hits: int
    players: list[Player]

    @property
    def size(self) -> int:
        return sum(player.size for player in self.players)


def write_hits_page(
    out: Path, found: Found, examples: Sequence[Example], corpus: Corpus, system: str
) -> None:
    """Write hits as an HTML page with players, of at most `MOST_BYTES` of sound.

    Args:
        examples: what was searched for.
        corpus: has the recordings.
        system: what was compared and how, for people.

    Raises:
        InputError: the packages of the extra `report` are missing, or a recording can't be read.
    """
    style.require_report_extra()
    groups: list[_Group] = []
    left = list(dict.fromkeys(example.label for example in examples))
    notes = list(found.notes)
    for label in track(list(left), "Cutting sounds"):
        group = _group(label, found.hits, examples, corpus)
        if groups and sum(g.size for g in [*groups, group]) > MOST_BYTES:
            break
        groups.append(group)
        left.remove(label)
    if left:
        notes.append(
            f"{counted(len(left), 'query', 'queries')} not shown: more would make the page too "
            "large. All hits are in the table."
        )
    shown = sum(len(group.players) for group in groups)
    context = {
        "title": "Where is this said again?",
        "summary": f"{counted(len(found.hits), 'hit')} for "
        f"{counted(len(groups) + len(left), 'query', 'queries')} in corpus {corpus.name}.",
        "groups": groups,
        "notes": notes,
        "system": system,
        "version": zerochain.__version__,
        "n_players": shown,
    }
    text = render("hits.html.j2", context)
    with atomic_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _group(label: str, hits: Sequence[Hit], examples: Sequence[Example], corpus: Corpus) -> _Group:
    sounds: list[Sound] = [
        (f"query {example.name}", "", _sound(corpus, example))
        for example in examples
        if example.label == label
    ]
    mine = [hit for hit in hits if hit.label == label]
    for hit in mine:
        utterance = corpus.by_id[hit.place.id]
        what = f"{hit.score:.1f}{' (the query itself)' if hit.is_own else ''}"
        where = f"{hit.place.id}, {hit.place.start_s:.2f}–{hit.place.end_s:.2f} s"
        by = f"{where}, {utterance.speaker or 'unknown speaker'}"
        sounds.append((what, by, _cut(corpus, hit.place)))
    return _Group(label, len(mine), played(sounds))


def _sound(corpus: Corpus, example: Example) -> audio.Waveform:
    if example.place is not None:
        return _cut(corpus, example.place)
    assert example.clip is not None
    return example.clip[: round(LONGEST_S * audio.SAMPLE_RATE)]


def _cut(corpus: Corpus, place: Place) -> audio.Waveform:
    """The sound of a place, with a little around it."""
    utterance = corpus.by_id[place.id]
    begin_s = max(0.0, place.start_s - _AROUND_S)
    end_s = min(utterance.duration, place.end_s + _AROUND_S, begin_s + LONGEST_S)
    first_s = utterance.start or 0.0
    return corpus.wave(replace(utterance, start=first_s + begin_s, end=first_s + end_s))
