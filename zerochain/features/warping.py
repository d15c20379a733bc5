"""Vocal-tract-length warping: another length of the vocal tract as a linear map of each frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zerochain.audio import SAMPLE_RATE
from zerochain.features.spectral import SpectralOptions

_NYQUIST_HZ = SAMPLE_RATE / 2
_BREAK = 0.875  # of the band: beyond it the warp bends, so that it ends where the band ends


@lru_cache(maxsize=64)
def warp_matrix(factor: float, options: SpectralOptions) -> NDArray[np.float32]:
    """What frames (T, D) are multiplied by, (D, D), to read their spectrum at `factor` · f.

    A factor above 1 moves formants down, as a longer vocal tract would. The piecewise linear
    warp of Lee and Rose, "A frequency warping approach to speaker normalization" (1998), by
    interpolation between mel bands in dB: W. On cepstra it is C · W · C⁺ (Pitz and Ney, "Vocal
    tract normalization equals linear transformation in cepstral space", 2005), and the same on
    their derivatives in time.
    """
    from zerochain.kernels import allow_kernels_of

    allow_kernels_of("librosa")
    from librosa import mel_frequencies

    centres = mel_frequencies(options.n_mels + 2, fmin=0, fmax=_NYQUIST_HZ)[1:-1]
    bands = np.arange(options.n_mels)
    positions = np.interp(warped_hz(centres, factor), centres, bands)
    warp = np.maximum(0, 1 - np.abs(positions[:, None] - bands))
    if options.kind == "mfcc":
        from scipy.fft import dct

        cosines = dct(np.eye(options.n_mels), norm="ortho", axis=0)[: options.n_mfcc]
        warp = np.kron(np.eye(1 + options.n_deltas), cosines @ warp @ cosines.T)
    return np.ascontiguousarray(warp.T, np.float32)


def warped_hz(hz: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Where a spectrum is read for these frequencies: at `factor` · f, and beyond a bend on the
    straight line to the end of the band."""
    bend = _BREAK * _NYQUIST_HZ * min(1.0, 1 / factor)
    slope = (_NYQUIST_HZ - factor * bend) / (_NYQUIST_HZ - bend)
    return np.where(hz <= bend, factor * hz, _NYQUIST_HZ - slope * (_NYQUIST_HZ - hz))
