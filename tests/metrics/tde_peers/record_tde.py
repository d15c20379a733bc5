"""Records what zerospeech-tde 2.0.3 gives for synthetic phones, words and clusters.

    python3.8 -m venv peers && peers/bin/pip install zerospeech-tde==2.0.3 pandas
    peers/bin/python tests/metrics/tde_peers/record_tde.py

Writes scores.json beside this file. Times lie on another grid in every recording, since the
reference counts equal phones at equal times of two recordings as one token (case "same times").
"""

import json
import math
import random
import tempfile
from pathlib import Path

from tde.measures.boundary import Boundary
from tde.measures.coverage import Coverage
from tde.measures.grouping import Grouping
from tde.measures.ned import Ned
from tde.measures.token_type import TokenType
from tde.readers.disc_reader import Disc
from tde.readers.gold_reader import Gold

LEXICON = ["a k i", "t a", "m u k i", "k a", "u n a k i t", "t a t a", "i", "k i m a"]


def speech(rng, n, pauses, same_times=False):
    """Phones and words of n recordings: name → [(onset, offset, label)]."""
    phones, words = {}, {}
    for i in range(n):
        now = 0.0 if same_times else round(rng.uniform(0, 0.5), 4)
        line, said = [], []
        for _ in range(rng.randint(4, 9)):
            if rng.random() < pauses:
                end = round(now + rng.uniform(0.02, 0.4), 4)
                line.append((now, end, "SIL"))
                now = end
            start, word = now, rng.choice(LEXICON)
            for phone in word.split():
                end = round(now + (0.08 if same_times else rng.uniform(0.025, 0.15)), 4)
                line.append((now, end, phone))
                now = end
            said.append((start, now, word.replace(" ", "")))
        phones[f"u{i}"], words[f"u{i}"] = line, said
    return phones, words


def discovered(rng, words, jitter, wrong, junk):
    """Clusters of word tokens with wrong times, in part in wrong clusters, and of random spans."""
    clusters = {}
    for name, line in words.items():
        for on, off, word in line:
            if rng.random() < 0.2:
                continue
            label = rng.choice(LEXICON).replace(" ", "") if rng.random() < wrong else word
            start = max(0.0, on + rng.uniform(-jitter, jitter))
            end = max(start + 0.02, off + rng.uniform(-jitter, jitter))
            clusters.setdefault(label, []).append((name, round(start, 4), round(end, 4)))
        for _ in range(junk):
            start = rng.uniform(0, line[-1][1] - 0.1)
            end = start + rng.uniform(0.01, 0.6)
            span = (name, round(start, 4), round(min(end, line[-1][1]), 4))
            for label in rng.sample([*sorted(clusters), "junk"], k=rng.randint(1, 2)):
                clusters.setdefault(label, []).append(span)
    return clusters


def cases():
    rng = random.Random(0)
    settings = {
        "good": (6, 0.2, 0.02, 0.1, 0),
        "poor": (6, 0.2, 0.08, 0.4, 3),
        "no pauses": (4, 0.0, 0.05, 0.2, 2),
        "exact": (5, 0.3, 0.0, 0.0, 0),
        "many pauses": (8, 0.7, 0.04, 0.2, 4),
    }
    for case, (n, pauses, jitter, wrong, junk) in settings.items():
        phones, words = speech(rng, n, pauses)
        yield case, phones, words, discovered(rng, words, jitter, wrong, junk)
    phones, words = speech(rng, 5, 0.3)
    spans = [(name, on, off) for name, line in words.items() for on, off, _ in line]
    yield "one cluster", phones, words, {"all": spans}
    yield "each alone", phones, words, {str(i): [span] for i, span in enumerate(spans)}
    yield "twice the same", phones, words, {"a": [spans[0], spans[0]], "b": spans[1:4]}
    near = [(n, on, round(off + d, 4)) for n, on, off in spans[:6] for d in (0, 0.02, 0.3)]
    yield "overlapping", phones, words, {"a": near, "b": near[:5]}
    pause = next((n, on, off) for n, line in phones.items() for on, off, p in line if p == "SIL")
    sliver = (pause[0], pause[1], round(pause[1] + 0.003, 4))
    yield "silence", phones, words, {"a": [pause, pause, spans[0]], "b": [sliver, *spans[:3]]}
    whole = [(n, line[0][0], line[-1][1]) for n, line in words.items()]
    yield "whole recordings", phones, words, {"a": whole}
    phones, words = speech(rng, 3, 0.0, same_times=True)
    spans = [(name, on, off) for name, line in words.items() for on, off, _ in line]
    yield "same times", phones, words, {"all": spans}


def lines(gold):
    rows = (f"{n} {on} {off} {s}\n" for n, line in gold.items() for on, off, s in line)
    return "".join(rows)


def scored(phones, words, clusters):
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("phn", "wrd", "classes")}
        files["phn"].write_text(lines(phones))
        files["wrd"].write_text(lines(words))
        text = ""
        for i, spans in enumerate(clusters.values()):
            text += f"Class {i}\n" + "".join("{} {} {}\n".format(*span) for span in spans) + "\n"
        files["classes"].write_text(text)
        gold = Gold(wrd_path=str(files["wrd"]), phn_path=str(files["phn"]))
        disc = Disc(str(files["classes"]), gold)
    ned, coverage, grouping = Ned(disc), Coverage(gold, disc), Grouping(disc)
    token_type, boundary = TokenType(gold, disc), Boundary(gold, disc)
    ned.compute_ned()
    coverage.compute_coverage()
    grouping.compute_grouping()
    token_type.compute_token_type()
    boundary.compute_boundary()
    found = {
        "ned": ned.ned,
        "coverage": coverage.coverage,
        "grouping": (grouping.precision, grouping.recall),
        "token": (token_type.precision[0], token_type.recall[0]),
        "type": (token_type.precision[1], token_type.recall[1]),
        "boundary": (boundary.precision, boundary.recall),
    }
    return {name: plain(value) for name, value in found.items()}


def plain(value):
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return None if math.isnan(value) else float(value)


if __name__ == "__main__":
    made = [
        {"case": case, "phones": p, "words": w, "clusters": c, "scores": scored(p, w, c)}
        for case, p, w, c in cases()
    ]
    text = json.dumps({"zerospeech-tde": "2.0.3", "cases": made}, separators=(",", ":"))
    (Path(__file__).parent / "scores.json").write_text(text.replace('{"case"', '\n{"case"') + "\n")
