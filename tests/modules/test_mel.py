"""The mel filters beside librosa's, and the cosines of cepstra beside scipy's."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy

from zerochain.audio import SAMPLE_RATE
from zerochain.modules.mel import cosines, mel_edges_hz, mel_filters


@pytest.mark.parametrize(("n_fft", "n_mels"), [(400, 40), (512, 23), (1024, 80), (2048, 128)])
def test_filters_are_those_of_librosa(n_fft: int, n_mels: int) -> None:
    expected = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=n_fft, n_mels=n_mels)
    assert np.array_equal(mel_filters(n_fft, n_mels), expected.T)
    edges = librosa.mel_frequencies(n_mels + 2, fmin=0, fmax=SAMPLE_RATE / 2)
    assert np.allclose(mel_edges_hz(n_mels), edges, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 13, 80, 1024])
def test_cepstra_are_those_of_scipy(n: int) -> None:
    spectra = np.random.default_rng(n).normal(size=(3, n))
    expected = scipy.fft.dct(spectra, norm="ortho")
    np.testing.assert_allclose(spectra @ cosines(n).T, expected, rtol=0, atol=1e-12 * np.sqrt(n))
