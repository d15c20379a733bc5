"""Stage 1 on the command line: extract features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from zerochain.cli.common import (
    FOLDER,
    Command,
    device_option,
    jobs_option,
    out_option,
    split_option,
)
from zerochain.cli.options import checked
from zerochain.discovery.stage import adapt as adapt_features
from zerochain.discovery.stage import fuse_posteriors
from zerochain.errors import counted
from zerochain.features.extraction import Options
from zerochain.features.extraction import extract as extract_features
from zerochain.features.f0 import F0Options
from zerochain.features.normalisation import TONE, TONE_ALONE
from zerochain.features.spectral import SpectralOptions
from zerochain.features.ssl import SslOptions, is_checkpoint
from zerochain.features.tone import ToneOptions
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import Features
from zerochain.training.device import resolve_device

F = TypeVar("F", bound=Callable[..., Any])
SPECTRAL = ("mfcc", "log-mel")
EXTRACTED = (*SPECTRAL, TONE, TONE_ALONE)


def layer_option(function: F) -> F:
    """`--layer` of a checkpoint."""
    return click.option(
        "--layer",
        type=click.IntRange(min=0),
        help="If --features is a checkpoint: the Transformer block whose output is used.",
    )(function)


def pool_option(function: F) -> F:
    """`--pool-speakers` of what encodes with a unit model."""
    return click.option(
        "--pool-speakers",
        is_flag=True,
        help="Normalise and adapt a speaker that the model was not fitted on by all its recordings "
        "here, instead of each utterance by itself: more speech, but other recordings change it.",
    )(function)


def feature_source(features: str, layer: int | None, **spectral: Any) -> Path | Options:
    """What `--features` means: a kind to extract, a checkpoint's layer, or a features folder.

    Args:
        spectral: options of what is extracted from spectra; None stands for the default.
    """
    given = {name: value for name, value in spectral.items() if value is not None}
    folder = None if features in EXTRACTED else Path(features)
    if layer is not None and (folder is None or not is_checkpoint(folder)):
        raise click.BadParameter(f"--layer only applies to a checkpoint, which {features} is not")
    if features in {TONE, TONE_ALONE}:
        return checked(ToneOptions, kind=features, spectral=checked(SpectralOptions, **given))
    if folder is None:
        return checked(SpectralOptions, kind=features, **given)
    if given:
        flag = next(iter(given)).replace("_", "-")
        raise click.BadParameter(f"--{flag} only applies to --features mfcc and log-mel")
    if not is_checkpoint(folder):
        return folder
    if layer is None:
        raise click.BadParameter(f"{features} is a checkpoint: give its --layer")
    return SslOptions.of(folder, layer)


@click.command(
    cls=Command,
    example="zerochain extract corpora/mine --features mfcc --out feats/\n"
    "zerochain extract corpora/mine --features f0 --out f0/\n"
    "zerochain extract corpora/mine --features mfcc+tone --tone-weight 2 --out feats/\n"
    "zerochain extract corpora/mine --features tone --out tone/\n"
    "zerochain extract corpora/mine --features hubert-base/ --layer 6 --out feats/\n"
    "zerochain extract corpora/mine --adapt models/fmllr --out adapted/\n"
    "zerochain extract corpora/mine --posteriors models/gmm256 --posteriors models/fmllr "
    "--out fused/",
)
@click.argument("corpus", type=FOLDER)
@click.option(
    "--features",
    default="mfcc",
    show_default=True,
    metavar="mfcc|log-mel|f0|mfcc+tone|tone|CHECKPOINT",
    help="What to extract; CHECKPOINT is the folder of a HuBERT, WavLM or wav2vec 2.0 model. With "
    "--adapt or --posteriors: a features folder of the corpus, which the models can use.",
)
@click.option(
    "--adapt",
    type=FOLDER,
    metavar="MODEL",
    help="Extract features as this unit model (discover gmm --adapt) adapts them to speakers, for "
    "any other method.",
)
@click.option(
    "--posteriors",
    type=FOLDER,
    multiple=True,
    metavar="MODEL",
    help="Extract the posteriors of this unit model. Can be repeated: the models' posteriors are "
    "fused, side by side with equal weights.",
)
@pool_option
@split_option
@layer_option
@click.option("--n-mels", type=click.IntRange(min=1), help="Mel bands.  [default: 80]")
@click.option("--step-ms", type=float, help="From frame to frame, in ms.  [default: 10; f0: 5]")
@click.option("--window-ms", type=float, help="Window of a frame, in ms.  [default: 25]")
@click.option(
    "--tone-weight",
    type=float,
    help="Of a semitone of tone beside normalised MFCCs, for mfcc+tone.  [default: 1.2]",
)
@out_option("the features folder")
@device_option
@jobs_option
def extract(
    corpus: Path,
    features: str,
    layer: int | None,
    n_mels: int | None,
    step_ms: float | None,
    window_ms: float | None,
    tone_weight: float | None,
    adapt: Path | None,
    posteriors: tuple[Path, ...],
    pool_speakers: bool,
    split: str | None,
    out: Path,
    device: str,
    jobs: int | None,
) -> None:
    """Extract MFCC-39, log-mel-80 or F0 of a CORPUS, or a checkpoint's features, into a folder.

    F0 is in Hz, 0 where speech is unvoiced. mfcc+tone adds the height of F0 relative to the speech
    around it, for tone languages; tone is a stream of that height alone. Other stages extract what
    they need by themselves; a folder saves doing it twice.

    --adapt gives the features that a speaker-adaptive unit model clusters, --posteriors the
    probabilities of its units.
    """
    given = {"n_mels": n_mels, "step_ms": step_ms, "window_ms": window_ms}
    if adapt is not None or posteriors:
        made = _by_models(
            corpus,
            out,
            adapt,
            posteriors,
            pool_speakers=pool_speakers,
            split=split,
            device=resolve_device(device),
            jobs=jobs,
            unfit={**given, "tone_weight": tone_weight, "layer": layer},
        )
        _print_made(out, made)
        return
    if pool_speakers:
        raise click.BadParameter("--pool-speakers only applies to --adapt and --posteriors")
    options = _options(features, layer, **given)
    if tone_weight is not None:
        if not isinstance(options, ToneOptions) or options.kind != TONE:
            raise click.BadParameter(f"--tone-weight only applies to --features {TONE}")
        options = checked(ToneOptions, spectral=options.spectral, weight=tone_weight)
    part = read_corpus(corpus).select(split=split)
    made = extract_features(part, options, out, device=resolve_device(device), jobs=jobs)
    _print_made(out, made)


def _print_made(out: Path, made: Features) -> None:
    frames = counted(len(made.frames), "frame")
    click.echo(f"{out}: {counted(len(made), 'utterance')}, {frames} of {made.dim}")


def _by_models(
    corpus: Path,
    out: Path,
    adapt: Path | None,
    posteriors: tuple[Path, ...],
    *,
    unfit: Mapping[str, Any],
    **common: Any,
) -> Features:
    """Adapted features or posteriors, of what the models need or of a features folder."""
    if adapt is not None and posteriors:
        raise click.BadParameter(
            "--adapt and --posteriors exclude each other: each is a folder of its own"
        )
    flag = "--adapt" if adapt is not None else "--posteriors"
    for name, value in unfit.items():
        if value is not None:
            raise click.BadParameter(f"--{name.replace('_', '-')} does not apply to {flag}")
    context = click.get_current_context()
    folder = None
    if context.get_parameter_source("features") is not ParameterSource.DEFAULT:
        source = feature_source(context.params["features"], None)
        if not isinstance(source, Path):
            raise click.BadParameter(
                f"with {flag}, --features is a features folder: what is extracted depends on the "
                "model"
            )
        folder = source
    common = {**common, "features": folder, "notice": click.echo}
    if adapt is not None:
        return adapt_features(adapt, corpus, out, **common)
    return fuse_posteriors(posteriors, corpus, out, **common)


def _options(features: str, layer: int | None, **given: float | None) -> Options:
    """What `--features` means here, where it can't be a folder of features."""
    if features == "f0":
        unfit = [name for name in ("n_mels", "window_ms") if given[name] is not None]
        if unfit or layer is not None:
            name = unfit[0].replace("_", "-") if unfit else "layer"
            raise click.BadParameter(f"--{name} does not apply to --features f0")
        step_ms = given["step_ms"]
        return F0Options() if step_ms is None else checked(F0Options, step_ms=step_ms)
    options = feature_source(features, layer, **given)
    if isinstance(options, Path):
        raise click.BadParameter(f"--features {features} is not mfcc, log-mel, f0 or a checkpoint")
    return options
