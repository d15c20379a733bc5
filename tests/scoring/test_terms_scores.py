"""`score terms`: from files to scores."""

import pytest
from click.testing import CliRunner

from zerochain.cli import main
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.scores import read_scores
from zerochain.formats.spans import LabelledSpan, Spans, write_spans
from zerochain.scoring.terms import score_terms

LATE_S = 0.06


@pytest.fixture
def spoken(make_corpus, tmp_path):
    """Six utterances of "ka ti": gold phones and words that are 60 ms late, and found spans."""
    corpus = make_corpus(6, test_every=2)
    line = [Phone(LATE_S + i / 10, LATE_S + (i + 1) / 10, p) for i, p in enumerate("kati")]
    corpus = write_corpus(
        corpus.folder, corpus, Phones(dict.fromkeys(corpus.ids[:5], line), "gold")
    )
    words, found = [], []
    for name in corpus.ids:
        for i, word in enumerate(("ka", "ti")):
            start = i / 5
            words.append(LabelledSpan(name, LATE_S + start, LATE_S + start + 0.2, word))
            found.append(LabelledSpan(name, start, start + 0.2, f"word {i}"))
    write_spans(tmp_path / "words.parquet", Spans(tuple(words), "words"))
    write_spans(tmp_path / "found.parquet", Spans(tuple(found), "words", "oracle"))
    return corpus


def values(scored):
    return {score.metric: score.value for score in scored.scores}


def test_times_beyond_the_recordings_are_told(spoken, tmp_path):
    for scale, told in ((1, 0), (1000, 1)):
        rows = [LabelledSpan(n, 0, 0.2 * scale, "w") for n in spoken.ids]
        write_spans(tmp_path / "t.parquet", Spans(tuple(rows), "words"))
        notes = score_terms(tmp_path / "t.parquet", corpus=spoken.folder).notes
        assert sum("end after the recording does, such as 0 to 200 s" in n for n in notes) == told


def test_a_span_is_no_pair_with_itself_and_none_without_a_label(spoken, tmp_path):
    """Listed twice it counts once; a segmentation without labels has boundaries but no pairs."""
    rows = [LabelledSpan(n, LATE_S, LATE_S + 0.2, "ka") for n in spoken.ids]
    given = {"corpus": spoken.folder, "words": tmp_path / "words.parquet"}
    found = []
    for again in (1, 2):
        write_spans(tmp_path / "t.parquet", Spans(tuple(rows * again), "words"))
        found.append(score_terms(tmp_path / "t.parquet", **given))
    assert values(found[0]) == values(found[1])
    assert "left out: 5 spans listed again in their cluster" in found[1].notes
    bare = tuple(row._replace(label="") for row in rows)
    write_spans(tmp_path / "t.parquet", Spans(bare, "words"))
    scored = score_terms(tmp_path / "t.parquet", **given)
    assert "5 spans without a label, each a cluster of its own" in scored.notes
    one, other = values(found[0]), values(scored)
    assert other.keys().isdisjoint({"ned_%", "grouping_precision_%"})
    for kind in ("token_f1_%", "word_boundary_f1_%", "coverage_%", "type_f1_%"):
        assert other[kind] == one[kind]


def test_a_shifted_lexicon_is_perfect(spoken, tmp_path):
    given = {"corpus": spoken.folder, "words": tmp_path / "words.parquet"}
    scored = score_terms(tmp_path / "found.parquet", **given, shift_ms=-60)
    assert len(scored.scores) == 16
    lower = {"ned_%", "weighted_ned_%", "inverse_ned_%"}
    assert all(v == pytest.approx(0 if m in lower else 100) for m, v in values(scored).items())
    one = scored.scores[0]
    assert (one.system, one.protocol, one.n) == ("oracle", "tde", 20)
    assert one.options["exclusions"] == {"spans_without_alignment": 2}
    assert one.options["n_utterances"] == 5
    late = values(score_terms(tmp_path / "found.parquet", **given))
    assert late["token_f1_%"] < 100


def test_spans_and_words_by_the_names_of_recordings(tmp_path):
    """As by the utterances that were cut from these; what is between them is nobody's."""
    cuts = [(0.0, 1.0), (1.5, 2.5), (3.0, 3.5)]
    parts = tuple(
        Utterance(f"u{i}", "d/s.wav", end - start, start=start, end=end)
        for i, (start, end) in enumerate(cuts)
    )
    line = [Phone(i / 10, (i + 1) / 10, p) for i, p in enumerate("kati")]
    home = write_corpus(
        tmp_path / "c", Corpus("c", parts), Phones({u.id: line for u in parts})
    ).home
    words = [(u, i / 5, i / 5 + 0.2, w) for u in parts for i, w in enumerate(("ka", "ti"))]
    found = [(u, begin, end, w) for u, begin, end, w in words if u.id != "u1" or w == "ti"]
    scored = []
    for of_recordings in (False, True):
        files = {}
        for name, rows in (("words", words), ("found", found)):
            spans = [
                LabelledSpan("d/s", u.start + begin, u.start + end, label)
                if of_recordings
                else LabelledSpan(u.id, begin, end, label)
                for u, begin, end, label in rows
            ]
            between = [LabelledSpan("d/s", 1.1, 1.4, "ka"), LabelledSpan("d/s", 2.4, 2.8, "ti")]
            files[name] = tmp_path / f"{name}.parquet"
            write_spans(files[name], Spans((*spans, *(between if of_recordings else ()))))
        scored.append(score_terms(files["found"], corpus=home, words=files["words"]))
    assert values(scored[0]) == pytest.approx(values(scored[1]))
    assert "left out: 2 spans outside every utterance" in scored[1].notes


def test_a_split_counts_alone(spoken, tmp_path):
    scored = score_terms(
        tmp_path / "found.parquet", corpus=spoken.folder, split="test", shift_ms=-60
    )
    aligned = [name for name in spoken.select(split="test").ids if name in spoken.ids[:5]]
    assert {score.options["n_utterances"] for score in scored.scores} == {len(aligned)}
    assert "without gold words" in scored.notes[-1]
    assert "token_f1_%" not in values(scored)


def test_the_command_with_the_challenges_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.phn").write_text("a 0 .1 k\na .1 .2 a\nb 0 .1 k\nb .1 .2 a\n")
    (tmp_path / "x.wrd").write_text("a 0 .2 ka\nb 0 .2 ka\n")
    (tmp_path / "x.classes").write_text("Class 1\na 0 .2\nb 0 .2\n\nClass 2\nb .4 .5\n\n")
    words = [
        "score",
        "terms",
        "x.classes",
        "--phones",
        "x.phn",
        "--words",
        "x.wrd",
        "--out",
        "s.jsonl",
    ]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "1 spans that cover no phone" in result.output
    scores = {score.metric: score.value for score in read_scores(tmp_path / "s.jsonl")}
    assert (scores["ned_%"], scores["type_f1_%"], scores["coverage_%"]) == (0, 100, 100)


def test_bad_input(spoken, tmp_path):
    found = tmp_path / "found.parquet"
    corpus = spoken.folder
    with pytest.raises(InputError, match="either corpus= or phones="):
        score_terms(found)
    with pytest.raises(InputError, match="only apply to corpus="):
        score_terms(found, phones=found, split="test")
    other = tmp_path / "other.csv"
    write_spans(other, Spans((LabelledSpan("elsewhere", 0, 1, "x"),)))
    with pytest.raises(InputError, match="elsewhere"):
        score_terms(other, corpus=corpus)
    with pytest.raises(InputError, match="elsewhere"):
        score_terms(found, corpus=corpus, words=other)
    write_spans(other, Spans((LabelledSpan(spoken.ids[5], 0, 1, "x"),)))
    with pytest.raises(InputError, match="none of 1 utterance with spans has gold phones"):
        score_terms(other, corpus=corpus)
    with pytest.raises(InputError, match="gold words of other utterances"):
        score_terms(found, corpus=corpus, words=other)
