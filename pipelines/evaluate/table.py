"""All scores of all systems, one table per dataset: table.md to read, table.csv to process."""

from __future__ import annotations

from pathlib import Path

import click

from zerochain.cli.common import Command
from zerochain.formats.atomic import atomic_file
from zerochain.formats.scores import Score, read_scores
from zerochain.formats.text_files import write_csv
from zerochain.report.score_tables import Cell, Column, Group, score_table
from zerochain.report.sweep import markdown_table

NOTE = """95 % intervals in brackets. ↓ lower is better, ↑ higher is better. Bold is better than
every other system by more than the interval of the difference; a bit rate alone is never the best.
Chance is the score of uninformative units. table.csv has the number of samples behind each score.

"""


@click.command(cls=Command)
@click.argument("scores", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(scores: tuple[Path, ...], out: Path) -> None:
    """Write table.md and table.csv of scores/<dataset>/<system>.jsonl into OUT."""
    datasets: dict[str, list[Score]] = {}
    for path in scores:
        datasets.setdefault(path.parts[-2], []).extend(read_scores(path))
    rows = [plain(name, score) for name, there in datasets.items() for score in there]
    write_csv(out / "table.csv", list(rows[0]), [list(row.values()) for row in rows])
    parts = [
        f"## {title(name, group)}\n\n{markdown(group)}"
        for name, there in datasets.items()
        for group in score_table(there, {}).groups
    ]
    with atomic_file(out / "table.md") as temporary:
        temporary.write_text(NOTE + "\n".join(parts), encoding="utf-8")


def plain(dataset: str, score: Score) -> dict[str, object]:
    """A row of the CSV."""
    low, high = (f"{end:.6g}" for end in score.interval) if score.interval else ("", "")
    return {
        "dataset": dataset,
        "system": score.system,
        "metric": score.metric,
        "protocol": score.protocol,
        "distance": score.options.get("distance", ""),
        "value": f"{score.value:.6g}",
        "low": low,
        "high": high,
        "n": score.n,
        "n_of": score.options.get("n_of", ""),
        "chance": score.options.get("chance", ""),
    }


def title(dataset: str, group: Group) -> str:
    """A dataset and its split."""
    return ", ".join(part for part in (dataset, group.test.conditions) if part)


def markdown(table: Group) -> str:
    """One row per metric and one column per system: there are many more metrics."""
    heads = ["", "", *(row.system for row in table.rows)]
    rows = [
        [
            f"{label(column)} {column.arrow}",
            column.conditions,
            *(text(row.cells.get(column)) for row in table.rows),
        ]
        for column in table.columns
    ]
    return markdown_table(heads, rows, 2)


def label(column: Column) -> str:
    """A metric with its unit."""
    metric = column.metric
    return f"{metric.label}, {metric.unit}" if metric.unit else metric.label


def text(cell: Cell | None) -> str:
    """A score with its interval and chance."""
    if cell is None:
        return ""
    if cell.shortfall:
        return f"too little data ({cell.shortfall})"
    value = f"**{cell.value}**" if cell.best else cell.value
    interval = f" [{cell.interval}]" if cell.interval else ""
    chance = f" (chance {cell.chance})" if cell.chance else ""
    return f"{value}{interval}{chance}"


if __name__ == "__main__":
    main()
