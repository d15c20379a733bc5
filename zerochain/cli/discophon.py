"""DiscoPhon's layout on the command line: export units of a language, score all languages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    corpus_option,
    ids_option,
    jobs_option,
    out_option,
    seed_option,
)
from zerochain.cli.printing import print_table
from zerochain.cli.score import out_option as scores_option
from zerochain.cli.score import system_option
from zerochain.errors import InputError, counted, listed, printable
from zerochain.exchange.discophon import EVALUATED, LANGUAGES, write_units_part
from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import check_same_ids, ids_by_name
from zerochain.formats.scores import append_scores
from zerochain.formats.units import read_units
from zerochain.metrics.discophon import N_UNITS, Assignment
from zerochain.report.published import Baseline, discophon_baselines
from zerochain.scoring.discophon import Row, score_discophon

HEADER = ("", "PNMI", "PER %", "F1 %", "R-value %", "ABX by identity %")


@click.command(
    "discophon",
    cls=Command,
    example="zerochain export discophon eng.parquet --corpus corpora/eng --language eng "
    "--out submission/",
)
@click.argument("units", type=FILE)
@corpus_option
@click.option(
    "--language",
    type=click.Choice(list(LANGUAGES)),
    required=True,
    metavar="CODE",
    help=f"ISO 639-3 code: {', '.join(LANGUAGES)}.",
)
@ids_option
@out_option("units-<language>-<split>.jsonl", FOLDER)
def export(units: Path, corpus: Path, language: str, ids: str, out: Path) -> None:
    """Write UNITS of a language's dev and test splits in DiscoPhon's layout.

    One language at a time; files of other languages in the folder stay. Every utterance of the
    splits needs units. DiscoPhon takes 256 units many-to-one, or the number of phonemes and one
    one-to-one, and by default a unit every 20 ms.
    """
    unit_file, whole = read_units(units), read_corpus(corpus)
    check_same_ids(unit_file.ids, whole.ids, "unit file", f"corpus {whole.name}")
    there = set(unit_file.ids)
    split_of = {u.id: u.split for u in whole.utterances}
    splits = [s for s in EVALUATED if any(split_of[name] == s for name in there)]
    if not splits:
        raise InputError(
            f"no unit of split {listed(list(EVALUATED))}",
            path=units,
            cause="only training speech was encoded, or the corpus has other splits",
            remedy="import DiscoPhon's data by data/discophon/prepare.py, and encode dev and test",
        )
    for split in splits:
        names = [name for name, one in split_of.items() if one == split]
        check_same_ids(names, there, f"split {split!r}", "unit file")
        by_name = {n: n for n in names} if ids == "path" else ids_by_name(names, f"split {split}")
        lines = {name: unit_file.steps(one) for name, one in by_name.items()}
        path = write_units_part(out, language, split, lines)
        click.echo(f"{path}: {counted(len(lines), 'utterance')}")
    for split in EVALUATED:
        if split not in splits:
            which = "units of" if split in split_of.values() else "split"
            click.echo(f"no {which} {split!r}: DiscoPhon has dev and test of a language")
    if unit_file.n_units > N_UNITS:
        click.echo(f"Warning: {unit_file.n_units} units; DiscoPhon takes {N_UNITS}", err=True)
    if unit_file.step_ms != 20:
        step = f"{unit_file.step_ms:g}"
        click.echo(f"a unit every {step} ms: score with --step-ms {step} (there: --step-units)")


@click.command(
    "discophon",
    cls=Command,
    example="zerochain score discophon submission/ --data discophon_data --out scores.jsonl",
)
@click.argument("units", type=FOLDER)
@click.option("--data", type=FOLDER, required=True, help="DiscoPhon's data folder.")
@click.option(
    "--assignment",
    type=click.Choice(list(get_args(Assignment))),
    default="many-to-one",
    show_default=True,
    help="Of units to phones; one-to-one is for as many units as phonemes and one for silence.",
)
@click.option(
    "--step-ms",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="From one unit to the next.",
)
@click.option("--abx/--no-abx", "with_abx", default=True, show_default=True, help="Also ABX.")
@system_option
@scores_option
@seed_option
@jobs_option
def score(units: Path, out: Path, assignment: Assignment, **options: Any) -> None:
    """Score all languages and splits in a folder of UNITS as DiscoPhon does.

    The folder holds units-<language>-<split>.jsonl. Of each language: PNMI, phone error rate,
    boundary F1 and R-value of units mapped to phones, silence being a phone, and the mean of the
    ABX errors within and across speakers, by identity of units over triphones. Then the means over
    languages, and the published baselines beside them.
    """
    made = score_discophon(units, assignment=assignment, **options)
    append_scores(out, made.scores)
    print_table(f"{made.scores[0].system}, {assignment}", HEADER, map(_cells, made.rows))
    for part, name in (("test", "test"), ("dev", "development")):
        if assignment == "many-to-one" and any(row.part == part for row in made.rows):
            title = f"Published, means of 6 {name} languages, test"
            print_table(title, HEADER, map(_published, _shown(discophon_baselines(part))))
    for note in made.notes:
        click.echo(printable(note, lines=True))
    click.echo(f"appended to {out}")


def _shown(baselines: Sequence[Baseline]) -> list[Baseline]:
    """As they are, and adapted on all that the benchmark allows."""
    return [one for one in baselines if one.adapted_on in {"none", "10h"}]


def _cells(row: Row) -> list[str]:
    given = [(key, 3 if key == "pnmi" else 1) for key in ("pnmi", "per", "f1", "r_value", "abx")]
    cells = [f"{row.values[k]:.{n}f}" if k in row.values else "–" for k, n in given]
    return [row.label, *cells]


def _published(one: Baseline) -> list[str]:
    how = "not adapted" if one.adapted_on == "none" else f"adapted on {one.adapted_on}"
    numbers = (one.per, one.f1, one.r_value, one.abx_identical)
    return [f"{one.model}, {how}", f"{one.pnmi:.3f}", *(f"{number:.1f}" for number in numbers)]
