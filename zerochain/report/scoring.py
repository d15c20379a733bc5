"""From files to scores: what `zerochain score` does, as functions anybody can call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zerochain import audio
from zerochain.errors import listed
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.scores import Score
from zerochain.formats.tables import read_json
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics.bitrate import Bitrate, segment_bitrate, unit_bitrate
from zerochain.metrics.resynthesis import LSD_OPTIONS, score_resynthesis
from zerochain.metrics.usage import codebook_usage
from zerochain.progress import track

_SYNTHESIS = "synthesis.json"
_DIFFERENCE_MS = 80.0


@dataclass(frozen=True)
class Scored:
    """Scores, and what a person should know beside them."""

    scores: list[Score]
    notes: list[str] = field(default_factory=list)


def score_bitrate(
    units: Path,
    corpus: Path,
    *,
    split: str | None = None,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """The challenge's bit rate and the segment bit rate of a unit file.

    Raises:
        InputError: units that the corpus lacks, or a split that the unit file lacks.
    """
    unit_file, whole = read_units(units), read_corpus(corpus)
    check_same_ids(unit_file.ids, whole.ids, "unit file", f"corpus {whole.name}")
    unit_file, notes = _selected(unit_file, whole, split)
    durations = {u.id: u.duration for u in whole.utterances}
    inputs = {"units": unit_file.id, "corpus": whole.id}
    name = system or unit_file.method

    def score(metric: str, protocol: str, result: Bitrate) -> Score:
        options = {
            "n_of": "symbols",
            "split": split,
            "n_distinct": result.n_distinct,
            "entropy_bits": result.entropy_bits,
            "duration_s": result.duration_s,
            "n_utterances": result.n_utterances,
            "seed": seed,
        }
        return Score(
            metric, result.value, result.interval, result.n_symbols, protocol, name, inputs, options
        )

    return Scored(
        [
            score("bitrate_bit/s", "zs2019", unit_bitrate(unit_file, durations, seed=seed)),
            score(
                "segment_bitrate_bit/s",
                "repeats-merged",
                segment_bitrate(unit_file, durations, seed=seed),
            ),
        ],
        notes,
    )


def score_usage(units: Path, *, system: str | None = None) -> Scored:
    """Codebook usage and perplexity over a whole unit file."""
    unit_file = read_units(units)
    result = codebook_usage(unit_file)
    options = {"n_of": "steps", "n_used": result.n_used, "n_units": result.n_units}
    name, inputs = system or unit_file.method, {"units": unit_file.id}
    return Scored(
        [
            Score(metric, value, None, result.n_steps, "steps", name, inputs, options)
            for metric, value in (
                ("codebook_usage", result.usage),
                ("perplexity", result.perplexity),
            )
        ]
    )


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
    whole, header = read_corpus(corpus), _synthesis(wavs)
    part = whole.select(split=split, speaker=voice or header.get("voice"))
    there = {p.relative_to(wavs).with_suffix("").as_posix() for p in wavs.rglob("*.wav")}
    check_same_ids(part.ids, there, f"corpus {whole.name}", f"folder {wavs}")
    check_same_ids(sorted(there), whole.ids, f"folder {wavs}", f"corpus {whole.name}")
    limit_ms = max_difference_ms or float(header.get("step_ms", _DIFFERENCE_MS))

    def pairs() -> Iterator[tuple[str, audio.Waveform, audio.Waveform]]:
        for u in track(part.utterances, "Resynthesis"):
            original = audio.read(whole.audio_path(u), start=u.start, end=u.end)
            yield u.id, original, audio.read(wavs / f"{u.id}.wav")

    distance, intelligibility = score_resynthesis(
        pairs(), max_difference_s=limit_ms / 1000, seed=seed
    )
    ids = {"inverter": header.get("inverter_id"), "units": header.get("units_id")}
    inputs = {"corpus": whole.id, **{k: v for k, v in ids.items() if v}}
    name = system or _synthesis_name(header, wavs)
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


def _selected(unit_file: UnitFile, corpus: Corpus, split: str | None) -> tuple[UnitFile, list[str]]:
    """The units of the split, and a note on what is left out."""
    if split is None:
        missing = sorted(set(corpus.ids) - set(unit_file.ids))
        note = f"{len(missing)} utterances of the corpus have no units and are left out, their "
        return unit_file, [note + f"seconds too: {listed(missing)}"] if missing else []
    ids = corpus.select(split=split).ids
    check_same_ids(ids, unit_file.ids, f"split {split!r}", "unit file")
    durations = unit_file.durations
    return (
        replace(
            unit_file,
            units={name: unit_file.units[name] for name in ids},
            durations=None if durations is None else {name: durations[name] for name in ids},
        ),
        [],
    )


def _synthesis(wavs: Path) -> dict[str, Any]:
    path = wavs / _SYNTHESIS
    return read_json(path, "synthesis") if path.exists() else {}


def _synthesis_name(header: dict[str, Any], wavs: Path) -> str:
    if not header:
        return wavs.name
    return f"{header.get('unit_method', '')} → {header.get('method', '')}"


def exclusion_notes(scores: list[Score]) -> list[str]:
    """One line for each exclusion, said once."""
    lines = {
        f"left out: {count} {why.replace('_', ' ')}": None
        for score in scores
        for why, count in score.options.get("exclusions", {}).items()
    }
    return list(lines)
