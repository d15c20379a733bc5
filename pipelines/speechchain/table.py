"""How much each method gains: table.md to read; table.csv, speech.csv and units.csv to process.

The gap is that between the pairs alone and the bound, which is given all texts. Intervals are over
utterances, which are resampled together for all systems, so that differences have intervals too.
Where discovered units take the place of texts, errors are counted in units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from zerochain.formats.units import read_units
from zerochain.metrics import names
from zerochain.metrics.text import untagged
from zerochain.report.remarks import training_cell
from zerochain.report.sweep import markdown_table, measured
from zerochain.scoring.common import REAL_SPEECH
from zerochain.speechchain.sources import unit_texts

START, CHAIN, BOUND, LM = "paired", "chain", "all", "+lm"
NOTE = """95 % intervals over utterances in brackets. Gain: by how many points the {rate} is lower
than that of the pairs alone. Gap: the share of the difference between the pairs alone and all
{texts}. Behind chain: by how many points the {rate} is higher than the chain's. +lm: with a
language model of the {texts}.

"""
SPEECH = {
    names.MCD.key: "MCD dB",
    names.DNSMOS[0].key: "DNSMOS",
}
OF_TEXTS = {names.CER.key: "CER % as recognised by all"}
OF_UNITS = {names.UNIT_ERROR_RATE.key: "unit error rate % as recognised by all"}
SPEECH_NOTE = """What the synthesisers make of the test {texts}, each in the voice of its recording.
Mel error: of frames of held-out pairs, with the durations of the recording. MCD: along the DTW
path. DNSMOS: overall. {rate}: as recognised by the recogniser of all {texts}.

"""
UNITS = {
    names.ABX_ACROSS.key: "ABX across %",
    names.ABX_WITHIN.key: "ABX within %",
    names.PNMI.key: "PNMI",
    names.PHONE_ERROR_RATE.key: "phone error rate %",
    names.SEGMENT_BITRATE.key: "segments, bit/s",
}
UNITS_NOTE = """The units of the test recordings: "encoded" by the unit model, and as each
recogniser recognises them. ABX is of the unit model's code vectors.

"""
FOLDER_OR_FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("corpus", type=FOLDER_OR_FILE)
@click.argument("transcripts", nargs=-1, required=True, type=FOLDER_OR_FILE)
@click.option("--units", type=FOLDER_OR_FILE)
@click.option("--speech", type=FOLDER_OR_FILE, multiple=True)
@click.option("--quality", type=FOLDER_OR_FILE, multiple=True)
@click.option("--chains", type=FOLDER_OR_FILE, required=True)
@click.option("--out", type=FOLDER_OR_FILE, required=True)
def main(
    corpus: Path,
    transcripts: tuple[Path, ...],
    units: Path | None,
    speech: tuple[Path, ...],
    quality: tuple[Path, ...],
    chains: Path,
    out: Path,
) -> None:
    """Write table.md, table.csv, speech.csv and units.csv of TRANSCRIPTS/<method>.parquet into OUT.

    <method>+lm.parquet is of the same chain with a language model. SPEECH are scores of what the
    chains speak. UNITS took the place of the texts, and QUALITY are scores of those recognised.
    """
    trainings = {
        path.stem: read_bundle(chains / path.stem.removesuffix(LM)).config["training"]
        for path in transcripts
    }
    tables = {
        "table.csv": (NOTE, *recognition(corpus, transcripts, units, trainings)),
        "speech.csv": (
            SPEECH_NOTE,
            *synthesis(speech, SPEECH | (OF_TEXTS if units is None else OF_UNITS), trainings),
        ),
        "units.csv": (UNITS_NOTE, ["units", *UNITS.values()], scored(quality, UNITS)),
    }
    text, (rate_name, texts) = (
        "",
        ("CER", "texts") if units is None else ("unit error rate", "units"),
    )
    for name, (note, head, rows) in tables.items():
        write_csv(out / name, head, rows)
        if rows:
            text += note.format(rate=rate_name, texts=texts) + markdown_table(head, rows, 1) + "\n"
    with atomic_file(out / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def recognition(
    corpus: Path,
    files: Sequence[Path],
    units: Path | None,
    trainings: Mapping[str, Mapping[str, Any]],
) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of what is recognised: characters and words, or units."""
    splits: dict[str, Callable[[str], Sequence[str]]] = {"CER %": list, "WER %": str.split}
    if units is not None:
        splits = {"unit error rate %": str.split}
    languages = [name for name in trainings[START]["config"]["languages"].split(",") if name]
    wanted = true_texts(corpus, units, languages)
    made = {path.stem: read_transcripts(path).texts for path in files}
    ids = [name for name in next(iter(made.values())) if wanted.get(name)]
    lengths = np.array([[len(split(wanted[n])) for split in splits.values()] for n in ids], float)
    edits = {  # method → (n, 1 or 2)
        method: np.array(
            [
                [
                    Levenshtein.distance(split(untagged(texts[n], languages)), split(wanted[n]))
                    for split in splits.values()
                ]
                for n in ids
            ],
            float,
        )
        for method, texts in made.items()
    }
    rows = [
        [
            method,
            *(rate(np.column_stack(pair)) for pair in zip(own.T, lengths.T, strict=True)),
            *compared(method, {name: one[:, 0] for name, one in edits.items()}, lengths[:, 0]),
            str(trainings[method]["n_pairs"]),
            training_cell(trainings[method]),
        ]
        for method, own in edits.items()
    ]
    return ["method", *splits, "gain", "gap closed %", "behind chain", "pairs", "training"], rows


def true_texts(corpus: Path, units: Path | None, languages: Sequence[str]) -> dict[str, str]:
    """Utterance → its text without tags of languages, which nobody says, or its units."""
    whole = read_corpus(corpus)
    if units is not None:
        return unit_texts(whole, read_units(units))
    return {u.id: untagged(u.text or "", languages) for u in whole.utterances}


def compared(
    method: str, edits: Mapping[str, NDArray[np.float64]], lengths: NDArray[np.float64]
) -> list[str]:
    """The gain over the pairs alone, the share of the gap that is closed, and what the chain gains.

    Args:
        edits: method → (n,).
        lengths: (n,).
    """
    own, start, chain, bound = edits[method], edits[START], edits.get(CHAIN), edits.get(BOUND)
    gain = closed = behind = ""
    if method != START:
        gain = difference(np.column_stack([own, start, lengths]))
    # With a language model, a system isn't between the pairs alone and the bound without one.
    if bound is not None and method not in {START, BOUND} and not method.endswith(LM):
        closed = share(np.column_stack([own, start, bound]))
    if chain is not None and method != CHAIN:
        behind = difference(np.column_stack([chain, own, lengths]))
    return [gain, closed, behind]


def synthesis(
    files: Sequence[Path], metrics: Mapping[str, str], trainings: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of what is spoken; the recordings themselves where they were judged."""
    rows = []
    for system, *cells in scored(files, metrics):
        known = system != REAL_SPEECH
        mel = trainings[system]["valid_mel_db"] if known else None
        held_out = "" if mel is None else f"{mel:.2f}"
        trained = training_cell(trainings[system]) if known else ""
        rows.append([system, held_out, *cells, trained])
    return ["synthesiser", "mel error, held out, dB", *metrics.values(), "training"], rows


def scored(files: Sequence[Path], metrics: Mapping[str, str]) -> list[list[str]]:
    """A row for each system of these scores: its name and the metrics, "" where there is none."""
    found: dict[str, dict[str, str]] = {}
    for path in files:
        for score in read_scores(path):
            n = 2 if names.metric(score.metric).unit else 3  # decimals: shares have no unit
            ends = "" if score.interval is None else ", ".join(f"{x:.{n}f}" for x in score.interval)
            cell = f"{score.value:.{n}f}" + (f" [{ends}]" if ends else "")
            found.setdefault(score.system, {})[score.metric] = cell
    return [[name, *(values.get(one, "") for one in metrics)] for name, values in found.items()]


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
