"""The mel filter bank of features and losses alike."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zerochain.audio import SAMPLE_RATE


@lru_cache
def mel_filters(n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """Slaney's mel filters from 0 Hz to the Nyquist frequency, (n_fft // 2 + 1, n_mels)."""
    from zerochain.kernels import allow_kernels_of

    allow_kernels_of("librosa")
    from librosa.filters import mel

    return np.ascontiguousarray(mel(sr=SAMPLE_RATE, n_fft=n_fft, n_mels=n_mels).T)
