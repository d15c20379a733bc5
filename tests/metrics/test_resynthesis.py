import numpy as np
import pytest

from conftest import voice
from zerochain.errors import InputError
from zerochain.metrics.resynthesis import estoi, log_spectral_distance, score_resynthesis


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


def test_pairs_are_cropped_means_taken_and_exclusions_counted(wave):
    pairs = [
        ("a", wave, np.append(noisy(wave, 0.01), np.ones(639, np.float32))),
        ("b", wave, noisy(wave, 0.1)),
        ("short", wave[:4000], wave[:4000]),
        ("silent", np.zeros_like(wave), wave),
    ]
    distance, intelligibility = score_resynthesis(pairs, max_difference_s=0.04)
    assert distance.exclusions == {"silent_original": 1}
    assert intelligibility.exclusions == {"silent_original": 1, "under_0.4_s": 1}
    assert (distance.n, intelligibility.n) == (3, 2)
    assert distance.by_id["a"] == log_spectral_distance(wave, noisy(wave, 0.01))
    assert distance.value == pytest.approx(np.mean(list(distance.by_id.values())))
    assert intelligibility.interval[0] <= intelligibility.value <= intelligibility.interval[1]


def test_lengths_that_don_t_match_and_no_speech_at_all_are_errors(wave):
    with pytest.raises(InputError, match="'a': the original has 32000 samples"):
        score_resynthesis([("a", wave, wave[:-641])], max_difference_s=0.04)
    with pytest.raises(InputError, match="no utterance has a defined ESTOI"):
        score_resynthesis([("a", wave[:4000], wave[:4000])], max_difference_s=0.04)
    with pytest.raises(InputError, match="shapes"):
        log_spectral_distance(wave, wave[:-1])
