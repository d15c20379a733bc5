"""`zerochain show`: what any file or folder of zerochain is, printed readably."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from zerochain.cli.common import PATH, Command
from zerochain.cli.printing import plain, print_facts, print_table
from zerochain.cli.show_model import model_facts
from zerochain.errors import InputError
from zerochain.formats import phones
from zerochain.formats.bundle import Bundle
from zerochain.formats.corpus import MARKER, Corpus
from zerochain.formats.description import Description
from zerochain.formats.kinds import kind_of


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
