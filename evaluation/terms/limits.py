"""What stands in the way of better terms: the matches of `zerochain terms` against gold phones.

    python evaluation/terms/limits.py CORPUS units.parquet FEATURES --split train --shift-ms -60

Candidates are pairs of places whose units are alike; the best by their frames are taken. Printed
are the edit distances of those taken and whether they are of one speaker; NED and coverage if
the candidates were ranked by their true distance instead; and how much speech is in strings of
phones that are said again.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from rapidfuzz.distance import Levenshtein

from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import read_features
from zerochain.formats.phones import PHONES_FILE, Phone, read_phones
from zerochain.formats.units import read_units
from zerochain.metrics.silences import SILENCES
from zerochain.metrics.tde import Found, score_clusters, transcript
from zerochain.search.sources import FrameSource
from zerochain.search.stretches import stretches_of
from zerochain.search.terms import (
    TermsConfig,
    best_matches,
    cluster,
    matches_of_units,
    unit_similarity,
)

CONFIG = TermsConfig()
TAKEN = (1000, 1500, 2000, 3000)


def sides(match, speech):
    """Utterance, start and end of both places."""
    for stretch, begin, end in (match[:3], match[3:6]):
        one = speech.stretches[stretch]
        yield Found(one.id, float(one.times[begin]), float(one.times[end]))


def distances(matches, speech, gold):
    """The edit distance of the phones of each match, by the longer; 1 for two empty ones."""
    found = []
    for match in matches:
        a, b = (transcript(gold[side.id], side, SILENCES) for side in sides(match, speech))
        found.append(Levenshtein.normalized_distance(a, b) if a or b else 1.0)
    return np.array(found)


def said_again(gold, speakers, n):
    """Shares of the phones in strings of n that another utterance has: anyone's, the speaker's."""
    shares = []
    for of_speaker in (False, True):
        places = defaultdict(set)
        for name, phones in gold.items():
            spoken = [p.phone for p in phones if p.phone not in SILENCES]
            for i in range(len(spoken) - n + 1):
                whose = speakers[name] if of_speaker else None
                places[whose, tuple(spoken[i : i + n])].add((name, i))
        inside = {
            (name, i + k)
            for one in places.values()
            if len({name for name, _ in one}) > 1
            for name, i in one
            for k in range(n)
        }
        n_phones = sum(p.phone not in SILENCES for line in gold.values() for p in line)
        shares.append(100 * len(inside) / n_phones)
    return shares


def main():
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("units", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--shift-ms", type=float, default=0.0)
    options = parser.parse_args()
    corpus, units = read_corpus(options.corpus), read_units(options.units)
    shift_s = options.shift_ms / 1000
    phones = read_phones(corpus.home / PHONES_FILE).by_id
    gold = {
        name: [Phone(p.onset + shift_s, p.offset + shift_s, p.phone) for p in line]
        for name, line in phones.items()
    }
    speakers = {u.id: u.speaker for u in corpus.utterances}
    inside = set(corpus.select(split=options.split).ids) & gold.keys()
    speech = stretches_of(units, corpus)
    matches, _ = matches_of_units(speech, CONFIG, unit_similarity(units.n_units), CONFIG.candidates)
    frames = FrameSource(read_features(options.features))
    taken = best_matches(matches, speech, frames, CONFIG.covered)
    here = [m for m in taken if all(side.id in inside for side in sides(m, speech))]
    far = distances(here, speech, gold)
    alike = [len({speakers[side.id] for side in sides(m, speech)}) == 1 for m in here]
    click.echo(
        f"{len(here)} matches within {options.split}, of {len(taken)} taken and {len(matches)}: "
        f"distance up to .2 {100 * (far <= 0.2).mean():.0f} %, above .5 "
        f"{100 * (far > 0.5).mean():.0f} %; of one speaker {100 * np.mean(alike):.0f} %"
    )
    known = [m for m in matches if all(side.id in gold for side in sides(m, speech))]
    true = distances(known, speech, gold)
    order = np.argsort(true, kind="stable")
    times = [one.times for one in speech.stretches]
    scored = {name: line for name, line in gold.items() if name in inside}
    for n in TAKEN:
        ideal = [known[i]._replace(likeness=float(1 - true[i])) for i in order[:n]]
        clusters = {
            str(i): [
                Found(name, start_s, end_s)
                for stretch, start_s, end_s, _ in members
                if (name := speech.stretches[stretch].id) in inside
            ]
            for i, members in enumerate(cluster(ideal, times))
        }
        result = score_clusters(clusters, scored, None)
        click.echo(
            f"{n} by the true distance: NED {result.ned.value:.1f}, "
            f"coverage {result.coverage.value:.1f}"
        )
    for n in (5, 6, 7):
        anyone, own = said_again(gold, speakers, n)
        click.echo(f"strings of {n} phones said again: {anyone:.0f} %, by one speaker {own:.0f} %")


if __name__ == "__main__":
    main()
