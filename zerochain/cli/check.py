"""`zerochain check`: submissions of others, with every violation of the rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

import click

from zerochain.cli.common import FOLDER, Command
from zerochain.errors import InputError, counted
from zerochain.exchange.submission_rules import Violation
from zerochain.exchange.zerospeech import LANGUAGES, SUBSETS, check_2019, check_2021
from zerochain.formats.corpus import MARKER, read_corpus
from zerochain.formats.text_files import lines_of, read_text

F = TypeVar("F", bound=Callable[..., object])


def expected_option(what: str, names: tuple[str, ...]) -> Callable[[F], F]:
    """`--expected NAME=PATH`, several times."""
    return click.option(
        "--expected",
        metavar=f"{what.upper()}=PATH",
        multiple=True,
        callback=lambda context, option, values: named_paths(values, what, names),
        help=f"What a {what} has to hold: the challenge's list of files, a folder of recordings, "
        "or a corpus (its split test, if it has one); may be repeated.",
    )


@click.command(
    cls=Command,
    example="zerochain check zerospeech2019 submission/\n"
    "zerochain check zerospeech2019 submission/ --expected english=required_filelist.txt",
)
@click.argument("submission", type=FOLDER)
@expected_option("language", LANGUAGES)
def zerospeech2019(submission: Path, expected: dict[str, Path]) -> None:
    """Check a SUBMISSION to ZeroSpeech 2019, in the layout of 2020.

    All rules of the challenge's own validator, and NaN, blank lines, lines of one number, numbers
    below zero under KL and links out of the folder. The list of files is the challenge's
    (share/2019/<language>/required_filelist.txt of its tools).
    """
    names = {name: expected_names(path) for name, path in expected.items()}
    report(_folder(submission), check_2019(submission, names))


@click.command(
    cls=Command,
    example="zerochain check zerospeech2021 submission/ --expected dev-clean=data/dev-clean",
)
@click.argument("submission", type=FOLDER)
@expected_option("subset", SUBSETS)
@click.option(
    "--subset",
    "subsets",
    type=click.Choice(SUBSETS),
    multiple=True,
    help="Subsets that have to be there.  [default: all four]",
)
def zerospeech2021(submission: Path, expected: dict[str, Path], subsets: tuple[str, ...]) -> None:
    """Check a SUBMISSION to ZeroSpeech 2021: meta.yaml and the phonetic part.

    It has the layout of 2021's server (phonetic/dev-clean/….txt), or that of the benchmark abxLS
    of zerospeech-benchmarks, today's toolkit (dev-clean/….npy, params.yaml). The lexical,
    syntactic and semantic parts come from language models and aren't checked.
    """
    names = {name: expected_names(path) for name, path in expected.items()}
    folder = _folder(submission)
    report(folder, check_2021(folder, names, subsets=subsets or SUBSETS))


def report(submission: Path, violations: Iterator[Violation]) -> None:
    """Print every violation; exit with code 1 if there is one."""
    count = 0
    for violation in violations:
        click.echo(str(violation))
        count += 1
    if count:
        raise InputError(
            f"breaks the rules in {counted(count, 'place')}, listed above", path=submission
        )
    click.echo(f"{submission}: follows all rules that were checked")


def expected_names(path: Path) -> Collection[str]:
    """Names of files: of a list (first column), of recordings in a folder, or of a corpus."""
    if (path / MARKER).is_file():
        corpus = read_corpus(path)
        splits = {utterance.split for utterance in corpus.utterances}
        ids = corpus.select(split="test").ids if "test" in splits else corpus.ids
        names = [f"{Path(name).name}.txt" for name in ids]
    elif path.is_dir():
        sounds = [file for file in path.rglob("*") if file.suffix in {".wav", ".flac"}]
        names = [f"{file.stem}.txt" for file in sounds]
    else:
        lines = lines_of(read_text(path))
        names = [Path(line.split()[0]).name for line in lines if line.strip()]
    if not names:
        raise InputError(
            "names no file",
            path=path,
            remedy="give the challenge's list, a folder of recordings or a corpus",
        )
    return set(names)


def named_paths(values: tuple[str, ...], what: str, names: tuple[str, ...]) -> dict[str, Path]:
    """The NAME=PATH of an option that may be repeated."""
    paths = {}
    for value in values:
        name, equals, path = value.partition("=")
        if name not in names or not equals or not Path(path).exists():
            raise click.BadParameter(
                f"{value!r} is not {what.upper()}=PATH with a {what} ({', '.join(names)}) and an "
                "existing path"
            )
        paths[name] = Path(path)
    return paths


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise click.BadParameter(f"{path} is not a folder; unpack a ZIP archive first")
    return path
