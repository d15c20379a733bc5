"""Normalisers of units on the command line: `translate normaliser`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    TABLE,
    Command,
    device_option,
    out_option,
    seed_option,
)
from zerochain.cli.options import options_of
from zerochain.cli.printing import print_table
from zerochain.cli.training import running_options
from zerochain.cli.translate import echo_training
from zerochain.errors import counted
from zerochain.recordings import respeak
from zerochain.training.device import is_main_process, resolve_device
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running
from zerochain.translation.normaliser import (
    RECIPE,
    Gain,
    NormaliserConfig,
    normalise,
    train_normaliser,
)

_PREPARE = (
    "zerochain translate normaliser prepare inverters/x models/km256 units/es.parquet --out spoken"
)
_TRAIN = (
    "zerochain translate normaliser train spoken/bea.parquet spoken/carl.parquet --target "
    "spoken/ana.parquet --out normalisers/ana"
)
_APPLY = "zerochain translate normaliser apply normalisers/ana units/es.parquet --out one.parquet"


@click.command(cls=Command, example=f"{_PREPARE}\n{_TRAIN}\n{_APPLY}")
@click.argument("inverter", type=FOLDER)
@click.argument("model", type=FOLDER)
@click.argument("units", type=FILE)
@click.option(
    "--voice",
    "voices",
    multiple=True,
    help="Repeatable, at least two.  [default: all that the inverter has]",
)
@out_option("the folder of unit files, <voice>.parquet each")
@seed_option
@device_option
def prepare(
    inverter: Path,
    model: Path,
    units: Path,
    voices: tuple[str, ...],
    out: Path,
    seed: int,
    device: str,
) -> None:
    """Speak UNITS in several voices of an INVERTER, and encode each with the unit MODEL again.

    The files have the same content in different voices, without any transcript: what a normaliser
    is trained on.
    """
    made = respeak(inverter, model, units, out, voices, seed=seed, device=resolve_device(device))
    for voice, spoken in made.items():
        n_segments = sum(len(spoken.segments(name)[0]) for name in spoken.ids)
        click.echo(
            f"{out / voice}.parquet: {counted(len(spoken.ids), 'utterance')}, "
            f"{counted(n_segments, 'segment')}"
        )


@click.command(cls=Command, name="train", example=f"{_PREPARE}\n{_TRAIN}")
@click.argument("spoken", metavar="SPOKEN_UNITS", type=FILE, nargs=-1, required=True)
@click.option("--target", type=FILE, required=True, help="The unit file of the one voice.")
@options_of(
    NormaliserConfig,
    RECIPE,
    without=(
        *("architecture", "subsampling", "auxiliary", "auxiliary_weight", "label_smoothing"),
        "pseudo_cap",
    ),
)
@out_option("the normaliser; <out>.training gets the checkpoint and log.csv")
@running_options
def train(
    spoken: tuple[Path, ...],
    target: Path,
    config: NormaliserConfig,
    recipe: Recipe,
    out: Path,
    running: Running,
) -> None:
    """Train a normaliser from SPOKEN_UNITS, the --target's utterances in other voices.

    An inverter makes them without transcripts ('normaliser prepare'): it speaks the same units in
    several voices, and that speech is encoded again. The ids are the same in all files. The table
    has the distance of each voice's units from the one voice's, before and after.
    """
    gains, report = train_normaliser(
        spoken, target, out, config=config, recipe=recipe, running=running
    )
    if is_main_process():
        click.echo(
            f"{out}: from {counted(report.n_utterances, 'utterance')} in "
            f"{counted(len(gains), 'voice')}"
        )
        echo_training(report)
        _print_gains(gains, target)


def _print_gains(gains: Sequence[Gain], target: Path) -> None:
    rows = []
    for gain in gains:
        before, after = gain.before.value, gain.after.value
        row = f"{before:.1f}", f"{after:.1f}", f"{before - after:+.1f}"
        rows.append((gain.name, str(gain.before.n), *row))
    title = f"unit error rate (%) against {target}, on utterances outside its training"
    print_table(title, ("units", "utterances", "before", "after", "gain"), rows)


@click.command(cls=Command, name="apply", example=_APPLY)
@click.argument("folder", metavar="NORMALISER", type=FOLDER)
@click.argument("units", type=FILE)
@out_option("the unit file; its units have no durations", TABLE)
@device_option
def apply(folder: Path, units: Path, out: Path, device: str) -> None:
    """Map UNITS of any voices to those of the NORMALISER's one voice."""
    made = normalise(folder, units, out, device=resolve_device(device))
    n_units = sum(map(len, made.units.values()))
    click.echo(f"{out}: {counted(len(made.units), 'utterance')}, {counted(n_units, 'unit')}")
