"""Whether units stay the same: under changes of a recording, and between speakers.

Nothing here needs an alignment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from zerochain.corpora.changes import Change
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import file_id, short
from zerochain.formats.pairs import read_pairs
from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics.robustness import Distance, robustness, sentence_distance
from zerochain.metrics.text import plain
from zerochain.scoring.selection import Scored, exclusion_notes, selected_units

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
        units: of the recordings as they are.
        changed: of the changed recordings, by the same unit model.
        corpus: the changed recordings ('zerochain corpus change'), which says what was changed.

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
    name, steps = system or before.method, f"{change}; steps of {before.step_ms:g} ms"
    rows = [
        _score(f"ued_{change.kind}_%", found.per_step, steps, name, inputs, options),
        _score(
            f"unit_changes_{change.kind}_%", found.per_segment, str(change), name, inputs, options
        ),
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
    """How far apart the units of one sentence are when two speakers say it.

    Args:
        pairs: utterances of this corpus that say the same; None: those with the same text.

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
    name = system or given.method
    row = _score("sentence_distance_%", found, protocol, name, inputs, options)
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
    """What each utterance says: an id that it shares with those that say the same."""
    says = {name: name for name in corpus.ids}
    if pairs is None:
        return says | {u.id: f"text {plain(u.text)}" for u in corpus.utterances if u.text}
    for a, b in same:
        one, other = says[a], says[b]
        if one != other:
            says = {name: one if sentence == other else sentence for name, sentence in says.items()}
    return says


def _score(
    metric: str,
    found: Distance,
    protocol: str,
    system: str,
    inputs: Mapping[str, str],
    options: Mapping[str, Any],
) -> Score:
    stated = dict(options) if found.chance is None else {**options, "chance": found.chance}
    return Score(metric, found.value, found.interval, found.n, protocol, system, inputs, stated)


def _change(corpus: Corpus) -> Change:
    """What a corpus says was done to its recordings."""
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
            f"the units are of unit model {short(before.model_id)}, those of the changed "
            f"recordings of {short(after.model_id)}",
            cause="the changed corpus was encoded with another model",
            remedy="encode both corpora with one model",
        )


def _check_corpora(before: UnitFile, after: UnitFile, changed: Corpus) -> None:
    """Units that were imported don't know their corpus."""
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
                remedy="give UNITS of the corpus as it was, then those of the changed one",
            )


def _segmented_alike(before: UnitFile, after: UnitFile) -> list[str]:
    if before.method == after.method:
        return []
    return [
        f"the two were encoded differently ({before.method}; {after.method}): part of the "
        "distance may come from that"
    ]
