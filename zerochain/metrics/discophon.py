"""Phoneme discovery as the DiscoPhon benchmark scores it (Poli et al., Interspeech 2026).

It differs from `quality` in what counts. Silence is a phone like any other: it is in the mutual
information, in the strings whose edit distance makes the phone error rate, and its ends are
boundaries. PNMI and phone error rate look better so, since silence is easy to find. Equal
neighbours are merged in the gold string as well. Boundaries are those of units mapped to phones;
each gold boundary has a window of ±20 ms, and neighbouring windows meet in the middle.

Units are mapped to phones by their most frequent phone ("many-to-one", of 256 units), or by the
permutation of units and phones with the most frames in common ("one-to-one", of as many units as
phonemes, and one for silence). All numbers are equal to those of discophon 0.2.0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from zerochain.errors import InputError, counted, listed
from zerochain.formats.identity import check_same_ids
from zerochain.formats.phones import Phone
from zerochain.metrics.items import frame_span
from zerochain.metrics.quality import (
    TOLERANCE_MS,
    Aligned,
    BoundaryScores,
    NoBoundariesError,
    PhoneMap,
    Quality,
    phone_codes,
    scored_boundaries,
    unit_quality,
)
from zerochain.metrics.silences import SILENCES
from zerochain.metrics.translation import Estimate, error_rate

Assignment = Literal["many-to-one", "one-to-one"]
Ints = NDArray[np.int64]
FRAME_MS = 10
"""Step of the gold phones."""
SILENCE = "SIL"
"""What stands for silences and gaps among the phones."""
N_UNITS = 256
"""Units of the benchmark's systems in the many-to-one assignment."""


@dataclass(frozen=True, eq=False)
class Discovery:
    """How well units stand for phones, by the benchmark's definitions."""

    quality: Quality
    """PNMI, and what else a table of frames gives."""
    errors: Estimate
    """Phone error rate, in %."""
    boundaries: BoundaryScores | None
    """Of units mapped to phones; None where there is no boundary, found or gold."""
    aligned: Aligned
    mapping: PhoneMap


def phoneme_discovery(
    units: Mapping[str, NDArray[np.integer]],
    phones: Mapping[str, Sequence[str]],
    *,
    step_ms: float,
    n_units: int,
    n_phonemes: int | None = None,
    assignment: Assignment = "many-to-one",
    seed: int = 0,
) -> Discovery:
    """PNMI, phone error rate and boundaries of the same utterances' units and phones.

    Args:
        units: one per step, (T,).
        phones: one per 10 ms, silences included.
        step_ms: a multiple of 10 ms.
        n_units: K; units are below it.
        n_phonemes: of the language, without silence; None: those that occur.
        assignment: how units are mapped to phones. One-to-one takes n_phonemes + 1 at most.
        seed: of the intervals.

    Raises:
        InputError: ids that differ, units and phones whose lengths differ by more than a step, a
            step that is not a multiple, more phones than n_phonemes and silence, too many units for
            one-to-one, or only one phone.
    """
    check_same_ids(list(units), list(phones), "units", "alignments")
    check_same_ids(list(phones), list(units), "alignments", "units")
    repeat = _repeat(step_ms)
    order = list(dict.fromkeys(label for line in phones.values() for label in line))
    aligned = _aligned(units, phones, order, repeat, n_units)
    n_rows = _n_rows(order, n_phonemes)
    # The benchmark's order, which decides ties: by frequency and, of equals, the later seen first.
    table = np.zeros((n_rows, n_units), np.int64)
    table[: len(order)] = aligned.table[: len(order)]
    by_frequency = np.argsort(table.sum(axis=1), kind="stable")[::-1]
    of_unit = by_frequency[_assigned(table[by_frequency], assignment)]
    names = [*order, *(f"(phoneme {i})" for i in range(len(order), n_rows))]
    unseen = frozenset(np.flatnonzero(~table.any(axis=0)).tolist())
    mapping = PhoneMap(tuple(names), of_unit, unseen)
    spelled = {name: of_unit[units[name]] for name in phones}
    counts = [_matched(spelled[name], phones[name], repeat * FRAME_MS) for name in phones]
    return Discovery(
        quality=unit_quality(aligned, seed=seed),
        errors=error_rate(
            [_merged(spelled[name], names) for name in phones],
            [[_merged_labels(phones[name])] for name in phones],
            seed=seed,
        ),
        boundaries=_boundaries(counts, seed),
        aligned=aligned,
        mapping=mapping,
    )


def phone_frames(
    line: Sequence[Phone],
    n_steps: int,
    step_ms: float,
    *,
    silences: Collection[str] = SILENCES,
    shift_ms: float = 0.0,
) -> list[str]:
    """The phone of every 10 ms of an utterance, `SILENCE` in silences and gaps.

    They end with the last phone or, where that is more than a step from the end of the units, with
    these.

    Args:
        n_steps, step_ms: of the utterance's units.
        shift_ms: added to the times of the phones.
    """
    repeat = _repeat(step_ms)
    n_frames = n_steps * repeat
    if line:
        last = frame_span(0.0, max(0.0, line[-1].offset + shift_ms / 1000), FRAME_MS)[1]
        if abs(last - n_frames) <= repeat:
            n_frames = max(last, 1)
    names = list(dict.fromkeys(p.phone for p in line if p.phone not in silences))
    codes = {name: i for i, name in enumerate(names)}
    framed = phone_codes(list(line), codes, n_frames, FRAME_MS, shift_ms)
    return [[*names, SILENCE][code] for code in framed]


def _repeat(step_ms: float) -> int:
    """Frames of 10 ms in a step."""
    repeat = round(step_ms / FRAME_MS)
    if repeat < 1 or repeat * FRAME_MS != step_ms:
        raise InputError(
            f"units of {step_ms:g} ms, but DiscoPhon's phones last multiples of {FRAME_MS} ms",
            remedy=f"encode with a step that is a multiple of {FRAME_MS} ms",
        )
    return repeat


def _aligned(
    units: Mapping[str, NDArray[np.integer]],
    phones: Mapping[str, Sequence[str]],
    order: Sequence[str],
    repeat: int,
    n_units: int,
) -> Aligned:
    """Phones and units frame by frame, as far as both go."""
    code = {label: i for i, label in enumerate(order)}
    framed: dict[str, Ints] = {}
    repeated: dict[str, Ints] = {}
    apart = []
    for name, line in phones.items():
        steps = np.asarray(units[name], np.int64)
        if len(steps) and not 0 <= steps.min() <= steps.max() < n_units:
            raise InputError(
                f"units from {steps.min()} to {steps.max()} in {name!r}, but n_units={n_units}",
                remedy="give n_units= above the largest unit",
            )
        n = min(len(line), len(steps) * repeat)
        if n == 0 or max(len(line), len(steps) * repeat) - n > repeat:
            apart.append(f"{name} ({len(steps) * repeat * FRAME_MS} ms, {len(line) * FRAME_MS} ms)")
        framed[name] = np.array([code[label] for label in line[:n]], np.int64)
        repeated[name] = np.repeat(steps, repeat)[:n]
    if apart:
        raise InputError(
            f"units and phones of {counted(len(apart), 'utterance')} differ in length by more than "
            f"a step: {listed(apart)}",
            cause="the step of the units is another, or they are of other recordings",
            remedy="give the units' own step, or encode these recordings",
        )
    return Aligned(tuple(order), framed, repeated, n_units)


def _n_rows(order: Sequence[str], n_phonemes: int | None) -> int:
    """Phonemes of the language and silence."""
    if n_phonemes is None:
        return max(len(order), 1 + sum(label not in SILENCES for label in order))
    if len(order) > n_phonemes + 1:
        raise InputError(
            f"{len(order)} labels ({listed(sorted(order))}), but n_phonemes={n_phonemes} and a "
            "silence",
            remedy="give more phonemes, or leave n_phonemes= out",
        )
    return n_phonemes + 1


def _assigned(table: Ints, assignment: Assignment) -> Ints:
    """The row of each unit, (K,), from frames by phone and unit (P + 1, K)."""
    if assignment == "many-to-one":
        return np.asarray(table.argmax(axis=0))
    n_rows, n_units = table.shape
    if n_units > n_rows:
        raise InputError(
            f"{n_units} units can't be assigned one-to-one to {n_rows - 1} phonemes and silence",
            remedy=f"discover {n_rows} units, or use assignment='many-to-one'",
        )
    square = np.zeros((n_rows, n_rows), np.int64)
    square[:, :n_units] = table
    rows, columns = linear_sum_assignment(square, maximize=True)
    of_unit = np.empty(n_rows, np.int64)
    of_unit[columns] = rows
    return of_unit[:n_units]


def _merged(codes: Ints, names: Sequence[str]) -> list[str]:
    """The phones of an utterance's steps (T,), runs merged."""
    return [names[code] for code in codes[np.diff(codes, prepend=-1) != 0]]


def _merged_labels(line: Sequence[str]) -> list[str]:
    return [label for i, label in enumerate(line) if i == 0 or label != line[i - 1]]


def _boundaries(counts: Sequence[tuple[int, int, int]], seed: int) -> BoundaryScores | None:
    try:
        return scored_boundaries(np.array(counts, np.float64), seed=seed)
    except NoBoundariesError:
        return None


def _matched(codes: Ints, line: Sequence[str], step_ms: int) -> tuple[int, int, int]:
    """Hits, found and gold boundaries of an utterance; times are whole milliseconds.

    A gold boundary is hit if any found one is in its window; the middle between two windows that
    would overlap belongs to the earlier one.
    """
    found = (np.flatnonzero(np.diff(codes)) + 1) * step_ms
    changes = [i for i in range(1, len(line)) if line[i] != line[i - 1]]
    gold = np.array(changes, np.int64) * FRAME_MS
    lower, upper = np.maximum(gold - int(TOLERANCE_MS), 0), gold + int(TOLERANCE_MS)
    middles = (gold[:-1] + gold[1:]) // 2
    upper[:-1] = np.minimum(upper[:-1], middles)
    lower[1:] = np.maximum(lower[1:], middles + 1)
    hits = np.searchsorted(found, lower) < np.searchsorted(found, upper, side="right")
    return int(hits.sum()), len(found), len(gold)
