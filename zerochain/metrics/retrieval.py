"""How well outputs retrieve their own references: mean reciprocal rank, recall, chance level.

All candidates are ranked by their similarity to an output. Unlike BLEU this asks only whether an
output is closer to its own reference than to the others, so it detects a translator that learned
anything at all, and one that ignores its input scores exactly chance. Equally similar candidates
have random ranks, and the expectation over these is computed exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from zerochain.errors import InputError, counted
from zerochain.kernels import compiled
from zerochain.metrics.bootstrap import bootstrap_mean
from zerochain.metrics.comparison import Comparison

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
RECALLS = (1, 10)
_PERMUTATIONS = 1000


@dataclass(frozen=True)
class Found:
    """A measure of retrieval: its mean over outputs, and the chance level."""

    value: float
    interval: tuple[float, float] | None
    """95 %, over outputs."""
    chance: float
    """The mean if all candidates are equally similar."""
    n: int


@dataclass(frozen=True)
class Retrieval:
    """How early the right candidates come in rankings by similarity."""

    mrr: Found
    """Reciprocal rank of the first right candidate, 0 … 1."""
    recall: dict[int, Found]
    """k → how often a right candidate is among the first k, in %."""
    n_candidates: int
    """With several rankings, the largest number of all."""
    p_value: float
    """The probability of an MRR as high if outputs are assigned to sources at random, by
    permutation; 1 where there is nothing to permute."""


@dataclass(frozen=True)
class Ranking:
    """Outputs, and the candidates that are ranked for each.

    Attributes:
        similarity: of each output to each candidate (n, m).
        right: the candidates that are right for each output, at least one.
    """

    similarity: Doubles
    right: Sequence[Sequence[int]]


def retrieval(similarity: Doubles, right: Sequence[Sequence[int]], *, seed: int = 0) -> Retrieval:
    """Rank all candidates for each output.

    Equally similar candidates are in random order, and the exact expectation over these orders is
    returned: outputs that never change score chance.

    Args:
        similarity: of each output to each candidate (n, m).
        right: the candidates that are right for each output, at least one.

    Raises:
        InputError: no output, one without a right candidate, or NaN.
    """
    return pooled_retrieval([Ranking(similarity, right)], seed=seed)


def pooled_retrieval(rankings: Sequence[Ranking], *, seed: int = 0) -> Retrieval:
    """Pool several rankings, for example of the folds of a cross-validation.

    Candidates are ranked, and outputs permuted, within each ranking; means, intervals and chance
    are over all outputs.

    Raises:
        InputError: no ranking, or as `retrieval`.
    """
    if not rankings:
        raise InputError("there is nothing to rank", remedy="give a ranking")
    tables, blinds = zip(*(_values(ranking) for ranking in rankings), strict=True)
    owns = np.concatenate([table[np.arange(len(table)), np.arange(len(table))] for table in tables])
    blind = np.concatenate(blinds)
    found = [
        Found(
            scale * float(owns[:, i].mean()),
            _scaled(bootstrap_mean(owns[:, i], seed=seed), scale),
            scale * float(blind[:, i].mean()),
            len(owns),
        )
        for i, scale in enumerate((1, *(100 for _ in RECALLS)))
    ]
    return Retrieval(
        mrr=found[0],
        recall=dict(zip(RECALLS, found[1:], strict=True)),
        n_candidates=max(ranking.similarity.shape[1] for ranking in rankings),
        p_value=_p_value([table[:, :, 0] for table in tables], seed),
    )


def compared_mrr(
    first: Sequence[Ranking], second: Sequence[Ranking], *, seed: int = 0
) -> Comparison:
    """Mean reciprocal ranks of two systems on the same sources, and the interval of the difference.

    Paired bootstrap over sources.

    Args:
        first, second: a ranking for each fold, with the sources in the same order.

    Raises:
        InputError: different numbers of outputs, or as `pooled_retrieval`.
    """
    sizes = [[len(ranking.similarity) for ranking in rankings] for rankings in (first, second)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"rankings of {sizes[0]} and of {sizes[1]} outputs", remedy="rank the same sources"
        )
    one, other = (
        np.concatenate([np.diagonal(_values(ranking)[0][:, :, 0]) for ranking in rankings])
        for rankings in (first, second)
    )
    return Comparison(
        first=float(one.mean()),
        second=float(other.mean()),
        interval=bootstrap_mean(one - other, seed=seed),
        direction="higher",
    )


def edit_similarity(outputs: Sequence[str], candidates: Sequence[str]) -> Doubles:
    """1 - Levenshtein distance / length of the longer, of all pairs of texts: (n, m)."""
    similarity = cdist(
        outputs, candidates, scorer=Levenshtein.normalized_similarity, dtype=np.float64, workers=1
    )
    return np.asarray(similarity, np.float64)


def _values(ranking: Ranking) -> tuple[Doubles, Doubles]:
    """MRR and recalls of output i as the output of source j (n, n, 3), and their chance (n, 3)."""
    similarity = ranking.similarity
    flat, bounds = _flat(similarity, ranking.right)
    blind = _expected(np.zeros((1, similarity.shape[1])), flat, bounds)[0]
    return _expected(similarity, flat, bounds), blind


def _p_value(tables: Sequence[Doubles], seed: int) -> float:
    """One-sided: how often sources in random order score as high as in their own."""
    rng, n = np.random.default_rng(seed), sum(map(len, tables))
    observed = sum(np.trace(values) for values in tables)
    drawn = np.zeros(_PERMUTATIONS)
    for values in tables:
        rows = np.arange(len(values))
        drawn += [values[rows, rng.permutation(len(rows))].sum() for _ in range(_PERMUTATIONS)]
    # The tolerance is for sums in another order, which differ in their last digits.
    return float((1 + np.sum(drawn >= observed - 1e-9 * n)) / (1 + _PERMUTATIONS))


def _scaled(interval: tuple[float, float] | None, by: float) -> tuple[float, float] | None:
    return None if interval is None else (by * interval[0], by * interval[1])


def _flat(similarity: Doubles, right: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """The right candidates of all outputs, end to end, and the bounds of each output (n + 1,)."""
    n, m = similarity.shape
    sizes = [len(set(one)) for one in right]
    if n == 0 or n != len(right) or not all(sizes) or not np.isfinite(similarity).all():
        raise InputError(
            f"{counted(n, 'output')}, {counted(len(right), 'list')} of right candidates, "
            f"{sum(s == 0 for s in sizes)} of them empty, "
            f"{counted(int((~np.isfinite(similarity)).sum()), 'similarity', 'similarities')} NaN",
            cause="an output has no reference among the candidates",
            remedy="give each output a right candidate",
        )
    flat = np.array([j for one in right for j in sorted(set(one))], np.int64)
    if flat.min() < 0 or flat.max() >= m:
        raise InputError(f"right candidates from {flat.min()} to {flat.max()}, of {m}")
    return flat, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _expected(similarity: Doubles, flat: Ints, bounds: Ints) -> Doubles:
    """Expected 1/rank and hits within `RECALLS` of output i as that of source j: (n, s, 3)."""
    out = np.zeros((len(similarity), len(bounds) - 1, 1 + len(RECALLS)))
    _fill_expected(similarity, flat, bounds, np.array(RECALLS), out)
    return out


@compiled()
def _fill_expected(
    similarity: Doubles, flat: Ints, bounds: Ints, recalls: Ints, out: Doubles
) -> None:
    m = similarity.shape[1]
    for i in range(len(similarity)):
        row = similarity[i]
        ordered = np.sort(row)
        for j in range(len(bounds) - 1):
            rights = flat[bounds[j] : bounds[j + 1]]
            best = row[rights[0]]
            for c in rights[1:]:
                best = max(best, row[c])
            above = m - np.searchsorted(ordered, best, side="right")
            tied = m - above - np.searchsorted(ordered, best, side="left")
            n_right = 0
            for c in rights:
                n_right += int(row[c] == best)
            # Among the tied candidates, the first right one is at place k with probability p.
            p = n_right / tied
            for k in range(1, tied - n_right + 2):
                out[i, j, 0] += p / (above + k)
                for r in range(len(recalls)):
                    if above + k <= recalls[r]:
                        out[i, j, 1 + r] += p
                if k < tied:
                    p *= (tied - n_right - k + 1) / (tied - k)
