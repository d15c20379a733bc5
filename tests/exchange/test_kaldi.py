"""Kaldi data directories."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import voice
from zerochain.errors import InputError
from zerochain.exchange.kaldi import import_kaldi
from zerochain.formats.corpus import Corpus, CorpusWarning
from zerochain.formats.phones import PHONES_FILE, read_phones


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
        ("wav.scp", "r1 a.wav\nr1 b.wav\n", "1 duplicate id: r1"),
        ("wav.scp", "\n", "is empty"),
        ("wav.scp", "r1\nr2 wav/r1.wav\n", "r1: wav.scp names no file for it"),
        ("wav.scp", "r1 gone.wav\nr2 wav/r1.wav\n", "gone.wav: no such file"),
        ("wav.scp", "r1 a.ark:17\nr2 wav/r1.wav\n", "r1: lies in one of Kaldi's archives"),
        (
            "utt2spk",
            "x anna\ny b\n",
            "none of its 2 ids is an utterance's: x, y; utterances are r1",
        ),
        ("text", "x say\n", "none of its 1 id is an utterance's"),
        ("segments", "u1 r1 0.1\n", "'recording start end' expected"),
        ("segments", "u1 r1 0.1 0.2 B\n", "'recording start end' expected"),
        ("segments", "u1 r1 0.1 0.2 0 1\n", "'recording start end' expected"),
        ("segments", "u1 r9 0.1 0.2\n", "r9: is missing in wav.scp"),
        ("segments", "u1 r1 0.2 0.1\n", "u1: 0.2 … 0.1 s of 'r1': it does not end after it starts"),
        ("segments", "u1 r1 -1 0.1\n", "u1: -1.0 … 0.1 s of 'r1'"),
        ("segments", "u1 r1 nan 0.1\n", "u1: nan … 0.1 s of 'r1'"),
        ("segments", "u1 r1 0 inf\n", "u1: 0.0 … inf s of 'r1'"),
        ("segments", "u1 r1 0 1.6\n", "u1: 0.0 … 1.6 s of 'r1', which lasts 1.000 s"),
        ("segments", "u1 r1 1.1 1.2\n", "u1: 1.1 … 1.2 s of 'r1', which lasts 1.000 s"),
        ("segments", "u1 r1 0 1 1\n", "u1: channel 2 asked for, but the file has 1"),
        ("reco2file_and_channel", "r1 r1 0\n", "r1: 'file channel' expected"),
    ],
)
def test_bad_directories_are_refused(
    data: Path, tmp_path: Path, file: str, text: str, said: str
) -> None:
    if file == "segments":
        (data / "utt2spk").unlink()
    (data / file).write_text(text)
    with pytest.raises(InputError, match=said):
        import_kaldi(data, tmp_path / "out")


def notes(corpus: Corpus) -> list[str]:
    return list(corpus.record["notes"])


def quiet(*arguments: object, **options: object) -> Corpus:
    with pytest.warns(CorpusWarning):
        return import_kaldi(*arguments, **options)  # type: ignore[arg-type]


def test_texts_and_speakers_of_some_utterances(data: Path, tmp_path: Path) -> None:
    (data / "text").write_text("r1\t say \t it  \r\ngone other\r\n")
    (data / "utt2spk").write_text("r2 anna\n")
    corpus = quiet(data, tmp_path / "out")
    assert [(u.speaker, u.text) for u in corpus.utterances] == [(None, "say it"), ("anna", None)]
    assert notes(corpus) == [
        "without a speaker: 1 of 2 utterances (r1)",
        "without an utterance: 1 of 2 entries of text (gone)",
        "without a text: 1 of 2 utterances (r2)",
    ]
    (data / "text").write_text("")
    assert [u.text for u in quiet(data, tmp_path / "out").utterances] == [None, None]


def test_speakers_by_spk2utt(data: Path, tmp_path: Path) -> None:
    (data / "utt2spk").unlink()
    (data / "spk2utt").write_text("anna r1\t r2 r1-gone\n")
    corpus = import_kaldi(data, tmp_path / "out")
    assert [u.speaker for u in corpus.utterances] == ["anna", "anna"]
    (data / "spk2utt").write_text("anna r1 r2\nbob r2\n")
    with pytest.raises(InputError, match="1 duplicate id: r2"):
        import_kaldi(data, tmp_path / "again")


def test_lines_end_where_editors_end_them(data: Path, tmp_path: Path) -> None:
    (data / "text").write_bytes("r1 a\u2028b\u3000c\rr2 d\x85e\r".encode())
    corpus = import_kaldi(data, tmp_path / "out")
    assert [u.text for u in corpus.utterances] == ["a\u2028b\u3000c", "d\x85e"]


def test_ids_join_however_they_are_composed(data: Path, tmp_path: Path) -> None:
    """A decomposed id, a composed speaker, and a composed path of a file named decomposed."""
    name = unicodedata.normalize("NFD", "é.wav")
    (data / "wav/r1.wav").rename(data / "wav" / name)
    (data / "wav.scp").write_text("re\u0301 wav/\u00e9.wav\n", encoding="utf-8")
    (data / "utt2spk").write_text("r\u00e9 be\u0301a\n", encoding="utf-8")
    (utterance,) = import_kaldi(data, tmp_path / "out").utterances
    assert (utterance.id, utterance.speaker) == ("r\u00e9", "b\u00e9a")


def test_segments_beyond_the_end_are_cut_there(data: Path, tmp_path: Path) -> None:
    (data / "utt2spk").unlink()
    (data / "segments").write_text(
        "u1 r1 0.5 1.0000001\nu2 r1 0.25 1.5\nu3 r1 0 1.51\nu4 r1 0.5 1\n"
    )
    corpus = quiet(data, tmp_path / "out", skip_bad=True)
    assert [(u.id, u.duration) for u in corpus.utterances] == [
        ("u1", 0.5), ("u2", 0.75), ("u4", 0.5)
    ]  # fmt: skip
    assert [entry["file"] for entry in corpus.record["skipped"]] == ["u3"]
    assert notes(corpus) == [
        "cut at the end of their recording: 1 of 4 segments",
        "without a segment, so left out: 1 of 2 recordings (r2)",
    ]


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A call with a side on each channel, and one side in a file of its own."""
    folder = tmp_path / "call"
    folder.mkdir()
    sides = [voice(np.random.default_rng(i), 1.0, 100 + 60 * i) for i in range(2)]
    soundfile.write(folder / "a call.wav", np.stack(sides, 1), 16_000)
    soundfile.write(folder / "b.wav", sides[1], 16_000)
    return folder


def channels(folder: Path, out: Path) -> list[int | None]:
    return [u.channel for u in import_kaldi(folder, out).utterances]


def test_both_sides_of_a_call(call: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (call / "wav.scp").write_text("A a call.wav \nB a call.wav\nC b.wav\n")
    assert channels(call, out) == [None, None, None]
    sides = call / "reco2file_and_channel"
    sides.write_text("A x A\nB x B\nC x B\n")  # C's file holds that side alone
    corpus = import_kaldi(call, out)
    assert [u.channel for u in corpus.utterances] == [1, 2, None]
    left, right, alone = (corpus.wave(u) for u in corpus.utterances)
    assert np.abs(left - right).max() > 0.1
    np.testing.assert_allclose(right, alone, atol=1e-4)
    sides.write_text("A x 2\nB x 1\nC x 1\n")
    assert channels(call, out) == [2, 1, None]
    (call / "segments").write_text(
        "1 A 0 1 0\n2 A 0 1 1\n3 A 0 1 -1\n4 A 0 1\n5 C 0 1 0\n6 B 0 1\n"
    )
    assert channels(call, out) == [1, 2, 2, 2, None, 1]  # what Kaldi reads comes first
    (call / "segments").write_text("1 A 0 1 2\n")
    with pytest.raises(InputError, match="1: channel 3 asked for, but the file has 2"):
        import_kaldi(call, out)


@pytest.mark.filterwarnings("ignore::zerochain.formats.corpus.CorpusWarning")
def test_a_ctm_by_files_and_channels(call: Path, tmp_path: Path) -> None:
    (call / "wav.scp").write_text(
        "s-A sox 'a call.wav' -t wav - remix 1|\ns-B cat 'a call.wav' |\n"
    )
    (call / "reco2file_and_channel").write_text("s-A s A\ns-B s B\n")
    (tmp_path / "a.ctm").write_text("s A 0.1 0.2 p\ns B 0.3 0.2 q\n")
    corpus = import_kaldi(call, tmp_path / "out", alignments=tmp_path / "a.ctm")
    phones = read_phones(corpus.home / PHONES_FILE).by_id
    assert {name: [one.phone for one in line] for name, line in phones.items()} == {
        "s-A": ["p"],
        "s-B": ["q"],
    }


def test_commands_that_decode_a_file_are_not_run(call: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    (call / "wav.scp").write_text(
        "A sph2pipe -f wav -p -c 2 'a call.wav' |\n"
        "B sox a\\ call.wav -r 16k -t wav - remix 1 |\n"
        "C ffmpeg -v 8 -i b.wav -ac 1 -f wav -acodec pcm_s16le -|\n"
    )
    (call / "reco2file_and_channel").write_text("A call B\nB call A\nC call A\n")
    corpus = import_kaldi(call, tmp_path / "out")
    assert [(u.audio, u.channel) for u in corpus.utterances] == [
        ("a call.wav", 2), ("a call.wav", 1), ("b.wav", None)
    ]  # fmt: skip
    (call / "segments").write_text("1 A 0 1 0\n2 A 0 1 1\n3 B 0 1 1\n")
    with pytest.raises(InputError, match="3: channel 2 asked for, and"):
        import_kaldi(call, tmp_path / "out")
    (call / "segments").unlink()
    (call / "wav.scp").write_text(
        f"A sox b.wav -t wav - speed 1.1 |\nB touch {touched}; cat b.wav |\n"
        "C sox b.wav -r 8000 -t wav - |\nD flac -cds b.wav |\n"
    )
    corpus = quiet(call, tmp_path / "out", skip_bad=True)
    assert corpus.ids == ["D"]
    reasons = {entry["file"]: entry["reason"] for entry in corpus.record["skipped"]}
    assert "makes sox do 'speed': write its output to a file" in reasons["A"]
    assert "holds ';', which a shell would have to carry out" in reasons["B"]
    assert "lowers its rate to 8000 Hz" in reasons["C"]
    assert not touched.exists()


def test_a_directory_as_lhotse_writes_it(call: Path, tmp_path: Path) -> None:
    """Recorded from lhotse 1.33.0, see findings/lhotse_kaldi_export.sh."""
    ffmpeg = (
        "ffmpeg -threads 1 -i a call.wav -ar 16000 -map_channel 0.0.{}  -f wav -threads 1 pipe:1 |"
    )
    (call / "wav.scp").write_text(f"m_0 b.wav\ns_0 {ffmpeg.format(0)}\ns_1 {ffmpeg.format(1)}\n")
    (call / "segments").write_text("u1-0 m_0 0.0 1.0\nu2-1 s_1 0.0 0.9\n")
    (call / "text").write_text("u1-0 hi\nu2-1 None\n")
    (call / "utt2spk").write_text("u1-0 None\nu2-1 b\n")
    (call / "utt2dur").write_text("u1-0 1.0\nu2-1 0.9\n")
    (call / "reco2dur").write_text("m_0 0.9090625\ns_0 1.0\ns_1 1.0\n")
    corpus = quiet(call, tmp_path / "out")
    rows = [(u.id, u.audio, u.channel, u.speaker, u.text) for u in corpus.utterances]
    assert rows == [
        ("u1-0", "b.wav", None, None, "hi"),
        ("u2-1", "a call.wav", 2, "b", None),
    ]
    assert [note.split(":")[0] for note in notes(corpus)] == [
        "taken for a missing speaker, which lhotse writes as 'None'",
        "taken for a missing text, which lhotse writes as 'None'",
        "without a segment, so left out",
    ]
    (call / "reco2dur").write_text("m_0 0.85\n")
    assert "m_0 lasts 1.00 s, not 0.85 s" in notes(quiet(call, tmp_path / "out"))[-1]


def test_paths_that_lead_through_a_link(data: Path, tmp_path: Path) -> None:
    """`link/..` is beside the folder that the link leads to, not beside the link."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "else where", target_is_directory=True)
    (data / "wav.scp").write_text("r1 ../here/link/../data/wav/r1.wav\nr2 wav/r1.wav\n")
    corpus = import_kaldi(data, tmp_path / "out")
    assert [u.audio for u in corpus.utterances] == ["r1.wav", "r1.wav"]


def test_a_folder_without_wav_scp_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        import_kaldi(tmp_path, tmp_path / "out")
