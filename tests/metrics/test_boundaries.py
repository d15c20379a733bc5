import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from zerochain.errors import InputError
from zerochain.formats.phones import Phone
from zerochain.metrics.quality import (
    NoBoundariesError,
    boundary_scores,
    change_times,
    n_matches,
    phone_boundaries,
)

times = st.lists(st.integers(0, 40), unique=True, max_size=6).map(sorted)


def seconds(hundredths):
    return np.array(hundredths, np.float64) / 100


@settings(deadline=None)
@given(times, times, st.integers(0, 5))
def test_there_are_as_many_hits_as_can_be(found, gold, tolerance):
    hits = n_matches(seconds(found), seconds(gold), 10 * tolerance)
    assert hits == reference.most_matches(found, gold, tolerance)
    assert hits == n_matches(seconds(gold), seconds(found), 10 * tolerance)


def test_twenty_milliseconds_are_twenty_milliseconds():
    # 0.3 - 0.28 is 0.020000000000000018 in floating point.
    assert n_matches(np.array([0.3]), np.array([0.28])) == 1
    assert n_matches(np.array([0.3]), np.array([0.2799])) == 0
    assert n_matches(np.array([0.30, 0.31]), np.array([0.31])) == 1


def test_scores_are_those_of_their_definitions():
    gold = {"u": seconds([10, 20, 30, 40]), "v": seconds([50])}
    found = {"u": seconds([11, 25, 30, 31, 32]), "v": seconds([48, 70])}
    result = boundary_scores(found, gold, {"u": 1.0, "v": 1.0})
    assert (result.n_hits, result.n_found, result.n_gold) == (3, 7, 5)
    precision, recall = 3 / 7, 3 / 5
    over = recall / precision - 1
    r1, r2 = math.hypot(1 - recall, over), (-over + recall - 1) / math.sqrt(2)
    assert result.precision == pytest.approx(100 * precision)
    assert result.recall == pytest.approx(100 * recall)
    assert result.f1 == pytest.approx(100 * 2 * precision * recall / (precision + recall))
    assert result.over_segmentation == pytest.approx(100 * over)
    assert result.r_value == pytest.approx(100 * (1 - (abs(r1) + abs(r2)) / 2))
    assert result.intervals["f1"][0] <= result.f1 <= result.intervals["f1"][1]


def test_perfect_missing_and_too_many():
    gold = {"u": seconds([10, 20, 30, 40])}
    length = {"u": 1.0}
    perfect = boundary_scores(gold, gold, length)
    assert (perfect.precision, perfect.recall, perfect.f1, perfect.r_value) == (100,) * 4
    assert perfect.over_segmentation == 0
    assert perfect.intervals["r_value"] is None  # one utterance
    wrong = boundary_scores({"u": seconds([60])}, gold, length)
    assert (wrong.precision, wrong.recall, wrong.f1, wrong.over_segmentation) == (0, 0, 0, -75)
    many = boundary_scores({"u": seconds(range(4, 90))}, gold, length)
    assert many.recall == 100
    assert many.r_value < 0 < many.f1 < 20  # which the R-value punishes and recall rewards


def test_the_ends_of_a_recording_are_no_boundaries():
    gold, found = {"u": seconds([0, 1, 50, 99])}, {"u": seconds([0, 2, 50, 98, 100])}
    result = boundary_scores(found, gold, {"u": 1.0})
    assert (result.n_hits, result.n_found, result.n_gold) == (1, 1, 1)


def test_undefined_is_not_zero():
    some, none, length = {"u": seconds([50])}, {"u": seconds([])}, {"u": 1.0}
    with pytest.raises(NoBoundariesError, match="0 gold boundaries"):
        boundary_scores(some, none, length)
    with pytest.raises(NoBoundariesError, match="never change"):
        boundary_scores(none, some, length)
    with pytest.raises(NoBoundariesError):
        boundary_scores({}, {}, {})
    with pytest.raises(InputError, match="missing in the alignments: u"):
        boundary_scores(some, {}, length)
    with pytest.raises(InputError, match="missing in the durations: u"):
        boundary_scores(some, some, {})
    # An utterance without any is fine as long as others have some.
    two = boundary_scores({**some, "v": none["u"]}, {**some, "v": none["u"]}, {**length, "v": 1.0})
    assert two.f1 == 100


def test_phones_end_where_a_pause_begins():
    line = [
        Phone(0.0, 0.1, "SIL"),
        Phone(0.1, 0.2, "a"),
        Phone(0.2, 0.3, "a"),  # two of a kind are two
        Phone(0.31, 0.4, "b"),  # 10 ms of rounding are no pause
        Phone(0.4, 0.5, "SIL"),
        Phone(0.5, 0.6, "c"),
        Phone(0.7, 0.8, "d"),
    ]
    assert phone_boundaries(line).tolist() == [0.1, 0.2, 0.31, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert phone_boundaries(line, shift_ms=-20)[0] == pytest.approx(0.08)
    assert phone_boundaries(line, silences={"SIL", "c", "d"}).tolist() == [0.1, 0.2, 0.31, 0.4]
    assert len(phone_boundaries(line[:1])) == 0


def test_units_change_where_one_follows_another():
    assert change_times(np.array([1, 1, 2, 2, 2, 1]), 20).tolist() == [0.04, 0.1]
    assert len(change_times(np.array([7]), 20)) == 0
