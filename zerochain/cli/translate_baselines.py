"""Baselines of translation on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import FILE, FOLDER, Command, jobs_option, out_option

targets_argument = click.argument("targets", type=FILE)
pairs_argument = click.argument("pairs", type=FILE)
corpus_option = click.option("--corpus", type=FOLDER, required=True, help="The sources' corpus.")
train_split_option = click.option(
    "--train-split", default="train", show_default=True, help="Whose pairs are the examples."
)
test_split_option = click.option(
    "--split", default="test", show_default=True, help="What is translated."
)


@click.command(
    cls=Command,
    example="zerochain translate baseline nearest features/en units/es.parquet "
    "corpora/pairs.parquet --corpus corpora/en --out nearest.parquet",
)
@click.argument("features", type=FOLDER)
@targets_argument
@pairs_argument
@corpus_option
@train_split_option
@test_split_option
@click.option(
    "--normalisation",
    type=click.Choice(["auto", "none", "corpus", "speaker", "utterance"]),
    default="auto",
    show_default=True,
    help="Of the features; auto: per speaker where all are known, else per utterance.",
)
@click.option(
    "--step-ms",
    type=click.FloatRange(min=1),
    default=40,
    show_default=True,
    help="Frames are averaged to steps of this length.",
)
@click.option(
    "--unpaired",
    is_flag=True,
    help="Translate the utterances of --split that no pair names: made-up pairs for 'translate "
    "train --pseudo'.",
)
@out_option("the units", FILE)
@jobs_option
def nearest(normalisation: str, out: Path, **options: Any) -> None:
    """The units in TARGETS of the training source whose FEATURES are nearest, by DTW."""
    from zerochain.translation.baselines import nearest_baseline

    kind: Any = None if normalisation == "auto" else normalisation
    found = nearest_baseline(out=out, normalisation=kind, **options)
    click.echo(f"{len(found)} utterances, {len(set(found.values()))} different examples → {out}")


@click.command(
    cls=Command,
    example="zerochain translate baseline frequent units/es.parquet corpora/pairs.parquet "
    "--corpus corpora/en --out frequent.parquet",
)
@targets_argument
@pairs_argument
@corpus_option
@train_split_option
@test_split_option
@out_option("the units", FILE)
def frequent(out: Path, **options: Any) -> None:
    """The same units for everything: the most frequent of TARGETS, of several the most central."""
    from zerochain.translation.baselines import frequent_baseline

    click.echo(f"the units of {frequent_baseline(out=out, **options)} for everything → {out}")
