"""Trained judges of speech on the command line: recognisers and speaker encoders."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from zerochain.cli.common import (
    FOLDER,
    Command,
    out_option,
    split_option,
)
from zerochain.cli.options import options_of
from zerochain.cli.printing import equal_error_rate_text, left_out_text, print_facts, training_text
from zerochain.cli.training import running_options
from zerochain.errors import counted, speech_time
from zerochain.listeners.recogniser import RECIPE as RECOGNISER_RECIPE
from zerochain.listeners.recogniser import (
    RecogniserConfig,
    RecogniserTraining,
    train_recogniser,
)
from zerochain.listeners.speaker_encoder import RECIPE as SPEAKER_RECIPE
from zerochain.listeners.speaker_encoder import (
    SpeakerConfig,
    SpeakerTraining,
    train_speaker_encoder,
)
from zerochain.training.device import is_main_process
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running


@click.command(
    cls=Command,
    name="train",
    example="zerochain recognise train corpora/es --split train --out recognisers/es",
)
@click.argument("corpus", type=FOLDER)
@split_option
@options_of(RecogniserConfig, RECOGNISER_RECIPE)
@out_option("the recogniser; <out>.training gets the checkpoint and log.csv")
@running_options
def recogniser(
    corpus: Path,
    out: Path,
    split: str | None,
    config: RecogniserConfig,
    recipe: Recipe,
    running: Running,
) -> None:
    """Train a recogniser of characters on a CORPUS with transcripts (column 'text').

    Its own error rates are measured on recordings of held-out texts, whose speakers may be in the
    training data; compare the error rates of synthesised speech with them. Texts are compared
    in lower case and without punctuation; digits are not spelled out. If it is interrupted, the
    same command continues it.
    """
    report = train_recogniser(
        corpus, out, split=split, config=config, recipe=recipe, running=running
    )
    if is_main_process():
        print_facts(f"recogniser {out}", _recogniser_facts(report))


def _recogniser_facts(report: RecogniserTraining) -> dict[str, str]:
    interval = report.cer_interval
    return {
        "trained on": f"{counted(report.n_utterances, 'utterance')}, "
        f"{speech_time(60 * report.minutes)}, "
        f"{counted(report.n_characters, 'character')}",
        "training": training_text(asdict(report)),
        "CER": f"{report.cer:.1f} %"
        + ("" if interval is None else " ({:.1f} … {:.1f})".format(*interval))
        + f", WER {report.wer:.1f} %, on {counted(report.n_held_out, 'recording')} of held-out "
        "texts",
        "left out": left_out_text(report.excluded),
    }


@click.command(
    cls=Command,
    name="train",
    example="zerochain speakers train corpora/mine --split train --out speakers/",
)
@click.argument("corpus", type=FOLDER)
@split_option
@options_of(SpeakerConfig, SPEAKER_RECIPE)
@out_option("the encoder; <out>.training gets the checkpoint and log.csv")
@running_options
def speaker_encoder(
    corpus: Path,
    out: Path,
    split: str | None,
    config: SpeakerConfig,
    recipe: Recipe,
    running: Running,
) -> None:
    """Train a speaker encoder on the speaker labels of a CORPUS: recordings to voice vectors.

    The test is whether two pieces of about 2.5 s are of the same speaker. It is on speakers held
    out from training or, with fewer than ten in all, on held-out utterances. If training is
    interrupted, the same command continues it.

    To score an inverter that is conditioned on a speaker encoder, use a second encoder, trained
    with another --seed.
    """
    report = train_speaker_encoder(
        corpus, out, split=split, config=config, recipe=recipe, running=running
    )
    if is_main_process():
        print_facts(f"speaker encoder {out}", _speaker_facts(report))


def _speaker_facts(report: SpeakerTraining) -> dict[str, str]:
    facts = {
        "trained on": f"{counted(report.n_speakers, 'speaker')}, "
        f"{counted(report.n_utterances, 'utterance')}, {speech_time(60 * report.minutes)}",
        "training": training_text(asdict(report)),
        "left out": left_out_text(report.excluded),
    }
    held, verification = report.held, report.verification
    facts["EER"] = equal_error_rate_text(
        held, None if verification is None else asdict(verification)
    )
    return facts
