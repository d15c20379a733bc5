"""Edit distances between unit strings that should be equal; repeated units are merged.

Two cases: a recording before and after a change (noise, another pitch; Gat et al. 2022), and one
sentence spoken by two speakers. Chance is the distance between unrelated strings of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from zerochain.errors import InputError
from zerochain.formats.identity import check_same_ids
from zerochain.formats.units import UnitFile
from zerochain.metrics.bootstrap import bootstrap_mean, sums_interval
from zerochain.metrics.translation import shuffled

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Distance:
    """An edit distance in %, and that of unrelated strings."""

    value: float
    interval: tuple[float, float] | None
    """95 %; None for a single utterance or sentence."""
    chance: float | None
    """None where there are no unrelated strings."""
    n: int


@dataclass(frozen=True)
class Robustness:
    """How much units change when the recordings do."""

    per_step: Distance
    """Unit edit distance of Gat et al. (2022): edits divided by the steps of the recording, and
    averaged over utterances. Shorter steps make it smaller: compare units of one step only."""
    per_segment: Distance
    """Edits divided by the merged units of the original recordings, over the whole set."""


def robustness(before: UnitFile, after: UnitFile, *, seed: int = 0) -> Robustness:
    """Compare units of recordings before and after a change; 0 is the best.

    Chance is the distance to the changed recording of another utterance, drawn at random.

    Raises:
        InputError: ids of `after` that `before` lacks.
    """
    names = after.ids
    check_same_ids(names, before.ids, "units of changed recordings", "units")
    original = {name: before.segments(name)[0] for name in names}
    changed = {name: after.segments(name)[0] for name in names}
    sizes = np.array([(len(before.steps(n)), len(original[n])) for n in names], np.float64)

    def edits(others: Sequence[str]) -> Doubles:
        pairs = zip(names, others, strict=True)
        return np.array([_levenshtein(original[a], changed[b]) for a, b in pairs], np.float64)

    own = edits(names)
    order = shuffled(range(len(names)), seed=seed)
    other = None if order is None else edits([names[i] for i in order])
    counts = np.stack([own, sizes[:, 1]], axis=1)
    return Robustness(
        Distance(
            100 * float(np.mean(own / sizes[:, 0])),
            bootstrap_mean(100 * own / sizes[:, 0], seed=seed),
            None if other is None else 100 * float(np.mean(other / sizes[:, 0])),
            len(names),
        ),
        Distance(
            100 * float(own.sum() / sizes[:, 1].sum()),
            sums_interval(counts, lambda sums: 100 * sums[:, 0] / sums[:, 1], seed=seed),
            None if other is None else 100 * float(other.sum() / sizes[:, 1].sum()),
            len(names),
        ),
    )


def sentence_distance(
    unit_file: UnitFile,
    pairs: Sequence[tuple[str, str]],
    sentences: Mapping[str, object],
    *,
    seed: int = 0,
) -> Distance:
    """Edit distance between the units of one sentence spoken by two speakers; 0 is the best.

    Edits divided by the length of the longer string, averaged over pairs. For chance, the second
    utterance of each pair is replaced by one with another sentence and the nearest number of units,
    by the same speaker or, if there is none, by any speaker other than the first.

    Args:
        pairs: (an utterance, an utterance of the same sentence by another speaker).
        sentences: utterance of the unit file → its sentence, as anything that can be compared.

    Raises:
        InputError: no pair, or ids that the unit file lacks.
    """
    if not pairs:
        raise InputError(
            "no sentence is spoken by two speakers",
            remedy="give pairs of utterances, or a corpus with texts; other scores need neither",
        )
    check_same_ids([n for pair in pairs for n in pair], unit_file.ids, "pairs", "unit file")
    merged = {name: unit_file.segments(name)[0] for name in unit_file.ids}
    own = np.array([_relative(merged[a], merged[b]) for a, b in pairs])
    replacement = _replacements(unit_file, merged, sentences)
    others = [(a, replacement(a, b)) for a, b in pairs]
    other = [_relative(merged[a], merged[b]) for a, b in others if b is not None]
    codes = np.unique([str(sentences[a]) for a, _ in pairs], return_inverse=True)[1]
    sums = np.stack([np.bincount(codes, own), np.bincount(codes)], axis=1).astype(np.float64)
    return Distance(
        100 * float(own.mean()),
        sums_interval(sums, lambda drawn: 100 * drawn[:, 0] / drawn[:, 1], seed=seed),
        100 * float(np.mean(other)) if other else None,
        len(pairs),
    )


def _replacements(
    unit_file: UnitFile, merged: Mapping[str, NDArray[np.int32]], sentences: Mapping[str, object]
) -> Callable[[str, str], str | None]:
    """A function that finds an utterance of another sentence to replace the second of a pair."""
    speakers = unit_file.speakers
    groups: dict[str | None, list[str]] = {}
    for name in unit_file.ids:
        groups.setdefault(speakers.get(name), []).append(name)

    def others(speaker: str | None, than: str) -> list[str]:
        return [n for n in groups[speaker] if sentences[n] != sentences[than]]

    def find(a: str, b: str) -> str | None:
        there = speakers.get(b)
        near = [] if there is None else others(there, a)
        near = near or [
            n for s in groups if s is None or s != speakers.get(a) for n in others(s, a)
        ]
        return min(near, key=lambda n: (abs(len(merged[n]) - len(merged[b])), n), default=None)

    return find


def _levenshtein(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    return int(Levenshtein.distance(a.tolist(), b.tolist()))


def _relative(a: NDArray[np.int32], b: NDArray[np.int32]) -> float:
    return _levenshtein(a, b) / max(len(a), len(b))
