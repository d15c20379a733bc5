"""Units and features of other programs on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import FILE, FOLDER, Command, out_option
from zerochain.cli.export import ids_option

kind_option = click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "fairseq"]),
    required=True,
    help='jsonl: {"file": …, "audio": …, "units": […]} of DiscoPhon and fastabx (one of the two '
    "names is enough); fairseq: id|12 12 33.",
)
corpus_option = click.option(
    "--corpus", type=FOLDER, help="Theirs: gives speakers, and ids and lengths are checked."
)
step_option = click.option(
    "--step-ms",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="From one to the next.",
)


@click.command(
    "units",
    cls=Command,
    example="zerochain export units units.parquet --format jsonl --out units.jsonl",
)
@click.argument("units", type=FILE)
@kind_option
@click.option(
    "--repeats",
    type=click.Choice(["steps", "merged"]),
    default="steps",
    show_default=True,
    help="A unit for every step, or repeats merged (their times are lost).",
)
@ids_option
@out_option("the file", FILE)
def export_units(units: Path, kind: Any, repeats: str, ids: str, out: Path) -> None:
    """Write UNITS as DiscoPhon's and fastabx's JSONL or fairseq's text.

    fastabx and DiscoPhon's ABX know a recording by its name without folders: give --ids name
    here and to 'export items' where ids have some.
    """
    from zerochain.exchange.unit_text import misread_by_fastabx, write_unit_text
    from zerochain.formats.identity import ids_by_name
    from zerochain.formats.units import read_units

    unit_file = read_units(units)
    whole = {name: name for name in unit_file.ids}
    names = whole if ids == "path" else ids_by_name(unit_file.ids, f"file {units.name}")
    lines = {
        name: unit_file.steps(one) if repeats == "steps" else unit_file.segments(one)[0]
        for name, one in names.items()
    }
    write_unit_text(out, kind, lines)
    if kind == "jsonl" and (note := misread_by_fastabx(lines)):
        click.echo(f"Warning: {note}", err=True)
    is_step = repeats == "steps"
    what = f"a unit every {unit_file.step_ms:g} ms" if is_step else "repeats merged, no times"
    click.echo(f"{out}: {len(lines)} utterances, {sum(map(len, lines.values()))} units, {what}")


@click.command(
    "units",
    cls=Command,
    example="zerochain import units hubert.txt --format fairseq --step-ms 20 --suffix .wav "
    "--corpus corpora/mine --out units.parquet",
)
@click.argument("file", type=FILE)
@kind_option
@step_option
@click.option("--n-units", type=click.IntRange(min=1), help="[default: the highest + 1]")
@corpus_option
@ids_option
@click.option("--suffix", default="", help="What all names end with and no id does: .wav")
@click.option("--system", help="What made them.  [default: the file's name]")
@out_option("the units.parquet", FILE)
def import_units(file: Path, kind: Any, out: Path, ids: str, **options: Any) -> None:
    """Take units of a FILE of other programs in, one unit a step; names stay as they are."""
    from zerochain.exchange.importing import import_units as take_in

    made = take_in(file, out, kind, folders=ids == "path", **options)
    count = sum(len(line) for line in made.units.values())
    click.echo(
        f"{out}: {len(made.units)} utterances, {count} units of 0 … {made.n_units - 1}, "
        f"each {made.step_ms:g} ms"
    )


@click.command(
    "features",
    cls=Command,
    example="zerochain import features hubert/ --step-ms 20 --corpus corpora/mine --out feats/",
)
@click.argument("folder", type=FOLDER)
@step_option
@corpus_option
@ids_option
@click.option("--name", "extractor", help="What the features are.  [default: the FOLDER's name]")
@out_option("the features", FOLDER)
def import_features(out: Path, ids: str, **options: Any) -> None:
    """Take features in from a FOLDER and its subfolders: .npy (T, D), or .txt with a frame a line.

    .txt files are those of ZeroSpeech 2021 and Libri-Light: numbers with spaces between them.
    """
    from zerochain.exchange.feature_files import import_features as take_in

    made, others = take_in(out=out, folders=ids == "path", **options)
    click.echo(f"{out}: {len(made)} utterances, {len(made.frames)} × {made.dim}")
    for suffix, count in others.items():
        click.echo(f"left out: {count} {suffix}")
