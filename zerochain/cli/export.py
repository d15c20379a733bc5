"""`zerochain export`: other people's formats, written from ours."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import (
    FILE,
    FOLDER,
    Command,
    corpus_option,
    ids_option,
    out_option,
    silence_option,
    split_option,
)
from zerochain.errors import counted
from zerochain.exchange.textgrid import export_textgrids
from zerochain.metrics.abx_plan import PROTOCOLS
from zerochain.metrics.silences import chosen
from zerochain.scoring.abx import export_items


@click.command(
    cls=Command,
    example="zerochain export items corpora/mine --protocol triphone --split test --out test.item",
)
@click.argument("corpus", type=FOLDER)
@click.option(
    "--protocol", type=click.Choice(["triphone", "phone"]), default="triphone", show_default=True
)
@split_option
@silence_option
@ids_option
@out_option("the .item file")
def items(
    corpus: Path, protocol: str, split: str | None, silence: str | None, ids: str, out: Path
) -> None:
    """Write the ABX items of a CORPUS with gold phones as a ZeroSpeech .item file.

    fastabx and DiscoPhon know a recording by its name without folders: give --ids name here and
    to 'export units' where ids have some, and call the file .item.
    """
    silences = chosen(silence)
    n_items, excluded = export_items(
        corpus,
        out,
        protocol=PROTOCOLS[protocol],
        split=split,
        silences=silences,
        folders=ids == "path",
    )
    left_out = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in excluded.items())
    click.echo(
        f"{out}: {counted(n_items, 'item')}" + (f"; left out: {left_out}" if left_out else "")
    )


@click.command(
    cls=Command,
    example="zerochain export textgrid units.parquet --corpus corpora/mine --out textgrids/",
)
@click.argument("units", type=FILE)
@corpus_option
@split_option
@out_option("<id>.TextGrid", FOLDER)
def textgrid(units: Path, corpus: Path, split: str | None, out: Path) -> None:
    """Write UNITS next to gold phones as Praat TextGrids; repeated units are merged."""
    n_files, n_aligned = export_textgrids(units, corpus, out, split=split)
    click.echo(f"{out}: {counted(n_files, 'TextGrid')}, {n_aligned} with gold phones")
