"""`zerochain report`: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import FOLDER, Command, out_option
from zerochain.report.page import write_report
from zerochain.report.run import run_files


@click.command(
    cls=Command,
    example="zerochain report runs/mine --corpus corpora/mine --out runs/mine/report",
)
@click.argument("run", type=FOLDER)
@click.option(
    "--corpus",
    "corpora",
    type=FOLDER,
    multiple=True,
    help="A corpus that lies outside RUN; may be given several times.",
)
@click.option(
    "--title", default="Units, scores and resynthesis", show_default=True, help="The heading."
)
@click.option(
    "--published",
    type=click.Choice(["english", "surprise", "none"]),
    default="english",
    show_default=True,
    help="Which published ZeroSpeech results are plotted next to yours.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="Test utterances to look at and listen to.",
)
@out_option("index.html, tradeoff.svg and tradeoff.png")
def report(
    run: Path, corpora: tuple[Path, ...], title: str, published: str, examples: int, out: Path
) -> None:
    """Show everything that the folder RUN holds on one HTML page that needs no network.

    Corpora, models, units, scores, resynthesised speech and training logs are recognised by their
    content, whatever their names; the page lists what it used and what it didn't.
    """
    files = run_files(run, corpora)
    page = write_report(
        out,
        files,
        title=title,
        published=None if published == "none" else published,
        n_examples=examples,
    )
    for path, why in files.passed_over:
        click.echo(f"not used: {path}: {why}", err=True)
    click.echo(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
