"""Submissions to the ZeroSpeech challenges: `zerochain export`, `import` and `check`.

`check` lists every violation of the rules; the others stop at the first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from zerochain.cli.common import FILE, FOLDER, PATH, Command, ids_option, out_option
from zerochain.errors import InputError, counted, listed
from zerochain.exchange.importing import (
    Imported,
    import_zerospeech2019,
    import_zerospeech2021,
)
from zerochain.exchange.submission_rules import Violation
from zerochain.exchange.submissions import (
    Part,
    export_abxls,
    export_zerospeech2019,
    export_zerospeech2021,
    unpacked,
)
from zerochain.exchange.zerospeech import LANGUAGES, SUBSETS, check_2019, check_2021
from zerochain.formats.corpus import MARKER, read_corpus
from zerochain.formats.text_files import lines_of, read_text

F = TypeVar("F", bound=Callable[..., Any])


@click.command(
    "zerospeech2019",
    cls=Command,
    example="zerochain export zerospeech2019 --english en.parquet --english-model models/km256 "
    "--english-wavs wavs/en --surprise id.parquet --surprise-model models/km256 "
    "--author 'A. Author' --affiliation 'A University' --description 'K-Means, 256 units' "
    "--distance dtw_cosine --out submission/",
)
@click.option("--english", type=PATH, help="Units or features of the English test set.")
@click.option("--english-model", type=FOLDER, help="Their model: its vectors are written.")
@click.option("--english-wavs", type=FOLDER, help="<id>.wav, their resynthesis.")
@click.option("--surprise", type=PATH, help="The same of the surprise language.")
@click.option("--surprise-model", type=FOLDER, help="Unit model of the surprise language.")
@click.option("--surprise-wavs", type=FOLDER, help="Its resynthesised test utterances.")
@click.option("--author", required=True, help="Who submits.")
@click.option("--affiliation", required=True, help="Of the author.")
@click.option("--description", required=True, help="The system, with its hyperparameters.")
@click.option(
    "--distance",
    type=click.Choice(["dtw_cosine", "dtw_kl", "levenshtein"]),
    default="dtw_cosine",
    show_default=True,
    help="The challenge's distance for ABX.",
)
@click.option("--parallel-train", is_flag=True, help="The parallel recordings were used.")
@click.option("--external-data", is_flag=True, help="Other data were used.")
@click.option("--code", type=FOLDER, help="Source code; makes the submission open source.")
@ids_option
@click.option(
    "--lines",
    type=click.Choice(["step", "unit"]),
    default="step",
    show_default=True,
    help="Units with durations: one line per step, or one per unit, however long it lasts.",
)
@out_option("the submission", FOLDER)
def export_2019(out: Path, ids: str, **options: Any) -> None:
    """Write a submission to ZeroSpeech 2019 (layout of 2020) and check it.

    Units are written as their model's codebook vectors, or one-hot where no model is given;
    features as they are. Every utterance of a unit file goes in: encode the test split alone.
    """
    parts = {}
    for language in LANGUAGES:
        source, model, wavs = (options.pop(f"{language}{x}") for x in ("", "_model", "_wavs"))
        if source is not None:
            parts[language] = Part(source, model, wavs, ids == "path")
        elif model or wavs:
            raise click.BadParameter(f"--{language}-model and --{language}-wavs go with it")
    if not parts:
        raise click.BadParameter("there is nothing to export: give --english, --surprise or both")
    export_zerospeech2019(out, parts, **options)
    incomplete(out, check_2019(out))


@click.command(
    "zerospeech2021",
    cls=Command,
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
    callback=lambda context, option, values: named_paths(values, "subset", SUBSETS),
    help="Units or features of a subset; may be repeated.",
)
@click.option("--model", type=FOLDER, help="The units' model: its vectors are written.")
@click.option("--author", required=True, help="Who submits.")
@click.option("--affiliation", required=True, help="Of the author.")
@click.option("--description", required=True, help="The system.")
@click.option("--train-set", required=True, help="What it was trained on.")
@click.option(
    "--metric",
    type=click.Choice(["cosine", "euclidean", "kl", "kl_symmetric"]),
    default="cosine",
    show_default=True,
    help="The distance between frames for ABX.",
)
@click.option(
    "--gpu-budget", type=click.FloatRange(min=0), default=0.0, help="Hours of training on a GPU."
)
@click.option(
    "--layout",
    type=click.Choice(["2021", "abxLS"]),
    default="2021",
    show_default=True,
    help="2021: phonetic/dev-clean/….txt, of the challenge's own server and tools. abxLS: "
    "dev-clean/….npy and params.yaml, which zerospeech-benchmarks ('zrc') takes today.",
)
@click.option("--code", type=FOLDER, help="Of 2021: source code; makes it open source.")
@click.option("--code-url", help="Of abxLS: where the source code is; makes it open source.")
@click.option("--year", type=int, help="Of abxLS: of the publication.  [default: this year]")
@ids_option
@out_option("the submission", FOLDER)
def export_2021(
    out: Path,
    parts: dict[str, Path],
    model: Path | None,
    ids: str,
    layout: str,
    code: Path | None,
    code_url: str | None,
    year: int | None,
    **options: Any,
) -> None:
    """Write the phonetic part of a submission to ZeroSpeech 2021 and check it.

    zerospeech-benchmarks, the challenges' toolkit today, takes --layout abxLS. The default is the
    layout of the server of 2021.
    """
    made = {subset: Part(path, model, None, ids == "path") for subset, path in parts.items()}
    if layout == "abxLS":
        if code is not None:
            raise click.BadParameter("--code only applies to --layout 2021; abxLS takes --code-url")
        year = year or datetime.now(tz=UTC).year
        export_abxls(out, made, code_url=code_url, year=year, **options)
        incomplete(out, check_2021(out))
        return
    if code_url or year:
        raise click.BadParameter("--code-url and --year only apply to --layout abxLS")
    export_zerospeech2021(out, made, code=code, **options)
    incomplete(out, check_2021(out))
    click.echo("layout of 2021's server; zerospeech-benchmarks takes --layout abxLS")


def imported_options(function: F) -> F:
    """The options of both imports of submissions."""
    options = [
        click.option("--corpus", type=FOLDER, help="The recordings: speakers, and lengths."),
        ids_option,
        click.option("--only", type=FILE, help="Take only the files in this list."),
        click.option("--system", help="The system's name.  [default: the folder's name]"),
        out_option("features/ and units.parquet", FOLDER),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command(
    "zerospeech2019",
    cls=Command,
    example="zerochain import zerospeech2019 submission/ --language english --step-ms 40 "
    "--corpus corpora/zs2019-english --out theirs/",
)
@click.argument("submission", type=FOLDER)
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    required=True,
    help="Which part of the submission.",
)
@click.option(
    "--step-ms", type=click.FloatRange(min=0, min_open=True), help="The length of a line."
)
@click.option("--spread", is_flag=True, help="Instead: lines share their recording evenly.")
@imported_options
def import_2019(submission: Path, only: Path | None, ids: str, **options: Any) -> None:
    """Import a SUBMISSION to ZeroSpeech 2019/2020, to be scored.

    features/ holds the vectors, for 'score abx'; units.parquet a unit for every distinct line,
    for 'score bitrate'. With the --corpus, lines have to last as long as the recordings. The
    challenge's ABX (--protocol zs2019) takes every line once, however long it lasts: where lines
    are segments, give no --corpus here and any --step-ms, and score features/ with it; --spread is
    for everything else.
    """
    names = None if only is None else expected_names(only)
    made = import_zerospeech2019(submission, only=names, folders=ids == "path", **options)
    _say(options["out"], made, "zs2019")


@click.command(
    "zerospeech2021",
    cls=Command,
    example="zerochain import zerospeech2021 submission/ --subset dev-clean "
    "--corpus corpora/dev-clean --out theirs/",
)
@click.argument("submission", type=FOLDER)
@click.option(
    "--subset",
    type=click.Choice(SUBSETS),
    required=True,
    help="Which part of the submission.",
)
@imported_options
def import_2021(submission: Path, only: Path | None, ids: str, **options: Any) -> None:
    """Import the phonetic part of a SUBMISSION to ZeroSpeech 2021, to be scored.

    It has the layout of 2021's server (phonetic/), or that of zerospeech-benchmarks (abxLS).
    """
    names = None if only is None else expected_names(only)
    made = import_zerospeech2021(submission, only=names, folders=ids == "path", **options)
    _say(options["out"], made, "zs2021")


def incomplete(submission: Path, violations: Iterator[Violation]) -> None:
    """Print what was written, and what is missing for a submission."""
    lacks = [str(violation) for violation in violations]
    click.echo(
        f"{submission}: written" + (", not complete yet:" if lacks else ", follows all rules")
    )
    for line in lacks:
        click.echo(f"  {line}")


def _say(out: Path, imported: Imported, protocol: str) -> None:
    units = imported.unit_file
    n_lines = sum(len(line) for line in units.units.values())
    click.echo(
        f"{out}: {counted(len(units.units), 'utterance')}, {counted(n_lines, 'line')} of "
        f"{counted(imported.dim, 'number')}, {units.n_units} of them distinct; "
        + (f"a line lasts {units.step_ms:g} ms" if units.durations is None else "lines are spread")
    )
    if imported.missing:
        more = counted(len(imported.missing), "more utterance")
        click.echo(f"the corpus has {more} in the same splits: {listed(list(imported.missing))}")
    if how := _ABX.get(imported.distance):
        asked = f"zerochain score abx {out}/{how} --protocol {protocol}"
        click.echo(f"it asks for {imported.distance}: {asked}")


_ABX = {
    "dtw_cosine": "features --distance angular",
    "dtw_kl": "features --distance kl",
    "levenshtein": "units.parquet --distance levenshtein",
    "cosine": "features --distance angular",
    "euclidean": "features --distance euclidean --normalise length",
    "kl_symmetric": "features --distance kl_symmetric --normalise length",
}
"""A submission's distance as options of 'zerochain score abx'; 2021 scales frames to length 1"""


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
@click.argument("submission", type=PATH)
@expected_option("language", LANGUAGES)
def zerospeech2019(submission: Path, expected: dict[str, Path]) -> None:
    """Check a SUBMISSION to ZeroSpeech 2019, in the layout of 2020: a folder, or its ZIP archive.

    All rules of the challenge's own validator, and NaN, blank lines, lines of one number, numbers
    below zero under KL and links out of the folder. The list of files is the challenge's
    (share/2019/<language>/required_filelist.txt of its tools).
    """
    names = {name: expected_names(path) for name, path in expected.items()}
    with unpacked(submission) as folder:
        report(submission, check_2019(folder, names))


@click.command(
    cls=Command,
    example="zerochain check zerospeech2021 submission/ --expected dev-clean=data/dev-clean",
)
@click.argument("submission", type=PATH)
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

    It is a folder, or its ZIP archive, and has the layout of 2021's server
    (phonetic/dev-clean/….txt), or that of the benchmark abxLS of zerospeech-benchmarks, today's
    toolkit (dev-clean/….npy, params.yaml). The lexical, syntactic and semantic parts come from
    language models and aren't checked.
    """
    names = {name: expected_names(path) for name, path in expected.items()}
    with unpacked(submission) as folder:
        report(submission, check_2021(folder, names, subsets=subsets or SUBSETS))


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
