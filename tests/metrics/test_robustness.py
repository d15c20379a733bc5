import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from zerochain.errors import InputError
from zerochain.formats.units import UnitFile
from zerochain.metrics.robustness import robustness, sentence_distance


def unit_file(units, **changes):
    arrays = {name: np.array(line, np.int32) for name, line in units.items()}
    return UnitFile(arrays, 9, 10.0, "m", "x", **changes)


def merged(line):
    return [u for i, u in enumerate(line) if i == 0 or line[i - 1] != u]


line = st.lists(st.integers(0, 3), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("uvw"), st.tuples(line, line), min_size=1))
def test_it_is_the_edits_of_merged_units_over_steps_and_over_segments(lines):
    before = {name: a for name, (a, _) in lines.items()}
    after = {name: b for name, (_, b) in lines.items()}
    found = robustness(unit_file(before), unit_file(after))
    edits = {n: reference.edit_distance(merged(before[n]), merged(after[n])) for n in lines}
    per_step = np.mean([edits[n] / len(before[n]) for n in lines])
    n_segments = sum(len(merged(a)) for a in before.values())
    assert found.per_step.value == pytest.approx(100 * per_step)
    assert found.per_segment.value == pytest.approx(100 * sum(edits.values()) / n_segments)
    assert (found.per_step.chance is None) == (len(lines) == 1)
    assert found.per_step.n == len(lines)


def test_steady_units_have_no_distance_and_others_have():
    rng = np.random.default_rng(0)
    units = {f"u{i}": rng.integers(0, 9, 30).tolist() for i in range(20)}
    same = robustness(unit_file(units), unit_file(units))
    assert same.per_step.value == same.per_segment.value == 0
    assert same.per_step.interval == same.per_segment.interval == (0, 0)
    assert same.per_segment.chance > 60
    slower = {name: np.repeat(one, 2).tolist() for name, one in units.items()}
    assert robustness(unit_file(units), unit_file(slower)).per_step.value == 0
    constant = {name: [1] * 30 for name in units}
    assert robustness(unit_file(constant), unit_file(constant)).per_step.chance == 0


def test_durations_count_as_steps():
    segments = unit_file({"u": [1, 2]}, durations={"u": np.array([3, 2], np.int32)})
    assert robustness(segments, unit_file({"u": [1, 3]})).per_step.value == pytest.approx(20)


def test_a_part_may_be_changed_and_nothing_else():
    whole, part = unit_file({"u": [1], "v": [2]}), unit_file({"v": [2]})
    assert robustness(whole, part).per_step.n == 1
    with pytest.raises(InputError, match="missing in the units: u"):
        robustness(part, whole)


SPEAKERS = {"a1": "ana", "a2": "ana", "b1": "béa", "b2": "béa"}
SENTENCES = {"a1": "s", "b1": "s", "a2": "t", "b2": "t"}


def test_chance_is_another_sentence_by_the_same_speaker():
    units = unit_file(
        {"a1": [1, 2, 2, 3, 4], "b1": [1, 2, 3], "a2": [5, 6], "b2": [7, 8, 5, 6]},
        speakers=SPEAKERS,
    )
    found = sentence_distance(units, [("a1", "b1")], SENTENCES)
    assert found.value == pytest.approx(100 / 4)
    assert found.chance == 100  # a1 and b2 have nothing in common
    assert (found.interval, found.n) == (None, 1)
    both = sentence_distance(units, [("a1", "b1"), ("a2", "b2")], SENTENCES)
    assert both.value == pytest.approx((100 / 4 + 100 / 2) / 2)
    assert both.interval == pytest.approx((25, 50))


def test_the_stand_in_is_of_like_length_and_another_sentence():
    lines = {"a1": [1, 2], "b1": [1, 2], "b2": [3, 4, 5, 6, 7], "b3": [1, 3], "b4": [1, 2]}
    speakers = {name: name[0] for name in lines}
    sentences = {"a1": "s", "b1": "s", "b2": "t", "b3": "u", "b4": "s"}
    found = sentence_distance(unit_file(lines, speakers=speakers), [("a1", "b1")], sentences)
    assert found.chance == 50  # b3: b2 is longer, b4 has the same sentence


def test_without_another_sentence_there_is_no_chance():
    units = unit_file({"a1": [1, 2], "b1": [1, 3]}, speakers=SPEAKERS)
    assert sentence_distance(units, [("a1", "b1")], SENTENCES).chance is None
    third = unit_file({"a1": [1, 2], "b1": [1, 3], "c": [8, 8]}, speakers={**SPEAKERS, "c": "cleo"})
    found = sentence_distance(third, [("a1", "b1")], {**SENTENCES, "c": "z"})
    assert found.chance == 100  # béa has no other sentence, Cleo does


def test_no_pair_or_no_units_are_refused():
    units = unit_file({"a1": [1], "b1": [1]}, speakers=SPEAKERS)
    with pytest.raises(InputError, match="no sentence is spoken by two speakers"):
        sentence_distance(units, [], SENTENCES)
    with pytest.raises(InputError, match="missing in the unit file: b2"):
        sentence_distance(units, [("a1", "b2")], SENTENCES)
