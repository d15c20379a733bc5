"""Scores of a unit file that need no alignment: bit rates, codebook usage, speaker leakage.

The same speaker probe on units of two systems compares only if it saw the same utterances: its
accuracy depends on the number of speakers and on the amount of speech, so chance is recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zerochain.errors import InputError, counted, listed
from zerochain.formats.corpus import read_corpus
from zerochain.formats.units import read_units
from zerochain.metrics import names
from zerochain.metrics.bitrate import codebook_usage, unit_bitrates
from zerochain.metrics.speakers import N_FOLDS, Probe, speaker_probe, unit_histograms
from zerochain.scoring.common import Common, Scored, codebook_of, selected_units


def score_bitrate(
    units: Path,
    corpus: Path,
    *,
    split: str | None = None,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """The challenge's bit rate of a unit file, and three bit rates of its segments.

    Raises:
        InputError: units that the corpus lacks, or a split that the unit file lacks.
    """
    unit_file, whole = read_units(units), read_corpus(corpus)
    unit_file, notes = selected_units(unit_file, whole, split)
    durations = {u.id: u.duration for u in whole.utterances}
    inputs = {"units": unit_file.id, "corpus": whole.id}
    common = Common(
        system or unit_file.method, inputs, {"n_of": "symbols", "split": split, "seed": seed}
    )
    rates = unit_bitrates(unit_file, durations, seed=seed)
    rows = [
        common.score(
            metric,
            one.value,
            one.interval,
            one.n_symbols,
            protocol,
            n_distinct=one.n_distinct,
            entropy_bits=one.entropy_bits,
            duration_s=one.duration_s,
            n_utterances=one.n_utterances,
        )
        for metric, protocol, one in (
            (names.BITRATE, "zs2019", rates.units),
            (names.SEGMENT_BITRATE, "repeats-merged", rates.segments),
            (
                names.TIMED_SEGMENT_BITRATE,
                "repeats-merged with durations",
                rates.timed_segments,
            ),
            (
                names.FACTORED_SEGMENT_BITRATE,
                "repeats-merged, durations apart",
                rates.factored_segments,
            ),
        )
    ]
    return Scored(rows, notes)


def score_usage(units: Path, *, system: str | None = None, seed: int = 0) -> Scored:
    """Codebook usage and perplexity over a whole unit file."""
    unit_file = read_units(units)
    found = codebook_usage(unit_file, seed=seed)
    options = {"n_of": "steps", "n_used": found.n_used, "n_units": found.n_units, "seed": seed}
    common = Common(system or unit_file.method, {"units": unit_file.id}, options)
    return Scored(
        [
            common.score(metric, value, interval, found.n_steps, "steps")
            for metric, value, interval in (
                (names.CODEBOOK_USAGE, found.usage, found.usage_interval),
                (names.PERPLEXITY, found.perplexity, found.perplexity_interval),
            )
        ]
    )


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

    The code vector of an utterance is the mean of its units' vectors, weighted by their durations.

    Args:
        model: the units' model, whose codebook holds their vectors.

    Raises:
        ModelMismatchError: the units are of another unit model than `model`.
        InputError: ids that don't join, unknown speakers, or fewer than two speakers with enough
            utterances.
    """
    whole, given = read_corpus(corpus), read_units(units)
    scored, notes = selected_units(given, whole, split)
    nameless = [name for name in scored.ids if whole.by_id[name].speaker is None]
    if nameless:
        raise InputError(
            f"{counted(len(nameless), 'utterance')} without a known speaker: {listed(nameless)}",
            path=corpus,
            cause="the recordings were imported without speakers",
            remedy="import them again with speakers, from their paths or a table",
        )
    speakers = [str(whole.by_id[name].speaker) for name in scored.ids]
    histograms = unit_histograms(scored, scored.ids)
    vectors = {names.PROBE_HISTOGRAMS: histograms}
    inputs = {"units": given.id, "corpus": whole.id}
    if model is not None:
        codebook = codebook_of(scored, model, without="the probe on histograms needs none")
        vectors[names.PROBE_VECTORS] = histograms @ codebook.astype(np.float64)
        inputs["model"] = given.model_id
    common = Common(system or given.method, inputs, {"split": split, "seed": seed})
    rows = []
    for metric, one in vectors.items():
        probe = speaker_probe(one, speakers, n_folds=n_folds, seed=seed)
        rows.append(
            common.score(
                metric,
                probe.accuracy,
                probe.interval,
                probe.n_utterances,
                f"{probe.n_speakers} speakers, {n_folds} folds",
                **_options(probe),
            )
        )
    if probe.left_out:
        notes.append(
            f"left out: {counted(sum(probe.left_out.values()), 'utterance')} of "
            f"{counted(len(probe.left_out), 'speaker')} with fewer than {n_folds} utterances: "
            f"{listed(sorted(probe.left_out))}"
        )
    notes.append(
        f"chance: {probe.majority:.1f} % by always guessing the most frequent speaker, "
        f"{probe.uniform:.1f} % by guessing any of {probe.n_speakers}"
    )
    return Scored(rows, notes)


def _options(probe: Probe) -> dict[str, Any]:
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
