"""How much each method gains: table.md to read, table.csv and speech.csv to process.

The gap is that between the pairs alone and the bound, which is given all texts. Intervals are over
utterances, which are resampled together for all systems, so that differences have intervals too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from zerochain.cli.common import Command
from zerochain.formats.atomic import atomic_file
from zerochain.formats.bundle import read_bundle
from zerochain.formats.corpus import read_corpus
from zerochain.formats.scores import read_scores
from zerochain.formats.text_files import write_csv
from zerochain.formats.transcripts import read_transcripts
from zerochain.metrics import names
from zerochain.metrics.text import untagged
from zerochain.report.sweep import markdown_table, measured
from zerochain.scoring.common import REAL_SPEECH

START, CHAIN, BOUND, LM = "paired", "chain", "all", "+lm"
NOTE = """95 % intervals over utterances in brackets. Gain: by how many points the CER is lower than
that of the pairs alone. Gap: the share of the difference between the pairs alone and all texts.
Behind chain: by how many points the CER is higher than the chain's. +lm: with a language model
of the texts.

"""
SPEECH_METRICS = [names.MCD.key, names.DNSMOS[0].key, names.CER.key]
SPEECH_HEAD = [
    "synthesiser",
    "mel error, held out, dB",
    "MCD dB",
    "DNSMOS",
    "CER % as heard by all",
]
SPEECH_NOTE = """What the synthesisers make of the test texts, each in the voice of its recording.
Mel error: of frames of held-out pairs, with the durations of the recording. MCD: along the DTW
path. DNSMOS: overall. CER: as recognised by the recogniser of all texts.

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
@click.option("--speech", type=click.Path(path_type=Path), multiple=True)
@click.option("--chains", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    corpus: Path,
    transcripts: tuple[Path, ...],
    speech: tuple[Path, ...],
    chains: Path,
    out: Path,
) -> None:
    """Write table.md, table.csv and speech.csv of TRANSCRIPTS/<method>.parquet into OUT.

    <method>+lm.parquet is of the same chain with a language model; SPEECH are scores of what the
    chains speak.
    """
    config = read_bundle(chains / START).config["training"]["config"]
    languages = [name for name in config["languages"].split(",") if name]

    def compared(texts: Mapping[str, str | None]) -> dict[str, str]:
        """Texts without tags of languages, which are no characters that anybody says."""
        return {name: untagged(text or "", languages) for name, text in texts.items()}

    texts = compared({u.id: u.text for u in read_corpus(corpus).utterances})
    made = {path.stem: compared(read_transcripts(path).texts) for path in transcripts}
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
        # With a language model, a system isn't between the pairs alone and the bound without one.
        if bound is not None and method not in {START, BOUND} and not method.endswith(LM):
            closed = share(np.column_stack([own[:, 0], start[:, 0], bound[:, 0]]))
        behind = ""
        if chain is not None and method != CHAIN:
            behind = difference(np.column_stack([chain[:, 0], own[:, 0], lengths[:, 0]]))
        training = read_bundle(chains / method.removesuffix(LM)).config["training"]
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
    spoken = speech_rows(speech, chains)
    write_csv(out / "speech.csv", SPEECH_HEAD, spoken)
    text = NOTE + markdown_table(HEAD, rows, 1) + "\n"
    if spoken:
        text += "\n" + SPEECH_NOTE + markdown_table(SPEECH_HEAD, spoken, 1) + "\n"
    with atomic_file(out / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def speech_rows(files: Sequence[Path], chains: Path) -> list[list[str]]:
    """What each chain speaks, and the recordings themselves where they were judged."""
    found: dict[str, dict[str, str]] = {}
    for path in files:
        for score in read_scores(path):
            interval = "" if score.interval is None else " [{:.2f}, {:.2f}]".format(*score.interval)
            found.setdefault(score.system, {})[score.metric] = f"{score.value:.2f}{interval}"
    rows = []
    for system, values in found.items():
        own = [values.get(metric, "") for metric in SPEECH_METRICS]
        held_out = ""
        if system != REAL_SPEECH:
            training = read_bundle(chains / system).config["training"]
            held_out = f"{training['valid_mel_db']:.2f}"
        rows.append([system, held_out, *own])
    return rows


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
