"""The pages to listen to clusters of terms and to hits, and what that of units shares with them.

Each page is one file without a network, of at most `MOST_BYTES` of sound. The page of terms has a
field for each cluster's name, and saves all spans with these names as a CSV that other commands
read, which is all that a page without a server can do.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import zerochain
from zerochain import audio
from zerochain.errors import counted
from zerochain.exchange.term_classes import read_terms
from zerochain.formats.atomic import atomic_file
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.spans import COLUMNS, OPTIONAL, LabelledSpan, by_label, clock
from zerochain.progress import track
from zerochain.report import style
from zerochain.report.examples import LONGEST_S, Player, Sound, played
from zerochain.report.style import TEMPLATES, render
from zerochain.search.find import Found, Hit, Place
from zerochain.search.queries import Example

_AROUND_S, _AROUND_HIT_S = 0.1, 0.15
"""Played before and behind a span or a hit: its ends are estimates."""
MOST_BYTES = 20_000_000
"""Of all sounds on a page that is opened from a disk, to look through hundreds of clusters."""
PER_CLUSTER = 4
MOST_ROWS = 50_000
"""Spans whose names a page can save: their table is part of it."""
T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """A cluster, a unit or a query: what is known of it, and what it sounds like."""

    label: str
    facts: list[str]
    players: list[Player] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return sum(player.size for player in self.players)


def write_terms_page(
    out: Path, terms: Path, corpus: Path, *, per_cluster: int = PER_CLUSTER
) -> tuple[int, int]:
    """Write a page of clusters of spans, the largest first.

    Args:
        terms: a table of spans with utterances as recordings, or a file of classes.
        per_cluster: spans to hear of a cluster: those with the highest scores, of as many speakers
            as possible.

    Returns:
        How many clusters the page shows, and how many there are.

    Raises:
        InputError: the packages of the extra `report` are missing, a span of another corpus, or a
            recording that can't be read.
    """
    style.require_report_extra()
    spans, recordings = read_terms(terms), read_corpus(corpus)
    found_in = {row.recording for row in spans.rows}
    check_same_ids(found_in, recordings.ids, f"spans of {terms}", f"corpus {recordings.name}")
    clusters = by_label(spans.rows)
    ordered = sorted(clusters.items(), key=lambda one: -len(one[1]))
    groups = fitting(
        _cluster(label, rows, recordings, per_cluster)
        for label, rows in track(ordered, "Cutting sounds")
    )
    notes = left_out(len(clusters) - len(groups), "cluster", "All are in the table.")
    columns = _columns(spans.rows)
    can_save = len(spans.rows) <= MOST_ROWS
    if not can_save:
        notes.append(f"Names can't be saved: more than {counted(MOST_ROWS, 'span')}.")
    score = "The number beside a speaker is the span's score"
    if spans.what == "terms":
        score += ": how similar it is to its cluster's centre, at most 1"
    score = "" if all(row.score is None for row in spans.rows) else f"{score}. "
    context = {
        "eyebrow": f"zerochain {spans.what}",
        "title": "What is said again",
        "summary": f"{counted(len(spans.rows), 'span')} in {counted(len(clusters), 'cluster')}, "
        f"found in corpus {recordings.name} without its texts.",
        "system": spans.system,
        "groups": groups,
        "notes": notes,
        "about": f"{score}Sounds begin and end {_AROUND_S:g} s outside their span; "
        "the pictures show it in full colour.",
        "rows": [_row(row, columns) for row in spans.rows] if can_save else [],
        "columns": columns,
        "file": f"{terms.stem}-named.csv",
    }
    write_page(out, context)
    return len(groups), len(clusters)


def write_page(out: Path, context: dict[str, Any]) -> None:
    """Write a page from the template listening.html.j2, atomically.

    Args:
        context: `eyebrow`, `title`, `summary`, `system`, `groups`, `notes` and `about`, what to
            know of the sounds; for a page that names clusters `rows`, the spans to be saved, with
            their `columns`, and `file`, what they are saved as.
    """
    script = (TEMPLATES / "listening.js").read_text(encoding="utf-8")
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    shared = {
        "rows": [],
        "columns": [],
        "version": zerochain.__version__,
        "script": script,
        "script_hash": f"sha256-{digest}",
    }
    text = render("listening.html.j2", {**shared, **context})
    with atomic_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fitting(groups: Iterable[Group], most_bytes: int | None = None) -> list[Group]:
    """The first groups that fit on a page, at least one; no more are made than one beyond.

    Args:
        most_bytes: of all their sounds; None is `MOST_BYTES`.
    """
    most_bytes = MOST_BYTES if most_bytes is None else most_bytes
    kept: list[Group] = []
    size = 0
    for group in groups:
        size += group.size
        if kept and size > most_bytes:
            break
        kept.append(group)
    return kept


def left_out(n: int, what: str, where: str, plural: str = "") -> list[str]:
    """A note on groups that the page had no room for, if any."""
    more = f"{counted(n, what, plural)} not shown: more would make the page too large. {where}"
    return [more] if n else []


def _columns(rows: Iterable[LabelledSpan]) -> list[str]:
    """The columns of a table with names; those of sound files only if any row has them."""
    has_files = any(row.audio is not None for row in rows)
    return [*COLUMNS, *OPTIONAL] if has_files else [*COLUMNS, "score", "speaker"]


def _row(row: LabelledSpan, columns: Sequence[str]) -> list[object]:
    values = (getattr(row, name) for name in columns)
    return [
        "" if one is None else round(one, 4) if isinstance(one, float) else one for one in values
    ]


def _cluster(label: str, rows: Sequence[LabelledSpan], corpus: Corpus, per_cluster: int) -> Group:
    voices = {corpus.by_id[row.recording].speaker for row in rows} - {None}
    lasting = sorted(row.end_s - row.start_s for row in rows)
    facts = [
        counted(len(rows), "span"),
        counted(len(voices), "speaker") if voices else "unknown speakers",
        f"{lasting[len(lasting) // 2]:.2f} s",
    ]
    sounds = []
    if len(rows) > per_cluster:
        facts[0] += f", {per_cluster} of them here"
    best = sorted(rows, key=lambda row: (-(row.score or 0.0), row.recording, row.start_s))
    for row in of_many_speakers(best, lambda r: corpus.by_id[r.recording].speaker, per_cluster):
        speaker = corpus.by_id[row.recording].speaker or "unknown speaker"
        where = where_is(corpus, *row[:3])
        score = "" if row.score is None else f" ({row.score:.2f})"
        sounds.append(Sound(f"{speaker}{score}", where, *cut(corpus, *row[:3])))
    return Group(label, facts, played(sounds))


def of_many_speakers(ranked: Iterable[T], speaker: Callable[[T], str | None], n: int) -> list[T]:
    """n of them: the first of each speaker, then the second ones, and so on."""
    seen: Counter[str | None] = Counter()
    rounds: list[tuple[int, T]] = []
    for one in ranked:
        seen[speaker(one)] += 1
        rounds.append((seen[speaker(one)], one))
    return [one for _, one in sorted(rounds, key=itemgetter(0))[:n]]


def where_is(corpus: Corpus, name: str, start_s: float, end_s: float) -> str:
    """A part of an utterance in words; of an utterance cut from a longer file, its time there."""
    utterance = corpus.by_id[name]
    in_file = ""
    if utterance.start is not None:
        in_file = f" ({utterance.audio} {clock(utterance.start + start_s)})"
    return f"{name}, {start_s:.2f}–{end_s:.2f} s{in_file}"


def cut(
    corpus: Corpus,
    name: str,
    start_s: float,
    end_s: float,
    *,
    around_s: float = _AROUND_S,
    longest_s: float = LONGEST_S,
) -> tuple[audio.Waveform, tuple[float, float]]:
    """The sound of a part of an utterance with a little around it, and where in it the part is."""
    utterance = corpus.by_id[name]
    begin_s = min(max(0.0, start_s - around_s), max(0.0, utterance.duration - 0.02))
    part_end_s = end_s
    end_s = min(utterance.duration, end_s + around_s, begin_s + longest_s)
    first_s = utterance.start or 0.0
    wave = corpus.wave(replace(utterance, start=first_s + begin_s, end=first_s + end_s))
    return wave, (max(0.0, start_s - begin_s), min(part_end_s, end_s) - begin_s)


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
        _of_query(label, hits[label], queries[label], corpus)
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
        f"same recordings. Sounds begin and end {_AROUND_HIT_S:g} s outside the place found; "
        "the pictures show it in full colour.",
    }
    write_page(out, context)


def _of_query(
    label: str, hits: Sequence[Hit], examples: Sequence[Example], corpus: Corpus
) -> Group:
    sounds = [Sound("query", example.name, *_example(corpus, example)) for example in examples]
    for hit in hits:
        utterance = corpus.by_id[hit.place.id]
        what = f"{hit.score:.1f}{', the query itself' if hit.is_own else ''}"
        where = where_is(corpus, *hit.place)
        by = f"{where}, {utterance.speaker or 'unknown speaker'}"
        sounds.append(Sound(what, by, *_place(corpus, hit.place)))
    return Group(label, [counted(len(hits), "hit")], played(sounds))


def _example(corpus: Corpus, example: Example) -> tuple[audio.Waveform, tuple[float, float] | None]:
    """The sound of an example, and where in it the example is, if it is a place in a corpus."""
    if example.place is not None:
        return _place(corpus, example.place)
    assert example.clip is not None
    return example.clip[: round(LONGEST_S * audio.SAMPLE_RATE)], None


def _place(corpus: Corpus, place: Place) -> tuple[audio.Waveform, tuple[float, float]]:
    return cut(corpus, *place, around_s=_AROUND_HIT_S)
