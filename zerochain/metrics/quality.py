"""Units compared with gold phones: purities, PNMI, phone error rate, boundaries.

Purities and mutual information are computed on frames, following HuBERT (Hsu et al. 2021). Frames
last 10 ms whatever the units' step, so that units of different steps compare; a frame has the phone
and the unit at its middle. Frames in silences, or where the alignment has no phone, are left out.
All these measures rise with the number of units; the chance level, of the same units at shifted
times, shows by how much.

For the phone error rate each unit is mapped to its most frequent phone ("many to one").

Boundaries have precision, recall, F1 and R-value. A unit boundary and a phone boundary at most 20
ms apart are a hit; each takes part in at most one hit, and the number of hits is the largest
possible. The start and the end of a recording are no boundaries: those within the tolerance of them
are left out on both sides. F1 rewards placing boundaries everywhere; the R-value (Räsänen, Laine
and Altosaar 2009) penalises over-segmentation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from zerochain.errors import InputError, counted
from zerochain.formats.identity import check_same_ids
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.units import UnitFile, run_lengths
from zerochain.metrics.bitrate import entropy
from zerochain.metrics.bootstrap import (
    REPLICATES,
    centred_interval,
    histogram_replicates,
    sums_interval,
)
from zerochain.metrics.items import frame_span, is_pause
from zerochain.metrics.silences import SILENCES
from zerochain.metrics.translation import Estimate, error_rate

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
FRAME_MS = 10.0
_ROLLS = 10
_ROUNDING = 1e-9  # bits: the computed entropy of a single symbol isn't always exactly 0
_MEASURES = ("phone_purity", "cluster_purity", "pnmi", "completeness", "v_measure")


@dataclass(frozen=True, eq=False)
class Aligned:
    """The phone and the unit of every frame of many utterances."""

    names: tuple[str, ...]
    """The P phones, sorted. The code of "no phone" is P."""
    phones: Mapping[str, Ints]
    """Utterance → code of each frame's phone (T,)."""
    units: Mapping[str, Ints]
    """Utterance → each frame's unit (T,)."""
    n_units: int

    @cached_property
    def histograms(self) -> sparse.csr_array:
        """Number of frames of each utterance by phone and unit: (utterances, (P + 1) · K)."""
        size = (len(self.names) + 1) * self.n_units
        cells = [self.phones[name] * self.n_units + self.units[name] for name in self.phones]
        rows = np.repeat(np.arange(len(cells)), [len(one) for one in cells])
        columns = np.concatenate(cells)
        counted = sparse.coo_array(
            (np.ones(len(columns)), (rows, columns)), shape=(len(cells), size)
        )
        return counted.tocsr()

    @cached_property
    def table(self) -> Ints:
        """Number of frames by phone and unit, (P + 1, K); the last row is for no phone."""
        summed = np.asarray(self.histograms.sum(axis=0)).reshape(-1, self.n_units)
        return summed.astype(np.int64)


def align_frames(
    unit_file: UnitFile,
    phones: Phones,
    *,
    silences: Collection[str] = SILENCES,
    frame_ms: float = FRAME_MS,
    shift_ms: float = 0.0,
) -> Aligned:
    """Align units and gold phones frame by frame.

    Args:
        silences: labels that are no phones.
        shift_ms: added to the times of the phones: automatic alignments can be late.

    Raises:
        InputError: an utterance without an alignment, or no frame in a phone.
    """
    check_same_ids(unit_file.ids, phones.by_id, "units", "alignments")
    lines = {name: phones.by_id[name] for name in unit_file.ids}
    labels = {p.phone for line in lines.values() for p in line}
    names = tuple(sorted(label for label in labels if label not in silences))
    codes = {name: i for i, name in enumerate(names)}
    units = {name: _framed(unit_file.steps(name), unit_file.step_ms, frame_ms) for name in lines}
    framed = {
        name: phone_codes(line, codes, len(units[name]), frame_ms, shift_ms)
        for name, line in lines.items()
    }
    if not any((one < len(names)).any() for one in framed.values()):
        raise InputError(
            f"no frame of {counted(len(lines), 'utterance')} lies in a phone",
            path=phones.source or None,
            cause="every label counts as silence, or the times don't match the units",
            remedy="check the alignments, the list of silences and shift_ms=",
        )
    return Aligned(names, framed, units, unit_file.n_units)


@dataclass(frozen=True)
class Measure:
    """A measure between 0 and 1."""

    value: float
    interval: tuple[float, float] | None
    """95 %, over utterances; None for a single one."""
    chance: float
    """The measure of the same units after a circular shift in time."""


@dataclass(frozen=True)
class Quality:
    """How well units predict phones, and phones units.

    Homogeneity (Rosenberg and Hirschberg 2007) is the same number as PNMI; the V-measure is the
    same as NMI with the arithmetic mean.
    """

    phone_purity: Measure
    """Share of frames with the most frequent phone of their unit."""
    cluster_purity: Measure
    """Share of frames with the most frequent unit of their phone."""
    pnmi: Measure
    """I(phone; unit) / H(phone): the share of the phones' entropy that units explain."""
    completeness: Measure | None
    """I(phone; unit) / H(unit); None, undefined, with a single unit."""
    v_measure: Measure
    """Harmonic mean of homogeneity and completeness: 2 I / (H(phone) + H(unit))."""
    n_frames: int
    n_phones: int
    n_used: int
    """Number of units that occur in phones."""
    n_silent: int
    """Number of frames left out: in silences, or without a label."""


def unit_quality(aligned: Aligned, *, seed: int = 0) -> Quality:
    """Purities and mutual information of units and phones, with intervals and chance.

    Raises:
        InputError: there is only one phone, which leaves nothing to predict.
    """
    n_phones, k = len(aligned.names), aligned.n_units
    table = aligned.table[:n_phones]
    if (table.sum(axis=1) > 0).sum() < 2:
        raise InputError(
            "all frames are of one phone, which leaves nothing to predict",
            cause="the alignment has one label, or all others count as silence",
            remedy="check the alignments and the list of silences",
        )
    within = aligned.histograms[:, : n_phones * k]
    values = _measures(table.astype(np.float64)[None])[0]
    chances = _chances(aligned, seed)
    replicates = np.full((REPLICATES, len(_MEASURES)), np.nan)
    if len(aligned.phones) > 1:
        replicates = histogram_replicates(
            within, lambda drawn: _measures(drawn.reshape(-1, n_phones, k)), seed=seed
        )

    def measure(i: int) -> Measure:
        value = float(values[i])
        known = replicates[np.isfinite(replicates[:, i]), i]
        interval = centred_interval(known, value, 1.0) if 2 * len(known) > REPLICATES else None
        return Measure(value, interval, float(chances[i]))

    pure, clustered, told, complete, balanced = range(len(_MEASURES))
    return Quality(
        phone_purity=measure(pure),
        cluster_purity=measure(clustered),
        pnmi=measure(told),
        completeness=measure(complete) if np.isfinite(values[complete]) else None,
        v_measure=measure(balanced),
        n_frames=int(table.sum()),
        n_phones=int((table.sum(axis=1) > 0).sum()),
        n_used=int((table.sum(axis=0) > 0).sum()),
        n_silent=int(aligned.table[n_phones:].sum()),
    )


@dataclass(frozen=True, eq=False)
class PhoneMap:
    """The phone that each unit stands for: many units to one phone."""

    names: tuple[str, ...]
    of_unit: NDArray[np.int64]
    """(K,) codes into `names`; P stands for no phone."""
    unseen: frozenset[int]
    """Units that did not occur where the map was learned; they stand for no phone."""

    def steps(self, unit_file: UnitFile, name: str) -> NDArray[np.int64]:
        """Codes of the phones of an utterance's steps (T,)."""
        return self.of_unit[unit_file.steps(name)]

    def spelled(self, unit_file: UnitFile, name: str) -> list[str]:
        """The phones of an utterance: runs are merged first, then "no phone" is left out."""
        codes, _ = run_lengths(self.steps(unit_file, name).astype(np.int32))
        return [self.names[code] for code in codes if code < len(self.names)]


def many_to_one(aligned: Aligned) -> PhoneMap:
    """Map each unit to its most frequent phone, or to none if it is mostly in silence.

    Of equally frequent phones the alphabetically first is taken.
    """
    table = aligned.table
    seen = table.sum(axis=0) > 0
    of_unit = np.where(seen, table.argmax(axis=0), len(aligned.names))
    return PhoneMap(aligned.names, of_unit, frozenset(np.flatnonzero(~seen).tolist()))


def phone_error_rate(
    unit_file: UnitFile,
    phones: Phones,
    mapping: PhoneMap,
    *,
    silences: Collection[str] = SILENCES,
    seed: int = 0,
) -> Estimate:
    """Levenshtein distance of mapped units and gold phones, divided by the gold phones, in %.

    Runs of one phone are merged in the mapped units, but not in the gold string, where two equal
    neighbours are two phones. With many insertions it exceeds 100.

    Raises:
        InputError: an utterance without an alignment, or no phone at all.
    """
    check_same_ids(unit_file.ids, phones.by_id, "units", "alignments")
    gold = [
        [[p.phone for p in phones.by_id[name] if p.phone not in silences]] for name in unit_file.ids
    ]
    spelled = [mapping.spelled(unit_file, name) for name in unit_file.ids]
    return error_rate(spelled, gold, seed=seed)


def _framed(steps: NDArray[np.int32], step_ms: float, frame_ms: float) -> Ints:
    """The unit at the middle of each frame: units of every step (T,) → (T',)."""
    n_frames = frame_span(0.0, len(steps) * step_ms / 1000, frame_ms)[1]
    middles = (np.arange(n_frames) + 0.5) * frame_ms
    # Rounded to a millionth of a step, since 0.035 s is not exactly 3.5 steps of 10 ms as a float.
    places = np.floor(np.round(middles / step_ms, 6)).astype(np.int64)
    return steps[np.minimum(places, len(steps) - 1)].astype(np.int64)


def phone_codes(
    line: list[Phone], codes: Mapping[str, int], n_frames: int, frame_ms: float, shift_ms: float
) -> Ints:
    """The code of each frame's phone (T,); of two that meet at its middle, the later one's."""
    framed = np.full(n_frames, len(codes), np.int64)
    for phone in line:
        onset, offset = phone.onset + shift_ms / 1000, phone.offset + shift_ms / 1000
        first, last = frame_span(onset, offset, frame_ms)
        framed[max(first, 0) : max(last, 0)] = codes.get(phone.phone, len(codes))
    return framed


def _measures(joint: Doubles) -> Doubles:
    """`_MEASURES` of counts by phone and unit (R, P, K): (R, 5), NaN where undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):  # resampled sets may hold no phone
        total = joint.sum(axis=(1, 2))
        by_phone, by_unit = (
            np.where(bits < _ROUNDING, 0.0, bits)
            for bits in (entropy(joint.sum(axis=2)), entropy(joint.sum(axis=1)))
        )
        shared = np.maximum(by_phone + by_unit - entropy(joint.reshape(len(joint), -1)), 0.0)
        rows = [
            joint.max(axis=1).sum(axis=1) / total,
            joint.max(axis=2).sum(axis=1) / total,
            shared / by_phone,
            np.where(by_unit > 0, shared / by_unit, np.nan),
            2 * shared / (by_phone + by_unit),
        ]
    return np.stack(rows, axis=1)


def _chances(aligned: Aligned, seed: int) -> Doubles:
    """`_MEASURES` (5,) of units with the same frequencies and durations, but unrelated to phones.

    The units of all recordings, end to end, are shifted circularly by a random time; the mean of
    ten shifts.
    """
    n_phones, k = len(aligned.names), aligned.n_units
    phones = np.concatenate([*aligned.phones.values()])
    units = np.concatenate([aligned.units[name] for name in aligned.phones])
    units, phones = units[phones < n_phones], phones[phones < n_phones]
    moves = np.random.default_rng(seed).integers(1, len(phones), _ROLLS)
    tables = [
        np.bincount(phones * k + np.roll(units, move), minlength=n_phones * k) for move in moves
    ]
    joint = np.stack(tables).astype(np.float64).reshape(-1, n_phones, k)
    return np.asarray(_measures(joint).mean(axis=0))


Times = Mapping[str, Doubles]
"""Utterance → the times of its boundaries in seconds, ascending."""
Interval = tuple[float, float] | None
TOLERANCE_MS = 20.0
_BOUNDARY_MEASURES = ("precision", "recall", "f1", "over_segmentation", "r_value")


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
        if is_pause(phone.offset, next_onset):
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
    return scored_boundaries(counts, seed=seed)


def scored_boundaries(counts: Doubles, *, seed: int = 0) -> BoundaryScores:
    """Boundary scores from the hits, found and gold boundaries of each utterance, (n, 3).

    Raises:
        NoBoundariesError: there is no gold boundary, or none was found.
    """
    n_hits, n_found, n_gold = counts.sum(axis=0).astype(int).tolist()
    if n_gold == 0 or n_found == 0:
        raise NoBoundariesError(
            f"{counted(n_gold, 'gold boundary', 'gold boundaries')} and {n_found} of units in "
            f"{counted(len(counts), 'utterance')}, so boundary scores are undefined",
            cause="there is only one phone, or all are silences"
            if n_gold == 0
            else "the units never change",
            remedy="score longer utterances" if n_gold == 0 else "score other units",
        )
    values = _boundary_measures(counts.sum(axis=0)[None])[0]

    def interval(i: int) -> Interval:
        return sums_interval(counts, lambda sums: _boundary_measures(sums)[:, i], seed=seed)

    intervals = {name: interval(i) for i, name in enumerate(_BOUNDARY_MEASURES)}
    scores = dict(zip(_BOUNDARY_MEASURES, values.tolist(), strict=True))
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


def _boundary_measures(counts: Doubles) -> Doubles:
    """Hits, found and gold boundaries (R, 3) → `_BOUNDARY_MEASURES` in % (R, 5), NaN: undefined."""
    hits, found, gold = counts.T
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, over = hits / gold, found / gold - 1
        off = np.hypot(1 - recall, over) + np.abs(recall - 1 - over) / np.sqrt(2)
        rows = [hits / found, recall, 2 * hits / (found + gold), over, 1 - off / 2]
    return 100 * np.stack(rows, axis=1)


def _microseconds(times: Doubles) -> list[int]:
    made: list[int] = np.rint(times * 1e6).astype(np.int64).tolist()
    return made
