import numpy as np
import pytest
from librosa import mel_frequencies
from scipy.fft import dct

from zerochain.audio import SAMPLE_RATE
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.features.vtln import warp_matrix, warped_hz

LOG_MEL = SpectralOptions(kind="log-mel")
FACTORS = (0.84, 0.9, 0.98, 1.0, 1.02, 1.1, 1.16)


@pytest.mark.parametrize("factor", FACTORS)
def test_the_warp_of_frequencies(factor: float) -> None:
    hz = np.linspace(0, 8000, 801)
    warped = warped_hz(hz, factor)
    np.testing.assert_allclose(warped[:600], factor * hz[:600])
    assert (warped[0], warped[-1]) == (0, 8000)
    assert (np.diff(warped) > 0).all()
    assert np.abs(np.diff(warped, 2)).max() < 15  # a step of 10 Hz bends, but never jumps


@pytest.mark.parametrize("kind", ["mfcc", "log-mel"])
def test_factor_1_changes_nothing(kind: str) -> None:
    options = SpectralOptions(kind=kind)
    np.testing.assert_allclose(warp_matrix(1.0, options), np.eye(options.dim), atol=1e-6)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_flat_spectrum_stays_flat(factor: float) -> None:
    flat = np.full((2, 80), -30, np.float32)
    np.testing.assert_allclose(flat @ warp_matrix(factor, LOG_MEL), flat, atol=1e-4)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_smooth_spectrum_is_read_at_the_warped_frequencies(factor: float) -> None:
    hz = mel_frequencies(82, fmin=0, fmax=8000)[1:-1]

    def spectrum(f: np.ndarray) -> np.ndarray:
        return 20 * np.cos(2 * np.pi * f / 4000)

    inside = (hz > 200) & (hz < 7000)
    warped = spectrum(hz) @ warp_matrix(factor, LOG_MEL)
    np.testing.assert_allclose(warped[inside], spectrum(warped_hz(hz, factor))[inside], atol=0.5)


def test_cepstra_and_their_derivatives_are_warped_as_their_mel_energies() -> None:
    options = SpectralOptions()
    cosines = dct(np.eye(80), norm="ortho", axis=0)[:13]
    cepstra = np.random.default_rng(0).normal(size=(4, 39)).astype(np.float32)
    warped = cepstra @ warp_matrix(1.1, options)
    for part, done in zip(np.split(cepstra, 3, axis=1), np.split(warped, 3, axis=1), strict=True):
        energies = part @ cosines @ warp_matrix(1.1, LOG_MEL)
        np.testing.assert_allclose(done, energies @ cosines.T, atol=1e-4)


def test_another_number_of_cepstra_mels_and_deltas() -> None:
    options = SpectralOptions(n_mels=40, n_mfcc=20, n_deltas=1)
    assert warp_matrix(0.9, options).shape == (40, 40)
    assert (warp_matrix(0.9, options)[:20, 20:] == 0).all()


def test_a_warp_undoes_another_vocal_tract() -> None:
    """The same noise through formants 10 % higher becomes the lower ones again."""
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE)

    def spoken(scale: float) -> np.ndarray:
        hz = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE) / scale
        gain = sum(np.exp(-(((hz - f) / 250) ** 2)) for f in (600, 1500, 2600)) + 1e-2
        return np.fft.irfft(np.fft.rfft(noise) * gain).astype(np.float32)

    extractor = SpectralExtractor(SpectralOptions())
    low, high = (frames.mean(axis=0) for frames in extractor([spoken(1.0), spoken(1.1)]))
    distances = {
        f: np.linalg.norm((high @ warp_matrix(f, SpectralOptions()) - low)[1:]) for f in FACTORS
    }
    assert min(distances, key=lambda f: distances[f]) == 1.1
    assert distances[1.1] < 0.3 * distances[1.0]
