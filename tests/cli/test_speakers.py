"""speakers train, score speakers, and what show says of an encoder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from commands import run
from zerochain import audio
from zerochain.formats.corpus import Corpus
from zerochain.formats.scores import read_scores

QUICK = ("--steps", 4, "--validate-every", 2, "--batch-size", 4, "--width", 8, "--dim", 4)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_train_show_and_score(make_corpus: Callable[..., Corpus]) -> None:
    speakers = tuple("abcdefghijk")
    corpus = make_corpus(33, speakers=speakers, seconds=0.7)
    said = run("speakers", "train", corpus.folder, *QUICK, "--out", "s").output
    assert "8 speakers, 16 utterances" in said
    assert "on 3 held-out speakers" in " ".join(said.split())
    shown = run("show", "s").output
    assert "'speaker-encoder'" in shown
    assert "on 3 held-out speakers: 9 pairs of pieces of one speaker" in shown
    for u in corpus.utterances:
        audio.write(Path("wavs", f"{u.id}.wav"), audio.read(corpus.audio_path(u)))
    common = ("wavs", "--corpus", corpus.folder, "--encoder", "s", "--out", "s.jsonl")
    assert "give --voice SPEAKER" in run("score", "speakers", *common, code=1).stderr
    assert not Path("s.jsonl").exists()
    output = run("score", "speakers", *common, "--voice", "b").output
    assert "speaker_similarity_recordings" in output
    scores = {score.metric: score for score in read_scores(Path("s.jsonl"))}
    own, real = scores["speaker_similarity"], scores["speaker_similarity_recordings"]
    assert own.value == pytest.approx(real.value, abs=1e-3)  # they are the recordings
    assert own.n == 3


def test_known_speakers_and_undefined_rates_are_said(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(8, speakers=("ana", "béa"), seconds=0.7).folder
    said = run("speakers", "train", corpus, *QUICK, "--out", "s").output
    assert "on 2 known speakers" in " ".join(said.split())
    said = run("speakers", "train", corpus, *QUICK, "--split", "train", "--out", "t").output
    assert "undefined: too few utterances" in " ".join(said.split())


def test_one_speaker_is_refused(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus(3, speakers=("only",)).folder
    error = run("speakers", "train", corpus, *QUICK, "--out", "s", code=1).stderr
    assert "at least two" in error
    assert not Path("s").exists()


def test_help() -> None:
    for command in (("speakers", "train"), ("score", "speakers")):
        assert "Example" in run(*command, "--help").output
