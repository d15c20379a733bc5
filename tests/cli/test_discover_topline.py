"""discover topline: from recordings and gold phones to posteriors of phones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from commands import run
from tones import phone_corpus
from zerochain.formats.corpus import Corpus
from zerochain.formats.features import read_features

QUICK = ("--width", 16, "--blocks", 1, "--steps", 4, "--validate-every", 2, "--batch-size", 4)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_phones_have_posteriors() -> None:
    corpus = phone_corpus(Path("tones")).folder
    done = run(
        "discover", "topline", corpus, "--split", "train", *QUICK, "--device", "cpu", "--out", "m"
    )
    assert done.stdout.startswith("m: topline K=")
    assert "% of held-out frames" in done.stdout
    run("encode", "m", corpus, "--split", "test", "--posteriors", "--out", "p")
    assert read_features(Path("p")).dim == int(done.stdout.split("K=")[1].split()[0])


def test_a_corpus_without_gold_phones_is_refused(make_corpus: Callable[..., Corpus]) -> None:
    done = run("discover", "topline", make_corpus().folder, *QUICK, "--out", "m", code=1)
    assert "has no gold phones, which a topline is trained on" in done.stderr
    assert "--alignments" in done.stderr
