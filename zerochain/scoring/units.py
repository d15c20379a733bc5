"""Bit rates and codebook usage of a unit file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zerochain.errors import listed
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics.bitrate import (
    Bitrate,
    segment_bitrate,
    timed_segment_bitrate,
    unit_bitrate,
)
from zerochain.metrics.usage import codebook_usage
from zerochain.scoring.result import Scored


def score_bitrate(
    units: Path,
    corpus: Path,
    *,
    split: str | None = None,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """The challenge's bit rate of a unit file, and its segments' without and with durations.

    Raises:
        InputError: units that the corpus lacks, or a split that the unit file lacks.
    """
    unit_file, whole = read_units(units), read_corpus(corpus)
    check_same_ids(unit_file.ids, whole.ids, "unit file", f"corpus {whole.name}")
    durations = {u.id: u.duration for u in whole.utterances}
    unit_file.check_durations(durations, f"corpus {whole.name}")
    unit_file, notes = _selected(unit_file, whole, split)
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
            score(
                "timed_segment_bitrate_bit/s",
                "repeats-merged with durations",
                timed_segment_bitrate(unit_file, durations, seed=seed),
            ),
        ],
        notes,
    )


def score_usage(units: Path, *, system: str | None = None, seed: int = 0) -> Scored:
    """Codebook usage and perplexity over a whole unit file."""
    unit_file = read_units(units)
    result = codebook_usage(unit_file, seed=seed)
    options = {"n_of": "steps", "n_used": result.n_used, "n_units": result.n_units, "seed": seed}
    name, inputs = system or unit_file.method, {"units": unit_file.id}
    return Scored(
        [
            Score(metric, value, interval, result.n_steps, "steps", name, inputs, options)
            for metric, value, interval in (
                ("codebook_usage", result.usage, result.usage_interval),
                ("perplexity", result.perplexity, result.perplexity_interval),
            )
        ]
    )


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
