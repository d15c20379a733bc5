import itertools
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import edit_distance
from zerochain.errors import InputError
from zerochain.metrics.retrieval import Ranking, edit_similarity, pooled_retrieval, retrieval


def slow_mrr(row: list[int], right: set[int]) -> tuple[float, float]:
    """Mean 1/rank and recall@1 over all orders of the candidates, by trying each."""
    ranks = []
    for order in itertools.permutations(range(len(row))):
        ranking = sorted(order, key=lambda c: -row[c])
        ranks.append(1 + min(ranking.index(c) for c in right))
    return mean(1 / rank for rank in ranks), mean(rank == 1 for rank in ranks)


@settings(deadline=None)  # the first call compiles
@given(st.data())
def test_ties_are_worth_the_mean_over_all_orders(data: st.DataObject) -> None:
    m = data.draw(st.integers(1, 5))
    rows = data.draw(
        st.lists(st.lists(st.integers(0, 2), min_size=m, max_size=m), min_size=1, max_size=3)
    )
    right = [data.draw(st.sets(st.integers(0, m - 1), min_size=1)) for _ in rows]
    found = retrieval(np.array(rows, float), [list(r) for r in right])
    slow = [slow_mrr(row, r) for row, r in zip(rows, right, strict=True)]
    assert found.mrr.value == pytest.approx(mean(value for value, _ in slow))
    assert found.recall[1].value == pytest.approx(100 * mean(hit for _, hit in slow))
    blind = [slow_mrr([0] * m, r)[0] for r in right]
    assert found.mrr.chance == pytest.approx(mean(blind))


def test_by_hand() -> None:
    similarity = np.array([[0.9, 0.1, 0.5], [0.8, 0.7, 0.1], [0.3, 0.2, 0.1]])
    found = retrieval(similarity, [[0], [1], [2]])
    assert found.mrr.value == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert found.recall[1].value == pytest.approx(100 / 3)
    assert found.recall[10].value == 100
    assert found.recall[1].chance == pytest.approx(100 / 3)
    assert found.mrr.chance == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert found.n_candidates == 3


def test_the_first_of_several_right_ones_counts() -> None:
    found = retrieval(np.array([[0.9, 0.5, 0.4, 0.1]]), [[2, 1]])
    assert found.mrr.value == 0.5


def test_recall_at_ten_of_many() -> None:
    similarity = -np.abs(np.arange(40)[:, None] - np.arange(40)).astype(float)
    right = [[(i + (9 if i % 2 else 0)) % 40] for i in range(40)]
    assert retrieval(np.eye(40), [[i] for i in range(40)]).recall[10].value == 100
    assert retrieval(similarity, right).recall[1].value == 50


def test_perfect_is_significant_and_a_constant_output_is_chance() -> None:
    right = [[i] for i in range(30)]
    perfect = retrieval(np.eye(30), right)
    assert (perfect.mrr.value, perfect.recall[1].value) == (1, 100)
    assert perfect.p_value == pytest.approx(1 / 1001)
    row = np.random.default_rng(0).random(30)
    constant = retrieval(np.tile(row, (30, 1)), right)
    assert constant.mrr.value == pytest.approx(constant.mrr.chance)
    assert constant.p_value == 1


def test_p_values_of_noise_are_uniform() -> None:
    rng = np.random.default_rng(0)
    right = [[i] for i in range(15)]
    p = [retrieval(rng.random((15, 15)), right, seed=i).p_value for i in range(60)]
    assert 0.35 < np.mean(p) < 0.65
    assert sum(value < 0.05 for value in p) <= 8


def test_one_output_has_no_interval_and_nothing_to_permute() -> None:
    found = retrieval(np.array([[0.2, 0.9]]), [[1]])
    assert found.mrr.interval is None
    assert found.p_value == 1


def test_edit_similarity_of_all_pairs() -> None:
    outputs, candidates = ["abcd", "", "dcb"], ["abd", "x", ""]
    slow = [[1 - edit_distance(a, b) / max(len(a), len(b), 1) for b in candidates] for a in outputs]
    assert edit_similarity(outputs, candidates) == pytest.approx(np.array(slow))


@pytest.mark.parametrize(
    ("similarity", "right"),
    [
        (np.zeros((0, 2)), []),
        (np.zeros((1, 2)), [[]]),
        (np.zeros((2, 2)), [[0]]),
        (np.array([[np.nan, 1]]), [[0]]),
        (np.zeros((1, 2)), [[2]]),
    ],
)
def test_what_makes_no_sense_is_refused(similarity: np.ndarray, right: list) -> None:
    with pytest.raises(InputError, match="right candidates"):
        retrieval(similarity, right)


def test_rankings_are_pooled_and_each_keeps_its_candidates() -> None:
    rng = np.random.default_rng(0)
    sizes = (4, 7)
    parts = [Ranking(rng.random((n, n)), [[i] for i in range(n)]) for n in sizes]
    pooled = pooled_retrieval(parts)
    alone = [retrieval(part.similarity, part.right) for part in parts]
    for measure in (lambda r: r.mrr, lambda r: r.recall[1], lambda r: r.recall[10]):
        for field in ("value", "chance"):
            wanted = sum(
                n * getattr(measure(r), field) for n, r in zip(sizes, alone, strict=True)
            ) / sum(sizes)
            assert getattr(measure(pooled), field) == pytest.approx(wanted)
        assert measure(pooled).n == sum(sizes)
    assert pooled.n_candidates == 7
    assert pooled_retrieval(parts[:1]) == alone[0]


def test_pooled_chance_is_found_within_each_ranking() -> None:
    """Outputs that only identify their fold are at chance."""
    deaf = [Ranking(np.full((6, 6), value), [[i] for i in range(6)]) for value in (0.1, 0.9)]
    assert pooled_retrieval(deaf).p_value == 1
    sharp = [Ranking(np.eye(6), [[i] for i in range(6)]) for _ in range(2)]
    assert pooled_retrieval(sharp).p_value < 0.01
    with pytest.raises(InputError, match="nothing to rank"):
        pooled_retrieval([])
