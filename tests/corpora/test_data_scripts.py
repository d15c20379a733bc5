"""data/*/prepare.py on small copies of the published layouts, and on flat ones."""

import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from conftest import voice
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.phones import Phone, read_phones
from zerochain.formats.spans import read_spans
from zerochain.machine import resource


def run(name: str, *arguments: object, script: str = "prepare.py") -> Result:
    command = runpy.run_path(str(resource(f"data/{name}/{script}")))["main"]
    return CliRunner().invoke(command, [str(a) for a in arguments])


def made(name: str, out: Path, *arguments: object) -> Corpus:
    result = run(name, *arguments, "--out", out)
    assert result.exit_code == 0, result.output
    return read_corpus(out)


def record(path: Path, kind: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, voice(np.random.default_rng(0), 0.5, 120), 16_000, format=kind)


def rows(corpus: Corpus) -> list[tuple[object, ...]]:
    return [(u.id, u.speaker, u.split, u.text) for u in corpus.utterances]


def test_mboshi_as_published(tmp_path: Path) -> None:
    root = tmp_path / "copy" / "full_corpus_newsplit"
    for part, name, words in (("train", "abiayi_1", "wa áyεi"), ("dev", "martial_2", "ngá")):
        record(root / part / f"{name}.wav")
        (root / part / f"{name}.mb").write_text(f"{words}\n", encoding="utf-8")
        (root / part / f"{name}.fr").write_text("il vient\n")
    record(root / "all" / "abiayi_1.wav")
    (tmp_path / "phn").mkdir()
    (tmp_path / "phn" / "abiayi_1.phn").write_text("0.0 0.5 A\n")
    corpus = made("mboshi", tmp_path / "out", tmp_path / "copy", "--alignments", tmp_path / "phn")
    assert sorted(rows(corpus)) == [
        ("abiayi_1", "abiayi", "train", "wa áyεi"),
        ("martial_2", "martial", "test", "ngá"),
    ]
    assert corpus.audio_path(corpus.by_id["abiayi_1"]) == root / "train" / "abiayi_1.wav"
    phones = read_phones(tmp_path / "out" / "phones.parquet").by_id
    assert phones == {"abiayi_1": [Phone(0, 0.5, "A")]}


def test_mboshis_words_from_letters(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    texts = {"a_1": "Wa áyεi, ngá.", "a_2": "wa sá", "a_3": "wa"}
    phones = {  # a pause inside a word; a letter too many; another word; no phones
        "a_1": "W A Á SIL Y Ε I N G A",
        "a_2": "W A T I SIL",
    }
    for name in texts:
        record(copy / f"{name}.wav")
    for name, line in phones.items():
        rows = (f"{i / 20} {(i + 1) / 20} {p}\n" for i, p in enumerate(line.split()))
        (copy / f"{name}.phn").write_text("".join(rows), encoding="utf-8")
    table = "".join(f"{name}.wav\ta\t{text}\n" for name, text in texts.items())
    (copy / "utterances.tsv").write_text("file\tspeaker\ttext\n" + table, encoding="utf-8")
    made("mboshi", tmp_path / "out", copy)
    words = tmp_path / "words.parquet"
    result = run("mboshi", tmp_path / "out", "--out", words, script="words.py")
    assert result.exit_code == 0, result.output
    assert [tuple(row)[:4] for row in read_spans(words).rows] == [
        ("a_1", 0.0, 0.1, "wa"),
        ("a_1", 0.1, 0.35, "áyεi"),
        ("a_1", 0.35, 0.5, "ngá"),
        ("a_2", 0.0, 0.1, "wa"),
    ]
    assert "4 of 5 words placed; 2 letters with another phone or none" in result.output
    assert "not placed: sá (a_2)" in result.output
    assert "1 utterance without a text or phones" in result.output


def test_mboshi_flat(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    lines = ["file\tspeaker\tseconds\ttext\tfrench"]
    for i in range(30):
        record(copy / "flac" / f"anna_{i}.flac")
        (copy / "flac" / f"anna_{i}.phn").write_text("0.0 0.5 A\n")
        lines.append(f"flac/anna_{i}.flac\tanna\t0.5\twa\til")
    (copy / "utterances.tsv").write_text("\n".join(lines))
    corpus = made("mboshi", tmp_path / "out", copy, "--test-fraction", 0.3)
    assert len(corpus.utterances) == 30
    assert {u.split for u in corpus.utterances} == {"train", "test"}
    assert set(read_phones(tmp_path / "out" / "phones.parquet").by_id) == set(corpus.ids)


def test_librispeech_as_published(tmp_path: Path) -> None:
    root = tmp_path / "LibriSpeech"
    for subset, speaker in (("train-clean-100", "103"), ("dev-clean", "84")):
        for i in range(2):
            record(root / subset / speaker / "7" / f"{speaker}-7-000{i}.flac")
        (root / subset / speaker / "7" / f"{speaker}-7.trans.txt").write_text(
            f"{speaker}-7-0000 HELLO YOU\n{speaker}-7-0001 BYE\n"
        )
    assert len(made("librispeech", tmp_path / "all", tmp_path).utterances) == 4
    corpus = made("librispeech", tmp_path / "dev", root, "--subset", "dev-clean")
    assert rows(corpus) == [
        ("84-7-0000", "84", "dev-clean", "HELLO YOU"),
        ("84-7-0001", "84", "dev-clean", "BYE"),
    ]
    result = run("librispeech", root, "--subset", "test-other", "--out", tmp_path / "x")
    assert result.exit_code == 1
    assert "no subset test-other" in result.output
    assert "dev-clean, train-clean-100" in result.output


@pytest.mark.parametrize("upper", [True, False])
def test_timit_as_published(tmp_path: Path, upper: bool) -> None:
    case = str.upper if upper else str.lower
    root = tmp_path / "copy" / "TIMIT"
    for split, speaker in (("train", "fcjf0"), ("test", "faks0")):
        stem = root / case(split) / case("dr1") / case(speaker) / case("sa1")
        record(stem.with_suffix(case(".wav")), "NIST")
        stem.with_suffix(case(".phn")).write_text("0 2000 h#\n2000 8000 sh\n")
        stem.with_suffix(case(".txt")).write_text("0 8000 She had your dark suit.\n")
    if upper:
        record(root / "TEST" / "DR1" / "FAKS0" / "SA1.WAV.wav")
    corpus = made("timit", tmp_path / "out", tmp_path / "copy")
    assert sorted(rows(corpus)) == [
        (case("test/dr1/faks0/sa1"), "faks0", "test", "She had your dark suit."),
        (case("train/dr1/fcjf0/sa1"), "fcjf0", "train", "She had your dark suit."),
    ]
    phones = read_phones(tmp_path / "out" / "phones.parquet").by_id
    for name in corpus.ids:
        assert phones[name] == [Phone(0, 0.125, "h#"), Phone(0.125, 0.5, "sh")]


def test_zerospeech2019_as_published(tmp_path: Path) -> None:
    root = tmp_path / "2019" / "english"
    for file in (
        "train/unit/S015_0361841101.wav",
        "train/voice/V001_0000000047.wav",
        "train/parallel/V001_0000000047.wav",
        "test/S002_0379088085.wav",
    ):
        record(root / file)
    corpus = made("zerospeech2019", tmp_path / "out", tmp_path / "2019", "--language", "english")
    assert sorted(rows(corpus)) == [
        ("S002_0379088085", "S002", "test", None),
        ("train/parallel/V001_0000000047", "V001", "parallel", None),
        ("train/unit/S015_0361841101", "S015", "unit", None),
        ("train/voice/V001_0000000047", "V001", "voice", None),
    ]
    shutil.rmtree(root / "train" / "parallel")
    part = made("zerospeech2019", tmp_path / "part", tmp_path / "2019", "--language", "english")
    assert {u.split for u in part.utterances} == {"unit", "voice", "test"}


def test_discophon_as_published(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for split, name in (("train-1h", "t"), ("dev", "d"), ("test", "x")):
        record(data / "audio" / "eng" / split / f"{name}.wav")
        (data / "manifest").mkdir(exist_ok=True)
        manifest = f"fileid,num_samples,speaker\n{name},8000,0{len(name)}7\n"
        (data / "manifest" / f"manifest-eng-{split}.csv").write_text(manifest)
        if split in {"dev", "test"}:
            (data / "alignment").mkdir(exist_ok=True)
            line = f"#file onset offset #phone\n{name} 0.00 0.20 SIL\n{name} 0.20 0.50 a\n"
            (data / "alignment" / f"alignment-eng-{split}.txt").write_text(line)
    options = ("--language", "eng", "--train", "train-1h")
    corpus = made("discophon", tmp_path / "out", data, *options)
    assert sorted(rows(corpus)) == [
        ("d", "017", "dev", None),
        ("t", "017", "train", None),
        ("x", "017", "test", None),
    ]
    phones = read_phones(tmp_path / "out" / "phones.parquet").by_id
    assert phones == {name: [Phone(0, 0.2, "SIL"), Phone(0.2, 0.5, "a")] for name in "dx"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mboshi", "neither utterances.tsv nor recordings in train/ and dev/"),
        ("librispeech", "is not a copy of LibriSpeech"),
        ("timit", "neither utterances.tsv nor recordings in TRAIN/DR*"),
        ("zerospeech2019", "no recording in train/voice, test"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, name: str, said: str) -> None:
    record(tmp_path / "english" / "train" / "unit" / "a.wav")
    result = run(name, tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert said in result.output
    assert not (tmp_path / "out").exists()


def test_a_script_runs_by_its_path(tmp_path: Path) -> None:
    script = str(resource("data/timit/prepare.py"))
    done = subprocess.run(
        [sys.executable, script, "--help"], check=True, capture_output=True, text=True
    )
    assert "COPY of TIMIT" in done.stdout


def test_english_flat_is_two_corpora(real_corpora: Callable[[str], Path], tmp_path: Path) -> None:
    copy = real_corpora("english")
    timit = made("timit", tmp_path / "timit", copy)
    assert (len(timit.utterances), {u.split for u in timit.utterances}) == (160, {"test"})
    sound = made("timit", tmp_path / "sound", copy, "--skip-noise")
    noticed = {entry["id"] for entry in timit.record["noticed"]}
    assert set(timit.ids) - set(sound.ids) == noticed
    assert len(noticed) == 32
    phones = read_phones(tmp_path / "timit" / "phones.parquet").by_id
    assert len(phones) == 160
    assert len({p.phone for line in phones.values() for p in line}) == 61
