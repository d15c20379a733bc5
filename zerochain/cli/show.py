"""`zerochain show`: what any file or folder of zerochain is, printed readably.

Of a model it prints some facts first that need to know what the model is (its voices, its error
rate), which `formats` doesn't.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from zerochain import audio
from zerochain.cli.common import PATH, Command
from zerochain.cli.printing import (
    equal_error_rate_text,
    parts_text,
    print_facts,
    print_table,
)
from zerochain.errors import InputError, counted, listed, printable, speech_time
from zerochain.formats import phones
from zerochain.formats.bundle import SAMPLE, Bundle
from zerochain.formats.corpus import MARKER, Corpus
from zerochain.formats.description import Description, FileKind, Table, flat
from zerochain.formats.identity import short
from zerochain.formats.kinds import FOLDER_MARKERS, find, kind_of
from zerochain.formats.text_files import read_text, read_yaml
from zerochain.inversion import METHODS
from zerochain.report.nearby import made_from
from zerochain.training.outcome import ending

CONFIG, PAGE = "config.yaml", "index.html"
"""Files of a run and of a report."""
_MOST = 100
_ID = re.compile("[0-9a-f]{12}")
"""How `identity.short` writes an id."""


@click.command(
    cls=Command,
    example="zerochain show units.parquet\nzerochain show corpora/mine\nzerochain show runs/demo\n"
    "zerochain show models/km256 --id",
)
@click.argument("path", metavar="FILE", type=PATH)
@click.option("--id", "only_id", is_flag=True, help="Print the whole id alone.")
def show(path: Path, only_id: bool) -> None:
    """Print what FILE is and holds: any file or folder that zerochain writes.

    Runs, reports, other folders with such files, sound files and configurations are shown too.
    """
    if only_id:
        click.echo(id_of(path))
        return
    other = _other(path)
    if other is None:
        print_file(path)
    else:
        print_description(other)


def id_of(path: Path) -> str:
    """The id by which other files know a file or folder.

    Raises:
        InputError: it is of unknown kind, damaged, or of a kind without an id.
    """
    kind = kind_of(path)
    found = getattr(kind.read(_place(kind, path)), "id", "")
    if not found:
        raise InputError(
            f"is of kind {kind.name!r}, which has no id",
            path=path,
            remedy="give a corpus, a model, features or units",
        )
    return str(found)


def _place(kind: FileKind[Any], path: Path) -> Path:
    """The folder that a marker stands for, or the path itself."""
    return path.parent if kind.is_folder and not path.is_dir() else path


def _other(path: Path) -> Description | None:
    """What a path holds that isn't a kind of our own: a run, a page, a sound file, a setting."""
    suffix = path.suffix.lower()
    if path.is_dir() and not any((path / marker).is_file() for marker in FOLDER_MARKERS):
        return _folder(path)
    if not path.is_file():
        return None
    if suffix in audio.SUFFIXES:
        header = audio.info(path)
        return Description(
            "sound file",
            {
                "seconds": f"{header.duration_s:.2f}",
                "sample rate": f"{header.sample_rate} Hz",
                "channels": str(header.n_channels),
                "note": header.note,
            },
            (),
        )
    if suffix in {".yaml", ".yml"}:
        return Description("settings", {}, (_settings(path),))
    if suffix == ".html":
        page = read_text(path)
        title = page.partition("<title>")[2].partition("</title>")[0]
        return Description(f"page {html.unescape(title)!r}", {"open": path.resolve().as_uri()}, ())
    return None


def _settings(path: Path) -> Table:
    values = read_yaml(path)
    rows = flat(values) if isinstance(values, dict) else [("", str(values))]
    return Table("settings", ["name", "value"], [list(row) for row in rows], None)


def _folder(path: Path) -> Description | None:
    """A run, or another folder: what is in it of known kinds; None if that is nothing."""
    findings = find(path)
    sounds = [f for f in sorted(path.rglob("*")) if f.suffix.lower() in audio.SUFFIXES]
    is_run = (path / CONFIG).is_file()
    page = next((p for p in (path / PAGE, path / "report" / PAGE) if p.is_file()), None)
    if not (findings.found or sounds or is_run or page):
        return None
    rows = [[str(p.relative_to(path)), kind.name] for p, kind in findings.found]
    damaged = [[str(p.relative_to(path)), why] for p, why in findings.passed_over]
    tables = [
        Table("files", ["path", "kind"], rows, _MOST),
        Table("can't be read", ["path", "why"], damaged, _MOST),
    ]
    if is_run:
        tables.insert(0, _settings(path / CONFIG))
    facts = {
        "page": str(page) if page else "",
        "sound files": str(len(sounds)) if sounds and not findings.found else "",
    }
    return Description("run" if is_run else "folder", facts, tuple(tables))


def print_file(path: Path) -> None:
    """Print a file or folder of any kind.

    Raises:
        InputError: it is of unknown kind, or damaged.
    """
    kind = kind_of(path)
    place = _place(kind, path)
    content = kind.read(place)
    description = kind.describe(content)
    if isinstance(content, Bundle):
        facts = {**model_facts(content, place), **description.facts}
        description = replace(description, facts=facts)
    print_description(replace(description, facts=_with_paths(description.facts, place)))
    if isinstance(content, Corpus):
        _print_more(content, place)


def _with_paths(facts: Mapping[str, str], place: Path) -> dict[str, str]:
    """The facts, with paths before the ids of what the file was made from, where it lies near."""
    sources = {name: text for name, text in facts.items() if name != "id" and _ID.fullmatch(text)}
    paths = made_from(place, set(sources.values()))
    known = {name: f"{shown(paths[i])} ({i})" for name, i in sources.items() if i in paths}
    return {**facts, **known}


def shown(path: Path) -> str:
    """A path as a user in the current folder would write it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def print_description(description: Description) -> None:
    """Print what a file holds."""
    print_facts(description.title, description.facts)
    for table in description.tables:
        print_table(table.title, table.header, table.rows, table.most)


def _print_more(corpus: Corpus, folder: Path) -> None:
    """What the import noticed about a corpus, and its gold phones."""
    from zerochain.cli.importing import noticed  # all of stage 0, which other kinds don't need

    try:
        lines = noticed(corpus)
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise InputError(
            f"its record can't be read ({type(error).__name__}: {error})",
            path=folder / MARKER,
            cause="it was edited by hand",
            remedy="import the recordings again, or take the record out",
        ) from error
    for line in lines:
        click.echo(f"noticed by the import: {printable(line, lines=True)}")
    path = folder / phones.PHONES_FILE
    if path.is_file():
        print_description(phones.FILE_KIND.describe(phones.FILE_KIND.read(path)))


def model_facts(bundle: Bundle, folder: Path) -> dict[str, str]:
    """Names and values, for the kinds of models that have such facts."""
    try:
        match bundle.model:
            case "speaker-encoder":
                return {"equal error rate": _equal_error_rate(bundle.config["training"])}
            case "speech-chain":
                return _chain(bundle.config)
            case method if method in METHODS:
                return _inverter(bundle.config, folder)
            case _:
                return {}
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        return {"damaged": f"its configuration lacks {error}, or holds an impossible value"}


def _equal_error_rate(training: Mapping[str, Any]) -> str:
    """How well a speaker encoder distinguishes speakers."""
    return equal_error_rate_text(training["held"], training["verification"])


def _inverter(config: Mapping[str, Any], folder: Path) -> dict[str, str]:
    sample = folder / SAMPLE
    return {
        "speaks": f"{counted(config['n_units'], 'unit')} of {config['step_ms']:g} ms",
        "pitch": _f0_units(config.get("f0_quantizer")),
        "unit model": short(str(config["unit_model"])),
        "voices": listed(list(_voices(config))),
        "speaker encoder": short(str(config["speaker_encoder_id"])),
        "trained": _training(config["training"]),
        "sample": str(sample) if sample.is_file() else "",
    }


def _chain(config: Mapping[str, Any]) -> dict[str, str]:
    """What a speech chain recognises and speaks, and how its training went."""
    listener, report = config["recogniser"], config["training"]
    symbols = counted(len(listener["symbols"]), "symbol")
    error = "unit error rate" if listener["unit_model"] else "CER"
    return {
        "recognises": f"units of {short(listener['unit_model'])}, {symbols}"
        if listener["unit_model"]
        else f"characters, {symbols}",
        "languages": report["config"]["languages"],
        "speaks": "in the voice of any recording (--like, --speakers)"
        if config["synthesiser"]["speaker_encoder_id"]
        else "in one voice",
        "trained": f"{report['method']}, on {counted(report['n_pairs'], 'pair')} "
        f"({speech_time(60 * report['minutes'])}), {counted(report['n_texts'], 'text')} and "
        f"{counted(report['n_speech'], 'recording')} alone",
        "training": parts_text(report["parts"]),
        "held-out pairs": f"{error} {report['valid_cer']:.1f} % without a beam",
    }


def _f0_units(quantizer: Mapping[str, Any] | None) -> str:
    if quantizer is None:
        return ""
    network = quantizer["network"]
    unit_ms = network["stride"] * quantizer["step_ms"]
    return f"{counted(network['n_units'], 'F0 unit')} of {unit_ms:g} ms"


def _voices(config: Mapping[str, Any]) -> Iterator[str]:
    """Each with its mean pitch."""
    statistics = config["f0"] if "f0" in config else config["prosody"]["statistics"]
    for name, f0 in zip(config["voices"], statistics, strict=False):
        yield f"{name} ({math.exp(f0['log_mean']):.0f} Hz)" if f0["n_voiced"] else name


def _training(report: Mapping[str, Any]) -> str:
    speech = f"on {speech_time(60 * report['minutes'])} of speech"
    if "steps" not in report:
        return speech
    return (
        f"{speech}, {counted(report['steps'], 'step')} ({ending(report['converged'])}); validation "
        f"loss {report['best_valid_loss']:.4f} at step {report['best_step']}"
    )
