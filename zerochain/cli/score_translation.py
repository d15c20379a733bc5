"""Scores of translations and of recognised speech on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import FILE, FOLDER, Command, device_option, seed_option
from zerochain.cli.score import out_option, save_scores, split_option, system_option

reference_option = click.option(
    "--for-reference",
    is_flag=True,
    help="A topline or a ceiling, not a system: stands below the others, never marked as best.",
)
pairs_option = click.option(
    "--pairs", type=FILE, required=True, help="pairs.parquet: which source has which targets."
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
@pairs_option
@click.option("--corpus", type=FOLDER, help="The sources' or the targets', for --split.")
@split_option
@click.option(
    "--train-pairs",
    type=FILE,
    help="Random targets are drawn from these.  [default: pairs that are not scored]",
)
@click.option(
    "--texts", type=FOLDER, help="The targets' corpus: those with the same text are equally right."
)
@system_option
@reference_option
@out_option
@seed_option
def translation(out: Path, **options: Any) -> None:
    """Score translated UNITS against the units of the targets' recordings; repeats are merged.

    \b
    unit_bleu, unit_chrf   by sacrebleu; chrF spells each unit as one character
      …_shuffled           against other sources' references: as high means deaf to the input
      …_floor              what random targets score
    unit_error_rate        Levenshtein distance over reference length
    length_ratio           length of outputs over that of references
    distinct_output_ratio  different outputs over outputs
    retrieval_…            how early the right target comes when all are ranked by likeness

    Several targets of one source are its several references. Scores of units depend on the unit
    model, so outputs and references have to be of the same, and no other's scores compare.
    """
    from zerochain.scoring.translation import score_translation

    save_scores(score_translation(**options), out)


@click.command(
    cls=Command,
    example="zerochain score recognition wavs/ --corpus corpora/es --pairs corpora/pairs.parquet "
    "--split test --recogniser recognisers/es --out scores.jsonl",
)
@click.argument("wavs", type=FOLDER)
@click.option(
    "--corpus", type=FOLDER, required=True, help="The texts, of the language that is spoken."
)
@click.option("--recogniser", type=FOLDER, help="Of 'zerochain recognise train'.")
@click.option(
    "--command",
    help="A program instead, {wav} standing for the recording; it writes the text to its "
    'standard output: --command "prog --text-only {wav}". No shell is involved.',
)
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    help="How long the program may take for a recording.",
)
@click.option(
    "--pairs", type=FILE, help="WAVS have the ids of sources: they say what their targets say."
)
@split_option
@system_option
@reference_option
@out_option
@seed_option
@device_option
def recognition(out: Path, device: str, **options: Any) -> None:
    """CER, WER and ASR-BLEU of WAVS, a folder of <id>.wav, or a corpus whose recordings it takes.

    Texts are compared in lower case and without punctuation. An error rate means little without
    the recogniser's own: score the corpus itself, and resynthesised references, for the ceiling.
    """
    from zerochain.scoring.recognition import score_recognition
    from zerochain.training.device import resolve_device

    save_scores(score_recognition(device=resolve_device(device), **options), out)
