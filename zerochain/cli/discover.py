"""Stage 2 on the command line: discover units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zerochain.cli.common import (
    FOLDER,
    Group,
    checked,
    device_option,
    feature_source,
    jobs_option,
    layer_option,
    out_option,
    seed_option,
    split_option,
)

if TYPE_CHECKING:
    from zerochain.discovery.front_end import FrontEndOptions
    from zerochain.discovery.model import UnitModel

F = TypeVar("F", bound=Callable[..., Any])
max_frames_option = click.option(
    "--max-frames",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Fit on a random subset where there are more.",
)


def discovery_options(function: F) -> F:
    """What every way to discover units takes."""
    options = [
        click.argument("corpus", type=FOLDER),
        click.option(
            "--units",
            type=click.IntRange(min=1),
            default=256,
            show_default=True,
            help="K.",
        ),
        click.option(
            "--stride",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Frames that one unit lasts.",
        ),
        click.option(
            "--features",
            default="mfcc",
            show_default=True,
            metavar="mfcc|log-mel|FOLDER",
            help="Where to look: extracted for the occasion, a features folder, or the folder of "
            "a HuBERT, WavLM or wav2vec 2.0 checkpoint.",
        ),
        layer_option,
        click.option(
            "--normalisation",
            type=click.Choice(["auto", "none", "corpus", "speaker", "utterance"]),
            default="auto",
            show_default=True,
            help="Of the features; auto takes speaker where speakers are known, else utterance.",
        ),
        click.option(
            "--context",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Frames on each side that are stacked beside each frame.",
        ),
        click.option(
            "--components",
            type=click.IntRange(min=1),
            help="Principal components of the (stacked) features to keep.  [default: all]",
        ),
        split_option,
        out_option("the unit model"),
        seed_option,
        device_option,
        jobs_option,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _front_end(values: dict[str, Any]) -> FrontEndOptions:
    """Take the front end's options out of a command's."""
    from zerochain.discovery.front_end import FrontEndOptions

    kind = values.pop("normalisation")
    return checked(
        FrontEndOptions,
        normalisation=None if kind == "auto" else kind,
        context=values.pop("context"),
        components=values.pop("components"),
    )


def _fit(
    model: UnitModel,
    corpus: Path,
    out: Path,
    features: str,
    layer: int | None,
    split: str | None,
    jobs: int | None,
) -> None:
    from zerochain.discovery.stage import discover as fit_units

    source = feature_source(features, layer)
    fit_units(model, corpus, out, features=source, split=split, device=model.device, jobs=jobs)
    click.echo(f"{out}: {model.method}, {model.summary}")


@click.group(cls=Group)
def discover() -> None:
    """Discover units: fit a unit model on a corpus."""


@discover.command(
    example="zerochain discover kmeans corpora/mine --units 256 --stride 4 --out models/km256"
)
@discovery_options
@max_frames_option
def kmeans(units: int, stride: int, max_frames: int, seed: int, device: str, **rest: Any) -> None:
    """K-Means: a unit is the nearest of K centroids."""
    from zerochain.discovery.kmeans import KMeansUnits
    from zerochain.training.device import resolve_device

    model = KMeansUnits(
        units,
        stride,
        options=_front_end(rest),
        max_frames=max_frames,
        seed=seed,
        device=resolve_device(device),
    )
    _fit(model, **rest)
