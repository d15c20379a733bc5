"""The mel filters beside librosa's."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from zerochain.audio import SAMPLE_RATE
from zerochain.modules.mel import mel_edges_hz, mel_filters


@pytest.mark.parametrize(("n_fft", "n_mels"), [(400, 40), (512, 23), (1024, 80), (2048, 128)])
def test_filters_are_those_of_librosa(n_fft: int, n_mels: int) -> None:
    expected = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=n_fft, n_mels=n_mels)
    assert np.array_equal(mel_filters(n_fft, n_mels), expected.T)
    edges = librosa.mel_frequencies(n_mels + 2, fmin=0, fmax=SAMPLE_RATE / 2)
    assert np.allclose(mel_edges_hz(n_mels), edges, rtol=1e-12)
