import math

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from reference import edit_distance
from zerochain.errors import InputError
from zerochain.metrics.translation import (
    as_characters,
    as_words,
    bleu,
    chrf,
    compared_bleu,
    distinct_ratio,
    error_rate,
    length_ratio,
    shuffled,
    unit_bleu,
)

SHORT = st.lists(st.integers(0, 3), max_size=5)


def noisy(n: int = 30, noise: float = 0.3) -> tuple[list[list[int]], list[list[int]]]:
    rng = np.random.default_rng(0)
    references = [rng.integers(0, 20, rng.integers(5, 30)).tolist() for _ in range(n)]
    outputs = [[99 if rng.random() < noise else u for u in units] for units in references]
    return outputs, references


def each(references: list[list[int]]) -> list[list[list[int]]]:
    return [[one] for one in references]


def test_unit_bleu_is_sacrebleus() -> None:
    outputs, references = noisy()
    texts = [" ".join(map(str, units)) for units in outputs]
    stream = [" ".join(map(str, units)) for units in references]
    expected = sacrebleu.corpus_bleu(texts, [stream], tokenize="none", force=True).score
    assert unit_bleu(outputs, references) == pytest.approx(expected)
    assert unit_bleu(references, references) == pytest.approx(100)


def test_units_are_words_and_not_characters() -> None:
    assert unit_bleu([[1, 2, 3, 4, 5]], [[12, 3, 4, 5, 0]]) < 50
    assert unit_bleu([[11, 1, 11, 1]], [[1, 11, 1, 11]]) < 100


def test_bleu_of_several_references_is_sacrebleus() -> None:
    texts, references = ["a b c d e", "f g h i"], [["a b c d x", "y b c d e"], ["f g h i"]]
    streams = [["a b c d x", "f g h i"], ["y b c d e", None]]
    ours = bleu(texts, references)
    theirs = sacrebleu.corpus_bleu(texts, streams, tokenize="none", force=True)
    assert ours.value == pytest.approx(theirs.score)
    assert "nrefs:var" in ours.signature
    assert "tok:none" in ours.signature


def test_chrf_of_units_takes_one_character_a_unit() -> None:
    outputs, references = noisy()
    ours = chrf(list(map(as_characters, outputs)), each(list(map(as_characters, references))))
    letters = [chr(0x4E00 + unit) for unit in range(100)]
    texts, stream = (["".join(letters[u] for u in x) for x in side] for side in noisy())
    assert ours.value == pytest.approx(sacrebleu.corpus_chrf(texts, [stream]).score)


def test_every_unit_has_a_character_that_sacrebleu_keeps() -> None:
    text = as_characters(list(range(0x20000)))
    assert len(set(text)) == len(text) == len("".join(text.split())) == 0x20000
    for wrong in ([0x20000], [-1]):
        with pytest.raises(InputError, match="units from"):
            as_characters(wrong)


def test_intervals_hold_the_value_and_shrink_with_more_outputs() -> None:
    few, many = noisy(10), noisy(200)
    widths = []
    for outputs, references in (few, many):
        estimate = bleu(list(map(as_words, outputs)), each(list(map(as_words, references))))
        assert estimate.interval is not None
        low, high = estimate.interval
        assert low < estimate.value < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_interval_is_what_resampled_sets_score() -> None:
    outputs, references = noisy(12)
    texts, wanted = list(map(as_words, outputs)), list(map(as_words, references))
    rng = np.random.default_rng(1)
    slow = []
    for _ in range(400):
        drawn = rng.integers(0, 12, 12)
        stream = [wanted[i] for i in drawn]
        picked = [texts[i] for i in drawn]
        slow.append(sacrebleu.corpus_bleu(picked, [stream], tokenize="none", force=True).score)
    interval = bleu(texts, each(wanted)).interval
    assert interval == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])), abs=3)


def test_one_pair_has_no_interval() -> None:
    assert bleu(["a b c d"], [["a b c d"]]).interval is None
    assert error_rate(["ab"], [["ab"]]).interval is None


@given(st.lists(st.tuples(SHORT, SHORT), min_size=1, max_size=4))
def test_error_rate_is_levenshtein_over_reference_length(pairs: list) -> None:
    outputs, references = zip(*pairs, strict=True)
    length = sum(map(len, references))
    if length == 0:
        with pytest.raises(InputError, match="every reference is empty"):
            error_rate(outputs, each(references))
        return
    edits = sum(edit_distance(a, b) for a, b in pairs)
    assert error_rate(outputs, each(references)).value == pytest.approx(100 * edits / length)


def test_error_rate_of_empty_outputs_is_everything() -> None:
    assert error_rate([[], []], [[[1, 2]], [[3]]]).value == 100
    assert length_ratio([[], []], [[[1, 2]], [[3]]]).value == 0
    assert bleu(["", ""], [["a b c d"], ["c"]]).value == 0


WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=6).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=5), st.data())
def test_perfect_outputs_have_100_or_no_score(texts: list[str], data: st.DataObject) -> None:
    """Whatever lengths there are; and undefined is a matter of the references alone."""
    others = data.draw(st.lists(st.lists(WORDS, max_size=2), min_size=5, max_size=5))
    references = [[text, *more] for text, more in zip(texts, others, strict=False)]
    perfect = bleu(texts, references, replicates=20)
    assert math.isnan(perfect.value) or perfect.value == pytest.approx(100)
    if perfect.interval is not None:
        assert perfect.interval == pytest.approx((100, 100))
    single = [[text] for text in texts]
    short = max(len(text.split()) for text in texts) < 4
    assert bleu(texts, single, replicates=0).is_defined != short
    assert bleu(["d"] * len(texts), single, replicates=0).is_defined != short
    assert chrf(texts, references, replicates=0).value == pytest.approx(100)
    units = [[ord(word) for word in text.split()] for text in texts]
    assert unit_bleu(units, units) == pytest.approx(100)


def test_outputs_too_short_for_their_references_score_zero() -> None:
    assert bleu(["a b c"], [["a b c d"]]).value == 0
    assert math.isnan(bleu(["a b c"], [["a b c"]]).value)
    assert math.isnan(bleu(["a b c"], [["a b c", "a b c d"]]).value)  # perfect, and 0 by sacrebleu
    assert bleu(["a b c d"], [["a b c", "a b c d"]]).value == pytest.approx(100)


def test_resampled_sets_without_a_long_reference_have_no_score() -> None:
    texts = [*"abcdefgh", "a b c d", "e f g h"]
    assert bleu(texts, [[text] for text in texts]).interval == pytest.approx((100, 100))


def test_of_several_references_the_nearest_counts() -> None:
    assert error_rate([[1, 2, 3]], [[[9, 9, 9], [1, 2, 4, 4]]]).value == 50
    assert error_rate([[1, 2, 3]], [[[1, 2], [1, 2, 3, 4]]]).value == 25
    assert length_ratio([[1, 2, 3]], [[[9] * 9, [9] * 4]]).value == 0.75


def test_lengths_are_summed_before_they_are_divided() -> None:
    assert length_ratio([[1], [1] * 9], [[[1]], [[1] * 19]]).value == 0.5


def test_distinct_ratio_counts_each_output_once() -> None:
    assert distinct_ratio([[1, 2], [1, 2], [1], [2, 1]]) == 0.75
    assert distinct_ratio([[1]] * 5) == 0.2
    with pytest.raises(InputError, match="no outputs"):
        distinct_ratio([])


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 3))
def test_shuffled_keeps_nothing_in_its_group(groups: list[int], seed: int) -> None:
    order = shuffled(groups, seed=seed)
    possible = groups and 2 * max(map(groups.count, groups)) <= len(groups)
    assert (order is not None) == bool(possible)
    if order is not None:
        assert sorted(order) == list(range(len(groups)))
        assert all(groups[i] != groups[j] for i, j in enumerate(order))


def test_shuffled_depends_on_the_seed_alone() -> None:
    groups = list(range(50))
    assert shuffled(groups, seed=3).tolist() == shuffled(groups, seed=3).tolist()
    assert shuffled(groups, seed=3).tolist() != shuffled(groups, seed=4).tolist()


@pytest.mark.parametrize(
    ("outputs", "references"), [([], []), ([[1]], []), ([[1], [2]], [[[1]], []])]
)
def test_what_lacks_a_reference_is_refused(outputs: list, references: list) -> None:
    for metric in (error_rate, length_ratio):
        with pytest.raises(InputError, match=r"outputs?,"):
            metric(outputs, references)
    with pytest.raises(InputError, match=r"outputs?,"):
        bleu([as_words(x) for x in outputs], [list(map(as_words, r)) for r in references])


def test_the_same_units_in_any_sequence_type_score_alike() -> None:
    outputs, references = noisy(5)
    arrays = [np.array(x, np.int32) for x in outputs]
    assert unit_bleu(arrays, references) == unit_bleu(outputs, references)
    assert error_rate(arrays, each(references)) == error_rate(outputs, each(references))
    assert math.isclose(distinct_ratio(arrays), distinct_ratio(outputs))


def test_two_systems_are_compared_on_the_same_draws() -> None:
    rng = np.random.default_rng(0)
    references = [[" ".join(map(str, rng.integers(0, 9, 8)))] for _ in range(60)]
    good = [r[0] if i % 3 else "1 2 3 4 5" for i, r in enumerate(references)]
    worse = [text if i % 5 else "5 4 3 2 1" for i, text in enumerate(good)]
    found = compared_bleu(good, worse, references)
    assert (found.first, found.second) == tuple(bleu(o, references).value for o in (good, worse))
    assert found.better == 0
    same = compared_bleu(good, good, references)
    assert same.interval == (0.0, 0.0)
    assert same.better is None
    back = compared_bleu(worse, good, references)
    assert back.interval == pytest.approx((-found.interval[1], -found.interval[0]))
    alone = [bleu(outputs, references).interval for outputs in (good, worse)]
    widest = sum(high - low for low, high in alone)
    assert found.interval[1] - found.interval[0] < widest
    assert compared_bleu(good[:1], worse[:1], references[:1]).interval is None
