"""`zerochain show`: what any file or folder of zerochain is, printed readably.

Of a model it prints some facts first that need to know what the model is (its voices, its error
rate), which `formats` doesn't.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from zerochain.cli.common import PATH, Command
from zerochain.cli.printing import equal_error_rate_text, plain, print_facts, print_table
from zerochain.errors import InputError, counted, listed
from zerochain.formats import phones
from zerochain.formats.bundle import SAMPLE, Bundle
from zerochain.formats.corpus import MARKER, Corpus
from zerochain.formats.description import Description
from zerochain.formats.identity import short
from zerochain.formats.kinds import kind_of
from zerochain.inversion.methods import METHODS
from zerochain.training.outcome import ending


@click.command(cls=Command, example="zerochain show units.parquet\nzerochain show corpora/mine")
@click.argument("path", metavar="FILE", type=PATH)
def show(path: Path) -> None:
    """Print what FILE is and holds: any file or folder that zerochain writes."""
    print_file(path)


def print_file(path: Path) -> None:
    """Print a file or folder of any kind.

    Raises:
        InputError: it is of unknown kind, or damaged.
    """
    kind = kind_of(path)
    place = path.parent if kind.is_folder and not path.is_dir() else path
    content = kind.read(place)
    description = kind.describe(content)
    if isinstance(content, Bundle):
        facts = {**model_facts(content, place), **description.facts}
        description = replace(description, facts=facts)
    print_description(description)
    if isinstance(content, Corpus):
        _print_more(content, place)


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
        click.echo(f"noticed by the import: {plain(line)}")
    path = folder / phones.PHONES_FILE
    if path.is_file():
        print_description(phones.FILE_KIND.describe(phones.FILE_KIND.read(path)))


def model_facts(bundle: Bundle, folder: Path) -> dict[str, str]:
    """Names and values, for the kinds of models that have such facts."""
    try:
        match bundle.model:
            case "speaker-encoder":
                return {"equal error rate": _equal_error_rate(bundle.config["training"])}
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
        "unit model": short(str(config["unit_model"])),
        "voices": listed(list(_voices(config))),
        "speaker encoder": short(str(config["speaker_encoder_id"])),
        "trained": _training(config["training"]),
        "sample": str(sample) if sample.is_file() else "",
    }


def _voices(config: Mapping[str, Any]) -> Iterator[str]:
    """Each with its mean pitch."""
    statistics = config["f0"] if "f0" in config else config["prosody"]["statistics"]
    for name, f0 in zip(config["voices"], statistics, strict=False):
        yield f"{name} ({math.exp(f0['log_mean']):.0f} Hz)" if f0["n_voiced"] else name


def _training(report: Mapping[str, Any]) -> str:
    speech = f"on {report['minutes']:.1f} min of speech"
    if "steps" not in report:
        return speech
    return (
        f"{speech}, {counted(report['steps'], 'step')} ({ending(report['converged'])}); validation "
        f"loss {report['best_valid_loss']:.4f} at step {report['best_step']}"
    )
