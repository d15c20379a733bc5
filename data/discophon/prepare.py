"""Import a language of DiscoPhon's data as a zerochain corpus; see README.md beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from zerochain.cli.common import FOLDER, Command, out_option
from zerochain.cli.importing import report
from zerochain.corpora.build import UNKNOWN, Alignment, Span, build_corpus
from zerochain.exchange.discophon import (
    EVALUATED,
    LANGUAGES,
    TRAINING,
    alignment_path,
    read_alignment,
    read_manifest,
)
from zerochain.formats.corpus import Corpus, Utterance
from zerochain.formats.phones import Phones


def prepare(data: Path, out: Path, *, language: str, train: str, skip_bad: bool) -> Corpus:
    """The splits dev and test, and one of those for training, as split "train"."""

    def align(spans: Mapping[str, Span], spare: frozenset[str]) -> Alignment:
        found = [read_alignment(alignment_path(data, language, s)).by_id for s in EVALUATED]
        phones = {name: line for one in found for name, line in one.items() if name in spans}
        return Alignment(Phones(phones, str(data / "alignment")), [], [])

    utterances = tuple(
        Utterance(
            id=listed.name,
            audio=f"audio/{language}/{split}/{listed.name}.wav",
            duration=UNKNOWN,
            speaker=listed.speaker,
            split="train" if split == train else split,
        )
        for split in (train, *EVALUATED)
        for listed in read_manifest(data, language, split)
    )
    corpus = Corpus(
        f"discophon-{language}",
        utterances,
        audio_root=str(data.absolute()),
        language=LANGUAGES[language].name,
        licence="that of each source: see the documentation of DiscoPhon",
        source=f"DiscoPhon (Poli et al., Interspeech 2026), {train}, dev and test",
    )
    return build_corpus(out, corpus, align=align, skip_bad=skip_bad)


@click.command(
    cls=Command, example="python data/discophon/prepare.py DATA --language eng --out corpora/eng"
)
@click.argument("data", type=FOLDER)
@out_option("the corpus")
@click.option("--language", type=click.Choice(list(LANGUAGES)), required=True, metavar="CODE")
@click.option("--train", type=click.Choice(TRAINING), default="train-10h", show_default=True)
@click.option("--skip-bad", is_flag=True, help="Leave out, and list, unusable files.")
def main(data: Path, out: Path, language: str, train: str, skip_bad: bool) -> None:
    """Make a zerochain corpus of one language of DiscoPhon's DATA."""
    report(out, lambda: prepare(data, out, language=language, train=train, skip_bad=skip_bad))


if __name__ == "__main__":
    main()
