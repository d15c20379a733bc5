"""How close resynthesised speech is to the recording that it was made from.

All measures but the correlation of F0 compare the same words by the same voice at the same times:
they are meaningless for another voice, or for durations that a model predicted.

- Spectra: log-spectral distance, and the multi-resolution STFT distance (Yamamoto et al. 2020).
- Intelligibility: ESTOI (Jensen and Taal 2016), by pystoi.
- MCD, mel-cepstral distortion. Packages differ in spectrum, warping, silences and path by several
  dB, so one definition is fixed here and called mcd_sp2mc24; it does not compare with others:
  power spectra of 16 kHz speech from 1024-point FFTs of 25 ms Hann windows every 5 ms, without
  smoothing by F0 (as in WORLD or STRAIGHT), silences included, floored 80 dB below the recording's
  largest bin; their minimum-phase cepstra, warped by an all-pass of α = 0.42 (SPTK's sp2mc and
  freqt), orders 1 … 24 without the level in order 0; 10·√2 / ln 10 · ‖difference‖, averaged along
  the exact path of dynamic time warping.
- Pitch: F0 contours are in Hz, 0 where unvoiced, (T,) each, on the same frames. Voicing decision
  error and gross pitch errors of Nakatani et al. 2008, F0 frame error of Chu and Alwan 2009.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pystoi import stoi
from scipy.signal import lfilter

from zerochain.audio import Waveform
from zerochain.errors import InputError
from zerochain.kernels import compiled
from zerochain.metrics.bootstrap import bootstrap_mean

Doubles = NDArray[np.float64]
Contour = NDArray[np.float32]
_LSD_N_FFT, _LSD_HOP, _LSD_FLOOR_DB = 512, 160, -80
LSD_OPTIONS = {
    "n_fft": _LSD_N_FFT,
    "hop": _LSD_HOP,
    "window": "hann",
    "floor_dB": _LSD_FLOOR_DB,
    "level": "aligned by RMS",
}
"""The definition of the log-spectral distance, recorded with the score."""
_RESOLUTIONS = (512, 1024, 2048)
MULTI_RESOLUTION_OPTIONS = {
    "n_fft": list(_RESOLUTIONS),
    "hop": "n_fft / 4",
    "window": "hann",
    "floor_dB": _LSD_FLOOR_DB,
    "level": "aligned by RMS",
}
"""The definition of the multi-resolution distance, recorded with the score."""
_MCD_N_FFT, _WINDOW, _MCD_HOP = 1024, 400, 80
_ORDER, _ALPHA, _MCD_FLOOR_DB = 24, 0.42, -80
MCD_OPTIONS = {
    "order": _ORDER,
    "alpha": _ALPHA,
    "n_fft": _MCD_N_FFT,
    "window": f"hann {_WINDOW}",
    "hop": _MCD_HOP,
    "floor_dB": _MCD_FLOOR_DB,
    "c0": False,
    "path": "exact DTW",
}
"""The definition of mcd_sp2mc24, recorded with the score."""
_DB = 10 * math.sqrt(2) / math.log(10)
_ESTOI_SHORTEST_S = 0.4096  # 30 frames of 12.8 ms and the rest of the last window
_GROSS = 0.2
_FEWEST = 10  # frames: a correlation of fewer is chance


@dataclass(frozen=True)
class MeanScore:
    """A mean over utterances."""

    value: float
    interval: tuple[float, float] | None
    """95 %, over utterances; None for a single one."""
    n: int
    by_id: dict[str, float]
    exclusions: dict[str, int]
    """Reason why utterances could not be scored → their number."""


def mean_score(values: Mapping[str, float | str], *, seed: int = 0) -> MeanScore | None:
    """Mean over utterances and its interval; None if it is undefined for all of them.

    Args:
        values: utterance → its value, or the reason why there is none.
    """
    defined = {name: value for name, value in values.items() if not isinstance(value, str)}
    excluded = dict(Counter(value for value in values.values() if isinstance(value, str)))
    if not defined:
        return None
    array = np.array(list(defined.values()))
    interval = bootstrap_mean(array, seed=seed)
    return MeanScore(float(array.mean()), interval, len(array), defined, excluded)


def cropped(
    name: str, original: Waveform, resynthesised: Waveform, max_difference: float
) -> tuple[Waveform, Waveform]:
    """Crop both to the shorter one: a resynthesis lasts whole units, so up to a unit longer.

    Raises:
        InputError: they differ by more than `max_difference` samples.
    """
    if abs(len(original) - len(resynthesised)) > max_difference:
        raise InputError(
            f"utterance {name!r}: the original has {len(original)} samples, its resynthesis "
            f"{len(resynthesised)}",
            cause="it was made from another recording, or with predicted durations",
            remedy="resynthesise the same corpus with its own durations, or compare with "
            "against='text'",
        )
    n = min(len(original), len(resynthesised))
    return original[:n], resynthesised[:n]


def log_spectral_distance(original: Waveform, resynthesised: Waveform) -> float:
    """Log-spectral distance in dB of two waveforms of equal length at 16 kHz, (n,) each.

    The root mean square over bins of the difference of 20·log10|STFT|, averaged over frames, with
    512-point Hann windows, 160 samples apart. The resynthesis is first scaled to the RMS of the
    original, since a synthesiser's level is arbitrary, and magnitudes are floored 80 dB below the
    original's maximum, so that digital silence does not dominate.

    Raises:
        InputError: unequal lengths, or an original that is all zeros.
    """
    a, b, floor = _same_level(original, resynthesised, _LSD_N_FFT, _LSD_HOP)
    a, b = (20 * np.log10(np.maximum(m, floor)) for m in (a, b))
    return float(np.sqrt(np.mean((a - b) ** 2, axis=1)).mean())


def multi_resolution_distance(original: Waveform, resynthesised: Waveform) -> float:
    """Spectral convergence plus log-magnitude distance of waveforms of equal length, (n,) each.

    ‖|X| - |Y|‖ / ‖|X|‖ + mean |ln|X| - ln|Y|| at FFTs of 512, 1024 and 2048 points, averaged
    (Yamamoto et al. 2020; here Hann windows as long as the FFT, with a hop of a quarter). Level and
    floor as in `log_spectral_distance`. Not comparable with values for other windows.

    Raises:
        InputError: unequal lengths, or an original that is all zeros.
    """
    return float(np.mean([_distance_at(n, original, resynthesised) for n in _RESOLUTIONS]))


def _distance_at(n_fft: int, original: Waveform, resynthesised: Waveform) -> float:
    a, b, floor = _same_level(original, resynthesised, n_fft, n_fft // 4)
    convergence = np.linalg.norm(a - b) / np.linalg.norm(a)
    logs = np.log(np.maximum(a, floor)) - np.log(np.maximum(b, floor))
    return float(convergence + np.abs(logs).mean())


def _same_level(
    original: Waveform, resynthesised: Waveform, n_fft: int, hop: int
) -> tuple[Doubles, Doubles, float]:
    """Magnitudes of both, the resynthesis scaled to the original's RMS, and the floor."""
    _check_lengths(original, resynthesised)
    level, other = _rms(original), _rms(resynthesised)
    if level == 0:
        raise InputError("the original is silent, so no distance to it is defined")
    gain = level / other if other > 0 else 1.0
    a, b = _magnitudes(original, n_fft, hop), _magnitudes(resynthesised, n_fft, hop) * gain
    if a.max() == 0:
        raise InputError("the original is silent but for its edge, so no distance is defined")
    return a, b, float(a.max()) * 10 ** (_LSD_FLOOR_DB / 20)


def _rms(wave: Waveform) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def _magnitudes(wave: Waveform, n_fft: int, hop: int) -> Doubles:
    """Magnitudes of the STFT: (n,) → (frames, n_fft / 2 + 1)."""
    padded = np.pad(wave, (0, max(0, n_fft - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(n_fft + 1)[:-1], axis=1))


def _check_lengths(original: Waveform, resynthesised: Waveform) -> None:
    if original.shape != resynthesised.shape or original.ndim != 1 or len(original) == 0:
        raise InputError(
            f"waveforms of shapes {original.shape} and {resynthesised.shape} can't be compared",
            remedy="crop both to one length",
        )


def estoi(original: Waveform, resynthesised: Waveform, sample_rate: int = 16_000) -> float | None:
    """Extended short-time objective intelligibility (Jensen & Taal 2016), by pystoi.

    Resampled to 10 kHz, without frames 40 dB below the original's loudest; about 0 … 1. A silent
    resynthesis scores 0.

    Returns:
        None, undefined, with less than 0.4 s of speech.

    Raises:
        InputError: unequal lengths.
    """
    _check_lengths(original, resynthesised)
    if len(original) < _ESTOI_SHORTEST_S * sample_rate or not original.any():
        return None
    if not resynthesised.any():
        return 0.0
    with warnings.catch_warnings(), _same_noise():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(original, resynthesised, sample_rate, extended=True))
        except RuntimeWarning as warning:
            if "Not enough STFT frames" in str(warning):
                return None
            raise


@contextlib.contextmanager
def _same_noise() -> Iterator[None]:
    """NumPy's global generator in one state: pystoi draws noise, which is all of a silent part."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


def mcd_sp2mc24(original: Waveform, resynthesised: Waveform) -> float | None:
    """Mel-cepstral distortion in dB of two waveforms at 16 kHz, of any lengths.

    Returns:
        None where either is digital silence, which has no spectrum.

    Raises:
        InputError: no samples, or NaN.
    """
    for wave in (original, resynthesised):
        if wave.ndim != 1 or len(wave) == 0 or not np.isfinite(wave).all():
            raise InputError(
                f"a waveform of shape {wave.shape} that is empty or has NaN has no cepstrum",
                remedy="fix or remove the recording",
            )
    if not original.any() or not resynthesised.any():
        return None
    a, b = (_mel_cepstra(wave).T[1:].copy() for wave in (original, resynthesised))
    return _DB * float(mean_on_path(a, b))


def _mel_cepstra(wave: Waveform) -> Doubles:
    """(n,) → (frames, order + 1); the last window may reach beyond the end."""
    n_frames = 1 + max(0, -(-(len(wave) - _WINDOW) // _MCD_HOP))
    padded = np.pad(wave.astype(np.float64), (0, (n_frames - 1) * _MCD_HOP + _WINDOW - len(wave)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_MCD_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW + 2)[1:-1], _MCD_N_FFT, axis=1)) ** 2
    return sp2mc(np.maximum(power, power.max() * 10 ** (_MCD_FLOOR_DB / 10)), _ORDER, _ALPHA)


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

    Column k is the start of the impulse response of the k-th power of the all-pass
    (z⁻¹ + α) / (1 + α z⁻¹), so one matrix product replaces SPTK's recursion.
    """
    columns = [np.eye(1, order + 1)[0]]
    for _ in range(n - 1):
        columns.append(lfilter([alpha, 1], [1, alpha], columns[-1]))
    return np.stack(columns, axis=1)


@compiled(error_model="numpy", fastmath={"contract", "nnan", "nsz"})
def mean_on_path(a: Doubles, b: Doubles) -> float:
    """Mean Euclidean distance along the path with the smallest sum (exact dynamic time warping).

    A path goes from both first frames to both last ones in steps of one frame in either sequence or
    in both, all with weight 1. Of paths with equal sums the shortest counts, which makes the result
    symmetric. Only one row of costs and path lengths is kept.

    Args:
        a: (D, T), frames in columns.
        b: (D, U).
    """
    n, m = a.shape[1], b.shape[1]
    cost, length = np.empty(m), np.empty(m, np.int64)
    distance = np.empty(m)
    for i in range(n):
        distance[:] = 0.0
        for d in range(len(a)):
            x = a[d, i]
            row = b[d]
            for j in range(m):
                distance[j] += (row[j] - x) * (row[j] - x)
        diagonal, diagonal_length = 0.0, 0
        for j in range(m):
            best, steps = diagonal, diagonal_length
            if i > 0:
                diagonal, diagonal_length = cost[j], length[j]
                if j == 0 or (diagonal, diagonal_length) < (best, steps):
                    best, steps = diagonal, diagonal_length
            if j > 0 and (i == 0 or (cost[j - 1], length[j - 1]) < (best, steps)):
                best, steps = cost[j - 1], length[j - 1]
            cost[j] = best + np.sqrt(distance[j])
            length[j] = steps + 1
    return float(cost[m - 1] / length[m - 1])


def log_f0_rmse(reference: Contour, other: Contour) -> float | None:
    """Root mean square of the log-F0 difference in cents (1200 per octave), frames voiced in both.

    For natural logarithms, as others report it, multiply by ln 2 / 1200.

    Returns:
        None where no frame is voiced in both.

    Raises:
        InputError: unequal lengths, no frame, or values that are no F0; so do the other measures
            of F0.
    """
    a, b = _voiced_in_both(reference, other)
    if len(a) == 0:
        return None
    return float(1200 * np.sqrt(np.mean((np.log2(b) - np.log2(a)) ** 2)))


def voicing_decision_error(reference: Contour, other: Contour) -> float:
    """Percentage of frames that are voiced in only one of both."""
    _check(reference, other)
    return float(100 * np.mean((reference > 0) != (other > 0)))


def f0_frame_error(reference: Contour, other: Contour) -> float:
    """Percentage of frames with different voicing, or with an F0 that is more than 20 % off."""
    _check(reference, other)
    a, b = reference.astype(np.float64), other.astype(np.float64)
    wrong = (a > 0) != (b > 0)
    return float(100 * np.mean(wrong | (np.abs(b - a) > _GROSS * a)))


def f0_correlation(reference: Contour, other: Contour) -> float | None:
    """Pearson correlation of log F0 over the frames voiced in both.

    It does not depend on means and deviations, so voices of different pitch compare.

    Returns:
        None where fewer than 10 frames are voiced in both, or F0 is constant.
    """
    a, b = map(np.log2, _voiced_in_both(reference, other))
    if len(a) < _FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _voiced_in_both(
    reference: Contour, other: Contour
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    _check(reference, other)
    both = (reference > 0) & (other > 0)
    return reference[both].astype(np.float64), other[both].astype(np.float64)


def _check(reference: Contour, other: Contour) -> None:
    if reference.shape != other.shape or reference.ndim != 1 or len(reference) == 0:
        raise InputError(
            f"F0 contours of shapes {reference.shape} and {other.shape} can't be compared",
            cause="they are of recordings of different lengths",
            remedy="crop both to one length",
        )
    for contour in (reference, other):
        if not np.isfinite(contour).all() or contour.min() < 0:
            raise InputError(
                "an F0 contour holds NaN, infinite or negative values",
                cause="it has another unit, or NaN for unvoiced frames",
                remedy="give Hz, and 0 where unvoiced",
            )
