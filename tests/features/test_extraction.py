from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from joblib import Parallel

from conftest import voice
from zerochain import audio
from zerochain.errors import InputError
from zerochain.features.extraction import _shards, extract, extracted
from zerochain.features.spectral import SpectralExtractor, SpectralOptions
from zerochain.formats.corpus import Corpus, Utterance, write_corpus

OPTIONS = SpectralOptions()


def test_processes_and_shards_change_nothing(
    make_corpus: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(n_utterances=7)
    one = extract(corpus, OPTIONS, tmp_path / "one", jobs=1)
    monkeypatch.setattr("zerochain.features.extraction._SHARD_S", 1.5)
    asked = []
    monkeypatch.setattr(
        "zerochain.features.extraction.Parallel",
        lambda n_jobs, **how: asked.append(n_jobs) or Parallel(n_jobs, **how),
    )
    extract(corpus, OPTIONS, tmp_path / "two", jobs=2)
    assert asked == [1]  # it would take longer to start another
    monkeypatch.setattr("zerochain.features.extraction._WORTH_A_PROCESS_S", 1.0)
    two = extract(corpus, OPTIONS, tmp_path / "two", jobs=2)
    assert asked == [1, 2]
    assert one.index == two.index
    np.testing.assert_allclose(one.frames, two.frames, atol=1e-4)
    assert one.corpus_id == corpus.id
    assert one.ids == corpus.ids


def segments(tmp_path: Path, n: int = 6) -> Corpus:
    """A corpus of segments of one MP3 and then of one WAV, the last of the second channel."""
    wave = np.stack([voice(np.random.default_rng(0), 6.0, pitch) for pitch in (120, 210)], 1)
    utterances = []
    for name in ("a.mp3", "b.wav"):
        soundfile.write(tmp_path / name, wave, 16_000)
        for i in range(n):
            start, channel = 0.9 * i, 2 if i == n - 1 else 1
            one = Utterance(
                f"{name[0]}{i}", name, 0.6, start=start, end=start + 0.6, channel=channel
            )
            utterances.append(one)
    corpus = Corpus("cut", tuple(utterances), audio_root=str(tmp_path))
    return write_corpus(tmp_path / "cut", corpus)


def test_segments_of_one_recording_are_read_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = segments(tmp_path)
    passes = []
    read_parts = audio.read_parts

    def counted(path: Path, parts: list[audio.Part]) -> Iterator[audio.Waveform]:
        passes.append((path.name, len(parts)))
        return read_parts(path, parts)

    monkeypatch.setattr("zerochain.features.extraction._SHARD_S", 1.0)
    monkeypatch.setattr(audio, "read_parts", counted)
    features = extract(corpus, OPTIONS, tmp_path / "features", jobs=1)
    assert passes == [("a.mp3", 6), ("b.wav", 6)]
    monkeypatch.setattr(audio, "read_parts", read_parts)
    for u in corpus.utterances:
        (alone,) = SpectralExtractor(OPTIONS)([corpus.wave(u)])
        np.testing.assert_allclose(features[u.id], alone, atol=1e-4)


def test_long_recordings_are_shared_among_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = segments(tmp_path)
    monkeypatch.setattr("zerochain.features.extraction._FILE_S", 1.0)
    monkeypatch.setattr("zerochain.features.extraction._SHARD_S", 1.0)
    shards = _shards(corpus)
    assert [len(shard) for shard in shards] == [2] * 6
    assert [i for shard in shards for i in shard] == list(range(len(corpus.utterances)))


def test_features_are_of_the_recordings(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = make_corpus(n_utterances=3)
    made = extract(corpus, OPTIONS, tmp_path / "features")
    for utterance in corpus.utterances:
        (alone,) = SpectralExtractor(OPTIONS)([audio.read(corpus.audio_path(utterance))])
        np.testing.assert_allclose(made[utterance.id], alone, atol=1e-4)
        assert made.speakers[utterance.id] == utterance.speaker


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_vanished_recording_is_named_and_nothing_is_left(
    make_corpus: Callable[..., Corpus], tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerochain.features.extraction._WORTH_A_PROCESS_S", 1.0)
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
