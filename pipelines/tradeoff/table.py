"""One table of all systems' scores, as CSV for machines and as Markdown for people."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from zerochain.formats.atomic import atomic_file
from zerochain.formats.scores import Score, read_scores

METRICS = (
    "abx_within_% triphone",
    "abx_across_% triphone",
    "abx_within_% phone",
    "abx_across_% phone",
    "bitrate_bit/s",
    "segment_bitrate_bit/s",
    "timed_segment_bitrate_bit/s",
    "codebook_usage",
    "perplexity",
)


@click.command()
@click.argument("scores", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(scores: tuple[Path, ...], out: Path) -> None:
    """Write OUT/table.csv and OUT/table.md from scores/<dataset>/<system>.jsonl."""
    rows = [row(path) for path in scores]
    names = ["dataset", "system", *METRICS]
    with atomic_file(out / "table.csv") as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["dataset", "system", *(f"{m}{s}" for m in METRICS for s in SUFFIXES)])
        for dataset, system, found in rows:
            cells = [cell for metric in METRICS for cell in numbers(found.get(metric))]
            writer.writerow([dataset, system, *cells])
    lines = [f"| {' | '.join(names)} |", "|---|---|" + "--:|" * len(METRICS)]
    for dataset, system, found in rows:
        cells = [text(found.get(metric)) for metric in METRICS]
        lines.append(f"| {dataset} | {system} | {' | '.join(cells)} |")
    with atomic_file(out / "table.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


SUFFIXES = ("", "_low", "_high")


def row(path: Path) -> tuple[str, str, dict[str, Score]]:
    """Data set, system, and the scores by metric."""
    return path.parent.name, path.stem, {title(score): score for score in read_scores(path)}


def title(score: Score) -> str:
    """The metric; for ABX its protocol too."""
    is_abx = score.metric.startswith("abx_")
    return f"{score.metric} {score.protocol}" if is_abx else score.metric


def numbers(score: Score | None) -> list[str]:
    """Value, low and high end of the interval; empty where there is none."""
    if score is None:
        return ["", "", ""]
    return [f"{value:.6g}" for value in (score.value, *(score.interval or ()))][:3] + (
        ["", ""] if score.interval is None else []
    )


def text(score: Score | None) -> str:
    """Value and interval for people."""
    if score is None:
        return "–"
    if score.interval is None:
        return f"{score.value:.2f}"
    return f"{score.value:.2f} ({score.interval[0]:.2f}–{score.interval[1]:.2f})"


if __name__ == "__main__":
    main()
