"""Units beside gold phones, frame by frame: purities, mutual information, phone error rate.

Frames last 10 ms unless said otherwise, whatever the units' step, so that units of different
steps compare; a frame has the phone and the unit that its middle lies in. Frames in silences, and
where the alignment names no phone, have none and count for no measure.

How well units spell the phones: each unit stands for the phone that it is most often in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from zerochain.errors import InputError
from zerochain.formats.identity import check_same_ids
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.units import UnitFile, run_lengths
from zerochain.metrics.bitrate import entropy
from zerochain.metrics.bootstrap import REPLICATES, centred_interval, histogram_replicates
from zerochain.metrics.items import frame_span
from zerochain.metrics.silences import SILENCES
from zerochain.metrics.translation import Estimate, error_rate

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
FRAME_MS = 10.0
_ROLLS = 10
_ROUNDING = 1e-9  # bits: the entropy of a single symbol isn't always quite 0
_MEASURES = ("phone_purity", "cluster_purity", "pnmi", "completeness", "v_measure")


@dataclass(frozen=True, eq=False)
class Aligned:
    """The phone and the unit of every frame of many utterances."""

    names: tuple[str, ...]
    """The phones, sorted. The code of "no phone" is their number, P."""
    phones: Mapping[str, Ints]
    """Utterance → code of each frame's phone (T,)."""
    units: Mapping[str, Ints]
    """Utterance → each frame's unit (T,)."""
    n_units: int

    @cached_property
    def histograms(self) -> sparse.csr_array:
        """Frames of each utterance by phone and unit: (utterances, (P + 1) · K)."""
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
        """Frames by phone and unit, (P + 1, K); the last row is those without a phone."""
        summed = np.asarray(self.histograms.sum(axis=0)).reshape(-1, self.n_units)
        return summed.astype(np.int64)


@dataclass(frozen=True)
class Measure:
    """A measure between 0 and 1."""

    value: float
    interval: tuple[float, float] | None
    """95 %, over utterances; None for a single one."""
    chance: float
    """What the same units give when they are moved along the recordings, away from their place."""


@dataclass(frozen=True)
class Quality:
    """How units and phones tell of each other.

    Homogeneity (Rosenberg and Hirschberg 2007) is the same number as PNMI, and V-measure the same
    as NMI by the arithmetic mean.
    """

    phone_purity: Measure
    """Share of frames that are of their unit's most frequent phone (HuBERT, Hsu et al. 2021)."""
    cluster_purity: Measure
    """Share of frames that have their phone's most frequent unit."""
    pnmi: Measure
    """I(phone; unit) / H(phone): the share of what there is to know that units tell."""
    completeness: Measure | None
    """I(phone; unit) / H(unit); None where there is one unit only, which leaves it undefined."""
    v_measure: Measure
    """Harmonic mean of homogeneity and completeness: 2 I / (H(phone) + H(unit))."""
    n_frames: int
    n_phones: int
    n_used: int
    """Units that occur in phones."""
    n_silent: int
    """Frames left out: in silences, or without a label."""


def align_frames(
    unit_file: UnitFile,
    phones: Phones,
    *,
    silences: Collection[str] = SILENCES,
    frame_ms: float = FRAME_MS,
    shift_ms: float = 0.0,
) -> Aligned:
    """Lay units and gold phones side by side.

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
        name: _phone_codes(line, codes, len(units[name]), frame_ms, shift_ms)
        for name, line in lines.items()
    }
    if not any((one < len(names)).any() for one in framed.values()):
        raise InputError(
            f"no frame of {len(lines)} utterances lies in a phone",
            path=phones.source or None,
            cause="every label counts as silence, or the times are not those of these units",
            remedy="check the alignments, --silence and --shift-ms",
        )
    return Aligned(names, framed, units, unit_file.n_units)


def unit_quality(aligned: Aligned, *, seed: int = 0) -> Quality:
    """Purities and mutual information of units and phones, with intervals and chance.

    Raises:
        InputError: there is one phone only, so that there is nothing to tell.
    """
    n_phones, k = len(aligned.names), aligned.n_units
    table = aligned.table[:n_phones]
    if (table.sum(axis=1) > 0).sum() < 2:
        raise InputError(
            "all frames are of one phone, so that units have nothing to tell of phones",
            cause="the alignment has one label, or all others count as silence",
            remedy="check the alignments and --silence",
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


def _framed(steps: NDArray[np.int32], step_ms: float, frame_ms: float) -> Ints:
    """The unit that the middle of each frame lies in: units of every step (T,) → (T',)."""
    n_frames = frame_span(0.0, len(steps) * step_ms / 1000, frame_ms)[1]
    middles = (np.arange(n_frames) + 0.5) * frame_ms
    # Rounded to a millionth of a step: 0.035 s is 3.5 steps of 10 ms, and no float is.
    places = np.floor(np.round(middles / step_ms, 6)).astype(np.int64)
    return steps[np.minimum(places, len(steps) - 1)].astype(np.int64)


def _phone_codes(
    line: list[Phone], codes: Mapping[str, int], n_frames: int, frame_ms: float, shift_ms: float
) -> Ints:
    """The code of each frame's phone (T,): of two that meet in its middle, the later one's."""
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
    """`_MEASURES` (5,) where units have their frequencies and durations but not their place.

    The units of all recordings, one after the other, are moved along by a random time; the mean
    of ten.
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


@dataclass(frozen=True, eq=False)
class PhoneMap:
    """Which phone each unit stands for: many units to one phone."""

    names: tuple[str, ...]
    of_unit: NDArray[np.int64]
    """(K,) codes into `names`; their number stands for no phone."""
    unseen: frozenset[int]
    """Units that nothing was learned of, which stand for no phone."""

    def steps(self, unit_file: UnitFile, name: str) -> NDArray[np.int64]:
        """Codes of the phones of an utterance's steps (T,)."""
        return self.of_unit[unit_file.steps(name)]

    def spelled(self, unit_file: UnitFile, name: str) -> list[str]:
        """The phones of an utterance: runs are merged, then what is no phone is left out."""
        codes, _ = run_lengths(self.steps(unit_file, name).astype(np.int32))
        return [self.names[code] for code in codes if code < len(self.names)]


def many_to_one(aligned: Aligned) -> PhoneMap:
    """Map each unit to its most frequent phone, or to none if it is mostly in silence.

    Of phones that are equally frequent the first in the alphabet is taken.
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
    """Levenshtein distance of mapped units and gold phones over the number of gold phones, in %.

    Runs of one phone are merged in the units and not in the gold string, where two neighbours of
    one kind are two phones. Insertions can take it above 100.

    Raises:
        InputError: an utterance without an alignment, or no phone at all.
    """
    check_same_ids(unit_file.ids, phones.by_id, "units", "alignments")
    gold = [
        [[p.phone for p in phones.by_id[name] if p.phone not in silences]] for name in unit_file.ids
    ]
    spelled = [mapping.spelled(unit_file, name) for name in unit_file.ids]
    return error_rate(spelled, gold, seed=seed)
