"""A few test utterances: their pictures, and what there is to listen to."""

from __future__ import annotations

from dataclasses import dataclass

from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.units import UnitFile
from zerochain.progress import track
from zerochain.report import style, utterances
from zerochain.report.run import Run
from zerochain.report.score_tables import ScoreTable
from zerochain.report.utterances import LONGEST_S, Player, players

Named = tuple[str, UnitFile]
_MOST_BYTES = 5_000_000


@dataclass(frozen=True)
class Example:
    """An utterance to look at and listen to."""

    utterance: Utterance
    corpus: str
    clipped: bool
    svg: str
    players: list[Player]

    @property
    def size(self) -> int:
        """Bytes that it takes in the page."""
        return len(self.svg) + sum(player.size for player in self.players)


def scored_units(run: Run, table: ScoreTable | None) -> list[Named]:
    """Unit files with names for people: those that were scored, else one of each unit model."""
    rows = table.rows if table else []
    scored = {row.unit_file.id: row.system for row in rows if row.unit_file}
    if scored:
        return [(name, run.units[identity]) for identity, name in scored.items()]
    heard = [units for units in run.units.values() if not units.is_translation]
    first = {units.model_id: units for units in reversed(heard)}
    return [(units.method, units) for units in reversed(first.values())]


def examples(run: Run, table: ScoreTable | None, n: int) -> tuple[list[Example], list[str]]:
    """At most n test utterances with the units of the best and of the spoken system.

    Returns:
        The examples, and why there are fewer: recordings that can't be read, or too large a page.
    """
    tiers = _tiers(run, table)
    corpus = run.corpora.get(tiers[-1][1].corpus_id) if tiers else None
    if corpus is None:
        return [], []
    voices = {synthesis.voice for synthesis in run.syntheses}
    chosen = utterances.choose(corpus, tiers[-1][1].ids, n, voices)
    made: list[Example] = []
    try:
        for utterance in track(chosen, "Drawing utterances"):
            example = _example(run, corpus, utterance, tiers)
            if made and sum(e.size for e in [*made, example]) > _MOST_BYTES:
                return made, [f"{len(made)} of {len(chosen)} utterances fit into the page"]
            made.append(example)
    except InputError as error:
        return made, [f"a recording could not be shown: {error}"]
    return made, []


def _tiers(run: Run, table: ScoreTable | None) -> list[Named]:
    """The system with the best ABX error, then the one that was resynthesised, if another."""
    known = [(name, units) for name, units in scored_units(run, table) if run.corpus_of(units)]
    unscored = [
        (units.method, units)
        for units in run.units.values()
        if run.corpus_of(units) and not units.is_translation
    ]
    spoken_ids = {synthesis.units_id for synthesis in run.syntheses}
    spoken = [named for named in known + unscored if named[1].id in spoken_ids][:1] or known[:1]
    best_ids = [
        row.unit_file.id
        for row in (table.rows if table else [])
        for column, cell in row.cells.items()
        if row.unit_file and cell.best and column.stem == "abx_across"
    ]
    best = [
        named
        for named in known
        if named[1].id in best_ids[:1]
        and named[1].id != spoken[0][1].id
        and named[1].corpus_id == spoken[0][1].corpus_id
    ]
    return best + spoken


def _example(run: Run, corpus: Corpus, utterance: Utterance, tiers: list[Named]) -> Example:
    wave = utterances.recording(corpus, utterance)
    phones = run.phones_of(corpus)
    gold = phones.by_id.get(utterance.id, []) if phones else []
    there = [(name, units) for name, units in tiers if utterance.id in units.units]
    figure = utterances.picture(wave, gold, there, utterance.id)
    alt = f"Spectrogram of {utterance.id} under the units of {' and '.join(n for n, _ in there)}"
    return Example(
        utterance=utterance,
        corpus=corpus.name,
        clipped=utterance.duration > LONGEST_S,
        svg=style.inline_svg(figure, alt, f"example-{utterance.id}"),
        players=players(run, corpus, utterance, wave),
    )
