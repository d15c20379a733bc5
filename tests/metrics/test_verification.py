import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_curve

from reference import eer_by_thresholds
from zerochain.errors import InputError
from zerochain.metrics.speakers import equal_error_rate, verify

scores = arrays(np.float64, st.integers(1, 30), elements=st.integers(-6, 6).map(float))


@pytest.mark.parametrize(
    ("targets", "nontargets", "expected"),
    [
        ([1.0], [0.0], 0),
        ([0.0], [1.0], 1),
        ([0.0], [0.0], 0.5),
        ([3, 4, 5, 6], [0, 1, 2, 3.5], 0.25),  # one of four on either side
        ([2, 3], [0, 1, 2.5], 1 / 3),  # misses jump from 0 to ½ while a third are false alarms
    ],
)
def test_by_hand(targets: list[float], nontargets: list[float], expected: float) -> None:
    assert equal_error_rate(targets, nontargets) == pytest.approx(expected)


@given(scores, scores)
def test_equals_the_slow_sweep_of_thresholds(one: np.ndarray, two: np.ndarray) -> None:
    assert equal_error_rate(one, two) == pytest.approx(eer_by_thresholds(one, two))


@given(scores, scores)
def test_algebra(one: np.ndarray, two: np.ndarray) -> None:
    value = equal_error_rate(one, two)
    assert 0 <= value <= 1
    assert equal_error_rate(np.exp(one), np.exp(two)) == pytest.approx(value)
    assert equal_error_rate(-two, -one) == pytest.approx(value)  # the sides change places
    assert equal_error_rate(two, one) == pytest.approx(1 - value)
    assert equal_error_rate(np.tile(one, 3), two) == pytest.approx(value)


def test_agrees_with_the_crossing_of_scikit_learn_s_roc_curve() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.7, 2.0):
        one, two = rng.normal(shift, 1, 300), rng.normal(0, 1, 211)
        labels = np.r_[np.ones(300), np.zeros(211)]
        alarms, hits, _ = roc_curve(labels, np.r_[one, two], drop_intermediate=False)
        expected = brentq(lambda x, a=alarms, h=hits: 1 - x - interp1d(a, h)(x), 0, 1)
        assert equal_error_rate(one, two) == pytest.approx(expected, abs=2e-3)


def test_of_two_normal_distributions() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(2, 1, 200_000), rng.normal(0, 1, 200_000)
    assert equal_error_rate(one, two) == pytest.approx(norm.cdf(-1), abs=2e-3)


@pytest.mark.parametrize(("one", "two"), [([], [1.0]), ([1.0], []), ([np.nan], [1.0])])
def test_undefined_is_refused(one: list[float], two: list[float]) -> None:
    with pytest.raises(InputError):
        equal_error_rate(one, two)


def test_pairs_of_one_recording_are_no_trials() -> None:
    """Pieces of one recording are alike, recordings of one speaker are not."""
    east, north = np.eye(2)
    vectors = np.stack([east, east, north, north, east, north])
    speakers, recordings = list("aaaabb"), list("uuvvwx")
    result = verify(vectors, speakers, recordings)
    assert (result.n_targets, result.n_nontargets) == (4 + 1, 8)
    assert result.targets == "across recordings"
    assert result.n_speakers == 2
    assert result.eer > 0.5  # recordings differ, and half of the nontargets are similar
    alone = verify(vectors[[0, 1, 5]], list("aab"), list("uux"))
    assert (alone.eer, alone.targets, alone.n_targets) == (0, "within recordings", 1)


def test_one_speaker_can_t_be_verified() -> None:
    with pytest.raises(InputError, match="1 target and 0 nontargets"):
        verify(np.eye(2), ["a", "a"], ["u", "v"])
