"""Figures of a run, as they stand in the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zerochain.formats.training_log import TrainingLog
from zerochain.formats.units import UnitFile
from zerochain.metrics.bitrate import codebook_usage
from zerochain.report import figures, style
from zerochain.report.figures import Point
from zerochain.report.published import published_systems
from zerochain.report.score_tables import Column, Row, ScoreTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PARTS = {"f0": "F0 units", "prosody": "durations and pitch"}
"""What an inverter trains besides itself, in sub-folders of its training."""
_WIDE, _NARROW, _FILE = (980, 560), (350, 430), (1000, 600)


@dataclass(frozen=True)
class Drawing:
    """A figure in the page."""

    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Tradeoff:
    """The plot of ABX error against bit rate on one corpus, for wide and for narrow screens."""

    wide: str
    narrow: str
    corpus: str
    """Its id."""
    rate: str
    protocol: str
    published: str | None


def tradeoffs(table: ScoreTable | None, published: str | None, folder: Path) -> list[Tradeoff]:
    """Draw a plot for each corpus that has systems with an ABX error and a bit rate above 0.

    The rate is that of segments where systems have it. tradeoff.svg and tradeoff.png (of further
    corpora tradeoff-2.svg, …) are written into `folder` as well.
    """
    rows = table.rows if table else []
    drawn: list[Tradeoff] = []
    for corpus in dict.fromkeys(row.corpus for row in rows):
        name = f"tradeoff-{len(drawn) + 1}" if drawn else "tradeoff"
        there = [row for row in rows if row.corpus == corpus]
        plot = _tradeoff(there, published, folder / name)
        drawn += [plot] if plot else []
    return drawn


def _tradeoff(rows: Sequence[Row], published: str | None, path: Path) -> Tradeoff | None:
    abx = _fullest(rows, "abx_across")
    rate = _fullest(rows, "segment_bitrate") or _fullest(rows, "bitrate")
    if abx is None or rate is None:
        return None
    points = [
        _point(row, abx, rate)
        for row in rows
        if abx in row.cells and rate in row.cells and row.cells[rate].score.value > 0
    ]
    if not points:
        return None
    references = [
        (row.system, row.cells[abx].score.value)
        for row in rows
        if abx in row.cells and row.is_reference
    ]
    others = published_systems(published) if published else []
    draw = partial(figures.tradeoff, points, references, others, rate=rate.label)
    write_figure(draw(_FILE), path)
    alt = "ABX error across speakers against bit rate: " + "; ".join(
        f"{p.name} {p.abx:.1f} % at {p.bitrate:.0f} bit/s" for p in points
    )
    return Tradeoff(
        wide=style.inline_svg(draw(_WIDE), alt, f"{path.name}-wide"),
        narrow=style.inline_svg(draw(_NARROW, name_published=False), alt, f"{path.name}-narrow"),
        corpus=rows[0].corpus,
        rate=rate.label,
        protocol=abx.under,
        published=published,
    )


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as `path`.svg and `path`.png."""
    for kind in ("svg", "png"):
        file = path.with_name(f"{path.name}.{kind}")
        file.write_bytes(style.to_bytes(figure, kind, style.PAPER))


def _point(row: Row, abx: Column, rate: Column) -> Point:
    error, bitrate = row.cells[abx].score, row.cells[rate].score
    method = row.unit_file.method.partition(" ")[0] if row.unit_file else ""
    return Point(row.system, error.value, bitrate.value, error.interval, bitrate.interval, method)


def _fullest(rows: Sequence[Row], stem: str) -> Column | None:
    """The column of a metric that most systems have: one protocol, so that they compare."""
    columns = sorted({column for row in rows for column in row.cells if column.stem == stem})
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


def training_name(path: str) -> str:
    """What people call a training: "inverters/x.training/f0" → "inverters/x: F0 units"."""
    whole, marker, part = path.rpartition(".training")
    part = part.strip("/\\")
    return (f"{whole}: {_PARTS.get(part, part)}" if part else whole) if marker else path


def training(name: str, log: TrainingLog) -> Drawing:
    """The curves of one training."""
    last = ", ".join(
        f"{key.replace('_', ' ')} {values[-1]:.4g}" for key, values in log.items() if "loss" in key
    )
    seconds = f" in {log['seconds'][-1]:,.0f} s" if "seconds" in log else ""
    caption = f"{log['step'][-1]:,.0f} steps{seconds}; at the end {last or 'no loss was logged'}"
    shown = training_name(name)
    figure = figures.training(log, shown)
    return Drawing(style.inline_svg(figure, f"{shown}: {caption}", f"training-{name}"), caption)
