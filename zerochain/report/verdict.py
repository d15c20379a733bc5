"""The first thing to know of a translator: whether it is one, before any table.

A translator with few pairs fails in two ways that a BLEU alone hides: its output is much the same
for every source (its scores are as high with shuffled sources, its ranks no better than chance), or
it is no better than looking up the most similar training sources, which takes no training. So the
page begins with one line for each translator that answers both, those that ignore their input
first. Of several baselines the better one counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from zerochain.formats.scores import Score
from zerochain.metrics import names
from zerochain.metrics.names import metric
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
from zerochain.translation.baselines import FREQUENT, NEAREST, SPLICED

SIGNIFICANT = 0.05
"""Ranks that chance reaches more often than this show no use of the input."""


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
    baselines = [row for row in translations if _is(row, NEAREST) or _is(row, SPLICED)]
    for row in translations:
        if row.is_reference or _is(row, NEAREST) or _is(row, FREQUENT):
            continue
        scores = [cell.score for cell in row.cells.values()]
        ignores = ignores_its_input(scores)
        others = [one for one in baselines if _is(one, NEAREST) or not _is(row, SPLICED)]
        parts = _of_shuffled(scores, ignores), _of_baselines(row, others, group, difference)
        yield ignores, f"{row.system}: {'; '.join(part for part in parts if part)}."
    yield from _of_folds(group, difference)


def _of_shuffled(scores: list[Score], ignores: bool) -> str:
    value = {score.metric: score.value for score in scores}
    overlap = names.UNIT_BLEU if value.get(names.UNIT_BLEU.key) else names.UNIT_CHRF
    own, other = value.get(overlap.key), value.get(names.shuffled(overlap).key)
    if own is None or other is None:
        return "ignores its input" if ignores else ""
    numbers = f"{overlap.label} {number(own)}, with shuffled sources {number(other)}"
    if not ignores:
        return f"uses its input ({numbers})"
    distinct = value.get(names.DISTINCT_OUTPUTS.key)
    few = "" if distinct is None else f", {number(100 * distinct)} % of its outputs are different"
    return f"COLLAPSED, it hardly uses its input ({numbers}{few})"


def _of_baselines(row: Row, baselines: list[Row], group: Group, difference: Difference) -> str:
    """Beside the better of the baselines, by chrF, which few pairs leave above 0, or BLEU."""
    shared = [(column, one) for one in baselines if (column := _shared(row, one, group))]
    if not shared:
        return "not compared with the nearest training source"
    column = shared[0][0]
    sign = 1 if column.metric.direction == "higher" else -1
    rivals = [one for _, one in shared if column in one.cells]
    best = max(rivals, key=lambda one: sign * one.cells[column].score.value)
    name = f"the {NEAREST if _is(best, NEAREST) else SPLICED}"
    return _beside(row.cells[column].score, best.cells[column].score, name, difference)


def _of_folds(group: Group, difference: Difference) -> Iterator[tuple[bool, str]]:
    """Of a cross-validation, whose ranks alone are pooled: lines for what has a baseline."""
    column = next((one for one in group.columns if one.metric == names.RETRIEVAL_MRR), None)
    if column is None:
        return
    rows = [row for row in group.rows if column in row.cells]
    scores = {row.system: row.cells[column].score for row in rows}
    for system in [row.system for row in rows if not row.is_reference]:
        score = scores[system]
        rivals = [one for name, one in scores.items() if score.interval_beside(name)]
        if not rivals:
            continue
        p, chance = score.options.get("p_value"), score.options.get("chance")
        ignores = isinstance(p, float) and p > SIGNIFICANT
        said = "NO BETTER THAN CHANCE" if ignores else "uses its input"
        if isinstance(p, float) and isinstance(chance, float):
            said += f" (MRR {number(score.value)}, chance {number(chance)}, p = {p:.3f})"
        best = max(rivals, key=lambda one: one.value)
        name = best.system.removeprefix("baseline: ")
        beside = _beside(score, best, name, difference)
        yield ignores, f"{system}: {said}; {beside}."


def _beside(own: Score, other: Score, name: str, difference: Difference) -> str:
    values = f"{metric(own.metric).label} {number(own.value)} against {number(other.value)}"
    said = compared(own, other, difference).verdict(("the translator", "the baseline"))
    return f"beside {name} ({values}): {said}"


def _shared(row: Row, other: Row, group: Group) -> Column | None:
    """The column in which two rows are compared: the first of the metrics that both have."""
    for overlap in (names.UNIT_CHRF, names.UNIT_BLEU, names.UNIT_ERROR_RATE):
        for column in group.columns:
            if column.metric == overlap and column in row.cells and column in other.cells:
                return column
    return None


def _is(row: Row, method: str) -> bool:
    return row.unit_file is not None and method in row.unit_file.method
