"""`invert synthesize` and `invert convert`: speak with an inverter of any kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    channel_option,
    device_option,
    out_option,
    seed_option,
)

if TYPE_CHECKING:
    from zerochain.inversion.speaking import Speaking

F = TypeVar("F", bound=Callable[..., Any])


def speaking_options(function: F) -> F:
    """Who is to speak, and how; `_speaking` reads them."""
    options = [
        click.option("--voice", help="Who speaks; not needed where the inverter has one voice."),
        click.option("--like", type=FILE, help="Speak like this recording; takes --speakers."),
        click.option(
            "--speakers",
            type=FOLDER,
            help="The speaker encoder that the inverter was trained with.",
        ),
        click.option(
            "--semitones",
            type=click.FloatRange(-60, 60),
            default=0.0,
            show_default=True,
            help="Speak so much higher.",
        ),
        click.option("--flatten", is_flag=True, help="Speak at one pitch, the voice's mean."),
        click.option(
            "--rate",
            type=click.FloatRange(min=0, min_open=True),
            default=1.0,
            show_default=True,
            help="Speak so much faster.",
        ),
        click.option(
            "--durations",
            type=click.Choice(["given", "predicted"]),
            default="given",
            show_default=True,
            help="Units last as long as the file says, or, repeats merged, as is usual for them.",
        ),
        click.option(
            "--pitch",
            type=click.Choice(["units", "exact"]),
            default="units",
            show_default=True,
            help="Recordings' pitch goes through F0 units, or is copied, moved to the voice.",
        ),
        click.option(
            "--phase",
            type=click.Choice(["griffin-lim", "fgla", "pghi", "pghi-fgla"]),
            help="How the phase of spectrograms is found.  [default: pghi-fgla]",
        ),
        seed_option,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _speaking(pitch_of: Path | None = None, **values: Any) -> Speaking:
    """The values of `speaking_options`."""
    from zerochain.inversion.speaking import Manner, Speaking

    voice, like, speakers = (values.pop(name) for name in ("voice", "like", "speakers"))
    if (like is None) != (speakers is None) or (like is not None and voice is not None):
        raise click.BadParameter("--like and --speakers go together, and without --voice")
    phase, seed = values.pop("phase"), values.pop("seed")
    return Speaking(voice, like, speakers, pitch_of, Manner(**values), phase, seed)


@click.command(
    cls=Command,
    example="zerochain invert synthesize inverters/x units.parquet --out wavs/",
)
@click.argument("inverter", type=FOLDER)
@click.argument("units", type=FILE)
@speaking_options
@click.option(
    "--pitch-of",
    type=FOLDER,
    help="The corpus of the recordings whose pitch is taken.  [default: the inverter finds one]",
)
@out_option("the folder of wavs, one an utterance")
@device_option
def synthesize(inverter: Path, units: Path, out: Path, device: str, **values: Any) -> None:
    """Speak every utterance of UNITS with an INVERTER, each exactly as long as its units.

    \b
    Resynthesis:       … --pitch-of corpora/mine
    voice conversion:  … --pitch-of corpora/mine --voice OTHER (or --like recording.wav)
    pitch conversion:  … --semitones 3, or --flatten
    faster:            … --rate 1.2

    Pitch and --flatten take a neural inverter. Units that come without durations, as of a
    translation, take --durations predicted. --like takes an inverter trained with a speaker
    encoder.
    """
    from zerochain.inversion.speaking import synthesize as speak
    from zerochain.training.device import resolve_device

    ids = speak(inverter, units, out, _speaking(**values), device=resolve_device(device))
    click.echo(f"{out}: {len(ids)} wavs")


@click.command(
    cls=Command,
    example="zerochain invert convert inverters/x models/km256 in.wav out.wav --voice ana",
)
@click.argument("inverter", type=FOLDER)
@click.argument("model", type=FOLDER)
@click.argument("recording", type=FILE)
@click.argument("out", type=FILE)
@channel_option
@speaking_options
@device_option
def convert(
    inverter: Path,
    model: Path,
    recording: Path,
    out: Path,
    channel: str,
    device: str,
    **values: Any,
) -> None:
    """Speak what a RECORDING says with an INVERTER, into the WAV called OUT.

    MODEL is the unit model that the inverter was trained with. A neural inverter follows the
    recording's pitch.
    """
    from zerochain.recordings import convert as convert_recording
    from zerochain.training.device import resolve_device

    speaking = _speaking(**values)
    made = convert_recording(
        inverter,
        model,
        recording,
        out,
        speaking,
        channel=channel,
        device=resolve_device(device),
    )
    click.echo(
        f"{out}: {made.duration_s:.2f} s of speech in {made.seconds:.1f} s "
        f"(real-time factor {made.real_time_factor:.2f}, with reading the models)"
    )
