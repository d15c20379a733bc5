"""Quality of resynthesis, of a folder of wavs.

What is measured of one resynthesised utterance, and how each measure is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from zerochain import audio
from zerochain.audio import Waveform
from zerochain.errors import InputError
from zerochain.features.f0 import F0Options, track_f0
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import MARKER, read_synthesis
from zerochain.machine import cores
from zerochain.metrics.resynthesis import (
    LSD_OPTIONS,
    MCD_OPTIONS,
    MULTI_RESOLUTION_OPTIONS,
    cropped,
    estoi,
    f0_correlation,
    f0_frame_error,
    log_f0_rmse,
    log_spectral_distance,
    mcd_sp2mc24,
    mean_score,
    multi_resolution_distance,
    voicing_decision_error,
)
from zerochain.progress import track
from zerochain.scoring.selection import Scored, exclusion_notes

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


_DIFFERENCE_MS = 80.0
_WORTH_A_PROCESS_S = 600.0  # a process starts in the time that so much speech takes
_AT_ONCE = 100  # utterances of one recording that a process takes at a time


def score_resyntheses(
    wavs: Path,
    corpus: Path,
    *,
    split: str | None = None,
    voice: str | None = None,
    against: Against = "voice",
    max_difference_ms: float | None = None,
    system: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> Scored:
    """How near a folder of <id>.wav is to the corpus's recordings of the same utterances.

    A measure that no utterance has is left out, and a note says so.

    Args:
        voice: that the wavs are in; None takes what synthesis.json in the folder says.
        against: "voice" scores the voice's own utterances alone, by all measures: other speakers'
            have no recording to compare with. "source" scores the other speakers' utterances,
            which were converted, against what those speakers said: voicing, and the correlation
            of F0, for which each speaker's mean and range don't matter.
        max_difference_ms: lengths may differ so much; None takes the step of the units that were
            spoken (synthesis.json in the folder), else 80 ms.
        jobs: processes; None takes the cores, as far as there is work for them.

    Raises:
        InputError: an id missing on either side, lengths that don't match, or no utterance that
            can be scored.
    """
    whole = read_corpus(corpus)
    synthesis = read_synthesis(wavs) if (wavs / MARKER).exists() else None
    there = {p.relative_to(wavs).with_suffix("").as_posix() for p in wavs.rglob("*.wav")}
    check_same_ids(sorted(there), whole.ids, f"folder {wavs}", f"corpus {whole.name}")
    voice = voice or (synthesis.voice if synthesis else None)
    part = _part(whole, split, voice, against, there, wavs)
    limit_ms = max_difference_ms or (synthesis.step_ms if synthesis else _DIFFERENCE_MS)
    measured = _measured(whole, part, wavs, against, limit_ms / 1000, jobs)
    inputs, name = {"corpus": whole.id}, system or wavs.name
    if synthesis:
        inputs |= {"inverter": synthesis.inverter_id, "units": synthesis.units_id}
        name = system or f"{synthesis.unit_method} → {synthesis.method}"
    common = {"n_of": "utterances", "split": split, "max_difference_ms": limit_ms, "seed": seed}
    others = len(there) - len(part)
    notes = [f"{others} wavs of other speakers or splits are not scored"] if others else []
    scores = []
    for metric in METRICS[against]:
        values = {u.id: row[metric.name] for u, row in zip(part, measured, strict=True)}
        mean = mean_score(values, seed=seed)
        if mean is None:
            notes.append(f"{metric.name} is undefined for every utterance and left out")
            continue
        options = {**common, "exclusions": mean.exclusions, **metric.options}
        scores.append(
            Score(
                metric.name,
                mean.value,
                mean.interval,
                mean.n,
                metric.protocol,
                name,
                inputs,
                options,
            )
        )
    if not scores:
        raise InputError(
            f"none of {len(part)} utterances can be scored",
            path=wavs,
            cause="the recordings are silent",
            remedy="score other recordings",
        )
    return Scored(scores, [*notes, *exclusion_notes(scores)])


def _part(
    whole: Corpus,
    split: str | None,
    voice: str | None,
    against: Against,
    there: set[str],
    wavs: Path,
) -> tuple[Utterance, ...]:
    """The utterances to score."""
    if against == "voice":
        own = whole.select(split=split, speaker=voice)
        check_same_ids(own.ids, there, f"corpus {whole.name}", f"folder {wavs}")
        return own.utterances
    if voice is None:
        raise InputError(
            "nothing says in which voice the wavs are",
            path=wavs,
            cause="the folder has no synthesis.json",
            remedy="give --voice",
        )
    spoken = whole.select(split=split).utterances
    part = tuple(u for u in spoken if u.id in there and u.speaker not in {voice, None})
    if not part:
        raise InputError(
            f"no wav is of an utterance by another speaker than {voice!r}",
            path=wavs,
            cause="the voice's own utterances were resynthesised",
            remedy="leave --against source out",
        )
    return part


def _measured(
    corpus: Corpus,
    part: Sequence[Utterance],
    wavs: Path,
    against: Against,
    max_difference_s: float,
    jobs: int | None,
) -> list[Values]:
    from joblib import Parallel, delayed

    seconds = sum(u.duration for u in part)
    jobs = jobs or max(1, min(cores(), int(seconds / _WORTH_A_PROCESS_S)))
    batches = [
        (path, group[i : i + _AT_ONCE])
        for path, them in groupby(part, key=corpus.audio_path)
        for group in [list(them)]
        for i in range(0, len(group), _AT_ONCE)
    ]
    calls = (
        delayed(_compared)(path, group, wavs, against, max_difference_s) for path, group in batches
    )
    results = Parallel(n_jobs=jobs, return_as="generator")(calls)
    return [one for some in track(results, "Resynthesis", total=len(batches)) for one in some]


def _compared(
    recording: Path,
    utterances: Sequence[Utterance],
    wavs: Path,
    against: Against,
    max_difference_s: float,
) -> list[Values]:
    """Of utterances of one recording, which is read in one pass."""
    limit = max_difference_s * audio.SAMPLE_RATE
    originals = audio.read_parts(recording, [u.part for u in utterances])
    return [
        measure(*cropped(u.id, original, audio.read(wavs / f"{u.id}.wav"), limit), against)
        for u, original in zip(utterances, originals, strict=True)
    ]
