"""Figures of a run, as they stand in the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerochain.formats.training_log import TrainingLog
from zerochain.formats.units import UnitFile
from zerochain.metrics.usage import codebook_usage
from zerochain.report import figures, style
from zerochain.report.figures import Point
from zerochain.report.published import Published, published_systems
from zerochain.report.score_tables import Column, Row, ScoreTable

_WIDE, _NARROW, _FILE = (980, 560), (350, 430), (1000, 600)


@dataclass(frozen=True)
class Drawing:
    """A figure in the page."""

    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Tradeoff:
    """The plot of ABX error against bit rate, for wide and for narrow screens."""

    wide: str
    narrow: str
    protocol: str
    published: str | None


def tradeoff(table: ScoreTable | None, published: str | None, folder: Path) -> Tradeoff | None:
    """Draw the plot; tradeoff.svg and tradeoff.png are written into `folder` as well.

    Returns:
        None if no system has both an ABX error across speakers and a bit rate above 0.
    """
    abx, rate = _fullest(table, "abx_across"), _fullest(table, "bitrate")
    if table is None or abx is None or rate is None:
        return None
    points = [
        _point(row, abx, rate)
        for row in table.rows
        if abx in row.cells and rate in row.cells and row.cells[rate].score.value > 0
    ]
    if not points:
        return None
    references = [
        (row.system, row.cells[abx].score.value)
        for row in table.rows
        if abx in row.cells and row.is_features
    ]
    others = published_systems(published) if published else []
    _write_files(points, references, others, folder)
    alt = "ABX error across speakers against bit rate: " + "; ".join(
        f"{p.name} {p.abx:.1f} % at {p.bitrate:.0f} bit/s" for p in points
    )
    wide = figures.tradeoff(points, references, others, _WIDE)
    narrow = figures.tradeoff(points, references, others, _NARROW, name_published=False)
    return Tradeoff(
        wide=style.inline_svg(wide, alt, "tradeoff-wide"),
        narrow=style.inline_svg(narrow, alt, "tradeoff-narrow"),
        protocol=abx.under,
        published=published,
    )


def _write_files(
    points: Sequence[Point],
    references: Sequence[tuple[str, float]],
    others: Sequence[Published],
    folder: Path,
) -> None:
    figure = figures.tradeoff(points, references, others, _FILE)
    for kind in ("svg", "png"):
        (folder / f"tradeoff.{kind}").write_bytes(style.to_bytes(figure, kind, style.PAPER))


def _point(row: Row, abx: Column, rate: Column) -> Point:
    error, bitrate = row.cells[abx].score, row.cells[rate].score
    return Point(row.system, error.value, bitrate.value, error.interval, bitrate.interval)


def _fullest(table: ScoreTable | None, stem: str) -> Column | None:
    """The column of a metric that most systems have: one protocol, so that they compare."""
    columns = [column for column in table.columns if column.stem == stem] if table else []
    rows = table.rows if table else []
    return max(columns, key=lambda c: sum(c in row.cells for row in rows), default=None)


def usage(label: str, unit_file: UnitFile) -> Drawing:
    """How often each unit occurs."""
    counts: NDArray[np.float64] = np.zeros(unit_file.n_units)
    for name in unit_file.ids:
        counts += np.bincount(unit_file.steps(name), minlength=unit_file.n_units)
    found = codebook_usage(unit_file)
    alt = f"{label}: {found.n_used} of {found.n_units} units, perplexity {found.perplexity:.1f}"
    figure = figures.usage(counts, label, found.perplexity)
    return Drawing(style.inline_svg(figure, alt, f"usage-{unit_file.id}"))


def training(name: str, log: TrainingLog) -> Drawing:
    """The curves of one training."""
    last = ", ".join(
        f"{key.replace('_', ' ')} {values[-1]:.4g}" for key, values in log.items() if "loss" in key
    )
    seconds = f" in {log['seconds'][-1]:,.0f} s" if "seconds" in log else ""
    caption = f"{log['step'][-1]:,.0f} steps{seconds}; at the end {last or 'no loss was logged'}"
    figure = figures.training(log, name.removesuffix(".training"))
    return Drawing(style.inline_svg(figure, f"{name}: {caption}", f"training-{name}"), caption)
