"""Kaldi data directories."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import voice
from zerochain.corpora.kaldi import import_kaldi
from zerochain.errors import InputError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two recordings in two folders, one of them given by a relative path."""
    folder = tmp_path / "data"
    for name in ("data/wav/r1.wav", "else where/r2.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        soundfile.write(path, voice(np.random.default_rng(0), 1.0, 120), 16_000)
    (folder / "wav.scp").write_text(f"r1 wav/r1.wav\nr2 {tmp_path}/else where/r2.wav\n")
    (folder / "utt2spk").write_text("r1 anna\nr2 béa\n", encoding="utf-8")
    return folder


def test_whole_recordings(data: Path, tmp_path: Path) -> None:
    (data / "text").write_text("r1 say it\nr2\n")
    corpus = import_kaldi(data, tmp_path / "out", split="train")
    rows = [(u.id, u.speaker, u.split, u.text, u.duration) for u in corpus.utterances]
    assert rows == [("r1", "anna", "train", "say it", 1.0), ("r2", "béa", "train", "", 1.0)]
    assert corpus.audio_root == str(tmp_path)
    assert all(corpus.audio_path(u).is_file() for u in corpus.utterances)


def test_segments(data: Path, tmp_path: Path) -> None:
    (data / "segments").write_text("u1 r1 0.1 0.4\nu2 r1 0.5 -1\n")
    (data / "utt2spk").write_text("u1 anna\nu2 anna\n")
    corpus = import_kaldi(data, tmp_path / "out")
    rows = [(u.id, u.audio, u.start, u.end, u.duration) for u in corpus.utterances]
    assert rows == [
        ("u1", "data/wav/r1.wav", 0.1, 0.4, pytest.approx(0.3)),
        ("u2", "data/wav/r1.wav", 0.5, None, pytest.approx(0.5)),
    ]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("wav.scp", "r1 sph2pipe -f wav r1.sph |\n", "1 recordings are pipes"),
        ("wav.scp", "r1 a.wav\nr1 b.wav\n", "1 duplicate ids: r1"),
        ("wav.scp", "\n", "is empty"),
        ("wav.scp", "r1 gone.wav\nr2 wav/r1.wav\n", "gone.wav: no such file"),
        ("utt2spk", "r1 anna\n", "missing in the utt2spk: r2"),
        ("utt2spk", "r1 anna\nr2 b\nr3 c\n", "missing in the utterances: r3"),
        ("segments", "u1 r1 0.1\n", "'recording start end' expected"),
        ("segments", "u1 r9 0.1 0.2\n", "missing in the wav.scp: r9"),
        ("text", "r1 say\n", "missing in the text: r2"),
    ],
)
def test_bad_directories_are_refused(
    data: Path, tmp_path: Path, file: str, text: str, said: str
) -> None:
    (data / file).write_text(text)
    with pytest.raises(InputError, match=said):
        import_kaldi(data, tmp_path / "out")


def test_a_folder_without_wav_scp_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        import_kaldi(tmp_path, tmp_path / "out")
