"""The gain from each way to remove speaker information from features, alone and combined.

    python evaluation/normalisation/measure.py mboshi --fit corpora/mboshi --fit-split train \
        --test corpora/mboshi --test-split test --out runs/normalisation

scores, for every setting, the frames that are clustered (before) and the units of K-Means (after),
and writes table.md and table.csv of all data sets in the folder. Existing scores are kept.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from zerochain.discovery.front_end import FrontEndOptions
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.stage import discover, encode, encode_frames
from zerochain.features.extraction import extract
from zerochain.features.spectral import SpectralOptions
from zerochain.formats.atomic import atomic_file
from zerochain.formats.corpus import read_corpus
from zerochain.formats.scores import Score, append_scores, read_scores
from zerochain.formats.text_files import write_csv
from zerochain.metrics import names
from zerochain.metrics.abx_plan import PHONE, TRIPHONE
from zerochain.scoring.abx import score_abx
from zerochain.scoring.units import score_bitrate

NORMALISATIONS = {
    "none": {"normalisation": "none"},
    "corpus": {"normalisation": "corpus"},
    "speaker": {"normalisation": "speaker"},
    "utterance": {"normalisation": "utterance"},
    "speaker, attenuation 4": {"normalisation": "speaker", "speaker_attenuation": 4},
    "speaker, attenuation 8": {"normalisation": "speaker", "speaker_attenuation": 8},
    "utterance, attenuation 8": {"normalisation": "utterance", "speaker_attenuation": 8},
    "speaker, warp": {"normalisation": "speaker", "warp": True},
    "utterance, warp": {"normalisation": "utterance", "warp": True},
    "speaker, warp, attenuation 8": {
        "normalisation": "speaker",
        "warp": True,
        "speaker_attenuation": 8,
    },
    "utterance, warp, attenuation 8": {
        "normalisation": "utterance",
        "warp": True,
        "speaker_attenuation": 8,
    },
}
CONTEXTS = {"": {}, " ±4→40": {"context": 4, "components": 40}}
SETTINGS = {
    name + suffix: FrontEndOptions(**options, **context)
    for suffix, context in CONTEXTS.items()
    for name, options in NORMALISATIONS.items()
}
COLUMNS = (
    ("before", names.ABX_ACROSS.key, "phone"),
    ("before", names.ABX_WITHIN.key, "phone"),
    ("before", names.ABX_ACROSS.key, "triphone"),
    ("after", names.ABX_ACROSS.key, "phone"),
    ("after", names.ABX_WITHIN.key, "phone"),
    ("after", names.ABX_ACROSS.key, "triphone"),
    ("after", names.SEGMENT_BITRATE.key, ""),
)


@click.command()
@click.argument("dataset")
@click.option("--fit", type=click.Path(path_type=Path), required=True)
@click.option("--fit-split")
@click.option("--test", type=click.Path(path_type=Path), required=True)
@click.option("--test-split")
@click.option("--features", type=click.Choice(["mfcc", "log-mel"]), default="mfcc")
@click.option("--units", type=int, default=256)
@click.option("--seed", type=int, default=0, help="Of K-Means.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    dataset: str,
    fit: Path,
    fit_split: str | None,
    test: Path,
    test_split: str | None,
    features: str,
    units: int,
    seed: int,
    out: Path,
) -> None:
    """Measure every setting on DATASET, a name for the tables."""
    folders = [extracted(corpus, features, out) for corpus in (fit, test)]
    for name, options in SETTINGS.items():
        path = out / "scores" / dataset / f"{name}.jsonl"
        if path.exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            model, frames, coded = work / "model", work / "frames", work / "units.parquet"
            discover(
                KMeansUnits(units, options=options, seed=seed),
                fit,
                model,
                features=folders[0],
                split=fit_split,
            )
            # Speakers of TIMIT are unknown to the model: what "by speaker" means is measured.
            given = {"features": folders[1], "split": test_split, "pool_speakers": True}
            encode_frames("latents", model, test, frames, **given)
            encode(model, test, coded, **given)
            scores = score_bitrate(coded, test, split=test_split, system="after").scores
            for protocol in (TRIPHONE, PHONE):
                common = {"protocol": protocol, "split": test_split}
                scores += score_abx(frames, test, system="before", **common).scores
                scores += score_abx(coded, test, model=model, system="after", **common).scores
            append_scores(path, scores)
        click.echo(f"{dataset}, {name}: {', '.join(cells(by_column(scores)))}")
        write_tables(out)
    write_tables(out)


def extracted(corpus: Path, features: str, out: Path) -> Path:
    """The features of a corpus, extracted once."""
    read = read_corpus(corpus)
    folder = out / "features" / f"{read.name}-{features}"
    if not folder.exists():
        extract(read, SpectralOptions(kind=features), folder)
    return folder


def write_tables(out: Path) -> None:
    """Write table.md, and table.csv with the intervals, of all scores in the folder."""
    paths = [
        path
        for dataset in sorted((out / "scores").iterdir())
        for name in SETTINGS
        if (path := dataset / f"{name}.jsonl").exists()
    ]
    found = {(path.parent.name, path.stem): by_column(read_scores(path)) for path in paths}
    heads = [f"{when}: {metric} {protocol}".strip() for when, metric, protocol in COLUMNS]
    lines = [f"| data set | setting | {' | '.join(heads)} |", "|---|---|" + "--:|" * len(heads)]
    lines += [f"| {d} | {name} | {' | '.join(cells(s))} |" for (d, name), s in found.items()]
    with atomic_file(out / "table.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    header = ["data_set", "setting", "when", "metric", "protocol", "value", "low", "high"]
    rows = [
        [*row, *column, score.value, *(score.interval or ("", ""))]
        for row, scores in found.items()
        for column, score in scores.items()
    ]
    write_csv(out / "table.csv", header, rows)


def by_column(scores: list[Score]) -> dict[tuple[str, str, str], Score]:
    """Scores by when, metric and protocol."""
    abx = {one.key for one in names.ABX.values()}
    return {(s.system, s.metric, s.protocol if s.metric in abx else ""): s for s in scores}


def cells(scores: dict[tuple[str, str, str], Score]) -> list[str]:
    """The formatted values of a row."""
    return [f"{scores[column].value:.1f}" if column in scores else "–" for column in COLUMNS]


if __name__ == "__main__":
    main()
