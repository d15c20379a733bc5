"""The page to listen to clusters of terms, and what it shares with that of units (`unit_sounds`).

Each page is one file without a network, of at most `MOST_BYTES` of sound. The page of terms has a
field for each cluster's name, and saves all spans with these names as a CSV that other commands
read, which is all that a page without a server can do.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import zerochain
from zerochain import audio
from zerochain.errors import InputError, counted
from zerochain.exchange.term_classes import read_terms
from zerochain.formats.atomic import atomic_file
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.spans import LabelledSpan
from zerochain.progress import track
from zerochain.report import style
from zerochain.report.examples import LONGEST_S, Player, Sound, played
from zerochain.report.page import TEMPLATES, render

_AROUND_S = 0.1
"""Played before and behind a span: its ends are estimates."""
MOST_BYTES = 20_000_000
"""Of all sounds on a page that is opened from a disk, to look through hundreds of clusters."""
PER_CLUSTER = 4
MOST_ROWS = 50_000
"""Spans whose names a page can save: their table is part of it."""


@dataclass(frozen=True)
class Group:
    """A cluster or a unit: what is known of it, and what it sounds like."""

    label: str
    facts: list[str]
    players: list[Player] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return sum(player.size for player in self.players)


def write_terms_page(
    out: Path, terms: Path, corpus: Path, *, per_cluster: int = PER_CLUSTER
) -> int:
    """Write a page of clusters of spans, the largest first; the number of clusters shown.

    Args:
        terms: a table of spans with utterances as recordings, or a file of classes.
        per_cluster: spans to hear of a cluster: those with the highest scores, of as many speakers
            as possible.

    Raises:
        InputError: the packages of the extra `report` are missing, a span of another corpus, or a
            recording that can't be read.
    """
    style.require_report_extra()
    spans, recordings = read_terms(terms), read_corpus(corpus)
    strange = sorted({row.recording for row in spans.rows} - set(recordings.ids))
    if strange:
        raise InputError(
            f"spans of {counted(len(strange), 'recording')} that corpus {recordings.name} lacks, "
            f"such as {strange[0]!r}",
            path=terms,
            cause="they were discovered in another corpus",
            remedy="give that corpus",
        )
    clusters: dict[str, list[LabelledSpan]] = {}
    for row in spans.rows:
        clusters.setdefault(row.label, []).append(row)
    ordered = sorted(clusters.items(), key=lambda one: -len(one[1]))
    groups: list[Group] = []
    size = 0
    for label, rows in track(ordered, "Cutting sounds"):
        group = _cluster(label, rows, recordings, per_cluster)
        size += group.size
        if groups and size > MOST_BYTES:
            break
        groups.append(group)
    notes = left_out(len(clusters) - len(groups), "cluster", "All are in the table.")
    can_save = len(spans.rows) <= MOST_ROWS
    if not can_save:
        notes.append(f"Names can't be saved: more than {counted(MOST_ROWS, 'span')}.")
    context = {
        "eyebrow": f"zerochain {spans.what}",
        "title": "What is said again",
        "summary": f"{counted(len(spans.rows), 'span')} in {counted(len(clusters), 'cluster')}, "
        f"found in corpus {recordings.name} without its texts.",
        "system": spans.system,
        "groups": groups,
        "notes": notes,
        "about": f"Sounds begin and end {_AROUND_S:g} s outside their span.",
        "rows": [_row(row) for row in spans.rows] if can_save else [],
        "file": f"{terms.stem}-named.csv",
    }
    write_page(out, context)
    return len(groups)


def write_page(out: Path, context: dict[str, Any]) -> None:
    """Write a page from the template listening.html.j2, atomically."""
    script = (TEMPLATES / "listening.js").read_text(encoding="utf-8")
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    text = render(
        "listening.html.j2",
        {
            **context,
            "version": zerochain.__version__,
            "script": script,
            "script_hash": f"sha256-{digest}",
        },
    )
    with atomic_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def left_out(n: int, what: str, where: str) -> list[str]:
    """A note on groups that the page had no room for, if any."""
    more = f"{counted(n, what)} not shown: more would make the page too large. {where}"
    return [more] if n else []


def _row(row: LabelledSpan) -> list[object]:
    score = "" if row.score is None else round(row.score, 4)
    times = (round(row.start_s, 4), round(row.end_s, 4))
    return [row.recording, *times, row.label, score, row.speaker or ""]


def _cluster(label: str, rows: Sequence[LabelledSpan], corpus: Corpus, per_cluster: int) -> Group:
    voices = {corpus.by_id[row.recording].speaker for row in rows} - {None}
    lasting = sorted(row.end_s - row.start_s for row in rows)
    facts = [
        counted(len(rows), "span"),
        counted(len(voices), "speaker") if voices else "unknown speakers",
        f"{lasting[len(lasting) // 2]:.2f} s",
    ]
    sounds: list[Sound] = []
    for row in _chosen(rows, corpus, per_cluster):
        speaker = corpus.by_id[row.recording].speaker or "unknown speaker"
        where = f"{row.recording}, {row.start_s:.2f}–{row.end_s:.2f} s"
        score = "" if row.score is None else f" ({row.score:.2f})"
        sounds.append((f"{speaker}{score}", where, cut(corpus, row)))
    return Group(label, facts, played(sounds))


def _chosen(rows: Sequence[LabelledSpan], corpus: Corpus, n: int) -> list[LabelledSpan]:
    """The best of each speaker, then the second best, and so on."""
    seen: dict[str | None, int] = {}
    ranked: list[tuple[int, int, LabelledSpan]] = []
    for row in sorted(rows, key=lambda row: (-(row.score or 0.0), row.recording, row.start_s)):
        speaker = corpus.by_id[row.recording].speaker
        seen[speaker] = seen.get(speaker, 0) + 1
        ranked.append((seen[speaker], len(ranked), row))
    return [row for *_, row in sorted(ranked)[:n]]


def cut(corpus: Corpus, row: LabelledSpan, around_s: float = _AROUND_S) -> audio.Waveform:
    """The sound of a span, with a little around it."""
    utterance = corpus.by_id[row.recording]
    begin_s = min(max(0.0, row.start_s - around_s), max(0.0, utterance.duration - 0.02))
    end_s = min(utterance.duration, row.end_s + around_s, begin_s + LONGEST_S)
    first_s = utterance.start or 0.0
    return corpus.wave(replace(utterance, start=first_s + begin_s, end=first_s + end_s))
