"""Stage 2 on the command line: discover units, and encode a corpus with a unit model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from zerochain.cli.common import (
    FOLDER,
    PATH,
    Command,
    check_table,
    device_option,
    jobs_option,
    out_option,
    seed_option,
    shift_option,
    silence_option,
    split_option,
)
from zerochain.cli.extract import feature_source, layer_option, pool_option
from zerochain.cli.options import options_of
from zerochain.cli.training import running_options
from zerochain.discovery import cpc, self_training
from zerochain.discovery import topline as top
from zerochain.discovery import vqvae as vq
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansConfig, KMeansUnits
from zerochain.discovery.mixtures import DPGMMConfig, DPGMMUnits, GMMUnits, MixtureConfig
from zerochain.discovery.model import UnitModel
from zerochain.discovery.penalty import SegmentationOptions, segment_rates
from zerochain.discovery.stage import discover, encode_frames, targets_of, topline_of
from zerochain.discovery.stage import encode as encode_corpus
from zerochain.errors import counted, printable
from zerochain.formats.corpus import read_corpus
from zerochain.metrics.silences import chosen
from zerochain.training.device import is_main_process, resolve_device
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running

F = TypeVar("F", bound=Callable[..., Any])


def discovery_options(method: type[UnitModel]) -> Callable[[F], F]:
    """What every way to discover units takes, with the defaults of its class.

    `--units` is left out where the class doesn't take a number of units.
    """
    defaults = {name: one.default for name, one in inspect.signature(method).parameters.items()}
    options = [
        click.argument("corpus", type=FOLDER),
        *[
            click.option(
                "--units",
                type=click.IntRange(min=1),
                default=default,
                show_default=True,
                help="Number of units, K.",
            )
            for name, default in defaults.items()
            if name == "n_units"
        ],
        click.option(
            "--stride",
            type=click.IntRange(min=1),
            default=defaults["stride"],
            show_default=True,
            help="Frames per unit.",
        ),
        click.option(
            "--features",
            default="mfcc",
            show_default=True,
            metavar="mfcc|log-mel|mfcc+tone|tone|FOLDER",
            help="The features to discover units in: mfcc, log-mel, mfcc+tone or tone (for tone "
            "languages), which are extracted, a "
            "features folder, or the folder of a HuBERT, WavLM or wav2vec 2.0 checkpoint.",
        ),
        layer_option,
        options_of(method.default_options, into="options"),
        options_of(SegmentationOptions, into="segmentation"),
        split_option,
        out_option("the unit model"),
        jobs_option,
    ]

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


targets_option = click.option(
    "--soft-targets",
    type=FOLDER,
    help="Posteriors of the corpus that are learned instead of the teacher's, such as those of "
    "several models ('zerochain extract --posteriors MODEL --posteriors MODEL').",
)


def discovered(
    method: Callable[..., UnitModel],
    running: Running,
    *,
    units: int,
    stride: int,
    options: FrontEndOptions,
    corpus: Path,
    out: Path,
    features: str,
    layer: int | None,
    segmentation: SegmentationOptions,
    split: str | None,
    jobs: int | None,
    soft_targets: Path | None = None,
    **settings: Any,
) -> None:
    """Fit a model, save it, and print how the fit went."""
    if soft_targets is not None:
        settings["soft_targets"] = targets_of(corpus, soft_targets, split=split)
    model = method(units, stride, options=options, device=running.device, **settings)
    fitted(
        model,
        running,
        corpus=corpus,
        out=out,
        features=feature_source(features, layer),
        segmentation=segmentation,
        split=split,
        jobs=jobs,
    )


def fitted(model: UnitModel, running: Running, *, out: Path, **speech: Any) -> None:
    """Fit a model, save it, and print how the fit went.

    Args:
        speech: what `discover` takes beside the model.
    """
    model, rates = discover(model, out=out, running=running, **speech)
    if not is_main_process():
        return
    click.echo(f"{out}: {model.method}, {model.summary}")
    if rates:
        click.echo(rates)
    for line in model.findings:
        click.echo(f"Warning: {printable(line, lines=True)}", err=True)


@click.command(
    cls=Command,
    example="zerochain discover kmeans corpora/mine --units 256 --stride 4 --out models/km256",
)
@discovery_options(KMeansUnits)
@options_of(KMeansConfig)
@seed_option
@device_option
def kmeans(device: str, **values: Any) -> None:
    """K-Means: a unit is the nearest of K centroids."""
    discovered(KMeansUnits, Running(device), **values)


@click.command(
    cls=Command,
    example="zerochain discover gmm corpora/mine --units 256 --out models/gmm256\n"
    "zerochain discover gmm corpora/mine --adapt fmllr --out models/fmllr\n"
    "zerochain encode models/gmm256 corpora/mine --posteriors --out posteriors/",
)
@discovery_options(GMMUnits)
@options_of(MixtureConfig)
@seed_option
@device_option
def gmm(device: str, **values: Any) -> None:
    """Gaussian mixture: a unit is the most probable of K components, with posteriors."""
    discovered(GMMUnits, Running(device), **values)


@click.command(
    cls=Command, example="zerochain discover dpgmm corpora/mine --units 500 --out models/dpgmm"
)
@discovery_options(DPGMMUnits)
@options_of(DPGMMConfig)
@seed_option
@device_option
def dpgmm(device: str, **values: Any) -> None:
    """Dirichlet-process mixture: as gmm, but finds out how many of at most K components to use."""
    discovered(DPGMMUnits, Running(device), **values)


@click.command(
    cls=Command,
    example="zerochain discover vqvae corpora/mine --units 256 --out models/vq256",
)
@discovery_options(vq.VQVAEUnits)
@targets_option
@options_of(vq.VQVAEConfig, vq.RECIPE)
@running_options
def vqvae(**values: Any) -> None:
    """Conditional VQ-VAE: codes from which a decoder, given the speaker, reconstructs the features.

    The checkpoint and log.csv are in <out>.training. If training is interrupted, the same command
    continues it.
    """
    discovered(vq.VQVAEUnits, **values)


@click.command(
    cls=Command,
    example="zerochain discover vqcpc corpora/mine --features log-mel --out models/cpc512",
)
@discovery_options(cpc.CPCUnits)
@options_of(cpc.CPCConfig, cpc.RECIPE)
@running_options
def vqcpc(**values: Any) -> None:
    """VQ-CPC: codes that predict the next steps, among negatives from the same speaker.

    Use --features log-mel: the derivatives in MFCCs already contain part of the next steps.

    The checkpoint and log.csv are in <out>.training. If training is interrupted, the same command
    continues it.
    """
    discovered(cpc.CPCUnits, **values)


@click.command(
    cls=Command,
    example="zerochain discover selftrain corpora/mine --units 256 --bitrate 150 --out models/self",
)
@discovery_options(self_training.SelfTrainedUnits)
@targets_option
@options_of(self_training.SelfTrainingConfig, self_training.RECIPE)
@running_options
def selftrain(**values: Any) -> None:
    """Self-training: a network predicts K-Means units in changed voices; K-Means of its bottleneck.

    The checkpoint and log.csv of each round are in <out>.training/round-N. If training is
    interrupted, the same command continues it.
    """
    discovered(self_training.SelfTrainedUnits, **values)


@click.command(
    cls=Command,
    example="zerochain discover topline corpora/mine --split train --out models/topline\n"
    "zerochain encode models/topline corpora/mine --split test --posteriors --out posteriors/",
)
@discovery_options(top.ToplineUnits)
@silence_option
@shift_option
@options_of(top.ToplineConfig, top.RECIPE)
@running_options
def topline(
    corpus: Path,
    split: str | None,
    stride: int,
    silence: str | None,
    shift_ms: float,
    options: FrontEndOptions,
    config: top.ToplineConfig,
    recipe: Recipe,
    running: Running,
    features: str,
    layer: int | None,
    **speech: Any,
) -> None:
    """The topline: a network of the size of self-training's, trained on gold phones; no discovery.

    Its units are the phones and "no phone", with posteriors; its score is what units discovered
    in this speech could reach. Needs a corpus with gold phones.

    The checkpoint and log.csv are in <out>.training. If training is interrupted, the same command
    continues it.
    """
    model = topline_of(
        corpus,
        stride,
        split=split,
        silences=chosen(silence),
        shift_ms=shift_ms,
        options=options,
        config=config,
        recipe=recipe,
        device=running.device,
    )
    source = feature_source(features, layer)
    fitted(model, running, corpus=corpus, split=split, features=source, **speech)


@click.command(
    cls=Command,
    example="zerochain encode models/km256 corpora/mine --split test --out units.parquet\n"
    "zerochain encode models/gmm256 corpora/mine --posteriors --out posteriors/\n"
    "zerochain encode models/km256 corpora/mine --latents --out latents/\n"
    "zerochain encode models/gmm256 corpora/mine --pool-speakers --out units.parquet",
)
@click.argument("model", type=FOLDER)
@click.argument("corpus", type=FOLDER)
@click.option("--features", type=FOLDER, help="A features folder of the corpus.")
@click.option(
    "--posteriors",
    is_flag=True,
    help="Write the probability of every unit at every step, as a features folder (gmm, dpgmm, "
    "topline, selftrain with --unit-source classes).",
)
@click.option(
    "--latents",
    is_flag=True,
    help="Write the vectors that are quantised to units, as a features folder.",
)
@options_of(SegmentationOptions, into="segmentation")
@pool_option
@click.option(
    "--voice-factor",
    type=click.FloatRange(0.5, 2),
    help="Encode the recordings as others would have spoken them, with vocal tracts this many "
    "times as long: 0.9, 1.1, … or 1, for unknown speakers like these (MFCC and log-mel).",
)
@split_option
@out_option("the unit file, or the folder of posteriors or latents", PATH)
@device_option
@jobs_option
def encode(
    model: Path,
    corpus: Path,
    posteriors: bool,
    latents: bool,
    out: Path,
    segmentation: SegmentationOptions,
    device: str,
    **common: Any,
) -> None:
    """Turn the recordings of a CORPUS into units of a unit MODEL.

    A speaker that the model was not fitted on is normalised (with --warp or --adapt also warped and
    adapted) by each utterance alone, so that a recording gets the same units in any company;
    --pool-speakers measures each speaker on all its recordings in CORPUS.

    With a penalty, the model's own or one given here, units are segments with durations.
    Posteriors are scored by 'zerochain score abx FOLDER --distance kl', latents without it.
    """
    common["device"] = resolve_device(device)
    if posteriors and latents:
        raise click.BadParameter(
            "--posteriors and --latents exclude each other: each is a folder of its own"
        )
    if (posteriors or latents) and segmentation != SegmentationOptions():
        raise click.BadParameter("--posteriors and --latents are of every step, not of segments")
    if posteriors or latents:
        what = encode_frames(
            "latents" if latents else "posteriors",
            model,
            corpus,
            out,
            notice=click.echo,
            **common,
        )
        click.echo(f"{out}: {counted(len(what), 'utterance')}, {len(what.frames):,} × {what.dim}")
        return
    if out.is_dir():
        raise click.BadParameter(f"{out} is a directory", param_hint="--out")
    check_table(out)
    made = encode_corpus(model, corpus, out, segmentation=segmentation, notice=click.echo, **common)
    n_units = sum(len(units) for units in made.units.values())
    said = (
        f"{counted(n_units, 'unit')} of {made.step_ms:g} ms"
        if made.durations is None
        else counted(n_units, "segment")
    )
    click.echo(f"{out}: {counted(len(made.units), 'utterance')}, {said}")
    if made.durations is not None or segmentation.bitrate is not None:
        seconds = {u.id: u.duration for u in read_corpus(corpus).utterances}
        click.echo(f"{made.method}: {segment_rates(made, seconds, segmentation.bitrate)}")
