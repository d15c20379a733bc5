"""The mel filter bank that features and losses share, and the cosines that cepstra are made with.

Triangular filters on Slaney's mel scale (Auditory Toolbox, 1998), each normalised to the same area,
as in librosa: https://librosa.org/doc/latest/generated/librosa.filters.mel.html
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zerochain.audio import SAMPLE_RATE

# Slaney's scale is linear up to 1 kHz, which is 15 mel, and logarithmic above.
_HZ_PER_MEL, _KNEE_HZ, _KNEE_MEL = 200 / 3, 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27


@lru_cache
def mel_filters(n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """Slaney's mel filters from 0 Hz to the Nyquist frequency, (n_fft // 2 + 1, n_mels).

    Bit-identical to `librosa.filters.mel`. Importing librosa takes as long as everything else that
    converting one recording needs (`benchmarks/one_recording.py`).
    """
    edges = mel_edges_hz(n_mels)
    widths = np.diff(edges)
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE))
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters *= (2 / (edges[2:] - edges[:-2]))[:, None]  # each of the same area
    return np.ascontiguousarray(filters.T)


@lru_cache
def cosines(n: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II: (n, n), one cosine a row, so that spectra @ cosines.T are cepstra.

    As `scipy.fft.dct(…, norm="ortho")`; scipy.fft takes an eighth of a second to import.
    """
    order, place = np.ogrid[:n, :n]
    angles = np.pi / (2 * n) * (order * (2 * place + 1) % (4 * n))
    waves = np.asarray(np.sqrt(2 / n) * np.cos(angles))
    waves[0] *= np.sqrt(0.5)
    waves.flags.writeable = False
    return waves


def mel_edges_hz(n_mels: int) -> NDArray[np.float64]:
    """Where the filters begin, peak and end, in Hz, (n_mels + 2,): each peaks at its number + 1."""
    top = _KNEE_MEL + np.log(SAMPLE_RATE / 2 / _KNEE_HZ) / _LOG_STEP
    return _hz(np.linspace(0, top, n_mels + 2))


def _hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = _KNEE_HZ * np.exp(_LOG_STEP * (mels - _KNEE_MEL))
    return np.where(mels >= _KNEE_MEL, logarithmic, mels * _HZ_PER_MEL)
