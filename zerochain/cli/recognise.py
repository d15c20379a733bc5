"""Recognisers on the command line."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from zerochain.cli.common import FOLDER, Command, out_option, split_option
from zerochain.cli.options import options_of, running_options
from zerochain.cli.printing import print_facts, training_text
from zerochain.errors import counted
from zerochain.listeners.recogniser import (
    RECIPE,
    RecogniserConfig,
    RecogniserTraining,
    train_recogniser,
)
from zerochain.training.device import is_main_process
from zerochain.training.recipe import Recipe
from zerochain.training.run import Running


@click.command(
    cls=Command, example="zerochain recognise train corpora/es --split train --out recognisers/es"
)
@click.argument("corpus", type=FOLDER)
@split_option
@options_of(RecogniserConfig, RECIPE)
@out_option("the recogniser; <out>.training gets the checkpoint and log.csv")
@running_options
def train(
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
        print_facts(f"recogniser {out}", _facts(report))


def _facts(report: RecogniserTraining) -> dict[str, str]:
    interval = report.cer_interval
    facts = {
        "trained on": f"{counted(report.n_utterances, 'utterance')}, {report.minutes:.1f} min, "
        f"{counted(report.n_characters, 'character')}",
        "training": training_text(asdict(report)),
        "CER": f"{report.cer:.1f} %"
        + ("" if interval is None else " ({:.1f} … {:.1f})".format(*interval))
        + f", WER {report.wer:.1f} %, on {counted(report.n_held_out, 'recording')} of held-out "
        "texts",
    }
    if report.excluded:
        facts["left out"] = ", ".join(
            f"{n} {why.replace('_', ' ')}" for why, n in report.excluded.items()
        )
    return facts
