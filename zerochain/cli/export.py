"""Other people's formats, written from ours."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import FILE, FOLDER, Command, out_option, split_option
from zerochain.cli.score import corpus_option, silence_option

ids_option = click.option(
    "--ids",
    type=click.Choice(["path", "name"]),
    default="path",
    show_default=True,
    help="Names are whole ids, or what stands behind the last slash of the corpus's ids.",
)


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
    from zerochain.metrics.abx_plan import PROTOCOLS
    from zerochain.metrics.silences import chosen
    from zerochain.scoring.abx import export_items

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
    click.echo(f"{out}: {n_items} items" + (f"; left out: {left_out}" if left_out else ""))


@click.command(
    cls=Command,
    example="zerochain export textgrid units.parquet --corpus corpora/mine --out textgrids/",
)
@click.argument("units", type=FILE)
@corpus_option
@split_option
@out_option("<id>.TextGrid", FOLDER)
def textgrid(units: Path, corpus: Path, split: str | None, out: Path) -> None:
    """Write UNITS beside gold phones as Praat TextGrids; repeated units are merged."""
    from zerochain.exchange.textgrid import export_textgrids

    n_files, n_aligned = export_textgrids(units, corpus, out, split=split)
    click.echo(f"{out}: {n_files} TextGrids, {n_aligned} of them with gold phones")
