"""Bit rates and codebook usage of a unit file.

How much of the speaker units give away: what `zerochain score leakage` does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zerochain.errors import InputError, listed
from zerochain.formats.bundle import read_bundle
from zerochain.formats.corpus import read_corpus
from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics.bitrate import Bitrate, codebook_usage, unit_bitrates
from zerochain.metrics.speakers import N_FOLDS, Doubles, Probe, speaker_probe, unit_histograms
from zerochain.scoring.selection import Scored, selected_units


def score_leakage(
    units: Path,
    corpus: Path,
    *,
    model: Path | None = None,
    split: str | None = None,
    n_folds: int = N_FOLDS,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """Accuracy of a linear speaker probe on unit histograms and, with a model, on code vectors.

    A code vector of an utterance is the mean of its units' vectors, each for as long as it lasts.

    Args:
        model: the units' model, whose codebook holds their vectors.

    Raises:
        ModelMismatchError: the units are of another unit model than `model`.
        InputError: ids that don't join, unknown speakers, or fewer than two with enough
            utterances.
    """
    whole, given = read_corpus(corpus), read_units(units)
    scored, notes = selected_units(given, whole, split)
    nameless = [name for name in scored.ids if whole.by_id[name].speaker is None]
    if nameless:
        raise InputError(
            f"{len(nameless)} utterances have no known speaker: {listed(nameless)}",
            path=corpus,
            cause="the recordings were imported without speakers",
            remedy="import them with --speaker-from or a table",
        )
    speakers = [str(whole.by_id[name].speaker) for name in scored.ids]
    histograms = unit_histograms(scored, scored.ids)
    vectors = {"histograms": histograms}
    inputs = {"units": given.id, "corpus": whole.id}
    if model is not None:
        vectors["vectors"] = histograms @ _codebook(model, scored)
        inputs["model"] = given.model_id
    rows = []
    for kind, one in vectors.items():
        probe = speaker_probe(one, speakers, n_folds=n_folds, seed=seed)
        options = {"split": split, "seed": seed, **_options(probe)}
        rows.append(
            Score(
                f"speaker_probe_{kind}_%",
                probe.accuracy,
                probe.interval,
                probe.n_utterances,
                f"{probe.n_speakers} speakers, {n_folds} folds",
                system or given.method,
                inputs,
                options,
            )
        )
    if probe.left_out:
        notes.append(
            f"left out: {sum(probe.left_out.values())} utterances of {len(probe.left_out)} "
            f"speakers with fewer than {n_folds} utterances: {listed(sorted(probe.left_out))}"
        )
    notes.append(
        f"chance: {probe.majority:.1f} % for the most frequent speaker, {probe.uniform:.1f} % for "
        f"any of {probe.n_speakers}"
    )
    return Scored(rows, notes)


def _options(probe: Probe) -> dict[str, object]:
    exclusions = {"utterances_of_rare_speakers": sum(probe.left_out.values())}
    return {
        "n_of": "utterances",
        "probe": "logistic regression, C = 1, standardised, stratified folds",
        "chance": probe.majority,
        "chance_uniform": probe.uniform,
        "n_speakers": probe.n_speakers,
        "n_folds": probe.n_folds,
        "exclusions": exclusions if probe.left_out else {},
    }


def _codebook(model: Path, unit_file: UnitFile) -> Doubles:
    """The vectors of the units, (K, D)."""
    bundle = read_bundle(model)
    unit_file.check_model(bundle.id, "model given")
    if "codebook" not in bundle.tensors:
        raise InputError(
            f"a {bundle.model} has no codebook",
            path=model,
            remedy="leave --model out: the probe on histograms needs none",
        )
    return bundle.tensors["codebook"].astype(np.float64)


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
