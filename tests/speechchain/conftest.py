"""A corpus of tones, and a chain of it, trained once."""

from pathlib import Path

import pytest
from chains import ASR, RECIPES, TTS, texts_of, toned

from zerochain.formats.corpus import Corpus
from zerochain.speechchain.chain import ChainConfig, train_chain
from zerochain.speechchain.sources import Sources


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return toned(tmp_path_factory.mktemp("toned"), texts_of(60))


@pytest.fixture(scope="session")
def paired(tones: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain that was trained on half of the corpus's training texts."""
    out = tmp_path_factory.mktemp("chains") / "paired"
    train_chain(
        Sources(tones.home, "train"),
        out,
        config=ChainConfig(method="paired", paired=0.5),
        asr=ASR,
        tts=TTS,
        recipes=RECIPES,
    )
    return out
