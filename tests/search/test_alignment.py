"""The kernel of subsequence DTW equals a loop over all paths, and its algebra holds."""

import itertools

import numpy as np
import pytest

from zerochain.search.alignment import (
    FAR,
    best_paths,
    best_paths_in_pieces,
    local_minima,
    table_costs,
)


def slow(local: np.ndarray) -> tuple[np.ndarray, list[set[int]]]:
    """The least cost of all paths to each frame, and the starts of those that have it."""
    n_frames, n = local.shape
    ends, starts = np.full(n_frames, np.inf), [set() for _ in range(n_frames)]

    def follow(t: int, i: int, cost: float, start: int) -> None:
        if i == n - 1:
            if cost / n < ends[t] - 1e-6:
                ends[t], starts[t] = cost / n, set()
            if abs(cost / n - ends[t]) <= 1e-6:
                starts[t].add(start)
            return
        if t + 1 < n_frames:
            follow(t + 1, i + 1, cost + local[t + 1, i + 1], start)
            if i + 2 < n:
                follow(t + 1, i + 2, cost + local[t + 1, i + 1] + local[t + 1, i + 2], start)
        if t + 2 < n_frames:
            both = (local[t + 1, i + 1] + local[t + 2, i + 1]) / 2
            follow(t + 2, i + 1, cost + both, start)

    for start in range(n_frames):
        follow(start, 0, local[start, 0], start)
    return ends, starts


def aligned(local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ends, starts = np.empty(len(local), np.float32), np.empty(len(local), np.int32)
    best_paths(np.ascontiguousarray(local, np.float32), ends, starts)
    return ends, starts


@pytest.mark.parametrize(("n_frames", "n"), [(1, 1), (2, 3), (9, 4), (8, 7), (3, 6), (10, 1)])
def test_it_equals_a_loop_over_all_paths(n_frames: int, n: int) -> None:
    local = np.random.default_rng(n).random((n_frames, n))
    ends, starts = aligned(local)
    expected, origins = slow(local)
    reached = np.isfinite(expected)
    np.testing.assert_array_equal(ends < FAR, reached)
    np.testing.assert_allclose(ends[reached], expected[reached], rtol=1e-5)
    assert all(starts[t] in origins[t] for t in np.flatnonzero(reached))


@pytest.mark.parametrize("frames_per_frame", [0.5, 1, 2])
def test_what_is_said_again_costs_nothing_at_half_to_twice_the_speed(
    frames_per_frame: float,
) -> None:
    n, before = 9, 5
    local = np.ones((40, n))
    for i in range(n):  # the frames of the recording that say the query's frame i
        first = before + round(np.ceil(i * frames_per_frame))
        local[first : max(first + 1, before + round((i + 1) * frames_per_frame)), i] = 0
    ends, starts = aligned(local)
    last = before + round((n - 1) * frames_per_frame)
    assert ends[last] == 0
    assert before <= starts[last] < before + max(1, frames_per_frame)
    assert not (ends[:last] == 0).any()


def test_no_path_crosses_a_bound() -> None:
    rng = np.random.default_rng(0)
    local = rng.random((30, 6)).astype(np.float32)
    ends, starts = np.empty(30, np.float32), np.empty(30, np.int32)
    bounds = np.array([0, 11, 13, 30], np.int32)
    best_paths_in_pieces(local, bounds, ends, starts)
    for begin, end in itertools.pairwise(bounds):
        alone, origin = aligned(local[begin:end])
        np.testing.assert_array_equal(ends[begin:end], alone)
        np.testing.assert_array_equal(starts[begin:end], origin)


def test_costs_out_of_a_table() -> None:
    table = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    units = np.array([4, 0, 0, 2], np.int32)
    local = np.empty((4, 3), np.float32)
    table_costs(table, units, local)
    np.testing.assert_array_equal(local, table[units])


def test_local_minima_are_the_first_and_least_within_the_radius() -> None:
    ends = np.array([3, 1, 1, 2, 0, 5, 5, 0.5], np.float32)
    found = np.empty(8, np.int32)
    n = local_minima(ends, 2, np.float32(0.9), found)
    assert found[:n].tolist() == [4, 7]
    n = local_minima(ends, 1, np.float32(9), found)
    assert found[:n].tolist() == [1, 4, 7]
