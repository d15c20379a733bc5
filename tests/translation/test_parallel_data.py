"""Pairs as training sees them: held out, drawn into batches, joined, padded."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import make_languages
from zerochain.errors import InputError, ModelMismatchError
from zerochain.formats.pairs import Pairs, read_pairs, write_pairs
from zerochain.formats.units import UnitFile, read_units, write_units
from zerochain.modules.decoders import IGNORED, teacher_forcing
from zerochain.translation.data import Parallel, read_parallel
from zerochain.translation.pairs import (
    Buckets,
    Pair,
    collated,
    ctc_steps_needed,
    held_out,
    joined,
    merged,
)


def pair(source: str, target: str) -> Pair:
    return Pair(np.arange(3), np.array([1, 2], np.int32), None, (source, target))


edges = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=25, unique=True
)


def components(edges: list[tuple[int, int]]) -> int:
    """How many groups are left when whatever shares an utterance is put together."""
    groups = [{("s", a), ("t", b)} for a, b in edges]
    while True:
        touching = [(a, b) for a, b in combinations(groups, 2) if a & b]
        if not touching:
            return len(groups)
        one, other = touching[0]
        groups = [g for g in groups if g is not one and g is not other] + [one | other]


@settings(deadline=None)
@given(edges=edges)
def test_no_utterance_that_is_held_out_is_trained_on(edges: list) -> None:
    pairs = [pair(str(a), str(b)) for a, b in edges]
    hang_together = components(edges) < 2
    with pytest.raises(InputError, match="can't be divided") if hang_together else nullcontext():
        learned, valid = held_out(pairs, 0.3)
    if hang_together:
        return
    assert learned
    assert valid
    assert sorted(p.names for p in learned + valid) == sorted(p.names for p in pairs)
    for side in (0, 1):
        assert not {p.names[side] for p in learned} & {p.names[side] for p in valid}


def test_more_pairs_do_not_change_who_is_held_out_of_the_rest() -> None:
    pairs = [pair(f"s{i}", f"t{i}") for i in range(200)]
    _, before = held_out(pairs, 0.1)
    _, after = held_out([pair("new", "new"), *pairs], 0.1)
    assert len({p.names for p in before} ^ {p.names for p in after}) <= 2


@pytest.mark.parametrize("names", [[("a", "x")], [("a", "x"), ("b", "x"), ("b", "y")]])
def test_too_few_pairs_to_hold_one_out(names: list) -> None:
    with pytest.raises(InputError, match="can't be divided into training and validation") as caught:
        held_out([pair(*one) for one in names], 0.05)
    assert caught.value.remedy


sizes = st.lists(st.integers(1, 400), min_size=1, max_size=80)


@given(
    sizes=sizes,
    batch_size=st.integers(1, 20),
    concatenated=st.sampled_from([0.0, 0.25, 1.0]),
    seed=st.integers(0, 5),
)
def test_an_epoch_has_every_pair_once_in_batches_of_like_sizes(
    sizes: list[int], batch_size: int, concatenated: float, seed: int
) -> None:
    buckets = Buckets(np.array(sizes), batch_size, concatenated)
    n = buckets.n_batches
    for epoch in range(2):
        batches = [buckets.examples(epoch * n + i + 1, (seed,)) for i in range(n)]
        first, second = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        assert sorted(first.tolist()) == list(range(len(sizes)))
        assert set(second.tolist()) <= set(range(-1, len(sizes)))
        assert (second == -1).all() or concatenated
        totals = [total(buckets, batch).sum() for batch in batches]
        assert all(len(batch) for batch, _ in batches)
        assert max(totals) < sum(totals) / n + max(total(buckets, (first, second)))
    again = Buckets(np.array(sizes), batch_size, concatenated).examples(1, (seed,))
    np.testing.assert_array_equal(again, buckets.examples(1, (seed,)))


def total(buckets: Buckets, examples: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    first, second = examples
    return buckets.sizes[first] + np.where(second < 0, 0, buckets.sizes[second])


@pytest.mark.parametrize("concatenated", [0.0, 0.25])
def test_batches_waste_little_and_differ_from_epoch_to_epoch(concatenated: float) -> None:
    sizes = np.random.default_rng(0).integers(50, 500, 1000)
    buckets = Buckets(sizes, 16, concatenated)
    n = buckets.n_batches
    assert n == pytest.approx(1000 / 16, abs=1)
    epochs = [[buckets.examples(e * n + i + 1, (0,)) for i in range(n)] for e in range(2)]
    found = [total(buckets, batch) for batch in epochs[0]]
    assert sum(len(one) * one.max() for one in found) < 1.25 * sum(one.sum() for one in found)
    joined_with = np.concatenate([second for _, second in epochs[0]])
    assert (joined_with >= 0).mean() == pytest.approx(concatenated, abs=0.05)
    first, second = ({frozenset(pairs.tolist()) for pairs, _ in epoch} for epoch in epochs)
    assert len(first & second) < n / 4


def test_joined_pairs_say_both_without_a_repeat_between_them() -> None:
    one = Pair(np.array([5, 6]), np.array([1, 2], np.int32), np.array([3], np.int32), ("a", "x"))
    two = Pair(np.array([7]), np.array([2, 4], np.int32), np.array([3, 9], np.int32), ("b", "y"))
    source, both = joined(one, two, lambda pair: 10 * pair.source)
    assert source.tolist() == [50, 60, 70]
    assert both.target.tolist() == [1, 2, 4]
    assert both.own is not None
    assert both.own.tolist() == [3, 9]


@given(units=st.lists(st.integers(0, 3), min_size=1))
def test_merging(units: list[int]) -> None:
    expected = [u for i, u in enumerate(units) if i == 0 or units[i - 1] != u]
    assert merged(np.array(units)).tolist() == expected


def test_teacher_forcing() -> None:
    units, lengths = torch.tensor([[4, 2, 0], [3, 9, 9]]), torch.tensor([3, 1])
    tokens, labels = teacher_forcing(units, lengths, 5)
    assert tokens.tolist() == [[6, 4, 2, 0], [6, 3, 5, 5]]
    assert labels.tolist() == [[4, 2, 0, 5], [3, 5, IGNORED, IGNORED]]


def test_collated_pads_beyond_the_ends() -> None:
    pairs = [pair("a", "x"), Pair(np.zeros(1), np.array([0], np.int32), None, ("b", "y"))]
    batch = collated([np.ones((4, 2), np.float32), np.ones((2, 2), np.float32)], pairs, 5)
    assert batch["x"].shape == (2, 4, 2)
    assert batch["x"][1, 2:].eq(0).all()
    assert batch["lengths"].tolist() == [4, 2]
    assert batch["targets"].tolist() == [[1, 2], [0, 5]]
    assert batch["n_targets"].tolist() == [2, 1]
    assert "own" not in batch


def test_steps_that_ctc_needs() -> None:
    assert ctc_steps_needed([(100, 25)], 4) == 1
    assert ctc_steps_needed([(100, 26)], 4) == 2
    assert ctc_steps_needed([(100, 25), (9, 7)], 4) == 3  # 9 frames become 3 steps


def test_pairs_are_read_whichever_way_round_they_were_written(tmp_path: Path) -> None:
    made = make_languages(tmp_path, 12)
    there = read_parallel([Parallel(made.frames, made.target, made.pairs)])
    write_pairs(tmp_path / "back", read_pairs(made.pairs).swapped())
    again = read_parallel([Parallel(made.frames, made.target, tmp_path / "back")])
    assert [p.names for p in there.pairs] == [p.names for p in again.pairs]
    back = read_parallel([Parallel(made.target, made.source, made.pairs)])
    assert [p.names[::-1] for p in back.pairs] == [p.names for p in there.pairs]
    assert back.source.n_in == there.target.n_units
    for one in there.pairs:
        name = one.names[0].split(" ")[1]
        assert one.target.tolist() == made.translation(name)


def test_several_sources_of_one_target(tmp_path: Path) -> None:
    one, two = (make_languages(tmp_path / p, 8, prefix=p, seed=i) for i, p in enumerate("sr"))
    files = [Parallel(m.source, m.target, m.pairs, m.source) for m in (one, two)]
    both = read_parallel(files)
    assert len(both.pairs) == 16
    assert set(both.trained_on) == {
        *("source", "target", "source units"),
        *("source 2", "target 2", "source units 2"),
    }
    with pytest.raises(InputError, match="some sources come with their own units"):
        read_parallel([files[0], Parallel(two.source, two.target, two.pairs)])
    own = tmp_path / "of its own model"
    write_units(own, replace(read_units(two.source), model_id="b" * 64, id=""))
    with pytest.raises(
        ModelMismatchError, match=r"of its own model: .* but .*source.parquet has those of aaaa"
    ) as e:
        read_parallel([files[0], replace(files[1], own_units=own)])
    assert "encode both with one unit model" in str(e.value)


def test_variants_are_drawn_as_often_as_the_source(tmp_path: Path) -> None:
    made = make_languages(tmp_path, 8)
    units = read_units(made.source)
    spoken = replace(units, units={n: u[::-1].copy() for n, u in units.units.items()}, id="")
    write_units(tmp_path / "variant", replace(spoken, durations=None))
    files = [Parallel(made.source, made.target, made.pairs)]
    read = read_parallel(files, None, [tmp_path / "variant"])
    assert set(read.trained_on) == {"source", "target", "variant 1"}
    one = read.pairs[0]
    name = one.source_id
    assert [v.tolist() for v in one.variants] == [spoken.units[name].tolist()]
    rng = np.random.default_rng(0)
    drawn = [one.in_some_voice(rng) for _ in range(100)]
    n_own = sum(pair.source is one.source for pair in drawn)
    assert 30 < n_own < 70
    assert all(pair.target is one.target for pair in drawn)
    assert read_parallel(files).pairs[0].in_some_voice(rng).variants == ()
    write_units(tmp_path / "other", replace(spoken, durations=None, corpus_id="elsewhere"))
    with pytest.raises(InputError, match="of which no source is"):
        read_parallel(files, None, [tmp_path / "other"])
    few = replace(spoken, units=dict(list(spoken.units.items())[:3]), durations=None)
    write_units(tmp_path / "few", few)
    with pytest.raises(InputError, match="variant"):
        read_parallel(files, None, [tmp_path / "few"])
    with pytest.raises(InputError, match="translator takes units"):
        read_parallel(files, None, [made.frames])


def encoded_by(units: UnitFile, path: Path, corpus: str, shift: int = 0) -> Path:
    """Units of another corpus with the same ids, each unit `shift` further."""
    there = {name: (u + shift) % units.n_units for name, u in units.units.items()}
    write_units(path, replace(units, units=there, durations=None, corpus_id=corpus, id=""))
    return path


def test_a_variant_is_of_its_own_corpus_where_ids_coincide(tmp_path: Path) -> None:
    """Two source languages and the target have utterances of the same names."""
    made = make_languages(tmp_path, 8, prefix="t")  # as the target's are called
    units = read_units(made.source)
    one = encoded_by(units, tmp_path / "one", "corpus-a")
    two = encoded_by(units, tmp_path / "two", "corpus-c", 1)
    names = tuple((name, name) for name in units.ids)
    write_pairs(tmp_path / "pairs-c", Pairs(names, "corpus-b", "corpus-c"))  # the other way round
    files = [
        Parallel(one, made.target, made.pairs),
        Parallel(two, made.target, tmp_path / "pairs-c"),
    ]
    variant = encoded_by(units, tmp_path / "variant", "corpus-c", 2)
    for part in ([files[1]], files, files[::-1]):
        pairs = read_parallel(part, None, [variant]).pairs
        assert len(pairs) == 8 * len(part)
        for pair in pairs:
            own = (units.units[pair.source_id] + 2) % units.n_units
            expected = [own.tolist()] if pair.source_corpus == "corpus-c" else []
            assert [v.tolist() for v in pair.variants] == expected
    of_target = encoded_by(units, tmp_path / "target's", "corpus-b")
    with pytest.raises(InputError, match="corpus-b, of which no source is"):
        read_parallel(files, None, [of_target])


def test_each_of_several_sources_is_checked_where_ids_coincide(tmp_path: Path) -> None:
    made = make_languages(tmp_path, 4)
    one = read_parallel([Parallel(made.source, made.target, made.pairs)])
    pair = one.pairs[0]
    long = replace(pair, source=np.arange(500) % 2, names=(f"corpus-c {pair.source_id}", "t t"))
    for order in ([pair, long], [long, pair]):
        with pytest.raises(InputError, match=rf"{pair.source_id} of corpus corpus-c \(10 s\)"):
            replace(one, pairs=order).check_lengths(9)
    assert set(one.sources()) == {pair.source_id for pair in one.pairs}


def test_what_does_not_belong_together(tmp_path: Path) -> None:
    made = make_languages(tmp_path, 6)
    other = Pairs((("s0", "t0"),), "corpus-a", "elsewhere")
    write_pairs(tmp_path / "other", other)
    with pytest.raises(InputError, match="the target is of corpus corpus-b"):
        read_parallel([Parallel(made.source, made.target, tmp_path / "other")])
    write_pairs(tmp_path / "more", Pairs((("s0", "t0"), ("s7", "t9")), "corpus-a", "corpus-b"))
    with pytest.raises(InputError, match=r"1 of 2 ids of the pairs .* is missing .*: s7"):
        read_parallel([Parallel(made.source, made.target, tmp_path / "more")])
    with pytest.raises(InputError, match="is a table of kind 'pairs', not 'units'"):
        read_parallel([Parallel(made.pairs, made.target, made.pairs)])
