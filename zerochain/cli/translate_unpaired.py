"""What helps a translator beside pairs, on the command line: pretraining, a normaliser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    device_option,
    out_option,
    seed_option,
    training_config,
    training_options,
)
from zerochain.cli.printing import print_table
from zerochain.cli.translate import say_training

if TYPE_CHECKING:
    from zerochain.translation.normaliser import Gain


@click.command(
    cls=Command,
    example="zerochain translate pretrain en.parquet --out pretrained/en\n"
    "zerochain translate pretrain es.parquet more.es.parquet --out pretrained/es\n"
    "zerochain translate train en.parquet es.parquet pairs.parquet --start-from pretrained/en "
    "--start-from pretrained/es --out translators/en-es",
)
@click.argument("units", type=FILE, nargs=-1, required=True)
@click.option(
    "--architecture",
    type=click.Choice(["conformer", "rnn"]),
    default="conformer",
    show_default=True,
    help="That of the translator; a CTC translator starts from a conformer's encoder.",
)
@click.option("--width", type=click.IntRange(min=2), help="Of layers.  [default: 192; rnn: 256]")
@click.option(
    "--encoder-layers", "n_encoder_layers", type=click.IntRange(min=1), help="[default: 4; rnn: 3]"
)
@click.option(
    "--decoder-layers", "n_decoder_layers", type=click.IntRange(min=1), help="[default: 3]"
)
@click.option("--heads", "n_heads", type=click.IntRange(min=1), help="[default: 4]")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="[default: 0.1]")
@training_options(
    steps=4000,
    batch_size=24,
    learning_rate=1e-3,
    validate_every=100,
    patience=8,
    annealing="cosine",
)
@out_option("what 'translate train --start-from' takes")
@seed_option
@device_option
def pretrain(
    units: tuple[Path, ...],
    architecture: str,
    out: Path,
    seed: int,
    device: str,
    **options: Any,
) -> None:
    """Learn which UNITS follow which in a language: to say again what is heard with gaps.

    No pairs are needed, so give all units there are of one unit model. Translators from these
    units start from the encoder, translators into them from the decoder.
    """
    from zerochain.training.device import is_main_process, resolve_device
    from zerochain.translation.pretraining import pretrain as run

    training = training_config(options, seed)
    flags = {name: options.pop(name) for name in ("restart", "tensorboard")}
    given = {name: value for name, value in options.items() if value is not None}
    _, report = run(
        units,
        out,
        network={**given, "architecture": architecture},
        training=training,
        device=resolve_device(device),
        **flags,
    )
    if is_main_process():
        n = report["n_utterances"]
        click.echo(f"{out}: {architecture} from {n} utterances, {report['n_held_out']} held out")
        say_training(report)


@click.command(
    cls=Command,
    name="train",
    example="zerochain translate normaliser prepare inverters/x models/km256 units/es.parquet "
    "--out spoken\n"
    "zerochain translate normaliser train spoken/bea.parquet spoken/carl.parquet --target "
    "spoken/ana.parquet --out normalisers/ana",
)
@click.argument("spoken", metavar="SPOKEN_UNITS", type=FILE, nargs=-1, required=True)
@click.option("--target", type=FILE, required=True, help="The unit file of the one voice.")
@click.option(
    "--width", type=click.IntRange(min=2), default=128, show_default=True, help="Of layers."
)
@click.option(
    "--layers", "n_encoder_layers", type=click.IntRange(min=1), default=3, show_default=True
)
@training_options(
    steps=3000,
    batch_size=24,
    learning_rate=1e-3,
    validate_every=100,
    patience=8,
    annealing="cosine",
)
@out_option("the normaliser; <out>.training gets the checkpoint and log.csv")
@seed_option
@device_option
def train_normaliser(
    spoken: tuple[Path, ...],
    target: Path,
    width: int,
    n_encoder_layers: int,
    out: Path,
    seed: int,
    device: str,
    **options: Any,
) -> None:
    """Train a normaliser from SPOKEN_UNITS, the --target's utterances in other voices.

    An inverter makes them, with no transcripts ('normaliser prepare'): it speaks the same units
    in several voices, and what it spoke is encoded again. The ids are the same in all files. The
    table says how far each voice's units are from the one voice's, before and after.
    """
    from zerochain.training.device import is_main_process, resolve_device
    from zerochain.translation.normaliser import train_normaliser as run

    training = training_config(options, seed)
    gains, report = run(
        spoken,
        target,
        out,
        network={"width": width, "n_encoder_layers": n_encoder_layers},
        training=training,
        device=resolve_device(device),
        **options,
    )
    if is_main_process():
        click.echo(f"{out}: from {report['n_utterances']} utterances in {len(gains)} voices")
        say_training(report)
        _say_gains(gains, target)


def _say_gains(gains: list[Gain], target: Path) -> None:
    rows = []
    for gain in gains:
        before, after = gain.before.value, gain.after.value
        row = f"{before:.1f}", f"{after:.1f}", f"{before - after:+.1f}"
        rows.append((gain.name, str(gain.before.n), *row))
    title = f"unit error rate (%) against {target}, on utterances that it never heard"
    print_table(title, ("units", "utterances", "before", "after", "gain"), rows)


@click.command(
    cls=Command,
    name="apply",
    example="zerochain translate normaliser apply normalisers/ana units/es.parquet "
    "--out normalised/es.parquet",
)
@click.argument("folder", metavar="NORMALISER", type=FOLDER)
@click.argument("units", type=FILE)
@out_option("the unit file; its units have no durations", FILE)
@device_option
def apply(folder: Path, units: Path, out: Path, device: str) -> None:
    """Write the units that the NORMALISER's one voice would have said instead of UNITS."""
    from zerochain.training.device import resolve_device
    from zerochain.translation.normaliser import normalise

    made = normalise(folder, units, out, device=resolve_device(device))
    click.echo(f"{out}: {len(made.units)} utterances, {sum(map(len, made.units.values()))} units")
