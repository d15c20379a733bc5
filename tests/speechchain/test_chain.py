"""The chain from files: its methods, what it leaves out, what it refuses, and its resumption."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from interruption import interrupted
from speechchain.conftest import ASR, FEW, RECIPES, TTS, texts_of, toned

from zerochain.errors import InputError
from zerochain.formats.bundle import bundle_id
from zerochain.formats.corpus import Corpus, write_corpus
from zerochain.speechchain.chain import (
    ChainConfig,
    ChainTraining,
    ChainWarning,
    Recipes,
    Sources,
    SpeechChain,
    train_chain,
)
from zerochain.speechchain.loop import LoopTask
from zerochain.speechchain.recogniser import RecogniserTask

TINY = Recipes(FEW, FEW, FEW)
pytestmark = pytest.mark.filterwarnings("ignore::zerochain.speechchain.chain.ChainWarning")


def trained(
    sources: Sources, out: Path, recipes: Recipes = RECIPES, **config: object
) -> ChainTraining:
    settings = ChainConfig(**{"paired": 0.5, **config})
    return train_chain(sources, out, config=settings, asr=ASR, tts=TTS, recipes=recipes)


def test_what_is_paired_decides_what_it_learns_from(tones: Corpus, paired: Path) -> None:
    record = SpeechChain.load(paired).training
    assert record["method"] == "paired"
    assert (record["n_texts"], record["n_speech"]) == (0, 0)
    n = len({u.text for u in tones.utterances if u.split == "train"})
    assert record["n_pairs"] <= round(0.5 * n) * 1.2
    assert record["valid_cer"] < 60  # it has learned something


@pytest.mark.parametrize("method", ["chain", "propagation"])
def test_the_loop_starts_from_a_chain_of_the_pairs(
    tones: Corpus, paired: Path, tmp_path: Path, method: str
) -> None:
    sources = Sources(tones.home, "train", start=paired)
    report = trained(sources, tmp_path / "c", method=method, min_confidence=0.05)
    start = SpeechChain.load(paired)
    assert report.start_cer == pytest.approx(start.training["valid_cer"])
    assert report.valid_cer <= report.start_cer
    assert report.n_pairs == start.training["n_pairs"]
    assert report.steps == FEW.max_steps
    if method == "chain":
        assert report.n_texts > 5 < report.n_speech
        assert report.texts_kept is not None
        assert report.speech_kept is not None


def test_all_texts_are_the_bound(tones: Corpus, tmp_path: Path, paired: Path) -> None:
    report = trained(Sources(tones.home, "train"), tmp_path / "all", method="all")
    n_train = sum(u.split == "train" for u in tones.utterances)
    assert n_train - 5 < report.n_pairs < n_train
    assert (report.n_texts, report.n_speech) == (0, 0)
    with pytest.raises(InputError, match="trains on pairs from the beginning"):
        trained(Sources(tones.home, "train", start=paired), tmp_path / "x", method="paired")


def test_interrupted_it_goes_on_to_the_same_chain(
    tones: Corpus, paired: Path, tmp_path: Path
) -> None:
    sources = Sources(tones.home, "train", start=paired)
    trained(sources, tmp_path / "whole")
    with interrupted(LoopTask, 3), pytest.raises(KeyboardInterrupt):
        trained(sources, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    with pytest.raises(InputError, match="other data or other settings"):
        trained(sources, tmp_path / "c", alpha=0.25)
    trained(sources, tmp_path / "c")
    assert bundle_id(tmp_path / "c") == bundle_id(tmp_path / "whole")


def test_the_parts_on_pairs_are_not_trained_again(tones: Corpus, tmp_path: Path) -> None:
    first = Sources(tones.home, "train")
    trained(first, tmp_path / "c", method="paired")
    with interrupted(RecogniserTask, 1):  # it would stop there
        report = trained(first, tmp_path / "c", method="propagation", min_confidence=0.05)
    assert report.method == "propagation"


def test_texts_and_speech_come_from_files(tones: Corpus, paired: Path, tmp_path: Path) -> None:
    half = toned(tmp_path, [t if i % 2 else None for i, t in enumerate(texts_of(30))])
    (tmp_path / "texts").write_text("abba\n\nzoë\nbad cab\n", encoding="utf-8")
    sources = Sources(half.home, texts=tmp_path / "texts", speech=tones.home)
    report = trained(sources, tmp_path / "c", paired=None)
    assert report.n_texts == 2
    assert report.n_speech == 15 + 60
    assert report.excluded["texts_with_unknown_symbols"] == 1
    assert report.excluded["empty_texts"] == 1
    other = toned(tmp_path, ["ab", "ba", "aab"], "ab")
    with pytest.raises(InputError, match="other symbols"):
        trained(Sources(other.home, speech=tones.home, start=paired), tmp_path / "x", paired=None)


@pytest.mark.parametrize(
    ("texts", "config", "found"),
    [
        (["ab", "cd", "ad"], {"paired": None}, "neither speech without texts nor texts"),
        (["ab", "cd"], {"paired": None, "method": "propagation"}, "no speech without texts"),
        (["ab", None], {"paired": None}, "1 pair of speech and text"),
        (["ab", "ab", "ab"], {"paired": None}, "1 different text"),
        ([None, None], {}, "has no transcripts"),
        (["ab" * 60, "cd" * 60], {"paired": None, "method": "paired"}, None),
    ],
)
def test_too_little_is_refused(
    tmp_path: Path, texts: list[str | None], config: dict[str, object], found: str | None
) -> None:
    corpus = toned(tmp_path, texts)
    if found is None:  # texts far too long for their recordings
        corpus = Corpus(
            "short",
            tuple(replace(u, text=u.text * 9) for u in corpus.utterances if u.text),
            corpus.audio_root,
        )
        corpus = write_corpus(tmp_path / "short", corpus)
        found = "no pair of speech and text can be used"
    with pytest.raises(InputError, match=found):
        trained(Sources(corpus.home), tmp_path / "c", TINY, **config)
    assert not (tmp_path / "c").exists()


def test_where_the_loop_makes_it_worse_the_models_before_are_kept(
    tones: Corpus, paired: Path, tmp_path: Path
) -> None:
    wild = Recipes(FEW, FEW, FEW.model_copy(update={"learning_rate": 0.5, "ema_decay": 0.0}))
    sources = Sources(tones.home, "train", start=paired)
    with pytest.warns(ChainWarning, match="the models before it are kept"):
        report = trained(sources, tmp_path / "c", wild)
    assert report.kept_start
    assert report.valid_cer == pytest.approx(report.start_cer)
    made, start = SpeechChain.load(tmp_path / "c"), SpeechChain.load(paired)
    wave = [np.random.default_rng(0).normal(size=(50, 80)).astype(np.float32)]
    assert made.recogniser.transcribe(wave)[0].score == start.recogniser.transcribe(wave)[0].score


def test_a_chain_of_other_speech_warns_that_little_is_used(
    tones: Corpus, paired: Path, tmp_path: Path
) -> None:
    noise = toned(tmp_path, [None] * 8)
    rng = np.random.default_rng(0)
    for u in noise.utterances:
        n = round(u.duration * 16_000)
        soundfile.write(tmp_path / "tones" / u.audio, 0.1 * rng.normal(size=n), 16_000)
    sources = Sources(tones.home, "train", speech=noise.home, start=paired)
    with pytest.warns(ChainWarning, match="of the transcripts are used"):
        trained(sources, tmp_path / "c", min_confidence=1.0)
