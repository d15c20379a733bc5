"""How near resynthesised speech is to the recording it was made from, frame by frame.

Both measures compare the same words by the same voice at the same time: they say nothing of
speech in another voice, or of durations that a model chose.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
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
    _check_lengths(original, resynthesised)
    level, other = _rms(original), _rms(resynthesised)
    if level == 0:
        raise InputError("the original is silent, so no distance to it is defined")
    gain = level / other if other > 0 else 1.0
    magnitudes = _magnitudes(original), _magnitudes(resynthesised) * gain
    if magnitudes[0].max() == 0:
        raise InputError("the original is silent but for its edge, so no distance is defined")
    floor = magnitudes[0].max() * 10 ** (_FLOOR_DB / 20)
    a, b = (20 * np.log10(np.maximum(m, floor)) for m in magnitudes)
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


def score_resynthesis(
    pairs: Iterable[tuple[str, Waveform, Waveform]],
    *,
    max_difference_s: float,
    sample_rate: int = 16_000,
    seed: int = 0,
) -> tuple[MeanScore, MeanScore]:
    """Mean log-spectral distance (dB) and mean ESTOI of (id, original, resynthesis).

    A resynthesis lasts whole units, so it may be up to a unit longer than its original: both are
    cropped to the shorter. Silent originals, and for ESTOI those below 0.4 s, are left out and
    counted.

    Raises:
        InputError: no pair that can be scored, or one whose lengths differ by more than
            `max_difference_s`.
    """
    distances: dict[str, float] = {}
    estois: dict[str, float] = {}
    silent, short = 0, 0
    for name, original, resynthesised in pairs:
        a, b = _cropped(name, original, resynthesised, max_difference_s * sample_rate)
        if not a.any():
            silent += 1
            continue
        distances[name] = log_spectral_distance(a, b)
        value = estoi(a, b, sample_rate)
        if value is None:
            short += 1
        else:
            estois[name] = value
    return (
        _mean(distances, {"silent_original": silent}, "log-spectral distance", seed),
        _mean(estois, {"silent_original": silent, "under_0.4_s": short}, "ESTOI", seed),
    )


def _cropped(
    name: str, original: Waveform, resynthesised: Waveform, max_difference: float
) -> tuple[Waveform, Waveform]:
    if abs(len(original) - len(resynthesised)) > max_difference:
        raise InputError(
            f"utterance {name!r}: the original has {len(original)} samples, its resynthesis "
            f"{len(resynthesised)}",
            cause="it is of another recording, or its durations were chosen by a model",
            remedy="resynthesise the same corpus with its own durations",
        )
    n = min(len(original), len(resynthesised))
    return original[:n], resynthesised[:n]


def _mean(values: dict[str, float], excluded: dict[str, int], what: str, seed: int) -> MeanScore:
    counted = dict(+Counter(excluded))
    if not values:
        raise InputError(
            f"no utterance has a defined {what}: {counted or 'there is none'}",
            cause="the recordings are silent or too short",
            remedy="score longer recordings",
        )
    array = np.array(list(values.values()))
    return MeanScore(
        float(array.mean()), bootstrap_mean(array, seed=seed), len(array), values, counted
    )


def _rms(wave: Waveform) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def _magnitudes(wave: Waveform) -> Doubles:
    """Magnitudes of the STFT: (n,) → (frames, n_fft / 2 + 1)."""
    padded = np.pad(wave, (0, max(0, _N_FFT - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    return np.abs(np.fft.rfft(frames * np.hanning(_N_FFT + 1)[:-1], axis=1))


def _check_lengths(original: Waveform, resynthesised: Waveform) -> None:
    if original.shape != resynthesised.shape or original.ndim != 1 or len(original) == 0:
        raise InputError(
            f"waveforms of shapes {original.shape} and {resynthesised.shape} can't be compared",
            remedy="crop both to one length",
        )
