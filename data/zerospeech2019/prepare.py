"""Import a local copy of ZeroSpeech 2019 as a zerochain corpus; see README.md beside it."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import FOLDER, Command, out_option
from zerochain.cli.importing import report
from zerochain.corpora.build import UNKNOWN, build_corpus
from zerochain.corpora.sounds import sound_files, stem
from zerochain.errors import InputError, listed
from zerochain.formats.corpus import Corpus, Utterance

LANGUAGES = {"english": "English", "surprise": "Indonesian"}
PARTS = ("train/unit", "train/voice", "train/parallel", "test")
OPTIONAL = {"train/parallel"}
"""No track needs it, and copies are made without it."""


def prepare(copy: Path, out: Path, *, language: str, skip_bad: bool) -> Corpus:
    """`copy` has english/ and surprise/, each with train/{unit,voice,parallel}/ and test/."""
    root = copy / language
    draft = Corpus(
        f"zerospeech2019-{language}",
        utterances(root),
        audio_root=str(root.absolute()),
        language=LANGUAGES[language],
        licence="ZeroSpeech 2019 terms of use",
        source="ZeroSpeech 2019: TTS without T (Dunbar et al., Interspeech 2019)",
    )
    return build_corpus(out, draft, skip_bad=skip_bad)


def utterances(root: Path) -> tuple[Utterance, ...]:
    """The recordings of all parts that are there.

    Ids of test recordings are their names, which submissions and .item files use. The other ids
    are paths, since some recordings are in two parts.
    """
    files = [file for file in sound_files(root).files if part_of(file) is not None]
    there = {part_of(file) for file in files}
    if missing := [part for part in PARTS if part not in there | OPTIONAL]:
        raise InputError(
            f"holds no recording in {listed(missing)}",
            path=root,
            cause="it is another folder, or the archive was only partly unpacked",
            remedy="give the folder that holds english/ and surprise/",
        )
    return tuple(
        Utterance(
            id=Path(file).stem if part_of(file) == "test" else stem(file),
            audio=file,
            duration=UNKNOWN,
            speaker=Path(file).stem.split("_")[0],
            split=str(part_of(file)).removeprefix("train/"),
        )
        for file in files
    )


def part_of(file: str) -> str | None:
    """The part a recording belongs to."""
    return next((part for part in PARTS if file.startswith(f"{part}/")), None)


@click.command(
    cls=Command,
    example="python data/zerospeech2019/prepare.py 2019 --language english --out corpora/english",
)
@click.argument("copy", type=FOLDER)
@out_option("the corpus")
@click.option(
    "--language", type=click.Choice(list(LANGUAGES)), default="english", show_default=True
)
@click.option("--skip-bad", is_flag=True, help="Leave out, and list, unusable files.")
def main(copy: Path, out: Path, language: str, skip_bad: bool) -> None:
    """Make a zerochain corpus of one language of a COPY of the ZeroSpeech 2019 data."""
    report(out, lambda: prepare(copy, out, language=language, skip_bad=skip_bad))


if __name__ == "__main__":
    main()
