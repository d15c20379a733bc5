"""CTC's decoding and alignment against sums over all paths."""

from itertools import product

import numpy as np
import pytest

from zerochain.speechchain.ctc import beams, best_path, durations, forced, steps_needed

BLANK = 2


def logs_of(n_steps: int, seed: int) -> np.ndarray:
    scores = 2 * np.random.default_rng(seed).standard_normal((n_steps, BLANK + 1))
    return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    merged = [s for i, s in enumerate(path) if i == 0 or s != path[i - 1]]
    return tuple(s for s in merged if s != BLANK)


def by_paths(logs: np.ndarray) -> dict[tuple[int, ...], tuple[float, float]]:
    """Sequence → its log-probability, and that of its likeliest path."""
    sums: dict[tuple[int, ...], list[float]] = {}
    for path in product(range(BLANK + 1), repeat=len(logs)):
        sums.setdefault(collapsed(path), []).append(float(logs[range(len(logs)), path].sum()))
    return {key: (float(np.logaddexp.reduce(v)), max(v)) for key, v in sums.items()}


@pytest.mark.parametrize("seed", range(5))
def test_beams_are_the_likeliest_sequences(seed: int) -> None:
    logs = logs_of(5, seed)
    wanted = sorted(((score, key) for key, (score, _) in by_paths(logs).items()), reverse=True)
    found = beams(logs, 64)
    assert [tuple(s.tolist()) for s, _ in found[:5]] == [key for _, key in wanted[:5]]
    np.testing.assert_allclose([s for _, s in found[:5]], [s for s, _ in wanted[:5]], atol=5e-3)


@pytest.mark.parametrize("symbols", [[0], [0, 0], [0, 1, 0], [1, 1, 0]])
def test_a_forced_path_is_the_likeliest_one(symbols: list[int]) -> None:
    logs = logs_of(6, 3)
    path = forced(logs, np.array(symbols))
    # The likeliest path passes through the steps that it is said to.
    wanted = by_paths(logs)[tuple(symbols)][1]
    on = [
        float(logs[range(6), p].sum())
        for p in product(range(BLANK + 1), repeat=6)
        if collapsed(p) == tuple(symbols)
        and all(p[t] == s for t, s in zip(path.steps, symbols, strict=True))
    ]
    assert max(on) == pytest.approx(wanted, rel=1e-5)
    assert (np.diff(path.steps) > 0).all()


def test_too_few_steps_have_no_path() -> None:
    assert steps_needed(np.array([1, 1, 0])) == 4
    assert forced(logs_of(3, 0), np.array([1, 1, 0])).score == -np.inf
    assert np.isfinite(forced(logs_of(4, 0), np.array([1, 1, 0])).score)


def test_the_best_path_is_forced_by_its_own_symbols() -> None:
    logs = logs_of(30, 1)
    path = best_path(logs)
    again = forced(logs, path.symbols)
    assert again.steps.tolist() == path.steps.tolist()
    assert again.score == pytest.approx(path.score)


def test_durations_cover_everything() -> None:
    assert durations(np.array([5, 6, 12]), 20).tolist() == [3, 3, 3, 6, 5]
    assert durations(np.array([0, 1]), 2).tolist() == [0, 1, 1, 0]
    assert durations(np.array([], np.int64), 7).tolist() == [7, 0]
