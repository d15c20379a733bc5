"""`zerochain report`: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import FILE, FOLDER, Command, out_option
from zerochain.errors import printable
from zerochain.report.drawings import RATES, Rate
from zerochain.report.page import UNITS_SHOWN, write_report
from zerochain.report.run import run_files


@click.command(
    cls=Command,
    example="zerochain report runs/mine --corpus corpora/mine --out runs/mine/report\n"
    "zerochain report runs/kmeans runs/vqvae --out both",
)
@click.argument("runs", metavar="RUN...", type=FOLDER, nargs=-1, required=True)
@click.option(
    "--corpus",
    "corpora",
    type=FOLDER,
    multiple=True,
    help="A corpus outside RUN; can be given several times. Those that a run's config.yaml or last "
    "page names, or that lie beside it, are found without.",
)
@click.option(
    "--scores",
    "present",
    type=FILE,
    multiple=True,
    help="Show only these scores.jsonl in RUN and what they are of: other outputs, of former "
    "settings, are listed alone. Pipelines give it, and their pages remember it.",
)
@click.option(
    "--title", default="Units, scores and resynthesis", show_default=True, help="The heading."
)
@click.option(
    "--published",
    type=click.Choice(["english", "surprise", "none"]),
    default="english",
    show_default=True,
    help="The language of the published ZeroSpeech results in the plot.",
)
@click.option(
    "--rate",
    type=click.Choice(list(RATES)),
    default="units",
    show_default=True,
    help="The bit rate on the plot's x axis. units: every unit counts, as in the published "
    "results; segments: repeats merged, without durations; timed: segments with their durations.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="Number of test utterances to see and hear.",
)
@click.option(
    "--units",
    type=click.IntRange(min=0),
    default=UNITS_SHOWN,
    show_default=True,
    help="Number of units to listen to, the most frequent ones; 'zerochain units' shows all.",
)
@out_option("index.html, tradeoff.svg and tradeoff.png")
def report(
    runs: tuple[Path, ...],
    corpora: tuple[Path, ...],
    present: tuple[Path, ...],
    title: str,
    published: str,
    rate: Rate,
    examples: int,
    units: int,
    out: Path,
) -> None:
    """Show everything in the folder RUN, or in several, on one HTML page that needs no network.

    Corpora, models, units, scores, resynthesised speech and training logs are recognised by their
    headers, whatever their names; the page lists the files that it used and those it didn't. A page
    is never replaced by one of the same runs that shows less.
    """
    files = run_files(*runs, corpora=corpora, present=present)
    page = write_report(
        out,
        files,
        title=title,
        published=None if published == "none" else published,
        rate=rate,
        n_examples=examples,
        n_units=units,
    )
    for path, why in files.passed_over:
        click.echo(f"not used: {printable(f'{path}: {why}')}", err=True)
    click.echo(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
