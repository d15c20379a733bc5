import math

import numpy as np
import pytest

from conftest import voice
from reference import freqt, mean_on_path
from zerochain.errors import InputError
from zerochain.metrics import resynthesis as cepstral
from zerochain.metrics import resynthesis as cepstral_kernel
from zerochain.metrics.resynthesis import freqt_matrix, mcd_sp2mc24, sp2mc


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
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


def test_the_same_speech_is_at_0_whatever_its_level_and_pauses(wave: np.ndarray) -> None:
    assert mcd_sp2mc24(wave, wave) == 0
    assert mcd_sp2mc24(wave, 0.01 * wave) == pytest.approx(0, abs=1e-3)
    paused = np.concatenate([wave, np.zeros(8000, np.float32), wave])
    longer = np.concatenate([wave, np.zeros(16_000, np.float32), wave])
    assert mcd_sp2mc24(paused, longer) == 0


def test_it_is_symmetric_and_grows_with_noise(wave: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(size=len(wave))
    distances = []
    for level in (0.001, 0.01, 0.1):
        noisy = (wave + level * noise).astype(np.float32)
        distances.append(mcd_sp2mc24(wave, noisy))
        assert mcd_sp2mc24(noisy, wave) == pytest.approx(distances[-1], rel=1e-12)
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


def test_silence_has_no_spectrum_and_nan_is_refused(wave: np.ndarray) -> None:
    assert mcd_sp2mc24(np.zeros_like(wave), wave) is None
    assert mcd_sp2mc24(wave, np.zeros_like(wave)) is None
    with pytest.raises(InputError, match="no cepstrum"):
        mcd_sp2mc24(wave, wave[:0])
    with pytest.raises(InputError, match="no cepstrum"):
        mcd_sp2mc24(wave, np.append(wave, np.nan).astype(np.float32))


@pytest.mark.parametrize("n", [1, 399, 400, 401, 481])
def test_any_length_has_a_distance(n: int, wave: np.ndarray) -> None:
    assert mcd_sp2mc24(wave[5000 : 5000 + n], wave[5000 : 5000 + n]) == 0
