"""Challenge submissions on the command line: check, export and import them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zerochain.cli.common import FILE, FOLDER, PATH, Group, out_option
from zerochain.cli.export import export
from zerochain.cli.importing import import_group

if TYPE_CHECKING:
    from zerochain.formats.submissions.rules import Violation
    from zerochain.scoring.importing import Imported

F = TypeVar("F", bound=Callable[..., Any])
LANGUAGES = ("english", "surprise")
SUBSETS = ("dev-clean", "dev-other", "test-clean", "test-other")


@click.group(cls=Group)
def check() -> None:
    """Check other people's formats: every violation, with its file and line."""


def expected_option(what: str, names: tuple[str, ...]) -> Callable[[F], F]:
    """`--expected NAME=PATH`, several times."""
    return click.option(
        "--expected",
        metavar=f"{what.upper()}=PATH",
        multiple=True,
        callback=lambda context, option, values: _named_paths(values, what, names),
        help=f"What a {what} has to hold: the challenge's list of files, a folder of recordings, "
        "or a corpus (its split test, if it has one); may be repeated.",
    )


@check.command(
    example="zerochain check zerospeech2019 submission/\n"
    "zerochain check zerospeech2019 submission/ --expected english=required_filelist.txt"
)
@click.argument("submission", type=FOLDER)
@expected_option("language", LANGUAGES)
def zerospeech2019(submission: Path, expected: dict[str, Path]) -> None:
    """Check a SUBMISSION to ZeroSpeech 2019, in the layout of 2020.

    All rules of the challenge's own validator, and NaN, blank lines, lines of one number, numbers
    below zero under KL and links out of the folder. The list of files is the challenge's
    (share/2019/<language>/required_filelist.txt of its tools).
    """
    from zerochain.formats.submissions.zerospeech2019 import check as violations

    names = {name: expected_names(path) for name, path in expected.items()}
    report(_folder(submission), violations(submission, names))


@check.command(
    example="zerochain check zerospeech2021 submission/ --expected dev-clean=data/dev-clean"
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

    The lexical, syntactic and semantic parts come from language models and aren't looked at.
    """
    from zerochain.formats.submissions.zerospeech2021 import check as violations

    names = {name: expected_names(path) for name, path in expected.items()}
    report(_folder(submission), violations(submission, names, subsets=subsets or SUBSETS))


@export.command(
    "zerospeech2019",
    example="zerochain export zerospeech2019 --english en.parquet --english-model models/km256 "
    "--english-wavs wavs/en --surprise id.parquet --surprise-model models/km256 "
    "--author 'A. Author' --affiliation 'A University' --description 'K-Means, 256 units' "
    "--distance dtw_cosine --out submission/",
)
@click.option("--english", type=PATH, help="Units or features of the English test set.")
@click.option("--english-model", type=FOLDER, help="Their model: its vectors are written.")
@click.option("--english-wavs", type=FOLDER, help="<id>.wav, their resynthesis.")
@click.option("--surprise", type=PATH, help="The same of the surprise language.")
@click.option("--surprise-model", type=FOLDER)
@click.option("--surprise-wavs", type=FOLDER)
@click.option("--author", required=True)
@click.option("--affiliation", required=True)
@click.option("--description", required=True, help="The system, with its hyperparameters.")
@click.option(
    "--distance",
    type=click.Choice(["dtw_cosine", "dtw_kl", "levenshtein"]),
    default="dtw_cosine",
    show_default=True,
    help="What the challenge scores ABX by.",
)
@click.option("--parallel-train", is_flag=True, help="The parallel recordings were used.")
@click.option("--external-data", is_flag=True, help="Other data were used.")
@click.option("--code", type=FOLDER, help="Source code; makes the submission open source.")
@click.option(
    "--lines",
    type=click.Choice(["step", "unit"]),
    default="step",
    show_default=True,
    help="Units with durations: a line for every step, or for every unit, whatever it lasts.",
)
@out_option("the submission", FOLDER)
def export_2019(out: Path, **options: Any) -> None:
    """Write a submission to ZeroSpeech 2019 (layout of 2020) and check it.

    Units are written as their model's codebook vectors, or one-hot where no model is given;
    features as they are. Every utterance of a unit file goes in: encode the test split alone.
    """
    from zerochain.formats.submissions.zerospeech2019 import check as violations
    from zerochain.scoring.submissions import Part, export_zerospeech2019

    parts = {}
    for language in LANGUAGES:
        source, model, wavs = (options.pop(f"{language}{x}") for x in ("", "_model", "_wavs"))
        if source is not None:
            parts[language] = Part(source, model, wavs)
        elif model or wavs:
            raise click.BadParameter(f"--{language}-model and --{language}-wavs go with it")
    if not parts:
        raise click.BadParameter("there is nothing to export: give --english, --surprise or both")
    export_zerospeech2019(out, parts, **options)
    incomplete(out, violations(out))


@export.command(
    "zerospeech2021",
    example="zerochain export zerospeech2021 --part dev-clean=dev-clean.parquet "
    "--part dev-other=dev-other.parquet --model models/km256 --author 'A. Author' "
    "--affiliation 'A University' --description 'K-Means' --train-set LibriSpeech "
    "--metric cosine --out submission/",
)
@click.option(
    "--part",
    "parts",
    metavar="SUBSET=PATH",
    multiple=True,
    required=True,
    callback=lambda context, option, values: _named_paths(values, "subset", SUBSETS),
    help="Units or features of a subset; may be repeated.",
)
@click.option("--model", type=FOLDER, help="The units' model: its vectors are written.")
@click.option("--author", required=True)
@click.option("--affiliation", required=True)
@click.option("--description", required=True, help="The system.")
@click.option("--train-set", required=True, help="What it was trained on.")
@click.option(
    "--metric",
    type=click.Choice(["cosine", "euclidean", "kl", "kl_symmetric"]),
    default="cosine",
    show_default=True,
)
@click.option(
    "--gpu-budget", type=click.FloatRange(min=0), default=0.0, help="Hours of training on a GPU."
)
@click.option("--code", type=FOLDER, help="Source code; makes the submission open source.")
@out_option("the submission", FOLDER)
def export_2021(out: Path, parts: dict[str, Path], model: Path | None, **options: Any) -> None:
    """Write the phonetic part of a submission to ZeroSpeech 2021 and check it."""
    from zerochain.formats.submissions.zerospeech2021 import check as violations
    from zerochain.scoring.submissions import Part, export_zerospeech2021

    made = {subset: Part(path, model) for subset, path in parts.items()}
    export_zerospeech2021(out, made, **options)
    incomplete(out, violations(out))


def imported_options(function: F) -> F:
    """The options of both imports of submissions."""
    options = [
        click.option("--corpus", type=FOLDER, help="The recordings: speakers, and lengths."),
        click.option("--only", type=FILE, help="Take only the files in this list."),
        click.option("--system", help="What the system is called.  [default: the folder's name]"),
        out_option("features/ and units.parquet", FOLDER),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@import_group.command(
    "zerospeech2019",
    example="zerochain import zerospeech2019 submission/ --language english --step-ms 40 "
    "--corpus corpora/zs2019-english --out theirs/",
)
@click.argument("submission", type=FOLDER)
@click.option("--language", type=click.Choice(LANGUAGES), required=True)
@click.option(
    "--step-ms", type=click.FloatRange(min=0, min_open=True), help="How long a line lasts."
)
@click.option("--spread", is_flag=True, help="Instead: lines share their recording evenly.")
@imported_options
def import_2019(submission: Path, only: Path | None, **options: Any) -> None:
    """Take somebody's SUBMISSION to ZeroSpeech 2019/2020 in, to be scored.

    features/ holds the vectors, for 'score abx'; units.parquet a unit for every different line,
    for 'score bitrate'. With the --corpus, lines have to last as long as the recordings.
    """
    from zerochain.scoring.importing import import_zerospeech2019

    names = None if only is None else expected_names(only)
    _say(options["out"], import_zerospeech2019(submission, only=names, **options))


@import_group.command(
    "zerospeech2021",
    example="zerochain import zerospeech2021 submission/ --subset dev-clean "
    "--corpus corpora/dev-clean --out theirs/",
)
@click.argument("submission", type=FOLDER)
@click.option("--subset", type=click.Choice(SUBSETS), required=True)
@imported_options
def import_2021(submission: Path, only: Path | None, **options: Any) -> None:
    """Take the phonetic part of somebody's SUBMISSION to ZeroSpeech 2021 in, to be scored."""
    from zerochain.scoring.importing import import_zerospeech2021

    names = None if only is None else expected_names(only)
    _say(options["out"], import_zerospeech2021(submission, only=names, **options))


def report(submission: Path, violations: Iterator[Violation]) -> None:
    """Print every violation; exit with code 1 if there is one."""
    from zerochain.errors import InputError

    count = 0
    for violation in violations:
        click.echo(str(violation))
        count += 1
    if count:
        raise InputError(
            f"breaks the rules in {count} place{'s' * (count > 1)}, listed above", path=submission
        )
    click.echo(f"{submission}: keeps all rules that were checked")


def incomplete(submission: Path, violations: Iterator[Violation]) -> None:
    """Say what was written, and what it lacks to be submitted."""
    lacks = [str(violation) for violation in violations]
    click.echo(f"{submission}: written" + (", not complete yet:" if lacks else ", keeps all rules"))
    for line in lacks:
        click.echo(f"  {line}")


def expected_names(path: Path) -> Collection[str]:
    """Names of files: of a list (first column), of recordings in a folder, or of a corpus."""
    from zerochain.errors import InputError
    from zerochain.formats.corpus import MARKER, read_corpus

    if (path / MARKER).is_file():
        corpus = read_corpus(path)
        splits = {utterance.split for utterance in corpus.utterances}
        ids = corpus.select(split="test").ids if "test" in splits else corpus.ids
        names = [f"{Path(name).name}.txt" for name in ids]
    elif path.is_dir():
        sounds = [file for file in path.rglob("*") if file.suffix in {".wav", ".flac"}]
        names = [f"{file.stem}.txt" for file in sounds]
    else:
        lines = path.read_text(encoding="utf-8").splitlines()
        names = [Path(line.split()[0]).name for line in lines if line.strip()]
    if not names:
        raise InputError(
            "names no file",
            path=path,
            remedy="give the challenge's list, a folder of recordings or a corpus",
        )
    return set(names)


def _named_paths(values: tuple[str, ...], what: str, names: tuple[str, ...]) -> dict[str, Path]:
    paths = {}
    for value in values:
        name, equals, path = value.partition("=")
        if name not in names or not equals or not Path(path).exists():
            raise click.BadParameter(
                f"{value!r} is no {what.upper()}=PATH of a {what} ({', '.join(names)}) and "
                "something that exists"
            )
        paths[name] = Path(path)
    return paths


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise click.BadParameter(f"{path} is no folder; unpack a ZIP archive first")
    return path


def _say(out: Path, imported: Imported) -> None:
    units = imported.unit_file
    n_lines = sum(len(line) for line in units.units.values())
    click.echo(
        f"{out}: {len(units.units)} utterances, {n_lines} lines of {imported.dim} numbers, "
        f"{units.n_units} of them different; "
        + (f"a line lasts {units.step_ms:g} ms" if units.durations is None else "lines are spread")
    )
    if imported.missing:
        click.echo(f"the corpus has {len(imported.missing)} utterances more")
    if how := _ABX.get(imported.distance):
        click.echo(f"it asks for {imported.distance}: zerochain score abx {out}/{how}")


_ABX = {
    "dtw_cosine": "features --distance angular",
    "dtw_kl": "features --distance kl",
    "levenshtein": "units.parquet --distance levenshtein",
    "cosine": "features --distance angular",
    "euclidean": "features --distance euclidean",
    "kl_symmetric": "features --distance kl",
}
"""How a submission's distance is called in 'zerochain score abx'."""
