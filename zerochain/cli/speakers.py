"""Speaker encoders on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import FOLDER, Command, out_option, split_option
from zerochain.cli.options import options_of, running_options
from zerochain.cli.printing import print_facts, training_text
from zerochain.errors import counted
from zerochain.listeners.speaker_encoder import (
    RECIPE,
    SpeakerConfig,
    SpeakerTraining,
    train_speaker_encoder,
)
from zerochain.training.device import is_main_process
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running


@click.command(
    cls=Command, example="zerochain speakers train corpora/mine --split train --out speakers/"
)
@click.argument("corpus", type=FOLDER)
@split_option
@options_of(SpeakerConfig, RECIPE)
@out_option("the encoder; <out>.training gets the checkpoint and log.csv")
@running_options
def train(
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
        print_facts(f"speaker encoder {out}", _facts(report))


def _facts(report: SpeakerTraining) -> dict[str, str]:
    facts = {
        "trained on": f"{counted(report.n_speakers, 'speaker')}, "
        f"{counted(report.n_utterances, 'utterance')}, {report.minutes:.1f} min",
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
    of = "held-out speakers" if held == "speakers" else "known speakers"
    return (
        f"{100 * verification['eer']:.1f} % on {verification['n_speakers']} {of}: "
        f"{verification['n_targets']:,} pairs of pieces of one speaker "
        f"({verification['targets']}), {verification['n_nontargets']:,} of two"
    )
