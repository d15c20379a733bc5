import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.errors import InputError
from zerochain.metrics.resynthesis import (
    f0_correlation,
    f0_frame_error,
    log_f0_rmse,
    voicing_decision_error,
)

F0 = st.lists(st.one_of(st.just(0.0), st.floats(60, 500, width=32)), min_size=1, max_size=40)


def contour(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@given(F0)
def test_a_contour_is_nowhere_off_itself(values: list[float]) -> None:
    f0 = contour(*values)
    assert voicing_decision_error(f0, f0) == 0
    assert f0_frame_error(f0, f0) == 0
    assert log_f0_rmse(f0, f0) == (0 if f0.any() else None)


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 100.0, 118.0, 130.0])] * 2), min_size=1))
def test_errors_are_what_a_loop_counts(pairs: list[tuple[float, float]]) -> None:
    a, b = (contour(*column) for column in zip(*pairs, strict=True))
    voicing = [(x == 0) != (y == 0) for x, y in pairs]
    gross = [x > 0 and y > 0 and abs(y - x) / x > 0.2 for x, y in pairs]
    squares = [math.log2(y / x) ** 2 for x, y in pairs if x > 0 and y > 0]
    assert voicing_decision_error(a, b) == pytest.approx(100 * np.mean(voicing))
    assert f0_frame_error(a, b) == pytest.approx(100 * np.mean(np.logical_or(voicing, gross)))
    if squares:
        assert log_f0_rmse(a, b) == pytest.approx(1200 * math.sqrt(np.mean(squares)), abs=1e-3)
    else:
        assert log_f0_rmse(a, b) is None


def test_an_octave_is_1200_cents_either_way() -> None:
    low, high = contour(0, 100, 150, 0), contour(90, 200, 300, 0)
    assert log_f0_rmse(low, high) == pytest.approx(1200)
    assert log_f0_rmse(high, low) == pytest.approx(1200)


def test_correlation_sees_the_melody_and_no_pitch_or_range() -> None:
    rng = np.random.default_rng(0)
    melody = rng.normal(size=50)
    voice = np.exp(np.log(120) + 0.1 * melody).astype(np.float32)
    other = np.exp(np.log(220) + 0.3 * melody).astype(np.float32)
    voice[:5] = other[-5:] = 0
    assert f0_correlation(voice, other) == pytest.approx(1, abs=1e-4)
    upside_down = np.exp(np.log(220) - 0.3 * melody).astype(np.float32)
    assert f0_correlation(voice, upside_down) == pytest.approx(-1, abs=1e-4)
    noise = np.exp(np.log(220) + 0.3 * rng.normal(size=50)).astype(np.float32)
    both = voice > 0
    expected = np.corrcoef(np.log(voice[both]), np.log(noise[both]))[0, 1]
    assert f0_correlation(voice, noise) == pytest.approx(expected, abs=1e-4)


def test_correlation_of_little_or_of_a_monotone_is_undefined() -> None:
    moving = np.linspace(100, 120, 9, dtype=np.float32)
    assert f0_correlation(moving, moving) is None
    assert f0_correlation(np.full(20, 100, np.float32), np.full(20, 200, np.float32)) is None


def test_contours_that_don_t_compare_are_refused() -> None:
    with pytest.raises(InputError, match="shapes"):
        voicing_decision_error(contour(1, 2), contour(1))
    with pytest.raises(InputError, match="NaN"):
        f0_frame_error(contour(100, np.nan), contour(100, 100))
    with pytest.raises(InputError, match="negative"):
        log_f0_rmse(contour(100), contour(-1e10))
