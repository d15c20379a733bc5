"""Scores of translated units on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import FILE, FOLDER, Command, seed_option, split_option
from zerochain.cli.score import out_option, save_scores, system_option
from zerochain.scoring.translation import score_translation

reference_option = click.option(
    "--for-reference",
    is_flag=True,
    help="A topline or a ceiling, not a system: listed below the others, never marked as best.",
)


@click.command(
    cls=Command,
    example="zerochain score translation translated.parquet --references units/es.parquet "
    "--pairs corpora/pairs.parquet --corpus corpora/en --split test --out scores.jsonl",
)
@click.argument("output", metavar="UNITS", type=FILE)
@click.option(
    "--references", type=FILE, required=True, help="Units of the target language's recordings."
)
@click.option(
    "--pairs", type=FILE, required=True, help="pairs.parquet: which source has which targets."
)
@click.option("--corpus", type=FOLDER, help="That of the sources or of the targets, for --split.")
@split_option
@click.option(
    "--train-pairs",
    type=FILE,
    help="Random targets are drawn from these.  [default: pairs that are not scored]",
)
@click.option(
    "--texts",
    type=FOLDER,
    help="The targets' corpus: targets with the same text are equally right.",
)
@system_option
@reference_option
@out_option
@seed_option
def translation(out: Path, **options: Any) -> None:
    """Compare translated UNITS with the units of the targets' recordings; repeats are merged.

    \b
    unit_bleu, unit_chrf   by sacrebleu; for chrF each unit is one character
      …_shuffled           against other sources' references: as high if the input is ignored
      …_floor              of random targets
    unit_error_rate        Levenshtein distance divided by the reference length
    length_ratio           length of outputs divided by that of references
    distinct_output_ratio  different outputs divided by outputs
    retrieval_…            rank of the right target when all are ranked by similarity

    Several targets of one source are its several references. Scores of units depend on the unit
    model: outputs and references must be of the same model, and only such scores compare.
    """
    save_scores(score_translation(**options), out)
