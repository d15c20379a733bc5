"""Discovered terms against gold words: what zerospeech-tde 2.0.3 gave, and the measures of 2026.

Recorded by tde_peers/record_tde.py; equal to 1e-6 in %.
"""

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from zerochain.errors import InputError
from zerochain.formats.phones import Phone
from zerochain.metrics.tde import Found, score_clusters

RECORDED = json.loads((Path(__file__).parent / "tde_peers/scores.json").read_text("utf-8"))
CASES = {row["case"]: row for row in RECORDED["cases"]}


def parts(row):
    gold = [
        {name: [Phone(*one) for one in line] for name, line in row[kind].items()}
        for kind in ("phones", "words")
    ]
    clusters = {label: [Found(*one) for one in line] for label, line in row["clusters"].items()}
    return clusters, *gold


def values(found):
    """Scores by the reference's names, as ratios."""
    rates = {name: getattr(found, name) for name in ("grouping", "token", "type", "boundary")}
    return {
        "ned": ratio(found.ned),
        "coverage": ratio(found.coverage),
        **{name: [ratio(one.precision), ratio(one.recall)] for name, one in rates.items()},
    }


def ratio(value):
    return None if value.value is None else value.value / 100


def flat(scores):
    return {
        (name, i): part
        for name, one in scores.items()
        for i, part in enumerate(one if isinstance(one, list) else [one])
    }


@pytest.mark.parametrize("case", [case for case in CASES if case != "same times"])
def test_the_reference_gives_the_same_scores(case):
    ours = flat(values(score_clusters(*parts(CASES[case]))))
    assert ours == pytest.approx(flat(CASES[case]["scores"]), abs=1e-8, nan_ok=True)


def test_tokens_of_two_recordings_are_two_where_the_reference_counts_one():
    """Without the recordings' names, equal phones at equal times are one token there."""
    row = CASES["same times"]
    ours, theirs = values(score_clusters(*parts(row))), row["scores"]
    assert flat({**ours, "grouping": theirs["grouping"]}) == pytest.approx(flat(theirs))
    assert ours["grouping"] != pytest.approx(theirs["grouping"], abs=1e-3)
    clusters, phones, words = parts(row)
    later = {name: i * 0.0001 for i, name in enumerate(phones)}  # then no times are equal

    def moved(gold):
        return {n: [Phone(a + later[n], b + later[n], p) for a, b, p in gold[n]] for n in gold}

    clusters = {"all": [Found(n, a + later[n], b + later[n]) for n, a, b in clusters["all"]]}
    apart = values(score_clusters(clusters, moved(phones), moved(words)))
    assert apart["grouping"] == pytest.approx(ours["grouping"])


def test_the_gold_words_are_perfect():
    row = CASES["exact"]
    phones, words = parts(row)[1:]
    clusters = {}
    for name, line in words.items():
        for on, off, word in line:
            clusters.setdefault(word, []).append(Found(name, on, off))
    found = score_clusters(clusters, phones, words)
    assert (found.ned.value, found.weighted_ned.value, found.inverse_ned.value) == (0, 0, 0)
    rates = (found.grouping, found.token, found.type, found.boundary)
    assert [one.f1.value for one in rates] == pytest.approx([100] * 4)
    assert found.coverage.value == 100
    assert found.n_outside == 0


def test_f1_is_the_harmonic_mean():
    found = score_clusters(*parts(CASES["poor"]))
    for one in (found.grouping, found.token, found.type, found.boundary):
        p, r = one.precision.value, one.recall.value
        assert one.f1.value == pytest.approx(2 * p * r / (p + r))
    low, high = found.boundary.f1.interval
    assert low < found.boundary.f1.value < high


def slow_ned(sequences):
    pairs = [
        Levenshtein.distance(a, b) / max(len(a), len(b)) if a or b else 1
        for a, b in combinations(sequences, 2)
    ]
    return sum(pairs), len(pairs)


LETTERS = {"k": [(0, 0.1, "k")], "a": [(0.1, 0.2, "a")]}
WORD = [Phone(0.0, 0.1, "k"), Phone(0.1, 0.2, "a")]
OTHER = [Phone(0.0, 0.1, "t"), Phone(0.1, 0.2, "a")]


def said(*lines):
    """Utterances of a word each: phones, words, and each one's span."""
    phones = {f"u{i}": line for i, line in enumerate(lines)}
    words = {n: [Phone(0.0, 0.2, "".join(p.phone for p in line))] for n, line in phones.items()}
    return phones, words, [Found(name, 0.0, 0.2) for name in phones]


def test_ned_counts_pairs_and_the_weighted_one_spans():
    phones, words, spans = said(*[WORD] * 4, WORD, OTHER, WORD)
    clusters = {"big": spans[:4], "small": spans[4:6], "alone": spans[6:]}
    found = score_clusters(clusters, phones, words)
    assert found.ned.value == pytest.approx(100 * 0.5 / 7)  # 6 pairs are right, one is half wrong
    assert found.weighted_ned.value == pytest.approx(100 * (2 * 0.5) / 7)  # 4 + 2 + 1 spans


def test_the_inverse_ned_compares_the_labels_of_a_words_tokens():
    phones, words, spans = said(*[WORD] * 3, OTHER)
    halves = [Found("u2", 0.0, 0.1), Found("u2", 0.1, 0.2)]
    clusters = {"a": [spans[0], spans[1], halves[0]], "b": [halves[1], spans[3]]}
    found = score_clusters(clusters, phones, words)
    total, n = slow_ned([("a",), ("a",), ("a", "b")])
    assert found.inverse_ned.value == pytest.approx(100 * total / n)
    assert found.inverse_ned.n == 3  # "ta" occurs once
    missed = score_clusters({"a": [spans[0]], "b": [spans[3]]}, phones, words)
    assert missed.inverse_ned.value == 100


def test_undefined_is_not_zero():
    phones, words, spans = said(WORD, OTHER)
    found = score_clusters({"a": spans[:1], "b": spans[1:]}, phones, words)
    assert (found.ned.value, found.weighted_ned.value, found.inverse_ned.value) == (None,) * 3
    assert found.grouping.precision.value is found.grouping.f1.value is None
    nothing = score_clusters({"a": [Found("u0", 0.5, 0.6)]}, phones, words)
    assert (nothing.token.precision.value, nothing.boundary.f1.value) == (None, None)
    assert (nothing.coverage.value, nothing.token.recall.value) == (0, 0)
    assert (nothing.n_spans, nothing.n_outside) == (0, 1)


def test_other_labels_for_silence():
    quiet = Phone(0.2, 0.3, "(pause)")
    _phones, words, spans = said(WORD)
    clusters = {"a": [spans[0]._replace(offset=0.3)]}
    known = score_clusters(clusters, {"u0": [*WORD, quiet]}, words, silences={"(pause)"})
    assert known.coverage.n == 2
    assert score_clusters(clusters, {"u0": [*WORD, quiet]}, words).coverage.n == 3


@pytest.mark.parametrize(
    ("clusters", "said_so"),
    [
        ({}, "no cluster holds a span"),
        ({"a": []}, "no cluster holds a span"),
        ({"a": [Found("u9", 0, 1)]}, "no gold phones for 1 utterance"),
        ({"a": [Found("u0", 0.2, 0.1)]}, "from 0.2 to 0.1 s"),
        ({"a": [Found("u0", 0.2, float("inf"))]}, "to inf s"),
    ],
)
def test_bad_spans_are_refused(clusters, said_so):
    phones, words, _ = said(WORD)
    with pytest.raises(InputError, match=said_so):
        score_clusters(clusters, phones, words)
    with pytest.raises(InputError, match="gold words of other utterances"):
        score_clusters({"a": [Found("u0", 0, 1)]}, phones, {"v": []})


@given(
    st.lists(
        st.lists(st.sampled_from(["water: w a", "water: w e", "see: s i", "sea: s i"]), min_size=1),
        min_size=1,
        max_size=3,
    )
)
def test_of_all_words_as_they_are_spoken_all_kinds_are_found(lines: list[list[str]]) -> None:
    """A word may have two pronunciations, and two words one: no rate is above 100 %."""
    phones, words = {}, {}
    for i, line in enumerate(lines):
        said = [(word, spoken.split()) for word, spoken in (one.split(": ") for one in line)]
        words[f"u{i}"] = [Phone(j / 5, (j + 1) / 5, word) for j, (word, _) in enumerate(said)]
        phones[f"u{i}"] = [
            Phone(j / 5 + k / 10, j / 5 + (k + 1) / 10, phone)
            for j, (_, spoken) in enumerate(said)
            for k, phone in enumerate(spoken)
        ]
    found = {
        f"{name}.{i}": [Found(name, one.onset, one.offset)]
        for name, line in words.items()
        for i, one in enumerate(line)
    }
    scored = score_clusters(found, phones, words)
    for rates in (scored.token, scored.type, scored.boundary):
        assert rates is not None
        assert (rates.precision.value, rates.recall.value, rates.f1.value) == (100, 100, 100)
