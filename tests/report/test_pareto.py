from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from zerochain.report.figures import pareto_front

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
