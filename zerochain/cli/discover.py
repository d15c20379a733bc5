"""Stages 1 and 2 on the command line: extract, discover, encode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    Group,
    checked,
    device_option,
    jobs_option,
    out_option,
    seed_option,
)

KINDS = ("mfcc", "log-mel")
split_option = click.option("--split", help="Only the utterances of this split.")


@click.command(cls=Command, example="zerochain extract corpora/mine --features mfcc --out feats/")
@click.argument("corpus", type=FOLDER)
@click.option("--features", type=click.Choice(KINDS), default="mfcc", show_default=True)
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


@click.group(cls=Group)
def discover() -> None:
    """Discover units: fit a unit model on a corpus."""


@discover.command(
    example="zerochain discover kmeans corpora/mine --units 256 --stride 4 --out models/km256"
)
@click.argument("corpus", type=FOLDER)
@click.option("--units", type=click.IntRange(min=1), default=256, show_default=True, help="K.")
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Frames that one unit lasts; they are averaged.",
)
@click.option(
    "--normalisation",
    type=click.Choice(["auto", "none", "corpus", "speaker", "utterance"]),
    default="auto",
    show_default=True,
    help="Of the features; auto takes speaker where speakers are known, else utterance.",
)
@click.option(
    "--features",
    default="mfcc",
    show_default=True,
    metavar="mfcc|log-mel|FOLDER",
    help="What to cluster: extracted for the occasion, or a features folder.",
)
@click.option(
    "--max-frames",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Fit on a random subset where there are more.",
)
@split_option
@out_option("the unit model")
@seed_option
@device_option
@jobs_option
def kmeans(
    corpus: Path,
    units: int,
    stride: int,
    normalisation: Any,
    features: str,
    max_frames: int,
    split: str | None,
    out: Path,
    seed: int,
    device: str,
    jobs: int | None,
) -> None:
    """K-Means: a unit is the nearest of K centroids."""
    from zerochain.discovery.kmeans import KMeansUnits
    from zerochain.discovery.stage import discover as fit_units
    from zerochain.features.spectral import SpectralOptions
    from zerochain.training.device import resolve_device

    model = KMeansUnits(
        units,
        stride,
        normalisation=None if normalisation == "auto" else normalisation,
        max_frames=max_frames,
        seed=seed,
        device=resolve_device(device),
    )
    source = SpectralOptions(kind=features) if features in KINDS else Path(features)
    fit_units(model, corpus, out, features=source, split=split, device=model.device, jobs=jobs)
    click.echo(
        f"{out}: {model.method}, {model.n_frames} frames, {model.n_iterations} iterations, "
        f"inertia {model.inertia:.4g}"
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
