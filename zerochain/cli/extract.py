"""Stage 1 on the command line: extract features."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import (
    FEATURES,
    FOLDER,
    Command,
    checked,
    device_option,
    jobs_option,
    out_option,
)


@click.command(cls=Command, example="zerochain extract corpora/mine --features mfcc --out feats/")
@click.argument("corpus", type=FOLDER)
@click.option("--features", type=click.Choice(FEATURES), default="mfcc", show_default=True)
@click.option(
    "--n-mels", type=click.IntRange(min=1), default=80, show_default=True, help="Mel bands."
)
@click.option("--step-ms", type=float, default=10.0, show_default=True)
@click.option("--window-ms", type=float, default=25.0, show_default=True)
@out_option("the features folder")
@device_option
@jobs_option
def extract(
    corpus: Path,
    features: str,
    n_mels: int,
    step_ms: float,
    window_ms: float,
    out: Path,
    device: str,
    jobs: int | None,
) -> None:
    """Extract MFCC-39 or log-mel-80 features of a CORPUS into a folder.

    Other stages extract what they need by themselves; a folder saves doing it twice.
    """
    from zerochain.features.extraction import extract as extract_features
    from zerochain.features.spectral import SpectralOptions
    from zerochain.formats.corpus import read_corpus
    from zerochain.training.device import resolve_device

    options = checked(
        SpectralOptions, kind=features, n_mels=n_mels, step_ms=step_ms, window_ms=window_ms
    )
    made = extract_features(
        read_corpus(corpus), options, out, device=resolve_device(device), jobs=jobs
    )
    click.echo(f"{out}: {len(made)} utterances, {len(made.frames)} frames of {made.dim}")
