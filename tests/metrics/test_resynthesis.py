"""Spectral distances, ESTOI, mel-cepstral distortion and F0 errors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import stft

from conftest import voice
from reference import freqt, mean_on_path
from zerochain.errors import InputError
from zerochain.metrics import resynthesis as cepstral
from zerochain.metrics import resynthesis as cepstral_kernel
from zerochain.metrics.resynthesis import (
    cropped,
    estoi,
    f0_correlation,
    f0_frame_error,
    freqt_matrix,
    log_f0_rmse,
    log_spectral_distance,
    mcd_sp2mc24,
    mean_score,
    multi_resolution_distance,
    sp2mc,
    voicing_decision_error,
)


@pytest.fixture(scope="module")
def wave():
    return voice(np.random.default_rng(0), 2.0, 120)


def noisy(wave, level):
    noise = np.random.default_rng(1).normal(0, level, len(wave))
    return (wave + noise).astype(np.float32)


def test_the_same_speech_is_at_0_db_and_1_whatever_its_level(wave):
    for gain in (1.0, 0.1, 3.0):
        assert log_spectral_distance(wave, gain * wave) == pytest.approx(0, abs=1e-3)
        assert estoi(wave, gain * wave) == pytest.approx(1, abs=1e-6)


def test_more_noise_is_farther_away(wave):
    levels = [0.001, 0.01, 0.1]
    distances = [log_spectral_distance(wave, noisy(wave, level)) for level in levels]
    intelligibility = [estoi(wave, noisy(wave, level)) for level in levels]
    assert distances == sorted(distances)
    assert intelligibility == sorted(intelligibility, reverse=True)


def test_a_known_distance():
    # White noise, its spectrum tilted by a one-tap filter: |1 + a·e^{-jw}| is known bin by bin.
    noise = np.random.default_rng(0).normal(0, 0.1, 160_000).astype(np.float32)
    filtered = noise + 0.5 * np.concatenate([[0], noise[:-1]]).astype(np.float32)
    response = 20 * np.log10(np.abs(1 + 0.5 * np.exp(-1j * np.linspace(0, np.pi, 257))))
    gain = 20 * np.log10(np.sqrt((noise**2).mean() / (filtered**2).mean()))
    expected = np.sqrt(np.mean((response + gain) ** 2))
    assert log_spectral_distance(noise, filtered) == pytest.approx(expected, rel=0.02)


def test_digital_silence_is_floored_at_80_db(wave):
    assert log_spectral_distance(wave, np.zeros_like(wave)) < 80
    assert log_spectral_distance(wave, wave + 1e-7) < 0.5
    with pytest.raises(InputError, match="silent"):
        log_spectral_distance(np.zeros_like(wave), wave)


def test_estoi_is_undefined_for_little_speech_and_0_for_silence(wave):
    assert estoi(wave[:6000], wave[:6000]) is None
    mostly_silent = np.concatenate([wave[:5000], np.zeros(16_000, np.float32)])
    assert estoi(mostly_silent, mostly_silent) is None
    assert estoi(wave, np.zeros_like(wave)) == 0


def test_estoi_of_speech_that_ends_early_is_the_same_each_time(wave):
    early = noisy(wave, 0.01)
    early[len(wave) // 2 :] = 0
    before = np.random.get_state()[1].copy()
    assert len({estoi(wave, early) for _ in range(3)}) == 1
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_the_multi_resolution_distance_is_0_for_the_same_and_grows_with_noise(wave):
    assert multi_resolution_distance(wave, 0.1 * wave) == pytest.approx(0, abs=1e-5)
    noisier = [multi_resolution_distance(wave, noisy(wave, s)) for s in (0.001, 0.01, 0.1)]
    assert noisier == sorted(noisier)
    with pytest.raises(InputError, match="silent"):
        multi_resolution_distance(np.zeros_like(wave), wave)


def test_the_multi_resolution_distance_is_what_a_plain_transform_gives(wave):
    other = noisy(wave, 0.01)
    expected = []
    level = np.sqrt(np.mean(wave.astype(float) ** 2) / np.mean(other.astype(float) ** 2))
    for n in (512, 1024, 2048):
        options = {"nperseg": n, "noverlap": n - n // 4, "window": "hann", "detrend": False}
        spectra = [
            np.abs(stft(w, boundary=None, padded=False, **options)[2]) * n / 2
            for w in (wave, other)
        ]
        a, b = spectra[0], level * spectra[1]
        floor = a.max() * 1e-4
        logs = np.log(np.maximum(a, floor) / np.maximum(b, floor))
        expected.append(np.linalg.norm(a - b) / np.linalg.norm(a) + np.abs(logs).mean())
    assert multi_resolution_distance(wave, other) == pytest.approx(np.mean(expected), rel=1e-4)


def test_means_are_over_utterances_that_have_a_value():
    score = mean_score({"a": 1.0, "b": 3.0, "c": "silent", "d": "silent", "e": "short"})
    assert (score.value, score.n) == (2.0, 2)
    assert score.by_id == {"a": 1.0, "b": 3.0}
    assert score.exclusions == {"silent": 2, "short": 1}
    assert score.interval[0] <= score.value <= score.interval[1]
    assert mean_score({"a": 1.0}).interval is None
    assert mean_score({"a": "silent"}) is None


def test_up_to_a_unit_is_cropped_and_more_is_an_error(wave):
    a, b = cropped("a", wave, np.append(wave, np.ones(639, np.float32)), 640)
    np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="'a': the original has 32000 samples"):
        cropped("a", wave, wave[:-641], 640)
    with pytest.raises(InputError, match="shapes"):
        log_spectral_distance(wave, wave[:-1])


@pytest.fixture(scope="module")
def vowel() -> np.ndarray:
    return voice(np.random.default_rng(0), 1.0, 120)


def test_freqt_is_sptk_s_recursion() -> None:
    cepstrum = np.random.default_rng(0).normal(size=40)
    np.testing.assert_allclose(
        freqt_matrix(40, 24, 0.42) @ cepstrum, freqt(cepstrum, 24, 0.42), atol=1e-12
    )


def test_without_warping_freqt_cuts_off() -> None:
    np.testing.assert_array_equal(freqt_matrix(9, 4, 0.0), np.eye(5, 9))


def test_mel_cepstra_describe_the_spectrum_on_the_warped_axis() -> None:
    """log |H| at ω is Σ mc(m) cos(m·ω̃), ω̃ the all-pass's phase: Tokuda et al. 1994."""
    omega = np.linspace(0, np.pi, 257)
    power = np.exp(np.cos(omega) - 0.5 * np.cos(3 * omega) + 0.2)
    alpha = 0.42
    warped = omega + 2 * np.arctan2(alpha * np.sin(omega), 1 - alpha * np.cos(omega))
    mc = sp2mc(power[None], 80, alpha)[0]
    log_magnitude = sum(c * np.cos(m * warped) for m, c in enumerate(mc))
    np.testing.assert_allclose(log_magnitude, np.log(power) / 2, atol=1e-8)


def test_the_path_is_the_exact_one() -> None:
    rng = np.random.default_rng(0)
    for n, m in [(1, 1), (1, 7), (6, 1), (9, 12), (20, 15)]:
        a, b = rng.normal(size=(3, n)), rng.normal(size=(3, m))
        local = np.linalg.norm(a.T[:, None] - b.T[None], axis=2)
        assert cepstral_kernel.mean_on_path(a, b) == pytest.approx(mean_on_path(local))


def test_ties_take_the_shortest_path_whichever_comes_first() -> None:
    a, b = np.zeros((1, 5)), np.array([[0, 0, 0, 1, 1, 0, 0.0]])
    assert cepstral_kernel.mean_on_path(a, b) == cepstral_kernel.mean_on_path(b, a) == 2 / 7


def test_the_same_speech_is_at_0_whatever_its_level_and_pauses(vowel: np.ndarray) -> None:
    assert mcd_sp2mc24(vowel, vowel) == 0
    assert mcd_sp2mc24(vowel, 0.01 * vowel) == pytest.approx(0, abs=1e-3)
    paused = np.concatenate([vowel, np.zeros(8000, np.float32), vowel])
    longer = np.concatenate([vowel, np.zeros(16_000, np.float32), vowel])
    assert mcd_sp2mc24(paused, longer) == 0


def test_it_is_symmetric_and_grows_with_noise(vowel: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(size=len(vowel))
    distances = []
    for level in (0.001, 0.01, 0.1):
        noisy = (vowel + level * noise).astype(np.float32)
        distances.append(mcd_sp2mc24(vowel, noisy))
        assert mcd_sp2mc24(noisy, vowel) == pytest.approx(distances[-1], rel=1e-12)
    assert distances == sorted(distances)


def test_a_known_distance_in_db() -> None:
    """A one-tap filter adds -(-a)ⁿ/n to the cepstrum: the warped difference is known."""
    impulses = np.zeros(8000, np.float32)
    impulses[200] = 1
    filtered = np.convolve(impulses, [1, 0.5])[: len(impulses)].astype(np.float32)
    n = np.arange(1, 513)
    cepstrum = np.concatenate([[0], -((-0.5) ** n) / n])
    difference = freqt_matrix(513, 24, 0.42) @ cepstrum
    expected = 10 * math.sqrt(2) / math.log(10) * np.linalg.norm(difference[1:])
    a, b = (cepstral._mel_cepstra(w)[1, 1:] for w in (impulses, filtered))
    found = 10 * math.sqrt(2) / math.log(10) * np.linalg.norm(a - b)
    assert found == pytest.approx(expected, rel=0.05)


def test_silence_has_no_spectrum_and_nan_is_refused(vowel: np.ndarray) -> None:
    assert mcd_sp2mc24(np.zeros_like(vowel), vowel) is None
    assert mcd_sp2mc24(vowel, np.zeros_like(vowel)) is None
    with pytest.raises(InputError, match="no cepstrum"):
        mcd_sp2mc24(vowel, vowel[:0])
    with pytest.raises(InputError, match="no cepstrum"):
        mcd_sp2mc24(vowel, np.append(vowel, np.nan).astype(np.float32))


@pytest.mark.parametrize("n", [1, 399, 400, 401, 481])
def test_any_length_has_a_distance(n: int, vowel: np.ndarray) -> None:
    assert mcd_sp2mc24(vowel[5000 : 5000 + n], vowel[5000 : 5000 + n]) == 0


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
