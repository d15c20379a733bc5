"""Whether recordings carry the tones of their transcripts: what a classifier learns from gold tone.

    zerochain extract corpora/mboshi --features f0 --step-ms 10 --out features/f0
    zerochain extract corpora/mboshi --features mfcc --out features/mboshi
    python evaluation/discovery/tone.py corpora/mboshi --f0 features/f0 --mfcc features/mboshi \
        --phone-table evaluation/discovery/mboshi-phones.csv --shift-ms -60

takes vowels that differ in tone alone, with their gold boundaries, and prints for each kind of
evidence the accuracy of gradient-boosted trees on the test split, trained on gold tone of the
training split, and the ABX error across speakers of their log-odds; and the ABX error of the
height of F0 itself, which nobody trained. Nothing discovered can use gold boundaries or tones:
the errors show how much there is to be found.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from zerochain.features.tone import ToneOptions, tone_height
from zerochain.formats.corpus import read_corpus
from zerochain.formats.features import read_features
from zerochain.formats.phones import PHONES_FILE, read_phones
from zerochain.scoring.abx_groups import read_phone_table

Array = NDArray[np.float64]
N_INSIDE = 5
"""Places in the vowel at which F0 is measured."""
AROUND = np.arange(-40, 41, 8)
"""Frames of 10 ms from the middle of the vowel, for F0 around it."""
N_TRIPLES = 20_000
"""Random triples (A, B, X) per vowel, tone and speaker."""


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--f0", type=click.Path(path_type=Path), required=True, help="F0, step 10 ms.")
@click.option("--mfcc", type=click.Path(path_type=Path), required=True, help="MFCC, step 10 ms.")
@click.option("--phone-table", type=click.Path(path_type=Path), required=True)
@click.option("--shift-ms", type=float, default=0.0)
@click.option("--train-split", default="train")
@click.option("--test-split", default="test")
def main(
    corpus: Path,
    f0: Path,
    mfcc: Path,
    phone_table: Path,
    shift_ms: float,
    train_split: str,
    test_split: str,
) -> None:
    """Measure how well tone is recognised in CORPUS; the table has columns `base` and `tone`."""
    table = read_phone_table(phone_table)
    place = {name: table.columns.index(name) for name in ("base", "tone")}
    toned = {
        phone: (values[place["base"]], values[place["tone"]])
        for phone, values in table.values.items()
        if values[place["tone"]]
    }
    bases, tones = (sorted({pair[i] for pair in toned.values()}) for i in (0, 1))
    whole = read_corpus(corpus)
    gold = read_phones(whole.home / PHONES_FILE)
    contours, spectra = read_features(f0), read_features(mfcc)
    parts: dict[str, list[Array]] = {"inside": [], "around": [], "place": [], "spectrum": []}
    labels: list[tuple[int, int, str, str]] = []
    for u in whole.utterances:
        if u.id not in gold.by_id or u.split not in {train_split, test_split}:
            continue
        frames = spectra[u.id].astype(np.float64)
        n = min(len(frames), len(contours[u.id]))
        contour, frames = contours[u.id][:n, 0], frames[:n]
        frames = (frames - frames.mean(axis=0)) / frames.std(axis=0)
        heights = [
            tone_height(contour, ToneOptions(reference=reference))
            for reference in ("local", "declination")
        ]
        for phone in gold.by_id[u.id]:
            if phone.phone not in toned:
                continue
            first, last = ((t + shift_ms / 1000) * 100 for t in (phone.onset, phone.offset))
            middle = (first + last) / 2
            inside = at(np.linspace(first, last, N_INSIDE), n)
            around = at(middle + AROUND, n)
            parts["inside"].append(np.concatenate([height[inside] for height in heights]))
            parts["around"].append(
                np.concatenate([*(height[around] for height in heights), contour[around] > 0])
            )
            parts["place"].append(np.array([last - first, middle / n, n]))
            parts["spectrum"].append(frames[at(np.arange(first, last + 1), n)].mean(axis=0))
            base, tone = toned[phone.phone]
            labels.append((bases.index(base), tones.index(tone), str(u.speaker), str(u.split)))
    evidence = {name: np.stack(rows) for name, rows in parts.items()}
    base, tone = (np.array([row[i] for row in labels]) for i in (0, 1))
    speaker, split = (np.array([row[i] for row in labels]) for i in (2, 3))
    train, test = split == train_split, split == test_split
    click.echo(f"{train.sum():,} vowels to learn from, {test.sum():,} to test; tones {tones}")

    def error(values: Array) -> float:
        return abx(values[test], base[test], tone[test], speaker[test])

    height = evidence["inside"][:, :N_INSIDE].mean(axis=1)
    click.echo(f"height of F0 in the vowel, untrained: ABX {error(height):.1f} %")
    click.echo(f"… its tanh, of 1.5 per semitone: ABX {error(np.tanh(1.5 * height)):.1f} %")
    for names in (
        ["inside"],
        ["inside", "around"],
        ["inside", "around", "place", "spectrum"],
        ["spectrum"],
    ):
        known = np.eye(len(bases))[base]
        x = np.concatenate([known, *(evidence[name] for name in names)], axis=1)
        trees = HistGradientBoostingClassifier(
            max_iter=150, learning_rate=0.05, max_leaf_nodes=15, random_state=0
        )
        trees.fit(x[train], tone[train])
        accuracy = 100 * trees.score(x[test], tone[test])
        odds = trees.decision_function(x)
        words = " + ".join(names)
        click.echo(f"trained on {words}: accuracy {accuracy:.1f} %, ABX {error(odds):.1f} %")


def at(frames: Array, n: int) -> NDArray[np.int64]:
    """Places of frames in an utterance of n, those beyond its ends at its ends."""
    return np.clip(np.round(frames), 0, n - 1).astype(np.int64)


def abx(
    values: Array, base: NDArray[np.int64], tone: NDArray[np.int64], speaker: NDArray[np.str_]
) -> float:
    """ABX error across speakers (%) of one number per vowel, for pairs that differ in tone alone.

    The mean over the pairs of that over the speakers of A and B; X is of all others.
    """
    rng = np.random.default_rng(0)
    errors = []
    for one in np.unique(base):
        for high in np.unique(tone):
            of_speakers = []
            for name in np.unique(speaker):
                here, same = (base == one) & (speaker == name), tone == high
                a, b = values[here & same], values[here & ~same]
                x = values[(base == one) & (speaker != name) & same]
                if min(len(a), len(b), len(x)) < 5:
                    continue
                a, b, x = (rng.choice(part, N_TRIPLES) for part in (a, b, x))
                nearer = np.abs(a - x) - np.abs(b - x)
                of_speakers.append((nearer > 0).mean() + (nearer == 0).mean() / 2)
            if of_speakers:
                errors.append(np.mean(of_speakers))
    return 100 * float(np.mean(errors))


if __name__ == "__main__":
    main()
