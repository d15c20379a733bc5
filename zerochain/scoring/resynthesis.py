"""Quality of resynthesis, of a folder of wavs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zerochain import audio
from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.scores import Score
from zerochain.formats.synthesis import MARKER, read_synthesis
from zerochain.metrics.resynthesis import LSD_OPTIONS, score_resynthesis
from zerochain.progress import track
from zerochain.scoring.result import Scored, exclusion_notes

_DIFFERENCE_MS = 80.0


def score_resyntheses(
    wavs: Path,
    corpus: Path,
    *,
    split: str | None = None,
    voice: str | None = None,
    max_difference_ms: float | None = None,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """Log-spectral distance and ESTOI of a folder of <id>.wav against the voice's recordings.

    Args:
        voice: score this speaker's utterances alone; None takes the voice that the wavs are in
            (synthesis.json in the folder): other speakers' have no recording to compare with.
        max_difference_ms: lengths may differ so much; None takes the step of the units that were
            spoken (synthesis.json in the folder), else 80 ms.

    Raises:
        InputError: an id missing on either side, or lengths that don't match.
    """
    whole = read_corpus(corpus)
    synthesis = read_synthesis(wavs) if (wavs / MARKER).exists() else None
    part = whole.select(split=split, speaker=voice or (synthesis.voice if synthesis else None))
    there = {p.relative_to(wavs).with_suffix("").as_posix() for p in wavs.rglob("*.wav")}
    check_same_ids(part.ids, there, f"corpus {whole.name}", f"folder {wavs}")
    check_same_ids(sorted(there), whole.ids, f"folder {wavs}", f"corpus {whole.name}")
    limit_ms = max_difference_ms or (synthesis.step_ms if synthesis else _DIFFERENCE_MS)

    def pairs() -> Iterator[tuple[str, audio.Waveform, audio.Waveform]]:
        for u in track(part.utterances, "Resynthesis"):
            original = audio.read(whole.audio_path(u), start=u.start, end=u.end)
            yield u.id, original, audio.read(wavs / f"{u.id}.wav")

    distance, intelligibility = score_resynthesis(
        pairs(), max_difference_s=limit_ms / 1000, seed=seed
    )
    inputs, name = {"corpus": whole.id}, system or wavs.name
    if synthesis:
        inputs |= {"inverter": synthesis.inverter_id, "units": synthesis.units_id}
        name = system or f"{synthesis.unit_method} → {synthesis.method}"
    common = {"n_of": "utterances", "split": split, "max_difference_ms": limit_ms, "seed": seed}
    scores = [
        Score(
            metric,
            mean.value,
            mean.interval,
            mean.n,
            protocol,
            name,
            inputs,
            {**common, "exclusions": mean.exclusions, **options},
        )
        for metric, mean, protocol, options in (
            ("log_spectral_distance_dB", distance, "lsd-512-160", LSD_OPTIONS),
            ("estoi", intelligibility, "pystoi", {}),
        )
    ]
    others = len(there) - len(part.utterances)
    note = [f"{others} wavs of other speakers or splits are not scored"] if others else []
    return Scored(scores, [*note, *exclusion_notes(scores)])
