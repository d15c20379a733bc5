"""Scores of units on the command line, with gold phones and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    corpus_option,
    seed_option,
    shift_option,
    silence_option,
    split_option,
)
from zerochain.cli.score import beside_option, out_option, save_scores, system_option
from zerochain.metrics.discophon import Assignment
from zerochain.metrics.silences import chosen
from zerochain.scoring.quality import score_quality
from zerochain.scoring.units import (
    score_bitrate,
    score_leakage,
    score_robustness,
    score_sentences,
    score_usage,
)


@click.command(
    cls=Command, example="zerochain score bitrate units.parquet --corpus corpora/mine --out s.jsonl"
)
@click.argument("units", type=FILE)
@corpus_option
@split_option
@system_option
@beside_option
@out_option
@seed_option
def bitrate(beside: str | None, out: Path, **options: Any) -> None:
    """Bits per second of UNITS: every unit, segments, segments with durations.

    \b
    bitrate                   that of the challenge: each unit of the file is a symbol
    segment_bitrate           repeats are merged; the durations of segments cost nothing
    timed_segment_bitrate     run-length coding: a symbol is a unit with its duration
    factored_segment_bitrate  run-length coding, units and durations coded separately

    Where units have durations, each unit of the file is a segment, and the first two are nearly
    equal: compare them with the challenge's only if a submission has one line per segment too.
    """
    save_scores(score_bitrate(**options), out, beside)


@click.command(cls=Command, example="zerochain score usage units.parquet --out scores.jsonl")
@click.argument("units", type=FILE)
@system_option
@out_option
@seed_option
def usage(out: Path, **options: Any) -> None:
    """How much of the codebook UNITS use: the fraction of units, and perplexity. No alignment."""
    save_scores(score_usage(**options), out)


@click.command(
    cls=Command,
    example="zerochain score quality units.parquet --corpus corpora/mine --split test "
    "--map-split train --tables tables/ --out scores.jsonl",
)
@click.argument("units", type=FILE)
@corpus_option
@split_option
@click.option(
    "--map-units",
    type=FILE,
    help="Learn which phone each unit stands for on these units of the same model.  "
    "[default: UNITS]",
)
@click.option("--map-split", help="Learn it on this split.  [default: on what is scored]")
@silence_option
@shift_option
@click.option("--tables", type=FOLDER, help="A folder for phone × unit and unit → phone tables.")
@click.option(
    "--protocol",
    type=click.Choice(["phones", "discophon"]),
    default="phones",
    show_default=True,
    help="Leave silence out, or count it as a phone, as DiscoPhon does.",
)
@click.option(
    "--assignment",
    type=click.Choice(list(get_args(Assignment))),
    default="many-to-one",
    show_default=True,
    help="Of units to phones; one-to-one needs --protocol discophon, and as many units as phonemes "
    "and one for silence.",
)
@click.option(
    "--phonemes",
    "n_phonemes",
    type=click.IntRange(min=1),
    help="Of --protocol discophon: how many the language has.  [default: those that occur]",
)
@system_option
@out_option
@seed_option
def quality(silence: str | None, out: Path, **options: Any) -> None:
    """Compare UNITS with gold phones, without silences or as DiscoPhon does.

    \b
    pnmi              I(phone; unit) / H(phone), also called homogeneity
    v_measure         2 I / (H(phone) + H(unit)), also called NMI
    completeness      I / H(unit)
    phone_purity      share of frames with the most frequent phone of their unit
    cluster_purity    share of frames with the most frequent unit of their phone
    phone_error_rate  of units mapped to their most frequent phones, runs merged
    boundary_…, …     where units change: precision, recall, F1, over-segmentation, R-value
    mapped_…          the same for units mapped to phones

    Frames of 10 ms, whatever the units' step. Boundaries match within 20 ms, one to one. For the
    first five, the chance level is the score of the same units at shifted times.

    --protocol discophon gives PNMI, phone error rate and boundaries of mapped units by that
    benchmark's definitions. Silence counts as a phone there, so PNMI is higher and the error rate
    lower than without it: never compare the two.
    """
    save_scores(score_quality(silences=chosen(silence), **options), out)


@click.command(
    cls=Command,
    example="zerochain score leakage units.parquet --corpus corpora/mine --model models/km256 "
    "--out scores.jsonl",
)
@click.argument("units", type=FILE)
@corpus_option
@click.option("--model", type=FOLDER, help="The units' model: probes their vectors as well.")
@split_option
@click.option(
    "--folds",
    "n_folds",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Of the cross-validation; speakers with fewer utterances are left out.",
)
@system_option
@out_option
@seed_option
def leakage(out: Path, **options: Any) -> None:
    """How well a linear probe recognises speakers by UNITS; chance is best. No alignment.

    \b
    speaker_probe_histograms  on the frequencies of units in an utterance
    speaker_probe_vectors     on the mean of its units' vectors (--model)

    Logistic regression, stratified folds of utterances. Chance is the share of the most frequent
    speaker. Where speakers say different things, content reveals the speaker as well.
    """
    save_scores(score_leakage(**options), out)


@click.command(
    cls=Command,
    example="zerochain corpus change corpora/mine --by noise --out corpora/noisy\n"
    "zerochain encode models/km256 corpora/noisy --out noisy.parquet\n"
    "zerochain score robustness units.parquet noisy.parquet --corpus corpora/noisy --out s.jsonl",
)
@click.argument("units", type=FILE)
@click.argument("changed", metavar="CHANGED_UNITS", type=FILE)
@click.option("--corpus", type=FOLDER, required=True, help="The corpus of changed recordings.")
@split_option
@system_option
@out_option
@seed_option
def robustness(out: Path, **options: Any) -> None:
    """How much UNITS change when the recordings do; repeats are merged. No alignment.

    \b
    ued_…           unit edit distance (Gat et al. 2022): edits per step; compare one step only
    unit_changes_…  edits per merged unit

    Chance is the distance to the changed recording of another utterance.
    """
    save_scores(score_robustness(**options), out)


@click.command(
    cls=Command,
    example="zerochain score sentences units.parquet --corpus corpora/mine --out scores.jsonl",
)
@click.argument("units", type=FILE)
@corpus_option
@click.option(
    "--pairs",
    type=FILE,
    help="Utterances with the same sentence.  [default: those with the same text]",
)
@split_option
@system_option
@out_option
@seed_option
def sentences(out: Path, **options: Any) -> None:
    """Edit distance between UNITS of one sentence by two speakers. No alignment.

    Edits divided by the length of the longer string, repeats merged; 0 is best. Chance is the
    distance to another sentence of similar length by the same second speaker.
    """
    save_scores(score_sentences(**options), out)
