"""discover --adapt, unknown speakers, adapted features for other methods, fused posteriors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands import leftovers, run
from zerochain.discovery.stage import features_in_memory, load_unit_model, needed_options
from zerochain.formats.bundle import bundle_id, read_bundle
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import Features, read_features
from zerochain.formats.units import read_units

SMALL = ("--units", 4, "--max-frames", 300, "--adapt-rounds", 1)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def spoken(make_corpus: Callable[..., Corpus]) -> Path:
    return make_corpus(4, name="spoken").folder


@pytest.fixture
def others(make_corpus: Callable[..., Corpus]) -> Path:
    """The same speakers' names in another corpus."""
    return make_corpus(3, name="others").folder


def test_unknown_speakers_are_adapted_to_and_the_message_says_on_what(
    spoken: Path, others: Path
) -> None:
    said = run("discover", "gmm", spoken, *SMALL, "--adapt", "fmllr", "--out", "m").output
    assert said.startswith("m: gmm K=4 1T mfcc norm=speaker fmllr, ")
    assert "fMLLR transforms" in said
    assert read_bundle(Path("m")).config["adaptation"]["speakers"]
    assert "unknown" not in run("encode", "m", spoken, "--out", "u.parquet").output
    said = run("encode", "m", others, "--out", "alone.parquet").output
    assert "unknown to the model: each utterance by itself normalised and adapted, on " in said
    said = run("encode", "m", others, "--pool-speakers", "--out", "pooled.parquet").output
    assert "all utterances here of a speaker together" in said
    assert "s of speech (median" in said
    alone, pooled = (read_units(Path(f"{name}.parquet")) for name in ("alone", "pooled"))
    assert alone.ids == pooled.ids
    assert any((alone.units[name] != pooled.units[name]).any() for name in alone.ids)


def test_adapted_features_serve_any_other_method(
    spoken: Path, others: Path, tmp_path: Path
) -> None:
    options = ("--adapt", "lda+fmllr", "--lda-context", 1, "--lda-dims", 6)
    run("discover", "gmm", spoken, *SMALL, *options, "--out", "m")
    said = run("extract", spoken, "--adapt", "m", "--out", "f").output
    made = read_features(Path("f"))
    assert f"{len(made.frames)} frames of 6" in said
    assert made.extractor == "adapted"
    assert made.options == {
        "model": bundle_id(Path("m")),
        "front_end": "mfcc norm=speaker lda ±1→6 fmllr",
        "path": str(tmp_path / "m"),
    }
    latents = dict(load_unit_model(Path("m")).latents(read_base(spoken)))
    for name in made.ids:
        np.testing.assert_allclose(made[name], latents[name], atol=1e-4)
    run("discover", "kmeans", spoken, "--features", "f", "--units", 4, "--out", "km")
    assert read_bundle(Path("km")).config["normalisation"] == "none"
    run("encode", "km", others, "--out", "u.parquet")
    run("extract", others, "--adapt", "m", "--out", "g")
    run("encode", "km", others, "--features", "g", "--out", "v.parquet")
    mine, theirs = read_units(Path("u.parquet")), read_units(Path("v.parquet"))
    for name in mine.ids:
        np.testing.assert_array_equal(mine.units[name], theirs.units[name])
    in_memory(Path("km"))
    Path("m").rename("moved")
    error = run("encode", "km", others, "--out", "w.parquet", code=1).stderr
    assert "the model that adapted the features is gone" in error
    assert "zerochain extract CORPUS --adapt MODEL" in error
    run("discover", "gmm", spoken, *SMALL, "--out", "m")
    error = run("encode", "km", others, "--out", "w.parquet", code=1).stderr
    assert "has changed since" in error
    error = run("extract", others, "--adapt", "m", "--out", "h", code=1).stderr
    assert "adapts nothing" in error
    assert "--adapt fmllr" in error
    assert not leftovers(tmp_path)


def read_base(corpus: Path) -> Features:
    run("extract", corpus, "--out", "base")
    return read_features(Path("base"))


def in_memory(model: Path) -> None:
    """A waveform at hand is adapted as a recording is."""
    wave = np.random.default_rng(0).normal(size=16_000).astype(np.float32) / 10
    fitted = load_unit_model(model)
    given = features_in_memory({"w": wave}, needed_options(fitted, model), speakers={"w": "w"})
    assert (given.extractor, given.dim) == ("adapted", 6)
    assert len(fitted.encode(given).units["w"]) == len(given["w"])


def test_posteriors_of_several_models_are_fused(spoken: Path, tmp_path: Path) -> None:
    for name, n in (("a", 3), ("b", 4)):
        run("discover", "gmm", spoken, "--units", n, "--out", name)
        run("encode", name, spoken, "--posteriors", "--out", f"p{name}")
    run("discover", "gmm", spoken, "--units", 3, "--stride", 2, "--out", "slow")
    run("discover", "kmeans", spoken, "--units", 3, "--out", "km")
    run("extract", spoken, "--out", "base")
    both = ("extract", spoken, "--posteriors", "a", "--posteriors", "b")
    run(*both, "--features", "base", "--out", "fused")
    fused, first, second = (read_features(Path(name)) for name in ("fused", "pa", "pb"))
    assert fused.extractor == "posteriors"
    assert fused.options == {"models": [bundle_id(Path("a")), bundle_id(Path("b"))]}
    for name in fused.ids:
        expected = np.concatenate([first[name], second[name]], axis=1) / 2
        np.testing.assert_allclose(fused[name], expected, atol=1e-5)
    run("extract", spoken, "--posteriors", "a", "--out", "one")
    assert read_features(Path("one")).options == first.options
    np.testing.assert_allclose(read_features(Path("one")).frames, first.frames, atol=1e-6)
    error = run(*both, "--posteriors", "slow", "--out", "x", code=1).stderr
    assert "every 10 ms and every 20 ms can't be fused" in error
    error = run(*both, "--posteriors", "km", "--out", "x", code=1).stderr
    assert "no posteriors" in error
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--adapt", "m", "--posteriors", "m"), "exclude each other"),
        (("--adapt", "m", "--n-mels", 40), "--n-mels does not apply to --adapt"),
        (("--posteriors", "m", "--features", "log-mel"), "--features is a features folder"),
        (("--pool-speakers",), "only applies to --adapt and --posteriors"),
    ],
)
def test_usage_errors(options: tuple[object, ...], found: str) -> None:
    Path("c").mkdir()
    Path("m").mkdir()
    assert found in run("extract", "c", *options, "--out", "x", code=2).stderr


def test_lda_beside_another_projection_is_refused(spoken: Path) -> None:
    options = ("--adapt", "lda", "--context", 2)
    error = run("discover", "dpgmm", spoken, *SMALL, *options, "--out", "m", code=1).stderr
    assert "--context 2 can't stand beside --adapt lda" in error
