"""How well a search finds what was searched for: MAP, P@10, and the term-weighted value.

Each query ranks trials (utterances, or places in time) by its score. Average precision and P@k look
at each query's ranking alone. The term-weighted value (TWV; NIST 2006) applies one threshold to all
queries, so it also asks whether scores compare over queries: at a threshold θ it is

    1 − mean over queries of (P_miss(θ) + β · P_FA(θ)),

where P_FA is the share of the wrong trials that are above θ. β weighs false alarms: 999.9 at NIST,
(C_FA / C_miss) · (1 / P_target − 1) = 12.49 in the search of whole utterances by examples
(MediaEval QUESST 2014), 66.66 in that of places (SWS 2013). The maximum over θ is the MTWV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted
from zerochain.metrics.bootstrap import REPLICATES

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]
QUESST_BETA, SWS_BETA = 12.49, 66.66


@dataclass(frozen=True)
class Ranked:
    """What a query found.

    Attributes:
        scores: of the trials that it returned (n,), higher is more alike; the others are below.
        is_right: which of these are right (n,).
        n_right: right trials, returned or not.
        n_trials: all trials.
    """

    scores: Doubles
    is_right: Flags
    n_right: int
    n_trials: int

    def __post_init__(self) -> None:
        """Refuse what can't be.

        Raises:
            InputError: no right trial, more returned than there are, or NaN.
        """
        n, n_found = len(self.scores), int(self.is_right.sum())
        possible = n_found <= self.n_right and n - n_found <= self.n_trials - self.n_right
        if self.n_right < 1 or n != len(self.is_right) or not possible:
            raise InputError(
                f"{counted(n, 'trial')} returned, {n_found} of them right, of "
                f"{counted(self.n_trials, 'trial')}, {self.n_right} of them right"
            )
        if not np.isfinite(self.scores).all():
            raise InputError("a score is NaN or infinite")

    def in_order(self) -> tuple[Doubles, Flags]:
        """Scores and correctness by falling score; among equal ones the wrong come first."""
        order = np.lexsort((self.is_right, -self.scores))
        return self.scores[order], self.is_right[order]


def average_precision(query: Ranked) -> float:
    """The mean, over the right trials, of the precision at each one's rank, 0 … 1.

    Right trials that were not returned count 0.
    """
    _, is_right = query.in_order()
    ranks = np.flatnonzero(is_right) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).sum() / query.n_right)


def precision_at(query: Ranked, k: int) -> float:
    """How many of the first k trials are right, divided by k: with fewer right ones, below 1."""
    return float(query.in_order()[1][:k].sum() / k)


@dataclass(frozen=True)
class TermWeightedValue:
    """The maximum term-weighted value, its threshold and its interval over queries."""

    value: float
    threshold: float
    """Trials with at least this score are accepted; infinity accepts none, at a value of 0."""
    interval: tuple[float, float] | None
    """95 %; None for one query. The threshold is chosen anew in each resample."""


def max_term_weighted_value(
    queries: Sequence[Ranked], beta: float = QUESST_BETA, *, seed: int = 0
) -> TermWeightedValue:
    """The MTWV of queries that share one threshold: 1 is perfect, 0 is to return nothing.

    Raises:
        InputError: no query, or one without a wrong trial.
    """
    if not queries or any(query.n_trials == query.n_right for query in queries):
        raise InputError("there is no query, or no wrong trial of one")
    scores = np.concatenate([query.scores for query in queries])
    gains = np.concatenate(
        [
            np.where(q.is_right, 1 / q.n_right, -beta / (q.n_trials - q.n_right)) / len(queries)
            for q in queries
        ]
    )
    of_query = np.repeat(np.arange(len(queries)), [len(query.scores) for query in queries])
    order = np.argsort(-scores, kind="stable")
    scores, gains, of_query = scores[order], gains[order], of_query[order]
    is_last = np.append(scores[1:] != scores[:-1], True) if len(scores) else np.empty(0, bool)
    total = np.cumsum(gains)[is_last]
    best = int(np.argmax(total)) if len(total) else 0
    found = len(total) > 0 and total[best] > 0
    value = float(total[best]) if found else 0.0
    threshold = float(scores[is_last][best]) if found else np.inf
    if len(queries) < 2:
        return TermWeightedValue(value, threshold, None)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(REPLICATES):
        weights = np.bincount(rng.integers(len(queries), size=len(queries)), minlength=len(queries))
        resampled = np.cumsum(gains * weights[of_query])[is_last]
        drawn.append(max(0.0, float(resampled.max(initial=0.0))))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return TermWeightedValue(value, threshold, (float(low), float(high)))
