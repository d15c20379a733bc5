"""A whole run, small and synthetic, for the tests of whatever reads runs."""

from pathlib import Path

import numpy as np

from zerochain import audio
from zerochain.formats.bundle import write_bundle
from zerochain.formats.corpus import Corpus
from zerochain.formats.headers import write_json
from zerochain.formats.scores import Score, append_scores
from zerochain.formats.units import UnitFile, read_units, write_units


def add_system(
    root: Path,
    corpus: Corpus,
    name: str,
    *,
    n_units: int = 16,
    stride: int = 1,
    abx: float = 25.0,
    bitrate: float = 200.0,
    scored: bool = True,
) -> UnitFile:
    """A unit model, its units of the whole corpus, and their scores."""
    rng = np.random.default_rng(n_units + stride)
    model = {"codebook": rng.standard_normal((n_units, 3))}
    model_id = write_bundle(
        root / "models" / name, "kmeans", {"k": n_units}, model, {"corpus": corpus.id}
    )
    step_ms = 10.0 * stride
    units = {
        u.id: rng.integers(0, n_units, max(1, int(u.duration * 1000 / step_ms)))
        for u in corpus.utterances
    }
    path = root / "units" / f"{name}.parquet"
    speakers = {u.id: u.speaker for u in corpus.utterances}
    method = f"kmeans K={n_units} {stride}T"
    write_units(
        path, UnitFile(units, n_units, step_ms, model_id, method, speakers, corpus_id=corpus.id)
    )
    unit_file = read_units(path)
    inputs = {"units": unit_file.id, "corpus": corpus.id}
    near = {"n_of": "triples", "distance": "angular", "exclusions": {"beside_silence": 3}}

    def score(metric: str, value: float, protocol: str, options: dict | None = None) -> Score:
        interval = (0.9 * value, 1.1 * value)
        return Score(metric, value, interval, 1234, protocol, name, inputs, options or {})

    if scored:
        append_scores(
            root / "scores" / f"{len(units)}.jsonl",
            [
                score("abx_across_%", abx, "triphone", near),
                score("abx_within_%", abx / 2, "triphone", near),
                score("bitrate_bit/s", bitrate, "zs2019"),
                score("perplexity", n_units / 2, "steps"),
            ],
        )
    return unit_file


def add_synthesis(
    root: Path, unit_file: UnitFile, method: str, voice: str, estoi: float = 0.5
) -> None:
    """An inverter, wavs of all utterances, and a score."""
    inverter = write_bundle(
        root / "inverters" / method, method, {"report": {"device": "abacus"}}, {}, {}
    )
    folder = root / "wavs" / method
    rng = np.random.default_rng(1)
    for name in unit_file.ids:
        n = round(unit_file.duration_s(name) * 16_000)
        audio.write(folder / f"{name}.wav", rng.uniform(-0.1, 0.1, n).astype(np.float32))
    header = {
        "inverter_id": inverter,
        "units_id": unit_file.id,
        "corpus_id": unit_file.corpus_id,
        "unit_method": unit_file.method,
        "step_ms": unit_file.step_ms,
        "voice": voice,
        "sample_rate": 16_000,
        "ids": unit_file.ids,
        "method": method,
    }
    write_json(folder / "synthesis.json", "synthesis", header)
    inputs = {"corpus": unit_file.corpus_id, "inverter": inverter, "units": unit_file.id}
    append_scores(
        root / "scores" / "resynthesis.jsonl",
        [Score("estoi", estoi, None, 6, "pystoi", method, inputs, {"n_of": "utterances"})],
    )


def add_training(root: Path, name: str = "inverters/x.training") -> None:
    """A training log."""
    folder = root / name
    folder.mkdir(parents=True)
    rows = [f"{step},{step / 10},{1 / step},{2 / step}" for step in range(100, 1100, 100)]
    (folder / "log.csv").write_text(
        "\n".join(["step,seconds,train_loss,valid_loss", *rows]), encoding="utf-8"
    )


def make_run(root: Path, corpus: Corpus) -> Path:
    """A run with everything in it; its corpus lies elsewhere."""
    add_system(root, corpus, "km16-1t", abx=21.5, bitrate=474.25)
    spoken = add_system(root, corpus, "km8-4t", n_units=8, stride=4, abx=28.25, bitrate=187.5)
    add_synthesis(root, spoken, "code2spec", "ana", estoi=0.625)
    add_synthesis(root, spoken, "unit-means", "ana", estoi=0.375)
    add_training(root)
    return root
