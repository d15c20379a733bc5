"""Search for words by one example each, with several systems and with plain DTW of MFCCs.

    python evaluation/find/measure.py corpora/mboshi features/mboshi latents posteriors \\
        --words gold-words.parquet --out runs/find-mboshi

The first features are MFCCs, which librosa.sequence.dtw aligns as well. Of every word (or, without
--words, of every run of phones) that is said in enough utterances, one example drawn at random is
the query; utterances that it was cut from are left out. Every utterance is returned, so average
precision is exact. Systems that scores.jsonl has already are kept. Prints the table of all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import click
import numpy as np

from zerochain.features.normalisation import default_normalisation, normalised
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import read_features
from zerochain.formats.phones import PHONES_FILE, read_phones
from zerochain.formats.scores import read_scores
from zerochain.formats.spans import LabelledSpan, Spans, by_label, read_spans, write_spans
from zerochain.metrics.bootstrap import bootstrap_mean
from zerochain.metrics.silences import SILENCES
from zerochain.metrics.spoken_terms import average_precision
from zerochain.scoring.find import place_rankings, utterance_rankings

PEER = "plain-dtw"
RUN = 8
"""Phones per term, where there are no words: about half a second."""
EVERYTHING = ("--most", 100_000, "--min-score", -1000, "--candidates", 4000)


def runs_of_phones(corpus):
    """All runs of phones as terms, without silences in them."""
    spoken = read_phones(corpus.home / PHONES_FILE).by_id
    rows = []
    for name, phones in spoken.items():
        for i in range(len(phones) - RUN + 1):
            run = phones[i : i + RUN]
            if not any(p.phone in SILENCES for p in run):
                label = " ".join(p.phone for p in run)
                rows.append(LabelledSpan(name, run[0].onset, run[-1].offset, label))
    return rows


def chosen(words, least, letters, every):
    """One example, drawn at random, of each label said in at least `least` utterances."""
    rows_of = by_label(row for row in words if len(row.label) >= letters)
    rng, queries = np.random.default_rng(0), []
    often = [k for k, rows in rows_of.items() if len({r.recording for r in rows}) >= least]
    for label in sorted(often)[::every]:
        rows = rows_of[label]
        queries.append(rows[rng.integers(len(rows))])
    return queries


def plain_dtw(folder, queries, out):
    """librosa's subsequence DTW of MFCCs, normalised as ours: the best end in every utterance."""
    import librosa

    features = read_features(folder)
    features = normalised(features, default_normalisation(features))
    step_s, rows = features.step_ms / 1000, []
    for query in queries:
        begin = round(query.start_s / step_s)
        end = max(round(query.end_s / step_s), begin + 1)
        frames = np.asarray(features[query.recording][begin:end]).T
        for name in features.ids:
            cost = (
                librosa.sequence.dtw(
                    frames,
                    np.asarray(features[name]).T,
                    subseq=True,
                    backtrack=False,
                    metric="cosine",
                )[-1]
                / frames.shape[1]
            )
            last = int(np.argmin(cost))
            end_s = (last + 1) * step_s
            start_s = max(0.0, end_s - (query.end_s - query.start_s))
            rows.append(LabelledSpan(name, start_s, end_s, query.label, -float(cost[last])))
    write_spans(out, Spans(tuple(rows), "hits", "MFCC-39, plain DTW (librosa)"))


def command(*words):
    """Run zerochain; what it refuses ends the measurement."""
    done = subprocess.run([sys.executable, "-m", "zerochain", *map(str, words)], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def precisions(hits, queries, corpus, words):
    """The average precision of each query."""
    found, examples = by_label(read_spans(hits).rows), by_label(queries)
    ranked = (
        utterance_rankings(found, examples, corpus)
        if words is None
        else place_rankings(found, examples, corpus, words)
    )
    return np.array([average_precision(ranked[label]) for label in sorted(ranked)])


def main():
    """Search with each system, score the hits, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("sources", type=Path, nargs="+", help="MFCCs, other features, unit files.")
    parser.add_argument("--also", type=Path, help="Features to compare the first ones along with.")
    parser.add_argument("--words", type=Path, help="Gold words (data/mboshi/words.py).")
    parser.add_argument("--least", type=int, default=3, help="Utterances that a word is said in.")
    parser.add_argument("--letters", type=int, default=5, help="Of a word, at least.")
    parser.add_argument("--every", type=int, default=1, help="Take every n-th word.")
    parser.add_argument("--no-peer", action="store_true", help="Without plain DTW.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    out, corpus = arguments.out, read_corpus(arguments.corpus)
    out.mkdir(parents=True, exist_ok=True)
    words = arguments.words
    if words is None:
        words = out / "runs.parquet"
        write_spans(words, Spans(tuple(runs_of_phones(corpus)), "words"))
    queries = chosen(read_spans(words).rows, arguments.least, arguments.letters, arguments.every)
    write_spans(out / "queries.parquet", Spans(tuple(queries), "queries"))
    common = ("--queries", out / "queries.parquet", "--corpus", arguments.corpus)
    beside = () if all(u.text for u in corpus.utterances) else ("--words", words)
    there = out / "scores.jsonl"
    done = {score.system for score in read_scores(there)} if there.exists() else set()
    systems = {} if arguments.no_peer else {PEER: None}
    systems |= {source.name.removesuffix(".parquet"): source for source in arguments.sources}
    if len(systems) < len(arguments.sources) + (not arguments.no_peer):
        parser.error("two sources have the same name, which is their system's")
    extra = {}
    if arguments.also is not None:
        first = arguments.sources[0]
        systems[f"{first.name}+{arguments.also.name}"] = first
        extra[f"{first.name}+{arguments.also.name}"] = ("--also", arguments.also)
    for name, source in systems.items():
        if name in done:
            continue
        hits = out / f"{name}-hits.parquet"
        if source is None:
            plain_dtw(arguments.sources[0], queries, hits)
        else:
            more = ("--model", source.with_suffix("")) if source.suffix == ".parquet" else ()
            more += extra.get(name, ())
            command("find", out / "queries.parquet", source, *more, *EVERYTHING, "--out", hits)
        command("score", "find", hits, *common, *beside, "--system", name, "--out", there)
    values = {
        name: precisions(
            out / f"{name}-hits.parquet", queries, corpus, beside[1] if beside else None
        )
        for name in systems
    }
    table(there, len(queries), values)


def table(path, n, values):
    """Print the scores as a Markdown table, with the gain in MAP over plain DTW, by query."""
    scores = {}
    for score in read_scores(path):
        scores.setdefault(score.system, {})[score.metric] = score
    click.echo(f"| system ({n} queries) | MAP | P@10 | MTWV | gain in MAP |\n|---|---|---|---|---|")
    for system, row in scores.items():
        cells = [f"{s.value:.3f} ({s.interval[0]:.3f}–{s.interval[1]:.3f})" for s in row.values()]
        gain = "–"
        if PEER in values and system in values and system != PEER:
            gain = gained(values[system], values[PEER])
        click.echo(f"| {system} | {' | '.join(cells)} | {gain} |")
    for system in values:
        for part in system.split("+") if "+" in system else ():
            if part in values:
                click.echo(f"{system} beside {part}: {gained(values[system], values[part])}")


def gained(values, others):
    """The mean difference, query by query, with its interval."""
    low, high = bootstrap_mean(values - others)
    return f"{(values - others).mean():+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()
