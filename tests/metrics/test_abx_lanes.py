import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from zerochain.metrics.abx_kernel import IDENTICAL, LEVENSHTEIN
from zerochain.metrics.abx_lanes import LANES, string_distances


def distances(kind, groups, pairs):
    """Distances of groups of strings, as lists of (forward, backward) arrays (|g|, |h|)."""
    strings = [string for group in groups for string in group]
    bounds = np.cumsum([0, *map(len, groups)])
    sizes = np.diff(bounds)[np.array(pairs)].prod(axis=1)
    both = string_distances(
        kind,
        np.concatenate(strings),
        np.array([len(s) for s in strings]),
        bounds,
        np.array(pairs),
        np.cumsum([0, *sizes]),
    )
    blocks = np.split(both, np.cumsum(sizes)[:-1], axis=1)
    return [
        block.reshape(2, len(groups[g]), len(groups[h]))
        for block, (g, h) in zip(blocks, pairs, strict=True)
    ]


def slow(kind, x, y):
    if kind == LEVENSHTEIN:
        return reference.edit_distance(x.tolist(), y.tolist())
    return reference.dtw((x[:, None] != y[None]).astype(float))


strings = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(lambda s: np.array(s, np.int32))


@pytest.mark.parametrize("kind", [IDENTICAL, LEVENSHTEIN])
@settings(deadline=None, max_examples=30)
@given(groups=st.lists(st.lists(strings, min_size=1, max_size=4), min_size=2, max_size=3))
def test_both_directions_equal_the_slow_loop_also_within_a_group(kind, groups):
    pairs = [(0, 0), (0, 1), (len(groups) - 2, len(groups) - 1)]
    for (g, h), block in zip(pairs, distances(kind, groups, pairs), strict=True):
        for i, x in enumerate(groups[g]):
            for j, y in enumerate(groups[h]):
                assert block[0, i, j] == slow(kind, x, y)
                assert block[1, i, j] == slow(kind, y, x)


@pytest.mark.parametrize("longest", [61, 62, 63, 150])
def test_long_strings_and_more_pairs_than_lanes(longest):
    rng = np.random.default_rng(longest)
    lengths = [longest, longest - 1, *rng.integers(1, longest, 7)]
    groups = [[rng.integers(0, 3, n) for n in lengths], [rng.integers(0, 3, n) for n in lengths]]
    assert len(lengths) ** 2 > LANES
    (block,) = distances(IDENTICAL, groups, [(0, 1)])
    for i, j in [(0, 0), (0, 1), (1, 0), *rng.integers(0, len(lengths), (6, 2))]:
        assert block[0, i, j] == slow(IDENTICAL, groups[0][i], groups[1][j])
        assert block[1, i, j] == slow(IDENTICAL, groups[1][j], groups[0][i])


def test_all_different_strings_cost_one_per_step():
    groups = [[np.zeros(60, np.int32)], [np.full(60, 70_000, np.int32), np.full(30, 1, np.int32)]]
    (block,) = distances(IDENTICAL, groups, [(0, 1)])
    assert block.tolist() == [[[1, 1]], [[1, 1]]]
    (edits,) = distances(LEVENSHTEIN, groups, [(0, 1)])
    assert edits.tolist() == [[[60, 60]], [[60, 60]]]


def test_units_are_told_apart_beyond_16_bits():
    groups = [[np.array([5, 5 + (1 << 16)])], [np.array([5, 5])]]
    (block,) = distances(IDENTICAL, groups, [(0, 1)])
    assert block[0, 0, 0] == 0.5
