"""Mel-cepstral distortion by one fixed definition, called mcd_sp2mc24.

Packages differ in the spectrum, the warping, the silences and the path, by up to several dB: this
number is not comparable with other packages'. The definition:

- power spectra of 16 kHz speech, plain: 1024-point FFTs of 25 ms Hann windows every 5 ms; no
  smoothing by F0 (as WORLD's CheapTrick or STRAIGHT would), silences included; floored 80 dB
  below the recording's largest bin;
- their minimum-phase cepstra, warped by an all-pass of α = 0.42 (SPTK's sp2mc and freqt), orders
  1 … 24; order 0 is left out, so the level doesn't count;
- 10·√2 / ln 10 · ‖difference‖, averaged along the exact path of dynamic time warping.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from zerochain.audio import Waveform
from zerochain.errors import InputError
from zerochain.metrics.cepstral_kernel import mean_on_path

_N_FFT, _WINDOW, _HOP = 1024, 400, 80
_ORDER, _ALPHA, _FLOOR_DB = 24, 0.42, -80
MCD_OPTIONS = {
    "order": _ORDER,
    "alpha": _ALPHA,
    "n_fft": _N_FFT,
    "window": f"hann {_WINDOW}",
    "hop": _HOP,
    "floor_dB": _FLOOR_DB,
    "c0": False,
    "path": "exact DTW",
}
"""How mcd_sp2mc24 is taken, for whoever reads the score."""
_DB = 10 * math.sqrt(2) / math.log(10)
Doubles = NDArray[np.float64]


def mcd_sp2mc24(original: Waveform, resynthesised: Waveform) -> float | None:
    """Mel-cepstral distortion in dB of two waveforms at 16 kHz, of any lengths.

    Returns:
        None where either is digital silence: it has no spectrum.

    Raises:
        InputError: no samples, or NaN.
    """
    for wave in (original, resynthesised):
        if wave.ndim != 1 or len(wave) == 0 or not np.isfinite(wave).all():
            raise InputError(
                f"samples of shape {wave.shape} with NaN or without a sample have no cepstrum",
                remedy="mend or remove the recording",
            )
    if not original.any() or not resynthesised.any():
        return None
    a, b = (_mel_cepstra(wave).T[1:].copy() for wave in (original, resynthesised))
    return _DB * float(mean_on_path(a, b))


def sp2mc(power: Doubles, order: int, alpha: float) -> Doubles:
    """Power spectra (T, n_fft / 2 + 1) → mel-cepstra (T, order + 1).

    SPTK's sp2mc: the cepstrum of the minimum-phase spectrum of this power, on a frequency axis
    warped by an all-pass of `alpha`.
    """
    cepstrum = np.fft.irfft(np.log(power), axis=1)[:, : power.shape[1]]
    cepstrum[:, [0, -1]] /= 2
    return np.asarray(cepstrum @ freqt_matrix(cepstrum.shape[1], order, alpha).T)


@lru_cache
def freqt_matrix(n: int, order: int, alpha: float) -> Doubles:
    """The frequency transform (Oppenheim & Johnson 1972) of n coefficients: (order + 1, n).

    Column k is the beginning of the impulse response of the k-th power of the all-pass
    (z⁻¹ + α) / (1 + α z⁻¹).
    """
    columns = [np.eye(1, order + 1)[0]]
    for _ in range(n - 1):
        columns.append(lfilter([alpha, 1], [1, alpha], columns[-1]))
    return np.stack(columns, axis=1)


def _mel_cepstra(wave: Waveform) -> Doubles:
    """(n,) → (frames, order + 1); the last window may reach beyond the end."""
    n_frames = 1 + max(0, -(-(len(wave) - _WINDOW) // _HOP))
    padded = np.pad(wave.astype(np.float64), (0, (n_frames - 1) * _HOP + _WINDOW - len(wave)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW + 2)[1:-1], _N_FFT, axis=1)) ** 2
    return sp2mc(np.maximum(power, power.max() * 10 ** (_FLOOR_DB / 10)), _ORDER, _ALPHA)
