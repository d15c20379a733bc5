"""ABX on the command line: of one system, and of two beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from zerochain.cli.common import FILE, FOLDER, PATH, Command, jobs_option, seed_option
from zerochain.cli.printing import print_table
from zerochain.cli.score import out_option, save_scores, silence_option, split_option, system_option
from zerochain.cli.score_beside import beside_option

DISTANCES = ("angular", "euclidean", "kl", "kl_symmetric", "identical", "levenshtein")
ALIASES = {"dtw_cosine": "angular", "dtw_kl": "kl", "cosine": "angular"}
"""What challenges call distances → what we do."""


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
@click.option(
    "--items", type=FILE, help="An .item file, instead of gold phones: it needs no --corpus."
)
@click.option(
    "--ids",
    type=click.Choice(["path", "name"]),
    default="path",
    show_default=True,
    help="What --items calls recordings: whole ids, or what stands behind their last slash.",
)
@click.option(
    "--protocol",
    type=click.Choice(["triphone", "phone", "zs2019", "zs2021"]),
    default="triphone",
    show_default=True,
)
@click.option(
    "--context",
    type=click.Choice(["within", "any"]),
    help="Whether A, B and X have the same neighbours.  [default: the protocol's]",
)
@click.option(
    "--reference-slicing",
    is_flag=True,
    help="Leave out each token's last frame, as Libri-Light's own code does.",
)
@click.option(
    "--distance",
    type=click.Choice((*DISTANCES, *ALIASES)),
    help="Between frames.  [default: angular; for units without --model identical]",
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
@click.option(
    "--shift-ms",
    type=float,
    default=0.0,
    show_default=True,
    help="Added to the times of the gold phones or items: automatic alignments can be late.",
)
@click.option(
    "--tables",
    type=FOLDER,
    help="A folder for the error of every pair of phones and of speakers (.csv) and for all cells "
    "(.parquet), which 'score compare' takes.",
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
    distance: str | None,
    silence: str | None,
    beside: str | None,
    out: Path,
    **options: Any,
) -> None:
    """ABX error of INPUT, a units.parquet or a features folder: 0 is perfect, 50 is chance.

    \b
    triphone  whole triphones, in the same context, all tokens
    phone     single phones in any context; 10 tokens a group and 5 speakers of X, drawn at random
    zs2019    whole triphones, in the same context, across speakers; DTW(A, X); pairs of speakers
              are averaged, then pairs of phones. Times of --items are fractions of the recording.
    zs2021    Libri-Light's: as triphone (or --context any), drawn as in phone

    \b
    angular       arccos / pi ("dtw_cosine" or "cosine" of the challenges), under DTW, as are
    kl            the mean of both KL divergences, as in ZeroSpeech 2019 ("dtw_kl")
    kl_symmetric  the same as in Libri-Light: not renormalised, 1e-6 under the logarithm.
                  Its own code compares frames of length 1, whatever the distance:
                  --normalise length gives its scores
    identical     0 or 1, of units or of vectors
    levenshtein   edits from one sequence to the other, without DTW

    Units are compared as "the same or not" or, with --model, by their codebook vectors. Silences
    are never compared, and a triphone beside one is left out; what is left out is counted.
    """
    from zerochain.metrics.abx_plan import PROTOCOLS, variant
    from zerochain.metrics.silences import chosen as chosen_silences
    from zerochain.scoring.abx import score_abx

    options["silences"] = chosen_silences(silence)
    chosen = variant(PROTOCOLS[protocol], context=context, reference_slicing=reference_slicing)
    options["distance"] = ALIASES.get(distance or "", distance)
    save_scores(score_abx(protocol=chosen, **options), out, beside)


@click.command(cls=Command, example="zerochain score compare tables/km256 tables/gmm256")
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@seed_option
def compare(first: Path, second: Path, seed: int) -> None:
    """How much lower the ABX error of one system is than another's, on the same cells.

    FIRST and SECOND are folders of --tables from 'score abx', or the abx_cells.parquet in them.
    The interval is that of the difference, over phones and speakers: narrower than what the two
    intervals of the systems suggest, since what is hard is hard for both.
    """
    from zerochain.scoring.abx_tables import compare_abx

    found, names = compare_abx(first, second, seed=seed)
    rows = []
    for one in found:
        errors = [f"{one.first:.2f}", f"{one.second:.2f}", f"{one.difference:+.2f}"]
        ends = "" if one.interval is None else f"{one.interval[0]:+.2f} … {one.interval[1]:+.2f}"
        rows.append((one.mode, *errors, ends, f"{one.n_cells:,}"))
    header = ("mode", *names, "difference", "95 % interval", "cells")
    print_table("ABX error in %", header, rows)
    for one in found:
        for name, n in zip(names, one.left_out, strict=True):
            if n:
                click.echo(f"left out: {n} cells of {one.mode} that only {name} has")
