"""How near resynthesised speech is to the recording it was made from, frame by frame.

All measures compare the same words by the same voice at the same time: they say nothing of
speech in another voice, or of durations that a model chose.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerochain.audio import Waveform
from zerochain.errors import InputError
from zerochain.metrics.bootstrap import bootstrap_mean

_N_FFT, _HOP, _FLOOR_DB = 512, 160, -80
LSD_OPTIONS = {
    "n_fft": _N_FFT,
    "hop": _HOP,
    "window": "hann",
    "floor_dB": _FLOOR_DB,
    "level": "aligned by RMS",
}
"""How the log-spectral distance is taken, for whoever reads the score."""
_RESOLUTIONS = (512, 1024, 2048)
MULTI_RESOLUTION_OPTIONS = {
    "n_fft": list(_RESOLUTIONS),
    "hop": "n_fft / 4",
    "window": "hann",
    "floor_dB": _FLOOR_DB,
    "level": "aligned by RMS",
}
"""How the multi-resolution distance is taken."""
_ESTOI_SHORTEST_S = 0.4096  # 30 frames of 12.8 ms and the rest of the last window
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class MeanScore:
    """A mean over utterances."""

    value: float
    interval: tuple[float, float] | None
    """95 %, over utterances; None for a single one."""
    n: int
    by_id: dict[str, float]
    exclusions: dict[str, int]
    """Why utterances could not be scored → how many."""


def log_spectral_distance(original: Waveform, resynthesised: Waveform) -> float:
    """Log-spectral distance in dB of two waveforms of equal length at 16 kHz, (n,) each.

    Per frame the root mean square over bins of the difference of 20·log10|STFT|, then the mean
    over frames. 512-point Hann windows, 160 samples apart. The resynthesis is first brought to
    the original's RMS, since a synthesiser's level is arbitrary, and magnitudes are floored 80 dB
    below the original's largest, so that digital silence doesn't decide.

    Raises:
        InputError: unequal lengths, or an original that is all zeros.
    """
    a, b, floor = _same_level(original, resynthesised, _N_FFT, _HOP)
    a, b = (20 * np.log10(np.maximum(m, floor)) for m in (a, b))
    return float(np.sqrt(np.mean((a - b) ** 2, axis=1)).mean())


def estoi(original: Waveform, resynthesised: Waveform, sample_rate: int = 16_000) -> float | None:
    """Extended short-time objective intelligibility (Jensen & Taal 2016), by pystoi.

    Resampled to 10 kHz, frames 40 dB below the original's loudest left out; about 0 … 1. A silent
    resynthesis scores 0.

    Returns:
        None where fewer than 0.4 s are not silent: it is undefined there.

    Raises:
        InputError: unequal lengths.
    """
    from pystoi import stoi

    _check_lengths(original, resynthesised)
    if len(original) < _ESTOI_SHORTEST_S * sample_rate or not original.any():
        return None
    if not resynthesised.any():
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(original, resynthesised, sample_rate, extended=True))
        except RuntimeWarning as warning:
            if "Not enough STFT frames" in str(warning):
                return None
            raise


def multi_resolution_distance(original: Waveform, resynthesised: Waveform) -> float:
    """Spectral convergence plus log-magnitude distance of waveforms of equal length, (n,) each.

    ‖|X| - |Y|‖ / ‖|X|‖ + mean |ln|X| - ln|Y|| at FFTs of 512, 1024 and 2048 points, averaged
    (Yamamoto et al. 2020; here Hann windows as long as the FFT, a quarter of it apart). Level and
    floor as of `log_spectral_distance`. Not comparable with losses of other windows.

    Raises:
        InputError: unequal lengths, or an original that is all zeros.
    """
    return float(np.mean([_distance_at(n, original, resynthesised) for n in _RESOLUTIONS]))


def _distance_at(n_fft: int, original: Waveform, resynthesised: Waveform) -> float:
    a, b, floor = _same_level(original, resynthesised, n_fft, n_fft // 4)
    convergence = np.linalg.norm(a - b) / np.linalg.norm(a)
    logs = np.log(np.maximum(a, floor)) - np.log(np.maximum(b, floor))
    return float(convergence + np.abs(logs).mean())


def cropped(
    name: str, original: Waveform, resynthesised: Waveform, max_difference: float
) -> tuple[Waveform, Waveform]:
    """Both cropped to the shorter: a resynthesis lasts whole units, so up to a unit longer.

    Raises:
        InputError: they differ by more than `max_difference` samples.
    """
    if abs(len(original) - len(resynthesised)) > max_difference:
        raise InputError(
            f"utterance {name!r}: the original has {len(original)} samples, its resynthesis "
            f"{len(resynthesised)}",
            cause="it is of another recording, or its durations were chosen by a model",
            remedy="resynthesise the same corpus with its own durations",
        )
    n = min(len(original), len(resynthesised))
    return original[:n], resynthesised[:n]


def mean_score(values: Mapping[str, float | str], *, seed: int = 0) -> MeanScore | None:
    """Mean over utterances and its interval; None where no utterance has a value.

    Args:
        values: of each utterance the value, or why there is none.
    """
    defined = {name: value for name, value in values.items() if not isinstance(value, str)}
    excluded = dict(Counter(value for value in values.values() if isinstance(value, str)))
    if not defined:
        return None
    array = np.array(list(defined.values()))
    interval = bootstrap_mean(array, seed=seed)
    return MeanScore(float(array.mean()), interval, len(array), defined, excluded)


def _same_level(
    original: Waveform, resynthesised: Waveform, n_fft: int, hop: int
) -> tuple[Doubles, Doubles, float]:
    """Magnitudes of both, the resynthesis at the original's RMS, and the floor under them."""
    _check_lengths(original, resynthesised)
    level, other = _rms(original), _rms(resynthesised)
    if level == 0:
        raise InputError("the original is silent, so no distance to it is defined")
    gain = level / other if other > 0 else 1.0
    a, b = _magnitudes(original, n_fft, hop), _magnitudes(resynthesised, n_fft, hop) * gain
    if a.max() == 0:
        raise InputError("the original is silent but for its edge, so no distance is defined")
    return a, b, float(a.max()) * 10 ** (_FLOOR_DB / 20)


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
