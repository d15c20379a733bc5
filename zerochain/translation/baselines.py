"""Baselines of translation, without any training: what a translator has to beat.

Translation by example: the target of the most similar training source, by dynamic time warping
(DTW) of features (`nearest_baseline`). Constant output: the most frequent target for every source,
which ignores the input (`frequent_baseline`). With `unpaired`, the first is label propagation: it
makes targets for sources that have none (`zerochain.translation.pseudo`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from zerochain.errors import InputError, counted
from zerochain.features.normalisation import (
    NormalisationKind,
    default_normalisation,
    normalised,
)
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import Features, read_features
from zerochain.formats.identity import check_same_ids
from zerochain.formats.pairs import Pairs, read_pairs
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.kernels import compiled
from zerochain.machine import cores
from zerochain.metrics.abx_engine import prepared
from zerochain.metrics.abx_kernel import ANGULAR, Doubles, Floats, Ints, dtw, frame_distances
from zerochain.progress import track

STEP_MS = 40.0
"""Frames are averaged to steps of this length: DTW of shorter ones takes far longer."""


NEAREST, FREQUENT = "nearest training source", "the most frequent target"
SPLICED = "spliced training sources"
"""How the methods of baselines begin, after "translated: "."""


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
    """Translate each source into the target of the most similar training source.

    Args:
        features: of the sources, both splits.
        targets: unit file of the targets.
        pairs: which source has which targets; of several the first counts.
        corpus: of the sources.
        out: the unit file to write.
        train_split, split: whose pairs are the examples, and whose sources are translated.
        normalisation: of the features; None: of each speaker, or utterance where one is unknown.
        step_ms: frames are averaged to steps of this length.
        unpaired: translate the utterances of `split` without a pair, rather than those with one:
            label propagation.
        jobs: threads.

    Returns:
        Source → the most similar training source.

    Raises:
        InputError: a source without features, a target without units, a split without pairs, or
            one that is both the examples' and the queries'.
    """
    examples = read_examples(targets, pairs, corpus, train_split, split, unpaired)
    frames, extractor = averaged(examples, features, normalisation, step_ms)
    found = _nearest(frames, examples.queries, list(examples.targets), jobs)
    chosen = {query: examples.targets[source] for query, source in found.items()}
    examples.write(out, examples.whole(chosen), f"{NEAREST} by DTW, {extractor}")
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
    examples = read_examples(targets, pairs, corpus, train_split, split)
    names = list(examples.targets.values())
    name = names[most_frequent([examples.units.segments(n)[0].tolist() for n in names])]
    examples.write(out, examples.whole(dict.fromkeys(examples.queries, name)), FREQUENT)
    return name


def most_frequent(targets: Sequence[Sequence[Hashable]]) -> int:
    """The index of the most frequent target; of equally frequent ones the most central.

    Hardly any two targets are equal, so mostly the second rule decides: the least edit distance to
    the other targets, over the length of the longer.

    Raises:
        InputError: there is none.
    """
    if not targets:
        raise InputError("there is no training target", remedy="choose another training split")
    keys = [tuple(target) for target in targets]
    counts = Counter(keys)
    distinct, most = list(counts), max(counts.values())
    tied = [key for key in distinct if counts[key] == most]
    distances = cdist(tied, distinct, scorer=Levenshtein.normalized_distance, dtype=np.float64)
    weights = np.array([counts[key] for key in distinct])
    return keys.index(tied[int(np.argmin(distances @ weights))])


def nearest_sources(
    features: Features,
    queries: Sequence[str],
    examples: Sequence[str],
    *,
    step_ms: float = STEP_MS,
    jobs: int | None = None,
) -> dict[str, str]:
    """Each query's nearest example by DTW of angles between frames, over the path's length.

    Frames are averaged to `step_ms`. Of equally near examples the first is taken. A query that
    is among the examples is its own nearest; leave it out to find another.

    Args:
        features: of queries and examples; normalise them where speakers differ.
        jobs: threads; None takes the cores this process may use.

    Raises:
        InputError: no query, no example, or one without features.
    """
    if not queries or not examples:
        raise InputError(
            f"{counted(len(queries), 'utterance')} to translate and "
            f"{counted(len(examples), 'example')}",
            cause="no pair is in the training split, or no utterance in the other",
            remedy="choose other splits",
        )
    wanted = list(dict.fromkeys([*queries, *examples]))
    check_same_ids(wanted, features.index, "pairs", "features")
    return _nearest(_steps(features, wanted, step_ms), queries, examples, jobs)


def averaged(
    examples: Examples, features: Path, normalisation: NormalisationKind | None, step_ms: float
) -> tuple[dict[str, Floats], str]:
    """The frames of training sources and queries, normalised, averaged to steps, for the kernel.

    Returns:
        Source → its steps as columns (R, T); and what the features are.

    Raises:
        InputError: a source without features.
    """
    whole = read_features(features)
    wanted = list(dict.fromkeys([*examples.targets, *examples.queries]))
    part = whole.restrict(wanted)
    ready = normalised(part, normalisation or default_normalisation(part))
    return _steps(ready, wanted, step_ms), whole.extractor


def _steps(features: Features, names: Sequence[str], step_ms: float) -> dict[str, Floats]:
    n_averaged = max(1, round(step_ms / features.step_ms))
    return {name: _columns(features[name], n_averaged) for name in names}


def _nearest(
    frames: Mapping[str, Floats], queries: Sequence[str], examples: Sequence[str], jobs: int | None
) -> dict[str, str]:
    """Each query's nearest example, of the steps of both."""
    packed, bounds = _packed([frames[name] for name in examples])

    def search(name: str) -> str:
        return examples[int(np.argmin(_distances(frames[name], packed, bounds)))]

    with ThreadPoolExecutor(jobs or cores()) as pool:
        try:
            found = track(pool.map(search, queries), "Nearest examples", len(queries))
            return dict(zip(queries, found, strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _columns(frames: NDArray[np.float32], n: int) -> Floats:
    """Averages of n frames each of (T, D), of fewer at the end, for the kernel: (R, ⌈T / n⌉)."""
    starts = np.arange(0, len(frames), n)
    sizes = np.diff(starts, append=len(frames))[:, None]
    means = np.add.reduceat(frames, starts, axis=0, dtype=np.float64) / sizes
    return np.ascontiguousarray(prepared(means.astype(np.float32), ANGULAR).T)


def _packed(examples: Sequence[Floats]) -> tuple[Floats, Ints]:
    """Examples one after the other, flat, and where each one's frames begin (n + 1,)."""
    bounds = np.concatenate([[0], np.cumsum([x.shape[1] for x in examples])]).astype(np.int64)
    return np.concatenate([x.ravel() for x in examples]), bounds


@compiled()
def _distances(query: Floats, packed: Floats, bounds: Ints) -> Doubles:
    """DTW of a query (R, T) to each example."""
    n_rows, length = query.shape
    widest = 0
    for i in range(len(bounds) - 1):
        widest = max(widest, bounds[i + 1] - bounds[i])
    local = np.empty((length, widest), np.float32)
    cost = np.empty((length, widest), np.float64)
    out = np.empty(len(bounds) - 1)
    for i in range(len(bounds) - 1):
        start, end = bounds[i], bounds[i + 1]
        example = packed[start * n_rows : end * n_rows].reshape((n_rows, end - start))
        frame_distances(ANGULAR, query, 0, length, example, local)
        out[i] = dtw(local, 0, end - start, length, cost)[0]
    return out


@dataclass(frozen=True)
class Examples:
    """Training pairs, and the sources to translate."""

    targets: Mapping[str, str]
    """Training source → its target, the first of several."""
    queries: tuple[str, ...]
    """The sources to translate."""
    units: UnitFile
    """Of the targets."""
    corpus: Corpus
    """Of the sources."""

    def whole(self, chosen: Mapping[str, str]) -> dict[str, NDArray[np.int32]]:
        """The merged units of the target that was chosen for each query."""
        return {query: self.units.segments(chosen[query])[0] for query in self.queries}

    def write(self, path: Path, units: Mapping[str, NDArray[np.int32]], method: str) -> UnitFile:
        """Write the translation of each query: merged units, without durations."""
        speakers = {u.id: u.speaker for u in self.corpus.utterances}
        made = UnitFile(
            units=dict(units),
            n_units=self.units.n_units,
            step_ms=self.units.step_ms,
            model_id=self.units.model_id,
            method=f"translated: {method}",
            speakers={query: speakers[query] for query in self.queries},
            corpus_id=self.corpus.id,
        )
        write_units(path, made)
        return made


def read_examples(
    targets: Path,
    pairs: Path,
    corpus: Path,
    train_split: str,
    split: str,
    unpaired: bool = False,
) -> Examples:
    """The training pairs of one split, and the sources to translate of another.

    Raises:
        InputError: as `nearest_baseline`.
    """
    if train_split == split and not unpaired:
        raise InputError(
            f"split={split!r} can't be both the examples' and the one to translate",
            remedy="choose another split= or train_split=",
        )
    table, units, sources = read_pairs(pairs), read_units(targets), read_corpus(corpus)
    known = table.of_split(sources, train_split).pairs
    asked = _unpaired(table, sources, split) if unpaired else _paired(table, sources, split)
    check_same_ids([s for s, _ in known] + asked, sources.ids, "sources of pairs", "corpus")
    check_same_ids([target for _, target in known], units.ids, "pairs", "target units")
    first: dict[str, str] = {}
    for source, target in known:
        first.setdefault(source, target)
    return Examples(targets=first, queries=tuple(asked), units=units, corpus=sources)


def _paired(table: Pairs, sources: Corpus, split: str) -> list[str]:
    return list(dict.fromkeys(source for source, _ in table.of_split(sources, split).pairs))


def _unpaired(table: Pairs, sources: Corpus, split: str) -> list[str]:
    paired = {source for source, _ in table.pairs}
    names = [name for name in sources.select(split=split).ids if name not in paired]
    if not names:
        raise InputError(
            f"every utterance of split {split!r} has a pair",
            path=sources.folder,
            remedy="leave unpaired=True out, or choose another split=",
        )
    return names
