"""Hits of a search compared with what is said: `zerochain score find`.

Right is an utterance whose text has the label as a word or as a run of words or, with a table of
gold words, a place that overlaps one. Utterances that an example of the query was cut from are no
trials. Words are compared in lower case and without punctuation, and keep their accents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zerochain.errors import InputError, counted, listed
from zerochain.formats.corpus import Corpus, Utterance, read_corpus
from zerochain.formats.identity import check_same_ids, file_id
from zerochain.formats.spans import LabelledSpan, by_label, by_recording, read_spans
from zerochain.metrics import names
from zerochain.metrics.bootstrap import bootstrap_mean
from zerochain.metrics.spoken_terms import (
    QUESST_BETA,
    SWS_BETA,
    Ranked,
    average_precision,
    max_term_weighted_value,
    precision_at,
)
from zerochain.metrics.text import NORMALISATION, plain
from zerochain.scoring.common import Common, Scored, in_utterances
from zerochain.search.queries import Searched

FIRST = 10
_HALF = 0.5


def score_find(
    hits: Path,
    corpus: Path,
    *,
    queries: Path,
    words: Path | None = None,
    split: str | None = None,
    beta: float | None = None,
    system: str | None = None,
    seed: int = 0,
) -> Scored:
    """MAP, precision at 10 and MTWV of hits, with intervals over queries.

    Args:
        hits: a table of spans with scores, whose labels are those of the queries.
        queries: the examples that were searched for: a table of spans whose labels are words.
        words: gold words, a table of spans of utterances or recordings: hits are then compared
            with these in time. None compares utterances with their texts.
        split: what was searched; None is the whole corpus.
        beta: weight of false alarms in MTWV; None is 12.49 (QUESST 2014) for utterances, 66.66
            (SWS 2013) for places.

    Raises:
        InputError: hits without scores, of utterances that the corpus or the split lacks, or of
            labels that are no query; a query that is not within one utterance; no text; no query
            that is said again.
    """
    found, examples, whole = read_spans(hits), read_spans(queries), read_corpus(corpus)
    searched = whole.select(split=split)
    check_same_ids(
        {row.recording for row in found.rows}, searched.ids, "hits", "searched recordings"
    )
    if unscored := [row.recording for row in found.rows if row.score is None]:
        raise InputError(f"{counted(len(unscored), 'hit')} without a score", path=hits)
    # `find` takes queries by the names of recordings as well; its hits are in utterances.
    places = Searched(whole.ids, whole)
    own = [(row, places.place(row)) for row in examples.rows]
    rows = [row if place is None else row._replace(recording=place.id) for row, place in own]
    hits_of, examples_of = by_label(found.rows), by_label(rows)
    labels = list(examples_of)
    check_same_ids(hits_of, labels, "hits' labels", "queries")
    if words is None:
        ranked = utterance_rankings(hits_of, examples_of, searched)
        protocol, beta = "utterances", QUESST_BETA if beta is None else beta
    else:
        ranked = place_rankings(hits_of, examples_of, searched, words, whole)
        protocol, beta = "places", SWS_BETA if beta is None else beta
    silent = [label for label in labels if label not in ranked]
    # Nothing wrong can be returned for these, so nothing is measured, and MTWV is undefined.
    everywhere = [label for label, query in ranked.items() if query.n_right == query.n_trials]
    ranked = {label: query for label, query in ranked.items() if label not in everywhere}
    if everywhere and not ranked:
        raise InputError(
            f"everything searched is right for {listed(everywhere)}, which leaves nothing to find",
            path=queries,
            cause="all other utterances have the word",
            remedy="search more speech, or for rarer words",
        )
    if not ranked:
        raise InputError(
            f"none of {counted(len(labels), 'query', 'queries')} is said again",
            path=queries,
            cause="the labels are not words of the texts, or occur only where the queries are from",
            remedy="label queries with their words, spelled as in the texts",
        )
    notes = []
    if silent:
        notes.append(
            f"left out: {counted(len(silent), 'query', 'queries')} that nobody says again: "
            f"{listed(silent)}"
        )
    if everywhere:
        notes.append(
            f"left out: {counted(len(everywhere), 'query', 'queries')} that all other utterances "
            f"have: {listed(everywhere)}"
        )
    untold = [] if words is not None else [u.id for u in searched.utterances if not _words(u)]
    if untold:
        notes.append(
            f"left out: {counted(len(untold), 'utterance')} without a text: {listed(untold, 3)}"
        )
    left_out = {
        "queries_said_once": len(silent),
        "queries_said_everywhere": len(everywhere),
        "utterances_without_text": len(untold),
    }
    inputs = {"hits": file_id(hits), "corpus": whole.id, "queries": file_id(queries)}
    if words is not None:
        inputs["words"] = file_id(words)
    options = {
        "n_of": "queries",
        "split": split,
        "seed": seed,
        "n_trials": int(np.mean([query.n_trials for query in ranked.values()])),
        "n_right": sum(query.n_right for query in ranked.values()),
        "normalisation": NORMALISATION,
        "exclusions": {why: n for why, n in left_out.items() if n},
    }
    common = Common(system or found.system or hits.stem, inputs, options)
    all_of = list(ranked.values())
    precise = np.array([average_precision(query) for query in all_of])
    first = np.array([precision_at(query, FIRST) for query in all_of])
    weighted = max_term_weighted_value(all_of, beta, seed=seed)
    n = len(all_of)
    threshold = weighted.threshold if np.isfinite(weighted.threshold) else None
    scores = [
        common.score(
            names.SEARCH_MAP, float(precise.mean()), bootstrap_mean(precise, seed=seed), n, protocol
        ),
        common.score(
            names.SEARCH_PRECISION,
            float(first.mean()),
            bootstrap_mean(first, seed=seed),
            n,
            protocol,
        ),
        common.score(
            names.SEARCH_MTWV,
            weighted.value,
            weighted.interval,
            n,
            protocol,
            beta=beta,
            threshold=threshold,
        ),
    ]
    return Scored(scores, notes)


def utterance_rankings(
    hits: Mapping[str, Sequence[LabelledSpan]],
    queries: Mapping[str, Sequence[LabelledSpan]],
    corpus: Corpus,
) -> dict[str, Ranked]:
    """What each query found, by label; every utterance is a trial, with its best hit's score.

    Queries that nobody says again are left out, and so are utterances without a text, of which
    nobody knows whether they are right.

    Raises:
        InputError: no utterance has a text.
    """
    texts = {u.id: f" {words} " for u in corpus.utterances if (words := _words(u))}
    if not texts:
        raise InputError(
            "no utterance that was searched has a text",
            path=corpus.folder,
            cause="the corpus was imported without transcripts",
            remedy="import it with a table that has a column 'text', or give words=",
        )
    ranked = {}
    for label, examples in queries.items():
        word = f" {plain(label)} "
        own = {row.recording for row in examples}
        trials = [name for name in texts if name not in own]
        right = {name for name in trials if word in texts[name]}
        best: dict[str, float] = {}
        for row in hits.get(label, ()):
            if row.recording in texts and row.recording not in own:
                assert row.score is not None
                best[row.recording] = max(row.score, best.get(row.recording, row.score))
        if right and word.strip():
            is_right = np.array([name in right for name in best], bool)
            scores = np.array(list(best.values()), np.float64)
            ranked[label] = Ranked(scores, is_right, len(right), len(trials))
    return ranked


def _words(utterance: Utterance) -> str:
    return plain(utterance.text or "")


def place_rankings(
    hits: Mapping[str, Sequence[LabelledSpan]],
    queries: Mapping[str, Sequence[LabelledSpan]],
    corpus: Corpus,
    words: Path,
    whole: Corpus,
) -> dict[str, Ranked]:
    """What each query found; every second of speech is a trial, and every hit one of them.

    A hit is right if it overlaps a word that no better hit has, by half of the shorter of the two.
    The number of trials is that of the NIST evaluation of 2006.

    Args:
        corpus: what was searched, of the `whole` corpus.
        words: of utterances, or of the recordings that they were cut from.

    Raises:
        InputError: `words` has none of what was searched.
    """
    known = set(corpus.ids)
    rows, _ = in_utterances(read_spans(words).rows, whole)
    spoken = by_recording(row for row in rows if row.recording in known)
    if not spoken:
        raise InputError(
            "has no word of what was searched",
            path=words,
            cause="its recordings are named in another way than the corpus's",
            remedy="name utterances by their ids, or recordings by their paths without suffix",
        )
    ranked = {}
    for label, examples in queries.items():
        own = {row.recording for row in examples}
        word = plain(label)
        places = {
            name: [row for row in rows if plain(row.label) == word]
            for name, rows in spoken.items()
            if name not in own
        }
        n_right = sum(map(len, places.values()))
        rows = [row for row in hits.get(label, ()) if row.recording not in own]
        rows.sort(key=lambda row: -(row.score or 0.0))
        is_right = []
        for row in rows:
            left = places.get(row.recording, [])
            match = next((one for one in left if _overlap(row, one) >= _HALF), None)
            is_right.append(match is not None)
            if match is not None:
                left.remove(match)
        if n_right:
            seconds = sum(u.duration for u in corpus.utterances if u.id not in own)
            n_wrong = len(rows) - sum(is_right)
            n_trials = n_right + max(n_wrong, round(seconds) - n_right, 1)
            scores = np.array([row.score for row in rows], np.float64)
            ranked[label] = Ranked(scores, np.array(is_right, bool), n_right, n_trials)
    return ranked


def _overlap(one: LabelledSpan, other: LabelledSpan) -> float:
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return shared / min(one.end_s - one.start_s, other.end_s - other.start_s)
