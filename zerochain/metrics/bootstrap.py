"""Bootstrap 95 % intervals: over utterances, and for ABX over phones and speakers at once.

Scores of a corpus vary with the choice of utterances, so utterances are resampled with replacement
and the score is computed from each replicate's sums (percentile intervals; 1000 replicates). Scores
that are biased on resampled data, such as entropies, get an interval of the same width around their
value (`centred_interval`). ABX cells that share a phone or a speaker are dependent: for those, the
pigeonhole bootstrap (Owen 2007) resamples phones and speakers instead of cells.

Weights are summed in blocks that fit into a cache or a fixed amount of memory; blocks change the
speed only, not the distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy  # scipy.sparse is loaded where it is used
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
REPLICATES = 1000
SAMPLED = {"phone_a": "phone", "phone_b": "phone", "speaker": "speaker", "speaker_x": "speaker"}
"""Column of ABX cells → what it is a sample of, the phones of A and B first."""
_BLOCK = 4_000_000
"""Values times replicates in memory at once."""
_DRAWN = 1_000_000
"""Utterances times replicates drawn at once: their weights stay in the cache."""


def bootstrap_mean(values: Doubles, *, seed: int = 0) -> tuple[float, float] | None:
    """Percentile interval of the mean of values (n,), resampled; None for fewer than two."""
    return sums_interval(values[:, None], lambda sums: sums[:, 0] / len(values), seed=seed)


def resample_weights(n: int, rng: np.random.Generator, replicates: int = REPLICATES) -> Doubles:
    """How often each of n items is drawn in n draws with replacement: (replicates, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=replicates).astype(np.float64)


def histogram_interval(
    histograms: scipy.sparse.csr_array,
    statistic: Callable[[Doubles], Doubles],
    value: float,
    *,
    highest: float = np.inf,
    seed: int = 0,
) -> tuple[float, float] | None:
    """95 % interval of a statistic of the summed histogram, over the choice of utterances.

    Args:
        histograms, statistic, seed: as `histogram_replicates`, of one table.
        value, highest: as `centred_interval`.

    Returns:
        None for a single utterance.
    """
    if histograms.shape[0] < 2:
        return None
    replicates = histogram_replicates(histograms, statistic, seed=seed)
    return centred_interval(replicates, value, highest)


def histogram_replicates(
    histograms: scipy.sparse.csr_array | Sequence[scipy.sparse.csr_array],
    statistic: Callable[[Doubles], Doubles],
    *,
    seed: int = 0,
) -> Doubles:
    """A statistic of the summed histogram, for sets of resampled utterances: (1000, …).

    Args:
        histograms: counts of symbols per utterance, or other sums, (n, V); or several such tables,
            whose columns are joined.
        statistic: summed histograms (R, V) → (R, …).
    """
    tables = [histograms] if isinstance(histograms, scipy.sparse.csr_array) else list(histograms)
    n = tables[0].shape[0]
    ends = np.cumsum([table.shape[1] for table in tables]).tolist()
    rng = np.random.default_rng(seed)
    drawn = []
    per_block = max(1, min(REPLICATES, _BLOCK // 4 // ends[-1]))
    for done in range(0, REPLICATES, per_block):
        replicates = min(per_block, REPLICATES - done)
        total = np.zeros((ends[-1], replicates))
        for chunk, weights in _weights_by_chunk(n, rng, replicates):
            for table, end in zip(tables, ends, strict=True):
                by_symbol = table[chunk].T.tocsr()  # row by row, so that sums stay in the cache
                total[end - table.shape[1] : end] += by_symbol @ weights
        drawn.append(statistic(np.ascontiguousarray(total.T)))
    return np.concatenate(drawn)


def _weights_by_chunk(
    n: int, rng: np.random.Generator, replicates: int
) -> Iterator[tuple[slice, Doubles]]:
    """`resample_weights` of many items, one chunk of them at a time: (chunk, replicates).

    The numbers of a replicate's n draws that fall into the chunks are multinomial, and within a
    chunk each draw is uniform: together these are n draws with replacement.
    """
    size = max(1, _DRAWN // replicates)
    starts = np.arange(0, n, size)
    sizes = np.minimum(size, n - starts)
    totals = rng.multinomial(n, sizes / n, size=replicates)
    of_replicate = np.arange(replicates)
    for start, length, counts in zip(starts, sizes, totals.T, strict=True):
        places = rng.integers(length, size=counts.sum())
        places *= replicates
        places += np.repeat(of_replicate, counts)
        weights = np.bincount(places, minlength=length * replicates)
        yield slice(start, start + length), weights.reshape(length, replicates).astype(np.float64)


def centred_interval(
    replicates: Doubles, value: float, highest: float = np.inf
) -> tuple[float, float]:
    """95 % interval: the spread of replicates (R,) about their own mean, moved to a value.

    For statistics that are biased on resampled data, because it has repeats: entropies are too low
    there, and purities too high.

    Args:
        value: the statistic of the whole set.
        highest: its upper limit; the lower one is 0.
    """
    low, high = np.percentile(replicates - replicates.mean(), [2.5, 97.5])
    low, high = min(float(low), 0.0), max(float(high), 0.0)  # rounding, where all are equal
    return max(0.0, value + low), min(highest, value + high)


def sums_interval(
    statistics: Doubles, score: Callable[[Doubles], Doubles], *, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile interval of a score that is computed from sums over utterances.

    Args:
        statistics: of each utterance, (n, S).
        score: sums (R, S) → (R,), NaN where undefined.

    Returns:
        None for a single utterance, or if the score of over half of the replicates is undefined.
    """
    n = len(statistics)
    if n < 2:
        return None
    total = np.zeros((REPLICATES, statistics.shape[1]))
    for chunk, weights in _weights_by_chunk(n, np.random.default_rng(seed), REPLICATES):
        total += weights.T @ statistics[chunk]
    return percentile_interval(score(total))


def percentile_interval(replicates: Doubles) -> tuple[float, float] | None:
    """2.5 and 97.5 percentiles of the defined replicates; None if fewer than half are."""
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < len(replicates) / 2:
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def collapse(scores: Doubles, keys: Mapping[str, Ints], levels: Sequence[Sequence[str]]) -> float:
    """Average cells level by level: at each, those that differ only in its columns.

    Args:
        scores: (C,).
        keys: column → code of each cell, (C,); together they identify a cell.
        levels: columns to average over, in this order; columns that `keys` lacks are skipped.
    """
    return float(_collapsed(scores, _levels(keys, levels), {})[0])


def pigeonhole_interval(
    scores: Doubles,
    keys: Mapping[str, Ints],
    levels: Sequence[Sequence[str]],
    *,
    sampled: Mapping[str, str] = SAMPLED,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> tuple[float, float] | None:
    """95 % interval of a collapsed ABX score, over the choice of phones and of speakers.

    Cells that share a phone or a speaker are not independent, so cells are not resampled. The
    pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1) draws phones with replacement,
    and independently speakers, and weights the cell of phones p, q and speakers s, t by the product
    of the numbers of times that p, q, s and t were drawn. Its intervals are conservative. Tokens
    and contexts are not resampled.

    Args:
        scores, keys, levels: as `collapse`.
        sampled: column → what it is a sample of; A's and B's phones come first.

    Returns:
        None for a single pair of phones, which says nothing about others.
    """
    sampled = {column: of for column, of in sampled.items() if column in keys}
    first = next(iter(sampled.values()))
    pair = np.sort(
        np.stack([keys[column] for column, of in sampled.items() if of == first]), axis=0
    )
    if len(np.unique(pair, axis=1).T) < 2:
        return None
    rng = np.random.default_rng(seed)
    sizes: dict[str, int] = {}
    for column, of in sampled.items():
        sizes[of] = max(sizes.get(of, 0), int(keys[column].max()) + 1)
    steps = _levels(keys, levels, sampled)
    per_block = max(1, min(replicates, _BLOCK // len(scores)))
    drawn = []
    for done in range(0, replicates, per_block):
        n = min(per_block, replicates - done)
        drawn_of = {of: resample_weights(size, rng, n).T for of, size in sizes.items()}
        weights = {column: drawn_of[of] for column, of in sampled.items()}
        drawn.append(_collapsed(scores, steps, weights))
    return percentile_interval(np.concatenate(drawn))


class _Level(NamedTuple):
    """One averaging of n rows into fewer.

    A row's weight depends only on its labels in the averaged columns that are resampled. These have
    far fewer combinations than there are rows, so weights are computed per combination.
    """

    columns: Mapping[str, Ints]
    """Averaged columns that can have weights → their code in each combination."""
    combination: Ints
    """The combination of each row (n,)."""
    group: Ints
    """The row of the result that each row is averaged into (n,)."""


def _levels(
    keys: Mapping[str, Ints],
    levels: Sequence[Sequence[str]],
    sampled: Mapping[str, str] = SAMPLED,
) -> list[_Level]:
    steps = []
    for level in levels:
        if not keys:  # a single value is left
            break
        gone = {name: codes for name, codes in keys.items() if name in level}
        kept = {name: codes for name, codes in keys.items() if name not in level}
        weighted = {name: codes for name, codes in gone.items() if name in sampled}
        columns, combination = _unique(weighted, len(next(iter(keys.values()))))
        keys, group = _unique(kept, len(combination))
        steps.append(_Level(columns, combination, group))
    return steps


def _unique(keys: Mapping[str, Ints], n: int) -> tuple[dict[str, Ints], Ints]:
    """The distinct rows of n, by column, and the index of each row among them."""
    if not keys:
        return {}, np.zeros(n, np.int64)
    number, n_numbers = np.zeros(n, np.int64), 1  # rows as numbers, which sort faster
    for codes in keys.values():
        size = int(codes.max()) + 1
        if n_numbers * size > 1 << 62:
            number, n_numbers = np.unique(number, return_inverse=True)[1], n
        number, n_numbers = number * size + codes, n_numbers * size
    _, first, inverse = np.unique(number, return_index=True, return_inverse=True)
    return {name: codes[first] for name, codes in keys.items()}, inverse.ravel()


def _collapsed(scores: Doubles, steps: list[_Level], weights: Mapping[str, Doubles]) -> Doubles:
    """Collapse once for each of R replicates, (R,); NaN where all weights are 0.

    The weight of a row is the product of the `weights` (column → (codes, R)) of its averaged
    columns; without weights it is 1, and R is 1.
    """
    values = scores[:, None]
    for columns, combination, group in steps:
        weight = np.ones((int(combination.max()) + 1, 1))
        for name, codes in columns.items():
            if name in weights:
                weight = weight * weights[name][codes]
        defined = np.isfinite(values)
        if values.shape[1] == 1:  # first level: replicates differ only in weights, not in values
            total = _summed(values[:, 0], group, combination) @ weight
            mass = _summed(defined[:, 0], group, combination) @ weight
        else:
            into = _summed(np.ones(len(group)), group, np.arange(len(group)))
            mass = weight[combination]
            if not defined.all():
                mass, values = mass * defined, np.where(defined, values, 0)
            total, mass = into @ (values * mass), into @ mass
        values = total / np.where(mass > 0, mass, np.nan)
    return np.asarray(values[0])


def _summed(values: NDArray[np.generic], rows: Ints, columns: Ints) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array((values.astype(np.float64), (rows, columns)))
