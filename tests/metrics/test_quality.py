"""Purities and mutual information of units and phones, and phone error rates."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import homogeneity_completeness_v_measure, normalized_mutual_info_score

import reference
from strategies import aligned_frames
from zerochain.errors import InputError
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.units import UnitFile
from zerochain.metrics.quality import align_frames, many_to_one, phone_error_rate, unit_quality


def unit_file(units, step_ms=10.0, n_units=8, **changes):
    arrays = {name: np.array(line, np.int32) for name, line in units.items()}
    return UnitFile(arrays, n_units, step_ms, "m", "x", **changes)


def alignment(frames, frame_s=0.01):
    """Phones of lines of labels, one per frame."""
    lines = {}
    for name, labels in frames.items():
        at, line = 0, []
        for label, run in groupby(labels):
            n = len(list(run))
            line.append(Phone(at * frame_s, (at + n) * frame_s, label))
            at += n
        lines[name] = line
    return Phones(lines)


def spoken(frames):
    """The frames that lie in a phone, of all utterances."""
    return [pair for line in frames.values() for pair in line if pair[0] != "SIL"]


def of_frames(frames):
    units = unit_file({name: [u for _, u in line] for name, line in frames.items()})
    return align_frames(units, alignment({n: [p for p, _ in line] for n, line in frames.items()}))


@settings(deadline=None)
@given(aligned_frames())
def test_measures_are_scikit_learn_s_and_the_slow_loop_s(frames):
    pairs = spoken(frames)
    phones, units = [p for p, _ in pairs], [u for _, u in pairs]
    assume(len(set(phones)) > 1)
    found = unit_quality(of_frames(frames))
    homogeneity, completeness, v_measure = homogeneity_completeness_v_measure(phones, units)
    assert found.pnmi.value == pytest.approx(homogeneity, abs=1e-9)
    assert found.v_measure.value == pytest.approx(v_measure, abs=1e-9)
    nmi = normalized_mutual_info_score(phones, units)
    assert found.v_measure.value == pytest.approx(nmi, abs=1e-9)
    if len(set(units)) > 1:
        assert found.completeness.value == pytest.approx(completeness, abs=1e-9)
    else:
        assert found.completeness is None
    purity, cluster = reference.purities(pairs)
    assert found.phone_purity.value == pytest.approx(purity)
    assert found.cluster_purity.value == pytest.approx(cluster)
    assert (found.n_frames, found.n_phones) == (len(pairs), len(set(phones)))
    assert found.n_silent == sum(map(len, frames.values())) - len(pairs)


@settings(deadline=None)
@given(aligned_frames(), st.permutations(range(8)))
def test_the_units_numbers_don_t_matter(frames, numbers):
    assume(len({p for p, _ in spoken(frames)}) > 1)
    renamed = {n: [(p, numbers[u]) for p, u in line] for n, line in frames.items()}
    one, other = unit_quality(of_frames(frames)), unit_quality(of_frames(renamed))
    assert one.pnmi.value == pytest.approx(other.pnmi.value)
    assert one.cluster_purity.value == pytest.approx(other.cluster_purity.value)


def test_perfect_and_useless_units():
    labels = {"u": list("aaabbbccc"), "v": list("bbaacc")}
    same = {n: ["abc".index(p) for p in line] for n, line in labels.items()}
    perfect = unit_quality(align_frames(unit_file(same), alignment(labels)))
    for one in (perfect.pnmi, perfect.v_measure, perfect.completeness, perfect.phone_purity):
        assert one.value == pytest.approx(1)
        assert one.chance < 0.9
        assert one.interval[1] <= 1
    constant = {n: [3] * len(line) for n, line in labels.items()}
    useless = unit_quality(align_frames(unit_file(constant), alignment(labels)))
    assert useless.pnmi.value == useless.v_measure.value == 0
    assert useless.completeness is None
    assert (useless.cluster_purity.value, useless.phone_purity.value) == (1, pytest.approx(5 / 15))


def test_chance_is_what_units_get_away_from_their_place():
    rng = np.random.default_rng(0)
    phones = {f"u{i}": rng.choice(list("abcd"), 40).repeat(5).tolist() for i in range(20)}
    random = {name: rng.integers(0, 8, 40).repeat(5).tolist() for name in phones}
    found = unit_quality(align_frames(unit_file(random), alignment(phones)))
    low, high = found.pnmi.interval
    assert found.pnmi.value > 0  # a sample's mutual information is never quite 0
    assert low - 0.02 < found.pnmi.chance < high + 0.02
    assert found.phone_purity.chance == pytest.approx(found.phone_purity.value, abs=0.03)


def test_steps_of_any_length_are_laid_on_the_same_frames():
    labels = {"u": list("aaaabbbb")}
    for step_ms, units in ((40, [1, 2]), (20, [1, 1, 2, 2]), (5, [1] * 8 + [2] * 8)):
        aligned = align_frames(unit_file({"u": units}, step_ms), alignment(labels))
        assert aligned.units["u"].tolist() == [1] * 4 + [2] * 4
        assert aligned.phones["u"].tolist() == [0] * 4 + [1] * 4
    # Middles of frames, 5, 15, 25, 35 ms, in steps of 12.5 ms.
    odd = align_frames(unit_file({"u": [0, 1, 2]}, 12.5), alignment(labels))
    assert odd.units["u"].tolist() == [0, 1, 2, 2]
    lasting = unit_file({"u": [1, 2]}, durations={"u": np.array([4, 4], np.int32)})
    assert align_frames(lasting, alignment(labels)).units["u"].tolist() == [1] * 4 + [2] * 4


def test_gaps_silences_shifts_and_ends():
    phones = Phones({"u": [Phone(0.02, 0.04, "a"), Phone(0.05, 0.07, "sil"), Phone(0.07, 9, "b")]})
    units = unit_file({"u": [0] * 10})
    aligned = align_frames(units, phones)
    assert aligned.names == ("a", "b")
    assert aligned.phones["u"].tolist() == [2, 2, 0, 0, 2, 2, 2, 1, 1, 1]
    assert aligned.table.tolist()[-1][0] == 5
    later = align_frames(units, phones, shift_ms=20)
    assert later.phones["u"].tolist() == [2] * 4 + [0, 0, 2, 2, 2, 1]
    earlier = align_frames(units, phones, shift_ms=-30)
    assert earlier.phones["u"].tolist() == [0, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    with_silence = align_frames(units, phones, silences={"a"})
    assert with_silence.names == ("b", "sil")


def test_what_leaves_nothing_to_say_is_refused():
    units = unit_file({"u": [0, 1, 2]})
    with pytest.raises(InputError, match="missing in the alignments: u"):
        align_frames(units, Phones({"v": [Phone(0, 1, "a")]}))
    with pytest.raises(InputError, match="no frame of 1 utterance lies in a phone"):
        align_frames(units, Phones({"u": [Phone(0, 1, "SIL")]}))
    with pytest.raises(InputError, match="no frame"):
        align_frames(units, Phones({"u": [Phone(5, 6, "a")]}))
    alone = align_frames(units, Phones({"u": [Phone(0, 1, "a")]}))
    with pytest.raises(InputError, match="all frames are of one phone"):
        unit_quality(alone)


def test_one_utterance_has_no_interval():
    found = unit_quality(of_frames({"u": [("a", 0), ("b", 1), ("b", 0)]}))
    assert found.pnmi.interval is None
    assert np.isfinite(found.pnmi.chance)


@pytest.mark.parametrize("n", range(2, 40))
def test_one_unit_leaves_completeness_undefined_whatever_the_rounding(n):
    found = unit_quality(of_frames({"u": [("a", 3)] * (n - 1) + [("b", 3)]}))
    assert found.completeness is None
    assert found.pnmi.value == pytest.approx(0, abs=1e-9)


def units_of(units, n_units=6):
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
    units = units_of({name: [u for _, u in line] for name, line in frames.items()})
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
    units = units_of({"u": [5, 0, 1, 2, 5], "v": [3, 1]})
    mapping = many_to_one(align_frames(units, gold))
    assert mapping.spelled(units, "u") == ["k", "a", "t"]
    assert mapping.unseen == {4}
    found = phone_error_rate(units, gold, mapping)
    assert (found.value, found.n) == (0, 2)


def test_runs_are_merged_around_a_silence_and_not_across_it():
    gold = phones(u=["a", "a", "SIL", "a", "b"])
    units = units_of({"u": [0, 1, 5, 0, 2]})
    mapping = many_to_one(align_frames(units, gold))
    assert mapping.spelled(units, "u") == ["a", "a", "b"]  # of the first two one is left
    assert phone_error_rate(units, gold, mapping).value == pytest.approx(100 / 4)


def test_a_mapping_learned_elsewhere():
    mapping = many_to_one(align_frames(units_of({"w": [0, 1]}), phones(w=["a", "b"])))
    units, gold = units_of({"u": [0, 4, 1]}), phones(u=["a", "c", "b"])
    assert mapping.spelled(units, "u") == ["a", "b"]  # of unit 4 nothing was learned
    assert phone_error_rate(units, gold, mapping).value == pytest.approx(100 / 3)


def test_no_alignment_or_no_phone_is_refused():
    units = units_of({"u": [0, 1]})
    mapping = many_to_one(align_frames(units, phones(u=["a", "b"])))
    with pytest.raises(InputError, match="missing in the alignments: u"):
        phone_error_rate(units, phones(v=["a"]), mapping)
    with pytest.raises(InputError, match="every reference is empty"):
        phone_error_rate(units, phones(u=["SIL", "SIL"]), mapping)
