import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import reference
from zerochain.metrics import bootstrap
from zerochain.metrics.abx_plan import COLLAPSE_2019, COLLAPSE_2021
from zerochain.metrics.bootstrap import (
    bootstrap_mean,
    centred_interval,
    collapse,
    pigeonhole_interval,
    sums_interval,
)


def table(seed, n=60, n_phones=4, n_speakers=3):
    rng = np.random.default_rng(seed)
    names = ("previous", "speaker", "speaker_x", "phone_a", "phone_b")
    sizes = (3, n_speakers, n_speakers, n_phones, n_phones)
    rows = np.unique(np.stack([rng.integers(size, size=n) for size in sizes]), axis=1)
    return dict(zip(names, rows, strict=True)), rng.random(rows.shape[1])


def as_rows(keys, scores):
    return [
        {name: int(codes[i]) for name, codes in keys.items()} | {"score": scores[i]}
        for i in range(len(scores))
    ]


@pytest.mark.parametrize("levels", [COLLAPSE_2021, COLLAPSE_2019])
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), within=st.booleans())
def test_collapse_and_its_weighted_replicates_equal_the_slow_loop(levels, seed, within):
    keys, scores = table(seed)
    if within:
        keys = {k: v for k, v in keys.items() if k != "speaker_x"}
        rows = np.unique(np.stack(list(keys.values())), axis=1)
        keys, scores = dict(zip(keys, rows, strict=True)), scores[: rows.shape[1]]
    rows = as_rows(keys, scores)
    assert collapse(scores, keys, levels) == pytest.approx(reference.collapse(rows, levels, {}))
    rng = np.random.default_rng(seed)
    phones, speakers = rng.integers(0, 3, (4, 5)), rng.integers(0, 3, (3, 5))
    by_column = {"phone_a": phones, "phone_b": phones, "speaker": speakers, "speaker_x": speakers}
    fast = bootstrap._collapsed(scores, bootstrap._levels(keys, levels), by_column)
    for r in range(5):
        weights = {name: dict(enumerate(w[:, r])) for name, w in by_column.items()}
        slow = reference.collapse(rows, levels, weights)
        assert fast[r] == pytest.approx(slow, nan_ok=True)


def test_the_interval_surrounds_the_value_and_narrows_with_more_phones_and_speakers():
    widths = []
    for n_phones, n_speakers, n in ((4, 3, 300), (20, 12, 30_000)):
        keys, scores = table(0, n, n_phones, n_speakers)
        value = collapse(scores, keys, COLLAPSE_2021)
        low, high = pigeonhole_interval(scores, keys, COLLAPSE_2021)
        assert low < value < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_it_covers_phones_and_speakers_that_differ():
    # Every cell of a phone shares that phone's difficulty: cells aren't independent.
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(40):
        difficulty = rng.normal(0.2, 0.05, 12)
        a, b = np.nonzero(~np.eye(12, dtype=bool))
        keys = {"previous": a * 0, "speaker": a * 0, "phone_a": a, "phone_b": b}
        scores = (difficulty[a] + difficulty[b]) / 2
        low, high = pigeonhole_interval(scores, keys, COLLAPSE_2021, replicates=200)
        hits += low <= 0.2 <= high
    assert hits >= 34


def test_blocks_and_seeds(monkeypatch):
    keys, scores = table(1, 300)
    whole = pigeonhole_interval(scores, keys, COLLAPSE_2021, seed=3)
    assert pigeonhole_interval(scores, keys, COLLAPSE_2021, seed=3) == whole
    assert pigeonhole_interval(scores, keys, COLLAPSE_2021, seed=4) != whole
    monkeypatch.setattr(bootstrap, "_BLOCK", 1000)
    assert pigeonhole_interval(scores, keys, COLLAPSE_2021) == pytest.approx(whole, abs=0.03)


def test_a_single_pair_of_phones_has_no_interval():
    keys = {"previous": [0, 0], "speaker": [0, 0], "phone_a": [0, 1], "phone_b": [1, 0]}
    keys = {name: np.array(codes) for name, codes in keys.items()}
    assert pigeonhole_interval(np.array([0.1, 0.3]), keys, COLLAPSE_2021) is None


def test_the_mean_s_interval_is_the_textbook_s():
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = bootstrap_mean(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert bootstrap_mean(values) == (low, high)
    assert bootstrap_mean(values[:1]) is None


def test_the_interval_of_a_ratio_of_sums(monkeypatch):
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 9, (50, 2)).astype(float)

    def ratio(sums):
        return sums[:, 0] / sums[:, 1]

    low, high = sums_interval(counts, ratio)
    assert low < ratio(counts.sum(axis=0)[None])[0] < high
    monkeypatch.setattr(bootstrap, "_BLOCK", 700)  # in blocks, the same
    assert sums_interval(counts, ratio) == (low, high)
    assert sums_interval(counts[:1], ratio) is None
    with np.errstate(invalid="ignore"):
        assert sums_interval(np.zeros((9, 2)), ratio) is None


def test_the_mean_of_a_column_has_the_interval_of_a_mean():
    values = np.random.default_rng(1).random(30)
    sums = np.stack([values, np.ones(30)], axis=1)
    assert sums_interval(sums, lambda s: s[:, 0] / s[:, 1]) == pytest.approx(bootstrap_mean(values))


def test_a_centred_interval_lies_around_the_value_and_in_its_bounds():
    replicates = np.random.default_rng(0).normal(0.2, 0.1, 1000)  # biased: the value is .5
    low, high = centred_interval(replicates, 0.5, 1.0)
    assert (low, high) == pytest.approx((0.5 - 0.196, 0.5 + 0.196), abs=0.02)
    assert centred_interval(replicates, 0.01, 1.0)[0] == 0
    assert centred_interval(replicates, 0.99, 1.0)[1] == 1


@pytest.mark.parametrize("n", [2, 7, 50])
def test_draws_in_chunks_are_n_draws_with_replacement(monkeypatch, n):
    monkeypatch.setattr(bootstrap, "_DRAWN", 3000)  # 3 things a chunk
    rng = np.random.default_rng(0)
    chunks = [weights for _, weights in bootstrap._weights_by_chunk(n, rng, 1000)]
    weights = np.concatenate(chunks)
    assert weights.shape == (n, 1000)
    assert (weights.sum(axis=0) == n).all()
    # Multinomial: mean 1, variance 1 - 1/n, covariance -1/n, within chunks and across.
    covariance = np.cov(weights)
    assert weights.mean(axis=1) == pytest.approx(np.ones(n), abs=0.15)
    assert covariance == pytest.approx(np.eye(n) - 1 / n, abs=0.25)
    never = (weights == 0).mean()
    assert never == pytest.approx((1 - 1 / n) ** n, abs=0.02)


@pytest.mark.parametrize(("block", "drawn"), [(4_000_000, 1_000_000), (4000, 700), (1, 1)])
def test_replicates_equal_the_slow_loop_over_the_same_draws(monkeypatch, block, drawn):
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 4, (11, 5)).astype(float)
    monkeypatch.setattr(bootstrap, "_BLOCK", block)
    monkeypatch.setattr(bootstrap, "_DRAWN", drawn)
    monkeypatch.setattr(bootstrap, "REPLICATES", 20)
    seen = []
    real = bootstrap._weights_by_chunk

    def watched(n, rng, replicates):
        parts = list(real(n, rng, replicates))
        seen.append(np.concatenate([weights for _, weights in parts]))
        return parts

    monkeypatch.setattr(bootstrap, "_weights_by_chunk", watched)
    found = bootstrap.histogram_replicates(sparse.csr_array(dense), lambda sums: sums)
    weights = np.concatenate(seen, axis=1)
    slow = [
        sum(weights[i, r] * dense[i] for i in range(len(dense))) for r in range(weights.shape[1])
    ]
    assert found == pytest.approx(np.array(slow))
    assert found.shape == (20, 5)
