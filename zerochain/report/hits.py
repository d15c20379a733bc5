"""The page of a search: each query and its hits, to be listened to. One file without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zerochain import audio
from zerochain.errors import counted
from zerochain.formats.corpus import Corpus
from zerochain.progress import track
from zerochain.report import style
from zerochain.report.examples import LONGEST_S, Sound, played
from zerochain.report.listening import Group, cut, fitting, left_out, where_is, write_page
from zerochain.search.find import Found, Hit, Place
from zerochain.search.queries import Example

_AROUND_S = 0.15
"""Played before and behind a place: its ends are estimates."""


def write_hits_page(
    out: Path, found: Found, examples: Sequence[Example], corpus: Corpus, system: str
) -> None:
    """Write hits as an HTML page with players: all queries, or as many as fit.

    Args:
        examples: what was searched for.
        corpus: has the recordings.
        system: what was compared and how, for people.

    Raises:
        InputError: the packages of the extra `report` are missing, or a recording can't be read.
    """
    style.require_report_extra()
    labels = list(dict.fromkeys(example.label for example in examples))
    hits: dict[str, list[Hit]] = {label: [] for label in labels}
    for hit in found.hits:
        hits[hit.label].append(hit)
    queries: dict[str, list[Example]] = {label: [] for label in labels}
    for example in examples:
        queries[example.label].append(example)
    groups = fitting(
        _group(label, hits[label], queries[label], corpus)
        for label in track(labels, "Cutting sounds")
    )
    n_lost = len(labels) - len(groups)
    lost = left_out(n_lost, "query", "All hits are in the table.", plural="queries")
    context = {
        "eyebrow": "zerochain find",
        "title": "Where is this said again?",
        "summary": f"{counted(len(found.hits), 'hit')} for "
        f"{counted(len(labels), 'query', 'queries')} in corpus {corpus.name}.",
        "system": system,
        "groups": groups,
        "notes": [*found.notes, *lost],
        "about": "The number is a hit's score: standard deviations above random windows of the "
        f"same recordings. Sounds begin and end {_AROUND_S:g} s outside the place that was found.",
    }
    write_page(out, context)


def _group(label: str, hits: Sequence[Hit], examples: Sequence[Example], corpus: Corpus) -> Group:
    sounds: list[Sound] = [("query", example.name, _sound(corpus, example)) for example in examples]
    for hit in hits:
        utterance = corpus.by_id[hit.place.id]
        what = f"{hit.score:.1f}{', the query itself' if hit.is_own else ''}"
        where = where_is(corpus, *hit.place)
        by = f"{where}, {utterance.speaker or 'unknown speaker'}"
        sounds.append((what, by, _cut(corpus, hit.place)))
    return Group(label, [counted(len(hits), "hit")], played(sounds))


def _sound(corpus: Corpus, example: Example) -> audio.Waveform:
    if example.place is not None:
        return _cut(corpus, example.place)
    assert example.clip is not None
    return example.clip[: round(LONGEST_S * audio.SAMPLE_RATE)]


def _cut(corpus: Corpus, place: Place) -> audio.Waveform:
    return cut(corpus, *place, around_s=_AROUND_S)
