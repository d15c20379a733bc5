"""Spoken terms: planted repetitions, alignment against a plain loop, clusters, the page."""

import json
import re
from functools import cache

import numpy as np
import pytest
from click.testing import CliRunner

from zerochain.cli import main
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, CorpusWarning, Utterance
from zerochain.formats.features import Features
from zerochain.formats.spans import LabelledSpan, Spans, read_spans, write_spans
from zerochain.formats.units import UnitFile, write_units
from zerochain.report.listening import where_is, write_terms_page
from zerochain.report.style import isolated
from zerochain.search.sources import FrameSource
from zerochain.search.stage import covered_s
from zerochain.search.stretches import stretches_of
from zerochain.search.terms import (
    Match,
    TermsConfig,
    _align,
    cluster,
    find_terms,
    least_score,
    mean_cost,
    shared_strings,
    unit_similarity,
)

N_UNITS, STEP_S = 40, 0.05
WORD = [7, 3, 21, 9, 30, 14, 2, 25]


def planted(n, seed=0):
    """Random units; the same word in the first three utterances, once with another unit in it."""
    rng = np.random.default_rng(seed)
    units, places = {}, {}
    for i in range(n):
        line = rng.integers(N_UNITS, size=30)
        line[1:][np.diff(line) == 0] += 1  # no repeats: they would merge
        line %= N_UNITS
        if i < 3:
            at = 5 + 4 * i
            line[at : at + len(WORD)] = WORD
            if i == 2:
                line[at + 4] = 31
            line[at - 1], line[at + len(WORD)] = 38 - i, 33 - i
            places[f"u{i}"] = (at * STEP_S, (at + len(WORD)) * STEP_S)
        units[f"u{i}"] = line.astype(np.int32)
    return UnitFile(units, N_UNITS, 1000 * STEP_S, "m", "random"), places


def test_a_planted_word_is_the_only_cluster():
    unit_file, places = planted(12)
    speech = stretches_of(unit_file)
    found = find_terms(speech, TermsConfig(), {"u0": "ana"}, unit_similarity(N_UNITS))
    assert (found.n_clusters, {row.label for row in found.rows}) == (1, {"term 1"})
    assert {row.recording for row in found.rows} == set(places)
    for row in found.rows:
        assert (row.start_s, row.end_s) == pytest.approx(places[row.recording])
    assert {row.speaker for row in found.rows} == {"ana", None}
    assert max(row.score for row in found.rows) == 1


def test_frames_tell_which_matches_count():
    """The third place has the units of the word, and other frames."""
    unit_file, places = planted(12)
    rng = np.random.default_rng(1)
    vectors = np.eye(N_UNITS, dtype=np.float32)
    arrays = {name: vectors[line] for name, line in unit_file.units.items()}
    arrays["u2"] = rng.normal(size=arrays["u2"].shape).astype(np.float32)
    features = Features.from_arrays(arrays, step_ms=1000 * STEP_S)
    speech, similarity = stretches_of(unit_file), unit_similarity(N_UNITS)
    found = find_terms(speech, TermsConfig(), {}, similarity, FrameSource(features))
    assert {row.recording for row in found.rows} == {"u0", "u1"}
    for row in found.rows:
        assert (row.start_s, row.end_s) == pytest.approx(places[row.recording])
        assert row.score == pytest.approx(1)
    assert "1 match, the best by array by cosine of" in found.matches
    some = FrameSource(features.restrict(["u0", "u1"]))
    with pytest.raises(
        InputError, match="10 of 12 ids of the units are missing in the features: u2, u3"
    ):
        find_terms(speech, TermsConfig(), {}, similarity, some)


def test_terms_cover_no_more_than_asked_for():
    """Of two words that are each said twice, the one that is more alike comes first."""
    rng = np.random.default_rng(2)
    units, arrays = {}, {}
    vectors = rng.normal(size=(N_UNITS, 8))
    lines = [rng.permutation(N_UNITS)[:20].astype(np.int32) for _ in range(2)]
    for i, noise in enumerate((0.0, 0.0, 0.6, 0.6)):
        units[f"u{i}"] = lines[i // 2]
        arrays[f"u{i}"] = (vectors[lines[i // 2]] + noise * rng.normal(size=(20, 8))).astype(
            np.float32
        )
    speech = stretches_of(UnitFile(units, N_UNITS, 1000 * STEP_S, "m", "x"))
    frames = FrameSource(Features.from_arrays(arrays, step_ms=1000 * STEP_S))
    for covered in (0.4, 0.5):
        config = TermsConfig(covered=covered)
        found = find_terms(speech, config, {}, unit_similarity(N_UNITS), frames)
        assert {row.recording for row in found.rows} == {"u0", "u1"}


def slow_cost(local):
    """The least weighted sum of local distances over all paths, by recursion."""

    @cache
    def best(i, j):
        if i == j == 0:
            return 2 * local[0, 0]
        ways = [best(i - 1, j - 1) + 2 * local[i, j]] if i and j else []
        ways += [best(i - 1, j) + local[i, j]] if i else []
        ways += [best(i, j - 1) + local[i, j]] if j else []
        return min(ways)

    return best(local.shape[0] - 1, local.shape[1] - 1) / sum(local.shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 3), (6, 6)])
def test_the_cost_of_frames_equals_the_plain_recursion(shape):
    local = np.random.default_rng(0).random(shape).astype(np.float32)
    assert mean_cost(local) == pytest.approx(slow_cost(local))


def slow_alignment(a, b, similarity, gap):
    """The best score of a local alignment, by the textbook's recurrence."""
    table = np.zeros((len(a) + 1, len(b) + 1))
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i, j] = max(
                0,
                table[i - 1, j - 1] + similarity[a[i - 1], b[j - 1]],
                table[i - 1, j] - gap,
                table[i, j - 1] - gap,
            )
    return table.max()


def test_alignment_equals_the_plain_recurrence():
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 15, size=12)
    bounds = np.append(0, np.cumsum(lengths))
    units = rng.integers(5, size=bounds[-1]).astype(np.int32)
    similarity = unit_similarity(5, rng.normal(size=(5, 3)).astype(np.float32))
    pairs = np.array([(i, j) for i in range(12) for j in range(i + 1, 12)])
    scores, places = _align(units, bounds, pairs, similarity, 0.4)
    for (i, j), score, (a0, a1, b0, b1) in zip(pairs, scores, places, strict=True):
        a, b = units[bounds[i] : bounds[i + 1]], units[bounds[j] : bounds[j + 1]]
        assert score == pytest.approx(slow_alignment(a, b, similarity, 0.4))
        # What is reported as the place of the match has its score on its own.
        assert slow_alignment(a[a0:a1], b[b0:b1], similarity, 0.4) == pytest.approx(score)


def test_similar_units_agree_in_part():
    codebook = np.array([[0, 0], [0.1, 0], [9, 0], [0, 9]], np.float32)
    soft, hard = unit_similarity(4, codebook), unit_similarity(4)
    assert np.array_equal(soft, soft.T)
    assert np.diag(soft).tolist() == np.diag(hard).tolist() == [1] * 4
    assert 0.9 < soft[0, 1] < 1
    assert -1 <= soft.min() <= soft[0, 2] < 0
    assert hard[0, 1] == -1
    assert unit_similarity(1, np.zeros((1, 2), np.float32)).tolist() == [[1]]


def test_the_index_finds_pairs_that_share_a_string():
    lines = [[1, 2, 3, 4], [9, 2, 3, 4], [1, 2, 9, 9], [2, 3], [4, 3, 2, 1]]
    units = np.concatenate(lines).astype(np.int32)
    bounds = np.append(0, np.cumsum([len(line) for line in lines]))
    assert shared_strings(units, bounds, 3, 100).tolist() == [[0, 1]]
    assert shared_strings(units, bounds, 2, 100).tolist() == [[0, 1], [0, 2], [0, 3], [1, 3]]
    assert len(shared_strings(units, bounds, 5, 100)) == 0
    assert shared_strings(units, bounds, 2, 2).tolist() == [[0, 1], [0, 2]]  # "1 2", "3 4"


def test_the_least_score_rises_with_the_amount_of_speech():
    units = np.resize(np.arange(N_UNITS, dtype=np.int32), 4000)
    hard = unit_similarity(N_UNITS)
    less, more = (least_score(units[:n], hard, 1.0) for n in (400, 4000))
    rate = 2 * np.log(10) / (more - less)
    assert rate == pytest.approx(np.log(N_UNITS - 1))  # p e^λ + (1 - p) e^-λ = 1
    with pytest.raises(InputError, match="agree by chance"):
        least_score(np.zeros(9, np.int32), hard, 1.0)


def test_clusters_are_stars():
    """b is like a and like c, which are not alike: b's cluster takes both, and nothing chains."""
    times = [np.arange(5) / 10] * 5
    matches = [Match(i, 0, 4, i + 1, 0, 4, 4.0 - i / 10) for i in range(4)]
    clusters = cluster(matches, times)
    assert [sorted(stretch for stretch, *_ in members) for members in clusters] == [
        [0, 1, 2],
        [3, 4],
    ]
    assert max(score for *_, score in clusters[0]) == 1


def test_matches_at_nearly_the_same_place_are_one_place():
    """Its ends are the medians of theirs; a match elsewhere, though it overlaps, is another."""
    times = [np.arange(41) / 10] * 5
    ends = [(10, 20), (10, 20), (11, 20), (18, 28)]
    matches = [Match(0, a, b, i + 1, 0, 10, 8.0) for i, (a, b) in enumerate(ends)]
    found = cluster(matches, times)
    places = {one[1:3] for members in found for one in members if one[0] == 0}
    assert places == {(1.0, 2.0), (1.8, 2.8)}


def test_the_similarity_of_units_is_per_segment_of_the_longer_side():
    assert Match(0, 0, 4, 1, 0, 6, 3.0).similarity == 0.5
    assert Match(0, 0, 6, 1, 0, 4, 3.0).similarity == 0.5
    assert Match(0, 0, 6, 1, 0, 4, 3.0, 0.9).similarity == 0.9


def test_a_place_that_only_the_centre_matches_stays_outside():
    """Three places match each other and the centre, a fifth only the centre."""
    times = [np.arange(5) / 10] * 5
    alike = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    matches = [Match(a, 0, 4, b, 0, 4, 4.0) for a, b in alike]
    matches.append(Match(0, 0, 4, 4, 0, 4, 3.0))
    [members] = cluster(matches, times)
    assert sorted(stretch for stretch, *_ in members) == [0, 1, 2, 3]


def test_nothing_said_again_is_an_error():
    unit_file, _ = planted(12)
    alone = unit_file.restrict([f"u{i}" for i in range(3, 12)])
    with pytest.raises(InputError, match="nothing is said again"):
        find_terms(stretches_of(alone), TermsConfig(), {}, unit_similarity(N_UNITS))
    one = unit_file.restrict(["u0"])
    with pytest.raises(InputError, match="nothing is said again"):
        find_terms(stretches_of(one), TermsConfig(), {}, unit_similarity(N_UNITS))


def test_the_command_and_its_page(make_corpus, tmp_path):
    pytest.importorskip("jinja2")
    corpus = make_corpus(6, speakers=("ana", "bo<b>"))
    line = planted(6)[0].units["u0"]
    units = {}
    for u in corpus.utterances:
        n = int(u.duration / STEP_S)
        units[u.id] = np.resize(line, n).astype(np.int32)
    write_units(tmp_path / "u.parquet", UnitFile(units, N_UNITS, 1000 * STEP_S, "m", "random"))
    out, page = tmp_path / "t.csv", tmp_path / "t.html"
    arguments = ["--corpus", corpus.folder, "--out", out, "--page", page, "--min-ms", 100]
    words = ["terms", tmp_path / "u.parquet", *arguments, "--accidents", 100]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    rows = read_spans(out).rows
    text = page.read_text(encoding="utf-8")
    assert "term 1" in text
    assert "bo<b>" not in text
    held = re.search(r'id="rows">(.*?)</script>', text, re.DOTALL)[1]
    assert len(json.loads(held)) == len(rows)
    [columns] = re.findall(r'data-columns="(.*?)"', text)
    assert {len(row) for row in json.loads(held)} == {len(columns.split(","))}
    assert columns.startswith("recording,start_s,end_s,label,score,speaker")
    assert text.count("<audio") == sum(
        min(4, sum(row.label == label for row in rows)) for label in {r.label for r in rows}
    )
    made = UnitFile(units, N_UNITS, 1000 * STEP_S, "m", "random", corpus_id="0" * 64)
    write_units(tmp_path / "u.parquet", made)
    with pytest.warns(CorpusWarning, match="the units were made of corpus 0000"):
        assert CliRunner().invoke(main, list(map(str, words))).exit_code == 0
    without = CliRunner().invoke(main, ["terms", "u.parquet", "--out", "t.csv", "--page", "p.html"])
    assert without.exit_code == 2
    assert "--page needs --corpus" in without.output
    other = CliRunner().invoke(main, ["terms", "u.parquet", "--out", "t.json"])
    assert other.exit_code == 2
    assert "must end in .parquet or .csv or .classes" in " ".join(other.output.split())


def test_a_page_of_another_corpus_is_refused(make_corpus, tmp_path):
    pytest.importorskip("jinja2")
    corpus = make_corpus(2)
    write_spans(tmp_path / "t.csv", Spans((LabelledSpan("elsewhere", 0, 1, "x"),)))
    with pytest.raises(InputError, match=r"spans of .*t\.csv is missing in the .*: elsewhere"):
        write_terms_page(tmp_path / "t.html", tmp_path / "t.csv", corpus.folder)
    assert not (tmp_path / "t.html").exists()


def test_seconds_in_several_spans_count_once() -> None:
    spans = [("a", 0.0, 2.0), ("a", 1.0, 1.5), ("a", 1.5, 3.0), ("b", 0.5, 1.0), ("a", 4.0, 5.0)]
    assert covered_s(LabelledSpan(*span, "x") for span in spans) == pytest.approx(4.5)


def test_a_part_of_a_long_recording_is_where_players_show_it() -> None:
    whole = Utterance("u", "u.wav", 9.0)
    part = Utterance("d/s_1", "d/s.wav", 3.0, start=61.0, end=64.0)
    corpus = Corpus("c", (whole, part))
    assert where_is(corpus, "u", 1, 1.5) == "u, 1.00–1.50 s"
    assert where_is(corpus, "d/s_1", 1, 1.5) == "d/s_1, 1.00–1.50 s (d/s.wav 1:02.00)"


def test_a_page_of_terms_says_how_many_it_plays_and_keeps_times_in_order(make_corpus, tmp_path):
    """A name in Arabic script must not turn the times beside it: isolates are around it."""
    pytest.importorskip("jinja2")
    corpus = make_corpus(6)
    spoken = [
        LabelledSpan(name, 0.1 * i, 0.1 * i + 0.2, "سجل", 0.9) for i, name in enumerate(corpus.ids)
    ]
    alone = [LabelledSpan(corpus.ids[0], 0.5, 0.7, "b", 1.0) for _ in range(2)]
    write_spans(tmp_path / "t.parquet", Spans((*spoken, *alone), what="terms"))
    write_terms_page(tmp_path / "t.html", tmp_path / "t.parquet", corpus.folder)
    text = (tmp_path / "t.html").read_text(encoding="utf-8")
    assert "6 spans, 4 of them here" in text
    assert re.search(r">2 spans ·", text)
    assert ">\u2068سجل\u2069</h2>" in text
    assert 'data-label="سجل"' in text  # the script looks labels up
    header = text[: text.index("</header>")]
    assert "how similar it is to its cluster" in header
    bare = [LabelledSpan(*row[:4]) for row in alone]
    write_spans(tmp_path / "w.parquet", Spans(tuple(bare), what="words"))
    write_terms_page(tmp_path / "w.html", tmp_path / "w.parquet", corpus.folder)
    assert "span's score" not in (tmp_path / "w.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ana/story, 0.68–1.16 s", "ana/story, 0.68–1.16 s"),
        ("d/سجل_0097-0101, 0.68–1.16 s", "d/\u2068سجل\u2069_0097-0101, 0.68–1.16 s"),
        ("علي بن: 5.0-5.6", "\u2068علي بن\u2069: 5.0-5.6"),
        ("שיר 1", "\u2068שיר\u2069 1"),
        ("中文 한 हि", "中文 한 हि"),
    ],
)
def test_only_words_from_right_to_left_are_isolated(text: str, shown: str) -> None:
    assert isolated(text) == shown
