"""What the loop is worth on each test split: table.md to read, table.csv to process.

A character is compared alone, and with the language in which it was recognised. Intervals are over
utterances, which are resampled together for a method and the pairs alone, so that ratios have
intervals too.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from zerochain.cli.common import Command
from zerochain.formats.atomic import atomic_file
from zerochain.formats.bundle import read_bundle
from zerochain.formats.corpus import read_corpus
from zerochain.formats.text_files import write_csv
from zerochain.formats.transcripts import read_transcripts
from zerochain.metrics.text import tagged
from zerochain.report.remarks import training_cell
from zerochain.report.sweep import markdown_table, measured

START = "paired"
NOTE = """95 % intervals over utterances in brackets. With languages: a character that is recognised
in the wrong language is an error too. Of the pairs alone: the CER divided by theirs.

"""
HEAD = [
    "test",
    "method",
    "CER %",
    "CER % with languages",
    "of the pairs alone",
    "training",
]


@click.command(cls=Command)
@click.argument("corpus", type=click.Path(path_type=Path))
@click.argument("chains", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--test", "tests", multiple=True, required=True)
@click.option("--transcripts", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    corpus: Path, chains: tuple[Path, ...], tests: tuple[str, ...], transcripts: Path, out: Path
) -> None:
    """Write table.md and table.csv of the transcripts of CHAINS into OUT."""
    whole = read_corpus(corpus)
    trainings = {path.name: read_bundle(path).config["training"] for path in chains}
    languages = next(iter(trainings.values()))["config"]["languages"].split(",")
    rows = []
    for split in tests:
        texts = {
            u.id: tagged(u.text or "", languages) for u in whole.select(split=split).utterances
        }
        wanted = {name: text for name, text in texts.items() if text}
        lengths = np.array([len(text) for text in wanted.values()], np.float64)
        edits = {}
        for method in trainings:
            made = read_transcripts(transcripts / method / f"{split}.parquet").texts
            edits[method] = np.array(
                [
                    (
                        Levenshtein.distance([c for c, _ in found], [c for c, _ in text]),
                        Levenshtein.distance(found, text),
                    )
                    for found, text in (
                        (tagged(made[name], languages), text) for name, text in wanted.items()
                    )
                ],
                np.float64,
            )
        for method, own in edits.items():
            cer, with_language = (
                measured(np.column_stack([own[:, i], lengths]), lambda s: 100 * s[:, 0] / s[:, 1])
                for i in range(2)
            )
            rows.append(
                [
                    split,
                    method,
                    cer,
                    with_language,
                    "" if method == START else ratio(own[:, 0], edits[START][:, 0]),
                    training_cell(trainings[method]),
                ]
            )
    write_csv(out / "table.csv", HEAD, rows)
    with atomic_file(out / "table.md") as temporary:
        temporary.write_text(NOTE + markdown_table(HEAD, rows, 2) + "\n", encoding="utf-8")


def ratio(own: NDArray[np.float64], start: NDArray[np.float64]) -> str:
    """Edits of a system and of the pairs alone, each (n,) → their ratio."""

    def divided(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        none = np.full(len(sums), np.nan)
        return np.divide(sums[:, 0], sums[:, 1], out=none, where=sums[:, 1] > 0)

    return "undefined" if not start.any() else measured(np.column_stack([own, start]), divided, 2)


if __name__ == "__main__":
    main()
