"""Scores of a unit file that need no alignment: bit rates, usage, speaker leakage, robustness.

The same speaker probe on units of two systems compares only if it saw the same utterances: its
accuracy depends on the number of speakers and on the amount of speech, so chance is recorded.

Good units depend only on content: neither noise, nor another pitch, nor another speaker should
change them. The chance level is the distance between units of
unrelated recordings, which is lower for few or long units.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from zerochain.corpora.changes import Change
from zerochain.errors import InputError, ModelMismatchError, counted, listed
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import file_id, short
from zerochain.formats.pairs import read_pairs
from zerochain.formats.units import UnitFile, codebook_of, read_units
from zerochain.metrics import names
from zerochain.metrics.bitrate import codebook_usage, unit_bitrates
from zerochain.metrics.robustness import robustness, sentence_distance
from zerochain.metrics.speakers import N_FOLDS, Probe, speaker_probe, unit_histograms
from zerochain.metrics.text import plain
from zerochain.scoring.common import Common, Scored, exclusion_notes, selected_units


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
    options = {
        "n_of": "steps",
        "n_utterances": len(unit_file.ids),
        "n_used": found.n_used,
        "n_units": found.n_units,
        "seed": seed,
    }
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


_MOST_PAIRS = 5000


def score_robustness(
    units: Path,
    changed: Path,
    corpus: Path,
    *,
    split: str | None = None,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """Unit edit distance between recordings and the same recordings after a change.

    Args:
        units: of the original recordings.
        changed: of the changed recordings, by the same unit model.
        corpus: the changed recordings ('zerochain corpus change'), which records the change.

    Raises:
        ModelMismatchError: the two unit files are of different models or segmentations.
        InputError: the corpus isn't a changed one, the units are of other corpora, or ids that
            don't join.
    """
    whole, before, after = read_corpus(corpus), read_units(units), read_units(changed)
    change = _change(whole)
    _check_same_model(before, after)
    _check_corpora(before, after, whole)
    after, notes = selected_units(after, whole, split)
    found = robustness(before, after, seed=seed)
    notes += _segmented_alike(before, after)
    inputs = {
        "units": before.id,
        "changed_units": after.id,
        "corpus": str(whole.record["of_corpus"]),
        "changed_corpus": whole.id,
    }
    options = {"n_of": "utterances", "split": split, "seed": seed}
    common = Common(system or before.method, inputs, options)
    rows = [
        common.score(
            names.under(metric, change.kind),
            one.value,
            one.interval,
            one.n,
            protocol,
            chance=one.chance,
        )
        for metric, one, protocol in (
            (
                names.UNIT_EDIT_DISTANCE,
                found.per_step,
                f"{change}; steps of {before.step_ms:g} ms",
            ),
            (names.UNIT_CHANGES, found.per_segment, str(change)),
        )
    ]
    return Scored(rows, notes)


def score_sentences(
    units: Path,
    corpus: Path,
    *,
    pairs: Path | None = None,
    split: str | None = None,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """Edit distance between the units of one sentence spoken by two speakers.

    Args:
        pairs: utterances of this corpus with the same sentence; None: those with the same text.

    Raises:
        InputError: no such pair of two known speakers, or ids that don't join.
    """
    whole, given = read_corpus(corpus), read_units(units)
    scored, notes = selected_units(given, whole, split)
    there = set(scored.ids)
    if pairs is None:
        same = _by_text(whole, there)
    else:
        listed_pairs = read_pairs(pairs, whole, whole).pairs
        same = [pair for pair in listed_pairs if there.issuperset(pair)]
    speaker = {u.id: u.speaker for u in whole.utterances}
    kept = [
        (a, b)
        for a, b in same
        if speaker[a] is not None and speaker[b] is not None and speaker[a] != speaker[b]
    ]
    excluded = {"pairs_of_one_or_an_unknown_speaker": len(same) - len(kept)}
    drawn = np.random.default_rng(seed).permutation(len(kept))[:_MOST_PAIRS]
    excluded["pairs_beyond_the_most"] = len(kept) - len(drawn)
    chosen = [kept[i] for i in sorted(drawn.tolist())]
    spoken = replace(scored, speakers=speaker)
    found = sentence_distance(spoken, chosen, _sentences(whole, same, pairs), seed=seed)
    inputs = {"units": given.id, "corpus": whole.id}
    if pairs is not None:
        inputs["pairs"] = file_id(pairs)
    options = {
        "n_of": "pairs",
        "split": split,
        "exclusions": {why: n for why, n in excluded.items() if n},
        "chance_of": "another sentence of like length by the same speaker",
        "seed": seed,
    }
    protocol = "same text" if pairs is None else "pairs file"
    row = Common(system or given.method, inputs, options).score(
        names.SENTENCE_DISTANCE, found.value, found.interval, found.n, protocol, chance=found.chance
    )
    return Scored([row], [*notes, *exclusion_notes([row])])


def _by_text(corpus: Corpus, there: Set[str]) -> list[tuple[str, str]]:
    """Pairs of utterances with the same words."""
    groups: dict[str, list[str]] = {}
    for u in corpus.utterances:
        if u.id in there and u.text and plain(u.text):
            groups.setdefault(plain(u.text), []).append(u.id)
    return [pair for group in groups.values() for pair in combinations(group, 2)]


def _sentences(
    corpus: Corpus, same: Sequence[tuple[str, str]], pairs: Path | None
) -> dict[str, str]:
    """Each utterance's sentence: a label that it shares with the others of that sentence."""
    sentence = {name: name for name in corpus.ids}
    if pairs is None:
        return sentence | {u.id: f"text {plain(u.text)}" for u in corpus.utterances if u.text}
    for a, b in same:
        one, other = sentence[a], sentence[b]
        if one != other:
            sentence = {name: one if s == other else s for name, s in sentence.items()}
    return sentence


def _change(corpus: Corpus) -> Change:
    """The change that a corpus records."""
    try:
        record = corpus.record["change"]
        return Change.of(record["kind"], float(record["amount"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "is not a corpus of changed recordings",
            path=corpus.folder,
            remedy="make one with 'zerochain corpus change', encode it, and give it here",
        ) from error


def _check_same_model(before: UnitFile, after: UnitFile) -> None:
    if before.model_id != after.model_id:
        raise ModelMismatchError(
            f"the original recordings were encoded with unit model {short(before.model_id)}, the "
            f"changed ones with {short(after.model_id)}",
            cause="the changed corpus was encoded with another model",
            remedy="encode both corpora with one model",
        )


def _check_corpora(before: UnitFile, after: UnitFile, changed: Corpus) -> None:
    """Units that were imported have no corpus id, and pass."""
    original = str(changed.record.get("of_corpus"))
    for unit_file, corpus_id, of in (
        (before, original, "the corpus that was changed"),
        (after, changed.id, "the changed corpus"),
    ):
        if unit_file.corpus_id not in {"", corpus_id}:
            raise InputError(
                f"units of corpus {short(unit_file.corpus_id)} are given as those of {of}, "
                f"{short(corpus_id)}",
                path=changed.folder,
                cause="the two unit files were swapped, or a corpus was imported again",
                remedy="give the units of the original corpus first, then those of the changed one",
            )


def _segmented_alike(before: UnitFile, after: UnitFile) -> list[str]:
    if before.method == after.method:
        return []
    return [
        f"the two unit files were encoded differently ({before.method}; {after.method}), which "
        "may explain part of the distance"
    ]
