"""Bit rates of units, and codebook usage."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.formats.units import UnitFile
from zerochain.metrics import bitrate as bitrate_module
from zerochain.metrics.bitrate import bitrate, codebook_usage, unit_bitrates

lines = st.dictionaries(
    st.text("abc", min_size=1), st.lists(st.integers(0, 5), min_size=1), min_size=1, max_size=5
)


def test_the_challenge_s_own_figure():
    symbols = {"a": [(i, 0.5) for i in range(40_000)], "b": range(40_000, 48_829)}
    result = bitrate(symbols, {"a": 1000.0, "b": 708.692065})
    assert result.value == pytest.approx(445.096980029, abs=1e-9)
    assert (result.n_symbols, result.n_distinct, result.n_utterances) == (48_829, 48_829, 2)


@settings(deadline=None)
@given(lines)
def test_it_is_symbols_per_second_times_entropy(symbols):
    seconds = {name: 0.5 + len(line) for name, line in symbols.items()}
    counts = Counter(s for line in symbols.values() for s in line)
    n = sum(counts.values())
    h = -sum(c / n * math.log2(c / n) for c in counts.values())
    result = bitrate(symbols, seconds)
    assert result.value == pytest.approx(n / sum(seconds.values()) * h, abs=1e-9)
    assert result.entropy_bits == pytest.approx(h, abs=1e-9)


def test_an_absent_file_takes_its_seconds_along_and_names_don_t_matter():
    symbols = {"a": [1, 2, 3, 1], "b": [4, 4]}
    seconds = {"a": 2.0, "b": 1.0, "c": 100.0}
    alone = bitrate(symbols, seconds)
    assert alone.duration_s == 3
    renamed = bitrate({"a": "xyzx", "b": "ww"}, seconds)
    assert renamed == alone
    with pytest.raises(InputError, match="missing in the durations: b"):
        bitrate(symbols, {"a": 2.0})


def test_constant_units_carry_no_bits():
    assert bitrate({"a": [7] * 50, "b": [7]}, {"a": 1, "b": 1}).value == 0


def test_nothing_and_nonsense_are_errors():
    for symbols in ({}, {"a": []}):
        with pytest.raises(InputError, match="no unit"):
            bitrate(symbols, {"a": 1.0})
    for seconds in (0, -1, math.nan, math.inf):
        with pytest.raises(InputError, match="positive"):
            bitrate({"a": [1]}, {"a": seconds})


def test_segments_merge_repeats_and_units_don_t():
    units = UnitFile({"u": np.array([1, 1, 2, 2, 2, 1], np.int32)}, 3, 10, "m", "x")
    seconds = {"u": 2.0}
    assert unit_bitrates(units, seconds).units.value == bitrate({"u": "aabbba"}, seconds).value
    assert unit_bitrates(units, seconds).segments.value == bitrate({"u": "aba"}, seconds).value
    timed = bitrate({"u": ["a2", "b3", "a1"]}, seconds).value
    assert unit_bitrates(units, seconds).timed_segments.value == timed


def test_units_with_durations_are_what_they_are_without():
    line, lasts = np.array([1, 2, 2, 1], np.int32), np.array([2, 1, 2, 1], np.int32)
    segments = UnitFile({"u": line}, 3, 10, "m", "x", durations={"u": lasts})
    steps = UnitFile({"u": segments.steps("u")}, 3, 10, "m", "x")
    seconds = {"u": 2.0}
    assert unit_bitrates(segments, seconds).units.value == bitrate({"u": "abba"}, seconds).value
    one, other = unit_bitrates(segments, seconds), unit_bitrates(steps, seconds)
    assert (one.segments, one.timed_segments) == (other.segments, other.timed_segments)
    assert one.segments.n_symbols == one.timed_segments.n_symbols == 3


def test_the_interval_is_centred_and_vanishes_for_equal_utterances():
    rng = np.random.default_rng(0)
    symbols = {f"u{i}": rng.integers(0, 300, rng.integers(5, 40)).tolist() for i in range(60)}
    seconds = {name: len(line) * rng.uniform(0.02, 0.04) for name, line in symbols.items()}
    result = bitrate(symbols, seconds)
    low, high = result.interval
    assert low < result.value < high < 1.2 * result.value
    assert bitrate(symbols, seconds).interval == (low, high)
    alike = bitrate({f"u{i}": [1, 2] for i in range(9)}, {f"u{i}": 1.0 for i in range(9)})
    assert alike.interval == pytest.approx((2, 2))
    assert bitrate({"u": [1, 2]}, {"u": 1.0}).interval is None


@settings(deadline=None)
@given(lines)
def test_coded_apart_is_the_sum_of_two_entropies_and_never_cheaper(symbols):
    units = UnitFile({k: np.array(v, np.int32) for k, v in symbols.items()}, 6, 10, "m", "x")
    seconds = {name: 0.5 + len(line) for name, line in symbols.items()}
    apart = unit_bitrates(units, seconds).factored_segments
    codes = {k: units.segments(k)[0].tolist() for k in symbols}
    lengths = {k: units.segments(k)[1].tolist() for k in symbols}
    both = bitrate(codes, seconds).value + bitrate(lengths, seconds).value
    assert apart.value == pytest.approx(both, abs=1e-9)
    assert apart.value >= unit_bitrates(units, seconds).timed_segments.value - 1e-9
    assert apart.n_symbols == unit_bitrates(units, seconds).timed_segments.n_symbols
    assert apart.entropy_bits * apart.n_symbols / apart.duration_s == pytest.approx(both, abs=1e-9)
    if len(symbols) > 1:
        low, high = apart.interval
        assert low <= apart.value <= high
    else:
        assert apart.interval is None


@settings(deadline=None)
@given(lines, st.booleans(), st.integers(1, 5))
def test_all_rates_are_those_of_the_symbols_one_by_one(symbols, lasting, factor):
    n_units = 5 * 10**7 * factor + 1  # far more than there are in use
    units = {k: np.array(v, np.int32) * (10**7 * factor) for k, v in symbols.items()}
    durations = {k: (v % 7 + 1).astype(np.int32) for k, v in units.items()} if lasting else None
    file = UnitFile(units, n_units, 10, "m", "x", durations=durations)
    seconds = {name: 0.5 + len(line) for name, line in symbols.items()}
    rates = unit_bitrates(file, seconds)
    segments = {k: file.segments(k) for k in units}
    timed = {
        k: list(zip(*map(np.ndarray.tolist, both), strict=True)) for k, both in segments.items()
    }
    for found, expected in (
        (rates.units, {k: v.tolist() for k, v in units.items()}),
        (rates.segments, {k: both[0].tolist() for k, both in segments.items()}),
        (rates.timed_segments, timed),
    ):
        slow = bitrate(expected, seconds)
        assert found.value == pytest.approx(slow.value)
        assert (found.n_symbols, found.n_distinct) == (slow.n_symbols, slow.n_distinct)
        assert found.interval == (
            None if slow.interval is None else pytest.approx(slow.interval, abs=1e-9)
        )


@given(lines, st.booleans())
def test_some_utterances_at_a_time_come_to_the_same(symbols, lasting):
    units = {name: np.array(line, np.int32) for name, line in symbols.items()}
    durations = {name: 1 + line % 3 for name, line in units.items()} if lasting else None
    made = UnitFile(units, 1 + max(map(max, symbols.values())), 10, "m", "x", durations=durations)
    seconds = dict.fromkeys(units, 1.5)
    with pytest.MonkeyPatch.context() as patch:
        whole = unit_bitrates(made, seconds)
        patch.setattr(bitrate_module, "_UNITS_AT_ONCE", 3)
        patch.setattr(bitrate_module, "_ROWS_AT_ONCE", 2)
        assert unit_bitrates(made, seconds) == whole


def units_of(units, n_units, durations=None):
    arrays = {name: np.array(line, np.int32) for name, line in units.items()}
    lasting = durations and {name: np.array(line, np.int32) for name, line in durations.items()}
    return UnitFile(arrays, n_units, 10, "m", "x", durations=lasting)


def test_even_use_of_some_units():
    result = codebook_usage(units_of({"a": [0, 1, 2], "b": [3]}, 16))
    assert (result.usage, result.n_used, result.n_steps) == (4 / 16, 4, 4)
    assert result.perplexity == pytest.approx(4)


def test_a_collapsed_codebook():
    result = codebook_usage(units_of({"a": [5] * 30}, 64))
    assert (result.usage, result.perplexity) == (1 / 64, 1)


def test_durations_count_as_steps():
    lasting = codebook_usage(units_of({"a": [0, 1]}, 2, {"a": [3, 1]}))
    assert lasting == codebook_usage(units_of({"a": [0, 0, 0, 1]}, 2))
    assert lasting.perplexity == pytest.approx(2 ** (0.75 * np.log2(4 / 3) + 0.25 * 2))


def test_intervals_hold_the_value_and_narrow_with_more_speech():
    rng = np.random.default_rng(0)
    widths = []
    for n in (10, 100):
        lines = {f"u{i}": rng.zipf(1.5, 40) % 16 for i in range(n)}
        result = codebook_usage(units_of(lines, 16))
        low, high = result.perplexity_interval
        assert 0 <= low <= result.perplexity <= high <= 16
        widths.append(high - low)
        assert result.usage_interval[1] <= 1
    assert widths[1] < 0.7 * widths[0]


def test_one_utterance_has_no_interval():
    result = codebook_usage(units_of({"a": [0, 1]}, 4))
    assert result.usage_interval is result.perplexity_interval is None
