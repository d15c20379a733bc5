"""`zerochain corpus`: corpora that zerochain makes itself, and recordings that moved."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import FILE, FOLDER, Command, out_option, seed_option, split_option
from zerochain.cli.importing import summarise
from zerochain.corpora.changes import Change, Kind, change_corpus
from zerochain.corpora.demo import FURTHER, SIDES, make_demo
from zerochain.corpora.parallel import Held, write_parallel
from zerochain.corpora.pictures import draw_pictures
from zerochain.corpora.switching import TEXTS, make_switching
from zerochain.errors import counted
from zerochain.formats.corpus import move_recordings, read_corpus
from zerochain.formats.pairs import read_pairs


@click.command(cls=Command, example="zerochain corpus demo --out corpora/demo")
@out_option("the two corpora and their pairs")
@click.option("--pairs", type=int, default=240, show_default=True, help="Sentences per language.")
@click.option("--voices", type=int, default=8, show_default=True, help="Speakers per language.")
@click.option(
    "--into",
    type=click.Choice(SIDES),
    help="For translation into this language: one voice speaks all of it, and the other's test "
    "sentences are spoken by voices that are not in train.",
)
@click.option(
    "--also",
    type=click.Choice(FURTHER),
    help="With --into: a further language to translate from; --out/pairs-pt.parquet pairs it.",
)
@seed_option
def demo(out: Path, pairs: int, voices: int, into: str | None, also: str | None, seed: int) -> None:
    """Synthesise the demonstration corpus: English and Spanish, several voices, gold phones.

    Travellers' sentences in both languages (--out/en, --out/es, --out/pairs.parquet), different
    ones in train and test. The first voice of a language speaks half of them. Needs espeak-ng:
    pip install 'zerochain[demo]'.
    """
    if also and not into:
        raise click.UsageError("--also needs --into, the language to translate into")
    made = make_demo(out, n_pairs=pairs, n_voices=voices, into=into, also=also, seed=seed)
    for language in (*SIDES, *([also] if also else [])):
        summarise(read_corpus(out / language))
    for path, joined in made.items():
        click.echo(f"{path}: {counted(len(joined.pairs), 'pair')}")


@click.command(cls=Command, example="zerochain corpus switching --out corpora/switching")
@out_option("the corpus, and texts alone")
@click.option(
    "--pairs",
    type=int,
    default=300,
    show_default=True,
    help="Sentences of each language with speech and text.",
)
@click.option(
    "--unpaired",
    type=int,
    default=600,
    show_default=True,
    help="Mixed sentences of speech without text, and others of text without speech.",
)
@click.option(
    "--tests", type=int, default=100, show_default=True, help="Sentences of each test split."
)
@click.option(
    "--valids",
    type=int,
    default=0,
    show_default=True,
    help="Mixed sentences with texts in the split valid-mixed, for 'chain train --valid-split'.",
)
@click.option("--voices", type=int, default=4, show_default=True, help="Bilingual speakers.")
@seed_option
def switching(
    out: Path, pairs: int, unpaired: int, tests: int, valids: int, voices: int, seed: int
) -> None:
    """Synthesise a corpus of code-switching: English and Spanish within one sentence.

    In --out/corpus, split train has English and Spanish sentences with their texts, and mixed
    sentences without; --out/texts.txt has other mixed texts. The test splits are test-en, test-es
    and test-mixed. Each voice speaks both languages. Needs espeak-ng: pip install
    'zerochain[demo]'.
    """
    corpus = make_switching(
        out,
        n_pairs=pairs,
        n_unpaired=unpaired,
        n_test=tests,
        n_voices=voices,
        n_valid=valids,
        seed=seed,
    )
    summarise(corpus)
    click.echo(f"{out / TEXTS}: {counted(unpaired, 'text')}")


@click.command(
    cls=Command,
    example="zerochain corpus demo --into es --out corpora/demo\n"
    "zerochain corpus pictures corpora/demo/en --out features/pictures",
)
@click.argument("corpus", type=FOLDER)
@out_option("the features of the pictures")
@seed_option
def pictures(corpus: Path, out: Path, seed: int) -> None:
    """Draw a picture of each text of the demonstration's English CORPUS, as features.

    A picture is a scene with sprites for nouns, dots for numbers, clocks and arrangements, cut into
    patches: features from which 'zerochain chain train-captioner' learns captions.
    """
    made = draw_pictures(read_corpus(corpus), out, seed=seed)
    regions = len(made[made.ids[0]])
    click.echo(f"{out}: {counted(len(made), 'picture')}, each of {regions} × {made.dim} values")


@click.command(
    cls=Command,
    example="zerochain corpus parallel corpora/en corpora/es pairs.parquet --out parallel\n"
    "zerochain corpus parallel corpora/en corpora/es pairs.parquet --folds 5 --fold 0 --out fold0",
)
@click.argument("source", type=FOLDER)
@click.argument("target", type=FOLDER)
@click.argument("pairs", type=FILE)
@click.option(
    "--test-fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Draw this fraction of pairs for testing.  [default: the corpora's split test; else 0.2]",
)
@click.option(
    "--folds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Divide the pairs into this many folds, for cross-validation.",
)
@click.option(
    "--fold", type=click.IntRange(min=0), default=0, show_default=True, help="The one to test."
)
@out_option("source, target and pairs.parquet")
@seed_option
def parallel(
    source: Path,
    target: Path,
    pairs: Path,
    test_fraction: float | None,
    folds: int,
    fold: int,
    out: Path,
    seed: int,
) -> None:
    """Make the splits of two corpora agree, for translation from SOURCE to TARGET.

    What is paired, and what has the same text, is in one split, train or test. PAIRS may be
    given in either direction; recordings stay where they are.
    """
    held = Held(test_fraction, folds, fold, seed)
    made = write_parallel(out, read_corpus(source), read_corpus(target), read_pairs(pairs), held)
    train = made.of_split(read_corpus(out / "source"), "train")
    n, n_train = len(made.pairs), len(train.pairs)
    click.echo(f"{out}: {counted(n, 'pair')}, {n_train} to train on")


@click.command(
    cls=Command,
    example="zerochain corpus move corpora/mine /media/disk/recordings",
)
@click.argument("corpus", type=FOLDER)
@click.argument("recordings", type=FOLDER)
def move(corpus: Path, recordings: Path) -> None:
    """Find the recordings of a CORPUS again, in the folder RECORDINGS that they were moved to.

    They have the same paths inside RECORDINGS as in the folder that was imported. Features, units
    and models of the corpus stay valid: its id doesn't change.
    """
    moved = move_recordings(corpus, recordings)
    click.echo(f"{corpus}: {counted(len(moved.utterances), 'utterance')} in {moved.audio_root}")


@click.command(
    cls=Command,
    example="zerochain corpus change corpora/mine --by noise --out corpora/noisy",
)
@click.argument("source", metavar="CORPUS", type=FOLDER)
@click.option(
    "--by",
    "kind",
    type=click.Choice(["noise", "pitch", "speed", "reverberation"]),
    required=True,
    help="How the recordings are changed.",
)
@click.option("--amount", type=float, help="How strong the change is; see above.")
@split_option
@out_option("the corpus of changed recordings")
@seed_option
def change(
    source: Path, kind: Kind, amount: float | None, split: str | None, out: Path, seed: int
) -> None:
    """Change the recordings of a CORPUS, not what is said, to see whether units stay the same.

    \b
    noise          pink; --amount dB signal-to-noise ratio  [default: 10]
    pitch          --amount semitones up or down  [default: 2]
    speed          --amount times as fast or as slow, at the same pitch  [default: 1.15]
    reverberation  a room; --amount seconds until 60 dB are gone  [default: 0.5]

    Ids, speakers, splits, texts and gold phones stay. Encode it, and compare the units with those
    of CORPUS: 'zerochain score robustness'.
    """
    summarise(change_corpus(source, out, Change.of(kind, amount), split=split, seed=seed))
