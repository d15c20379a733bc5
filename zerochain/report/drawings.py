"""The figures of a run, with alternative texts and captions, as the page shows them.

The trade-off of ABX error against bit rate, phones by phones (ABX errors of pairs), phones by
units, unit usage and training curves. `figures` does the plotting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError, counted
from zerochain.formats.abx_cells import AbxCells
from zerochain.formats.phones import Phones
from zerochain.formats.training_log import TrainingLog
from zerochain.formats.units import UnitFile
from zerochain.metrics import names
from zerochain.metrics.bitrate import codebook_usage
from zerochain.metrics.names import Metric
from zerochain.metrics.quality import align_frames
from zerochain.metrics.silences import chosen
from zerochain.report import figures, style
from zerochain.report.figures import Point
from zerochain.report.published import published_systems
from zerochain.report.run import Run
from zerochain.report.score_tables import Column, Group, Row, ScoreTable
from zerochain.scoring.abx_tables import PairError, phone_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rate = Literal["units", "segments", "timed"]
RATES: Mapping[Rate, Metric] = {
    "units": names.BITRATE,
    "segments": names.SEGMENT_BITRATE,
    "timed": names.TIMED_SEGMENT_BITRATE,
}
"""What a symbol is → the bit rate on the x axis."""
_PARTS = {"f0": "F0 units", "prosody": "durations and pitch"}
"""Parts of an inverter that are trained in sub-folders of its training."""
_WIDE, _NARROW, _FILE = (980, 560), (350, 430), (1000, 600)
_MOST_ABX_MAPS, _MOST_PHONE_MAPS = 6, 3
_WORST = 3
_FEW = 10
"""Cells: an error of a pair of phones that rests on fewer is mostly chance."""


@dataclass(frozen=True)
class Drawing:
    """A figure in the page."""

    svg: str
    caption: str = ""
    remark: str = ""
    """What a reader has to know first: that training did not converge."""


@dataclass(frozen=True)
class Tradeoff:
    """The plot of ABX error against bit rate on a test set, for wide and for narrow screens."""

    wide: str
    narrow: str
    group: Group
    """The test set."""
    rate: str
    protocol: str
    published: str | None
    counts_every_unit: bool
    """Whether the rate is that of the published systems."""
    without: tuple[str, ...]
    """Systems that are not drawn: their scores rest on too little data."""


def tradeoffs(
    table: ScoreTable | None, published: str | None, folder: Path, rate: Rate = "units"
) -> list[Tradeoff]:
    """A plot for each test set that has systems with an ABX error and a bit rate above 0.

    The plots are also written into `folder` as tradeoff.svg and tradeoff.png; those of further
    test sets as tradeoff-2.svg, …

    Args:
        rate: what a symbol is; where no system has that rate, whichever there is.
    """
    drawn: list[Tradeoff] = []
    for group in table.groups if table else []:
        name = f"tradeoff-{len(drawn) + 1}" if drawn else "tradeoff"
        plot = _tradeoff(group, published, folder / name, rate)
        drawn += [plot] if plot else []
    return drawn


def usage(label: str, unit_file: UnitFile) -> Drawing:
    """How often each unit occurs."""
    counts: NDArray[np.float64] = np.zeros(unit_file.n_units)
    for name in unit_file.ids:
        counts += np.bincount(unit_file.steps(name), minlength=unit_file.n_units)
    found = codebook_usage(unit_file)
    alt = (
        f"{label}: {found.n_used} of {counted(found.n_units, 'unit')} used, perplexity "
        f"{found.perplexity:.1f}"
    )
    figure = figures.usage(counts, label, found.perplexity)
    return Drawing(style.inline_svg(figure, alt, f"usage-{unit_file.id}"))


def training_name(path: str) -> str:
    """The name of a training for people: "inverters/x.training/f0" → "inverters/x: F0 units"."""
    whole, marker, part = path.rpartition(".training")
    part = part.strip("/\\")
    return (f"{whole}: {_PARTS.get(part, part)}" if part else whole) if marker else path


def training(name: str, log: TrainingLog, remark: str = "") -> Drawing:
    """The curves of one training."""
    last = ", ".join(
        f"{key.replace('_', ' ')} {values[-1]:.4g}" for key, values in log.items() if "loss" in key
    )
    seconds = f" in {log['seconds'][-1]:,.0f} s" if "seconds" in log else ""
    steps = counted(round(log["step"][-1]), "step")
    caption = f"{steps}{seconds}; at the end {last or 'no loss was logged'}"
    shown = training_name(name)
    figure = figures.training(log, shown)
    svg = style.inline_svg(figure, f"{shown}: {caption}", f"training-{name}")
    return Drawing(svg, caption, remark)


def abx_maps(run: Run) -> Iterator[Drawing]:
    """ABX errors of pairs of phones, for six systems at most; across speakers if scored."""
    for cells in run.abx_cells[:_MOST_ABX_MAPS]:
        modes = set(cells.table["mode"].to_pylist())
        if modes:
            yield _abx_map(cells, "across" if "across" in modes else "within")


def phone_maps(run: Run, named: Sequence[tuple[str, UnitFile]]) -> Iterator[Drawing]:
    """Phones by units, for three systems at most: first those that were scored with gold phones.

    Silences and shifts are as in these scores.
    """
    options = {
        score.inputs["units"]: score.options
        for score in run.scores
        if "silences" in score.options and "frame_ms" in score.options
    }
    found = [(name, units) for name, units in named if run.corpus_of(units)]
    found.sort(key=lambda one: one[1].id not in options)
    drawn = 0
    for name, units in found:
        corpus = run.corpus_of(units)
        phones = None if corpus is None else run.phones_of(corpus)
        if phones is None or drawn == _MOST_PHONE_MAPS:
            continue
        drawing = _phone_map(name, units, phones, options.get(units.id, {}))
        if drawing is not None:
            drawn += 1
            yield drawing


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as `path`.svg and `path`.png."""
    for kind in ("svg", "png"):
        file = path.with_name(f"{path.name}.{kind}")
        file.write_bytes(style.to_bytes(figure, kind, style.PAPER))


def _tradeoff(group: Group, published: str | None, path: Path, which: Rate) -> Tradeoff | None:
    rows = group.rows
    abx = _fullest(rows, names.ABX_ACROSS)
    scored = [row for row in rows if abx in row.cells]  # a rate of others only gives no point
    known = (_fullest(scored, one) for one in (RATES[which], *RATES.values()))
    rate = next((column for column in known if column is not None), None)
    if abx is None or rate is None:
        return None
    both = [row for row in rows if abx in row.cells and rate in row.cells]
    short = [row for row in both if row.cells[abx].shortfall or row.cells[rate].shortfall]
    points = [
        _point(row, abx, rate)
        for row in both
        if row not in short and row.cells[rate].score.value > 0
    ]
    if not points:
        return None
    references = [
        (row.system, row.cells[abx].score.value)
        for row in rows
        if abx in row.cells and row.is_reference and not row.cells[abx].shortfall
    ]
    others = published_systems(published) if published else []
    draw = partial(figures.tradeoff, points, references, others, rate=rate.metric.label)
    write_figure(draw(_FILE), path)
    alt = "ABX error across speakers against bit rate: " + "; ".join(
        f"{p.name} {p.abx:.1f} % at {p.bitrate:.0f} bit/s" for p in points
    )
    return Tradeoff(
        wide=style.inline_svg(draw(_WIDE), alt, f"{path.name}-wide"),
        narrow=style.inline_svg(draw(_NARROW, name_published=False), alt, f"{path.name}-narrow"),
        group=group,
        rate=rate.metric.label,
        protocol=abx.conditions,
        published=published,
        counts_every_unit=rate.metric == names.BITRATE,
        without=tuple(row.system for row in short),
    )


def _point(row: Row, abx: Column, rate: Column) -> Point:
    error, bitrate = row.cells[abx].score, row.cells[rate].score
    method = row.unit_file.method.partition(" ")[0] if row.unit_file else ""
    return Point(row.system, error.value, bitrate.value, error.interval, bitrate.interval, method)


def _fullest(rows: Sequence[Row], metric: Metric) -> Column | None:
    """The column of a metric that most systems have: one protocol, so that they compare."""
    columns = sorted(
        {column for row in rows for column in row.cells if column.metric == metric},
        key=lambda column: column.place,
    )
    return max(columns, key=lambda c: sum(c in row.cells for row in rows), default=None)


def _abx_map(cells: AbxCells, mode: str) -> Drawing:
    pairs = phone_errors(cells, mode)
    phones = sorted({phone for _, *both, _, _, _ in pairs for phone in both})
    place = {phone: i for i, phone in enumerate(phones)}
    errors = np.full((len(phones), len(phones)), np.nan)
    for _, a, b, error, _, _ in pairs:
        errors[place[a], place[b]] = error
    title = f"{cells.system}: ABX {mode} speakers ({cells.protocol}, {cells.distance})"
    caption = (
        f"{counted(len(pairs), 'pair')} of phones. Rows: the phone of A and X; columns: the phone "
        f"of B, that X is mistaken for. 50 % is chance; empty squares were not compared. "
        f"{_worst(pairs)}"
    )
    figure = figures.phone_confusions(errors, phones, title)
    return Drawing(
        style.inline_svg(figure, f"{title}. {caption}", f"abx-{cells.id}-{mode}"), caption
    )


def _worst(pairs: list[PairError]) -> str:
    """The pairs with the highest errors among those with enough cells, in words."""
    firm = [pair for pair in pairs if pair[4] >= _FEW]
    if not firm:
        return f"No pair has {_FEW} cells or more, so these errors are only hints."
    worst = sorted(firm, key=lambda pair: -pair[3])[:_WORST]
    named = ", ".join(f"{a} as {b} {error:.0f} % ({n} cells)" for _, a, b, error, n, _ in worst)
    few = len(pairs) - len(firm)
    rest = f"; {counted(few, 'pair')} with fewer cells left out" if few else ""
    return f"Highest of {counted(len(firm), 'pair')} with {_FEW} cells or more: {named}{rest}."


def _phone_map(
    name: str, units: UnitFile, phones: Phones, options: Mapping[str, Any]
) -> Drawing | None:
    """None where no frame lies in a phone."""
    known = [one for one in units.ids if one in phones.by_id]
    silences = chosen(options.get("silences"))
    try:
        aligned = align_frames(
            units.restrict(known), phones, silences=silences, shift_ms=options.get("shift_ms", 0.0)
        )
    except InputError:
        return None
    frames = aligned.table.sum(axis=0)
    shares = aligned.table[:, frames > 0] / frames[frames > 0]
    best = shares.argmax(axis=0)
    order = np.lexsort((-shares.max(axis=0), best))
    rows = [*aligned.names, "no phone"]
    figure = figures.phone_units(shares[:, order], rows, name)
    n_spoken = len(set(best.tolist()) - {len(aligned.names)})
    caption = (
        f"The phones that each of {counted(len(order), 'unit')} occurs in, in frames of 10 ms. "
        f"Phones that are the most frequent one of some unit: {n_spoken} of {len(aligned.names)}."
    )
    return Drawing(style.inline_svg(figure, f"{name}: {caption}", f"phones-{units.id}"), caption)
