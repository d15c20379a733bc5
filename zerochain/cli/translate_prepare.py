"""`translate normaliser prepare`: an inverter makes what a normaliser learns from."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import FILE, FOLDER, Command, device_option, out_option, seed_option


@click.command(
    cls=Command,
    example="zerochain translate normaliser prepare inverters/x models/km256 units/es.parquet "
    "--out spoken\n"
    "zerochain translate normaliser train spoken/bea.parquet spoken/carl.parquet --target "
    "spoken/ana.parquet --out normalisers/ana\n"
    "zerochain translate normaliser apply normalisers/ana units/es.parquet --out one.parquet",
)
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

    What the files say is the same, and no transcript is needed; they are what a normaliser learns
    from.
    """
    from zerochain.recordings import respeak
    from zerochain.training.device import resolve_device

    made = respeak(inverter, model, units, out, voices, seed=seed, device=resolve_device(device))
    for voice, spoken in made.items():
        n_units = sum(len(spoken.segments(name)[0]) for name in spoken.ids)
        click.echo(f"{out / voice}.parquet: {len(spoken.ids)} utterances, {n_units} segments")
