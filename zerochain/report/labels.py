"""Labels beside points, each where it covers no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_DISTANCES_PT = (6, 12, 20, 30, 42, 56, 72, 90, 110)
_LEADER_PT = 12
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


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
    """Write labels, the first ones nearest to their points; a far one gets a line to its point.

    Greedy: each takes the first place, from near to far, that lies in the axes and covers neither
    a point nor an earlier label. A label without text only keeps its point free. One that finds
    no place is written over the others.

    Args:
        around: texts that stand in the axes already and may not be covered either.
        bars: likewise lines, each two points (2, 2) in data coordinates.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    figure: Any = axes.figure
    canvas: Any = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    figure.draw_without_rendering()
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
            box = _box(dot, size, distance * figure.dpi / 72, way)
            if _inside(box, frame) and not any(box.overlaps(other) for other in taken):
                break
        else:
            distance, way = _DISTANCES_PT[0], _DIRECTIONS[0]
        taken.append(box)
        _write(axes, label, distance, way)


def _size(figure: Any, label: Label, renderer: Any) -> tuple[float, float]:
    text = figure.text(0, 0, label.text, **label.style)
    box = text.get_window_extent(renderer)
    text.remove()
    return box.width, box.height


def _box(dot: Any, size: tuple[float, float], distance: float, way: tuple[int, int]) -> Bbox:
    """Where a text of this size lies if it is written `distance` away from a dot."""
    from matplotlib.transforms import Bbox

    left, bottom = (
        center + side * distance + (side - 1) / 2 * length
        for center, side, length in zip(dot, way, size, strict=True)
    )
    return Bbox.from_bounds(left, bottom, *size)


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
