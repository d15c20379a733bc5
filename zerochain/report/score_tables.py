"""Scores as tables: one table per test set, one row per system, one column per way of scoring.

Only what is comparable shares a column. A test set is a corpus, its split and, for synthesised
speech, the voice: each has a table of its own. Within it a column has one metric, protocol and
distance, and everything else that must be equal (`formats.basis.basis`): items, pairs, the number
of utterances. The best value of a column is marked among systems if it is beyond the interval of
its difference from every other one; for a bit rate alone there is no best. Features, real speech,
toplines and ceilings are listed below the systems for reference and are never marked, nor is what
rests on too little data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from zerochain.errors import counted
from zerochain.formats.basis import basis, interval_of, no_interval, shortfall
from zerochain.formats.identity import short
from zerochain.formats.scores import FOR_REFERENCE, Score
from zerochain.formats.synthesis import EACH_ITS_OWN
from zerochain.formats.units import UnitFile
from zerochain.metrics.comparison import Comparison, independent
from zerochain.metrics.names import BITRATES, Family, Metric, metric, rank

_ARROWS = {"lower": "↓", "higher": "↑", "": ""}
_REFERENCES = {"features", "recordings", FOR_REFERENCE}
"""Inputs and options of scores that do not belong to a system."""
Voices = Mapping[tuple[str, str], str]
"""Inverter's and units' ids → the voice of their synthesis, for scores that don't record it."""
Difference = Callable[[Score, Score], tuple[float, float] | None]
"""The 95 % interval of the difference of two scores (first minus second); None where unknown."""


class TestSet(NamedTuple):
    """What scores are of; None where a score does not say."""

    corpus: str | None
    """Its id."""
    split: str | None
    """"" where all utterances of the corpus were scored."""
    voice: str | None

    @classmethod
    def of(cls, score: Score, unit_file: UnitFile | None, voices: Voices) -> TestSet:
        """The test set of a score, as far as its record says."""
        inputs, options = score.inputs, score.options
        corpus = inputs.get("corpus") or (unit_file.corpus_id if unit_file else "") or None
        split = (options["split"] or "") if "split" in options else None
        made_by = (inputs.get("inverter", ""), inputs.get("units", ""))
        return cls(corpus, split, options.get("voice") or voices.get(made_by))

    def may_be(self, other: TestSet) -> bool:
        """Whether they differ only in what one of them does not say."""
        return all(a is None or b is None or a == b for a, b in zip(self, other, strict=True))

    def with_known(self, other: TestSet) -> TestSet:
        """What either of them says."""
        both = zip(self, other, strict=True)
        return TestSet(*(a if a is not None else b for a, b in both))

    @property
    def conditions(self) -> str:
        """Split and voice in words."""
        split = {None: "", "": "all utterances"}.get(self.split, f"split {self.split}")
        voice = "" if self.voice is None else f"voice {self.voice}"
        if self.voice == EACH_ITS_OWN:
            voice = "each recording's own voice"
        return ", ".join(p for p in (split, voice) if p)


class Column(NamedTuple):
    """What can be compared: one metric, under one protocol, with one distance, on one basis."""

    metric: Metric
    protocol: str
    distance: str
    basis: tuple[tuple[str, str], ...] = ()
    """What else is equal in the column, by its name."""
    apart: tuple[str, ...] = ()
    """What of `basis` sets it apart from other columns of this metric, in words for people."""

    @classmethod
    def of(cls, score: Score) -> Column:
        """The column of a score."""
        return cls(
            metric(score.metric),
            score.protocol,
            str(score.options.get("distance", "")),
            tuple(sorted(basis(score).items())),
        )

    def may_be(self, other: Column) -> bool:
        """Whether scores of both compare: they differ only in what one of them does not say."""
        mine, theirs = dict(self.basis), dict(other.basis)
        same = all(mine[name] == theirs[name] for name in mine.keys() & theirs.keys())
        return self[:3] == other[:3] and same

    def with_known(self, other: Column) -> Column:
        """The column that has the basis of either."""
        return self._replace(basis=tuple(sorted({**dict(self.basis), **dict(other.basis)}.items())))

    @property
    def conditions(self) -> str:
        """The protocol, the distance where there is one, and what sets the column apart."""
        return ", ".join(part for part in (self.protocol, self.distance, *self.apart) if part)

    @property
    def utterances(self) -> str:
        """The number of utterances that were scored; empty where unknown."""
        return dict(self.basis).get("utterances", "")

    @property
    def arrow(self) -> str:
        """Points to the better values."""
        return _ARROWS[self.metric.direction]

    @property
    def place(self) -> tuple[int, str, str, str, tuple[tuple[str, str], ...]]:
        """The sorting key: known metrics in their order of display, then the others."""
        return rank(self.metric), self.metric.name, self.protocol, self.distance, self.basis


@dataclass
class Cell:
    """One score in a table."""

    score: Score
    best: bool = False

    @property
    def value(self) -> str:
        return number(self.score.value)

    @property
    def shortfall(self) -> str:
        """How little data the score rests on, if that is too little; else empty."""
        return shortfall(self.score)

    @property
    def interval(self) -> str:
        if self.score.interval is None:
            return ""
        to = " … " if self.score.interval[0] < 0 else "–"
        return to.join(number(end, like=self.score.value) for end in self.score.interval)

    @property
    def over(self) -> str:
        """What the interval is over, where that is few; why there is no interval."""
        return interval_of(self.score) or no_interval(self.score)

    @property
    def n(self) -> str:
        """What the score rests on: "1,234 triples"."""
        of = str(self.score.options.get("n_of", ""))
        one = of.removesuffix("ies") + "y" if of.endswith("ies") else of.removesuffix("s")
        return counted(self.score.n, one, of) if of else f"n = {self.score.n:,}"

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
    test: TestSet
    is_reference: bool = False
    """Features, real speech, a topline or a ceiling: below the systems, never marked as best."""

    @property
    def corpus(self) -> str:
        """The id of the corpus that was scored; empty where unknown."""
        return self.test.corpus or ""

    def input(self, name: str) -> str | None:
        """The id of an input of its scores, where one of them has it."""
        found = (cell.score.inputs.get(name) for cell in self.cells.values())
        return next((one for one in found if one), None)


@dataclass
class Group:
    """The table of one test set."""

    test: TestSet
    columns: list[Column]
    rows: list[Row]

    @property
    def utterances(self) -> str:
        """The number of utterances, where all columns that say it say the same."""
        stated = {column.utterances for column in self.columns} - {""}
        return stated.pop() if len(stated) == 1 else ""


@dataclass
class ScoreTable:
    """Tables of one family of scores."""

    groups: list[Group]
    replaced: list[str] = field(default_factory=list)
    """Earlier scores of the same thing; the tables have the latest only."""

    @property
    def rows(self) -> list[Row]:
        """Of all test sets."""
        return [row for group in self.groups for row in group.rows]

    @property
    def columns(self) -> list[Column]:
        """Of all test sets."""
        return [column for group in self.groups for column in group.columns]


def group_of(score: Score) -> Family:
    """The table that a score belongs to: its metric's; for unknown metrics, by its inputs."""
    family = metric(score.metric).family
    if family:
        return family
    if "translator" in score.inputs:
        return "translation"
    return "resynthesis" if "inverter" in score.inputs else "units"


def score_table(
    scores: Iterable[Score],
    units: Mapping[str, UnitFile],
    *,
    voices: Voices | None = None,
    present: Collection[str] = (),
    difference: Difference | None = None,
    paths: Mapping[str, str] | None = None,
) -> ScoreTable:
    """Lay scores out by test set, one row per system and input, and mark the best of each column.

    A later score of the same thing replaces an earlier one, which `replaced` then lists. So does a
    score of something in `present` that of something of the same name that isn't there any more:
    a unit model that was fitted again leaves the scores of its former units behind.

    Args:
        units: the unit files of the run, by id.
        present: ids of the unit files and models that are there; none is not known.
        difference: the interval of the difference of two scores of one column, where it is better
            known than from their own intervals.
        paths: what people read in place of an id.
    """
    scores, voices = list(scores), voices or {}
    called = {short(identity): path for identity, path in (paths or {}).items()}
    entries = [
        _Entry(s, TestSet.of(s, units.get(s.inputs.get("units", "")), voices)) for s in scores
    ]
    _complete(entries)
    entries, replaced = _latest(entries, present)
    groups = []
    for test in dict.fromkeys(entry.test for entry in entries):
        there = [entry for entry in entries if entry.test == test]
        groups.append(_group(test, there, units, called))
    corpora = list(dict.fromkeys(group.test.corpus for group in groups))
    groups.sort(key=lambda group: corpora.index(group.test.corpus))
    for group in groups:
        _mark_best(group, difference or (lambda first, second: None))
    return ScoreTable(groups, replaced)


@dataclass
class _Entry:
    """A score on its way into a table."""

    score: Score
    test: TestSet

    @property
    def scored(self) -> str:
        """The id of what is scored; empty where the score names none."""
        inputs = self.score.inputs
        return inputs.get("inverter") or inputs.get("units") or inputs.get("features") or ""

    @property
    def column(self) -> Column:
        return Column.of(self.score)

    def is_same(self, other: _Entry) -> bool:
        """Whether both are scores of the same thing, in the same way."""
        mine, theirs = ((e.score.system, e.scored, e.test) for e in (self, other))
        return mine == theirs and self.column.may_be(other.column)

    @property
    def is_reference(self) -> bool:
        return not _REFERENCES.isdisjoint({*self.score.inputs, *self.score.options})


def _complete(entries: list[_Entry]) -> None:
    """Fill in what a test set leaves open, where the others allow one answer only.

    Those of the same system and input come first: usage is scored on a unit file without its split.
    """
    for entry in entries:
        if None not in entry.test:
            continue
        own = [
            e for e in entries if (e.score.system, e.scored) == (entry.score.system, entry.scored)
        ]
        for others in (own, entries):
            known = {e.test for e in others if e.test != entry.test and entry.test.may_be(e.test)}
            fullest = {t for t in known if not any(_says_more(other, t) for other in known)}
            if len(fullest) == 1:
                entry.test = entry.test.with_known(fullest.pop())
                break


def _says_more(one: TestSet, other: TestSet) -> bool:
    return one != other and one.may_be(other) and other.with_known(one) == one


def _latest(entries: list[_Entry], present: Collection[str]) -> tuple[list[_Entry], list[str]]:
    """The entries without those that were replaced, and these in words."""
    there = set(present)
    of_present = {
        (e.score.system, e.test, e.score.metric) for e in entries if e.scored and e.scored in there
    }
    kept: list[_Entry] = []
    replaced = []
    for entry in entries:
        score, name = entry.score, f"{metric(entry.score.metric).label} of {entry.score.system}"
        is_gone = bool(there) and bool(entry.scored) and entry.scored not in there
        if is_gone and (score.system, entry.test, score.metric) in of_present:
            replaced.append(f"{name}: {number(score.value)}, of a former output")
            continue
        for earlier in [e for e in kept if e.is_same(entry)]:
            kept.remove(earlier)
            if earlier.score != score:  # real speech is scored again beside each system
                replaced.append(f"{name}: {number(earlier.score.value)}")
        kept.append(entry)
    return kept, replaced


def _group(
    test: TestSet,
    entries: list[_Entry],
    units: Mapping[str, UnitFile],
    called: Mapping[str, str],
) -> Group:
    """The table of one test set, with as few columns as compare."""
    columns: list[Column] = []
    places = []
    for entry in entries:
        place = next((i for i, one in enumerate(columns) if one.may_be(entry.column)), len(columns))
        if place == len(columns):
            columns.append(entry.column)
        columns[place] = columns[place].with_known(entry.column)
        places.append(place)
    columns = [column._replace(apart=_apart(column, columns, called)) for column in columns]
    rows: dict[tuple[str, str], Row] = {}
    for entry, place in zip(entries, places, strict=True):
        score = entry.score
        unit_file = units.get(score.inputs.get("units", ""))
        new = Row(score.system, unit_file, {}, test)
        row = rows.setdefault((score.system, entry.scored), new)
        row.is_reference |= entry.is_reference
        row.cells[columns[place]] = Cell(score)
    ordered = sorted(rows.values(), key=lambda row: row.is_reference)
    return Group(test, sorted(columns, key=lambda column: column.place), ordered)


def _apart(column: Column, columns: list[Column], called: Mapping[str, str]) -> tuple[str, ...]:
    """What of a column's basis differs from others of its metric and protocol, in words.

    Args:
        called: what people read in place of an id's first digits.
    """
    others = [dict(c.basis) for c in columns if c[:3] == column[:3] and c != column]
    return tuple(
        f"{name} {called.get(value, value)}"
        for name, value in column.basis
        if any(o.get(name, value) != value for o in others)
    )


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


def _mark_best(group: Group, difference: Difference) -> None:
    """Mark the best cell of each column if it is beyond its difference from all the others.

    A system alone in a column is not best, and neither is a low bit rate, which costs phones.
    """
    for column in group.columns:
        cells = [cell for cell in _ranked(group, column) if not cell.shortfall]
        direction = column.metric.direction
        if not direction or len(cells) < 2 or column.metric in BITRATES:
            continue
        best = (min if direction == "lower" else max)(cells, key=lambda cell: cell.score.value)
        best.best = all(
            compared(best.score, other.score, difference).better == 0
            for other in cells
            if other is not best
        )


def _ranked(group: Group, column: Column) -> Iterator[Cell]:
    """The cells of a column that may be the best."""
    for row in group.rows:
        if column in row.cells and not row.is_reference:
            yield row.cells[column]


def compared(first: Score, second: Score, difference: Difference) -> Comparison:
    """Two scores of one metric, by the interval of their difference.

    Where that is unknown, it is that of independent scores.
    """
    interval = difference(first, second) or independent(
        first.value, first.interval, second.value, second.interval
    )
    return Comparison(
        first=first.value,
        second=second.value,
        interval=interval,
        direction=metric(first.metric).direction,
    )
