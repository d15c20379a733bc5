"""Corpora that zerochain makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zerochain.cli.common import FOLDER, Command, Group, out_option, seed_option, split_option
from zerochain.cli.importing import summarise

if TYPE_CHECKING:
    from zerochain.corpora.changes import Kind


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


@corpus.command(
    cls=Command, example="zerochain corpus change corpora/mine --by noise --out corpora/noisy"
)
@click.argument("source", metavar="CORPUS", type=FOLDER)
@click.option(
    "--by",
    "kind",
    type=click.Choice(["noise", "pitch", "speed", "reverberation"]),
    required=True,
    help="What is done to the recordings.",
)
@click.option("--amount", type=float, help="How much of it; see above.")
@split_option
@out_option("the corpus of changed recordings")
@seed_option
def change(
    source: Path, kind: Kind, amount: float | None, split: str | None, out: Path, seed: int
) -> None:
    """Change the recordings of a CORPUS, not what is said, to see whether units stay the same.

    \b
    noise          pink; --amount dB of signal-to-noise ratio  [default: 10]
    pitch          --amount semitones up or down  [default: 2]
    speed          --amount times as fast or as slow, at the same pitch  [default: 1.15]
    reverberation  a room; --amount seconds until 60 dB are gone  [default: 0.5]

    Ids, speakers, splits, texts and gold phones stay. Encode it, and compare the units with those
    of CORPUS: 'zerochain score robustness'.
    """
    from zerochain.corpora.changed import change_corpus
    from zerochain.corpora.changes import Change

    summarise(change_corpus(source, out, Change.of(kind, amount), split=split, seed=seed))
