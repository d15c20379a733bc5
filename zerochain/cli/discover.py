"""Stage 2 on the command line: discover units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zerochain.cli.common import (
    FOLDER,
    Command,
    asked_segmentation,
    checked,
    device_option,
    feature_source,
    jobs_option,
    layer_option,
    out_option,
    seed_option,
    segmentation_options,
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
    """What every way to discover units takes, but for `--seed` and `--device`."""
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
            help="Frames on each side that are stacked beside each frame.  [default: 4, with 40 "
            "components, for K-Means of MFCCs; else 0]",
        ),
        click.option(
            "--components",
            type=click.IntRange(min=1),
            help="Principal components of the (stacked) features to keep.  [default: all]",
        ),
        click.option(
            "--warp",
            is_flag=True,
            help="Warp each speaker's spectra to a common vocal-tract length, by likelihood.",
        ),
        click.option(
            "--speaker-attenuation",
            type=click.FloatRange(min=0),
            default=0.0,
            show_default=True,
            metavar="STRENGTH",
            help="Attenuate directions in which known speakers differ; 8 is strong.",
        ),
        segmentation_options,
        split_option,
        out_option("the unit model"),
        jobs_option,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def front_end_options(values: dict[str, Any]) -> FrontEndOptions:
    """Take the front end's options out of a command's."""
    from zerochain.discovery.front_end import FrontEndOptions

    kind = values.pop("normalisation")
    return checked(
        FrontEndOptions,
        normalisation=None if kind == "auto" else kind,
        context=values.pop("context"),
        components=values.pop("components"),
        warp=values.pop("warp"),
        speaker_attenuation=values.pop("speaker_attenuation"),
    )


def fit_and_say(
    model: UnitModel,
    corpus: Path,
    out: Path,
    features: str,
    layer: int | None,
    split: str | None,
    jobs: int | None,
    **segmentation: Any,
) -> None:
    """Fit a model, save it, and say how it went."""
    from zerochain.discovery.stage import discover as fit_units
    from zerochain.training.device import is_main_process

    source = feature_source(features, layer)
    _, rates = fit_units(
        model,
        corpus,
        out,
        features=source,
        segmentation=asked_segmentation(segmentation),
        split=split,
        device=model.device,
        jobs=jobs,
    )
    if not is_main_process():
        return
    click.echo(f"{out}: {model.method}, {model.summary}")
    if rates:
        click.echo(rates)
    for line in model.findings:
        click.echo(f"Warning: {line}", err=True)


@click.command(
    cls=Command,
    example="zerochain discover kmeans corpora/mine --units 256 --stride 4 --out models/km256",
)
@discovery_options
@seed_option
@device_option
@max_frames_option
def kmeans(units: int, stride: int, max_frames: int, seed: int, device: str, **rest: Any) -> None:
    """K-Means: a unit is the nearest of K centroids."""
    from zerochain.discovery.kmeans import KMeansUnits
    from zerochain.training.device import resolve_device

    model = KMeansUnits(
        units,
        stride,
        options=front_end_options(rest),
        max_frames=max_frames,
        seed=seed,
        device=resolve_device(device),
    )
    fit_and_say(model, **rest)


variance_floor_option = click.option(
    "--variance-floor",
    type=click.FloatRange(min=1e-6),
    default=1e-3,
    show_default=True,
    help="Part of each dimension's overall variance that is added to the components' variances.",
)


@click.command(
    cls=Command,
    example="zerochain discover gmm corpora/mine --units 256 --out models/gmm256\n"
    "zerochain encode models/gmm256 corpora/mine --posteriors --out posteriors/",
)
@discovery_options
@seed_option
@device_option
@max_frames_option
@variance_floor_option
def gmm(
    units: int,
    stride: int,
    max_frames: int,
    variance_floor: float,
    seed: int,
    device: str,
    **rest: Any,
) -> None:
    """Gaussian mixture: a unit is the most probable of K components, with posteriors."""
    from zerochain.discovery.mixtures import GMMUnits
    from zerochain.training.device import resolve_device

    model = GMMUnits(
        units,
        stride,
        options=front_end_options(rest),
        max_frames=max_frames,
        variance_floor=variance_floor,
        seed=seed,
        device=resolve_device(device),
    )
    fit_and_say(model, **rest)


@click.command(
    cls=Command, example="zerochain discover dpgmm corpora/mine --units 500 --out models/dpgmm"
)
@discovery_options
@seed_option
@device_option
@max_frames_option
@variance_floor_option
@click.option(
    "--concentration",
    type=click.FloatRange(min=0, min_open=True),
    help="Of the Dirichlet process: more of it leaves more components in use.  [default: 1 / K]",
)
def dpgmm(
    units: int,
    stride: int,
    max_frames: int,
    variance_floor: float,
    concentration: float | None,
    seed: int,
    device: str,
    **rest: Any,
) -> None:
    """Dirichlet-process mixture: as gmm, but finds out how many of at most K components to use."""
    from zerochain.discovery.mixtures import DPGMMUnits
    from zerochain.training.device import resolve_device

    model = DPGMMUnits(
        units,
        stride,
        concentration=concentration,
        options=front_end_options(rest),
        max_frames=max_frames,
        variance_floor=variance_floor,
        seed=seed,
        device=resolve_device(device),
    )
    fit_and_say(model, **rest)
