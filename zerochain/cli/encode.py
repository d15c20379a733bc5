"""Stage 2 on the command line: encode a corpus with a unit model."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    device_option,
    jobs_option,
    out_option,
    split_option,
)


@click.command(
    cls=Command,
    example="zerochain encode models/km256 corpora/mine --split test --out units.parquet",
)
@click.argument("model", type=FOLDER)
@click.argument("corpus", type=FOLDER)
@click.option("--features", type=FOLDER, help="A features folder of the corpus.")
@split_option
@out_option("the unit file", FILE)
@device_option
@jobs_option
def encode(
    model: Path,
    corpus: Path,
    features: Path | None,
    split: str | None,
    out: Path,
    device: str,
    jobs: int | None,
) -> None:
    """Turn the recordings of a CORPUS into units of a unit MODEL."""
    from zerochain.discovery.stage import encode as encode_corpus
    from zerochain.training.device import resolve_device

    made = encode_corpus(
        model,
        corpus,
        out,
        features=features,
        split=split,
        device=resolve_device(device),
        jobs=jobs,
    )
    n_units = sum(len(units) for units in made.units.values())
    click.echo(f"{out}: {len(made.units)} utterances, {n_units} units of {made.step_ms:g} ms")
