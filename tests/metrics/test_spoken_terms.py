import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from zerochain.errors import InputError
from zerochain.metrics.spoken_terms import (
    Ranked,
    average_precision,
    max_term_weighted_value,
    precision_at,
)


def ranked(n: int, seed: int, shift: float = 1.0) -> Ranked:
    rng = np.random.default_rng(seed)
    is_right = rng.random(n) < 0.2
    is_right[0] = True
    return Ranked(rng.normal(size=n) + shift * is_right, is_right, int(is_right.sum()), n)


def test_average_precision_is_that_of_scikit_learn() -> None:
    for seed in range(5):
        query = ranked(40, seed)
        expected = average_precision_score(query.is_right, query.scores)
        assert average_precision(query) == pytest.approx(expected)


def test_perfect_is_one_and_what_is_not_returned_counts_nothing() -> None:
    perfect = Ranked(np.array([3.0, 2.0, 1.0]), np.array([True, True, False]), 2, 9)
    assert average_precision(perfect) == 1
    assert precision_at(perfect, 2) == 1
    assert precision_at(perfect, 10) == pytest.approx(0.2)
    lost = Ranked(perfect.scores, perfect.is_right, 4, 9)
    assert average_precision(lost) == 0.5
    nothing = Ranked(np.empty(0), np.empty(0, bool), 2, 9)
    assert average_precision(nothing) == precision_at(nothing, 10) == 0


def test_equal_scores_rank_the_wrong_first() -> None:
    tied = Ranked(np.ones(4), np.array([True, False, False, False]), 1, 4)
    assert average_precision(tied) == 0.25


def test_mtwv_equals_a_loop_over_thresholds() -> None:
    queries = [ranked(30, seed, shift=2.0) for seed in range(6)]
    first = queries[0]  # with equal scores, and wrong trials that were not returned
    queries[0] = Ranked(np.round(first.scores), first.is_right, first.n_right, 60)
    beta, values = 3.0, [0.0]
    for threshold in np.unique(np.concatenate([q.scores for q in queries])):
        losses = []
        for q in queries:
            above = q.scores >= threshold
            misses = 1 - (above & q.is_right).sum() / q.n_right
            alarms = (above & ~q.is_right).sum() / (q.n_trials - q.n_right)
            losses.append(misses + beta * alarms)
        values.append(1 - np.mean(losses))
    found = max_term_weighted_value(queries, beta)
    assert found.value == pytest.approx(max(values))
    assert found.interval is not None
    assert found.interval[0] <= found.value <= found.interval[1]


def test_mtwv_of_perfect_and_of_useless_scores() -> None:
    perfect = Ranked(np.array([3.0, 2.0, 1.0]), np.array([True, True, False]), 2, 9)
    found = max_term_weighted_value([perfect, perfect])
    assert (found.value, found.threshold) == (1, 2.0)
    useless = Ranked(np.array([3.0, 2.0]), np.array([False, True]), 1, 9)
    assert max_term_weighted_value([useless]).value == 0
    assert max_term_weighted_value([useless]).threshold == np.inf


def test_scores_that_do_not_compare_over_queries_have_a_lower_mtwv() -> None:
    queries = [ranked(200, seed, shift=3.0) for seed in range(8)]
    moved = [
        Ranked(q.scores + 5 * i, q.is_right, q.n_right, q.n_trials) for i, q in enumerate(queries)
    ]
    assert max_term_weighted_value(moved).value < max_term_weighted_value(queries).value - 0.1
    assert [average_precision(q) for q in moved] == [average_precision(q) for q in queries]


def test_impossible_rankings_are_refused() -> None:
    one = np.array([1.0])
    for wrong in ((one, np.array([True]), 0, 9), (one, np.array([False]), 9, 9)):
        with pytest.raises(InputError, match="1 trial returned"):
            Ranked(*wrong)
    with pytest.raises(InputError, match="NaN"):
        Ranked(np.array([np.nan]), np.array([True]), 1, 9)
    with pytest.raises(InputError, match="no query"):
        max_term_weighted_value([])
