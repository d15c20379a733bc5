"""ABX on the command line: of one system, and the comparison of two."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    PATH,
    Command,
    jobs_option,
    seed_option,
    shift_option,
    silence_option,
    split_option,
)
from zerochain.cli.printing import print_table
from zerochain.cli.score import beside_option, out_option, save_scores, system_option
from zerochain.errors import counted
from zerochain.metrics.abx_engine import Distance
from zerochain.metrics.abx_plan import PROTOCOLS, variant
from zerochain.metrics.comparison import Comparison
from zerochain.metrics.silences import chosen
from zerochain.scoring.abx import score_abx
from zerochain.scoring.abx_tables import compare_abx
from zerochain.scoring.translation import compare_translations

DISTANCES: dict[str, Distance] = {name: name for name in get_args(Distance)}
DISTANCES |= {"dtw_cosine": "angular", "dtw_kl": "kl", "cosine": "angular"}
"""Ours and the challenges' names of distances → ours."""


class Most(click.ParamType):  # type: ignore[type-arg]
    """A number from 1 on, or "all"."""

    name = "N|all"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["all"]:
        """The number or "all" that a user wrote."""
        if value == "all":
            return "all"
        return click.IntRange(min=1).convert(value, param, ctx)


@click.command(
    cls=Command,
    example="zerochain score abx units.parquet --corpus corpora/mine --model models/km256 "
    "--split test --out scores.jsonl",
)
@click.argument("source", metavar="INPUT", type=PATH)
@click.option(
    "--corpus",
    type=FOLDER,
    help="The corpus, with gold phones; with --items only for splits, and to check lengths.",
)
@click.option("--model", type=FOLDER, help="The units' model: compares its codebook vectors.")
@click.option("--items", type=FILE, help="An .item file instead of gold phones; needs no --corpus.")
@click.option(
    "--ids",
    type=click.Choice(["path", "name"]),
    default="path",
    show_default=True,
    help="How --items names recordings: by whole ids, or by the part behind the last slash.",
)
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    default="triphone",
    show_default=True,
    help="Items and conditions of the comparison: phones with their neighbours or alone, or a "
    "challenge's.",
)
@click.option(
    "--context",
    type=click.Choice(["within", "any"]),
    help="Whether A, B and X have the same neighbours.  [default: the protocol's]",
)
@click.option(
    "--reference-slicing",
    is_flag=True,
    help="Leave out the last frame of each token, as Libri-Light's own code does.",
)
@click.option(
    "--max-tokens",
    type=Most(),
    help="Tokens of each phone, context and speaker, drawn at random.  [default: the protocol's]",
)
@click.option(
    "--max-speakers",
    type=Most(),
    help="Speakers of X for each A, drawn at random.  [default: the protocol's]",
)
@click.option(
    "--distance",
    type=click.Choice(list(DISTANCES)),
    help="Between frames.  [default: angular; identical for units without --model]",
)
@click.option(
    "--mode",
    type=click.Choice(["within", "across", "both"]),
    help="[default: both; zs2019 is across]",
)
@split_option
@silence_option
@click.option(
    "--normalise",
    type=click.Choice(["none", "corpus", "speaker", "utterance", "length"]),
    default="none",
    show_default=True,
    help="Mean and variance normalisation of features; length: frames of length 1.",
)
@shift_option
@click.option(
    "--tables",
    type=FOLDER,
    help="A folder for the errors of all pairs of phones and of speakers (.csv) and for all cells "
    "(.parquet), the input of 'score compare'.",
)
@click.option(
    "--phone-table",
    type=FILE,
    help="A .csv or .tsv with a column 'phone' and properties, such as 'base' and 'tone': adds the "
    "errors of pairs that differ in one property alone; --tables then has abx_groups.csv too.",
)
@system_option
@beside_option
@out_option
@seed_option
@jobs_option
def abx(
    protocol: str,
    context: Literal["within", "any"] | None,
    reference_slicing: bool,
    max_tokens: int | Literal["all"] | None,
    max_speakers: int | Literal["all"] | None,
    distance: str | None,
    silence: str | None,
    beside: str | None,
    out: Path,
    **options: Any,
) -> None:
    """ABX error of INPUT, a units.parquet or a features folder: 0 is perfect, 50 is chance.

    \b
    triphone  whole triphones, in the same context, all tokens
    phone     single phones in any context; 10 tokens per group and 5 speakers of X, at random
    zs2019    whole triphones, in the same context, across speakers; DTW(A, X); averaged over pairs
              of speakers, then pairs of phones. Times of --items are fractions of the recording.
    zs2021    Libri-Light's: as triphone (or --context any), with the random draws of phone
    discophon DiscoPhon's: as triphone, 5 speakers of X at random; units as "the same or not", and
              what it prints is the mean of within and across. Its phonemes in any context are
              --context any --max-tokens 500.

    \b
    angular       arccos / pi ("dtw_cosine" or "cosine" in the challenges), under DTW; so are
    kl            the mean of both KL divergences, as in ZeroSpeech 2019 ("dtw_kl")
    kl_symmetric  the same as in Libri-Light: not renormalised, 1e-6 under the logarithm.
                  Its own code compares frames of length 1, whatever the distance:
                  --normalise length reproduces its scores
    identical     0 or 1, of units or of vectors
    levenshtein   edits between sequences, without DTW

    Units are compared as "the same or not" or, with --model, by their codebook vectors. Silences
    are never compared, and triphones next to one are left out; the output counts what is left out.
    """
    scored = score_abx(
        protocol=variant(
            PROTOCOLS[protocol],
            context=context,
            reference_slicing=reference_slicing,
            max_tokens=max_tokens,
            max_speakers=max_speakers,
        ),
        distance=None if distance is None else DISTANCES[distance],
        silences=chosen(silence),
        **options,
    )
    save_scores(scored, out, beside)


@click.command(
    cls=Command,
    example="zerochain score compare tables/km256 tables/gmm256\n"
    "zerochain score compare conformer.parquet nearest.parquet --references units/es.parquet "
    "--pairs corpora/pairs.parquet --corpus corpora/en --split test",
)
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@click.option("--references", type=FILE, help="Of translations: units of the targets' recordings.")
@click.option("--pairs", type=FILE, help="Of translations: which source has which targets.")
@click.option("--corpus", type=FOLDER, help="Of translations: that of either side, for --split.")
@split_option
@seed_option
def compare(
    first: Path,
    second: Path,
    references: Path | None,
    pairs: Path | None,
    corpus: Path | None,
    split: str | None,
    seed: int,
) -> None:
    """Compare the ABX errors of two systems on the same cells, or two translations.

    FIRST and SECOND are folders of --tables from 'score abx', or the abx_cells.parquet in them.
    The interval is that of the difference, over phones and speakers: it is narrower than the
    systems' own intervals suggest, since the same phones are hard for both.

    With --references and --pairs they are unit files of translations of the same sources, compared
    by unit BLEU; the interval is over sources, drawn for both at once.
    """
    if references is not None and pairs is not None:
        one, names = compare_translations(
            first, second, references, pairs, corpus=corpus, split=split, seed=seed
        )
        header = (*names, "difference", "95 % interval")
        print_table("unit BLEU", header, [_values(one)])
        click.echo(one.verdict(names))
        return
    if {references, pairs, corpus, split} != {None}:
        raise click.BadParameter(
            "--corpus and --split require --references and --pairs, which require each other"
        )
    found, names = compare_abx(first, second, seed=seed)
    header = ("mode", *names, "difference", "95 % interval", "cells")
    rows = [(one.mode, *_values(one), f"{one.n_cells:,}") for one in found]
    print_table("ABX error in %", header, rows)
    for one in found:
        for name, n in zip(names, one.left_out, strict=True):
            if n:
                click.echo(f"left out: {counted(n, 'cell')} of {one.mode} that only {name} has")
        click.echo(f"{one.mode}: {one.verdict(names)}")


def _values(one: Comparison) -> tuple[str, ...]:
    """Both values, their difference, and its interval."""
    ends = "" if one.interval is None else f"{one.interval[0]:+.2f} … {one.interval[1]:+.2f}"
    return f"{one.first:.2f}", f"{one.second:.2f}", f"{one.difference:+.2f}", ends
