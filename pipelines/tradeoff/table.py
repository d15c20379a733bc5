"""The sweep's tables and plots, from scores/<dataset>/<model>/….jsonl and models/."""

from __future__ import annotations

import re
from pathlib import Path

import click

from zerochain.cli.common import Command
from zerochain.formats.atomic import atomic_file
from zerochain.metrics.names import ABX_ACROSS
from zerochain.report import figures, style
from zerochain.report.drawings import write_figure
from zerochain.report.published import published_systems, tjandra2019
from zerochain.report.sweep import (
    RATE,
    System,
    as_csv,
    as_markdown,
    of_features,
    of_model,
    paper_tables,
    with_fronts,
)

SIZE_PX = (1100, 700)


@click.command(cls=Command)
@click.argument("scores", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--protocol", required=True, help="ABX protocol of plots and the Pareto front.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(scores: tuple[Path, ...], protocol: str, out: Path) -> None:
    """Write table.csv, table.md, paper.md and one plot per dataset into OUT."""
    style.require_report_extra()
    systems = with_fronts([read(path) for path in scores], protocol)
    texts = {
        "table.csv": as_csv(systems),
        "table.md": as_markdown(systems, protocol),
        "paper.md": paper_tables(systems, protocol),
    }
    for name, text in texts.items():
        with atomic_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for dataset in dict.fromkeys(system.corpus for system in systems):
        there = [system for system in systems if system.corpus == dataset]
        with style.figure_style():
            write_figure(plot(there, protocol), out / f"tradeoff-{dataset}")


def read(path: Path) -> System:
    """The system whose scores these are: scores/<dataset>/<model>/<p1.5 or posteriors>.jsonl."""
    _, dataset, model, _ = path.parts[-4:]
    if model == "features":
        return of_features(path, corpus=dataset)
    name, normalisation = re.fullmatch(r"(.+)-(?:\d+|phones)-\d+t-([a-z]+)", model).groups()
    return of_model(
        path,
        path.parents[3] / "models" / dataset / model,
        corpus=dataset,
        variant=f"{name} {normalisation}",
        penalty=None if path.stem == "posteriors" else float(path.stem.removeprefix("p")),
        kind="posteriors" if path.stem == "posteriors" else "units",
    )


def plot(systems: list[System], protocol: str) -> figures.Figure:
    """ABX against bit rate; features as lines, published systems in a faint colour."""
    points = [point for system in systems if (point := system.point(protocol))]
    errors = {s.variant: s.value(ABX_ACROSS, protocol) for s in systems if is_features(s)}
    return figures.tradeoff(
        points,
        [(name, abx) for name, abx in errors.items() if abx is not None],
        published_systems("english"),
        SIZE_PX,
        paper=[row for row in tjandra2019() if row.table > 2],
        rate=RATE.label,
        name_published=False,
    )


def is_features(system: System) -> bool:
    """Whether it has no units."""
    return system.kind == "features"


if __name__ == "__main__":
    main()
