"""Translations and the references they are compared with, joined by a table of pairs.

Transcripts of a corpus's utterances, for whatever is scored against text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zerochain.errors import InputError, ModelMismatchError, listed
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import check_same_ids, short
from zerochain.formats.pairs import Pairs
from zerochain.formats.units import UnitFile
from zerochain.metrics.translation import as_words, shuffled


def transcripts(corpus: Corpus, names: Sequence[str]) -> dict[str, str]:
    """The texts of some utterances, as they stand in the corpus.

    Raises:
        InputError: the corpus lacks an utterance or its text.
    """
    check_same_ids(names, corpus.ids, "utterances", f"corpus {corpus.name}")
    texts = {u.id: u.text for u in corpus.utterances}
    without = [name for name in names if not texts[name]]
    if without:
        raise InputError(
            f"{len(without)} of {len(names)} utterances have no text: {listed(without)}",
            path=corpus.folder,
            cause="the corpus was imported without transcripts",
            remedy="import it again with a table that has a column 'text'",
        )
    return {name: str(texts[name]) for name in names}


Merged = list[int]
"""An utterance's units with repeats merged."""


@dataclass(frozen=True)
class Parallel:
    """Outputs, and what else could have been put out."""

    outputs: Mapping[str, Merged]
    """By source."""
    references: Mapping[str, Sequence[str]]
    """Source → the targets that it is paired with."""
    targets: Mapping[str, Merged]
    meanings: Mapping[str, str]
    """Target → what it says: targets of one meaning are equally right."""

    def wanted(self) -> list[list[Merged]]:
        """The units of each source's references."""
        return [[self.targets[name] for name in self.references[s]] for s in self.outputs]

    def said(self) -> list[frozenset[str]]:
        """What each source's references say."""
        return [frozenset(self.meanings[name] for name in self.references[s]) for s in self.outputs]

    def shuffled(self, seed: int) -> list[int] | None:
        """An order of the sources in which none stands where its own references are right.

        None where there is no such order, as for a single source.
        """
        place: dict[frozenset[str], int] = {}
        groups = [place.setdefault(meaning, len(place)) for meaning in self.said()]
        order = shuffled(groups, seed=seed)
        return None if order is None else order.tolist()

    def right(self) -> list[list[int]]:
        """For each source the places of the targets that say what its references say."""
        saying: dict[str, list[int]] = {}
        for place, name in enumerate(self.targets):
            saying.setdefault(self.meanings[name], []).append(place)
        return [[place for meaning in one for place in saying[meaning]] for one in self.said()]


def join(made: UnitFile, spoken: UnitFile, wanted: Pairs, texts: Path | None) -> Parallel:
    """The outputs `made` and the references `spoken` of some pairs.

    Args:
        texts: the target corpus, if its transcripts say which targets mean the same; else those
            with the same units do.

    Raises:
        ModelMismatchError: outputs and references are not of one codebook.
        InputError: a source without an output, or a target without units or text.
    """
    _check_same_model(made, spoken)
    references: dict[str, list[str]] = {}
    for source, target in wanted.pairs:
        references.setdefault(source, []).append(target)
    targets = merged(spoken, [target for _, target in wanted.pairs])
    return Parallel(
        outputs=merged(made, list(references)),
        references=references,
        targets=targets,
        meanings={name: as_words(units) for name, units in targets.items()}
        if texts is None
        else transcripts(read_corpus(texts), list(targets)),
    )


def scored_pairs(
    pairs: Pairs, made: Collection[str], corpus: Corpus | None, split: str | None
) -> Pairs:
    """The pairs of a split of one of the two corpora; else all whose source is among `made`.

    Raises:
        InputError: a pair of the split without an output, an output without a pair.
    """
    if split is None:
        check_same_ids(made, {source for source, _ in pairs.pairs}, "outputs", "pairs")
        there = set(made)
        return replace(pairs, pairs=tuple(p for p in pairs.pairs if p[0] in there))
    if corpus is None:
        raise InputError(
            f"split {split!r} of which corpus?", remedy="give --corpus, the sources' or targets'"
        )
    inside = pairs.of_split(corpus, split)
    sources = list(dict.fromkeys(source for source, _ in inside.pairs))
    check_same_ids(sources, made, f"pairs of split {split!r}", "outputs")
    return inside


def random_targets(
    parallel: Parallel, spoken: UnitFile, pool: Pairs, seed: int
) -> tuple[list[Merged] | None, str]:
    """A random target for each source, and where from: what a translator has to beat.

    From the pool's targets that are not references here or, where there is none with units, the
    references of other sources; None where there is no such either.
    """
    others = {target for _, target in pool.pairs} - set(parallel.targets)
    names = sorted(others.intersection(spoken.ids))
    if names:
        drawn = np.random.default_rng(seed).integers(0, len(names), len(parallel.outputs))
        units = merged(spoken, names)
        return [units[names[i]] for i in drawn], "other pairs' targets"
    order = parallel.shuffled(seed + 1)
    first = [several[0] for several in parallel.wanted()]
    return (None if order is None else [first[i] for i in order]), "other sources' references"


def merged(unit_file: UnitFile, names: Sequence[str]) -> dict[str, Merged]:
    """Units with repeats merged; ids that the file lacks are an error."""
    check_same_ids(names, unit_file.ids, "pairs", f"unit file {unit_file.method!r}")
    return {name: unit_file.segments(name)[0].tolist() for name in names}


def _check_same_model(made: UnitFile, spoken: UnitFile) -> None:
    if made.model_id != spoken.model_id or made.n_units != spoken.n_units:
        raise ModelMismatchError(
            f"the outputs are units of model {short(made.model_id)} (K={made.n_units}), the "
            f"references of {short(spoken.model_id)} (K={spoken.n_units})",
            cause="the references were encoded with another model than the translator's targets",
            remedy=f"encode the references with unit model {short(made.model_id)}; scores of "
            "different codebooks don't compare",
        )
