"""Recognisers on the command line."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zerochain.cli.common import (
    FOLDER,
    Group,
    device_option,
    out_option,
    seed_option,
    split_option,
    training_config,
    training_options,
)
from zerochain.cli.printing import print_facts, training_text

if TYPE_CHECKING:
    from zerochain.listeners.recogniser import RecogniserTraining


@click.group(cls=Group)
def recognise() -> None:
    """Recognise characters: to say how intelligible synthesised speech is."""


@recognise.command(
    example="zerochain recognise train corpora/es --split train --out recognisers/es"
)
@click.argument("corpus", type=FOLDER)
@split_option
@click.option(
    "--held-out",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.1,
    show_default=True,
    help="Part of the different texts that its error rates are measured on.",
)
@click.option(
    "--width",
    type=click.IntRange(min=2),
    default=192,
    show_default=True,
    help="Channels of a layer.",
)
@click.option(
    "--blocks",
    "n_blocks",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Residual blocks of two convolutions.",
)
@training_options(
    steps=2000,
    batch_size=16,
    learning_rate=2e-3,
    validate_every=200,
    patience=5,
    annealing="cosine",
)
@out_option("the recogniser; <out>.training gets the checkpoint and log.csv")
@seed_option
@device_option
def train(corpus: Path, out: Path, seed: int, device: str, **options: Any) -> None:
    """Train a recogniser of characters on a CORPUS with transcripts (column 'text').

    Its own error rates are measured on recordings of texts that it never saw, by speakers that it
    may know: without them no error rate of synthesised speech means anything. Texts are
    compared in lower case and without punctuation; digits are not spelled out. Interrupted, it
    goes on where it stopped when the same command is given again.
    """
    from zerochain.listeners.recogniser import train_recogniser
    from zerochain.training.device import is_main_process, resolve_device

    training = training_config(options, seed)
    report = train_recogniser(
        corpus, out, training=training, device=resolve_device(device), **options
    )
    if is_main_process():
        print_facts(f"recogniser {out}", _facts(report))


def _facts(report: RecogniserTraining) -> dict[str, str]:
    interval = report.cer_interval
    facts = {
        "trained on": f"{report.n_utterances} utterances, {report.minutes:.1f} min, "
        f"{report.n_characters} characters",
        "training": training_text(asdict(report)),
        "CER": f"{report.cer:.1f} %"
        + ("" if interval is None else " ({:.1f} … {:.1f})".format(*interval))
        + f", WER {report.wer:.1f} %, on {report.n_held_out} recordings of texts that it never saw",
    }
    if report.excluded:
        facts["left out"] = ", ".join(
            f"{n} {why.replace('_', ' ')}" for why, n in report.excluded.items()
        )
    return facts
