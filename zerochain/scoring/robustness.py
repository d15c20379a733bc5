"""Whether units stay the same under changes of the recordings, and between speakers.

Good units depend only on content: neither noise, nor another pitch, nor another speaker should
change them. Neither score needs an alignment. The chance level is the distance between units of
unrelated recordings, which is lower for few or long units.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from zerochain.corpora.changes import Change
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import file_id, short
from zerochain.formats.pairs import read_pairs
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics import names
from zerochain.metrics.robustness import robustness, sentence_distance
from zerochain.metrics.text import plain
from zerochain.scoring.common import Common, Scored, exclusion_notes, selected_units

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
