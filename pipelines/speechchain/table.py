"""How much each method gains: table.md to read, table.csv to process.

The gap is that between the pairs alone and the bound, which is given all texts. Intervals are over
utterances, which are resampled together for all systems, so that differences have intervals too.
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
from zerochain.metrics.text import plain
from zerochain.report.sweep import markdown_table, measured

START, CHAIN, BOUND = "paired", "chain", "all"
NOTE = """95 % intervals over utterances in brackets. Gain: by how many points the CER is lower than
that of the pairs alone. Gap: the share of the difference between the pairs alone and all texts.
Behind chain: by how many points the CER is higher than the chain's.

"""
HEAD = [
    "method",
    "CER %",
    "WER %",
    "gain",
    "gap closed %",
    "behind chain",
    "pairs",
    "training, last part",
]


@click.command(cls=Command)
@click.argument("corpus", type=click.Path(path_type=Path))
@click.argument("transcripts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--chains", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(corpus: Path, transcripts: tuple[Path, ...], chains: Path, out: Path) -> None:
    """Write table.md and table.csv of TRANSCRIPTS/<method>.parquet into OUT."""
    texts = {u.id: plain(u.text or "") for u in read_corpus(corpus).utterances}
    made = {path.stem: read_transcripts(path).texts for path in transcripts}
    ids = [name for name in next(iter(made.values())) if texts[name]]
    wanted = [texts[name] for name in ids]
    edits = {  # method → (n, 2) of characters and of words
        method: np.array(
            [
                (
                    Levenshtein.distance(recognised[name], text),
                    Levenshtein.distance(recognised[name].split(), text.split()),
                )
                for name, text in zip(ids, wanted, strict=True)
            ],
            np.float64,
        )
        for method, recognised in made.items()
    }
    lengths = np.array([(len(text), len(text.split())) for text in wanted], np.float64)
    rows = []
    for method, own in edits.items():
        start, chain, bound = edits[START], edits.get(CHAIN), edits.get(BOUND)
        cer, wer = (rate(np.column_stack([own[:, i], lengths[:, i]])) for i in range(2))
        gain = difference(np.column_stack([own[:, 0], start[:, 0], lengths[:, 0]]))
        closed = ""
        if bound is not None and method not in {START, BOUND}:
            closed = share(np.column_stack([own[:, 0], start[:, 0], bound[:, 0]]))
        behind = ""
        if chain is not None and method != CHAIN:
            behind = difference(np.column_stack([chain[:, 0], own[:, 0], lengths[:, 0]]))
        training = read_bundle(chains / method).config["training"]
        ended = "" if training["converged"] else ", NOT CONVERGED"
        kept = ", kept its start" if training["kept_start"] else ""
        rows.append(
            [
                method,
                cer,
                wer,
                "" if method == START else gain,
                closed,
                behind,
                str(training["n_pairs"]),
                f"{training['steps']} steps{ended}{kept}",
            ]
        )
    write_csv(out / "table.csv", HEAD, rows)
    with atomic_file(out / "table.md") as temporary:
        temporary.write_text(NOTE + markdown_table(HEAD, rows, 1) + "\n", encoding="utf-8")


def rate(sums: NDArray[np.float64]) -> str:
    """Edits and lengths (n, 2) → edits per length in %."""
    return measured(sums, lambda s: 100 * s[:, 0] / s[:, 1])


def difference(sums: NDArray[np.float64]) -> str:
    """Edits of a system and of another, and lengths, (n, 3) → points less than the other."""
    return measured(sums, lambda s: 100 * (s[:, 1] - s[:, 0]) / s[:, 2])


def share(sums: NDArray[np.float64]) -> str:
    """Edits of a system, the start and the bound, (n, 3) → share of the gap in %."""
    if sums[:, 1].sum() <= sums[:, 2].sum():
        return "undefined"  # the bound is no better than the start

    def closed(s: NDArray[np.float64]) -> NDArray[np.float64]:
        gap = s[:, 1] - s[:, 2]
        return np.divide(100 * (s[:, 1] - s[:, 0]), gap, out=np.full(len(s), np.nan), where=gap > 0)

    return measured(sums, closed)


if __name__ == "__main__":
    main()
