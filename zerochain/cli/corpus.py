"""Corpora that zerochain makes itself."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import Command, Group, out_option, seed_option
from zerochain.cli.importing import summarise


@click.group(cls=Group)
def corpus() -> None:
    """Make a corpus."""


@corpus.command(cls=Command, example="zerochain corpus demo --out corpora/demo")
@out_option("the two corpora and their pairs")
@click.option("--pairs", type=int, default=240, show_default=True, help="Sentences a language.")
@click.option("--voices", type=int, default=8, show_default=True, help="Speakers a language.")
@seed_option
def demo(out: Path, pairs: int, voices: int, seed: int) -> None:
    """Synthesise the demonstration corpus: English and Spanish, several voices, gold phones.

    Travellers' sentences in both languages (--out/en, --out/es, --out/pairs.parquet), different
    ones in train and test. The first voice of a language speaks half of them. Needs espeak-ng:
    pip install 'zerochain[demo]'.
    """
    from zerochain.corpora.demo import PAIRS_FILE, VOICES, make_demo
    from zerochain.formats.corpus import read_corpus

    made = make_demo(out, n_pairs=pairs, n_voices=voices, seed=seed)
    for language in VOICES:
        summarise(read_corpus(out / language))
    click.echo(f"{out / PAIRS_FILE}: {len(made.pairs)} pairs")
