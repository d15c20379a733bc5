"""`translate decode`: features or units in, units of another language out."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import FILE, FOLDER, PATH, Command, device_option, out_option, seed_option
from zerochain.cli.translate import corpus_option, part_of
from zerochain.errors import listed


@click.command(
    cls=Command,
    example="zerochain translate decode translators/en-es en --corpus corpora/en --split test "
    "--beam 5 --out test.es.parquet\n"
    "zerochain translate decode translators/en-es en --id en0004 --attention maps "
    "--out one.parquet",
)
@click.argument("translator", type=FOLDER)
@click.argument("source", type=PATH)
@click.option(
    "--beam",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Beginnings that are kept: 5 is better and slower, 1 takes the likeliest unit each time.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    help="Draw from so many of the likeliest units instead, from --seed.",
)
@click.option("--id", "ids", multiple=True, help="Translate this utterance alone. Repeatable.")
@corpus_option
@click.option("--split", help="Translate this split of --corpus alone.")
@click.option(
    "--attention",
    type=FOLDER,
    help="A folder for maps of which part of the source each unit comes from, <id>.npz.",
)
@click.option(
    "--scores", type=FILE, help="A scores.jsonl to which the real-time factor is appended."
)
@click.option("--system", help="What it is called there.")
@out_option("the unit file; its units have no durations", FILE)
@seed_option
@device_option
def decode(
    translator: Path,
    source: Path,
    beam: int,
    sample: int | None,
    ids: tuple[str, ...],
    corpora: tuple[Path, ...],
    split: str | None,
    attention: Path | None,
    scores: Path | None,
    system: str | None,
    out: Path,
    seed: int,
    device: str,
) -> None:
    """Translate SOURCE, a features folder or a unit file like the TRANSLATOR's, into units."""
    from zerochain.training.device import resolve_device
    from zerochain.translation.stage import translate as translate_files
    from zerochain.translation.translator import Search

    if sample is not None and beam > 1:
        raise click.BadParameter("--beam is for the best translation, --sample for varied ones")
    done = translate_files(
        translator,
        source,
        out,
        search=Search(beam, sample, seed),
        ids=ids,
        part=part_of(corpora, split),
        attention=attention,
        scores=scores,
        system=system,
        device=resolve_device(device),
    )
    n_units = sum(len(units) for units in done.unit_file.units.values())
    n = len(done.unit_file.units)
    click.echo(f"{out}: {n} translations, {done.n_distinct} different ones, {n_units} units")
    click.echo(
        f"  {done.seconds:.2f} s for {done.heard_s:.1f} s of recordings (real-time factor "
        f"{done.real_time_factor:.3f}, in batches, without listening and speaking)"
    )
    if n > 1 and done.n_distinct == 1:
        click.echo("  all are the same: the translator ignores its input", err=True)
    if done.still:
        click.echo(
            f"  nothing is to be heard in {listed(done.still)}: what was said for them is made up",
            err=True,
        )
    if done.cut:
        click.echo(f"  cut at the length limit, so likely runaways: {listed(done.cut)}", err=True)
