"""What is measured of one resynthesised utterance, and how each measure is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zerochain.audio import Waveform
from zerochain.features.f0 import F0Options, track_f0
from zerochain.metrics.cepstral import MCD_OPTIONS, mcd_sp2mc24
from zerochain.metrics.f0 import (
    f0_correlation,
    f0_frame_error,
    log_f0_rmse,
    voicing_decision_error,
)
from zerochain.metrics.resynthesis import (
    LSD_OPTIONS,
    MULTI_RESOLUTION_OPTIONS,
    estoi,
    log_spectral_distance,
    multi_resolution_distance,
)

Against = Literal["voice", "source"]
"""The voice's own recordings of the same utterances, or those of the speakers converted from."""
Values = Mapping[str, float | str]
"""Metric → its value, or why there is none."""
_F0 = F0Options()


@dataclass(frozen=True)
class Metric:
    """A measure's name with its unit, and how it is taken, for whoever reads the score."""

    name: str
    protocol: str
    options: Mapping[str, Any]


def _of_f0(name: str) -> Metric:
    return Metric(name, f"F0 every {_F0.step_ms:g} ms", {"f0": _F0.model_dump()})


METRICS: Mapping[Against, tuple[Metric, ...]] = {
    "voice": (
        Metric("log_spectral_distance_dB", "lsd-512-160", LSD_OPTIONS),
        Metric("multi_resolution_distance", "stft-512-1024-2048", MULTI_RESOLUTION_OPTIONS),
        Metric("mcd_sp2mc24_dB", "exact DTW", MCD_OPTIONS),
        Metric("estoi", "pystoi", {}),
        _of_f0("log_f0_rmse_cents"),
        _of_f0("voicing_decision_error_%"),
        _of_f0("f0_frame_error_%"),
    ),
    "source": (_of_f0("source_f0_correlation"), _of_f0("source_voicing_decision_error_%")),
}


def measure(original: Waveform, resynthesised: Waveform, against: Against) -> Values:
    """All measures of two waveforms of equal length at 16 kHz, (n,) each.

    Raises:
        InputError: unequal lengths, or NaN.
    """
    if not original.any():
        return {metric.name: "silent_original" for metric in METRICS[against]}
    f0, other = track_f0(original, _F0), track_f0(resynthesised, _F0)
    voicing = voicing_decision_error(f0, other)
    if against == "source":
        correlation = f0_correlation(f0, other)
        return {
            "source_f0_correlation": _or(correlation, "under_10_frames_voiced_in_both"),
            "source_voicing_decision_error_%": voicing,
        }
    return {
        "log_spectral_distance_dB": log_spectral_distance(original, resynthesised),
        "multi_resolution_distance": multi_resolution_distance(original, resynthesised),
        "mcd_sp2mc24_dB": _or(mcd_sp2mc24(original, resynthesised), "silent_resynthesis"),
        "estoi": _or(estoi(original, resynthesised), "under_0.4_s"),
        "log_f0_rmse_cents": _or(log_f0_rmse(f0, other), "nothing_voiced_in_both"),
        "voicing_decision_error_%": voicing,
        "f0_frame_error_%": f0_frame_error(f0, other),
    }


def _or(value: float | None, why: str) -> float | str:
    return why if value is None else value
