"""Files of other programs: `zerochain export` of ours, `import` of units and features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    PATH,
    TABLE,
    Command,
    F,
    as_options,
    corpus_option,
    ids_option,
    out_option,
    silence_option,
    split_option,
)
from zerochain.cli.printing import left_out_text
from zerochain.errors import counted, listed, printable
from zerochain.exchange import feature_files, importing
from zerochain.exchange.elan_export import export_elan
from zerochain.exchange.rttm import write_rttm
from zerochain.exchange.textgrid_export import export_recordings, export_textgrids
from zerochain.exchange.unit_text import misread_by_fastabx, write_unit_text
from zerochain.formats.corpus import read_corpus
from zerochain.formats.identity import ids_by_name
from zerochain.formats.spans import KIND as SPANS
from zerochain.formats.tables import table_header
from zerochain.formats.units import read_units
from zerochain.metrics.abx_plan import PROTOCOLS
from zerochain.metrics.silences import chosen
from zerochain.scoring.abx import export_items


@click.command(
    cls=Command,
    example="zerochain export items corpora/mine --protocol triphone --split test --out test.item",
)
@click.argument("corpus", type=FOLDER, required=False)
@click.option("--corpus", "also_corpus", type=FOLDER, help="The corpus, as other exports take it.")
@click.option(
    "--protocol",
    type=click.Choice(["triphone", "phone"]),
    default="triphone",
    show_default=True,
    help="Items with their neighbouring phones (triphone), or phones alone.",
)
@split_option
@silence_option
@ids_option
@out_option("the .item file")
def items(
    corpus: Path | None,
    also_corpus: Path | None,
    protocol: str,
    split: str | None,
    silence: str | None,
    ids: str,
    out: Path,
) -> None:
    """Write the ABX items of a CORPUS with gold phones as a ZeroSpeech .item file.

    fastabx and DiscoPhon know a recording by its name without folders: give --ids name here and
    to 'export units' where ids have some, and call the file .item.
    """
    if (corpus is None) == (also_corpus is None):
        raise click.UsageError("give the corpus once, as CORPUS or as --corpus")
    corpus = corpus or also_corpus
    assert corpus is not None
    silences = chosen(silence)
    n_items, excluded = export_items(
        corpus,
        out,
        protocol=PROTOCOLS[protocol],
        split=split,
        silences=silences,
        folders=ids == "path",
    )
    left_out = left_out_text(excluded)
    click.echo(
        f"{out}: {counted(n_items, 'item')}" + (f"; left out: {left_out}" if left_out else "")
    )


@click.command(
    cls=Command,
    example="zerochain export rttm corpora/field --out field.rttm",
)
@click.argument("corpus", type=FOLDER)
@split_option
@out_option("the turns", FILE)
def rttm(corpus: Path, split: str | None, out: Path) -> None:
    """Write the utterances of a CORPUS as turns of speakers in RTTM, as diarisation uses it.

    Spaces separate the fields of RTTM: those in names of recordings and speakers become "_".
    """
    chosen = read_corpus(corpus)
    n_turns, changed = write_rttm(out, chosen if split is None else chosen.select(split=split))
    if changed:
        names = printable(listed(changed, 5))
        click.echo(f"note: {counted(len(changed), 'name')} with _ for spaces: {names}", err=True)
    click.echo(f"{out}: {counted(n_turns, 'turn')}")


@click.command(
    cls=Command,
    example="zerochain export textgrid units.parquet --corpus corpora/mine --out textgrids/\n"
    "zerochain export textgrid km.parquet vq.parquet --corpus corpora/mine --keep mine/ --out tg/\n"
    "zerochain export textgrid units.parquet hits.csv --corpus corpora/field --recordings "
    "--out praat/",
)
@click.argument("files", type=FILE, nargs=-1)
@corpus_option
@split_option
@click.option(
    "--recordings",
    is_flag=True,
    help="A TextGrid for each recording, which may hold many utterances and speakers, and not one "
    "for each utterance. FILES may be tables of hits, clusters and words as well.",
)
@click.option(
    "--segments",
    is_flag=True,
    help="A tier of the utterances, with their texts or else 'speech'; only with --recordings.",
)
@click.option(
    "--keep",
    type=FOLDER,
    help="A folder of your own TextGrids, whose other tiers are kept, before the new ones: "
    "<id>.TextGrid, or with --recordings called like the recordings.",
)
@out_option("<id>.TextGrid", FOLDER)
def textgrid(
    files: tuple[Path, ...],
    corpus: Path,
    split: str | None,
    recordings: bool,
    segments: bool,
    keep: Path | None,
    out: Path,
) -> None:
    """Write units (FILES) next to gold phones as Praat TextGrids; repeated units are merged.

    Several files get a tier each, named after the files.
    """
    if not (files or segments):
        raise click.UsageError("give FILES, or --recordings and --segments")
    units, spans = _tiers_of(files, *(["utterances"] if segments else []))
    if recordings:
        n_files, n_kept = export_recordings(
            out, corpus, units=units, spans=spans, segments=segments, split=split, keep=keep
        )
        kept = f", {n_kept} with tiers of your own" if keep else ""
        click.echo(f"{out}: {counted(n_files, 'TextGrid')} of recordings{kept}")
        return
    if spans:
        raise click.UsageError(
            f"{next(iter(spans.values()))} is a table of spans, which may be of whole recordings: "
            "add --recordings for a TextGrid of each recording"
        )
    if segments:
        raise click.UsageError("--segments only applies with --recordings")
    n_files, n_aligned = export_textgrids(units, corpus, out, split=split, keep=keep)
    click.echo(f"{out}: {counted(n_files, 'TextGrid')}, {n_aligned} with gold phones")


def _tiers_of(files: tuple[Path, ...], *others: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Tier → file, of units and of spans; the tier of a single unit file is "units"."""
    tables = set(filter(_holds_spans, files))
    spans = {path.stem: path for path in files if path in tables}
    rest = [path for path in files if path not in tables]
    units = {"units": rest[0]} if len(rest) == 1 else {path.stem: path for path in rest}
    if len({*spans, *units, *others}) < len(files) + len(others):
        raise click.UsageError("two tiers would have the same name: they are named after FILES")
    return units, spans


@click.command(
    cls=Command,
    example="zerochain export elan units.parquet --corpus corpora/mine --keep elan/ "
    "--out more/\n"
    "zerochain export elan km.parquet hits.csv --corpus corpora/mine --segments --out elan/",
)
@click.argument("files", type=FILE, nargs=-1)
@corpus_option
@split_option
@click.option("--segments", is_flag=True, help="A tier of the utterances, with their texts.")
@click.option(
    "--keep",
    type=PATH,
    help="Your own .eaf files, a folder or one of them: their recordings get copies with the new "
    "tiers, in which everything else stays as it is.",
)
@out_option("<recording>.eaf", FOLDER)
def elan(
    files: tuple[Path, ...],
    corpus: Path,
    split: str | None,
    segments: bool,
    keep: Path | None,
    out: Path,
) -> None:
    """Write units and labelled stretches (FILES) as tiers of ELAN files, one file per recording.

    FILES are files of units and tables of spans (hits, clusters, words: Parquet or CSV); each gets
    a tier, or one for each speaker, named after it, with a linguistic type of its own. Repeated
    units are merged.
    """
    if not (files or segments):
        raise click.UsageError("give FILES, or --segments")
    units, spans = _tiers_of(files, *(["utterances"] if segments else []))
    made = export_elan(
        out, corpus, units=units, spans=spans, segments=segments, split=split, keep=keep
    )
    copies = f", {counted(made.n_copies, 'of them a copy', 'of them copies')}" if keep else ""
    click.echo(
        f"{out}: {counted(len(made.files), 'ELAN file')}{copies}, with "
        f"{counted(made.n_annotations, 'annotation')}"
    )
    if made.left_out:
        click.echo(f"left out, without anything to add: {listed(made.left_out)}")
    if made.n_outside:
        click.echo(
            f"left out: {counted(made.n_outside, 'annotation')} before the time at which the ELAN "
            "file begins (TIME_ORIGIN)"
        )


def _holds_spans(path: Path) -> bool:
    return path.suffix.lower() != ".parquet" or table_header(path).get("kind") == SPANS


def kind_option(files: bool) -> Callable[[F], F]:
    """--format; with `files` also a folder of files."""
    of_files = "; files: a folder with a .txt or .npy of units for each utterance" if files else ""
    return click.option(
        "--format",
        "kind",
        type=click.Choice(["jsonl", "fairseq", *(["files"] if files else [])]),
        required=True,
        help='jsonl: {"file": …, "audio": …, "units": […]} of DiscoPhon and fastabx (one of the '
        f"two names is enough); fairseq: id|12 12 33{of_files}.",
    )


for_corpus_option = click.option(
    "--corpus",
    type=FOLDER,
    help="Their corpus: gives speakers, and ids and lengths are checked against it.",
)
step_option = click.option(
    "--step-ms",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="From one unit or frame to the next.",
)


@click.command(
    "units",
    cls=Command,
    example="zerochain export units units.parquet --format jsonl --out units.jsonl",
)
@click.argument("units", type=FILE)
@kind_option(files=False)
@click.option(
    "--repeats",
    type=click.Choice(["steps", "merged"]),
    default="steps",
    show_default=True,
    help="One unit per step, or repeats merged (which loses their times).",
)
@ids_option
@out_option("the file", FILE)
def export_units(units: Path, kind: Any, repeats: str, ids: str, out: Path) -> None:
    """Write UNITS as DiscoPhon's and fastabx's JSONL or fairseq's text.

    fastabx and DiscoPhon's ABX know a recording by its name without folders: give --ids name
    here and to 'export items' where ids have some.
    """
    unit_file = read_units(units)
    whole = {name: name for name in unit_file.ids}
    names = whole if ids == "path" else ids_by_name(unit_file.ids, f"file {units.name}")
    lines = {
        name: unit_file.steps(one) if repeats == "steps" else unit_file.segments(one)[0]
        for name, one in names.items()
    }
    write_unit_text(out, kind, lines)
    if kind == "jsonl" and (note := misread_by_fastabx(lines)):
        assert isinstance(export_units, Command)
        click.echo(f"Warning: {as_options(note, export_units.options)}", err=True)
    is_step = repeats == "steps"
    what = f"a unit every {unit_file.step_ms:g} ms" if is_step else "repeats merged, no times"
    n_units = counted(sum(map(len, lines.values())), "unit")
    click.echo(f"{out}: {counted(len(lines), 'utterance')}, {n_units}, {what}")


@click.command(
    "units",
    cls=Command,
    example="zerochain import units hubert.txt --format fairseq --step-ms 20 --suffix .wav "
    "--corpus corpora/mine --out units.parquet",
)
@click.argument("file", type=PATH)
@kind_option(files=True)
@step_option
@click.option("--n-units", type=click.IntRange(min=1), help="[default: the highest + 1]")
@for_corpus_option
@ids_option
@click.option("--suffix", default="", help="What all names end with but no id does: .wav")
@click.option("--system", help="How they were made.  [default: the file's name]")
@out_option("the units.parquet", TABLE)
def import_units(file: Path, kind: Any, out: Path, ids: str, **options: Any) -> None:
    """Import units from a FILE of another program, one unit per step; names stay as they are.

    With --format files it is a folder; .txt or .npy is left out of names.
    """
    made, missing, others = importing.import_units(
        file, out, kind, folders=ids == "path", **options
    )
    count = sum(len(line) for line in made.units.values())
    click.echo(
        f"{out}: {counted(len(made.units), 'utterance')}, {counted(count, 'unit')} of 0 … "
        f"{made.n_units - 1}, each {made.step_ms:g} ms"
    )
    _warn_of_missing(missing, "units")
    for ending, n_files in others.items():
        click.echo(f"left out: {n_files} {ending}")


def _warn_of_missing(ids: Sequence[str], what: str) -> None:
    if ids:
        lacking = f"{counted(len(ids), 'utterance')} without {what}: {listed(list(ids))}"
        click.echo(f"Warning: the corpus has {lacking}", err=True)


@click.command(
    "features",
    cls=Command,
    example="zerochain import features hubert/ --step-ms 20 --corpus corpora/mine --out feats/",
)
@click.argument("folder", type=FOLDER)
@step_option
@for_corpus_option
@ids_option
@click.option("--name", "extractor", help="The kind of features.  [default: the FOLDER's name]")
@out_option("the features", FOLDER)
def import_features(out: Path, ids: str, **options: Any) -> None:
    """Import features from a FOLDER and its subfolders: .npy (T, D), or .txt with a frame per line.

    .txt files are those of ZeroSpeech 2021 and Libri-Light: numbers with spaces between them.
    """
    made, others, missing = feature_files.import_features(out=out, folders=ids == "path", **options)
    click.echo(f"{out}: {counted(len(made), 'utterance')}, {len(made.frames)} × {made.dim}")
    _warn_of_missing(missing, "features")
    for suffix, count in others.items():
        click.echo(f"left out: {count} {suffix}")
