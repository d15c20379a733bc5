"""Units compared with gold phones: what `zerochain score quality` does, and its tables.

Which phone a unit stands for (many units to one phone) is learned on what is scored, as is usual,
or on another split: then units that were not seen there stand for no phone. Boundaries are scored
twice: where units change, and where the phones change that units were mapped to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from zerochain.errors import InputError, counted, listed
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import file_id
from zerochain.formats.phones import PHONES_FILE, Phones
from zerochain.formats.scores import Score
from zerochain.formats.text_files import write_csv
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics import discophon, names
from zerochain.metrics.discophon import Assignment, Discovery, phone_frames, phoneme_discovery
from zerochain.metrics.names import Metric
from zerochain.metrics.quality import (
    FRAME_MS,
    TOLERANCE_MS,
    Aligned,
    BoundaryScores,
    Measure,
    NoBoundariesError,
    PhoneMap,
    Quality,
    align_frames,
    boundary_scores,
    change_times,
    many_to_one,
    phone_boundaries,
    phone_error_rate,
    unit_quality,
)
from zerochain.metrics.silences import SILENCES, recorded
from zerochain.metrics.translation import Estimate
from zerochain.scoring.common import (
    Common,
    Scored,
    exclusion_notes,
    gold_phones,
    selected_units,
)

NO_PHONE = "(no phone)"
_SHOWN = 3  # phones per unit in unit_to_phone.csv
_QUALITY: Mapping[Metric, Callable[[Quality], Measure | None]] = {
    names.PNMI: lambda found: found.pnmi,
    names.V_MEASURE: lambda found: found.v_measure,
    names.COMPLETENESS: lambda found: found.completeness,
    names.PHONE_PURITY: lambda found: found.phone_purity,
    names.CLUSTER_PURITY: lambda found: found.cluster_purity,
}
_BOUNDARIES: Mapping[Metric, str] = {
    names.BOUNDARY_PRECISION: "precision",
    names.BOUNDARY_RECALL: "recall",
    names.BOUNDARY_F1: "f1",
    names.OVER_SEGMENTATION: "over_segmentation",
    names.R_VALUE: "r_value",
}
"""Metric → the field of `BoundaryScores`."""


def score_quality(
    units: Path,
    corpus: Path,
    *,
    split: str | None = None,
    map_units: Path | None = None,
    map_split: str | None = None,
    silences: Collection[str] = SILENCES,
    shift_ms: float = 0.0,
    tables: Path | None = None,
    protocol: Literal["phones", "discophon"] = "phones",
    assignment: Assignment = "many-to-one",
    n_phonemes: int | None = None,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """Purities, mutual information, phone error rate and boundaries of a unit file.

    Args:
        split: score only this split.
        protocol: "phones" leaves silence out; "discophon" is the benchmark's, where it counts as a
            phone, see `zerochain.metrics.discophon`.
        assignment: of units to phones; one-to-one only by protocol discophon.
        n_phonemes: only of protocol discophon: phonemes of the language; None: those that occur.
        map_units, map_split: learn which phone a unit stands for on these units of the same
            model, or on this split; None: on what is scored.
        silences: labels that are no phones.
        shift_ms: added to the times of the phones: automatic alignments can be late.
        tables: a folder for the tables of phones by units.

    Raises:
        ModelMismatchError: `map_units` are of another unit model.
        InputError: no gold phones, ids that don't join, units that last longer than the
            recordings, or only one phone.
    """
    _check_protocol(protocol, assignment, n_phonemes, map_units, map_split)
    whole, given = read_corpus(corpus), read_units(units)
    phones = gold_phones(whole, silences)
    scored, notes, unaligned = _aligned_part(given, whole, phones, split)
    common = Common(
        system or given.method,
        {"units": given.id, "corpus": whole.id, "phones": file_id(whole.home / PHONES_FILE)},
        {
            "split": split,
            "silences": recorded(silences),
            "shift_ms": shift_ms,
            "step_ms": given.step_ms,
            "n_utterances": len(scored.units),
            "exclusions": {"utterances_without_alignment": unaligned} if unaligned else {},
            "seed": seed,
        },
    )
    gold = _Gold(whole, phones, silences, shift_ms)
    if protocol == "discophon":
        rows, more = _by_discophon(scored, gold, assignment, n_phonemes, tables, common)
    else:
        others = None
        if map_units is not None or map_split is not None:
            others = given if map_units is None else read_units(map_units)
        rows, more = _by_phones(scored, gold, others, map_split, tables, common)
    return Scored(rows, [*notes, *more, *exclusion_notes(rows)])


def _check_protocol(
    protocol: str,
    assignment: Assignment,
    n_phonemes: int | None,
    map_units: Path | None,
    map_split: str | None,
) -> None:
    """Refuse options of the other protocol."""
    if protocol == "phones" and (assignment != "many-to-one" or n_phonemes is not None):
        raise InputError(
            "assignment= and n_phonemes= only apply to protocol='discophon'",
            remedy="leave them out, or give protocol='discophon'",
        )
    if protocol == "discophon" and (map_units is not None or map_split is not None):
        raise InputError(
            "DiscoPhon assigns units on what is scored: map_units= and map_split= don't apply",
            remedy="leave them out, or give protocol='phones'",
        )


@dataclass(frozen=True)
class _Gold:
    """The gold phones of a corpus, and how they are read."""

    corpus: Corpus
    phones: Phones
    silences: Collection[str]
    shift_ms: float

    def frames(self, scored: UnitFile) -> dict[str, list[str]]:
        """The phones of each utterance, one per step of its units, as DiscoPhon has them."""
        return {
            name: phone_frames(
                self.phones.by_id[name],
                len(scored.steps(name)),
                scored.step_ms,
                silences=self.silences,
                shift_ms=self.shift_ms,
            )
            for name in sorted(scored.ids)
        }

    def aligned(self, units: UnitFile) -> Aligned:
        """Units beside phones, frame by frame."""
        return align_frames(units, self.phones, silences=self.silences, shift_ms=self.shift_ms)


def _by_discophon(
    scored: UnitFile,
    gold: _Gold,
    assignment: Assignment,
    n_phonemes: int | None,
    tables: Path | None,
    common: Common,
) -> tuple[list[Score], list[str]]:
    """Scores and notes by the benchmark's protocol."""
    discovered = phoneme_discovery(
        {name: scored.steps(name) for name in sorted(scored.ids)},
        gold.frames(scored),
        step_ms=scored.step_ms,
        n_units=scored.n_units,
        n_phonemes=n_phonemes,
        assignment=assignment,
        seed=common.options["seed"],
    )
    notes = comparability(scored.n_units, assignment)
    if discovered.boundaries is None:
        notes.append("boundary scores are undefined and left out: there is no boundary")
    if tables is not None:
        notes.append(write_phone_tables(tables, discovered.aligned, discovered.mapping))
    return discovery_scores(discovered, assignment, common), notes


def _by_phones(
    scored: UnitFile,
    gold: _Gold,
    others: UnitFile | None,
    map_split: str | None,
    tables: Path | None,
    common: Common,
) -> tuple[list[Score], list[str]]:
    """Scores and notes without silence.

    Args:
        others: units to learn the phones of units on, of split `map_split`; None: what is scored.
    """
    seed, notes = common.options["seed"], []
    aligned = gold.aligned(scored)
    learned, learned_on = aligned, "what is scored"
    if others is not None:
        others.check_model(scored.model_id, "mapping")
        part, _, _ = _aligned_part(others, gold.corpus, gold.phones, map_split)
        learned = gold.aligned(part)
        # Part of the protocol's name: scores of older files compare only if it stays as it is.
        learned_on = f"split {map_split}" if map_split else counted(len(part.units), "utterance")
    mapping = many_to_one(learned)
    quality = unit_quality(aligned, seed=seed)
    if quality.completeness is None:
        notes.append("completeness is undefined and left out: there is only one unit")
    errors = phone_error_rate(scored, gold.phones, mapping, silences=gold.silences, seed=seed)
    boundaries, undefined = _boundaries(scored, gold, mapping, common)
    rows = [
        *_quality_scores(quality, common),
        _phone_error_score(errors, mapping, learned_on, scored, common),
        *boundaries,
    ]
    notes += undefined
    if tables is not None:
        notes.append(write_phone_tables(tables, aligned, mapping))
    return rows, notes


def _boundaries(
    scored: UnitFile, gold: _Gold, mapping: PhoneMap, common: Common
) -> tuple[list[Score], list[str]]:
    """Scores of the boundaries of units, and of the phones that they stand for; and notes."""
    seconds = {u.id: u.duration for u in gold.corpus.utterances}
    wanted = {
        name: phone_boundaries(
            gold.phones.by_id[name], silences=gold.silences, shift_ms=gold.shift_ms
        )
        for name in scored.ids
    }
    rows: list[Score] = []
    notes = []
    for of, variant, steps in (
        ("units", lambda metric: metric, scored.steps),
        ("units mapped to phones", names.mapped, partial(mapping.steps, scored)),
    ):
        found = {name: change_times(steps(name), scored.step_ms) for name in scored.ids}
        try:
            one = boundary_scores(found, wanted, seconds, seed=common.options["seed"])
        except NoBoundariesError as error:
            notes.append(f"boundary scores of {of} are undefined and left out: {error.found}")
        else:
            rows += _boundary_scores(one, common, of=of, variant=variant)
    return rows, notes


def discovery_scores(
    found: Discovery, assignment: Assignment, common: Common, where: str = ""
) -> list[Score]:
    """The scores of DiscoPhon's protocol; what belongs to units mapped to phones says so.

    Args:
        where: the language and split, which become part of the protocol.
    """
    protocol = f"discophon {assignment}" + (f", {where}" if where else "")
    quality, errors = found.quality, found.errors
    counts = {
        "frame_ms": discophon.FRAME_MS,
        "n_phones": quality.n_phones,
        "n_used": quality.n_used,
    }
    pnmi = quality.pnmi
    rows = [
        common.score(
            names.PNMI,
            pnmi.value,
            pnmi.interval,
            quality.n_frames,
            protocol,
            chance=pnmi.chance,
            n_of="frames",
            **counts,
        ),
        common.score(
            names.PHONE_ERROR_RATE,
            errors.value,
            errors.interval,
            errors.n,
            protocol,
            n_of="utterances",
        ),
    ]
    if found.boundaries is not None:
        rows += _boundary_scores(
            found.boundaries,
            common,
            of="units mapped to phones",
            variant=names.mapped,
            protocol=protocol,
        )
    return rows


def comparability(n_units: int, assignment: Assignment) -> list[str]:
    """A note where a number of units is not that of the benchmark."""
    if assignment == "one-to-one" or n_units <= discophon.N_UNITS:
        return []
    return [
        f"DiscoPhon's many-to-one scores are of {discophon.N_UNITS} units at most, not of {n_units}"
    ]


def _quality_scores(found: Quality, common: Common) -> list[Score]:
    options = {
        "n_of": "frames",
        "frame_ms": FRAME_MS,
        "n_phones": found.n_phones,
        "n_used": found.n_used,
        "frames_without_phone": found.n_silent,
    }
    protocol, n = f"{FRAME_MS:g} ms frames", found.n_frames
    measures = {metric: measure_of(found) for metric, measure_of in _QUALITY.items()}
    return [
        common.score(metric, one.value, one.interval, n, protocol, chance=one.chance, **options)
        for metric, one in measures.items()
        if one is not None
    ]


def _phone_error_score(
    errors: Estimate, mapping: PhoneMap, learned_on: str, scored: UnitFile, common: Common
) -> Score:
    unseen = mapping.unseen & {int(u) for line in scored.units.values() for u in line}
    return common.score(
        names.PHONE_ERROR_RATE,
        errors.value,
        errors.interval,
        errors.n,
        f"many-to-one, learned on {learned_on}",
        n_of="utterances",
        unseen_units=len(unseen),
    )


def _boundary_scores(
    found: BoundaryScores,
    common: Common,
    *,
    of: str,
    variant: Callable[[Metric], Metric],
    protocol: str = f"{TOLERANCE_MS:g} ms",
) -> list[Score]:
    return [
        common.score(
            variant(metric),
            getattr(found, name),
            found.intervals[name],
            found.n_gold,
            protocol,
            n_of="boundaries",
            n_found=found.n_found,
            boundaries_of=of,
        )
        for metric, name in _BOUNDARIES.items()
    ]


def _aligned_part(
    given: UnitFile, corpus: Corpus, phones: Phones, split: str | None
) -> tuple[UnitFile, list[str], int]:
    """The units of the utterances with gold phones, notes, and how many utterances have none."""
    part, notes = selected_units(given, corpus, split)
    aligned = [name for name in part.ids if name in phones.by_id]
    if not aligned:
        raise InputError(
            f"none of {counted(len(part.ids), 'utterance')} has gold phones: {listed(part.ids)}",
            path=corpus.home / PHONES_FILE,
            remedy="score another split",
        )
    return part.restrict(aligned), notes, len(part.ids) - len(aligned)


def write_phone_tables(folder: Path, aligned: Aligned, mapping: PhoneMap) -> str:
    """Write two tables into a folder, each atomically.

    phone_by_unit.csv has the number of frames, one row per phone and one column per unit;
    unit_to_phone.csv has the phone that each unit stands for, its share of the unit's frames, and
    the next most frequent phones. Frames in silences and gaps count as phone "(no phone)".

    Returns:
        A note that says so.
    """
    phones, table = [*aligned.names, NO_PHONE], aligned.table
    wide = [[name, *row.tolist()] for name, row in zip(phones, table, strict=True)]
    write_csv(folder / "phone_by_unit.csv", ["phone", *range(aligned.n_units)], wide)
    header = ["unit", "phone", "frames", "share"]
    header += [f"{word}_{i}" for i in range(2, _SHOWN + 1) for word in ("phone", "share")]
    rows = [_unit_row(aligned, mapping, phones, unit) for unit in range(aligned.n_units)]
    write_csv(folder / "unit_to_phone.csv", header, rows)
    return f"{folder}: phones by units, and which phone each unit stands for"


def _unit_row(
    aligned: Aligned, mapping: PhoneMap, phones: Sequence[str], unit: int
) -> list[object]:
    """A unit, the phone it stands for, its frames, and its most frequent other phones."""
    counts, chosen = aligned.table[:, unit], int(mapping.of_unit[unit])
    total = int(counts.sum())
    stands_for = [*mapping.names, NO_PHONE][chosen] if unit not in mapping.unseen else ""
    order = [int(p) for p in (-counts).argsort(kind="stable") if counts[p] > 0]
    others = [p for p in order if phones[p] != stands_for][: _SHOWN - 1]
    share = sum(int(counts[p]) for p in order if phones[p] == stands_for) / max(total, 1)
    row: list[object] = [unit, stands_for, total, f"{share:.4f}" if total else ""]
    for p in others:
        row += [phones[p], f"{counts[p] / total:.4f}"]
    return row + [""] * (4 + 2 * (_SHOWN - 1) - len(row))
