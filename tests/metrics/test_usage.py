import numpy as np
import pytest

from zerochain.formats.units import UnitFile
from zerochain.metrics.bitrate import codebook_usage


def unit_file(units, n_units, durations=None):
    arrays = {name: np.array(line, np.int32) for name, line in units.items()}
    lasting = durations and {name: np.array(line, np.int32) for name, line in durations.items()}
    return UnitFile(arrays, n_units, 10, "m", "x", durations=lasting)


def test_even_use_of_some_units():
    result = codebook_usage(unit_file({"a": [0, 1, 2], "b": [3]}, 16))
    assert (result.usage, result.n_used, result.n_steps) == (4 / 16, 4, 4)
    assert result.perplexity == pytest.approx(4)


def test_a_collapsed_codebook():
    result = codebook_usage(unit_file({"a": [5] * 30}, 64))
    assert (result.usage, result.perplexity) == (1 / 64, 1)


def test_durations_count_as_steps():
    lasting = codebook_usage(unit_file({"a": [0, 1]}, 2, {"a": [3, 1]}))
    assert lasting == codebook_usage(unit_file({"a": [0, 0, 0, 1]}, 2))
    assert lasting.perplexity == pytest.approx(2 ** (0.75 * np.log2(4 / 3) + 0.25 * 2))


def test_intervals_hold_the_value_and_narrow_with_more_speech():
    rng = np.random.default_rng(0)
    widths = []
    for n in (10, 100):
        lines = {f"u{i}": rng.zipf(1.5, 40) % 16 for i in range(n)}
        result = codebook_usage(unit_file(lines, 16))
        low, high = result.perplexity_interval
        assert 0 <= low <= result.perplexity <= high <= 16
        widths.append(high - low)
        assert result.usage_interval[1] <= 1
    assert widths[1] < 0.7 * widths[0]


def test_one_utterance_has_no_interval():
    result = codebook_usage(unit_file({"a": [0, 1]}, 4))
    assert result.usage_interval is result.perplexity_interval is None
