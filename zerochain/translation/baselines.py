"""Translators that learn nothing, as functions of files: what any other has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.features.normalisation import (
    NormalisationKind,
    default_normalisation,
    normalised,
)
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import read_features
from zerochain.formats.identity import check_same_ids
from zerochain.formats.pairs import Pairs, read_pairs
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.translation.frequent import most_frequent
from zerochain.translation.nearest import STEP_MS, nearest_sources


@dataclass(frozen=True)
class Examples:
    """What a baseline knows, and what it is asked."""

    targets: Mapping[str, str]
    """Training source → its target, the first of several."""
    queries: tuple[str, ...]
    """The sources to translate."""
    spoken: UnitFile
    """The units of the targets."""
    corpus: Corpus
    """The sources'."""

    def write(self, path: Path, chosen: Mapping[str, str], method: str) -> UnitFile:
        """Write for each query the merged units of a target, without durations."""
        units: dict[str, NDArray[np.int32]] = {
            query: self.spoken.segments(chosen[query])[0] for query in self.queries
        }
        speakers = {u.id: u.speaker for u in self.corpus.utterances}
        made = UnitFile(
            units=units,
            n_units=self.spoken.n_units,
            step_ms=self.spoken.step_ms,
            model_id=self.spoken.model_id,
            method=f"translated: {method}",
            speakers={query: speakers[query] for query in self.queries},
            corpus_id=self.corpus.id,
        )
        write_units(path, made)
        return made


def nearest_baseline(
    features: Path,
    targets: Path,
    pairs: Path,
    corpus: Path,
    out: Path,
    *,
    train_split: str = "train",
    split: str = "test",
    normalisation: NormalisationKind | None = None,
    step_ms: float = STEP_MS,
    unpaired: bool = False,
    jobs: int | None = None,
) -> dict[str, str]:
    """Translate each source into the target of the training source that sounds most alike.

    Args:
        features: of the sources, both splits.
        targets: unit file of the targets.
        pairs: which source has which targets; of several the first counts.
        corpus: the sources'.
        out: the unit file to write.
        train_split, split: whose pairs are the examples, and what is translated.
        normalisation: of the features; None: of each speaker, or utterance where one is unknown.
        step_ms: frames are averaged to steps of this length.
        unpaired: translate the utterances of `split` that no pair names, rather than those that
            one does: targets made up for them, to learn from (label propagation).
        jobs: threads.

    Returns:
        Source → the training source it was found to be most like.

    Raises:
        InputError: a source without features, a target without units, a split without pairs, or
            one that is both the examples' and the queries'.
    """
    examples = _examples(targets, pairs, corpus, train_split, split, unpaired)
    whole = read_features(features)
    part = whole.restrict(list(dict.fromkeys([*examples.targets, *examples.queries])))
    found = nearest_sources(
        normalised(part, normalisation or default_normalisation(part)),
        examples.queries,
        list(examples.targets),
        step_ms=step_ms,
        jobs=jobs,
    )
    chosen = {query: examples.targets[source] for query, source in found.items()}
    examples.write(out, chosen, f"nearest training source by DTW, {whole.extractor}")
    return found


def frequent_baseline(
    targets: Path,
    pairs: Path,
    corpus: Path,
    out: Path,
    *,
    train_split: str = "train",
    split: str = "test",
) -> str:
    """Translate everything into the most frequent training target, and return that target's id.

    Args and raises: as `nearest_baseline`.
    """
    examples = _examples(targets, pairs, corpus, train_split, split)
    names = list(examples.targets.values())
    name = names[most_frequent([examples.spoken.segments(n)[0].tolist() for n in names])]
    examples.write(out, dict.fromkeys(examples.queries, name), "the most frequent target")
    return name


def _examples(
    targets: Path,
    pairs: Path,
    corpus: Path,
    train_split: str,
    split: str,
    unpaired: bool = False,
) -> Examples:
    if train_split == split and not unpaired:
        raise InputError(
            f"split {split!r} can't be both learned from and translated",
            remedy="choose another --split or --train-split",
        )
    table, spoken, sources = read_pairs(pairs), read_units(targets), read_corpus(corpus)
    known = table.of_split(sources, train_split).pairs
    asked = _unpaired(table, sources, split) if unpaired else _paired(table, sources, split)
    check_same_ids([s for s, _ in known] + asked, sources.ids, "sources of pairs", "corpus")
    check_same_ids([target for _, target in known], spoken.ids, "pairs", "target units")
    first: dict[str, str] = {}
    for source, target in known:
        first.setdefault(source, target)
    return Examples(
        targets=first,
        queries=tuple(asked),
        spoken=spoken,
        corpus=sources,
    )


def _paired(table: Pairs, sources: Corpus, split: str) -> list[str]:
    return list(dict.fromkeys(source for source, _ in table.of_split(sources, split).pairs))


def _unpaired(table: Pairs, sources: Corpus, split: str) -> list[str]:
    paired = {source for source, _ in table.pairs}
    names = [name for name in sources.select(split=split).ids if name not in paired]
    if not names:
        raise InputError(
            f"every utterance of split {split!r} has a pair",
            path=sources.folder,
            remedy="leave --unpaired out, or choose another --split",
        )
    return names
