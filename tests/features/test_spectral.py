import warnings
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest

from conftest import voice
from zerochain import audio
from zerochain.errors import InputError
from zerochain.features.spectral import SpectralExtractor, SpectralOptions

MFCC = SpectralOptions()
LOG_MEL = SpectralOptions(kind="log-mel")


def librosa_features(wave: np.ndarray, options: SpectralOptions) -> np.ndarray:
    settings = {"y": wave, "sr": 16_000, "n_fft": 400, "hop_length": 160, "n_mels": options.n_mels}
    if options.kind == "log-mel":
        return librosa.power_to_db(librosa.feature.melspectrogram(**settings)).T
    cepstra = librosa.feature.mfcc(n_mfcc=options.n_mfcc, **settings)
    mode = "interp" if cepstra.shape[1] >= 9 else "nearest"
    orders = [librosa.feature.delta(cepstra, order=o, mode=mode) for o in (1, 2)]
    return np.concatenate([cepstra, *orders]).T


@pytest.mark.parametrize("options", [MFCC, LOG_MEL, SpectralOptions(n_mels=128)])
@pytest.mark.parametrize("n", [1, 159, 160, 800, 1280, 1281, 1440, 1600, 16_003, 40_000])
def test_equals_librosa(options: SpectralOptions, n: int) -> None:
    wave = voice(np.random.default_rng(n), n / 16_000, 120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa warns of empty mel filters and short signals
        expected = librosa_features(wave, options)
    (ours,) = SpectralExtractor(options)([wave])
    assert ours.shape == expected.shape == (1 + n // 160, options.dim)
    np.testing.assert_allclose(ours, expected, atol=1e-3)


@pytest.mark.parametrize("options", [MFCC, LOG_MEL])
def test_equals_librosa_on_real_speech(
    options: SpectralOptions, real_corpora: Callable[[str], Path]
) -> None:
    paths = sorted((real_corpora("mboshi") / "flac").glob("*.flac"))[:20]
    waves = [audio.read(path) for path in paths]
    for wave, ours in zip(waves, SpectralExtractor(options)(waves), strict=True):
        np.testing.assert_allclose(ours, librosa_features(wave, options), atol=1e-3)


@pytest.mark.parametrize("options", [MFCC, LOG_MEL])
def test_a_batch_equals_one_by_one(options: SpectralOptions) -> None:
    rng = np.random.default_rng(0)
    waves = [voice(rng, s, 150) for s in (0.5, 0.0001, 0.03, 1.7, 0.09)]
    extractor = SpectralExtractor(options)
    for wave, together in zip(waves, extractor(waves), strict=True):
        np.testing.assert_allclose(extractor([wave])[0], together, atol=1e-4)


def test_silence_is_finite_and_constant() -> None:
    (frames,) = SpectralExtractor(MFCC)([np.zeros(8000, np.float32)])
    assert np.isfinite(frames).all()
    assert np.ptp(frames, axis=0).max() < 1e-3


def test_level_moves_only_the_first_coefficient() -> None:
    wave = voice(np.random.default_rng(1), 1, 120)
    (loud,), (quiet,) = (SpectralExtractor(MFCC)([w]) for w in (wave, wave / 4))
    np.testing.assert_allclose(loud[:, 1:], quiet[:, 1:], atol=1e-2)
    assert (loud[:, 0] > quiet[:, 0] + 50).all()


def test_unknown_options_are_refused() -> None:
    with pytest.raises(InputError, match=r"^SpectralOptions has no n_mel=(.|\n)*it has kind, "):
        SpectralOptions(n_mel=40)  # type: ignore[call-arg]
    with pytest.raises(InputError, match=r"^n_mels=0 is invalid"):
        SpectralOptions(n_mels=0)
