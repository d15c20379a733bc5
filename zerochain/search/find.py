"""Query by example: where in recordings is something said again?

Two passes. The first aligns the query with all recordings in a coarse view, units or means over
40 ms, and keeps the best candidates. The second aligns it frame by frame with the surroundings of
each candidate, which gives times and costs of the full resolution. Without a coarse view there is
one exact pass.

Costs of two queries don't compare: a short query of common sounds is cheap anywhere. So a hit's
score is a z-score: how many standard deviations it is cheaper than the best alignment in a window
drawn at random, which is twice as long as the query (as the normalisation of scores in speaker
verification; for queries by example: Szöke et al., MediaEval 2013).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import threadpool_limits

from zerochain.config import NO_OPTION, Config
from zerochain.errors import InputError, counted, listed
from zerochain.machine import cores
from zerochain.progress import track
from zerochain.search.alignment import (
    FAR,
    LONGEST_PATH,
    best_paths_in_pieces,
    local_minima,
)
from zerochain.search.sources import Source

SHORTEST_S = 0.1
"""A shorter query is refused: it is half a syllable."""
BEYOND_S = 0.25
"""How far a query may reach beyond its utterance; it is cut there."""
SHORT_S = 0.3
"""A shorter query gets a warning."""
_BLOCK_FRAMES = 1 << 15
_FEWEST_COARSE = 5
_FEWEST_WINDOWS = 20
_SMALLEST_DEVIATION = 1e-6
_LIKE_SILENCE = 0.1


class FindConfig(Config):
    """How the recordings are searched."""

    most: int = Field(20, ge=1)
    """Hits per query, at most."""
    min_score: float = Field(2.0)
    """Lowest score of a hit, in standard deviations above random windows."""
    first_pass_ms: float = Field(40.0, ge=0)
    """Step of the first pass over features, in ms; 0 searches all frames at full resolution."""
    candidates: int = Field(200, ge=1)
    """Places that the first pass keeps for the second, at least 5 per hit."""
    windows: int = Field(200, ge=_FEWEST_WINDOWS)
    """Random windows per query that scores are measured against."""
    keep_own: bool = False
    """Keep hits at the places that the queries were cut from."""
    seed: int = Field(0, ge=0, json_schema_extra=NO_OPTION)
    """Random seed of the windows."""


class Place(NamedTuple):
    """A stretch of an utterance, in seconds."""

    id: str
    start_s: float
    end_s: float


@dataclass(frozen=True, eq=False)
class Query:
    """An example of what is searched for.

    Attributes:
        label: what hits are called. Queries with one label are examples of one thing, and their
            hits are merged.
        name: where it comes from, for people.
        duration_s: how long it lasts.
        frames: its frames, in the form of the source.
        coarse: the same for the first pass; None without one.
        own: where it was cut from, if that is searched.
    """

    label: str
    name: str
    duration_s: float
    frames: NDArray[Any]
    coarse: NDArray[Any] | None = None
    own: Place | None = None


@dataclass(frozen=True)
class Hit:
    """A place where a query was found."""

    label: str
    query: str
    """The query's name."""
    place: Place
    score: float
    cost: float
    """Of the alignment, per frame of the query."""
    is_own: bool = False
    """It is where the query, or another example of the same label, was cut from."""


@dataclass(frozen=True)
class Found:
    """Hits by label and falling score, and notes for the person who reads them."""

    hits: list[Hit]
    notes: list[str] = field(default_factory=list)


def query_at(
    source: Source, coarse: Source | None, place: Place, *, label: str, own: bool = True
) -> Query:
    """A query that is cut from an utterance of a source.

    Args:
        source: that has the utterance; it may be another than the one to be searched.
        own: whether the searched recordings have it too.

    Raises:
        InputError: no such utterance, a place that reaches beyond its end, or one shorter than
            `SHORTEST_S`.
    """
    if place.id not in source.speakers:
        raise InputError(
            f"no utterance {place.id!r} to cut a query from",
            cause="it is in another split or corpus",
            remedy="give an utterance of what is searched, or a sound file",
        )
    lasts_s = source.n_frames(place.id) * source.step_ms / 1000
    if not (0 <= place.start_s < place.end_s and place.start_s < lasts_s):
        raise InputError(
            f"no query from {place.start_s:g} to {place.end_s:g} s: {place.id!r} lasts "
            f"{lasts_s:.2f} s",
            remedy="give start and end in seconds from its beginning",
        )
    if place.end_s > lasts_s + BEYOND_S:
        raise InputError(
            f"the query from {place.start_s:g} to {place.end_s:g} s reaches beyond {place.id!r}, "
            f"which lasts {lasts_s:.2f} s",
            cause="a pause or the end of the recording lies within the query",
            remedy="give a shorter one; times count from the utterance's beginning",
        )
    place = place._replace(end_s=min(place.end_s, lasts_s))
    name = f"{place.id}:{place.start_s:.2f}-{place.end_s:.2f}"
    duration_s = place.end_s - place.start_s
    check_duration(name, duration_s)
    frames, means = source.span(*place), None if coarse is None else coarse.span(*place)
    return Query(label, name, duration_s, frames, means, place if own else None)


def check_duration(name: str, duration_s: float) -> None:
    """Raise InputError for a query that is too short."""
    if duration_s < SHORTEST_S - 1e-9:
        raise InputError(
            f"the query {name} lasts {1000 * duration_s:.0f} ms, shorter than "
            f"{1000 * SHORTEST_S:.0f} ms: it would be found everywhere",
            remedy="give a word of two syllables or more, with a little around it",
        )


def find(
    queries: Sequence[Query],
    source: Source,
    coarse: Source | None = None,
    config: FindConfig | None = None,
) -> Found:
    """Find queries in recordings.

    Args:
        queries: examples, cut from the same kinds of frames as the sources.
        source: all recordings, at full resolution.
        coarse: the same recordings for the first pass; None searches `source` alone.

    Raises:
        InputError: no query; one that is longer than all recordings; too few recordings to
            measure scores against.
    """
    config = config or FindConfig()
    if not queries:
        raise InputError("there is no query", remedy="give at least one")
    if coarse is not None and (
        lost := [name for name in source.ids if name not in coarse.speakers]
    ):
        raise InputError(
            f"the first pass lacks {counted(len(lost), 'utterance')}: {listed(lost)}",
            cause="the units are of another corpus or split",
            remedy="encode the same utterances",
        )
    lengths = np.array([source.n_frames(name) for name in source.ids])
    notes = _warnings(queries, source, lengths)
    in_two = [i for i, q in enumerate(queries) if coarse is not None and _has_steps(q)]
    in_one = sorted(set(range(len(queries))) - set(in_two))
    if coarse is not None and in_one:
        notes.append(
            f"searched without a first pass, whose steps are too long for so short a query: "
            f"{listed([queries[i].name for i in in_one])}"
        )
    per_query = max(config.candidates, 5 * config.most)
    found: dict[int, list[_Candidate]] = {}
    for group, first in ((in_two, coarse), (in_one, source)):
        if group and first is not None:
            shapes = [queries[i].coarse if first is coarse else queries[i].frames for i in group]
            results = _first_pass(shapes, first, source.ids, per_query)
            found |= dict(zip(group, results, strict=True))
    random = np.random.default_rng(config.seed)
    own: dict[tuple[str, str], list[Place]] = defaultdict(list)  # by label and utterance
    for query in queries:
        if query.own is not None:
            own[query.label, query.own.id].append(query.own)
    hits: dict[str, list[Hit]] = {query.label: [] for query in queries}
    with_two = set(in_two)
    for i in track(range(len(queries)), "Aligning"):
        query = queries[i]
        places = found[i]
        if coarse is not None and i in with_two:
            places = _second_pass(query, source, coarse.step_ms, places)
        mean, deviation = _background(query, source, lengths, config.windows, random)
        for name, begin, end, cost in places:
            place = Place(name, begin * source.step_ms / 1000, end * source.step_ms / 1000)
            score = (mean - cost) / deviation
            is_own = any(_overlap(one, place) > 0 for one in own.get((query.label, name), ()))
            hits[query.label].append(Hit(query.label, query.name, place, score, cost, is_own))
    kept: list[Hit] = []
    for label, mine in hits.items():
        best = [hit for hit in _merged(mine) if config.keep_own or not hit.is_own]
        enough = [hit for hit in best if hit.score >= config.min_score][: config.most]
        if not enough:
            left = f"; the best one scores {best[0].score:.1f}" if best else ""
            notes.append(f"{label!r}: no hit with a score of min_score={config.min_score:g}{left}")
        kept += enough
    return Found(kept, notes)


_Candidate = tuple[str, int, int, float]
"""Utterance, first frame, frame behind the last, cost."""


def _warnings(queries: Sequence[Query], source: Source, lengths: NDArray[np.int64]) -> list[str]:
    notes = []
    if short := [query.name for query in queries if query.duration_s < SHORT_S]:
        notes.append(
            f"shorter than {1000 * SHORT_S:.0f} ms, so that much will be like it: {listed(short)}"
        )
    longest = int(lengths.max())
    for query in queries:
        least = _shortest_path(len(query.frames))
        if least > longest:
            raise InputError(
                f"the query {query.name} lasts {query.duration_s:.2f} s, the longest recording "
                f"{longest * source.step_ms / 1000:.2f} s: it can't be said in any of them",
                cause="the recordings were cut into short utterances, or the query is a sentence",
                remedy="give a shorter query: a word or a phrase",
            )
        if _is_constant(query.frames):
            notes.append(f"{query.name} hardly changes: silence or a hum, which is found anywhere")
    too_short = _shortest_path(min(len(query.frames) for query in queries))
    n_short = int((lengths < too_short).sum())
    if n_short:
        notes.append(f"{counted(n_short, 'utterance')} too short for any of the queries")
    return notes


def _is_constant(frames: NDArray[Any]) -> bool:
    if frames.ndim == 1:
        return len(np.unique(frames)) == 1
    spread = frames.std(axis=0, dtype=np.float64)
    return bool(np.linalg.norm(spread) < _LIKE_SILENCE * np.sqrt((frames**2).sum(axis=1).mean()))


def _shortest_path(n: int) -> int:
    """The fewest frames of a recording that a query of n frames fits into."""
    return n // 2 + 1


def _has_steps(query: Query) -> bool:
    """Whether the first pass has enough steps of a query to be of use."""
    return query.coarse is not None and len(query.coarse) >= _FEWEST_COARSE


def _first_pass(
    shapes: Sequence[NDArray[Any] | None], source: Source, ids: Sequence[str], per_query: int
) -> list[list[_Candidate]]:
    """The cheapest alignments of each query, none within half a query of a cheaper one."""
    examples = [shape for shape in shapes if shape is not None]
    assert len(examples) == len(shapes)
    overlap = LONGEST_PATH * max(map(len, examples))
    best: list[list[_Candidate]] = [[] for _ in examples]
    limits = np.full(len(examples), FAR, np.float32)

    def search(block: _Block) -> list[list[_Candidate]]:
        frames, bounds = _loaded(block, source)
        return [
            _cheapest(source.local(frames, example), bounds, block, limits[i], per_query)
            for i, example in enumerate(examples)
        ]

    blocks = list(_blocks(source, ids, overlap))
    with threadpool_limits(1), ThreadPoolExecutor(cores()) as pool:
        for results in track(pool.map(search, blocks), "Searching", len(blocks)):
            for i, result in enumerate(results):
                both = sorted((*best[i], *result), key=_by_cost)[:per_query]
                best[i] = both
                if len(both) == per_query:
                    limits[i] = both[-1][3]
    return best


def _by_cost(candidate: _Candidate) -> tuple[float, str, int]:
    return candidate[3], candidate[0], candidate[1]


_Block = list[tuple[str, int, int]]
"""Parts of utterances, at most `_BLOCK_FRAMES` frames together: id, first frame, the one behind."""


def _blocks(source: Source, ids: Sequence[str], overlap: int) -> Iterator[_Block]:
    """All utterances; parts of long ones overlap, so that every path lies within one."""
    block: _Block = []
    room = _BLOCK_FRAMES
    for name in ids:
        n_frames = source.n_frames(name)
        begin = 0
        while True:
            end = min(n_frames, begin + _BLOCK_FRAMES + overlap)
            if block and end - begin > room:
                yield block
                block, room = [], _BLOCK_FRAMES
            if end > begin:
                block.append((name, begin, end))
                room -= end - begin
            if end == n_frames:
                break
            begin = end - overlap
    if block:
        yield block


def _loaded(block: _Block, source: Source) -> tuple[NDArray[Any], NDArray[np.int32]]:
    parts = [source.frames(*part) for part in block]
    bounds = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int32)
    return np.concatenate(parts), bounds


def _cheapest(
    local: NDArray[np.float32],
    bounds: NDArray[np.int32],
    block: _Block,
    limit: np.float32,
    most: int,
) -> list[_Candidate]:
    """The cheapest local minima of a block."""
    n_frames, n = local.shape
    ends, starts = np.empty(n_frames, np.float32), np.empty(n_frames, np.int32)
    best_paths_in_pieces(local, bounds, ends, starts)
    found = np.empty(n_frames, np.int32)
    found = found[: local_minima(ends, n // 2, limit, found)]
    if len(found) > most:
        found = found[np.argpartition(ends[found], most)[:most]]
    pieces = np.searchsorted(bounds, found, side="right") - 1
    candidates = []
    for end, piece in zip(found.tolist(), pieces.tolist(), strict=True):
        name, begin, _ = block[piece]
        first, last = begin + int(starts[end]), begin + end - int(bounds[piece]) + 1
        candidates.append((name, first, last, float(ends[end])))
    return candidates


def _second_pass(
    query: Query, source: Source, coarse_ms: float, candidates: Sequence[_Candidate]
) -> list[_Candidate]:
    """The cheapest alignment at full resolution around each candidate of a coarser source."""
    ratio, margin = coarse_ms / source.step_ms, len(query.frames) // 2
    block: _Block = []
    for name, begin, end, _ in candidates:
        first = max(0, math.floor(begin * ratio) - margin)
        last = min(source.n_frames(name), math.ceil(end * ratio) + margin)
        if last - first >= _shortest_path(len(query.frames)):
            block.append((name, first, last))
    if not block:
        return []
    return _best_of_each(query, source, block)


def _best_of_each(query: Query, source: Source, block: _Block) -> list[_Candidate]:
    """The cheapest alignment in each part of a block."""
    frames, bounds = _loaded(block, source)
    local = source.local(frames, query.frames)
    ends, starts = np.empty(len(local), np.float32), np.empty(len(local), np.int32)
    best_paths_in_pieces(local, bounds, ends, starts)
    found = []
    for (name, first, _), begin, end in zip(block, bounds[:-1], bounds[1:], strict=True):
        best = int(np.argmin(ends[begin:end]))
        cost = float(ends[begin + best])
        if cost < FAR:
            found.append((name, first + int(starts[begin + best]), first + best + 1, cost))
    return found


def _background(
    query: Query,
    source: Source,
    lengths: NDArray[np.int64],
    n_windows: int,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Mean and standard deviation of the cheapest alignment in random windows.

    A window has twice the query's frames, or all those of a shorter utterance; windows that
    overlap the query itself don't count.

    Args:
        lengths: frames of each utterance of the source.
    """
    length, least = LONGEST_PATH * len(query.frames), _shortest_path(len(query.frames))
    places = np.where(lengths >= least, np.maximum(1, lengths - length + 1), 0)
    total = int(places.sum())
    drawn = random.integers(total, size=n_windows) if total > n_windows else np.arange(total)
    firsts = np.concatenate([[0], np.cumsum(places)])
    step_s = source.step_ms / 1000
    block: _Block = []
    for draw, at in zip(drawn, np.searchsorted(firsts, drawn, side="right") - 1, strict=True):
        name, begin = source.ids[at], int(draw - firsts[at])
        end = min(begin + length, int(lengths[at]))
        window = Place(name, begin * step_s, end * step_s)
        if query.own is None or query.own.id != name or not _overlap(query.own, window) > 0:
            block.append((name, begin, end))
    if len(block) < _FEWEST_WINDOWS:
        raise InputError(
            f"{counted(len(block), 'window')} to measure the scores of {query.name} against; it "
            f"takes {_FEWEST_WINDOWS}",
            cause="the recordings are hardly longer than the query",
            remedy="search more recordings, or for a shorter query",
        )
    costs = np.array([cost for *_, cost in _best_of_each(query, source, block)])
    return float(costs.mean()), max(float(costs.std()), _SMALLEST_DEVIATION)


def _merged(hits: Sequence[Hit]) -> list[Hit]:
    """Hits by falling score, without those that overlap a better one by half of the shorter."""
    kept: list[Hit] = []
    by_id: dict[str, list[Place]] = {}
    for hit in sorted(hits, key=lambda hit: (-hit.score, hit.place)):
        there = by_id.setdefault(hit.place.id, [])
        if all(_overlap(hit.place, place) <= 0.5 for place in there):
            there.append(hit.place)
            kept.append(hit)
    return kept


def _overlap(one: Place, other: Place) -> float:
    """The time that two places of an utterance share, as a part of the shorter one."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return shared / max(min(one.end_s - one.start_s, other.end_s - other.start_s), 1e-9)
