"""Translations compared with references: BLEU, chrF, error rate, lengths, distinct outputs.

BLEU (Papineni et al. 2002) and chrF (Popović 2015) are sacrebleu's. Units are scored like text,
with repeats merged: for BLEU each is a word, for chrF a private-use character. Their scores depend
on the codebook, so they compare only between systems that output units of one unit model. Intervals
come from resampling outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from zerochain.errors import InputError, counted
from zerochain.metrics.bootstrap import REPLICATES, percentile_interval, resample_weights
from zerochain.metrics.comparison import Comparison

Doubles = NDArray[np.float64]
Sequences = Sequence[Sequence[Hashable]]
References = Sequence[Sequence[Sequence[Hashable]]]
"""For each output one reference or several."""
UNDEFINED_BLEU = (
    "as BLEU is undefined where references are shorter than four words or units: no 4-gram can "
    "match, and perfect outputs would score 0"
)
"""Why `bleu` is NaN, for messages."""
_ORDER = 4  # of BLEU's longest n-grams
_FIRST_PRIVATE = 0xF0000  # 131,072 private characters: no spaces, no punctuation, no upper case
_MOST_UNITS = 0x20000
_BLOCK = 4_000_000
"""Outputs times replicates in memory at once."""


@dataclass(frozen=True)
class Estimate:
    """A score of a set of outputs."""

    value: float
    """NaN where it is undefined."""
    interval: tuple[float, float] | None
    """95 %, over outputs; None for a single one, or if it is undefined for most replicates."""
    n: int
    signature: str = ""
    """sacrebleu's, for its scores."""

    @property
    def is_defined(self) -> bool:
        return math.isfinite(self.value)


def unit_bleu(hypotheses: Sequences, references: Sequences) -> float:
    """BLEU (0 … 100) of unit sequences with repeats merged, one reference each.

    Like `bleu` of units as words, without an interval: for early stopping. Always defined: where
    all references are shorter than four units, n-grams go up to the length of the longest.

    Raises:
        InputError: none, or unequal numbers of them.
    """
    texts = [as_words(units) for units in hypotheses]
    wanted = [[as_words(units)] for units in references]
    order = max(1, min(_ORDER, max(map(len, references), default=_ORDER)))
    metric = BLEU(tokenize="none", force=True, max_ngram_order=order)
    return _by_sacrebleu(metric, texts, wanted, 0, 0).value


def bleu(
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokenize: str = "none",
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Estimate:
    """Corpus BLEU (0 … 100) of texts, by sacrebleu: 1- to 4-grams, exponential smoothing.

    Without effective order, as is usual for a corpus: outputs that are all shorter than four
    words score 0. Where the references are as short, so that 4-grams can't match and perfect
    outputs would score 0 as well, it is undefined (NaN). Of several references the n-grams of all
    count, and the length of the nearest one.

    Raises:
        InputError: none, or unequal numbers of them, or an output without a reference.
    """
    # `force`: texts here are tokenised on purpose.
    metric = BLEU(tokenize=tokenize, force=True)
    _check(outputs, references)
    lengths = [[len(metric._preprocess_segment(text).split()) for text in r] for r in references]
    may_match = [max(several) >= _ORDER for several in lengths]
    must_match = [min(several) >= _ORDER for several in lengths]
    return _by_sacrebleu(
        metric, outputs, references, seed, replicates, np.column_stack([may_match, must_match])
    )


def compared_bleu(
    first: Sequence[str],
    second: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    seed: int = 0,
) -> Comparison:
    """Corpus BLEU of two systems on the same sources, and the interval of the difference.

    Paired bootstrap resampling (Koehn 2004): both are scored on the same draws of sources.

    Raises:
        InputError: as `bleu`.
    """
    metric, draws = BLEU(tokenize="none", force=True), []
    for outputs in (first, second):
        statistics = _statistics(metric, outputs, references)
        score = partial(_sacrebleu_score, metric)
        draws.append((score(statistics.sum(axis=0)), _resampled(statistics, score, seed)))
    (one, of_one), (other, of_other) = draws
    return Comparison(
        first=one,
        second=other,
        interval=percentile_interval(of_one - of_other) if len(first) > 1 else None,
        direction="higher",
    )


def chrf(
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Estimate:
    """Corpus chrF2 (0 … 100) of texts, by sacrebleu: 1- to 6-grams of characters.

    Of several references each output is compared with the nearest one.

    Raises:
        InputError: as `bleu`.
    """
    return _by_sacrebleu(CHRF(), outputs, references, seed, replicates)


def error_rate(outputs: Sequences, references: References, *, seed: int = 0) -> Estimate:
    """Levenshtein distance divided by the reference length, of the whole set, in %; can exceed 100.

    Of several references each output is compared with the nearest one, and the longer of two.

    Raises:
        InputError: as `bleu`; only empty references.
    """
    _check(outputs, references)
    counts = [
        min((Levenshtein.distance(output, r), -len(r)) for r in several)
        for output, several in zip(outputs, references, strict=True)
    ]
    statistics = np.array([(edits, -negative) for edits, negative in counts], np.float64)
    if not statistics[:, 1].any():
        raise InputError("every reference is empty, so no error rate is defined")
    return _estimate(statistics, lambda s: 100 * _ratio(s[0], s[1]), seed)


def length_ratio(outputs: Sequences, references: References, *, seed: int = 0) -> Estimate:
    """Length of all outputs divided by that of their references; of several, the nearest in length.

    Raises:
        InputError: as `error_rate`.
    """
    _check(outputs, references)
    nearest = [
        min(map(len, several), key=lambda n: (abs(n - len(output)), n))
        for output, several in zip(outputs, references, strict=True)
    ]
    statistics = np.array(list(zip(map(len, outputs), nearest, strict=True)), np.float64)
    if not statistics[:, 1].any():
        raise InputError("every reference is empty, so no ratio of lengths is defined")
    return _estimate(statistics, lambda s: _ratio(s[0], s[1]), seed)


def distinct_ratio(sequences: Sequences) -> float:
    """Number of different sequences divided by that of all: 1 where none occurs twice.

    Raises:
        InputError: none.
    """
    if not sequences:
        raise InputError("there are no outputs", remedy="translate at least one utterance")
    return len({tuple(one) for one in sequences}) / len(sequences)


def shuffled(groups: Sequence[int], *, seed: int = 0) -> NDArray[np.int64] | None:
    """A random order (n,) in which no item takes the place of one of its own group.

    Items are laid out group by group, in random order, and shifted circularly by the size of the
    largest group, which takes every item out of its group's stretch.

    Args:
        groups: of each item (n,), for example its reference.

    Returns:
        None where more than half are of one group: there is no such order.
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    n, largest = len(codes), int(np.bincount(codes).max(initial=0))
    if 2 * largest > n or n == 0:
        return None
    rng = np.random.default_rng(seed)
    place = rng.permutation(codes.max() + 1)[codes]
    line = np.lexsort((rng.random(n), place))
    order = np.empty(n, np.int64)
    order[line] = np.roll(line, -largest)
    return order


def as_words(units: Sequence[Hashable]) -> str:
    """Units as words, for BLEU: "12 7 12"."""
    return " ".join(map(str, units))


def as_characters(units: Sequence[int]) -> str:
    """Units as one character each, for chrF.

    Raises:
        InputError: a unit of 131,072 or more.
    """
    if len(units) and not 0 <= min(units) <= max(units) < _MOST_UNITS:
        raise InputError(
            f"units from {min(units)} to {max(units)}, but there are characters for 0 … "
            f"{_MOST_UNITS - 1}",
        )
    return "".join(chr(_FIRST_PRIVATE + int(unit)) for unit in units)


def _by_sacrebleu(
    metric: Any,
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
    seed: int,
    replicates: int,
    longest: NDArray[np.bool_] | None = None,
) -> Estimate:
    """A metric of sacrebleu, with an interval from its statistics of each output.

    sacrebleu's own bootstrap takes its seed from the environment.

    Args:
        longest: for BLEU, whether any and whether all references of each output (n, 2) have an
            n-gram of the highest order.
    """
    statistics = _statistics(metric, outputs, references)
    n_own = statistics.shape[1]
    if longest is not None:
        statistics = np.column_stack([statistics, longest])

    def score(sums: Doubles) -> float:
        if longest is not None:
            n_grams, (may_match, must_match) = sums[n_own - 1], sums[n_own:]  # of highest order
            if not may_match or not (n_grams or must_match):
                return np.nan
        return _sacrebleu_score(metric, sums[:n_own])

    return _estimate(statistics, score, seed, replicates, str(metric.get_signature()))


def _statistics(
    metric: Any, outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> Doubles:
    """What a metric of sacrebleu sums over outputs, of each: (n, S)."""
    _check(outputs, references)
    most = max(map(len, references))
    streams = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
    return np.array(metric._extract_corpus_statistics(outputs, streams), np.float64)


def _sacrebleu_score(metric: Any, sums: Doubles) -> float:
    return float(metric._compute_score_from_stats(sums.tolist()).score)


def _estimate(
    statistics: Doubles,
    score: Callable[[Doubles], float],
    seed: int,
    replicates: int = REPLICATES,
    signature: str = "",
) -> Estimate:
    """A score of the summed statistics of outputs (n, S), and its interval."""
    n = len(statistics)
    value = score(statistics.sum(axis=0))
    if n < 2 or replicates == 0:
        return Estimate(value, None, n, signature)
    drawn = _resampled(statistics, score, seed, replicates)
    return Estimate(value, percentile_interval(drawn), n, signature)


def _resampled(
    statistics: Doubles, score: Callable[[Doubles], float], seed: int, replicates: int = REPLICATES
) -> Doubles:
    """A score of resampled outputs (replicates,); the draws depend on n and the seed alone."""
    n, rng, drawn = len(statistics), np.random.default_rng(seed), []
    block = max(1, _BLOCK // n)
    for done in range(0, replicates, block):
        weights = resample_weights(n, rng, min(block, replicates - done))
        drawn += [score(sums) for sums in weights @ statistics]
    return np.array(drawn)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else np.nan


def _check(outputs: Sequence[Any], references: Sequence[Sequence[Any]]) -> None:
    if len(outputs) != len(references) or not outputs or not all(map(len, references)):
        without = sum(not several for several in references)
        raise InputError(
            f"{counted(len(outputs), 'output')}, {counted(len(references), 'list')} of references, "
            f"{without} of them empty",
            cause="an output or its reference is missing",
            remedy="give each output its references, and at least one output",
        )
