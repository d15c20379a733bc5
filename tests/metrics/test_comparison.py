"""Which of two systems is better, if either."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerochain.metrics.comparison import Comparison, independent

ends = st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(lambda both: (min(both), max(both)))


@pytest.mark.parametrize(
    ("interval", "better", "words"),
    [
        ((-2.0, -0.1), 0, "km is better, beyond the interval"),
        ((0.1, 2.0), 1, "vq is better, beyond the interval"),
        ((-0.1, 2.0), None, "no difference is shown: 0 is within the interval"),
        ((0.0, 2.0), None, "no difference is shown: 0 is within the interval"),
        (None, None, "no interval, so neither is shown to be better"),
    ],
)
def test_a_system_is_better_only_beyond_the_interval(interval, better, words) -> None:
    found = Comparison(first=20.0, second=21.0, interval=interval)
    assert found.difference == -1
    assert found.better == better
    assert found.verdict(["km", "vq"]) == words


@given(ends)
def test_higher_is_better_the_other_way_round(interval: tuple[float, float]) -> None:
    low, high, neither = (
        Comparison(first=1, second=2, interval=interval, direction=direction).better
        for direction in ("lower", "higher", "")
    )
    assert neither is None
    assert {low, high} in ({0, 1}, {None})


@given(st.floats(-9, 9), st.floats(-9, 9), *4 * [st.floats(0, 5)])
def test_exchanged_systems_have_the_mirrored_interval(a, b, a_below, a_above, b_below, b_above):
    one, other = (a - a_below, a + a_above), (b - b_below, b + b_above)
    low, high = independent(a, one, b, other)
    assert low <= a - b <= high
    assert independent(b, other, a, one) == pytest.approx((-high, -low))
    assert independent(a, None, b, other) is None


def test_the_interval_of_independent_means_is_that_of_their_variances_sum() -> None:
    half_a, half_b = 1.96 * np.sqrt([0.3, 0.7])
    low, high = independent(5.0, (5 - half_a, 5 + half_a), 3.0, (3 - half_b, 3 + half_b))
    assert (low, high) == pytest.approx((2 - 1.96, 2 + 1.96))  # variances .3 + .7 = 1
