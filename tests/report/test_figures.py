"""The Pareto front, and labels that cover nothing."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from zerochain.report import style
from zerochain.report.figures import Label, Point, pareto_front, place_labels, tradeoff
from zerochain.report.published import published_systems

points = st.lists(st.tuples(*[st.integers(0, 12) | st.floats(0, 1e6)] * 2), max_size=40)


def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@given(points)
def test_exactly_what_nothing_beats_is_on_it_and_once(plane: list[tuple[float, float]]) -> None:
    front = [plane[i] for i in pareto_front(plane)]
    assert set(front) == {p for p in plane if not any(beats(q, p) for q in plane)}
    assert len(set(front)) == len(front)


@given(points)
def test_it_goes_down_from_left_to_right(plane: list[tuple[float, float]]) -> None:
    front = [plane[i] for i in pareto_front(plane)]
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(front))


@given(points, st.randoms())
def test_the_order_of_the_points_is_nothing_to_it(plane, random) -> None:
    shuffled = random.sample(plane, len(plane))
    front = [plane[i] for i in pareto_front(plane)]
    assert [shuffled[i] for i in pareto_front(shuffled)] == front


def test_of_equal_points_the_first() -> None:
    assert pareto_front([(2, 2), (1, 3), (1, 3), (2, 2), (3, 2)]) == [1, 0]
    assert pareto_front([]) == []


STYLE = {"color": style.INK, "size": 9}


def boxes(figure: object) -> list[Bbox]:
    """Where the labels are once the figure is drawn."""
    canvas = FigureCanvasAgg(figure)  # type: ignore[arg-type]
    canvas.draw()
    texts = [t for t in figure.axes[0].texts if isinstance(t, Annotation)]  # type: ignore[attr-defined]
    return [Text.get_window_extent(text, canvas.get_renderer()) for text in texts]


def overlaps(found: list[Bbox]) -> int:
    return sum(a.overlaps(b) for i, a in enumerate(found) for b in found[:i])


@pytest.mark.parametrize("seed", range(5))
def test_labels_of_crowded_points_cover_neither_points_nor_one_another(seed: int) -> None:
    rng = np.random.default_rng(seed)
    with style.figure_style():
        figure = style.new_figure(800, 500)
        axes = figure.add_subplot()
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        places = rng.normal(0.5, 0.06, (15, 2))
        axes.plot(*places.T, "o", ms=4)
        place_labels(axes, [Label(x, y, f"system {i}", STYLE) for i, (x, y) in enumerate(places)])
        found = boxes(figure)
        assert len(found) == 15
        assert overlaps(found) == 0
        for x, y in axes.transData.transform(places):
            assert not any(box.contains(x, y) for box in found)
        frame = axes.get_window_extent()
        assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 for b in found)


def test_identical_points_keep_their_names_apart() -> None:
    with style.figure_style():
        figure = style.new_figure(600, 400)
        axes = figure.add_subplot()
        place_labels(axes, [Label(0.5, 0.5, f"same {i}", STYLE) for i in range(10)])
        assert overlaps(boxes(figure)) == 0


def test_where_there_is_no_room_labels_are_still_written() -> None:
    with style.figure_style():
        figure = style.new_figure(150, 120)
        axes = figure.add_subplot()
        place_labels(axes, [Label(0.5, 0.5, "a rather long name of a system", STYLE)] * 5)
        assert len(boxes(figure)) == 5


def test_a_lonely_point_has_its_label_beside_it_without_a_line() -> None:
    with style.figure_style():
        figure = style.new_figure(600, 400)
        axes = figure.add_subplot()
        place_labels(axes, [Label(0.5, 0.5, "only", STYLE)])
        (label,) = axes.texts
        assert label.get_position() == (6, 0)
        assert label.arrow_patch is None  # type: ignore[attr-defined]


def test_the_published_systems_and_ours_are_all_readable() -> None:
    published = published_systems("english")
    points = [
        Point(f"km{k}", abx, rate, (abx - 1, abx + 1), (rate * 0.95, rate * 1.05))
        for k, abx, rate in [(64, 25, 446), (65, 24.8, 450), (256, 21.6, 474), (257, 28, 187)]
    ]
    with style.figure_style():
        figure = tradeoff(points, [("mfcc", 21.4)], published, (1000, 600))
        found = boxes(figure)
        assert len(found) == len(published) + len(points) + 1
        assert overlaps(found) == 0


def test_names_are_no_formulas() -> None:
    points = [Point("k$_2^{x}$ & <b>", 20, 100), Point("$unclosed", 30, 200)]
    with style.figure_style():
        svg = style.inline_svg(tradeoff(points, [], [], (600, 400)), "alt", "x")
    assert "k$_2^{x}$ &amp; &lt;b&gt;" in svg
    assert "$unclosed" in svg
    assert "<b>" not in svg
