"""The units of a part of a corpus, and what of the corpus they leave out.

What scoring gives: scores, and what a person should know beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zerochain.errors import InputError, listed
from zerochain.formats.corpus import Corpus
from zerochain.formats.identity import check_same_ids
from zerochain.formats.phones import PHONES_FILE, Phones, read_phones
from zerochain.formats.scores import Score
from zerochain.formats.units import UnitFile


@dataclass(frozen=True)
class Scored:
    """Scores, and what a person should know beside them."""

    scores: list[Score]
    notes: list[str] = field(default_factory=list)


def exclusion_notes(scores: list[Score]) -> list[str]:
    """One line for each exclusion, said once."""
    lines = {
        f"left out: {count} {why.replace('_', ' ')}": None
        for score in scores
        for why, count in score.options.get("exclusions", {}).items()
    }
    return list(lines)


def selected_units(
    unit_file: UnitFile, corpus: Corpus, split: str | None
) -> tuple[UnitFile, list[str]]:
    """The units of a split, or all there are, and a note on what is left out.

    Raises:
        InputError: units that the corpus lacks or of another length than its recordings, or a
            split that the unit file lacks some of.
    """
    where = f"corpus {corpus.name}"
    check_same_ids(unit_file.ids, corpus.ids, "unit file", where)
    unit_file.check_durations({u.id: u.duration for u in corpus.utterances}, where)
    if split is None:
        missing = sorted(set(corpus.ids) - set(unit_file.ids))
        note = f"{len(missing)} utterances of the corpus have no units and are left out, their "
        return unit_file, [note + f"seconds too: {listed(missing)}"] if missing else []
    ids = corpus.select(split=split).ids
    check_same_ids(ids, unit_file.ids, f"split {split!r}", "unit file")
    return unit_file.restrict(ids), []


def gold_phones(corpus: Corpus) -> Phones:
    """A corpus's alignments.

    Raises:
        InputError: it has none.
    """
    path = corpus.home / PHONES_FILE
    if not path.is_file():
        raise InputError(
            f"corpus {corpus.name!r} has no gold phones",
            path=path,
            remedy="import it with --alignments; without any, 'zerochain score' has bitrate, "
            "usage, leakage, robustness and sentences",
        )
    return read_phones(path)
