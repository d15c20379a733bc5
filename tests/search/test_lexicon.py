"""A lexicon from units: an artificial language, enumeration, pauses and syllables."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from zerochain.cli import main
from zerochain.errors import InputError
from zerochain.exchange.term_classes import read_terms
from zerochain.formats.corpus import CorpusWarning
from zerochain.formats.spans import read_spans
from zerochain.formats.units import UnitFile, write_units
from zerochain.search.lexicon import (
    LexiconConfig,
    _count,
    _sweep,
    random_words,
    segment_words,
    spans_of,
    substrings,
    syllable_words,
)
from zerochain.search.stretches import pauses, stretches_of, syllable_onsets

WORDS = [[1, 2, 3], [4, 5], [6, 7, 8, 9], [2, 6], [5, 1, 8]]
RATE = 16_000


def language(n, seed=0):
    """Utterances of 3 to 6 words, and the true boundaries between segments."""
    rng = np.random.default_rng(seed)
    units, edges = {}, {}
    for i in range(n):
        line = [WORDS[w] for w in rng.integers(len(WORDS), size=rng.integers(3, 7))]
        units[f"u{i}"] = np.repeat(np.concatenate(line), 8).astype(np.int32)
        edges[f"u{i}"] = np.cumsum([0, *map(len, line)]).tolist()
    return UnitFile(units, 10, 10.0, "m", "invented"), edges


def test_an_artificial_languages_words_are_found():
    unit_file, edges = language(60)
    # Where two equal units meet, segments merge and a boundary is gone.
    speech = stretches_of(unit_file)
    words = segment_words(speech, LexiconConfig(word_ms=250, sweeps=20, concentration=10))
    hits = n_found = n_true = 0
    for one, line in zip(words, edges.values(), strict=True):
        if len(one.stretch.units) == line[-1]:
            found, true = set(one.edges.tolist()[1:-1]), set(line[1:-1])
            hits, n_found, n_true = (
                hits + len(found & true),
                n_found + len(found),
                n_true + len(true),
            )
    assert 2 * hits / (n_found + n_true) > 0.9
    again = segment_words(speech, LexiconConfig(word_ms=250, sweeps=20, concentration=10))
    assert all(np.array_equal(a.edges, b.edges) for a, b in zip(words, again, strict=True))


def test_words_end_with_syllables_where_other_ends_are_dear():
    unit_file, _ = language(20)
    speech = stretches_of(unit_file)
    rng = np.random.default_rng(0)
    marked = []
    for one in speech.stretches:
        ends = rng.random(len(one.units)) < 0.5
        ends[-1] = True
        marked.append(one._replace(ends_syllable=ends))
    config = LexiconConfig(word_ms=250, sweeps=5, inside_syllable=1000)
    for one in segment_words(replace(speech, stretches=marked), config):
        assert one.stretch.ends_syllable[one.edges[1:] - 1].all()


def test_substrings_are_numbered_alike_where_they_are_equal():
    units = np.array([1, 2, 1, 2, 1, 3], np.int32)
    types, lengths = substrings(units, np.array([0, 4, 6]), 3)
    strings = {}
    for i in range(6):
        for k in range(types.shape[1]):
            start = i - k
            if start < (0 if i < 4 else 4):
                assert types[i, k] == -1
            else:
                strings.setdefault(types[i, k], set()).add(tuple(units[start : i + 1]))
    assert all(len(one) == 1 for one in strings.values())
    assert len({next(iter(one)) for one in strings.values()}) == len(strings) == len(lengths)
    assert all(len(next(iter(one))) == lengths[number] for number, one in strings.items())


def divisions(n):
    """All ways to divide n segments, as tuples of ends."""
    for mask in range(1 << (n - 1)):
        yield (*(i for i in range(n - 1) if mask >> i & 1), n - 1)


def test_sampling_agrees_with_enumeration():
    """One utterance given fixed counts of others: frequencies of divisions, and the likeliest."""
    units = np.array([0, 1, 0, 1], np.int32)
    bounds = np.array([0, 4])
    types, lengths = substrings(units, bounds, 3)
    rng = np.random.default_rng(1)
    base, weights = np.log(0.3) * lengths, rng.normal(size=types.shape)
    others = rng.integers(0, 6, size=len(lengths))
    alpha, n_others = 2.0, int(others.sum())

    def probability(ends):
        total, begin = 1.0, 0
        for end in ends:
            k = end - begin
            if k >= types.shape[1]:
                return 0.0
            word = types[end, k]
            p = (others[word] + alpha * np.exp(base[word])) / (n_others + alpha)
            total, begin = total * p * np.exp(weights[end, k]), end + 1
        return total

    exact = {ends: probability(ends) for ends in divisions(4)}
    best = max(exact, key=exact.get)
    whole = sum(exact.values())
    is_end, drawn = np.array([False, False, False, True]), dict.fromkeys(exact, 0)
    counts = others.astype(np.int64)
    n_words = n_others + _count(types, bounds, is_end, counts)
    n_draws = 4000
    for i in range(n_draws + 1):
        last = i == n_draws
        n_words = _sweep(
            types, weights, base, bounds, np.zeros(1, np.int64), is_end, counts, n_words,
            alpha, 1.0, rng.random(4), last,
        )  # fmt: skip
        if not last:
            drawn[tuple(np.flatnonzero(is_end).tolist())] += 1
    assert tuple(np.flatnonzero(is_end).tolist()) == best
    for ends, p in exact.items():
        assert drawn[ends] / n_draws == pytest.approx(p / whole, abs=0.03)
    assert n_words - n_others == len(best)
    assert counts.sum() - others.sum() == len(best)


def test_random_words_are_as_many_as_asked_for():
    speech = stretches_of(language(5)[0])
    n_segments = sum(len(one.units) for one in speech.stretches)
    for n_words in (5, 20, n_segments):
        words = random_words(speech, n_words)
        assert len(spans_of(words, {})) == n_words
    for n_words in (4, n_segments + 1):
        with pytest.raises(InputError, match="can't be made of"):
            random_words(speech, n_words)


def test_each_syllable_is_a_word():
    speech = stretches_of(language(2)[0])
    one = speech.stretches[0]
    ends = np.isin(np.arange(len(one.units)), [1, 4, len(one.units) - 1])
    [words] = syllable_words(replace(speech, stretches=[one._replace(ends_syllable=ends)]))
    assert words.edges.tolist() == [0, 2, 5, len(one.units)]


def test_words_follow_each_other_without_gaps():
    unit_file, _ = language(3)
    speech = stretches_of(unit_file)
    rows = spans_of(segment_words(speech, LexiconConfig(sweeps=2, max_units=2)), {"u0": "ana"})
    for name in unit_file.ids:
        line = [row for row in rows if row.recording == name]
        assert line[0].start_s == 0
        assert [r.end_s for r in line[:-1]] == [r.start_s for r in line[1:]]
        assert line[-1].end_s == pytest.approx(unit_file.duration_s(name))
        assert max(len(row.label.split()) for row in line) <= 2
    assert rows[0].speaker == "ana"


def test_a_single_segment_is_refused():
    unit_file = UnitFile({"u": np.zeros(9, np.int32)}, 1, 10.0, "m", "one unit")
    with pytest.raises(InputError, match="1 segment of speech"):
        segment_words(stretches_of(unit_file), LexiconConfig())


def spoken(*parts):
    """Tones and silences: (seconds, level)."""
    rng = np.random.default_rng(0)
    waves = []
    for seconds, level in parts:
        time = np.arange(round(seconds * RATE)) / RATE
        waves.append(level * np.sin(2 * np.pi * 800 * time) + 1e-4 * rng.normal(size=len(time)))
    return np.concatenate(waves).astype(np.float32)


def test_pauses_are_long_and_quiet():
    wave = spoken((0.5, 0), (0.5, 0.3), (0.08, 0), (0.5, 0.3), (0.3, 0))
    quiet = pauses(wave)
    assert quiet[5:45].all()
    assert quiet[165:180].all()
    assert not quiet[55:155].any()  # the closure of 80 ms included
    assert not pauses(spoken((1, 0.3))).any()
    assert pauses(np.zeros(RATE, np.float32)).all()
    assert pauses(np.zeros(0, np.float32)).all()


def test_syllables_begin_where_the_level_falls():
    wave = spoken((0.2, 0.3), (0.06, 0.02), (0.2, 0.3), (0.06, 0.02), (0.2, 0.3))
    assert syllable_onsets(wave) == pytest.approx([0.2, 0.46], abs=0.03)
    assert len(syllable_onsets(np.zeros(100, np.float32))) == 0


def test_the_command(make_corpus, tmp_path):
    corpus = make_corpus(3)
    rng = np.random.default_rng(0)
    units = {
        u.id: np.repeat(rng.integers(5, size=int(u.duration * 20)), 5).astype(np.int32)
        for u in corpus.utterances
    }
    write_units(
        tmp_path / "u.parquet", UnitFile(units, 5, 10.0, "m", "random", corpus_id=corpus.id)
    )

    def run(*arguments, code=0):
        words = ["lexicon", str(tmp_path / "u.parquet"), *map(str, arguments)]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == code, result.output
        return result.output

    out = tmp_path / "w.parquet"
    assert "pauses left out" in run("--corpus", corpus.folder, "--sweeps", 3, "--out", out)
    found = read_spans(out)
    assert (found.what, found.corpus_id) == ("words", corpus.id)
    classes = tmp_path / "r.classes"
    run("--corpus", corpus.folder, "--random-like", out, "--out", classes)
    assert len(read_terms(classes).rows) == len(found.rows)
    run("--corpus", corpus.folder, "--syllables", "--out", tmp_path / "s.parquet")
    assert read_spans(tmp_path / "s.parquet").system == "syllables, random"
    write_units(tmp_path / "u.parquet", UnitFile(units, 5, 10.0, "m", "random", corpus_id="0" * 64))
    with pytest.warns(CorpusWarning, match="the units were made of corpus 0000"):
        run("--corpus", corpus.folder, "--syllables", "--out", tmp_path / "s.parquet")
    assert "needs --corpus" in run("--syllables", "--out", out, code=1)
    assert "--split needs --corpus" in run("--split", "train", "--out", out, code=1)
