from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zerochain import audio
from zerochain.errors import InputError
from zerochain.features.extraction import extract, extracted
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.formats.corpus import Corpus

OPTIONS = SpectralOptions()


def test_processes_and_shards_change_nothing(
    make_corpus: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(n_utterances=7)
    one = extract(corpus, OPTIONS, tmp_path / "one", jobs=1)
    monkeypatch.setattr("zerochain.features.extraction._SHARD_S", 1.5)
    two = extract(corpus, OPTIONS, tmp_path / "two", jobs=2)
    assert one.index == two.index
    np.testing.assert_allclose(one.frames, two.frames, atol=1e-4)
    assert one.corpus_id == corpus.id
    assert one.ids == corpus.ids


def test_features_are_of_the_recordings(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = make_corpus(n_utterances=3)
    made = extract(corpus, OPTIONS, tmp_path / "features")
    for utterance in corpus.utterances:
        (alone,) = SpectralExtractor(OPTIONS)([audio.read(corpus.audio_path(utterance))])
        np.testing.assert_allclose(made[utterance.id], alone, atol=1e-4)
        assert made.speakers[utterance.id] == utterance.speaker


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_vanished_recording_is_named_and_nothing_is_left(
    make_corpus: Callable[..., Corpus], tmp_path: Path, jobs: int
) -> None:
    corpus = make_corpus()
    corpus.audio_path(corpus.utterances[3]).unlink()
    with pytest.raises(InputError, match=r"u3\.wav.*no such file") as caught:
        extract(corpus, OPTIONS, tmp_path / "features", jobs=jobs)
    assert caught.value.remedy
    assert not (tmp_path / "features").exists()
    assert not list(tmp_path.glob(".writing-*"))


def test_extracted_is_gone_afterwards(make_corpus: Callable[..., Corpus]) -> None:
    with extracted(make_corpus(n_utterances=2), OPTIONS) as features:
        folder = Path(features.frames.filename).parent  # type: ignore[attr-defined]
        assert folder.is_dir()
    assert not folder.exists()
