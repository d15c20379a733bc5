"""Stage 3 on the command line: train an inverter that predicts spectrograms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    checked,
    device_option,
    out_option,
    seed_option,
    training_config,
    training_options,
)
from zerochain.cli.printing import training_text

if TYPE_CHECKING:
    from zerochain.inversion.code2spec import AdversaryOptions

F = TypeVar("F", bound=Callable[..., Any])


def voice_options(function: F) -> F:
    """`--voice`, `--all-voices`, `--speakers`, `--split`; `asked_voices` reads the first two."""
    options = [
        click.option(
            "--voice",
            multiple=True,
            help="A target speaker; repeatable, and not needed where there is only one.",
        ),
        click.option(
            "--all-voices", is_flag=True, help="One inverter for all speakers of the corpus."
        ),
        click.option(
            "--speakers",
            type=FOLDER,
            help="A speaker encoder ('zerochain speakers train'), to tell several voices apart "
            "and to speak like others.",
        ),
        click.option("--split", help="Train on the utterances of this split alone."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def asked_voices(values: dict[str, Any]) -> tuple[str, ...] | None:
    """Take `--voice` and `--all-voices` out of a command's options; None stands for all."""
    voices, all_voices = values.pop("voice"), values.pop("all_voices")
    if voices and all_voices:
        raise click.BadParameter("--voice and --all-voices exclude each other")
    return None if all_voices else voices


def said_of_training(out: Path, method: str, report: Mapping[str, Any]) -> None:
    """Say how a training went."""
    click.echo(f"{out}: {method} from {report['minutes']:.1f} min of speech")
    if "steps" not in report:
        return
    click.echo(f"  {training_text(report)}")
    for complaint in report.get("complaints", []):
        click.echo(f"  WARNING: {complaint}")


def adversary_options(function: F) -> F:
    """`--adversary`, `--alpha`, `--beta`, …; `_adversary` reads them."""
    options = [
        click.option(
            "--adversary",
            type=click.Choice(["none", "lsgan", "wgan"]),
            default="lsgan",
            show_default=True,
            help="The discriminator's loss, or none: reconstruction alone.",
        ),
        click.option(
            "--alpha",
            type=click.FloatRange(min=0, min_open=True),
            default=10.0,
            show_default=True,
            help="Weight of the squared error beside the adversary.",
        ),
        click.option(
            "--beta",
            type=click.FloatRange(min=0),
            default=1.0,
            show_default=True,
            help="Weight of the adversary; as published.",
        ),
        click.option(
            "--feature-matching",
            type=click.FloatRange(min=0),
            default=0.0,
            show_default=True,
            help="Weight of the differences inside the discriminator.",
        ),
        click.option(
            "--adversary-from",
            type=click.IntRange(min=1),
            help="The first step with the adversary.  [default: after a third of the steps]",
        ),
        click.option(
            "--adversary-width",
            type=click.IntRange(min=1),
            default=16,
            show_default=True,
            help="Channels of the discriminator's first layer.",
        ),
        click.option(
            "--adversary-frames",
            type=click.IntRange(min=1),
            default=32,
            show_default=True,
            help="Frames of each training segment that the discriminator looks at.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _adversary(values: dict[str, Any]) -> AdversaryOptions:
    """Take the values of `adversary_options` out of a command's."""
    from zerochain.inversion.code2spec import AdversaryOptions

    return checked(
        AdversaryOptions,
        form=values.pop("adversary"),
        from_step=values.pop("adversary_from"),
        width=values.pop("adversary_width"),
        n_frames=values.pop("adversary_frames"),
        **{name: values.pop(name) for name in ("alpha", "beta", "feature_matching")},
    )


@click.command(
    cls=Command,
    example="zerochain invert train units.parquet corpora/mine --voice abiayi --out inverters/x",
)
@click.argument("units", type=FILE)
@click.argument("corpus", type=FOLDER)
@voice_options
@click.option(
    "--method",
    type=click.Choice(["code2spec", "unit-means"]),
    default="code2spec",
    show_default=True,
    help="The network, or the baseline: each unit's mean spectrum.",
)
@click.option(
    "--width",
    type=click.IntRange(min=8),
    default=256,
    show_default=True,
    help="Channels of a layer, a multiple of 8; published: 1024 --plain.",
)
@click.option(
    "--scale",
    type=click.Choice(["log", "linear"]),
    default="log",
    show_default=True,
    help="Which magnitudes it predicts.",
)
@click.option(
    "--correct-means/--plain",
    default=True,
    show_default=True,
    help="Correct each unit's mean spectrum, or predict from nothing as published.",
)
@adversary_options
@click.option(
    "--prosody-steps",
    type=click.IntRange(min=0),
    default=600,
    show_default=True,
    help="Training of the units' durations, for units that come without; 0: none.",
)
@training_options(steps=3000, batch_size=16, learning_rate=1e-3, validate_every=100, patience=8)
@out_option("the inverter; <out>.training gets the checkpoint and log.csv")
@seed_option
@device_option
def train(
    units: Path,
    corpus: Path,
    speakers: Path | None,
    split: str | None,
    method: Any,
    width: int,
    scale: Any,
    correct_means: bool,
    prosody_steps: int,
    restart: bool,
    tensorboard: bool,
    out: Path,
    seed: int,
    device: str,
    **values: Any,
) -> None:
    """Train an inverter on the UNITS and the recordings of a voice, or several, of a CORPUS.

    Interrupted, it goes on where it stopped when the same command is given again. With an
    adversary it takes all its steps; without one it stops when it no longer improves.
    """
    from zerochain.inversion.prosody_training import TRAINING
    from zerochain.inversion.stage import train_inverter
    from zerochain.training.device import is_main_process, resolve_device

    if width % 8:
        raise click.BadParameter(f"--width {width} is not a multiple of 8")
    _, report = train_inverter(
        units,
        corpus,
        out,
        voices=asked_voices(values),
        speakers=speakers,
        split=split,
        method=method,
        width=width,
        scale=scale,
        correct_means=correct_means,
        adversary=_adversary(values),
        training=training_config(values, seed),
        prosody=TRAINING.model_copy(update={"max_steps": prosody_steps, "seed": seed})
        if prosody_steps
        else None,
        device=resolve_device(device),
        restart=restart,
        tensorboard=tensorboard,
    )
    if is_main_process():
        said_of_training(out, method, report)
