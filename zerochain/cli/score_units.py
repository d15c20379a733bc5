"""Scores of units on the command line: beside gold phones, and what can be said without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import FILE, FOLDER, Command, seed_option
from zerochain.cli.score import (
    corpus_option,
    out_option,
    save_scores,
    silence_option,
    split_option,
    system_option,
)


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
    help="Learn on these units of the same model which phone each stands for.  [default: UNITS]",
)
@click.option("--map-split", help="Learn it on this split.  [default: on what is scored]")
@silence_option
@click.option(
    "--shift-ms",
    type=float,
    default=0.0,
    show_default=True,
    help="Added to the times of the gold phones: automatic alignments can be late.",
)
@click.option("--tables", type=FOLDER, help="A folder for phone × unit and unit → phone tables.")
@system_option
@out_option
@seed_option
def quality(silence: str | None, out: Path, **options: Any) -> None:
    """UNITS beside gold phones, silences left out.

    \b
    pnmi              I(phone; unit) / H(phone), which is homogeneity too
    v_measure         2 I / (H(phone) + H(unit)), which is NMI too
    completeness      I / H(unit)
    phone_purity      share of frames of their unit's most frequent phone
    cluster_purity    share of frames of their phone's most frequent unit
    phone_error_rate  units as the phone that each is most often in, runs merged
    boundary_…, …     where units change: precision, recall, F1, over-segmentation, R-value
    mapped_…          the same, where the phones that units stand for change

    Frames of 10 ms, whatever the units' step. Boundaries hit within 20 ms, one to one. Beside the
    first five stands what the same units would get away from their place.
    """
    from zerochain.metrics.silences import chosen
    from zerochain.scoring.quality import score_quality

    silences = chosen(silence)
    save_scores(score_quality(silences=silences, **options), out)


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
    """How well a linear probe tells speakers by their UNITS; chance is the best. No alignment.

    \b
    speaker_probe_histograms  from how often an utterance has each unit
    speaker_probe_vectors     from the mean of its units' vectors (--model)

    Logistic regression, stratified folds of utterances. Chance: the most frequent speaker's share.
    Where speakers say different things, what they say gives them away as well.
    """
    from zerochain.scoring.units import score_leakage

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
    ued_…           unit edit distance (Gat et al. 2022): edits over steps; for units of one step
    unit_changes_…  edits over merged units

    Beside both stands the distance to another utterance's changed recording.
    """
    from zerochain.scoring.robustness import score_robustness

    save_scores(score_robustness(**options), out)


@click.command(
    cls=Command,
    example="zerochain score sentences units.parquet --corpus corpora/mine --out scores.jsonl",
)
@click.argument("units", type=FILE)
@corpus_option
@click.option(
    "--pairs", type=FILE, help="Utterances that say the same.  [default: those with the same text]"
)
@split_option
@system_option
@out_option
@seed_option
def sentences(out: Path, **options: Any) -> None:
    """How far apart UNITS of one sentence by two speakers are. No alignment.

    Edits over the length of the longer, repeats merged; 0 is the best. Beside it stands the
    distance to another sentence of like length by the same second speaker.
    """
    from zerochain.scoring.robustness import score_sentences

    save_scores(score_sentences(**options), out)
