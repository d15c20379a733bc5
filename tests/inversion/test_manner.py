import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inverters import N_UNITS, untrained_neural
from zerochain.errors import InputError
from zerochain.features.f0 import Contour, F0Statistics, track_f0
from zerochain.formats.units import run_lengths
from zerochain.inversion.speaking import Manner, Pitch, Speaking, aligned, at_rate, moved, speech
from zerochain.inversion.voices import Voice

ANA, BEA = F0Statistics(math.log(100), 0.1, 1), F0Statistics(math.log(210), 0.25, 1)
STEPS = st.lists(st.integers(0, 3), min_size=1, max_size=60)
RATES = st.floats(0.2, 5)


def contour(statistics: F0Statistics, n: int = 400) -> Contour:
    """With these statistics exactly, and pauses."""
    frame = np.arange(n)
    voiced = frame % 50 < 35
    z = np.sin(frame / 20)
    z = (z - z[voiced].mean()) / z[voiced].std()
    return statistics.restored(z.astype(np.float32), voiced)


def int32(steps: list[int]) -> np.ndarray:
    return np.array(steps, np.int32)


@pytest.mark.parametrize("semitones", [-12.0, 0.0, 5.0, 60.0])
def test_semitones_multiply_and_pauses_stay(semitones: float) -> None:
    f0 = contour(ANA)
    made = Manner(semitones=semitones).of_pitch(f0, ANA)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, f0 * 2 ** (semitones / 12), rtol=1e-6)


def test_flattened_it_is_the_voices_mean() -> None:
    f0 = contour(ANA)
    for semitones, hz in ((0, 210), (12, 420)):
        made = Manner(flatten=True, semitones=semitones).of_pitch(f0, BEA)
        np.testing.assert_array_equal(made > 0, f0 > 0)
        np.testing.assert_allclose(made[f0 > 0], hz, rtol=1e-5)


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_rates_that_make_no_sense(rate: float) -> None:
    with pytest.raises(InputError, match="not positive"):
        Manner(rate=rate)


@pytest.mark.parametrize("semitones", [61, -61, math.inf, math.nan])
def test_semitones_that_make_no_sense(semitones: float) -> None:
    with pytest.raises(InputError, match="semitones"):
        Manner(semitones=semitones)


@example([1, 1, 0], 1.2)
@given(STEPS, RATES)
def test_a_rate_keeps_the_order_and_every_run(steps: list[int], rate: float) -> None:
    old = int32(steps)
    new = at_rate(old, rate)
    units, before = run_lengths(old)
    same, after = run_lengths(new)
    np.testing.assert_array_equal(same, units)
    assert abs(len(new) - max(len(old) / rate, len(units))) <= 0.5 + 1e-6
    if (before / rate >= 1).all():
        assert np.abs(np.cumsum(after) - np.cumsum(before) / rate).max() <= 0.5 + 1e-6


@given(STEPS)
def test_rate_1_changes_nothing(steps: list[int]) -> None:
    old = int32(steps)
    np.testing.assert_array_equal(at_rate(old, 1), old)
    np.testing.assert_array_equal(aligned(old, old), np.arange(len(old)))


@given(STEPS, RATES)
def test_alignment_is_monotone_and_stays_in_its_run(steps: list[int], rate: float) -> None:
    old = int32(steps)
    new = at_rate(old, rate)
    places = aligned(old, new)
    assert places.shape == new.shape
    assert (np.diff(places) > 0).all()
    whole = np.floor(places + 1e-9).astype(int)
    assert whole.min() == 0
    np.testing.assert_array_equal(old[whole], new)
    # The run that a place lies in, not merely one of the same unit.
    runs = [np.cumsum(np.diff(x, prepend=-1) != 0) for x in (old, new)]
    np.testing.assert_array_equal(runs[0][whole], runs[1])


def test_a_run_is_stretched_evenly() -> None:
    old, new = int32([7, 7, 1]), int32([7, 7, 7, 7, 1, 1])
    np.testing.assert_allclose(aligned(old, new), [0, 0.5, 1, 1.5, 2, 2.5])


class Perfect:
    """A quantizer that loses nothing: a unit for each frame."""

    def __init__(self, step_ms: float) -> None:
        self.step_ms = step_ms

    def units(self, f0: Contour, statistics: F0Statistics) -> np.ndarray:
        return np.where(f0 > 0, statistics.normalised(f0), np.nan)

    def contour(self, units: np.ndarray, statistics: F0Statistics, n_frames: int) -> Contour:
        assert len(units) == n_frames
        return statistics.restored(np.nan_to_num(units), ~np.isnan(units))


@pytest.mark.parametrize("step_ms", [None, 2.5, 5.0, 10.0])
def test_moved_pitch_has_the_voices_statistics(step_ms: float | None) -> None:
    """Copied, or through F0 units of any step: the same movements about the voice's own mean."""
    f0, voice = contour(ANA), Voice("béa", 0, BEA)
    quantizer = None if step_ms is None else Perfect(step_ms)
    places = np.arange(400) * 5.0
    made = moved(f0, 5.0, ANA, voice, quantizer, places)  # type: ignore[arg-type]
    assert made.dtype == np.float32
    found = F0Statistics.of([made])
    assert found.log_mean == pytest.approx(BEA.log_mean, abs=0.01)
    assert found.log_deviation == pytest.approx(BEA.log_deviation, abs=0.01)
    both = (made > 0) & (f0 > 0)
    assert both.sum() >= 0.95 * (f0 > 0).sum()
    np.testing.assert_allclose(
        BEA.normalised(made)[both], ANA.normalised(f0)[both], atol=0.02 if step_ms != 10 else 0.1
    )


def test_moved_pitch_follows_its_places() -> None:
    f0, voice = contour(ANA), Voice("ana", 0, ANA)
    fast = moved(f0, 5.0, ANA, voice, None, np.arange(200) * 10.0)
    np.testing.assert_allclose(fast, f0[::2], rtol=1e-5)
    beyond = moved(f0, 5.0, ANA, voice, None, np.array([0.0, 2.4, 2.6, 1995.0, 1999.0, 1e6]))
    np.testing.assert_allclose(beyond, f0[[0, 0, 1, 399, 399, 399]], rtol=1e-5)


def test_a_whisper_stays_a_whisper() -> None:
    silent = np.zeros(10, np.float32)
    for quantizer in (None, Perfect(5.0)):
        made = moved(
            silent,
            5.0,
            F0Statistics.of([silent]),
            Voice("béa", 0, BEA),
            quantizer,  # type: ignore[arg-type]
            np.arange(10) * 5.0,
        )
        assert not made.any()


def measured_f0(semitones: float = 0, flatten: bool = False) -> np.ndarray:
    """F0 of a rising tone, measured in the output of a generator without filters (T,)."""
    model = untrained_neural(flat=True)
    rising = np.linspace(80, 125, 240, dtype=np.float32)
    own = model.voice("ana").statistics
    pitch = Pitch({"u": rising}, {"u": own})
    manner = Manner(semitones=semitones, flatten=flatten, pitch="exact")
    steps = np.random.default_rng(0).integers(0, N_UNITS, 60).astype(np.int32)
    speaking = Speaking(manner=manner)
    f0 = track_f0(
        np.concatenate(list(speech(model, steps, model.voice("ana"), speaking, pitch, "u")))
    )
    assert f0.shape == (240,)
    assert (f0[5:-5] > 0).all()
    return f0[5:-5]


def test_measured_pitch_follows_semitones_and_flattening() -> None:
    plain = measured_f0()
    np.testing.assert_allclose(plain, np.linspace(80, 125, 240)[5:-5], rtol=0.03)
    for semitones in (-3.0, 5.0):
        np.testing.assert_allclose(measured_f0(semitones) / plain, 2 ** (semitones / 12), rtol=0.03)
        flat = measured_f0(semitones, flatten=True)
        np.testing.assert_allclose(flat, 100 * 2 ** (semitones / 12), rtol=0.01)


@pytest.mark.parametrize("rate", [0.5, 1.0, 1.3, 1e6])
def test_speech_is_as_long_as_its_rate_says(rate: float) -> None:
    model, steps = untrained_neural(), np.repeat(int32([1, 2, 1, 5]), [10, 3, 8, 12])
    wave = np.concatenate(
        list(speech(model, steps, model.voice("ana"), Speaking(manner=Manner(rate=rate))))
    )
    assert len(wave) == round(max(66 / rate, 4)) * 160  # to the frame, of which a step has two


def test_durations_are_predicted_of_merged_units() -> None:
    model, voice = untrained_neural(), untrained_neural().voice("béa")
    steps = np.repeat(int32([1, 2, 1, 5]), [10, 3, 8, 12])
    for rate in (1.0, 0.4):
        speaking = Speaking(manner=Manner(durations="predicted", rate=rate))
        made = np.concatenate(list(speech(model, steps, voice, speaking)))
        durations = model.prosody.durations(int32([1, 2, 1, 5]), 1)
        assert len(made) == round(durations.sum() * 2 / rate) * 160
        merged = np.concatenate(list(speech(model, int32([1, 2, 1, 5]), voice, speaking)))
        np.testing.assert_array_equal(merged, made)
