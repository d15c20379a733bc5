"""Speaker encoders on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zerochain.cli.common import (
    FOLDER,
    Command,
    device_option,
    out_option,
    seed_option,
    split_option,
    training_config,
    training_options,
)
from zerochain.cli.printing import print_facts, training_text

if TYPE_CHECKING:
    from zerochain.listeners.speaker_encoder import SpeakerTraining


@click.command(
    cls=Command, example="zerochain speakers train corpora/mine --split train --out speakers/"
)
@click.argument("corpus", type=FOLDER)
@split_option
@click.option(
    "--held-out",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.1,
    show_default=True,
    help="Part of the speakers that it is tested on, three at least; needs ten speakers.",
)
@click.option(
    "--width",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Channels of a layer.",
)
@click.option(
    "--dim", type=click.IntRange(min=1), default=128, show_default=True, help="Of the vector."
)
@training_options(
    steps=600,
    batch_size=64,
    learning_rate=2e-3,
    validate_every=100,
    patience=8,
    annealing="cosine",
)
@out_option("the encoder; <out>.training gets the checkpoint and log.csv")
@seed_option
@device_option
def train(corpus: Path, out: Path, seed: int, device: str, **options: Any) -> None:
    """Train a speaker encoder on the speaker labels of a CORPUS: recordings to voice vectors.

    It is tested on speakers that it never heard, or, with fewer than ten in all, on utterances
    that it never heard: whether two pieces of about 2.5 s are of one speaker. Interrupted, it goes
    on where it stopped when the same command is given again.

    Score an inverter that is conditioned by an encoder with another one: train it with another
    --seed.
    """
    from zerochain.listeners.speaker_encoder import train_speaker_encoder
    from zerochain.training.device import is_main_process, resolve_device

    training = training_config(options, seed)
    report = train_speaker_encoder(
        corpus, out, training=training, device=resolve_device(device), **options
    )
    if is_main_process():
        print_facts(f"speaker encoder {out}", _facts(report))


def _facts(report: SpeakerTraining) -> dict[str, str]:
    facts = {
        "trained on": f"{report.n_speakers} speakers, {report.n_utterances} utterances, "
        f"{report.minutes:.1f} min",
        "training": training_text(asdict(report)),
    }
    if report.excluded:
        facts["left out"] = ", ".join(
            f"{n} {why.replace('_', ' ')}" for why, n in report.excluded.items()
        )
    held, verification = report.held, report.verification
    facts["EER"] = verdict(held, None if verification is None else asdict(verification))
    return facts


def verdict(held: str, verification: Mapping[str, Any] | None) -> str:
    """An equal error rate and what it rests on, from what a bundle says of its test."""
    if verification is None:
        return "undefined: too few utterances to hold out pairs of one speaker and of two"
    of = "speakers that it never heard" if held == "speakers" else "known speakers"
    return (
        f"{100 * verification['eer']:.1f} % on {verification['n_speakers']} {of}: "
        f"{verification['n_targets']:,} pairs of pieces of one speaker "
        f"({verification['targets']}), {verification['n_nontargets']:,} of two"
    )
