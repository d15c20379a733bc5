"""Spoken terms: what is said again, without a query.

    1. An index: stretches of speech that share a string of a few units are worth comparing.
    2. Local alignment (Smith and Waterman 1981) of each such pair: the stretch of either in which
       units agree best. With the units' model, similar units agree in part.
    3. A threshold: the score at which so many matches are expected by accident, were units
       independent of each other (Karlin and Altschul 1990). It rises with the amount of speech.
    4. With features, a low threshold gives candidates alone. Each is aligned once more, frame by
       frame (DTW, as Jansen and Van Durme 2011), and what counts is by how much it is cheaper than
       the usual candidate, summed over its frames: a long match may be a little less alike. The
       best ones are taken, until they cover a given share of the speech.
    5. A graph: places where matches overlap are nodes, matches are edges. Clusters are stars: the
       node with the strongest edges takes its neighbours, as long as each matches half of those
       taken before, and so on (after Aslam, Pelekhov and Rus 2004). Connected components, which
       ZRTools takes, chain unlike words.

Words that are short, or said once, are not found: terms cover a part of the speech, a lexicon all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import brentq
from scipy.spatial.distance import cdist

from zerochain.config import Config
from zerochain.errors import InputError, counted
from zerochain.formats.identity import check_same_ids
from zerochain.formats.spans import LabelledSpan
from zerochain.kernels import compiled
from zerochain.progress import track
from zerochain.search.lexicon import substrings
from zerochain.search.sources import Source
from zerochain.search.stretches import Stretches

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
_compiled = compiled(error_model="numpy")
_PAIRS_AT_ONCE = 20_000
_ALIKE = 0.5
"""A place joins a cluster if it matches this part of those already there."""
_SAME = 0.5
"""Two matches are of the same place if they share this part of the time that either takes."""


class TermsConfig(Config):
    """How terms are found and clustered."""

    seed_units: int = Field(3, ge=1)
    """Units in a row, repeats merged, that two stretches must share to be compared."""

    min_ms: float = Field(300.0, gt=0)
    """Shortest term in ms."""

    gap: float = Field(1.0, gt=0)
    """Price of a unit without a counterpart; two equal units are worth 1."""

    accidents: float = Field(1e-3, gt=0)
    """Matches that would be expected in all the speech by accident, were units independent; only
    without features."""

    candidates: float = Field(10.0, gt=0)
    """The same of candidates, which features are then compared of."""

    covered: float = Field(0.3, gt=0, le=1)
    """Share of the speech that terms cover at most, the best matches first; only with features."""

    most_pairs: int = Field(2_000_000, ge=1)
    """Most pairs of stretches to compare; of more, those that share the rarest strings."""


class Match(NamedTuple):
    """Two places that sound alike: stretches, and the segments [begin, end) of each."""

    first: int
    first_begin: int
    first_end: int
    second: int
    second_begin: int
    second_end: int
    score: float
    """The sum over aligned units."""
    likeness: float | None = None
    """Of frames, at most 1; None where there are none to compare."""

    @property
    def similarity(self) -> float:
        """At most 1: of frames, or else the mean per segment."""
        if self.likeness is not None:
            return self.likeness
        longer = max(self.first_end - self.first_begin, self.second_end - self.second_begin)
        return min(1.0, self.score / longer)


@dataclass(frozen=True)
class Terms:
    """Clusters of places, the largest first, and how they were found."""

    rows: list[LabelledSpan]
    """Labelled "term 1", …; the score is the similarity to the cluster's centre, at most 1."""
    n_clusters: int
    matches: str
    """How many there are and how they were chosen, in words."""


def unit_similarity(n_units: int, codebook: Floats | None = None) -> Floats:
    """What two aligned units are worth, from -1 to 1, (K, K).

    Args:
        codebook: the units' vectors (K, D): a pair at the mean distance is worth -1, halfway 0;
            without it, different units are.
    """
    if codebook is None:
        return (2 * np.eye(n_units) - 1).astype(np.float32)
    distance = cdist(codebook, codebook)
    mean = distance.sum() / max(1, n_units * (n_units - 1))
    similarity = 1 - 2 * distance / max(mean, 1e-12)
    np.fill_diagonal(similarity, 1)
    clipped: NDArray[np.float32] = np.clip(similarity, -1, 1).astype(np.float32)
    return clipped


def find_terms(
    speech: Stretches,
    config: TermsConfig,
    speakers: Mapping[str, str | None],
    similarity: Floats,
    frames: Source | None = None,
) -> Terms:
    """Find and cluster what is said again in stretches of units.

    Args:
        similarity: of units, from `unit_similarity`.
        frames: features of the same utterances, which matches are compared by; None compares their
            units alone.

    Raises:
        InputError: nothing is said again, or no more often than by accident; utterances without
            frames.
    """
    expected = config.accidents if frames is None else config.candidates
    matches, how = matches_of_units(speech, config, similarity, expected)
    if frames is not None:
        n_candidates = len(matches)
        matches = best_matches(matches, speech, frames, config.covered)
        how = f", the best by {frames.words} of {counted(n_candidates, 'candidate')}{how}"
    times = [one.times for one in speech.stretches]
    clusters = cluster(matches, times)
    rows = []
    for i, members in enumerate(clusters, 1):
        for stretch, start_s, end_s, score in members:
            name = speech.stretches[stretch].id
            span = LabelledSpan(name, start_s, end_s, f"term {i}", score, speakers.get(name))
            rows.append(span)
    return Terms(rows, len(clusters), f"{counted(len(matches), 'match', 'matches')}{how}")


def matches_of_units(
    speech: Stretches, config: TermsConfig, similarity: Floats, expected: float
) -> tuple[list[Match], str]:
    """Pairs of places whose units are alike, and what was compared, in words.

    Args:
        expected: so many would be by accident, were units independent.

    Raises:
        InputError: there is none.
    """
    units, bounds = speech.units, speech.bounds
    times = [one.times for one in speech.stretches]
    pairs = shared_strings(units, bounds, config.seed_units, config.most_pairs)
    threshold = least_score(units, similarity, expected)
    matches: list[Match] = []
    for begin in track(range(0, len(pairs), _PAIRS_AT_ONCE), "Aligning stretches"):
        block = pairs[begin : begin + _PAIRS_AT_ONCE]
        scores, places = _align(units, bounds, block, similarity, config.gap)
        good = np.flatnonzero(scores >= threshold)
        for i in good.tolist():
            (a, b), place = block[i].tolist(), places[i].tolist()
            match = Match(a, place[0], place[1], b, place[2], place[3], float(scores[i]))
            if _shorter_s(match, times) >= config.min_ms / 1000:
                matches.append(match)
    how = f" of {threshold:.1f} units or more in {counted(len(pairs), 'pair')} of stretches"
    if not matches:
        raise InputError(
            f"nothing is said again: no match{how}",
            cause="too little speech, words that are said once, or units that follow the speaker "
            "more than the sound",
            remedy="give more speech, units with durations (encode --penalty) and their "
            "recordings, or raise accidents=",
        )
    return matches, how


def best_matches(
    matches: Sequence[Match], speech: Stretches, frames: Source, covered: float
) -> list[Match]:
    """The matches whose frames are most alike, the best first, until they cover a share of speech.

    A match is worth the sum over its frames of what they cost less than the median of all matches.

    Raises:
        InputError: utterances without frames.
    """
    names = dict.fromkeys(one.id for one in speech.stretches)
    check_same_ids(names, frames.ids, "units", "features")
    times = [one.times for one in speech.stretches]
    costs = np.empty(len(matches))
    spans: dict[tuple[int, int, int], NDArray[Any]] = {}

    def held(stretch: int, begin: int, end: int) -> NDArray[Any]:
        key = stretch, begin, end
        if key not in spans:
            start_s, end_s = times[stretch][begin], times[stretch][end]
            spans[key] = frames.span(speech.stretches[stretch].id, start_s, end_s)
        return spans[key]

    last = -1
    for i in track(range(len(matches)), "Comparing frames"):
        match = matches[i]
        if match.first != last:  # they come in the order of the first stretch
            spans.clear()
            last = match.first
        costs[i] = mean_cost(frames.local(held(*match[:3]), held(*match[3:6])))
    lasting = np.array([_shorter_s(match, times) for match in matches])
    worth = lasting * (np.median(costs) - costs)
    bounds, seconds = speech.bounds, np.concatenate([np.diff(line) for line in times])
    taken = np.zeros(len(seconds), bool)
    kept: list[Match] = []
    left_s = covered * float(seconds.sum())
    for i in np.argsort(-worth, kind="stable").tolist():
        if left_s <= 0 or (kept and worth[i] <= 0):
            break
        match = matches[i]
        for stretch, begin, end in (match[:3], match[3:6]):
            inside = slice(bounds[stretch] + begin, bounds[stretch] + end)
            left_s -= float(seconds[inside][~taken[inside]].sum())
            taken[inside] = True
        kept.append(match._replace(likeness=float(1 - costs[i])))
    return kept


@_compiled
def mean_cost(local: Floats) -> float:
    """The mean local distance along the cheapest path through all of both, local (n, m).

    A step to the next frame of both counts twice, one to the next frame of either once, so that
    all paths have the total weight n + m (Sakoe and Chiba 1978, the symmetric form).
    """
    n, m = local.shape
    row = np.full(m + 1, np.inf)
    row[0] = 0.0
    for i in range(n):
        diagonal, row[0] = row[0], np.inf
        for j in range(m):
            here = np.float64(local[i, j])
            best = min(diagonal + 2.0 * here, min(row[j + 1], row[j]) + here)
            diagonal = row[j + 1]
            row[j + 1] = best
    return float(row[m] / (n + m))


def shared_strings(units: Ints, bounds: Longs, n: int, most: int) -> Longs:
    """Pairs of stretches that share a string of n units: (P, 2), the first of a pair < second.

    Strings are taken from the rarest to the most frequent, until there are `most` pairs.
    """
    types, _ = substrings(units, bounds, n)
    if types.shape[1] < n:  # no stretch is as long
        return np.zeros((0, 2), np.int64)
    stretch = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    there = types[:, n - 1] >= 0
    kinds = np.unique(np.stack([types[there, n - 1], stretch[there]], axis=1), axis=0)
    starts = np.append(np.flatnonzero(np.diff(kinds[:, 0], prepend=-1)), len(kinds))
    found = [np.zeros((0, 2), np.int64)]
    n_found = 0
    for group in np.argsort(np.diff(starts), kind="stable").tolist():
        line = kinds[starts[group] : starts[group + 1], 1].astype(np.int64)
        n_new = len(line) * (len(line) - 1) // 2
        if n_found + n_new > most:
            break
        first, second = np.triu_indices(len(line), 1)
        found.append(np.stack([line[first], line[second]], axis=1))
        n_found += n_new
    return np.unique(np.concatenate(found), axis=0)


def _shorter_s(match: Match, times: Sequence[Doubles]) -> float:
    first, second = times[match.first], times[match.second]
    return float(
        min(
            first[match.first_end] - first[match.first_begin],
            second[match.second_end] - second[match.second_begin],
        )
    )


def least_score(units: Ints, similarity: Floats, expected: float) -> float:
    """The score that so many local alignments of all the units with themselves reach by accident.

    For independent units, the number of alignments without gaps of a score of at least S in a table
    of m by n units is about m n exp(-λ S), where Σ p_u p_v exp(λ s(u, v)) = 1 (Karlin and Altschul
    1990; their factor K, between .1 and 1, is left out). Real units follow each other by rules, and
    gaps are allowed, so that more accidents are to be expected.

    Raises:
        InputError: units agree with each other by chance as much as not: one unit nearly
            everywhere.
    """
    counts = np.bincount(units, minlength=len(similarity)).astype(np.float64)
    shares = counts / counts.sum()
    worth = similarity.astype(np.float64)
    weights = np.outer(shares, shares)

    def excess(rate: float) -> float:
        return float((weights * np.exp(rate * worth)).sum() - 1)

    if (weights * worth).sum() >= 0:
        raise InputError(
            "two units agree by chance as much as not",
            cause="one unit is nearly everywhere, or the units' vectors are all alike",
            remedy="take units of a model that tells sounds apart",
        )
    rate = float(brentq(excess, 1e-6, 2 * np.log(len(units)) + 10))
    return float(np.log(len(units) ** 2 / 2 / expected) / rate)


def cluster(
    matches: Sequence[Match], times: Sequence[Doubles]
) -> list[list[tuple[int, float, float, float]]]:
    """Clusters of places, the largest first: (stretch, start in s, end in s, similarity).

    The similarity of a place to its cluster's centre is that of the match between them; that of the
    centre itself is 1.
    """
    nodes, node_of = _nodes(matches, times)
    edges: dict[int, dict[int, float]] = defaultdict(dict)
    for i, match in enumerate(matches):
        a, b = node_of[2 * i], node_of[2 * i + 1]
        if a != b and match.similarity > edges[a].get(b, 0.0):
            edges[a][b] = edges[b][a] = match.similarity
    degree = {node: sum(line.values()) for node, line in edges.items()}
    taken: set[int] = set()
    clusters = []
    for centre in sorted(edges, key=lambda node: (-degree[node], node)):
        if centre in taken:
            continue
        members = [(centre, 1.0)]
        for node, similarity in sorted(edges[centre].items(), key=lambda one: (-one[1], one[0])):
            alike = sum(node in edges[other] for other, _ in members)
            if node not in taken and alike >= _ALIKE * len(members):
                members.append((node, similarity))
        if len(members) < 2:
            continue
        taken.update(node for node, _ in members)
        clusters.append([(*nodes[node], similarity) for node, similarity in members])
    clusters.sort(key=lambda members: -len(members))
    return clusters


def _nodes(
    matches: Sequence[Match], times: Sequence[Doubles]
) -> tuple[list[tuple[int, float, float]], list[int]]:
    """Places that matches share, as medians of theirs, and the place of each match's two sides."""
    sides: list[tuple[int, float, float]] = []
    for m in matches:
        first, second = times[m.first], times[m.second]
        sides.append((m.first, float(first[m.first_begin]), float(first[m.first_end])))
        sides.append((m.second, float(second[m.second_begin]), float(second[m.second_end])))
    nodes: list[tuple[int, float, float]] = []
    node_of = [0] * len(sides)
    open_sides: list[int] = []

    def close() -> None:
        stretch = sides[open_sides[0]][0]
        start_s, end_s = np.median([sides[i][1:] for i in open_sides], axis=0).tolist()
        for i in open_sides:
            node_of[i] = len(nodes)
        nodes.append((stretch, start_s, end_s))
        open_sides.clear()

    for i in sorted(range(len(sides)), key=lambda i: sides[i]):
        if open_sides and not _same_place(sides[open_sides[0]], sides[i]):
            close()
        open_sides.append(i)
    if open_sides:
        close()
    return nodes, node_of


def _same_place(one: tuple[int, float, float], other: tuple[int, float, float]) -> bool:
    shared_s = min(one[2], other[2]) - max(one[1], other[1])
    whole_s = max(one[2], other[2]) - min(one[1], other[1])
    return one[0] == other[0] and shared_s >= _SAME * whole_s


@_compiled
def _align(
    units: Ints, bounds: Longs, pairs: Longs, similarity: Floats, gap: float
) -> tuple[Doubles, Ints]:
    """The best local alignment of each pair of stretches: scores (P,), and places (P, 4).

    A place is [begin, end) of the first and of the second stretch, in segments.
    """
    n_pairs = len(pairs)
    scores = np.zeros(n_pairs)
    places = np.zeros((n_pairs, 4), np.int32)
    longest = 0
    for s in range(len(bounds) - 1):
        longest = max(longest, bounds[s + 1] - bounds[s])
    # Of the alignment that ends at the cell above or at this one: its score and where it began.
    row = np.zeros(longest + 1)
    begins = np.zeros((longest + 1, 2), np.int32)
    for p in range(n_pairs):
        a, b = bounds[pairs[p, 0]], bounds[pairs[p, 1]]
        n_a, n_b = bounds[pairs[p, 0] + 1] - a, bounds[pairs[p, 1] + 1] - b
        row[: n_b + 1] = 0.0
        for i in range(n_a):
            diagonal, diagonal_a, diagonal_b = 0.0, i, 0
            for j in range(n_b):
                above, above_a, above_b = row[j + 1], begins[j + 1, 0], begins[j + 1, 1]
                best, best_a, best_b = 0.0, i + 1, j + 1
                worth = similarity[units[a + i], units[b + j]]
                if diagonal + worth > best:
                    best = diagonal + worth
                    best_a, best_b = diagonal_a, diagonal_b
                    if diagonal <= 0.0:
                        best_a, best_b = i, j
                if above - gap > best:
                    best, best_a, best_b = above - gap, above_a, above_b
                if j > 0 and row[j] - gap > best:
                    best, best_a, best_b = row[j] - gap, begins[j, 0], begins[j, 1]
                diagonal, diagonal_a, diagonal_b = above, above_a, above_b
                row[j + 1] = best
                begins[j + 1, 0], begins[j + 1, 1] = best_a, best_b
                if best > scores[p]:
                    scores[p] = best
                    places[p, 0], places[p, 1] = best_a, i + 1
                    places[p, 2], places[p, 3] = best_b, j + 1
    return scores, places
