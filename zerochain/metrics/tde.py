"""Discovered words against gold words: the term discovery evaluation (TDE) of ZeroSpeech.

Discovered are spans in clusters; a cluster should be one word type, and a span one of its tokens. A
span is transcribed by the gold phones that it covers: the first and the last one count if the span
covers 30 ms of them, or half of those shorter than 60 ms. Then

    ned                    mean edit distance of pairs in one cluster, by the longer transcription
    coverage               gold phones that are covered by any span
    grouping P, R          tokens in pairs that are in one cluster and have the same phones
    token, type P, R       spans with exactly the phones of a word; kinds of such spans, of words
    word boundary P, R     starts and ends of spans, moved to phones, that are those of words

as Ludusan et al. (2014) define them and zerospeech-tde 2.0.3 computes them, to which the tests
compare (it dropped "matching", a measure of older versions). NED and coverage go together: a few
safe pairs have a low NED. And NED counts pairs: a cluster of 100 spans has 4,950, ten of 10 have
450 together. `weighted_ned` counts spans instead, and `inverse_ned` asks the reverse: how
differently the tokens of one gold word were labelled. Both are ideas of Malan, Slabbert and Kamper
(2026, arXiv:2606.06183), who print similarities, 1 - NED. The definitions, at `Terms`, are
second-hand: after the abstract and a reimplementation by others, not the paper's text, and compared
with no numbers of its authors.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from zerochain.errors import InputError, counted, listed
from zerochain.formats.phones import Phone
from zerochain.metrics.bootstrap import sums_interval
from zerochain.metrics.silences import SILENCES

Doubles = NDArray[np.float64]
Labels = tuple[str, ...]
Gold = Mapping[str, Sequence[Phone]]
"""Utterance → its phones, or its words, in the order of time."""
_LONG_S, _ENOUGH_S, _ENOUGH = 0.06, 0.03, 0.5
_ROWS_AT_ONCE = 500
_DIGITS = 6
"""Times are rounded to microseconds, so that words and phones of two files meet."""


class Found(NamedTuple):
    """A discovered span of an utterance, in seconds from the utterance's start."""

    id: str
    onset: float
    offset: float


Clusters = Mapping[str, Sequence[Found]]
"""Label → the spans of the cluster. A span may be in several clusters."""


@dataclass(frozen=True)
class Value:
    """A score in %, its 95 % interval and what it counts; None where it is undefined."""

    value: float | None
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class Rates:
    """Precision, recall and their harmonic mean, in %."""

    precision: Value
    recall: Value
    f1: Value


@dataclass(frozen=True)
class Terms:
    """All scores of discovered terms, in %; without gold words, those that take words are None."""

    ned: Value
    weighted_ned: Value
    """Mean over spans: each cluster's mean over its pairs counts as often as it has spans; a span
    that is alone in its cluster counts as 0."""
    inverse_ned: Value | None
    """Mean over the tokens of words that occur twice or more: the edit distance of the sequences
    of labels that two tokens of one word were given, by the longer. A token has the labels of all
    spans that share at least half of their own or of its time; tokens without one differ from any
    other by 100 %."""
    coverage: Value
    grouping: Rates
    token: Rates | None
    type: Rates | None
    boundary: Rates | None
    n_spans: int
    """Different spans."""
    n_outside: int
    """Spans that cover no phone, which are left out as in the reference."""


class _Span(NamedTuple):
    """A discovered span and its transcription."""

    found: Found
    phones: tuple[Phone, ...]
    """The phones that it covers, silences included."""

    @property
    def labels(self) -> Labels:
        return tuple(phone.phone for phone in self.phones)


def score_clusters(
    clusters: Clusters,
    phones: Gold,
    words: Gold | None,
    *,
    silences: Collection[str] = SILENCES,
    seed: int = 0,
) -> Terms:
    """Compare clusters of spans with gold phones and words.

    Intervals are over utterances, or over clusters (NED) and words (inverse NED); grouping and
    types have none, since the tokens of one type are in many utterances.

    Args:
        phones: of all utterances that count, silences included.
        words: of the same utterances; their times should be those of phones. None leaves out what
            takes words.
        silences: labels that are no phones; words with such a label are left out.

    Raises:
        InputError: no span, a span of an utterance without gold phones, a span that ends before it
            starts, or words of other utterances.
    """
    clusters = {label: [_rounded(one) for one in line] for label, line in clusters.items()}
    distinct = sorted({one for line in clusters.values() for one in line})
    _check(distinct, phones, phones if words is None else words)
    gold = {name: _Timeline(line) for name, line in phones.items()}
    spoken = None if words is None else _spoken(words, phones, silences)
    spans = {one: _Span(one, _covered(gold[one.id], one)) for one in distinct}
    spans = {one: span for one, span in spans.items() if span.phones}
    kept = [[spans[one] for one in line if one in spans] for line in clusters.values()]
    transcripts = [
        [tuple(p for p in span.labels if p not in silences) for span in line] for line in kept
    ]
    ned, weighted_ned = _ned(transcripts, seed)
    token = types = boundary = inverse_ned = None
    if spoken is not None:
        token, types = _tokens_and_types(spans.values(), gold, spoken, seed)
        boundary = _boundaries(spans.values(), spoken, seed)
        inverse_ned = _inverse_ned(clusters, spoken, seed)
    return Terms(
        ned=ned,
        weighted_ned=weighted_ned,
        inverse_ned=inverse_ned,
        coverage=_coverage(spans.values(), gold, silences, seed),
        grouping=_grouping(kept, spans.values()),
        token=token,
        type=types,
        boundary=boundary,
        n_spans=len(spans),
        n_outside=len(distinct) - len(spans),
    )


def _check(distinct: Sequence[Found], phones: Gold, words: Gold) -> None:
    if not distinct:
        raise InputError(
            "no cluster holds a span",
            cause="nothing was found to be said again",
            remedy="discover terms with other settings, or in more speech",
        )
    unknown = sorted({one.id for one in distinct} - phones.keys())
    if unknown:
        raise InputError(
            f"no gold phones for {counted(len(unknown), 'utterance')} with discovered spans: "
            f"{listed(unknown)}",
            cause="the spans are of another corpus or split, or its alignments are incomplete",
            remedy="score the split that has gold phones",
        )
    if not phones.keys() & words.keys():
        raise InputError(
            f"gold words of other utterances ({listed(sorted(words), 3) or 'none'}) than the gold "
            f"phones ({listed(sorted(phones), 3)})",
            cause="they are of another corpus",
            remedy="give the words of this corpus",
        )
    for one in distinct:
        if not -math.inf < one.onset < one.offset < math.inf:
            raise InputError(
                f"a span of {one.id!r} from {one.onset:g} to {one.offset:g} s",
                cause="the columns of start and end were swapped",
                remedy="fix the times",
            )


def _spoken(words: Gold, phones: Gold, silences: Collection[str]) -> dict[str, _Timeline]:
    """The words of all utterances that have phones."""
    return {
        name: _Timeline(word for word in words.get(name, ()) if word.phone not in silences)
        for name in phones
    }


def _rounded(one: Found) -> Found:
    return Found(one.id, round(one.onset, _DIGITS), round(one.offset, _DIGITS))


class _Timeline:
    """The labels of one utterance, which may overlap, to look up by time."""

    def __init__(self, labels: Iterable[Phone]) -> None:
        rounded = (Phone(round(a, _DIGITS), round(b, _DIGITS), text) for a, b, text in labels)
        self.labels = sorted(set(rounded))
        self._onsets = [one.onset for one in self.labels]
        self._ends = list(accumulate((one.offset for one in self.labels), max))

    def overlapping(self, onset: float, offset: float) -> list[Phone]:
        """Those that share time with a span, in the order of time."""
        first = bisect.bisect_right(self._ends, onset)  # all before it have ended
        last = bisect.bisect_left(self._onsets, offset)
        return [one for one in self.labels[first:last] if one.offset > onset]


def _shared_s(one: Found | Phone, other: Found | Phone) -> float:
    return min(one.offset, other.offset) - max(one.onset, other.onset)


def _covered(gold: _Timeline, span: Found) -> tuple[Phone, ...]:
    """The phones of a span: those inside, and at its edges those of which it has enough."""
    phones = gold.overlapping(span.onset, span.offset)
    last = len(phones) - 1
    return tuple(p for i, p in enumerate(phones) if 0 < i < last or _has_enough(span, p))


def transcript(
    phones: Sequence[Phone], span: Found, silences: Collection[str] = SILENCES
) -> Labels:
    """The phones of an utterance that a span covers, without silences."""
    covered = _covered(_Timeline(phones), span)
    return tuple(one.phone for one in covered if one.phone not in silences)


def _has_enough(span: Found, phone: Phone) -> bool:
    lasting_s, shared_s = phone.offset - phone.onset, _shared_s(span, phone)
    if round(lasting_s, 3) >= _LONG_S:
        return round(shared_s, 3) >= _ENOUGH_S
    return shared_s / lasting_s >= _ENOUGH


def _ned(clusters: Sequence[Sequence[Labels]], seed: int) -> tuple[Value, Value]:
    """NED over pairs, and over spans."""
    rows = np.array(
        [(*_distances(line), len(line)) for line in clusters if line], np.float64
    ).reshape(-1, 3)
    total, pairs, sizes = rows.T
    mean = np.divide(total, pairs, out=np.zeros_like(total), where=pairs > 0)
    weighted = np.stack([mean * sizes, sizes], axis=1)
    if not pairs.any():  # every span is alone: no pair was found, right or wrong
        return Value(None, None, 0), Value(None, None, 0)
    return (
        _ratio(rows[pairs > 0, :2], int(pairs.sum()), seed),
        _ratio(weighted, int(sizes.sum()), seed),
    )


def _distances(line: Sequence[Labels]) -> tuple[float, int]:
    """The sum of normalised edit distances of all pairs of sequences, and the number of pairs.

    Equal sequences are compared once. Two empty ones differ by 1, as in the reference.
    """
    codes: dict[str, int] = {}
    counts = Counter(tuple(codes.setdefault(symbol, len(codes)) for symbol in one) for one in line)
    distinct = list(counts)
    weights = np.array([counts[one] for one in distinct], np.float64)
    total = 0.0
    for first in range(0, len(distinct), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        distances = cdist(
            distinct[rows], distinct, scorer=Levenshtein.normalized_distance, dtype=np.float64
        )
        total += float(weights[rows] @ distances @ weights) / 2
    n_empty = counts[()]
    n = len(line)
    return total + n_empty * (n_empty - 1) / 2, n * (n - 1) // 2


def _inverse_ned(clusters: Clusters, words: Mapping[str, _Timeline], seed: int) -> Value:
    given: dict[tuple[str, Phone], list[tuple[Found, str]]] = defaultdict(list)
    for label, line in clusters.items():
        for one in set(line):
            for word in words[one.id].overlapping(one.onset, one.offset):
                shorter_s = min(one.offset - one.onset, word.offset - word.onset)
                if _shared_s(one, word) >= _ENOUGH * shorter_s:
                    given[one.id, word].append((one, label))
    by_word: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for name, timeline in words.items():
        for word in timeline.labels:
            labels = tuple(label for _, label in sorted(given.get((name, word), ())))
            by_word[word.phone].append(labels)
    _, weighted = _ned([tokens for tokens in by_word.values() if len(tokens) > 1], seed)
    return weighted


def _grouping(clusters: Sequence[Sequence[_Span]], spans: Iterable[_Span]) -> Rates:
    """Of the tokens in pairs: those in a pair of one cluster with the same phones.

    A token is what a span covers in its recording. The reference leaves the recording out, so that
    it counts equal phones at equal times of two recordings once.
    """
    found, right = set[_Span](), set[_Span]()
    for line in clusters:
        if len(line) > 1:
            found.update(line)
            right.update(_in_pairs(line))
    gold = set(_in_pairs(spans))
    n_found, n_right, n_gold = (
        len({(s.found.id, s.phones) for s in one}) for one in (found, right, gold)
    )
    return _rates(
        Value(_percent(n_right, n_found), None, n_found),
        Value(_percent(n_right, n_gold), None, n_gold),
    )


def _in_pairs(spans: Iterable[_Span]) -> Iterator[_Span]:
    """The spans that have the phones of another one which doesn't overlap them."""
    alike: dict[Labels, list[_Span]] = defaultdict(list)
    for span in spans:
        alike[span.labels].append(span)
    for line in alike.values():
        last_start: dict[str, float] = {}
        first_end: dict[str, float] = {}
        for one, _ in line:
            last_start[one.id] = max(last_start.get(one.id, one.onset), one.onset)
            first_end[one.id] = min(first_end.get(one.id, one.offset), one.offset)
        for span in line:
            one = span.found
            is_apart = first_end[one.id] <= one.onset or last_start[one.id] >= one.offset
            if len(last_start) > 1 or is_apart:
                yield span


def _tokens_and_types(
    spans: Collection[_Span],
    phones: Mapping[str, _Timeline],
    words: Mapping[str, _Timeline],
    seed: int,
) -> tuple[Rates, Rates]:
    hits: set[tuple[str, Phone]] = set()
    right = set[Labels]()
    for span in spans:
        one = span.found
        near = words[one.id].overlapping(one.onset, one.offset)
        if not near:
            continue
        word = max(near, key=lambda w: _shared_s(one, w) / (w.offset - w.onset))
        spoken = phones[one.id].overlapping(word.onset, word.offset)
        if tuple(phone.phone for phone in spoken) == span.labels:
            hits.add((one.id, word))
            right.add(span.labels)
    n_hits = Counter(name for name, _ in hits)
    n_found = Counter(span.found.id for span in spans)
    n_words = {name: len(line.labels) for name, line in words.items()}
    n_types = len({span.labels for span in spans})
    n_gold_types = len({word.phone for line in words.values() for word in line.labels})
    # The reference divides kinds of phone strings by kinds of words, which is over 100 % where
    # words have several pronunciations; here recall counts the kinds of words that were found.
    n_known = len({word.phone for _, word in hits})
    return _counted_rates(n_hits, n_found, n_words, seed), _rates(
        Value(_percent(len(right), n_types), None, n_types),
        Value(_percent(n_known, n_gold_types), None, n_gold_types),
    )


def _coverage(
    spans: Iterable[_Span], gold: Mapping[str, _Timeline], silences: Collection[str], seed: int
) -> Value:
    covered = {
        (span.found.id, phone)
        for span in spans
        for phone in span.phones
        if phone.phone not in silences
    }
    n_covered = Counter(name for name, _ in covered)
    n_phones = {n: sum(p.phone not in silences for p in line.labels) for n, line in gold.items()}
    rows = np.array([(n_covered[n], n_phones[n]) for n in gold], np.float64)
    return _ratio(rows, sum(n_phones.values()), seed)


def _boundaries(spans: Collection[_Span], words: Mapping[str, _Timeline], seed: int) -> Rates:
    """Starts and ends are matched apart: a word before a pause has no start at its end.

    A place that is both counts once, on either side.
    """
    starts, ends = defaultdict[str, set[float]](set), defaultdict[str, set[float]](set)
    for span in spans:
        starts[span.found.id].add(span.phones[0].onset)
        ends[span.found.id].add(span.phones[-1].offset)
    hits, found, gold = Counter[str](), Counter[str](), Counter[str]()
    for name, line in words.items():
        gold_starts = {word.onset for word in line.labels}
        gold_ends = {word.offset for word in line.labels}
        found[name] = len(starts[name] | ends[name])
        gold[name] = len(gold_starts | gold_ends)
        hits[name] = len((starts[name] & gold_starts) | (ends[name] & gold_ends))
    return _counted_rates(hits, found, gold, seed)


def _counted_rates(
    hits: Counter[str], found: Counter[str], gold: Mapping[str, int], seed: int
) -> Rates:
    """Rates from counts by utterance, with intervals."""
    rows = np.array([(hits[name], found[name], gold[name]) for name in gold], np.float64)
    n_found, n_gold = int(rows[:, 1].sum()), int(rows[:, 2].sum())
    both = np.stack([2 * rows[:, 0], rows[:, 1] + rows[:, 2]], axis=1)
    f1 = _ratio(both, n_found + n_gold, seed)
    if not (n_found and n_gold):
        f1 = Value(None, None, 0)
    return Rates(_ratio(rows[:, [0, 1]], n_found, seed), _ratio(rows[:, [0, 2]], n_gold, seed), f1)


def _rates(precision: Value, recall: Value) -> Rates:
    """Rates without intervals; F1 is 0 where both are."""
    p, r = precision.value, recall.value
    f1 = None if p is None or r is None else 2 * p * r / (p + r) if p + r else 0.0
    return Rates(precision, recall, Value(f1, None, precision.n + recall.n))


def _ratio(rows: Doubles, n: int, seed: int) -> Value:
    """100 × the sum of the first column by that of the second, and its interval over rows."""
    if not rows[:, 1].sum():
        return Value(None, None, 0)

    def ratio(sums: Doubles) -> Doubles:
        defined = np.where(sums[:, 1] > 0, sums[:, 1], np.nan)
        return 100 * sums[:, 0] / defined

    return Value(
        float(ratio(rows.sum(axis=0, keepdims=True))[0]), sums_interval(rows, ratio, seed=seed), n
    )


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None
