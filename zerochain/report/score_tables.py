"""Scores as tables: one row per system, one column per metric, protocol and distance.

Scores compare only within a column and within a corpus: another protocol, distance or corpus is
another measurement. The best value of a column is marked among systems; features, real speech,
toplines and ceilings are listed below them for reference and are never marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from zerochain.formats.scores import FOR_REFERENCE, Score
from zerochain.formats.units import UnitFile
from zerochain.metrics.names import Family, Metric, metric, rank

_ARROWS = {"lower": "↓", "higher": "↑", "": ""}
_REFERENCES = {"features", "recordings", FOR_REFERENCE}
"""Inputs and options of scores that do not belong to a system."""


class Column(NamedTuple):
    """What can be compared: one metric, under one protocol, with one distance."""

    metric: Metric
    protocol: str
    distance: str

    @classmethod
    def of(cls, score: Score) -> Column:
        """The column of a score."""
        return cls(metric(score.metric), score.protocol, str(score.options.get("distance", "")))

    @property
    def conditions(self) -> str:
        """The protocol, and the distance where there is one."""
        return ", ".join(part for part in (self.protocol, self.distance) if part)

    @property
    def arrow(self) -> str:
        """Points to the better values."""
        return _ARROWS[self.metric.direction]

    @property
    def place(self) -> tuple[int, str, str, str]:
        """The sorting key: known metrics in their order of display, then the others."""
        return rank(self.metric), self.metric.name, self.protocol, self.distance


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
        """The chance level, where the score records one."""
        chance = self.score.options.get("chance")
        return number(chance) if isinstance(chance, int | float) else ""


@dataclass
class Row:
    """One system: the units that its scores are of, and its cells by column."""

    system: str
    unit_file: UnitFile | None
    cells: dict[Column, Cell]
    is_reference: bool = False
    """Features, real speech, a topline or a ceiling: below the systems, never marked as best."""
    corpus: str = ""
    """Its id. Rows of one corpus are grouped, since only they compare."""


@dataclass
class ScoreTable:
    """A table of scores."""

    columns: list[Column]
    rows: list[Row]
    replaced: list[str]
    """Earlier scores of the same thing; the table has the latest only."""


def group_of(score: Score) -> Family:
    """The table that a score belongs to: its metric's; for unknown metrics, by its inputs."""
    family = metric(score.metric).family
    if family:
        return family
    if "translator" in score.inputs:
        return "translation"
    return "resynthesis" if "inverter" in score.inputs else "units"


def score_table(scores: Iterable[Score], units: Mapping[str, UnitFile]) -> ScoreTable:
    """Lay scores out, one row per system and input, and mark the best of each column.

    A later score of the same thing replaces an earlier one, which `replaced` then lists.

    Args:
        units: the unit files of the run, by id.
    """
    rows: dict[tuple[str, str], Row] = {}
    columns: set[Column] = set()
    replaced = []
    for score in scores:
        inputs = score.inputs
        scored_id = inputs.get("inverter") or inputs.get("units") or inputs.get("features") or ""
        unit_file = units.get(inputs.get("units", ""))
        corpus = inputs.get("corpus") or (unit_file.corpus_id if unit_file else "")
        new = Row(score.system, unit_file, {}, corpus=corpus)
        row = rows.setdefault((score.system, scored_id), new)
        row.is_reference |= not _REFERENCES.isdisjoint({*inputs, *score.options})
        column = Column.of(score)
        columns.add(column)
        if column in row.cells:
            earlier = number(row.cells[column].score.value)
            replaced.append(f"{column.metric.label} of {score.system}: {earlier}")
        row.cells[column] = Cell(score)
    corpora = list(dict.fromkeys(row.corpus for row in rows.values()))
    ordered = sorted(rows.values(), key=lambda row: (corpora.index(row.corpus), row.is_reference))
    table = ScoreTable(sorted(columns, key=lambda column: column.place), ordered, replaced)
    _mark_best(table)
    return table


def named_units(
    table: ScoreTable | None, units: Mapping[str, UnitFile]
) -> list[tuple[str, UnitFile]]:
    """Unit files under the names of their systems; without scores, one of each unit model."""
    rows = table.rows if table else []
    scored = {row.unit_file.id: row.system for row in rows if row.unit_file}
    if scored:
        return [(name, units[identity]) for identity, name in scored.items()]
    encoded = [one for one in units.values() if not one.is_translation]
    first = {one.model_id: one for one in reversed(encoded)}
    return [(one.method, one) for one in reversed(first.values())]


def number(value: float, like: float | None = None) -> str:
    """A score with the decimals that people compare: 474, 21.6, 4.37, 0.421.

    Args:
        like: use as many decimals as for this value, so that the ends of an interval match it.
    """
    size = abs(value if like is None else like)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{decimals}f}".replace("-", "−")


def _mark_best(table: ScoreTable) -> None:
    """Mark the best cells of each column and corpus; a system alone in a column is not best."""
    for corpus, column in product({row.corpus for row in table.rows}, table.columns):
        cells = [
            row.cells[column]
            for row in table.rows
            if row.corpus == corpus and column in row.cells and not row.is_reference
        ]
        direction = column.metric.direction
        if not direction or len(cells) < 2:
            continue
        best = (min if direction == "lower" else max)(cell.score.value for cell in cells)
        for cell in cells:
            cell.best = cell.score.value == best
