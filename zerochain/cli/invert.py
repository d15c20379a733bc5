"""Stage 3 on the command line: train an inverter, synthesise with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Group,
    device_option,
    out_option,
    seed_option,
    training_config,
    training_options,
)


@click.group(cls=Group)
def invert() -> None:
    """Turn units back into speech, in the voice of one speaker."""


@invert.command(
    example="zerochain invert train units.parquet corpora/mine --voice abiayi --out inverters/x"
)
@click.argument("units", type=FILE)
@click.argument("corpus", type=FOLDER)
@click.option("--voice", help="The target speaker; not needed where there is only one.")
@click.option("--split", help="Train on the utterances of this split alone.")
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
@training_options(steps=3000, batch_size=16, learning_rate=1e-3, validate_every=100, patience=8)
@out_option("the inverter; <out>.training gets the checkpoint and log.csv")
@seed_option
@device_option
def train(
    units: Path,
    corpus: Path,
    voice: str | None,
    split: str | None,
    method: Any,
    width: int,
    scale: Any,
    correct_means: bool,
    restart: bool,
    tensorboard: bool,
    out: Path,
    seed: int,
    device: str,
    **training: Any,
) -> None:
    """Train an inverter on the UNITS and the recordings of one voice of a CORPUS.

    Interrupted, it goes on where it stopped when the same command is given again.
    """
    from zerochain.inversion.stage import train_inverter
    from zerochain.training.device import is_main_process, resolve_device

    if width % 8:
        raise click.BadParameter(f"--width {width} is not a multiple of 8")
    _, report = train_inverter(
        units,
        corpus,
        out,
        voice=voice,
        split=split,
        method=method,
        width=width,
        scale=scale,
        correct_means=correct_means,
        training=training_config(training, seed),
        device=resolve_device(device),
        restart=restart,
        tensorboard=tensorboard,
    )
    if not is_main_process():
        return
    click.echo(f"{out}: {method} from {report['minutes']:.1f} min of speech")
    if "steps" in report:
        ended = "stopped improving" if report["converged"] else "NOT CONVERGED: steps ran out"
        click.echo(
            f"  {report['n_parameters']:,} parameters, {report['steps']} steps in "
            f"{report['seconds']:.0f} s on {report['device']} ({ended}); "
            f"validation loss {report['best_valid_loss']:.4f} at step {report['best_step']}"
        )


@invert.command(
    example="zerochain invert synthesize inverters/x units.parquet --out wavs/",
)
@click.argument("inverter", type=FOLDER)
@click.argument("units", type=FILE)
@out_option("the folder of wavs, one an utterance")
@seed_option
@device_option
def synthesize(inverter: Path, units: Path, out: Path, seed: int, device: str) -> None:
    """Speak every utterance of UNITS with an INVERTER, each exactly as long as its units."""
    from zerochain.inversion.stage import synthesize as speak
    from zerochain.training.device import resolve_device

    ids = speak(inverter, units, out, seed=seed, device=resolve_device(device))
    click.echo(f"{out}: {len(ids)} wavs")
