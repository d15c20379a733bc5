"""Scores of hits, beside texts and beside gold words in time."""

from dataclasses import replace
from pathlib import Path

import pytest

from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, Utterance, write_corpus
from zerochain.formats.spans import LabelledSpan, Spans, write_spans
from zerochain.scoring.find import score_find

TEXTS = ["Mwána adí.", "la mwána, mwána", "adí wó", "wó", "mwaná adí", "zé la"]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    utterances = tuple(
        Utterance(f"u{i}", f"u{i}.wav", 3.0, text=text, split="test" if i < 5 else "train")
        for i, text in enumerate(TEXTS)
    )
    return write_corpus(tmp_path / "corpus", Corpus("said", utterances))


def spans(path: Path, *rows: tuple[object, ...]) -> Path:
    write_spans(path, Spans(tuple(LabelledSpan(*row) for row in rows), "hits", "dtw"))  # type: ignore[arg-type]
    return path


def values(scored: object) -> dict[str, float]:
    return {score.metric: score.value for score in scored.scores}  # type: ignore[attr-defined]


def test_utterances_whose_text_has_the_word_are_right(corpus: Corpus, tmp_path: Path) -> None:
    queries = spans(
        tmp_path / "q.csv", ("u0", 0, 1, "mwána"), ("u2", 0, 1, "adí"), ("u5", 0, 1, "zé")
    )
    hits = spans(
        tmp_path / "hits.parquet",
        ("u0", 0, 1, "mwána", 9.0),  # the query's own utterance is no trial
        ("u1", 0, 1, "mwána", 5.0),
        ("u1", 1, 2, "mwána", 4.0),  # the same utterance again
        ("u3", 0, 1, "mwána", 4.5),  # wrong, and below the best hit of u1
        ("u3", 1, 2, "adí", 3.5),  # wrong
        ("u0", 1, 2, "adí", 3.0),
    )
    scored = score_find(hits, corpus.home, queries=queries)
    found = values(scored)
    # mwána: 1 of 1 (an accent is another word); adí: 1/2 of 2, the other is not found.
    assert found["mean_average_precision"] == pytest.approx((1 + 0.25) / 2)
    assert found["precision@10"] == pytest.approx((0.1 + 0.1) / 2)
    # Up to 5.0 the first query is perfect; the wrong hit costs more than what follows gains.
    assert found["mtwv"] == pytest.approx(0.5)
    assert scored.scores[0].n == 2
    assert scored.scores[0].system == "dtw"
    assert "1 query that nobody says again: zé" in scored.notes[0]
    cheap = score_find(hits, corpus.home, queries=queries, beta=0.0)
    assert values(cheap)["mtwv"] == pytest.approx(0.75)


def test_utterances_without_a_text_are_no_trials(corpus: Corpus, tmp_path: Path) -> None:
    """As if the corpus had only the others; without any text nothing is scored."""
    queries = spans(tmp_path / "q.csv", ("u0", 0, 1, "mwána"), ("u2", 0, 1, "adí"))
    rows = [(f"u{i}", 0, 1, word, 9.0 - i) for word in ("mwána", "adí") for i in range(6)]
    found = []
    for name, untold, kept in (
        ("untold", "u3", rows),
        ("without", "", [*rows[:3], *rows[4:9], *rows[10:]]),
    ):
        utterances = tuple(
            replace(u, text=None) if u.id == untold else u
            for u in corpus.utterances
            if untold or u.id != "u3"
        )
        write_corpus(tmp_path / name, Corpus("c", utterances))
        hits = spans(tmp_path / f"{name}.parquet", *kept)
        found.append(score_find(hits, tmp_path / name, queries=queries))
    assert values(found[0]) == values(found[1])
    assert "left out: 1 utterance without a text: u3" in found[0].notes
    silent = tuple(replace(u, text=None) for u in corpus.utterances)
    write_corpus(tmp_path / "silent", Corpus("c", silent))
    with pytest.raises(InputError, match="no utterance that was searched has a text"):
        score_find(hits, tmp_path / "silent", queries=queries)


def test_queries_by_the_names_of_recordings_are_their_utterances(tmp_path: Path) -> None:
    """As `find` takes them: the utterance that a query is from is no trial, however it is named."""
    texts = ["mwána adí", "adí", "la mwána", "wó adí"]
    corpus = Corpus(
        "cut",
        tuple(
            Utterance(f"u{i}", "story.wav", 3.0, start=3.0 * i, end=3.0 * i + 3, text=text)
            for i, text in enumerate(texts)
        ),
    )
    home = write_corpus(tmp_path / "corpus", corpus).home
    hits = spans(tmp_path / "hits.parquet", ("u2", 0, 1, "mwána", 5.0), ("u1", 0, 1, "adí", 4.0))
    words = spans(
        tmp_path / "words.csv",
        *(
            (f"u{i}", j, j + 1, w)
            for i, text in enumerate(texts)
            for j, w in enumerate(text.split())
        ),
    )
    by_id = spans(tmp_path / "id.csv", ("u0", 0, 1, "mwána"), ("u3", 1, 2, "adí"))
    by_name = spans(tmp_path / "name.csv", ("story", 0, 1, "mwána"), ("story", 10, 11, "adí"))
    of_story = spans(
        tmp_path / "story.csv",
        *(
            ("story", 3 * i + j, 3 * i + j + 1, w)
            for i, text in enumerate(texts)
            for j, w in enumerate(text.split())
        ),
    )
    score = {
        gold: values(score_find(hits, home, queries=by_id, words=gold))
        for gold in (words, of_story)
    }
    assert score[words] == score[of_story]
    for gold in (None, words):
        one, other = (score_find(hits, home, queries=q, words=gold) for q in (by_id, by_name))
        assert values(one) == values(other)


def test_places_are_compared_in_time(corpus: Corpus, tmp_path: Path) -> None:
    queries = spans(tmp_path / "q.csv", ("u0", 0, 1, "mwána"))
    words = spans(
        tmp_path / "words.csv",
        ("u0", 0, 1, "mwána"),
        ("u1", 0.5, 1.5, "mwána"),
        ("u1", 1.5, 2.5, "mwána"),
    )
    hits = spans(
        tmp_path / "hits.parquet",
        ("u1", 0.4, 1.3, "mwána", 5.0),
        ("u1", 0.6, 1.6, "mwána", 4.5),  # the same word once more is wrong
        ("u1", 1.6, 2.4, "mwána", 4.0),
    )
    scored = score_find(hits, corpus.home, queries=queries, words=words)
    found = values(scored)
    assert scored.scores[0].options["n_trials"] == 3 * (len(TEXTS) - 1)  # seconds of the others
    assert found["mean_average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["mtwv"] == pytest.approx(0.5)


def test_a_word_of_all_utterances_measures_nothing(corpus: Corpus, tmp_path: Path) -> None:
    everywhere = spans(tmp_path / "q.csv", *((f"u{i}", 0, 1, "wó") for i in (0, 1, 4, 5)))
    found = spans(tmp_path / "found.csv", ("u3", 0, 1, "wó", 5.0))
    with pytest.raises(InputError, match="everything searched is right for wó, which leaves"):
        score_find(found, corpus.home, queries=everywhere)
    rows = [(f"u{i}", 0, 1, "wó") for i in (0, 1, 4, 5)] + [("u1", 1, 2, "adí")]
    scored = score_find(found, corpus.home, queries=spans(tmp_path / "two.csv", *rows))
    assert (scored.scores[0].n, values(scored)["mean_average_precision"]) == (1, 0)
    assert scored.scores[0].options["exclusions"] == {"queries_said_everywhere": 1}
    assert "that all other utterances have: wó" in scored.notes[0]


def test_what_does_not_join_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    queries = spans(tmp_path / "q.csv", ("u0", 0, 1, "mwána"))
    other = spans(tmp_path / "other.csv", ("u9", 0, 1, "mwána", 1.0))
    with pytest.raises(InputError, match="missing in the searched recordings: u9"):
        score_find(other, corpus.home, queries=queries)
    unknown = spans(tmp_path / "unknown.csv", ("u1", 0, 1, "wó", 1.0))
    with pytest.raises(InputError, match="wó"):
        score_find(unknown, corpus.home, queries=queries)
    unscored = spans(tmp_path / "unscored.csv", ("u1", 0, 1, "mwána"))
    with pytest.raises(InputError, match="1 hit without a score"):
        score_find(unscored, corpus.home, queries=queries)
    hits = spans(tmp_path / "hits.csv", ("u1", 0, 1, "mwána", 1.0))
    with pytest.raises(InputError, match="is said again"):
        score_find(
            hits,
            corpus.home,
            queries=spans(
                tmp_path / "no.csv",
                ("u0", 0, 1, "mwána"),
            ),
            split="test",
            words=spans(tmp_path / "w.csv", ("u0", 0, 1, "mwána")),
        )
    with pytest.raises(InputError, match="no word of what was searched"):
        score_find(hits, corpus.home, queries=queries, words=other)
