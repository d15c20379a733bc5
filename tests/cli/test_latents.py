"""encode --latents: what is clustered, as features; discover --warp and --speaker-attenuation."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands import run
from zerochain.discovery.stage import load_unit_model
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import read_features
from zerochain.formats.phones import PHONES_FILE, Phone, Phones, write_phones
from zerochain.formats.units import read_units

PREPARED = ("--warp", "--speaker-attenuation", 8, "--context", 1, "--components", 12)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", ["mfcc", "log-mel"])
def test_latents_are_nearest_to_the_units(make_corpus: Callable[..., Corpus], kind: str) -> None:
    corpus = make_corpus().folder
    options = ("--units", 6, "--stride", 2, "--features", kind, *PREPARED)
    said = run("discover", "kmeans", corpus, *options, "--out", "km").output
    assert f"kmeans K=6 2T {kind} warp norm=speaker ±1→12 attenuation=8" in said
    said = run("encode", "km", corpus, "--split", "test", "--latents", "--out", "f").output
    assert said.startswith("f: 2 utterances, ")
    run("encode", "km", corpus, "--split", "test", "--out", "u.parquet")
    features, units = read_features(Path("f")), read_units(Path("u.parquet"))
    assert (features.extractor, features.step_ms, features.dim) == ("latents", 20, 12)
    assert features.options == {"model": bundle_id(Path("km"))}
    assert features.speakers == units.speakers
    codebook = load_unit_model(Path("km")).codebook
    for name, chosen in units.units.items():
        distances = ((features[name][:, None] - codebook) ** 2).sum(axis=-1)
        np.testing.assert_array_equal(chosen, distances.argmin(axis=1))


def test_units_of_other_voices(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus().folder
    run("discover", "kmeans", corpus, "--units", 6, "--out", "km")
    run("encode", "km", corpus, "--out", "own.parquet")
    said = run("encode", "km", corpus, "--voice-factor", 1.2, "--out", "u.parquet").output
    assert "unknown to the model" in said
    own, others = read_units(Path("own.parquet")), read_units(Path("u.parquet"))
    assert others.speakers == own.speakers
    assert others.method == f"{own.method}, voices × 1.2"
    assert (others.corpus_id, others.model_id) == (own.corpus_id, own.model_id)
    assert any((others.units[name] != own.units[name]).any() for name in own.ids)
    run("encode", "km", corpus, "--voice-factor", 1.2, "--latents", "--out", "f")
    assert read_features(Path("f")).speakers == own.speakers
    assert (
        "0.5<=x<=2" in run("encode", "km", corpus, "--voice-factor", 3, "--out", "n", code=2).stderr
    )


def test_latents_are_scored(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus()
    cuts = np.linspace(0, 1, 9)
    phones = {
        u.id: [Phone(cuts[i] * u.duration, cuts[i + 1] * u.duration, "ab"[i % 2]) for i in range(8)]
        for u in corpus.utterances
    }
    write_phones(corpus.folder / PHONES_FILE, Phones(phones, "synthetic"))
    run("discover", "kmeans", corpus.folder, "--units", 6, "--warp", "--out", "km")
    run("encode", "km", corpus.folder, "--latents", "--out", "f")
    run("score", "abx", "f", "--corpus", corpus.folder, "--protocol", "phone", "--out", "s.jsonl")
    lines = [json.loads(line) for line in Path("s.jsonl").read_text().splitlines()]
    assert [line["metric"] for line in lines] == ["abx_within_%", "abx_across_%"]
    assert lines[0]["options"]["distance"] == "angular"


def test_one_thing_at_a_time(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(2).folder
    run("discover", "kmeans", corpus, "--units", 3, "--out", "km")
    encode = ("encode", "km", corpus, "--latents", "--out", "f")
    assert "exclude each other" in run(*encode, "--posteriors", code=2).stderr
    assert "not of segments" in run(*encode, "--penalty", 1, code=2).stderr
    assert not Path("f").exists()


def test_what_needs_spectra_or_speakers_says_so(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(3, speakers=(None,)).folder
    discover = ("discover", "kmeans", corpus, "--units", 3, "--out", "km")
    error = run(*discover, "--speaker-attenuation", 8, code=1).stderr
    assert "some are unknown" in error
    assert "--speaker-from" in error
    assert "--speaker-attenuation" in run(*discover, "--speaker-attenuation", -1, code=2).stderr
    run(*discover, "--warp")  # each utterance by itself
    run("encode", "km", corpus, "--latents", "--out", "f")
    run("discover", "kmeans", corpus, "--units", 3, "--features", "f", "--out", "again")
    error = run(*discover, "--features", "f", "--warp", code=1).stderr
    assert "features of kind 'latents' can't be warped" in error
