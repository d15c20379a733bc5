"""Bit rates and codebook usage of a unit file."""

from __future__ import annotations

from pathlib import Path

from zerochain.formats.corpus import read_corpus
from zerochain.formats.scores import Score
from zerochain.formats.units import read_units
from zerochain.metrics.bitrate import Bitrate, unit_bitrates
from zerochain.metrics.usage import codebook_usage
from zerochain.scoring.result import Scored
from zerochain.scoring.selection import selected_units


def score_bitrate(
    units: Path,
    corpus: Path,
    *,
    split: str | None = None,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """The challenge's bit rate of a unit file, and its segments' in three ways.

    Raises:
        InputError: units that the corpus lacks, or a split that the unit file lacks.
    """
    unit_file, whole = read_units(units), read_corpus(corpus)
    unit_file, notes = selected_units(unit_file, whole, split)
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

    rates = unit_bitrates(unit_file, durations, seed=seed)
    return Scored(
        [
            score("bitrate_bit/s", "zs2019", rates.units),
            score("segment_bitrate_bit/s", "repeats-merged", rates.segments),
            score(
                "timed_segment_bitrate_bit/s", "repeats-merged with durations", rates.timed_segments
            ),
            score(
                "factored_segment_bitrate_bit/s",
                "repeats-merged, durations apart",
                rates.factored_segments,
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
