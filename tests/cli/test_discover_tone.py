"""Units of MFCCs with tone: every method takes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from commands import run
from zerochain.features.normalisation import TONE as KIND
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import read_features
from zerochain.formats.units import read_units

TRAINED = ("--width", 8, "--segment-frames", 32, "--batch-size", 2, "--steps", 2)


@pytest.mark.parametrize(
    ("method", "options"),
    [("kmeans", ()), ("gmm", ()), ("vqvae", TRAINED), ("selftrain", TRAINED)],
)
def test_every_method_takes_tone(
    make_corpus: Callable[..., Corpus],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    options: tuple[object, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = make_corpus()
    given = ("--features", KIND, "--units", 8, "--out", "m")
    run("discover", method, corpus.folder, *given, *options)
    run("encode", "m", corpus.folder, "--out", "u.parquet")
    assert set(read_units(Path("u.parquet")).ids) == {u.id for u in corpus.utterances}


def test_the_weight_of_tone(
    make_corpus: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = make_corpus()
    run("extract", corpus.folder, "--features", KIND, "--out", "one")
    run("extract", corpus.folder, "--features", KIND, "--tone-weight", 2.4, "--out", "two")
    one, two = (read_features(Path(name)) for name in ("one", "two"))
    assert one.dim == two.dim == 40
    assert two.frames[:, -1] == pytest.approx(2 * one.frames[:, -1], abs=1e-5)
    for others in ("mfcc", "tone"):
        options = ("--features", others, "--tone-weight", 2, "--out", "x")
        error = run("extract", corpus.folder, *options, code=2).stderr
        assert "--tone-weight only applies to --features mfcc+tone" in error
    run("discover", "kmeans", corpus.folder, "--features", "tone", "--units", 4, "--out", "m")
    run("encode", "m", corpus.folder, "--out", "u.parquet")
