"""The first thing to know of a translator: whether it is one, before any table.

A translator with few pairs fails in two ways that a BLEU alone hides: its output is much the same
for every source (its scores are as high with shuffled sources), or it is no better than looking up
the most similar training source, which takes no training. So the page begins with one line for each
translator that answers both, those that ignore their input first.
"""

from __future__ import annotations

from collections.abc import Iterator

from zerochain.formats.scores import Score
from zerochain.metrics import names
from zerochain.report.score_tables import (
    Column,
    Difference,
    Group,
    Row,
    ScoreTable,
    compared,
    number,
)
from zerochain.scoring.translation import ignores_its_input
from zerochain.translation.baselines import FREQUENT, NEAREST


def verdicts(table: ScoreTable | None, difference: Difference | None = None) -> list[str]:
    """One line per translator of a table, those that ignore their input first."""
    if table is None:
        return []
    compare = difference or (lambda first, second: None)
    found = [one for group in table.groups for one in _of_group(group, compare)]
    return [line for ignores, line in sorted(found, key=lambda one: not one[0])]


def _of_group(group: Group, difference: Difference) -> Iterator[tuple[bool, str]]:
    """Whether a translator ignores its input, and its line."""
    translations = [row for row in group.rows if row.unit_file and row.unit_file.is_translation]
    nearest = next((row for row in translations if _is(row, NEAREST)), None)
    for row in translations:
        if row.is_reference or _is(row, NEAREST) or _is(row, FREQUENT):
            continue
        scores = [cell.score for cell in row.cells.values()]
        ignores = ignores_its_input(scores)
        parts = _of_shuffled(scores, ignores), _of_nearest(row, nearest, group, difference)
        yield ignores, f"{row.system}: {'; '.join(part for part in parts if part)}."


def _of_shuffled(scores: list[Score], ignores: bool) -> str:
    value = {score.metric: score.value for score in scores}
    metric = names.UNIT_BLEU if value.get(names.UNIT_BLEU.key) else names.UNIT_CHRF
    own, other = value.get(metric.key), value.get(names.shuffled(metric).key)
    if own is None or other is None:
        return "ignores its input" if ignores else ""
    numbers = f"{metric.label} {number(own)}, with shuffled sources {number(other)}"
    if not ignores:
        return f"uses its input ({numbers})"
    distinct = value.get(names.DISTINCT_OUTPUTS.key)
    few = "" if distinct is None else f", {number(100 * distinct)} % of its outputs are different"
    return f"COLLAPSED, it hardly uses its input ({numbers}{few})"


def _of_nearest(row: Row, nearest: Row | None, group: Group, difference: Difference) -> str:
    """Beside the nearest training source, by chrF, which few pairs leave above 0, or BLEU."""
    column = None if nearest is None else _shared(row, nearest, group)
    if nearest is None or column is None:
        return "not compared with the nearest training source"
    own, other = row.cells[column].score, nearest.cells[column].score
    values = f"{column.metric.label} {number(own.value)} against {number(other.value)}"
    said = compared(own, other, difference).verdict(("the translator", "the baseline"))
    return f"beside the nearest training source ({values}): {said}"


def _shared(row: Row, other: Row, group: Group) -> Column | None:
    """The column in which two rows are compared: the first of the metrics that both have."""
    for metric in (names.UNIT_CHRF, names.UNIT_BLEU, names.UNIT_ERROR_RATE):
        for column in group.columns:
            if column.metric == metric and column in row.cells and column in other.cells:
                return column
    return None


def _is(row: Row, method: str) -> bool:
    return row.unit_file is not None and method in row.unit_file.method
