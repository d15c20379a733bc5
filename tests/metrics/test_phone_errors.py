import numpy as np
import pytest
from hypothesis import assume, given, settings

import reference
from strategies import aligned_frames
from zerochain.errors import InputError
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.units import UnitFile
from zerochain.metrics.quality import align_frames, many_to_one, phone_error_rate


def unit_file(units, n_units=6):
    return UnitFile({k: np.array(v, np.int32) for k, v in units.items()}, n_units, 10.0, "m", "x")


def phones(**lines):
    """One phone a frame, neighbours of one kind apart: aab is a, a, b."""
    return Phones(
        {
            name: [Phone(i / 100, (i + 1) / 100, label) for i, label in enumerate(line)]
            for name, line in lines.items()
        }
    )


@settings(deadline=None)
@given(aligned_frames())
def test_the_rate_is_the_slow_loop_s(frames):
    assume(any(p != "SIL" for line in frames.values() for p, _ in line))
    frames = {name: line[:8] for name, line in frames.items()}  # the oracle is slow
    assume(any(p != "SIL" for line in frames.values() for p, _ in line))
    units = unit_file({name: [u for _, u in line] for name, line in frames.items()})
    gold = phones(**{name: [p for p, _ in line] for name, line in frames.items()})
    mapping = many_to_one(align_frames(units, gold))
    votes = {}
    for line in frames.values():
        for phone, unit in line:
            votes.setdefault(unit, []).append(phone)
    # Of equals the first in the alphabet; silence, which the mapping has last, is the last.
    order = ["a", "b", "ŋ", "SIL"]
    best = {
        u: max(order, key=lambda p, v=v: (v.count(p), -order.index(p))) for u, v in votes.items()
    }
    edits = n = 0
    for line in frames.values():
        mapped = [best[u] for _, u in line]
        runs = [p for i, p in enumerate(mapped) if i == 0 or mapped[i - 1] != p]
        mapped = [p for p in runs if p != "SIL"]
        meant = [p for p, _ in line if p != "SIL"]
        edits, n = edits + reference.edit_distance(mapped, meant), n + len(meant)
    assert phone_error_rate(units, gold, mapping).value == pytest.approx(100 * edits / n)


def test_units_that_spell_the_phones_make_no_error():
    gold = phones(u=["SIL", "k", "a", "t", "SIL"], v=["t", "a"])
    units = unit_file({"u": [5, 0, 1, 2, 5], "v": [3, 1]})
    mapping = many_to_one(align_frames(units, gold))
    assert mapping.spelled(units, "u") == ["k", "a", "t"]
    assert mapping.unseen == {4}
    found = phone_error_rate(units, gold, mapping)
    assert (found.value, found.n) == (0, 2)


def test_runs_are_merged_around_a_silence_and_not_across_it():
    gold = phones(u=["a", "a", "SIL", "a", "b"])
    units = unit_file({"u": [0, 1, 5, 0, 2]})
    mapping = many_to_one(align_frames(units, gold))
    assert mapping.spelled(units, "u") == ["a", "a", "b"]  # of the first two one is left
    assert phone_error_rate(units, gold, mapping).value == pytest.approx(100 / 4)


def test_a_mapping_learned_elsewhere():
    mapping = many_to_one(align_frames(unit_file({"w": [0, 1]}), phones(w=["a", "b"])))
    units, gold = unit_file({"u": [0, 4, 1]}), phones(u=["a", "c", "b"])
    assert mapping.spelled(units, "u") == ["a", "b"]  # of unit 4 nothing was learned
    assert phone_error_rate(units, gold, mapping).value == pytest.approx(100 / 3)


def test_no_alignment_or_no_phone_is_refused():
    units = unit_file({"u": [0, 1]})
    mapping = many_to_one(align_frames(units, phones(u=["a", "b"])))
    with pytest.raises(InputError, match="missing in the alignments: u"):
        phone_error_rate(units, phones(v=["a"]), mapping)
    with pytest.raises(InputError, match="every reference is empty"):
        phone_error_rate(units, phones(u=["SIL", "SIL"]), mapping)
