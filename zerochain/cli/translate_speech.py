"""`translate speech`: a recording in, its translation out."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import FILE, FOLDER, Command, channel_option, device_option, seed_option


@click.command(
    cls=Command,
    example="zerochain translate speech translators/en-es inverters/es in.wav out.wav",
)
@click.argument("translator", type=FOLDER)
@click.argument("inverter", type=FOLDER)
@click.argument("recording", type=FILE)
@click.argument("out", type=FILE)
@click.option(
    "--source-model",
    type=FOLDER,
    help="The unit model of the source, where the translator listens to units.",
)
@click.option("--voice", help="Who speaks; not needed where the inverter has one voice.")
@click.option("--like", type=FILE, help="Speak like this recording; takes --speakers.")
@click.option(
    "--speakers", type=FOLDER, help="The speaker encoder that the inverter was trained with."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Speak so much faster.",
)
@click.option(
    "--beam",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Beginnings that are kept: 5 is better and slower.",
)
@channel_option
@seed_option
@device_option
def speech(
    translator: Path,
    inverter: Path,
    recording: Path,
    out: Path,
    source_model: Path | None,
    voice: str | None,
    like: Path | None,
    speakers: Path | None,
    rate: float,
    beam: int,
    channel: str,
    seed: int,
    device: str,
) -> None:
    """Speak the translation of a RECORDING with an INVERTER, into the WAV called OUT."""
    from zerochain.inversion.speaking import Manner, Speaking
    from zerochain.recordings import translate as translate_recording
    from zerochain.training.device import resolve_device
    from zerochain.translation.translator import Search

    if (like is None) != (speakers is None) or (like is not None and voice is not None):
        raise click.BadParameter("--like and --speakers go together, and without --voice")
    made = translate_recording(
        translator,
        inverter,
        recording,
        out,
        Speaking(voice, like, speakers, manner=Manner(rate=rate), seed=seed),
        source_model=source_model,
        search=Search(beam),
        channel=channel,
        device=resolve_device(device),
    )
    click.echo(f"{out}: {made.n_units} units, {made.duration_s:.2f} s of speech")
    stages = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in made.seconds.items())
    click.echo(
        f"  {stages} for a recording of {made.source_s:.2f} s (real-time factor "
        f"{made.real_time_factor:.2f}, with reading the models)"
    )
    if made.is_silent:
        click.echo("  nothing is to be heard in it: what was said is made up", err=True)
    if made.is_cut:
        click.echo("  cut at the length limit, so likely a runaway", err=True)
