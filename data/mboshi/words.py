"""Gold words of a corpus whose phones are letters: Mboshi's flat copy; see README.md beside this.

The letters of each text are aligned with the labels of the utterance's phones by edit distance, in
which a letter without its accent is still that letter. A word reaches from the first to the last of
its phones. It is left out where none of its letters has a phone, and where over a third of them
have another one or none: then the text isn't what was aligned.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rapidfuzz.distance import Levenshtein

from zerochain.cli.common import FOLDER, TABLE, Command, out_option
from zerochain.errors import counted, printable
from zerochain.formats.corpus import read_corpus
from zerochain.formats.phones import PHONES_FILE, Phone, read_phones
from zerochain.formats.spans import LabelledSpan, Spans, write_spans
from zerochain.metrics.silences import SILENCES
from zerochain.metrics.text import plain

MOST_WRONG = 1 / 3
"""Of a word's letters."""


@dataclass(frozen=True)
class Placed:
    """The words of an utterance that have a time, and those that have none."""

    words: list[tuple[float, float, str]]
    left_out: list[str]
    n_wrong: int
    """Letters with another phone, or with none."""


def place_words(text: str, phones: Sequence[Phone]) -> Placed:
    """Align a text's letters with phones."""
    words = plain(text).split()
    spoken = [phone for phone in phones if phone.phone not in SILENCES]
    letters = [(i, _base(c)) for i, word in enumerate(words) for c in _letters(word)]
    labels = [_base(phone.phone) for phone in spoken]
    codes = Levenshtein.opcodes([letter for _, letter in letters], labels)
    placed: list[list[Phone]] = [[] for _ in words]
    n_right = [0] * len(words)
    for code in codes:
        pairs = zip(
            range(code.src_start, code.src_end), range(code.dest_start, code.dest_end), strict=False
        )
        for letter, phone in pairs:  # of a replacement or of equal letters: as long as each other
            word = letters[letter][0]
            placed[word].append(spoken[phone])
            n_right[word] += code.tag == "equal"
    found, left_out, n_wrong = [], [], 0
    for word, line, right in zip(words, placed, n_right, strict=True):
        wrong = len(_letters(word)) - right
        n_wrong += wrong
        if line and wrong <= MOST_WRONG * len(_letters(word)):
            found.append((line[0].onset, line[-1].offset, word))
        else:
            left_out.append(word)
    return Placed(found, left_out, n_wrong)


def _letters(word: str) -> list[str]:
    """The characters that are letters, each with its marks."""
    clusters: list[str] = []
    for c in unicodedata.normalize("NFC", word):
        if unicodedata.combining(c) and clusters:
            clusters[-1] += c
        elif c.isalnum():
            clusters.append(c)
    return clusters


def _base(letter: str) -> str:
    """A letter in lower case without its accents, which phones and texts don't always share."""
    return "".join(
        c for c in unicodedata.normalize("NFD", letter.lower()) if not unicodedata.combining(c)
    )


@click.command(
    cls=Command, example="python data/mboshi/words.py corpora/mboshi --out words.parquet"
)
@click.argument("folder", metavar="CORPUS", type=FOLDER)
@out_option("the table of words", TABLE)
def main(folder: Path, out: Path) -> None:
    """Derive the gold words of a CORPUS from its texts and its phones, which are letters."""
    corpus = read_corpus(folder)
    phones = read_phones(corpus.home / PHONES_FILE).by_id
    rows: list[LabelledSpan] = []
    left_out: list[str] = []
    n_wrong, n_without = 0, 0
    for u in corpus.utterances:
        if not u.text or u.id not in phones:
            n_without += 1
            continue
        one = place_words(u.text, phones[u.id])
        rows += [LabelledSpan(u.id, *word, speaker=u.speaker) for word in one.words]
        left_out += [f"{word} ({u.id})" for word in one.left_out]
        n_wrong += one.n_wrong
    write_spans(out, Spans(tuple(rows), "words", "text and phones", corpus.id))
    n = len(rows) + len(left_out)
    click.echo(
        f"{out}: {len(rows):,} of {counted(n, 'word')} placed; "
        f"{counted(n_wrong, 'letter')} with another phone or none"
    )
    if n_without:
        click.echo(f"{counted(n_without, 'utterance')} without a text or phones")
    for word in left_out[:10]:
        click.echo(f"not placed: {printable(word)}")


if __name__ == "__main__":
    main()
