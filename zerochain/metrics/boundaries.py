"""Boundaries of units compared with boundaries of phones: precision, recall, F1, R-value.

A unit boundary and a phone boundary at most 20 ms apart are a hit; each takes part in at most one
hit, and the number of hits is the largest possible. The start and the end of a recording are no
boundaries: those within the tolerance of them are left out on both sides. F1 rewards placing
boundaries everywhere; the R-value (Räsänen, Laine and Altosaar 2009) penalises over-segmentation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted
from zerochain.formats.identity import check_same_ids
from zerochain.formats.phones import Phone
from zerochain.metrics.bootstrap import sums_interval
from zerochain.metrics.items import GAP_S
from zerochain.metrics.silences import SILENCES

Doubles = NDArray[np.float64]
Times = Mapping[str, Doubles]
"""Utterance → the times of its boundaries in seconds, ascending."""
Interval = tuple[float, float] | None
TOLERANCE_MS = 20.0
_MEASURES = ("precision", "recall", "f1", "over_segmentation", "r_value")


class NoBoundariesError(InputError):
    """There is no gold boundary, or none was found, so the scores are undefined."""


@dataclass(frozen=True)
class BoundaryScores:
    """All in %; over-segmentation is below 0 where there are too few boundaries."""

    precision: float
    recall: float
    f1: float
    over_segmentation: float
    """Found over gold boundaries, minus 1."""
    r_value: float
    """100 is perfect; over-segmentation lowers it."""
    intervals: Mapping[str, Interval]
    """95 % of each, over utterances; None for a single one."""
    n_hits: int
    n_found: int
    n_gold: int


def phone_boundaries(
    line: Sequence[Phone],
    *,
    silences: Collection[str] = SILENCES,
    shift_ms: float = 0.0,
) -> Doubles:
    """The starts of phones, and their ends before a silence or a gap: seconds, ascending."""
    spoken = [phone for phone in line if phone.phone not in silences]
    times = [phone.onset for phone in spoken]
    nexts = [phone.onset for phone in spoken[1:]] + [np.inf] * bool(spoken)
    for phone, next_onset in zip(spoken, nexts, strict=True):
        if next_onset - phone.offset > GAP_S:
            times.append(phone.offset)
    return np.sort(np.array(times, np.float64)) + shift_ms / 1000


def change_times(steps: NDArray[np.integer], step_ms: float) -> Doubles:
    """The times where the unit changes, in seconds: units of every step (T,) → (N - 1,)."""
    return (np.flatnonzero(np.diff(steps)) + 1) * step_ms / 1000


def boundary_scores(
    found: Times,
    gold: Times,
    durations_s: Mapping[str, float],
    *,
    tolerance_ms: float = TOLERANCE_MS,
    seed: int = 0,
) -> BoundaryScores:
    """Score the boundaries of many utterances, counted together.

    Args:
        found: of the units; all utterances here are scored.
        gold: of the phones.
        durations_s: seconds of the recordings.

    Raises:
        NoBoundariesError: there is no gold boundary, or none was found.
        InputError: an utterance without gold boundaries or duration.
    """
    check_same_ids(list(found), list(gold), "units", "alignments")
    check_same_ids(list(found), list(durations_s), "units", "durations")
    counts = np.array(
        [_count(found[n], gold[n], durations_s[n], tolerance_ms) for n in found], np.float64
    ).reshape(-1, 3)
    n_hits, n_found, n_gold = counts.sum(axis=0).astype(int).tolist()
    if n_gold == 0 or n_found == 0:
        raise NoBoundariesError(
            f"{counted(n_gold, 'gold boundary', 'gold boundaries')} and {n_found} of units in "
            f"{counted(len(found), 'utterance')}, so boundary scores are undefined",
            cause="there is only one phone, or all are silences"
            if n_gold == 0
            else "the units never change",
            remedy="score longer utterances" if n_gold == 0 else "score other units",
        )
    values = _measures(counts.sum(axis=0)[None])[0]

    def interval(i: int) -> Interval:
        return sums_interval(counts, lambda sums: _measures(sums)[:, i], seed=seed)

    intervals = {name: interval(i) for i, name in enumerate(_MEASURES)}
    scores = dict(zip(_MEASURES, values.tolist(), strict=True))
    return BoundaryScores(
        **scores, intervals=intervals, n_hits=n_hits, n_found=n_found, n_gold=n_gold
    )


def n_matches(found: Doubles, gold: Doubles, tolerance_ms: float = TOLERANCE_MS) -> int:
    """The largest number of pairs of a found and a gold time (seconds, ascending) within tolerance.

    Matching greedily from left to right is optimal: of two times that could take the same partner,
    the later one can still match all that follow. Times are compared in microseconds, so that 20 ms
    are 20 ms in spite of floating point.
    """
    a, b = _microseconds(found), _microseconds(gold)
    tolerance, hits, i, j = round(tolerance_ms * 1000), 0, 0, 0
    while i < len(a) and j < len(b):
        near = abs(a[i] - b[j]) <= tolerance
        hits += near
        first = a[i] < b[j]
        i, j = i + (near or first), j + (near or not first)
    return hits


def _count(
    found: Doubles, gold: Doubles, duration_s: float, tolerance_ms: float
) -> tuple[int, int, int]:
    """Hits, found and gold boundaries of an utterance."""
    edge = tolerance_ms / 1000
    a, b = (
        times[(times > edge + 1e-6) & (times < duration_s - edge - 1e-6)] for times in (found, gold)
    )
    return n_matches(a, b, tolerance_ms), len(a), len(b)


def _measures(counts: Doubles) -> Doubles:
    """`_MEASURES` in % of hits, found and gold boundaries (R, 3): (R, 5), NaN where undefined."""
    hits, found, gold = counts.T
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, over = hits / gold, found / gold - 1
        off = np.hypot(1 - recall, over) + np.abs(recall - 1 - over) / np.sqrt(2)
        rows = [hits / found, recall, 2 * hits / (found + gold), over, 1 - off / 2]
    return 100 * np.stack(rows, axis=1)


def _microseconds(times: Doubles) -> list[int]:
    made: list[int] = np.rint(times * 1e6).astype(np.int64).tolist()
    return made
