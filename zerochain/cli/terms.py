"""Words of a language that nobody has transcribed: `lexicon`, `terms`, and `score terms`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    SpansPath,
    ids_option,
    seed_option,
    shift_option,
    silence_option,
    split_option,
)
from zerochain.cli.options import options_of
from zerochain.cli.score import out_option as scores_out_option
from zerochain.cli.score import save_scores, system_option
from zerochain.errors import counted
from zerochain.metrics.silences import chosen
from zerochain.report.listening import write_terms_page
from zerochain.report.unit_sounds import PER_UNIT, write_units_page
from zerochain.scoring.terms import score_terms
from zerochain.search.lexicon import LexiconConfig
from zerochain.search.stage import make_lexicon, make_terms
from zerochain.search.terms import TermsConfig

corpus_option = click.option(
    "--corpus",
    type=FOLDER,
    help="Their recordings: leaves out pauses, and prefers words that begin with a syllable.",
)
spans_out = click.option(
    "--out",
    type=SpansPath(".classes"),
    required=True,
    help="The spans: a table (.parquet or .csv), or .classes for ZeroSpeech's format.",
)


@click.command(
    cls=Command,
    example="zerochain lexicon units.parquet --corpus corpora/mine --out words.parquet\n"
    "zerochain lexicon units.parquet --corpus corpora/mine --random-like words.parquet "
    "--out random.parquet",
)
@click.argument("units", type=FILE)
@corpus_option
@split_option
@options_of(LexiconConfig)
@click.option(
    "--random-like",
    type=FILE,
    help="A baseline: as many words as in this lexicon of the same units, with boundaries drawn "
    "at random.",
)
@click.option(
    "--syllables", is_flag=True, help="A baseline: each syllable is a word; needs --corpus."
)
@spans_out
@seed_option
def lexicon(out: Path, **options: Any) -> None:
    """Divide all speech of UNITS into words, without knowing any (a Bayesian segmenter).

    What is said again is cheaper than what is new: a unigram Dirichlet process over strings of
    units, with a prior on durations. Units with durations (encode --penalty) are best. A word's
    label is its units, so that equal labels are one word.
    """
    found = make_lexicon(out=out, **options)
    click.echo(f"{out}: {found}")


@click.command(
    cls=Command,
    example="zerochain terms units.parquet --corpus corpora/mine --features features/mine "
    "--out terms.parquet --page terms.html\n"
    "zerochain terms units.parquet --corpus corpora/mine --out terms.classes",
)
@click.argument("units", type=FILE)
@corpus_option
@click.option(
    "--model",
    type=FOLDER,
    help="The units' model: units with similar code vectors then agree in part.",
)
@click.option(
    "--features",
    type=FOLDER,
    help="Features of the same utterances, posteriors or latents: matches of units are compared "
    "frame by frame, and the best ones taken.",
)
@split_option
@options_of(TermsConfig)
@spans_out
@click.option(
    "--page",
    type=FILE,
    help="An HTML page to listen through the clusters and to name them; needs --corpus.",
)
def terms(out: Path, page: Path | None, **options: Any) -> None:
    """Find what is said again in UNITS, without a query: clusters of words and phrases.

    Stretches that share a few units are aligned, places that match are clustered. Units with
    durations (encode --penalty) are best. With --features far fewer matches are wrong. The page
    plays each cluster, and saves the names that you give to clusters as a CSV.
    """
    if page is not None and options["corpus"] is None:
        raise click.UsageError("--page needs --corpus, for the sound")
    click.echo(f"{out}: {make_terms(out=out, **options)}")
    if page is not None:
        n_shown, n_clusters = write_terms_page(page, out, options["corpus"])
        of = "" if n_shown == n_clusters else f" of {n_clusters}, as many as a page has room for"
        click.echo(f"{page}: {counted(n_shown, 'cluster')}{of}")


@click.command(
    cls=Command,
    example="zerochain units units.parquet --corpus corpora/mine --out units.html\n"
    "zerochain units units.parquet --corpus corpora/mine --features latents/ "
    "--inverter inverters/x --out units.html",
)
@click.argument("units", type=FILE)
@click.option("--corpus", type=FOLDER, required=True, help="Their recordings, and gold phones.")
@click.option(
    "--features",
    type=FOLDER,
    help="Features of the corpus, such as the model's latents (encode --latents): the best "
    "examples are nearest to the unit's mean.  [default: examples of typical length]",
)
@click.option("--inverter", type=FOLDER, help="Speaks each unit.")
@click.option("--voice", help="The inverter's voice.  [default: its first]")
@click.option(
    "--examples",
    "per_unit",
    type=click.IntRange(1, 20),
    default=PER_UNIT,
    show_default=True,
    help="Examples in a row.",
)
@shift_option
@click.option("--out", type=FILE, required=True, help="Where to write the page.")
def units(out: Path, **options: Any) -> None:
    """Make a page to listen to each unit of UNITS: examples, synthesis, phones, durations."""
    click.echo(f"{out}: {counted(write_units_page(out, **options), 'unit')}")


@click.command(
    "terms",
    cls=Command,
    example="zerochain score terms words.parquet --corpus corpora/mine --words gold-words.parquet "
    "--split test --out scores.jsonl\n"
    "zerochain score terms mandarin.classes --phones mandarin.phn --words mandarin.wrd "
    "--out scores.jsonl",
)
@click.argument("terms", type=FILE)
@click.option("--corpus", type=FOLDER, help="The corpus, with gold phones.")
@click.option(
    "--phones",
    type=FILE,
    help="Gold phones without a corpus: lines 'name onset offset phone', in seconds.",
)
@click.option(
    "--words",
    type=FILE,
    help="Gold words: a table of spans, or lines 'name onset offset word'.  [default: only the "
    "scores that take phones alone]",
)
@split_option
@ids_option
@silence_option
@shift_option
@system_option
@scores_out_option
@seed_option
def score(silence: str | None, ids: str, out: Path, **options: Any) -> None:
    """Compare discovered TERMS or a lexicon with gold words, as ZeroSpeech does (TDE).

    TERMS is a table of spans (.parquet or .csv: recording, start_s, end_s, label) or a file of
    classes as in the challenge.

    \b
    ned              edit distance between the phones of pairs in one cluster
    weighted_ned     the same, where clusters count by spans rather than by pairs
    inverse_ned      edit distance between the labels of one word's tokens
    coverage         share of the phones that are in any span
    grouping_…       tokens in pairs of one cluster with the same phones
    token_…, type_…  spans, and kinds of spans, with exactly the phones of a word
    word_boundary_…  where words begin and end

    All but weighted_ned and inverse_ned equal zerospeech-tde 2.0.3. Those two are after the
    abstract of a paper and a reimplementation, and don't compare with numbers in print.
    """
    scored = score_terms(silences=chosen(silence), folders=ids == "path", **options)
    save_scores(scored, out)
