"""discover and encode with --penalty and --bitrate, and what comes after them."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands import leftovers, run
from zerochain.formats.bundle import bundle_id, read_bundle
from zerochain.formats.corpus import Corpus
from zerochain.formats.scores import read_scores
from zerochain.formats.units import UnitFile, read_units, write_units


@pytest.fixture
def corpus(
    make_corpus: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Corpus:
    monkeypatch.chdir(tmp_path)
    return make_corpus(9, seconds=2.0)


def encoded(corpus: Corpus, *options: object, model: str = "km") -> tuple[UnitFile, str]:
    """The units of a model, and what was said."""
    said = run("encode", model, corpus.folder, "--out", "u.parquet", *options).output
    return read_units(Path("u.parquet")), said


def rate(corpus: Corpus, metric: str = "segment_bitrate_bit/s") -> float:
    run("score", "bitrate", "u.parquet", "--corpus", corpus.folder, "--out", "s.jsonl")
    return {s.metric: s.value for s in read_scores(Path("s.jsonl"))[-3:]}[metric]


def discovered(corpus: Corpus, *options: object, name: str = "kmeans", out: str = "km") -> str:
    command = ("discover", name, corpus.folder, "--units", 16, "--out", out)
    return str(run(*command, *options).output)


@pytest.mark.parametrize("name", ["kmeans", "gmm"])
def test_a_model_s_penalty_is_its_own_until_another_is_asked(corpus: Corpus, name: str) -> None:
    discovered(corpus, name=name, out="plain")
    said = discovered(corpus, "--penalty", 1.5, "--max-duration", 30, name=name)
    assert "penalty=1.5 max_duration=30, " in said
    assert re.search(r"\n[\d.]+ bit/s of segments, [\d.]+ with their durations, \d+ ms per", said)
    config = read_bundle(Path("km")).config
    assert (config["penalty"], config["min_duration"], config["max_duration"]) == (1.5, 1, 30)
    plain, said = encoded(corpus, model="plain")
    assert plain.durations is None
    assert "units of 10 ms" in said
    own, said = encoded(corpus)
    assert own.durations is not None
    assert max(d.max() for d in own.durations.values()) <= 30
    assert own.method.endswith("penalty=1.5 max_duration=30")
    assert f"{own.method}: " in said
    assert f"{rate(corpus):.1f} bit/s of segments" in said
    assert f"{rate(corpus, 'timed_segment_bitrate_bit/s'):.1f} with their durations" in said
    other, _ = encoded(corpus, "--penalty", 4, "--min-duration", 3)
    assert other.method.endswith("penalty=4 min_duration=3 max_duration=30")
    n_own, n_other = (sum(map(len, file.units.values())) for file in (own, other))
    assert n_other < n_own
    assert own.model_id == other.model_id == bundle_id(Path("km")) != plain.model_id
    for name in corpus.ids:
        assert len(own.steps(name)) == len(plain.units[name])
    run("score", "abx", "u.parquet", "--corpus", corpus.folder, "--out", "s.jsonl", code=1)


def test_a_bit_rate_for_the_model_and_another_for_the_corpus(corpus: Corpus) -> None:
    discovered(corpus)
    plain, _ = encoded(corpus)
    full = rate(corpus)
    target = 0.5 * full
    said = discovered(corpus, "--bitrate", target)
    assert "penalty=" in said
    encoded(corpus)
    assert rate(corpus) == pytest.approx(target, rel=0.05)
    assert f"{rate(corpus):.1f} bit/s of segments" in said
    file, _ = encoded(corpus, "--bitrate", 0.3 * full)
    assert rate(corpus) == pytest.approx(0.3 * full, rel=0.05)
    assert file.model_id == bundle_id(Path("km"))
    file, said = encoded(corpus, "--bitrate", 2 * full)
    assert file.durations is None
    assert "without a penalty" in said
    for name in corpus.ids:
        np.testing.assert_array_equal(file.units[name], plain.units[name])


def test_options_from_a_file(corpus: Corpus) -> None:
    Path("o.yaml").write_text("penalty: 2\nmin-duration: 2\nmax-duration: null\n")
    assert "penalty=2 min_duration=2, " in discovered(corpus, "--config", "o.yaml")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--penalty", 1, "--bitrate", 100), "can't both be given"),
        (("--penalty", -1), "--penalty"),
        (("--penalty", "nan"), "'--penalty': nan is not a finite number"),
        (("--penalty", "inf"), "'--penalty': inf is not a finite number"),
        (("--bitrate", 0), "--bitrate"),
        (("--bitrate", "nan"), "bitrate"),
        (("--min-duration", 0), "--min-duration"),
    ],
)
def test_usage_errors(corpus: Corpus, options: tuple[object, ...], found: str) -> None:
    command = ("discover", "kmeans", corpus.folder, "--units", 4, "--out", "km")
    assert found in run(*command, *options, code=2).stderr
    assert not Path("km").exists()
    run(*command)
    encode = ("encode", "km", corpus.folder, "--out", "u.parquet")
    assert found in run(*encode, *options, code=2).stderr
    assert not Path("u.parquet").exists()


def test_posteriors_have_no_segments(corpus: Corpus) -> None:
    encode = ("encode", "gmm", corpus.folder, "--posteriors", "--penalty", 1, "--out", "p")
    assert "segments" in run(*encode, code=2).stderr


def test_durations_that_can_t_be_are_refused_before_the_fit(corpus: Corpus, tmp_path: Path) -> None:
    command = ("discover", "kmeans", corpus.folder, "--units", 4, "--out", "km")
    limits = ("--min-duration", 3, "--max-duration", 4)
    assert "segments of 3 to 4 steps" in run(*command, *limits, code=1).stderr
    assert not Path("km").exists()
    run(*command, "--min-duration", 3)
    encode = ("encode", "km", corpus.folder, "--out", "u.parquet", "--max-duration", 4)
    assert "segments of 3 to 4 steps" in run(*encode, code=1).stderr
    assert not leftovers(tmp_path)


def test_a_bit_rate_out_of_reach_leaves_the_model_without_a_penalty(corpus: Corpus) -> None:
    command = ("discover", "kmeans", corpus.folder, "--units", 64, "--normalisation", "none")
    error = run(*command, "--bitrate", 0.01, "--out", "km", code=1).stderr
    assert "0.01 bit/s can't be reached" in error
    assert "km holds the model without a penalty" in error
    assert read_bundle(Path("km")).config["penalty"] == 0
    encode = ("encode", "km", corpus.folder, "--out", "u.parquet", "--bitrate", 0.01)
    assert "can't be reached" in run(*encode, code=1).stderr
    assert not Path("u.parquet").exists()
    assert encoded(corpus)[0].durations is None


def test_segments_are_scored_and_spoken_as_their_steps_are(corpus: Corpus) -> None:
    discovered(corpus, "--penalty", 2)
    segments, _ = encoded(corpus)
    steps = UnitFile(
        units={name: segments.steps(name) for name in segments.ids},
        n_units=segments.n_units,
        step_ms=segments.step_ms,
        model_id=segments.model_id,
        method="steps",
        speakers=segments.speakers,
        corpus_id=segments.corpus_id,
    )
    write_units(Path("steps.parquet"), steps)
    common = ("--voice", "ana", "--method", "unit-means", "--prosody-steps", 0)
    run("invert", "train", "u.parquet", corpus.folder, *common, "--out", "inverter")
    waves = []
    for units in ("u.parquet", "steps.parquet"):
        run("invert", "synthesize", "inverter", units, "--out", "wavs")
        waves.append({path.name: soundfile.read(path)[0] for path in Path("wavs").glob("*.wav")})
    assert waves[0].keys() == waves[1].keys() == {f"{name}.wav" for name in corpus.ids}
    for name, wave in waves[0].items():
        np.testing.assert_array_equal(wave, waves[1][name])
        assert len(wave) == 160 * len(steps.units[name.removesuffix(".wav")])
    found = []
    for units in ("u.parquet", "steps.parquet"):
        run("score", "bitrate", units, "--corpus", corpus.folder, "--out", "s.jsonl")
        run("score", "usage", units, "--out", "s.jsonl")
        found.append({s.metric: (s.value, s.n) for s in read_scores(Path("s.jsonl"))[-6:]})
    assert found[0].pop("bitrate_bit/s") == found[0]["segment_bitrate_bit/s"]
    assert found[1].pop("bitrate_bit/s") > found[1]["segment_bitrate_bit/s"]
    assert found[0] == found[1]
