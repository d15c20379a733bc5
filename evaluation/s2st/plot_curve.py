"""Plot a learning curve from the table.csv of learning_curve.py.

    python evaluation/s2st/plot_curve.py runs/learning-curve/table.csv --out learning-curve.png

Unit-BLEU, with 95 % intervals, against the number of pairs; dotted: the score of random targets.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from matplotlib.figure import Figure

from zerochain.errors import InputError
from zerochain.formats.atomic import atomic_file
from zerochain.report.style import figure_style, new_figure

MARKERS = "osD^vP"
Row = Mapping[str, str]


def draw(rows: Sequence[Row]) -> Figure:
    """One line per method; methods are shifted sideways so that intervals don't overlap."""
    figure = new_figure(560, 360)
    axes = figure.subplots()
    ways = list(dict.fromkeys(row["way"] for row in rows))
    floors = {int(row["pairs"]): float(row["unit_bleu_floor"]) for row in rows}
    sizes = sorted(floors)
    beside = (sizes[-1] / sizes[0]) ** 0.005
    for place, way in enumerate(ways):
        mine = [row for row in rows if row["way"] == way]
        bleu = [float(row["unit_bleu"]) for row in mine]
        ends = [(float(row["unit_bleu_from"]), float(row["unit_bleu_to"])) for row in mine]
        axes.errorbar(
            [int(row["pairs"]) * beside ** (place - len(ways) / 2) for row in mine],
            bleu,
            [
                [value - low for value, (low, _) in zip(bleu, ends, strict=True)],
                [high - value for value, (_, high) in zip(bleu, ends, strict=True)],
            ],
            marker=MARKERS[place % len(MARKERS)],
            markersize=4,
            linewidth=1,
            elinewidth=0.6,
            label=way,
        )
    axes.plot(sizes, [floors[n] for n in sizes], ":", color="grey", label="random targets")
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("pairs")
    axes.set_ylabel("unit-BLEU")
    figure.legend(loc="outside right center")
    return figure


@click.command()
@click.argument("table", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True, help=".png, .svg or .pdf")
def main(table: Path, out: Path) -> None:
    """Draw TABLE."""
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or "unit_bleu_from" not in rows[0]:
        raise click.ClickException(
            str(InputError("holds no learning curve", path=table, remedy="run learning_curve.py"))
        )
    with figure_style(), atomic_file(out) as temporary:
        draw(rows).savefig(temporary, format=out.suffix.lstrip("."), dpi=160, facecolor="white")


if __name__ == "__main__":
    main()
