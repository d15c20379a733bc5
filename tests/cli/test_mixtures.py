"""discover gmm and dpgmm, their units and posteriors, and ABX of these by KL."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands import leftovers, run
from zerochain.formats.bundle import bundle_id, read_bundle
from zerochain.formats.corpus import Corpus, write_corpus
from zerochain.formats.features import read_features
from zerochain.formats.phones import Phone, Phones
from zerochain.formats.scores import read_scores
from zerochain.formats.units import read_units


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def spoken(make_corpus: Callable[..., Corpus]) -> Path:
    """A corpus with gold phones, four a second, the same in every utterance."""
    corpus = make_corpus(6, name="plain")
    phones = {
        u.id: [Phone(i / 4, (i + 1) / 4, "ab"[i % 2]) for i in range(int(4 * u.duration))]
        for u in corpus.utterances
    }
    home = Path("c")
    write_corpus(
        home,
        Corpus("c", corpus.utterances, audio_root=str(corpus.folder.parent / "plain-audio")),
        Phones(phones, "gold"),
    )
    return home


@pytest.mark.parametrize("method", ["gmm", "dpgmm"])
def test_units_posteriors_and_their_abx(spoken: Path, method: str) -> None:
    said = run("discover", method, spoken, "--units", 6, "--stride", 2, "--out", "m").output
    assert said.startswith(f"m: {method} K=6 2T mfcc norm=speaker, ")
    assert "of 6 components used (weight > 0.0001)" in said
    settings = read_bundle(Path("m")).config["settings"]
    assert 1 <= settings["n_owning"] <= settings["n_used"] <= 6
    run("encode", "m", spoken, "--out", "u.parquet")
    said = run("encode", "m", spoken, "--posteriors", "--out", "post").output
    units, posteriors = read_units(Path("u.parquet")), read_features(Path("post"))
    assert said.startswith(f"post: 6 utterances, {len(posteriors.frames)} × 6")
    assert posteriors.extractor == "posteriors"
    assert posteriors.options == {"model": bundle_id(Path("m"))}
    assert (posteriors.step_ms, posteriors.corpus_id) == (20, units.corpus_id)
    assert posteriors.speakers == units.speakers
    for name in units.ids:
        np.testing.assert_allclose(posteriors[name].sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(posteriors[name].argmax(axis=1), units.units[name])
    common = ("--corpus", spoken, "--protocol", "phone", "--out", "s.jsonl")
    run("score", "abx", "post", "--distance", "kl", *common)
    scores = read_scores(Path("s.jsonl"))
    assert {score.options["distance"] for score in scores} == {"kl"}
    assert all(0 <= score.value <= 100 for score in scores)


def test_options_reach_the_model(spoken: Path) -> None:
    common = ("discover", "dpgmm", spoken, "--units", 6, "--max-frames", 200)
    run(*common, "--out", "a")
    run(*common, "--concentration", 50, "--variance-floor", 0.1, "--out", "b")
    one, two = (read_bundle(Path(name)) for name in "ab")
    assert one.config["settings"]["n_frames"] == two.config["settings"]["n_frames"] == 200
    assert two.config["settings"]["variance_floor"] == 0.1
    assert two.tensors["variances"].min() > one.tensors["variances"].min()


def test_posteriors_of_a_split_from_a_features_folder(spoken: Path) -> None:
    run("extract", spoken, "--out", "f")
    run("discover", "gmm", spoken, "--features", "f", "--units", 4, "--out", "m")
    common = ("encode", "m", spoken, "--posteriors")
    run(*common, "--features", "f", "--split", "test", "--out", "test")
    run(*common, "--out", "all")
    test, every = read_features(Path("test")), read_features(Path("all"))
    assert test.ids == ["u2", "u5"]
    for name in test.ids:
        np.testing.assert_allclose(test[name], every[name], atol=1e-4)
    run("extract", spoken, "--posteriors", "m", "--features", "f", "--split", "test", "--out", "p")
    part = read_features(Path("p"))
    assert part.corpus_id == every.corpus_id
    assert part.ids == test.ids
    assert all((part[name] == test[name]).all() for name in test.ids)


def test_k_means_has_no_posteriors(spoken: Path, tmp_path: Path) -> None:
    run("discover", "kmeans", spoken, "--units", 4, "--out", "m")
    error = run("encode", "m", spoken, "--posteriors", "--out", "post", code=1).stderr
    assert "kmeans units have no posteriors" in error
    assert "gmm or dpgmm" in error
    assert not Path("post").exists()
    assert not leftovers(tmp_path)


def test_posteriors_replace_posteriors_and_nobody_elses_files(spoken: Path) -> None:
    run("discover", "gmm", spoken, "--units", 4, "--out", "m")
    for _ in range(2):
        run("encode", "m", spoken, "--posteriors", "--out", "post")
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("years of work")
    error = run("encode", "m", spoken, "--posteriors", "--out", "mine", code=1).stderr
    assert "not a folder that zerochain made" in error
    assert [p.name for p in Path("mine").iterdir()] == ["thesis.tex"]
    assert "is a directory" in run("encode", "m", spoken, "--out", "post", code=2).stderr


@pytest.mark.parametrize(
    "options",
    [("--variance-floor", 0), ("--concentration", 0), ("--units", 0)],
)
def test_usage_errors(options: tuple[object, ...]) -> None:
    assert options[0] in run("discover", "dpgmm", "c", "--out", "m", *options, code=2).stderr
