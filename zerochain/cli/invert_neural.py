"""`invert train-neural`: a waveform generator from units, pitch and voice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from zerochain.cli.invert import asked_voices, said_of_training, voice_options


@click.command(
    "train-neural",
    cls=Command,
    example="zerochain invert train-neural units.parquet corpora/mine --voice ana "
    "--out inverters/x",
)
@click.argument("units", type=FILE)
@click.argument("corpus", type=FOLDER)
@voice_options
@click.option(
    "--generator",
    type=click.Choice(["convnext", "hifigan"]),
    default="convnext",
    show_default=True,
    help="Ours, which filters a harmonic excitation, or HiFi-GAN as published.",
)
@click.option(
    "--width",
    type=click.IntRange(min=1),
    help="Channels.  [default: 256; of hifigan the published 512]",
)
@click.option(
    "--adversary",
    type=click.Choice(["none", "multi-resolution", "multi-period"]),
    default="none",
    show_default=True,
    help="Discriminators; multi-period (and multi-scale) is the published one, for GPUs.",
)
@click.option(
    "--adversary-width",
    type=click.FloatRange(min=0, min_open=True, max=1),
    default=1.0,
    show_default=True,
    help="Scales the discriminators' channels.",
)
@click.option(
    "--adversary-from",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Steps without the adversary at first.",
)
@click.option(
    "--f0-steps",
    type=click.IntRange(min=1),
    default=1500,
    show_default=True,
    help="Training of the F0 units.",
)
@click.option(
    "--prosody-steps",
    type=click.IntRange(min=1),
    default=600,
    show_default=True,
    help="Training of durations and F0 for units that come without.",
)
@training_options(
    steps=4000,
    batch_size=16,
    learning_rate=1e-3,
    validate_every=200,
    patience=5,
    annealing="cosine",
)
@out_option("the inverter; <out>.training gets checkpoints and logs")
@seed_option
@device_option
def train_neural(
    units: Path,
    corpus: Path,
    generator: Any,
    width: int | None,
    adversary: Any,
    adversary_width: float,
    adversary_from: int,
    f0_steps: int,
    prosody_steps: int,
    restart: bool,
    tensorboard: bool,
    out: Path,
    seed: int,
    device: str,
    **values: Any,
) -> None:
    """Train a neural inverter on the UNITS and the recordings of a voice, or several, of a CORPUS.

    It learns F0 units, durations and F0 of units, then the generator. Any of its voices speaks
    what any other said, at any pitch and rate ('invert synthesize'). Interrupted, it goes on where
    it stopped when the same command is given again.
    """
    from zerochain.inversion import pitch, prosody_training
    from zerochain.inversion.stage import train_neural_inverter
    from zerochain.inversion.waveform import GeneratorLosses
    from zerochain.training.device import is_main_process, resolve_device

    losses = checked(
        GeneratorLosses,
        adversary=adversary,
        adversary_width=adversary_width,
        adversary_from=adversary_from,
    )
    inverter, report = train_neural_inverter(
        units,
        corpus,
        out,
        method=generator,
        voices=asked_voices(values),
        speakers=values.pop("speakers"),
        split=values.pop("split"),
        width=width,
        losses=losses,
        f0=pitch.TRAINING.model_copy(update={"max_steps": f0_steps, "seed": seed}),
        prosody=prosody_training.TRAINING.model_copy(
            update={"max_steps": prosody_steps, "seed": seed}
        ),
        training=training_config(values, seed),
        device=resolve_device(device),
        restart=restart,
        tensorboard=tensorboard,
    )
    if is_main_process():
        said_of_training(out, inverter.method, report)
