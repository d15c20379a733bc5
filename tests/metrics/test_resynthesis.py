import numpy as np
import pytest
from scipy.signal import stft

from conftest import voice
from zerochain.errors import InputError
from zerochain.metrics.resynthesis import (
    cropped,
    estoi,
    log_spectral_distance,
    mean_score,
    multi_resolution_distance,
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
