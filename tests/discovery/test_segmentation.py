import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from reference import cheapest_path, cheapest_segments
from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.segmentation import Segmentation, Segments, segment
from zerochain.errors import InputError
from zerochain.formats.features import Features

whole = st.integers(-9, 20).map(float)  # many ties, and sums without rounding
real = st.floats(-50, 50, width=32)
untimed = settings(deadline=None)  # the first call compiles
prices = st.sampled_from([0.0, 0.5, 1.0, 3.0, 25.0])


def costs_of(n_steps: int, n_units: int, values: st.SearchStrategy[float] = real) -> Any:
    shapes = st.tuples(st.integers(1, n_steps), st.integers(1, n_units))
    return npst.arrays(np.float32, shapes, elements=values)


def cost(costs: np.ndarray, segments: Segments, price: float) -> float:
    """What segments cost, one by one."""
    ends = np.cumsum(segments[1])
    parts = zip(*segments, ends, strict=True)
    return sum(float(costs[end - n : end, k].sum(dtype=float)) + price for k, n, end in parts)


def smooth(n_steps: int, n_units: int, seed: int) -> np.ndarray:
    """Costs that change slowly, as those of speech do."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_steps + 9, n_units))
    means = np.lib.stride_tricks.sliding_window_view(noise, 10, axis=0).mean(axis=-1)
    return (10 + 8 * means + rng.normal(size=(n_steps, n_units))).astype(np.float32)


@untimed
@given(costs_of(6, 3), prices)
def test_nothing_is_cheaper_among_all_paths(costs: np.ndarray, price: float) -> None:
    ours = cost(costs, segment(costs, price), price)
    assert ours == pytest.approx(cheapest_path(costs.astype(float), price), abs=1e-3)


@untimed
@given(costs_of(9, 4), prices, st.integers(1, 4), st.integers(0, 9))
def test_nothing_is_cheaper_among_all_segmentations(
    costs: np.ndarray, price: float, shortest: int, more: int
) -> None:
    longest = 2 * shortest - 1 + more
    units, durations = segment(costs, price, shortest, longest)
    assert durations.sum() == len(costs)
    assert durations.max() <= longest
    assert durations.min() >= min(shortest, len(costs))
    ours = cost(costs, (units, durations), price) - price * len(costs)
    theirs = cheapest_segments(costs.astype(float), price, min(shortest, len(costs)), longest)
    assert ours == pytest.approx(theirs, abs=1e-3)


@untimed
@given(costs_of(8, 3, whole), prices)
def test_without_limits_both_forms_have_one_optimum(costs: np.ndarray, price: float) -> None:
    assume(len(costs) * costs.shape[1] <= 18)
    costs = costs.astype(float)
    path, sums = cheapest_path(costs, price), cheapest_segments(costs, price, 1, len(costs))
    assert path - price * len(costs) == pytest.approx(sums)


@pytest.mark.parametrize(("shortest", "longest"), [(1, None), (4, None), (1, 7), (3, 5), (6, 40)])
def test_long_utterances_as_by_the_plain_recursion(shortest: int, longest: int | None) -> None:
    costs, price = smooth(300, 20, 0), 4.0
    best = [0.0] + [math.inf] * 300
    for end in range(1, 301):
        for n in range(shortest, min(longest or 300, end) + 1):
            part = costs[end - n : end].sum(axis=0, dtype=float).min()
            best[end] = min(best[end], best[end - n] + part + price)
    ours = segment(costs, price, shortest, longest)
    assert cost(costs, ours, price) == pytest.approx(best[-1], rel=1e-9)
    assert 300 / (longest or 300) <= len(ours[0]) <= 300 / shortest


@untimed
@given(costs_of(30, 6, whole))
def test_without_a_price_runs_of_the_cheapest_unit(costs: np.ndarray) -> None:
    units, durations = segment(costs, 0.0)
    runs = [(k, len(list(run))) for k, run in itertools.groupby(costs.argmin(axis=1).tolist())]
    assert list(zip(units.tolist(), durations.tolist(), strict=True)) == runs


@untimed
@given(costs_of(40, 5))
def test_an_endless_price_leaves_one_segment(costs: np.ndarray) -> None:
    units, durations = segment(costs, 1e6)
    assert durations.tolist() == [len(costs)]
    assert costs.sum(axis=0, dtype=float)[units[0]] == pytest.approx(
        costs.sum(axis=0, dtype=float).min(), abs=1e-3
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 5))
def test_a_higher_price_never_makes_more_segments(seed: int, shortest: int) -> None:
    costs = smooth(120, 8, seed)
    counts = [len(segment(costs, price, shortest)[0]) for price in (0, 0.5, 1, 2, 4, 8, 30, 100)]
    assert counts == sorted(counts, reverse=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.sampled_from([(1, None), (2, 9)]))
def test_no_changed_segment_or_moved_edge_is_cheaper(
    seed: int, limits: tuple[int, int | None]
) -> None:
    rng = np.random.default_rng(seed)
    costs, price = smooth(80, 6, seed), 3.0
    units, durations = segment(costs, price, *limits)
    ours = cost(costs, (units, durations), price)
    for _ in range(20):
        other, lasts = units.copy(), durations.copy()
        i = rng.integers(len(units))
        other[i] = rng.integers(6)
        if i + 1 < len(units) and lasts[i] > limits[0] and lasts[i + 1] < (limits[1] or 80):
            lasts[i], lasts[i + 1] = lasts[i] - 1, lasts[i + 1] + 1
        assert cost(costs, (other, lasts), price) >= ours - 1e-3


@untimed
@given(st.integers(0, 999), st.permutations(range(7)), st.sampled_from([(1, None), (2, 9)]))
def test_renaming_units_renames_them_in_the_result(
    seed: int, order: list[int], limits: tuple[int, int | None]
) -> None:
    costs = smooth(60, 7, seed)
    units, durations = segment(costs, 2.0, *limits)
    renamed, lasts = segment(costs[:, order], 2.0, *limits)
    np.testing.assert_array_equal(np.array(order)[renamed], units)
    np.testing.assert_array_equal(lasts, durations)


@untimed
@given(st.integers(0, 999), st.floats(-100, 100))
def test_what_all_units_cost_alike_changes_nothing(seed: int, offset: float) -> None:
    costs = smooth(60, 5, seed)
    dearer = (costs + offset + np.arange(60)[:, None]).astype(np.float32)
    ours, theirs = segment(costs, 3.0), segment(dearer, 3.0)
    assert cost(costs, theirs, 3.0) == pytest.approx(cost(costs, ours, 3.0), abs=1e-2)


def test_of_equally_cheap_units_the_lowest() -> None:
    units, durations = segment(np.ones((6, 4), np.float32), 1.0)
    assert (units.tolist(), durations.tolist()) == ([0], [6])
    units, durations = segment(np.ones((7, 4), np.float32), 1.0, 1, 3)
    assert (units.tolist(), durations.tolist()) == ([0, 0, 0], [1, 3, 3])  # the last is longest
    np.testing.assert_array_equal(segment(np.ones((7, 4), np.float32), 0.0, 1, 3)[0], 0)


@pytest.mark.parametrize("limits", [(1, None), (3, None), (3, 8)])
def test_one_step_one_unit_and_utterances_shorter_than_a_segment(limits: Any) -> None:
    rng = np.random.default_rng(0)
    for n_steps, n_units in ((1, 5), (2, 5), (1, 1), (8, 1)):
        costs = rng.normal(size=(n_steps, n_units)).astype(np.float32)
        units, durations = segment(costs, 100.0, *limits)
        assert durations.tolist() == [n_steps]
        assert units[0] == costs.sum(axis=0).argmin()
        assert units.dtype == durations.dtype == np.int32


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64])
def test_costs_of_any_type_and_layout(dtype: type) -> None:
    costs = np.random.default_rng(1).integers(0, 30, (50, 6))
    expected = segment(costs.astype(np.float32), 4.0)
    wide = np.repeat(costs.astype(dtype), 2, axis=1)[:, ::2]
    for same in (wide, np.asfortranarray(wide)):
        for ours, theirs in zip(segment(same, 4.0), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("costs", "arguments", "found"),
    [
        (np.zeros((0, 3)), (1.0,), r"shape \(0, 3\)"),
        (np.zeros((3, 0)), (1.0,), r"shape \(3, 0\)"),
        (np.zeros(3), (1.0,), r"shape \(3,\)"),
        (np.array([[0, np.nan]]), (1.0,), "NaN or infinite"),
        (np.array([[0, np.inf]]), (1.0,), "NaN or infinite"),
        (np.array([[0, np.nan]]), (0.0,), "NaN or infinite"),
        (np.zeros((3, 2)), (-1.0,), "penalty=-1.0"),
        (np.zeros((3, 2)), (math.nan,), "penalty=nan"),
        (np.zeros((3, 2)), (math.inf,), "penalty=inf"),
        (np.zeros((3, 2)), (1.0, 0), "0 to None"),
        (np.zeros((3, 2)), (1.0, 3, 4), "segments of 3 to 4 steps"),
        (np.zeros((3, 2)), (1.0, 1, 0), "segments of 1 to 0 steps"),
    ],
)
def test_nonsense_is_refused(costs: np.ndarray, arguments: Any, found: str) -> None:
    with pytest.raises(InputError, match=found):
        segment(costs.astype(np.float32), *arguments)


def test_a_segmentation_says_what_it_is() -> None:
    assert not Segmentation().makes_segments
    assert Segmentation().summary == ""
    full = Segmentation(1.5, 2, 20)
    assert full.makes_segments
    assert full.summary == "penalty=1.5 min_duration=2 max_duration=20"
    for wrong in ({"penalty": -1}, {"penalty": math.nan}, {"min_duration": 3, "max_duration": 4}):
        with pytest.raises(InputError):
            Segmentation(**wrong)  # type: ignore[arg-type]


def walk(seed: int = 0, n: int = 5) -> Features:
    rng = np.random.default_rng(seed)
    arrays = {f"u{i}": rng.normal(size=(30 + 20 * i, 3)).cumsum(axis=0) for i in range(n)}
    return Features.from_arrays({k: v.astype(np.float32) for k, v in arrays.items()})


class TestUnitModels:
    """UnitModel.encode, with K-Means for an example."""

    def model(self, features: Features) -> KMeansUnits:
        return KMeansUnits(12, options=FrontEndOptions(normalisation="none")).fit(features)

    def test_penalties_are_counted_in_mean_distortions(self) -> None:
        features = walk()
        model = self.model(features)
        file = model.encode(features, Segmentation(2.0))
        assert file.durations is not None
        for name in features.ids:
            squares = ((features[name][:, None] - model.codebook) ** 2).sum(axis=-1)
            units, durations = segment(squares.astype(np.float32), 2 * model.inertia)
            np.testing.assert_array_equal(file.units[name], units)
            np.testing.assert_array_equal(file.durations[name], durations)

    def test_scaled_features_have_the_same_segments(self) -> None:
        features = walk()
        larger = Features.from_arrays({name: 64 * features[name] for name in features.ids})
        one, two = (self.model(f).encode(f, Segmentation(1.0)) for f in (features, larger))
        for name in features.ids:
            np.testing.assert_array_equal(one.steps(name), two.steps(name))

    def test_batched_equals_one_by_one(self) -> None:
        features = walk()
        model = self.model(features)
        together = model.encode(features, Segmentation(1.0, 2, 9))
        for name in features.ids:
            alone = model.encode(features.restrict([name]), Segmentation(1.0, 2, 9))
            np.testing.assert_array_equal(alone.steps(name), together.steps(name))

    def test_the_model_s_own_is_the_default_and_zero_undoes_it(self) -> None:
        features = walk()
        model = self.model(features)
        plain = model.encode(features)
        assert plain.durations is None
        model.segmentation = Segmentation(1.0)
        own = model.encode(features)
        assert own.durations is not None
        assert own.method == model.method == f"{plain.method} penalty=1"
        assert own.model_id == model.id != plain.model_id
        undone = model.encode(features, Segmentation())
        assert (undone.durations, undone.method) == (None, plain.method)
        for name in features.ids:
            np.testing.assert_array_equal(undone.units[name], plain.units[name])

    def test_a_minimum_alone_makes_segments(self) -> None:
        features = walk()
        file = self.model(features).encode(features, Segmentation(min_duration=4))
        assert file.durations is not None
        assert min(d.min() for d in file.durations.values()) >= 4

    def test_one_frame_and_one_unit(self) -> None:
        features = walk()
        one = Features.from_arrays({"click": np.ones((1, 3), np.float32)})
        file = self.model(features).encode(one, Segmentation(3.0, 5))
        assert file.durations is not None
        assert file.durations["click"].tolist() == [1]
        single = KMeansUnits(1).fit(features).encode(features, Segmentation(1.0))
        assert all(len(units) == 1 for units in single.units.values())

    def test_constant_frames_have_no_distortion_and_one_segment(self) -> None:
        features = Features.from_arrays({"u": np.full((30, 2), 5, np.float32)})
        file = KMeansUnits(2).fit(features).encode(features, Segmentation(1.0))
        assert file.durations is not None
        assert file.durations["u"].tolist() == [30]
