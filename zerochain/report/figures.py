"""The plots of the report: ABX against bit rate, unit usage, training curves, heatmaps of phones.

The plot of ABX error against bit rate is the challenge's: lower left is better, and the Pareto
front joins the systems that no other beats in both. Its points are labelled; `place_labels` keeps
the labels off each other, the points and their error bars.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zerochain.formats.training_log import TrainingLog
from zerochain.report import style
from zerochain.report.published import PaperRow, Published

# Functions import matplotlib themselves: it is optional (the extra `report`), and is to be loaded
# only after `style.require_report_extra`.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_PANEL = (340, 200)
_TICKS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_CHANCE = 50.0
_LOG_ABOVE = 30.0
_MOST_NAMED = 14
_MARKERS = "os^vPXD*hp<>dH8"
_MOST_LINES = 5
_DISTANCES_PT = (6, 12, 20, 30, 42, 56, 72, 90, 110)
_LEADER_PT = 12
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True)
class Point:
    """One system of ours in the plane of ABX error (%) and bit rate (bit/s)."""

    name: str
    abx: float
    bitrate: float
    abx_interval: tuple[float, float] | None = None
    bitrate_interval: tuple[float, float] | None = None
    series: str = ""
    """Points of one series have the same marker."""


def front(points: Sequence[Point]) -> list[int]:
    """Indices of the points on the Pareto front, from the lowest bit rate."""
    return pareto_front([(p.bitrate, p.abx) for p in points])


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points on the Pareto front: no other point is as low in both coordinates.

    Of equal points, the first one is taken.

    Args:
        points: (x, y); lower is better in both.

    Returns:
        From the lowest x to the lowest y: x rises strictly, y falls strictly.
    """
    if not points:
        return []
    x, y = np.asarray(points, float).T
    front: list[int] = []
    lowest = np.inf
    for i in np.lexsort((y, x)):  # by x, then y; stable, so that equal points keep their order
        if y[i] < lowest:
            front.append(int(i))
            lowest = y[i]
    return front


def tradeoff(
    points: Sequence[Point],
    references: Sequence[tuple[str, float]],
    published: Sequence[Published],
    size_px: tuple[int, int],
    *,
    paper: Sequence[PaperRow] = (),
    rate: str = "bit rate",
    name_published: bool = True,
) -> Figure:
    """ABX error against bit rate: lower left is better.

    With many points, only those on the Pareto front have names and intervals.

    Args:
        references: (name, ABX error) of features, which have no bit rate: dashed lines.
        published: drawn faintly, since they are on other data.
        paper: likewise, without names.
        rate: the name of the bit rate.
        name_published: whether to label the published systems.
    """
    figure = style.new_figure(*size_px)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.grid(True, zorder=0)
    axes.set_xlabel(f"{rate} (bit/s, log scale)")
    axes.set_ylabel("ABX error across speakers (%)")
    theirs: Any = {"marker": "D", "ms": 4, "mfc": "none", "mec": style.FAINT, "mew": 0.9}
    if published:
        rates, errors = [p.bitrate for p in published], [p.abx for p in published]
        label = "ZeroSpeech 2019, 2020: other data"
        axes.plot(rates, errors, ls="", zorder=2, label=label, **theirs)
    if paper:
        rates, errors = [p.bitrate for p in paper], [p.abx for p in paper]
        label = "Tjandra et al. 2019, every size: other data"
        axes.plot(rates, errors, "+", ms=5, mew=0.8, color=style.FAINT, zorder=2, label=label)
    for _, abx in references:
        axes.axhline(abx, color=style.SECOND, lw=1, ls=(0, (4, 3)), zorder=1)
    best = front(points)
    named = set(best) if len(points) > _MOST_NAMED else set(range(len(points)))
    markers = {s: _MARKERS[i % len(_MARKERS)] for i, s in enumerate(_series(points))}
    bars = [
        bar
        for i, point in enumerate(points)
        for bar in _draw(axes, point, markers[point.series], faint=i not in named)
    ]
    if len(best) > 1:
        x, y = [points[i].bitrate for i in best], [points[i].abx for i in best]
        look: Any = {"color": style.ACCENT, "lw": 5, "alpha": 0.2, "label": "Pareto front"}
        axes.step(x, y, where="post", zorder=2, **look)
    _limits(axes, points, references, [*published, *paper])
    for series, marker in markers.items():
        label = f"this run, 95 % intervals{f': {series}' if series else ''}"
        axes.plot([], [], marker, ms=6, color=style.ACCENT, label=label)
    legend = axes.legend(loc="upper right", fontsize=8, labelcolor=style.MUTED, borderaxespad=0.2)
    legend.set_in_layout(False)
    around: list[Any] = [legend]
    around += [_reference(axes, name, abx) for name, abx in references]
    ours = {"color": style.ACCENT, "size": 9, "weight": "bold", "zorder": 5}
    faint = {"color": style.MUTED, "size": 7, "zorder": 3}
    labels = [
        Label(p.bitrate, p.abx, p.name if i in named else "", ours) for i, p in enumerate(points)
    ]
    labels += [Label(p.bitrate, p.abx, "", faint) for p in paper]
    labels += [
        Label(p.bitrate, p.abx, f"{p.name} ’{p.year % 100}" if name_published else "", faint)
        for p in published
    ]
    place_labels(axes, labels, around, bars)
    return figure


def usage(counts: NDArray[np.float64], title: str, perplexity: float) -> Figure:
    """The share of the time that each unit takes, most frequent first; (K,) counts of steps."""
    figure = style.new_figure(*_PANEL)
    axes = figure.add_subplot()
    shares = 100 * np.sort(counts)[::-1] / counts.sum()
    axes.fill_between(
        np.arange(len(shares) + 1),
        np.append(shares, shares[-1]),
        step="post",
        color=style.ACCENT,
        lw=0,
    )
    n_used = int((counts > 0).sum())
    axes.axhline(100 / len(shares), color=style.SECOND, lw=1, ls=(0, (4, 3)))
    axes.set_title(title)
    axes.set_xlabel("units, most frequent first")
    axes.set_ylabel("share of time (%)")
    axes.set_xlim(0, len(shares))
    middle = max(shares[len(shares) // 2], 100 / len(shares))
    axes.set_ylim(0, max(1.05 * shares[0], 1.5 * middle))  # the text needs room above flat usage
    axes.text(
        0.98,
        0.96,
        f"{n_used} of {len(shares)} used\nperplexity {perplexity:.1f}",
        transform=axes.transAxes,
        ha="right",
        va="top",
        color=style.MUTED,
        linespacing=1.4,
    )
    return figure


def training(log: TrainingLog, title: str) -> Figure:
    """The losses of a training; its log has one row per validation."""
    figure = style.new_figure(*_PANEL)
    axes = figure.add_subplot()
    steps = log["step"]
    losses = [name for name in log if "loss" in name][:_MOST_LINES]
    looks: dict[str, dict[str, Any]] = {
        "train_loss": {"color": style.FAINT, "lw": 1.6},
        "valid_loss": {"color": style.ACCENT, "lw": 2.0},
    }
    others = ((0, (1, 1.5)), (0, (4, 2)), (0, (6, 2, 1, 2)), "-")
    for name in losses:
        look = looks.get(
            name, {"color": style.SECOND, "lw": 1.1, "ls": others[len(axes.lines) % 4]}
        )
        marker = "o" if len(steps) == 1 else None
        axes.plot(steps, log[name], label=name.replace("_", " "), marker=marker, ms=4, **look)
    values = np.array([v for name in losses for v in log[name] if math.isfinite(v)])
    if len(values) and values.min() > 0 and values.max() / values.min() > _LOG_ABOVE:
        axes.set_yscale("log")
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(True, axis="y")
    axes.legend(fontsize=8)
    return figure


def phone_units(shares: NDArray[np.float64], phones: Sequence[str], title: str) -> Figure:
    """How often each unit occurs in each phone: shares (P, K), every column adds up to 1."""
    from matplotlib.colors import PowerNorm

    height = max(190, 15 * len(phones) + 70)  # below, the label of the colour bar is cut off
    figure = style.new_figure(max(420, min(960, 5 * shares.shape[1] + 120)), height)
    axes = figure.add_subplot()
    bright = PowerNorm(0.5, 0, 1)  # otherwise small shares look like none
    image = axes.imshow(shares, "magma", bright, aspect="auto", interpolation="nearest")
    axes.set_title(title)
    axes.set_yticks(range(len(phones)), phones, size=7)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("units, sorted by their most frequent phone")
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label("share of the unit's frames")
    return figure


def phone_confusions(errors: NDArray[np.float64], phones: Sequence[str], title: str) -> Figure:
    """ABX errors (%) of pairs of phones (P, P), NaN for none: A and X in rows, B in columns."""
    side = max(320, min(900, 15 * len(phones) + 110))
    figure = style.new_figure(side + 60, side)
    axes = figure.add_subplot()
    top = max(_CHANCE, float(np.nanmax(errors)))
    image = axes.imshow(errors, "magma", vmin=0, vmax=top, interpolation="nearest")
    axes.set_title(title, size=8)
    axes.set_xticks(range(len(phones)), phones, size=7, rotation=90)
    axes.set_yticks(range(len(phones)), phones, size=7)
    axes.tick_params(length=0)
    axes.set_xlabel("B")
    axes.set_ylabel("A and X")
    bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.02)
    bar.set_label("ABX error (%)")
    return figure


@dataclass(frozen=True)
class Label:
    """A text for the point (x, y), in data coordinates."""

    x: float
    y: float
    text: str
    style: dict[str, Any]


def place_labels(
    axes: Axes, labels: Sequence[Label], around: Sequence[Any] = (), bars: Sequence[Any] = ()
) -> None:
    """Write labels, the first ones nearest to their points; distant ones get a line to their point.

    Greedy: each label takes the first position, from near to far, that lies in the axes and covers
    neither a point nor an earlier label. A label without text only keeps its point free. One that
    finds no position is written over the others.

    Args:
        around: texts in the axes that may not be covered either.
        bars: likewise lines, each as two points (2, 2) in data coordinates.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    figure: Any = axes.figure
    canvas: Any = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    style.lay_out(figure)
    frame = axes.get_window_extent(renderer)
    dots = axes.transData.transform([(label.x, label.y) for label in labels])
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in dots]
    taken += [text.get_window_extent(renderer) for text in around]
    taken += [Bbox(axes.transData.transform(bar)).padded(2) for bar in bars]
    for label, dot in zip(labels, dots, strict=True):
        if not label.text:
            continue
        size = _size(figure, label, renderer)
        for distance, way in product(_DISTANCES_PT, _DIRECTIONS):
            corner = _corner(dot, size, distance * figure.dpi / 72, way)
            box = Bbox.from_bounds(*corner, *size)
            if _inside(box, frame) and not any(box.overlaps(other) for other in taken):
                break
        else:
            distance, way = _DISTANCES_PT[0], _DIRECTIONS[0]
        taken.append(box)
        _write(axes, label, distance, way)


def _series(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(point.series for point in points))


def _draw(axes: Axes, point: Point, marker: str, *, faint: bool) -> list[Any]:
    """Draw a point and its intervals; returns the intervals' lines, (2, 2) each."""
    if faint:
        axes.plot(point.bitrate, point.abx, marker, ms=4, alpha=0.45, color=style.ACCENT, zorder=3)
        return []
    drawn = axes.errorbar(
        [point.bitrate],
        [point.abx],
        xerr=_error(point.bitrate, point.bitrate_interval),
        yerr=_error(point.abx, point.abx_interval),
        fmt=marker,
        ms=6,
        color=style.ACCENT,
        elinewidth=1.2,
        capsize=2.5,
        zorder=4,
    )
    return [segment for lines in drawn[2] for segment in lines.get_segments()]


def _reference(axes: Axes, name: str, abx: float) -> Any:
    return axes.annotate(
        f"{name} (features)",
        (1, abx),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        color=style.SECOND,
        size=8,
        in_layout=False,
    )


def _error(value: float, interval: tuple[float, float] | None) -> NDArray[np.float64] | None:
    if interval is None:
        return None
    return np.maximum([[value - interval[0]], [interval[1] - value]], 0.0)


def _limits(
    axes: Axes,
    points: Sequence[Point],
    references: Sequence[tuple[str, float]],
    published: Sequence[Published | PaperRow],
) -> None:
    both: list[Point | Published | PaperRow] = [*points, *published]
    rates = [p.bitrate for p in both]
    low, high = min(rates) / 1.6, max(rates) * 1.8
    axes.set_xlim(low, high)
    axes.set_xticks([t for t in _TICKS if low <= t <= high])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    errors = [p.abx for p in both] + [abx for _, abx in references]
    errors += [end for p in points for end in p.abx_interval or ()]
    margin = max(2.0, 0.1 * (max(errors) - min(errors)))
    top = _CHANCE if max(errors) < _CHANCE else 100.0
    axes.set_ylim(max(0.0, min(errors) - margin), min(top, max(errors) + margin))


def _size(figure: Any, label: Label, renderer: Any) -> tuple[float, float]:
    text = figure.text(0, 0, label.text, **label.style)
    box = text.get_window_extent(renderer)
    text.remove()
    return box.width, box.height


def _corner(
    dot: Any, size: tuple[float, float], distance: float, way: tuple[int, int]
) -> tuple[float, float]:
    """The left lower corner of a text of this size at a distance from a point."""
    left, bottom = (
        center + side * distance + (side - 1) / 2 * length
        for center, side, length in zip(dot, way, size, strict=True)
    )
    return left, bottom


def _inside(box: Bbox, frame: Bbox) -> bool:
    return bool(
        frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    )


def _write(axes: Axes, label: Label, distance: float, way: tuple[int, int]) -> None:
    right, up = way
    leader = {"arrowstyle": "-", "color": label.style.get("color"), "lw": 0.5, "alpha": 0.6}
    axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(right * distance, up * distance),
        textcoords="offset points",
        ha={1: "left", 0: "center", -1: "right"}[right],
        va={1: "bottom", 0: "center", -1: "top"}[up],
        arrowprops=leader if distance > _LEADER_PT else None,
        in_layout=False,
        **label.style,
    )
