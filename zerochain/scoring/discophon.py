"""A system's units in DiscoPhon's layout, scored on its data: languages, splits and their means.

Every `units-<language>-<split>.jsonl` is compared with the gold phones and triphones of that split.
The benchmark publishes means over its six test languages (or its six languages for development) on
their test splits: each language counts the same, however much speech there is of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain.exchange.discophon import (
    LANGUAGES,
    Language,
    UnitPart,
    alignment_path,
    items_path,
    labels_of,
    read_alignment,
    read_units_part,
    unit_parts,
)
from zerochain.formats.identity import file_id
from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile
from zerochain.metrics import names
from zerochain.metrics.abx import abx
from zerochain.metrics.abx_plan import DISCOPHON
from zerochain.metrics.discophon import N_UNITS, Assignment, phoneme_discovery
from zerochain.metrics.items import read_items
from zerochain.metrics.names import Metric
from zerochain.progress import track
from zerochain.scoring.common import Common
from zerochain.scoring.quality import discovery_scores

PUBLISHED: dict[str, Metric] = {
    "pnmi": names.PNMI,
    "per": names.PHONE_ERROR_RATE,
    "f1": names.mapped(names.BOUNDARY_F1),
    "r_value": names.mapped(names.R_VALUE),
}
"""What the benchmark prints, but for ABX → the metric here."""


@dataclass(frozen=True)
class Row:
    """One language's split, or the mean of several languages."""

    label: str
    """"eng test", or "mean of 6 test languages, test"."""
    n_languages: int
    part: str
    """"dev" or "test": which languages."""
    split: str
    values: dict[str, float]
    """pnmi, per, f1, r_value and abx; what is undefined is missing."""


@dataclass(frozen=True)
class Benchmark:
    """The scores of a system, and the table of them."""

    scores: list[Score]
    rows: list[Row]
    notes: list[str]


def score_discophon(
    units: Path,
    data: Path,
    *,
    assignment: Assignment = "many-to-one",
    step_ms: float = 20.0,
    with_abx: bool = True,
    system: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> Benchmark:
    """Score the units of all languages and splits that are in a folder.

    Args:
        units: the folder of units-<language>-<split>.jsonl.
        data: DiscoPhon's data folder, of which alignment/ and item/ are read.
        assignment: one-to-one takes as many units as the language has phonemes, and one.
        step_ms: from one unit to the next.
        with_abx: also by identity of units, over triphones.
        system: its name; None is the folder's.

    Raises:
        InputError: no units, files that the data lack, units of other recordings or of another
            step, or too many for one-to-one.
    """
    scores: list[Score] = []
    rows: list[Row] = []
    notes: list[str] = []
    for part in track(unit_parts(units), "Scoring"):
        found, row = _scored(
            part, data, assignment, step_ms, with_abx, system or units.name, seed, jobs
        )
        scores += found
        rows.append(row)
    highest = max((int(s.options["n_units"]) for s in scores), default=0)
    if assignment == "many-to-one" and highest > N_UNITS:
        notes.append(
            f"DiscoPhon's many-to-one scores are of {N_UNITS} units at most, not {highest}"
        )
    return Benchmark(scores, [*rows, *means(rows)], notes)


def means(rows: Sequence[Row]) -> list[Row]:
    """The means over languages, of each part of the benchmark and split with several."""
    made = []
    for part, split in dict.fromkeys((row.part, row.split) for row in rows):
        there = [row for row in rows if (row.part, row.split) == (part, split)]
        if len(there) < 2:
            continue
        keys = [key for key in there[0].values if all(key in row.values for row in there)]
        values = {key: sum(row.values[key] for row in there) / len(there) for key in keys}
        which = {"dev": "development", "test": "test"}[part]
        whole = sum(one.part == part for one in LANGUAGES.values())
        of = f"{len(there)} of {whole}" if len(there) < whole else f"{whole}"
        label = f"mean of {of} {which} languages, {split}"
        made.append(Row(label, len(there), part, split, values))
    return made


def _scored(
    part: UnitPart,
    data: Path,
    assignment: Assignment,
    step_ms: float,
    with_abx: bool,
    system: str,
    seed: int,
    jobs: int | None,
) -> tuple[list[Score], Row]:
    language, split = part.language, part.split
    gold = alignment_path(data, language.code, split)
    phones, lines = labels_of(read_alignment(gold)), read_units_part(part)
    n_units = 1 + max(int(line.max()) for line in lines.values())
    discovered = phoneme_discovery(
        lines,
        phones,
        step_ms=step_ms,
        n_units=_size(n_units, language, assignment),
        n_phonemes=language.n_phonemes,
        assignment=assignment,
        seed=seed,
    )
    common = Common(
        system,
        {"units": file_id(part.path), "phones": file_id(gold)},
        {
            "language": language.code,
            "split": split,
            "step_ms": step_ms,
            "n_units": n_units,
            "n_utterances": len(lines),
            "seed": seed,
        },
    )
    where = f"{language.code} {split}"
    scores = discovery_scores(discovered, assignment, common, where)
    by_metric = {score.metric: score.value for score in scores}
    values = {
        key: by_metric[metric.key] for key, metric in PUBLISHED.items() if metric.key in by_metric
    }
    if with_abx:
        abx_scores = _abx(lines, data, part, common, step_ms, n_units, seed, jobs)
        values["abx"] = sum(score.value for score in abx_scores) / len(abx_scores)
        scores += abx_scores
    return scores, Row(where, 1, language.part, split, values)


def _size(n_units: int, language: Language, assignment: Assignment) -> int:
    """K of the table of frames: the benchmark's, unless units exceed it."""
    return max(n_units, N_UNITS if assignment == "many-to-one" else language.n_phonemes + 1)


def _abx(
    lines: dict[str, NDArray[np.int32]],
    data: Path,
    part: UnitPart,
    common: Common,
    step_ms: float,
    n_units: int,
    seed: int,
    jobs: int | None,
) -> list[Score]:
    """ABX errors by identity, within and across speakers."""
    path = items_path(data, part.language.code, part.split)
    items = read_items(path)
    unit_file = UnitFile(lines, n_units, step_ms, "", common.system)
    scores = []
    for mode in DISCOPHON.modes:
        found = abx(unit_file, items, mode=mode, protocol=DISCOPHON, seed=seed, jobs=jobs)
        scores.append(
            common.score(
                names.ABX[mode],
                found.value,
                found.interval,
                found.n_triples,
                f"{DISCOPHON.name}, {part.language.code} {part.split}",
                n_of="triples",
                distance=found.distance,
                n_items=found.n_items,
                n_cells=found.n_cells,
                items=file_id(path),
                exclusions=found.exclusions,
            )
        )
    return scores
