"""Scores as tables for people: one row a system, one column a metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from zerochain.formats.scores import FOR_REFERENCE, Score
from zerochain.formats.units import UnitFile
from zerochain.report.columns import Column, split_unit

Group = Literal[
    "units", "phones", "unaligned", "resynthesis", "conversion", "translation", "recognition"
]
_RESYNTHESIS = (
    "log_spectral",
    "estoi",
    "stoi",
    "pesq",
    "mcd",
    "f0",
    "log_f0",
    "voicing",
    "multi_resolution",
    "speaker_similarity",
)
_CONVERSION = (
    "source_",
    "speaker_similarity_converted",
    "speaker_similarity_to_source",
    "speaker_similarity_others",
)
"""Of what other speakers say, in the inverter's voice."""
_TRANSLATION = (
    "real_time_factor",
    "bleu",
    "unit_bleu",
    "unit_chrf",
    "unit_error_rate",
    "length_ratio",
    "distinct",
    "retrieval",
)
_REFERENCES = {"features", "recordings", FOR_REFERENCE}
"""Inputs and options of scores that are no system's."""
_PHONES = (
    "pnmi",
    "v_measure",
    "completeness",
    "phone_purity",
    "cluster_purity",
    "phone_error_rate",
    "boundary_",
    "over_segmentation",
    "r_value",
    "mapped_",
)
_UNALIGNED = ("speaker_probe_", "sentence_distance", "ued_", "unit_changes_")
_RECOGNITION = ("cer", "wer", "asr_bleu", "recogniser_cer")


@dataclass
class Cell:
    """One score in a table."""

    score: Score
    best: bool = False

    @property
    def value(self) -> str:
        return number(self.score.value)

    @property
    def interval(self) -> str:
        if self.score.interval is None:
            return ""
        to = " … " if self.score.interval[0] < 0 else "–"
        return to.join(number(end, like=self.score.value) for end in self.score.interval)

    @property
    def chance(self) -> str:
        """What is expected of one that knows nothing, where the score says so."""
        chance = self.score.options.get("chance")
        return number(chance) if isinstance(chance, int | float) else ""


@dataclass
class Row:
    """One system: what its scores are of, and its cells by column."""

    system: str
    unit_file: UnitFile | None
    cells: dict[Column, Cell]
    is_reference: bool = False
    """Features, real speech, a topline or ceiling: for reference, below the others, never best."""
    corpus: str = ""
    """Its id; rows of one corpus stand together, for only they compare."""


@dataclass
class ScoreTable:
    """A table of scores."""

    columns: list[Column]
    rows: list[Row]
    replaced: list[str]
    """Scores of the same thing as a later one, which alone is in the table."""


def group_of(score: Score) -> Group:
    """The table that a score belongs to."""
    stem, inputs = split_unit(score.metric)[0], score.inputs
    rules: dict[Group, bool] = {
        "recognition": stem in _RECOGNITION,
        "translation": "translator" in inputs or stem.startswith(_TRANSLATION),
        "conversion": stem.startswith(_CONVERSION),
        "resynthesis": "inverter" in inputs or stem.startswith(_RESYNTHESIS),
        "phones": stem.startswith(_PHONES),
        "unaligned": stem.startswith(_UNALIGNED),
    }
    return next((group for group, holds in rules.items() if holds), "units")


def score_table(scores: Iterable[Score], units: Mapping[str, UnitFile]) -> ScoreTable:
    """Lay scores out, one row a system and input; the best units of each column are marked.

    A later score of the same thing takes the place of an earlier one, which is listed then.
    """
    rows: dict[tuple[str, str], Row] = {}
    columns: set[Column] = set()
    replaced = []
    for score in scores:
        inputs = score.inputs
        of = inputs.get("inverter") or inputs.get("units") or inputs.get("features") or ""
        key = (score.system, of)
        unit_file = units.get(inputs.get("units", ""))
        corpus = inputs.get("corpus") or (unit_file.corpus_id if unit_file else "")
        row = rows.setdefault(key, Row(score.system, unit_file, {}, corpus=corpus))
        row.is_reference |= not _REFERENCES.isdisjoint({*inputs, *score.options})
        column = Column(score.metric, score.protocol, str(score.options.get("distance", "")))
        columns.add(column)
        if column in row.cells:
            earlier = row.cells[column].score
            replaced.append(f"{column.label} of {score.system}: {number(earlier.value)}")
        row.cells[column] = Cell(score)
    corpora = list(dict.fromkeys(row.corpus for row in rows.values()))
    place = {corpus: i for i, corpus in enumerate(corpora)}
    ordered = sorted(rows.values(), key=lambda row: (place[row.corpus], row.is_reference))
    table = ScoreTable(sorted(columns, key=lambda column: column.place), ordered, replaced)
    _mark_best(table)
    return table


def number(value: float, like: float | None = None) -> str:
    """A score with as many decimals as people compare: 474, 21.6, 4.37, 0.421.

    Args:
        like: take as many as this value has, so that the ends of an interval match it.
    """
    size = abs(value if like is None else like)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{decimals}f}".replace("-", "−")


def _mark_best(table: ScoreTable) -> None:
    for corpus, column in product({row.corpus for row in table.rows}, table.columns):
        there = [row for row in table.rows if row.corpus == corpus]
        rows = [row for row in there if column in row.cells and not row.is_reference]
        cells = [row.cells[column] for row in rows]
        if not column.better or len(cells) < 2:
            continue
        best = (min if column.better == "lower" else max)(cell.score.value for cell in cells)
        for cell in cells:
            cell.best = cell.score.value == best
