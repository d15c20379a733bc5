"""Stage 3 on the command line: train inverters, and speak with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from zerochain.audio import check_other
from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    as_options,
    channel_option,
    device_option,
    out_option,
    seed_option,
)
from zerochain.cli.options import options_of, recipe_options
from zerochain.cli.printing import training_text
from zerochain.cli.training import running_options
from zerochain.errors import counted, speech_time
from zerochain.inversion import (
    SPECTRAL_METHODS,
    WAVEFORM_METHODS,
    WaveformMethod,
    pitch,
    prosody,
    spectral,
    waveform,
)
from zerochain.inversion.phase import Phase
from zerochain.inversion.speaking import Manner, Speaking
from zerochain.inversion.speaking import synthesize as synthesize_files
from zerochain.inversion.spectral import AdversaryConfig, SpectralConfig
from zerochain.inversion.stage import train_inverter
from zerochain.inversion.waveform import WaveformConfig
from zerochain.recordings import convert as convert_recording
from zerochain.training.device import is_main_process, resolve_device
from zerochain.training.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])


def voice_options(function: F) -> F:
    """`--voice`, `--all-voices`, `--speakers`, `--split`; `_train` reads the first two."""
    options = [
        click.option(
            "--voice",
            "voices",
            multiple=True,
            help="A target speaker; can be repeated. Not needed if the corpus has only one.",
        ),
        click.option(
            "--all-voices", is_flag=True, help="One inverter for all speakers of the corpus."
        ),
        click.option(
            "--speakers",
            type=FOLDER,
            help="A speaker encoder ('zerochain speakers train'): voices are represented by its "
            "vectors, so that the inverter can speak in other voices too.",
        ),
        click.option("--split", help="Train only on the utterances of this split."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command(
    cls=Command,
    example="zerochain invert train units.parquet corpora/mine --voice abiayi --out inverters/x",
)
@click.argument("units", type=FILE)
@click.argument("corpus", type=FOLDER)
@voice_options
@click.option(
    "--method",
    type=click.Choice(SPECTRAL_METHODS),
    default="code2spec",
    show_default=True,
    help="The network, or the baseline: each unit's mean spectrum.",
)
@options_of(SpectralConfig, spectral.RECIPE)
@options_of(AdversaryConfig, into="adversary")
@click.option(
    "--prosody-steps",
    type=click.IntRange(min=0),
    default=prosody.RECIPE.max_steps,
    show_default=True,
    help="Training steps of the units' durations, for units that come without; 0: none.",
)
@out_option("the inverter; <out>.training gets the checkpoint and log.csv")
@running_options
def train(
    config: SpectralConfig,
    adversary: AdversaryConfig,
    recipe: Recipe,
    prosody_steps: int,
    **values: Any,
) -> None:
    """Train an inverter on the UNITS and the recordings of one or more voices of a CORPUS.

    With an adversary, training takes all its steps; without one it stops when it no longer
    improves. If it is interrupted, the same command continues it.
    """
    steps = {"max_steps": prosody_steps, "seed": recipe.seed}
    _train(
        config=config.model_copy(update={"adversary": adversary}),
        recipe=recipe,
        prosody=prosody.RECIPE.model_copy(update=steps) if prosody_steps else None,
        **values,
    )


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
    type=click.Choice(WAVEFORM_METHODS),
    default="convnext",
    show_default=True,
    help="Ours, which filters a harmonic excitation, or HiFi-GAN as published.",
)
@options_of(WaveformConfig, waveform.RECIPE)
@recipe_options(pitch.RECIPE, only=["max_steps"], prefix="f0", into="f0", part="F0 units")
@recipe_options(
    prosody.RECIPE,
    only=["max_steps"],
    prefix="prosody",
    into="prosody_recipe",
    part="durations and F0",
)
@out_option("the inverter; <out>.training gets checkpoints and logs")
@running_options
def train_neural(generator: WaveformMethod, prosody_recipe: Recipe, **values: Any) -> None:
    """Train a neural inverter on the UNITS and the recordings of one or more voices of a CORPUS.

    Three parts are trained: F0 units, the durations and F0 of units, and the generator. Units of
    any voice can be spoken in any of its voices, at any pitch and rate ('invert synthesize'). If
    training is interrupted, the same command continues it.
    """
    _train(method=generator, prosody=prosody_recipe, **values)


def _train(*, out: Path, voices: tuple[str, ...], all_voices: bool, **settings: Any) -> None:
    """Train an inverter, and print how the training went.

    Args:
        settings: what `train_inverter` takes beside the bundle and the voices.
    """
    if voices and all_voices:
        raise click.BadParameter("--voice and --all-voices exclude each other")
    chosen = None if all_voices else voices
    inverter, report = train_inverter(out=out, voices=chosen, **settings)
    if not is_main_process():
        return
    click.echo(f"{out}: {inverter.method} from {speech_time(60 * report['minutes'])} of speech")
    if "steps" not in report:
        return
    click.echo(f"  {training_text(report)}")
    command = click.get_current_context().command
    assert isinstance(command, Command)
    for complaint in report["complaints"]:
        click.echo(f"  WARNING: {as_options(complaint, command.options)}")


def speaking_options(function: F) -> F:
    """The voice, and how it speaks; `asked_speaking` reads them."""
    options = [
        click.option("--voice", help="The voice; not needed if the inverter has only one."),
        click.option(
            "--like", type=FILE, help="Speak in the voice of this recording; requires --speakers."
        ),
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
            help="Raise the pitch by this many semitones.",
        ),
        click.option("--flatten", is_flag=True, help="Speak at one pitch, the voice's mean."),
        click.option(
            "--rate",
            type=click.FloatRange(min=0, min_open=True),
            default=1.0,
            show_default=True,
            help="Rate of speech: 1.2 is a fifth faster.",
        ),
        click.option(
            "--durations",
            type=click.Choice(["given", "predicted"]),
            default="given",
            show_default=True,
            help="Durations of units: those in the file, or, with repeats merged, those that the "
            "inverter predicts.",
        ),
        click.option(
            "--pitch",
            type=click.Choice(["units", "exact"]),
            default="units",
            show_default=True,
            help="Whether the recordings' pitch is encoded as F0 units or copied exactly; it is "
            "shifted to the voice in both cases.",
        ),
        click.option(
            "--phase",
            type=click.Choice(get_args(Phase)),
            help="How the phase of spectrograms is reconstructed.  [default: pghi-fgla]",
        ),
        seed_option,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def asked_speaking(pitch_of: Path | None = None, **values: Any) -> Speaking:
    """The values of `speaking_options`."""
    voice, like, speakers = (values.pop(name) for name in ("voice", "like", "speakers"))
    if (like is None) != (speakers is None) or (like is not None and voice is not None):
        raise click.BadParameter("--like requires --speakers, and excludes --voice")
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
    help="Use the pitch of this corpus's recordings.  [default: the inverter predicts it]",
)
@out_option("the folder of WAV files, one per utterance")
@device_option
def synthesize(inverter: Path, units: Path, out: Path, device: str, **values: Any) -> None:
    """Speak every utterance of UNITS with an INVERTER, each exactly as long as its units.

    \b
    Resynthesis:       … --pitch-of corpora/mine
    voice conversion:  … --pitch-of corpora/mine --voice OTHER (or --like recording.wav)
    pitch conversion:  … --semitones 3, or --flatten
    faster:            … --rate 1.2

    Pitch options and --flatten require a neural inverter. Units without durations, such as
    translated ones, require --durations predicted. --like requires an inverter that was trained
    with a speaker encoder.
    """
    ids = synthesize_files(
        inverter, units, out, asked_speaking(**values), device=resolve_device(device)
    )
    click.echo(f"{out}: {counted(len(ids), 'wav')}")


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
    check_other(out, recording)
    speaking = asked_speaking(**values)
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
    if made.is_silent:
        click.echo("  the recording is silent, so what is spoken is hallucinated", err=True)
