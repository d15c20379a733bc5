"""The true text of recordings as units, one per character: the output of a perfect recogniser.

python characters.py CORPUS --out units.parquet
"""

import argparse
from pathlib import Path

import numpy as np

from zerochain.formats.corpus import read_corpus
from zerochain.formats.units import UnitFile, write_units
from zerochain.metrics.text import plain

STEP_MS = 50.0  # of a character, roughly; the limit on the length of a text depends on it


def main() -> None:
    """Write the unit file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    corpus = read_corpus(given.corpus)
    texts = {u.id: plain(u.text or "") or " " for u in corpus.utterances}
    alphabet = sorted(set("".join(texts.values())))
    codes = {character: code for code, character in enumerate(alphabet)}
    units = UnitFile(
        units={name: np.array([codes[c] for c in text], np.int32) for name, text in texts.items()},
        n_units=len(alphabet),
        step_ms=STEP_MS,
        model_id=f"characters {''.join(alphabet)}",
        method="the source's true text",
        speakers={u.id: u.speaker for u in corpus.utterances},
        corpus_id=corpus.id,
    )
    write_units(given.out, units)


if __name__ == "__main__":
    main()
