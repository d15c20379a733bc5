"""A lexicon: all speech divided into words, from units alone.

The model is the unigram Dirichlet process of Goldwater, Griffiths and Johnson (2009): a word is
either one of those already said, in proportion to how often, or a new one, spelled unit by unit:

    P(w | the others) = (n_w + α P0(w)) / (n + α),    P0(w) = p (1 - p)^(len - 1) ∏ P(unit)

so that what is said again pays. Words of speech have durations too: each token is weighted by a
gamma density of its length in milliseconds, and where syllables are known, a word that ends inside
one costs. Utterances are sampled one after the other as a whole
(forward filtering, backward sampling: Mochihashi, Yamada and Ueda 2009) at a falling temperature,
and decoded at the end. A word that occurs twice in an utterance counts once meanwhile, which is the
usual approximation.

Two baselines know nothing of words. `random_words` has the boundaries of another lexicon's number:
of two lexicons, the one with more boundaries finds more of the true ones. `syllable_words` makes
each syllable a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from zerochain.config import Config
from zerochain.errors import InputError, counted
from zerochain.formats.spans import LabelledSpan
from zerochain.kernels import compiled
from zerochain.progress import track
from zerochain.search.stretches import Stretch, Stretches

Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
_compiled = compiled(error_model="numpy")


class LexiconConfig(Config):
    """How speech is divided into words."""

    word_ms: float = Field(350.0, gt=0)
    """Mean duration of a word in ms, the mean of the prior on durations."""

    duration_shape: float = Field(4.0, gt=0)
    """Shape of the gamma prior on durations: its mean over its standard deviation, squared."""

    concentration: float = Field(100.0, gt=0)
    """Concentration of the Dirichlet process, α: higher, and words are repeated less often."""

    max_units: int = Field(20, ge=1, json_schema_extra={"option": "--max-units"})
    """Most units per word, repeats merged."""

    inside_syllable: float = Field(8.0, ge=0)
    """Price of a word's end inside a syllable, in nats; only with recordings."""

    sweeps: int = Field(100, ge=1)
    """Times that each utterance is sampled."""

    temperature: float = Field(5.0, ge=1)
    """Temperature of the first sweep; it falls to 1 over the first half of them."""


class Words(NamedTuple):
    """The words of one stretch: where each begins and the last one ends, as indices of segments."""

    stretch: Stretch
    edges: Ints
    """(W + 1,), from 0 to the number of segments."""


def segment_words(speech: Stretches, config: LexiconConfig, *, seed: int = 0) -> list[Words]:
    """Divide stretches of units into words.

    Raises:
        InputError: a single segment in all, of which no word can be learned.
    """
    units, bounds = speech.units, speech.bounds
    if len(units) < 2:
        raise InputError(
            f"{counted(len(units), 'segment')} of speech",
            cause="one short recording, or a single unit from end to end",
            remedy="give more speech, or units of a model that tells sounds apart",
        )
    types, lengths = substrings(units, bounds, config.max_units)
    ms = 1000 * np.concatenate([np.diff(one.times) for one in speech.stretches])
    base = _log_base(units, types, lengths, speech, config)
    ends = np.concatenate([one.ends_syllable for one in speech.stretches])
    weights = _log_durations(ms, types.shape, config)
    weights -= config.inside_syllable * ~ends[:, None]
    rng = np.random.default_rng(seed)
    is_end = np.zeros(len(units), bool)
    is_end[bounds[1:] - 1] = True  # at first, a stretch is one word, or as few as possible
    counts = np.zeros(len(lengths), np.int64)
    n_words = _count(types, bounds, is_end, counts)
    hot = np.linspace(config.temperature, 1, max(1, config.sweeps // 2))
    for sweep in track(range(config.sweeps + 1), "Sampling words"):
        last = sweep == config.sweeps
        order = rng.permutation(len(bounds) - 1)
        n_words = _sweep(
            types,
            weights,
            base,
            bounds,
            order,
            is_end,
            counts,
            n_words,
            config.concentration,
            1.0 if last or sweep >= len(hot) else float(hot[sweep]),
            rng.random(len(units)),
            last,
        )
    return [
        Words(one, np.append(0, 1 + np.flatnonzero(is_end[begin:end])).astype(np.int32))
        for one, begin, end in zip(speech.stretches, bounds[:-1], bounds[1:], strict=True)
    ]


def random_words(speech: Stretches, n_words: int, *, seed: int = 0) -> list[Words]:
    """Divide stretches into as many words, at segment boundaries drawn at random.

    Raises:
        InputError: more words than segments, or fewer than stretches.
    """
    n_segments, n_stretches = len(speech.units), len(speech.stretches)
    if not n_stretches <= n_words <= n_segments:
        raise InputError(
            f"{counted(n_words, 'word')} can't be made of {counted(n_segments, 'segment')} in "
            f"{counted(n_stretches, 'stretch', 'stretches')} of speech",
            cause="the other lexicon is of other recordings, or of shorter units",
            remedy="give the lexicon of the same units",
        )
    inner = [(i, j) for i, one in enumerate(speech.stretches) for j in range(1, len(one.units))]
    drawn = np.random.default_rng(seed).choice(
        len(inner), size=n_words - n_stretches, replace=False
    )
    edges: list[list[int]] = [[0, len(one.units)] for one in speech.stretches]
    for k in drawn.tolist():
        edges[inner[k][0]].append(inner[k][1])
    return [
        Words(one, np.array(sorted(line), np.int32))
        for one, line in zip(speech.stretches, edges, strict=True)
    ]


def syllable_words(speech: Stretches) -> list[Words]:
    """Divide stretches where syllables end: each is a word. They have to be of recordings."""
    return [
        Words(one, np.append(0, 1 + np.flatnonzero(one.ends_syllable)).astype(np.int32))
        for one in speech.stretches
    ]


def spans_of(words: Sequence[Words], speakers: dict[str, str | None]) -> list[LabelledSpan]:
    """Words as labelled spans; a word's label is its units, with spaces between them."""
    spans = []
    for stretch, edges in words:
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            label = " ".join(map(str, stretch.units[begin:end].tolist()))
            start_s, end_s = float(stretch.times[begin]), float(stretch.times[end])
            speaker = speakers.get(stretch.id)
            spans.append(LabelledSpan(stretch.id, start_s, end_s, label, None, speaker))
    return spans


def substrings(units: Ints, bounds: Longs, longest: int) -> tuple[Ints, Ints]:
    """Number all substrings of up to `longest` units, equal ones alike.

    Args:
        units: (N,) of all stretches, laid end to end.
        bounds: where each stretch begins, and the last one ends.

    Returns:
        In column k the number of the substring of unit i and k before it, -1 where that begins
        before its stretch, (N, longest); and the length of each numbered substring, (V,).
    """
    n = len(units)
    longest = min(longest, int(np.diff(bounds).max()))
    position = np.arange(n) - np.repeat(bounds[:-1], np.diff(bounds))
    types = np.full((n, longest), -1, np.int32)
    lengths: list[Ints] = []
    first = 0
    shorter = np.zeros(n, np.int64)  # among those of one unit less
    for k in range(longest):
        there = np.flatnonzero(position >= k)
        keys = shorter[there] * (int(units.max()) + 1) + units[there - k]
        distinct, number = np.unique(keys, return_inverse=True)
        shorter[there] = number
        types[there, k] = first + number
        first += len(distinct)
        lengths.append(np.full(len(distinct), k + 1, np.int32))
    return types, np.concatenate(lengths)


def _log_base(
    units: Ints, types: Ints, lengths: Ints, speech: Stretches, config: LexiconConfig
) -> Doubles:
    """log P0 of each numbered substring, (V,)."""
    frequencies = np.bincount(units, minlength=int(units.max()) + 1) / len(units)
    log_unit = np.log(np.maximum(frequencies, 1e-12))
    sums = np.append(0, np.cumsum(log_unit[units]))
    per_word = config.word_ms / (1000 * speech.seconds / len(units))
    end = min(0.99, 1 / max(per_word, 1.01))
    base = np.zeros(len(lengths))
    for k in range(types.shape[1]):
        there = np.flatnonzero(types[:, k] >= 0)
        base[types[there, k]] = sums[there + 1] - sums[there - k]
    return np.asarray(base + np.log(end) + (lengths - 1) * np.log1p(-end))


def _log_durations(ms: Doubles, shape: tuple[int, ...], config: LexiconConfig) -> Doubles:
    """log of the gamma density of the duration of k + 1 segments that end with segment i."""
    sums = np.append(0, np.cumsum(ms))
    ends = np.arange(shape[0])[:, None]
    begins = np.maximum(ends - np.arange(shape[1])[None, :], 0)
    lasting = np.maximum(sums[ends + 1] - sums[begins], 1e-3)
    k, scale = config.duration_shape, config.word_ms / config.duration_shape
    return np.asarray((k - 1) * np.log(lasting / scale) - lasting / scale)


@_compiled
def _count(types: Ints, bounds: Longs, is_end: NDArray[np.bool_], counts: Longs) -> int:
    """Count the words that end where `is_end`; words too long are cut at the limit."""
    n_words = 0
    for s in range(len(bounds) - 1):
        begin = bounds[s]
        for i in range(bounds[s], bounds[s + 1]):
            if i - begin + 1 == types.shape[1]:
                is_end[i] = True
            if is_end[i]:
                counts[types[i, i - begin]] += 1
                n_words += 1
                begin = i + 1
    return n_words


@_compiled
def _forget(types: Ints, first: int, n: int, is_end: NDArray[np.bool_], counts: Longs) -> int:
    """Take the words of a stretch out of the counts; how many they are."""
    n_words, begin = 0, 0
    for i in range(n):
        if is_end[first + i]:
            counts[types[first + i, i - begin]] -= 1
            n_words += 1
            begin = i + 1
    return n_words


@_compiled
def _sweep(
    types: Ints,
    weights: Doubles,
    base: Doubles,
    bounds: Longs,
    order: Longs,
    is_end: NDArray[np.bool_],
    counts: Longs,
    n_words: int,
    concentration: float,
    temperature: float,
    uniforms: Doubles,
    best: bool,
) -> int:
    """Sample the words of each stretch anew, or take the likeliest ones; the number of words.

    `is_end` and `counts` are changed in place.
    """
    longest = types.shape[1]
    for s in order:
        first, n = bounds[s], bounds[s + 1] - bounds[s]
        n_words -= _forget(types, first, n, is_end, counts)
        # forward[i]: log of the sum (or the maximum) over all divisions of the first i segments.
        forward = np.full(n + 1, -np.inf)
        forward[0] = 0.0
        arcs = np.full((n, longest), -np.inf)
        back = np.zeros(n, np.int64)
        for i in range(n):
            top = -np.inf
            for k in range(min(i + 1, longest)):
                word = types[first + i, k]
                mass = counts[word] + concentration * np.exp(base[word])
                log_p = np.log(mass) - np.log(n_words + concentration)
                arcs[i, k] = forward[i - k] + (log_p + weights[first + i, k]) / temperature
                if arcs[i, k] > top:
                    top = arcs[i, k]
                    back[i] = k
            if best:
                forward[i + 1] = top
            else:
                total = 0.0
                for k in range(min(i + 1, longest)):
                    total += np.exp(arcs[i, k] - top)
                forward[i + 1] = top + np.log(total)
        is_end[first : first + n] = False
        i = n - 1
        while i >= 0:
            k = back[i]
            if not best:
                left = uniforms[first + i]
                for k in range(min(i + 1, longest)):
                    left -= np.exp(arcs[i, k] - forward[i + 1])
                    if left < 0:
                        break
            is_end[first + i] = True
            counts[types[first + i, k]] += 1
            n_words += 1
            i -= k + 1
    return n_words
