"""Units beside gold phones: what `zerochain score quality` does.

Tables of phones by units, for people and for other programs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zerochain.errors import InputError, listed
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.identity import file_id
from zerochain.formats.phones import PHONES_FILE, Phones
from zerochain.formats.scores import Score
from zerochain.formats.text_files import write_csv
from zerochain.formats.units import UnitFile, read_units
from zerochain.metrics.boundaries import (
    TOLERANCE_MS,
    BoundaryScores,
    NoBoundariesError,
    boundary_scores,
    change_times,
    phone_boundaries,
)
from zerochain.metrics.quality import (
    FRAME_MS,
    Aligned,
    PhoneMap,
    Quality,
    align_frames,
    many_to_one,
    phone_error_rate,
    unit_quality,
)
from zerochain.metrics.silences import SILENCES, recorded
from zerochain.metrics.translation import Estimate
from zerochain.scoring.selection import Scored, exclusion_notes, gold_phones, selected_units

NO_PHONE = "(no phone)"
_SHOWN = 3


def write_phone_tables(folder: Path, aligned: Aligned, mapping: PhoneMap) -> None:
    """Write two files into a folder, each atomically.

    phone_by_unit.csv holds frames, a row a phone and a column a unit; unit_to_phone.csv the phone
    that each unit stands for, its share of the unit's frames, and the next most frequent ones.
    Frames in silences and gaps count as phone "(no phone)".
    """
    names, table = [*aligned.names, NO_PHONE], aligned.table
    wide = [[name, *row.tolist()] for name, row in zip(names, table, strict=True)]
    write_csv(folder / "phone_by_unit.csv", ["phone", *range(aligned.n_units)], wide)
    header = ["unit", "phone", "frames", "share"]
    header += [f"{word}_{i}" for i in range(2, _SHOWN + 1) for word in ("phone", "share")]
    rows = [_unit_row(aligned, mapping, names, unit) for unit in range(aligned.n_units)]
    write_csv(folder / "unit_to_phone.csv", header, rows)


def _unit_row(aligned: Aligned, mapping: PhoneMap, names: Sequence[str], unit: int) -> list[object]:
    """A unit, the phone it stands for, its frames, and its most frequent other phones."""
    counts, chosen = aligned.table[:, unit], int(mapping.of_unit[unit])
    total = int(counts.sum())
    stands_for = [*mapping.names, NO_PHONE][chosen] if unit not in mapping.unseen else ""
    order = [int(p) for p in (-counts).argsort(kind="stable") if counts[p] > 0]
    others = [p for p in order if names[p] != stands_for][: _SHOWN - 1]
    share = sum(int(counts[p]) for p in order if names[p] == stands_for) / max(total, 1)
    row: list[object] = [unit, stands_for, total, f"{share:.4f}" if total else ""]
    for p in others:
        row += [names[p], f"{counts[p] / total:.4f}"]
    return row + [""] * (4 + 2 * (_SHOWN - 1) - len(row))


_QUALITY = ("pnmi", "v_measure", "completeness", "phone_purity", "cluster_purity")
_BOUNDARIES = {
    "precision": "boundary_precision_%",
    "recall": "boundary_recall_%",
    "f1": "boundary_f1_%",
    "over_segmentation": "over_segmentation_%",
    "r_value": "r_value_%",
}


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
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """Purities, mutual information, phone error rate and boundaries of a unit file.

    Args:
        split: score this split alone.
        map_units, map_split: learn which phone a unit stands for on these units of the same
            model, or on this split; None: on what is scored.
        silences: labels that are no phones.
        shift_ms: added to the times of the phones: automatic alignments can be late.
        tables: a folder for the tables of phones by units.

    Raises:
        ModelMismatchError: `map_units` are of another unit model.
        InputError: no gold phones, ids that don't join, units that last longer than the
            recordings, or one phone only.
    """
    whole, given = read_corpus(corpus), read_units(units)
    phones, seconds = gold_phones(whole), {u.id: u.duration for u in whole.utterances}
    scored, notes, unaligned = _aligned_part(given, whole, phones, split)
    aligned = align_frames(scored, phones, silences=silences, shift_ms=shift_ms)
    learned, learned_on = aligned, "what is scored"
    if map_units is not None or map_split is not None:
        others = given if map_units is None else read_units(map_units)
        others.check_model(given.model_id, "mapping")
        part, _, _ = _aligned_part(others, whole, phones, map_split)
        learned = align_frames(part, phones, silences=silences, shift_ms=shift_ms)
        learned_on = f"split {map_split}" if map_split else f"{len(part.units)} utterances"
    mapping = many_to_one(learned)
    report = _Report(
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
    quality = unit_quality(aligned, seed=seed)
    if quality.completeness is None:
        notes.append("completeness is undefined and left out: there is one unit only")
    errors = phone_error_rate(scored, phones, mapping, silences=silences, seed=seed)
    rows = [*report.quality(quality), report.phone_errors(errors, mapping, learned_on, scored)]
    gold = {
        name: phone_boundaries(phones.by_id[name], silences=silences, shift_ms=shift_ms)
        for name in scored.ids
    }
    for kind, steps in (
        ("", scored.steps),
        ("mapped_", partial(mapping.steps, scored)),
    ):
        found = {name: change_times(steps(name), given.step_ms) for name in scored.ids}
        try:
            rows += report.boundaries(kind, boundary_scores(found, gold, seconds, seed=seed))
        except NoBoundariesError as error:
            notes.append(f"{kind}boundary scores are undefined and left out: {error.found}")
    if tables is not None:
        write_phone_tables(tables, aligned, mapping)
        notes.append(f"{tables}: phones by units, and which phone each unit stands for")
    return Scored(rows, [*notes, *exclusion_notes(rows)])


@dataclass(frozen=True)
class _Report:
    """What the scores of one run have in common."""

    system: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any]

    def quality(self, found: Quality) -> list[Score]:
        options = {
            "n_of": "frames",
            "frame_ms": FRAME_MS,
            "n_phones": found.n_phones,
            "n_used": found.n_used,
            "frames_without_phone": found.n_silent,
        }
        measures = {name: getattr(found, name) for name in _QUALITY}
        return [
            self._score(
                name,
                one.value,
                one.interval,
                found.n_frames,
                f"{FRAME_MS:g} ms frames",
                **options,
                chance=one.chance,
            )
            for name, one in measures.items()
            if one is not None
        ]

    def phone_errors(
        self, errors: Estimate, mapping: PhoneMap, learned_on: str, scored: UnitFile
    ) -> Score:
        unseen = sorted(mapping.unseen & {int(u) for line in scored.units.values() for u in line})
        return self._score(
            "phone_error_rate_%",
            errors.value,
            errors.interval,
            errors.n,
            f"many-to-one, learned on {learned_on}",
            n_of="utterances",
            unseen_units=len(unseen),
        )

    def boundaries(self, kind: str, found: BoundaryScores) -> list[Score]:
        of = "units mapped to phones" if kind else "units"
        return [
            self._score(
                kind + metric,
                getattr(found, name),
                found.intervals[name],
                found.n_gold,
                f"{TOLERANCE_MS:g} ms",
                n_of="boundaries",
                n_found=found.n_found,
                boundaries_of=of,
            )
            for name, metric in _BOUNDARIES.items()
        ]

    def _score(
        self,
        metric: str,
        value: float,
        interval: tuple[float, float] | None,
        n: int,
        protocol: str,
        **options: Any,
    ) -> Score:
        stated = {**self.options, **options}
        return Score(metric, value, interval, n, protocol, self.system, self.inputs, stated)


def _aligned_part(
    given: UnitFile, corpus: Corpus, phones: Phones, split: str | None
) -> tuple[UnitFile, list[str], int]:
    """The units of a split that have gold phones, notes, and how many have none."""
    part, notes = selected_units(given, corpus, split)
    aligned = [name for name in part.ids if name in phones.by_id]
    if not aligned:
        raise InputError(
            f"none of the {len(part.ids)} utterances has gold phones: {listed(part.ids)}",
            path=corpus.home / PHONES_FILE,
            remedy="score another split",
        )
    return part.restrict(aligned), notes, len(part.ids) - len(aligned)
