"""`zerochain import` at the command line: options arrive, errors exit with 1, usage with 2."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from conftest import voice
from zerochain.cli import main
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.pairs import read_pairs


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    for name in ("anna/a.wav", "béa/b.wav"):
        (folder / name).parent.mkdir(parents=True)
        soundfile.write(folder / name, voice(np.random.default_rng(0), 0.5, 120), 16_000)
    (folder / "a.TextGrid").write_text(
        '"ooTextFile"\n"TextGrid"\n0 0.5 <exists>\n1\n"IntervalTier" "segs" 0 0.5 1\n0 0.5 "A"\n'
    )
    (folder / "a.TextGrid").rename(folder / "anna" / "a.TextGrid")
    return folder


def test_folder(recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--speaker-from", "folder:1", "--alignments", recordings, "--tier", "segs"]
    about = ["--name", "mine", "--language", "Mboshi", "--licence", "CC0", "--source", "me"]
    result = run("import", "folder", recordings, "--out", out, *options, *about, "--copy")
    assert result.exit_code == 0, result.output
    assert "sample rates    16000 Hz (2 files)" in result.stdout
    assert "1 of 1 kind, in 1 utterance" in result.stdout
    assert "Warning: 1 utterance without an alignment" in result.stderr
    corpus = read_corpus(out)
    assert corpus.speakers == ["anna", "béa"]
    about_it = corpus.name, corpus.language, corpus.licence, corpus.source
    assert about_it == ("mine", "Mboshi", "CC0", "me")
    assert corpus.audio_root == "audio"


def test_options_that_another_import_has(recordings: Path, tmp_path: Path) -> None:
    words = ["import", "recordings", recordings, "--out", tmp_path / "c", "--segments-from", "elan"]
    refused = run(*words)
    assert refused.exit_code == 2
    assert "No option --segments-from here" in refused.output
    assert "'zerochain import folder' with --segments-from" in refused.output


@pytest.mark.parametrize("kind", ["folder", "recordings"])
def test_a_recording_instead_of_its_folder(kind: str, recordings: Path, tmp_path: Path) -> None:
    refused = run("import", kind, recordings / "anna" / "a.wav", "--out", tmp_path / "c")
    assert refused.exit_code == 2
    assert "is a file, not a folder" in refused.output
    assert f"the folder that holds it is '{recordings / 'anna'}'" in refused.output


def test_what_scores_take_for_silence_is_said(recordings: Path, tmp_path: Path) -> None:
    (recordings / "anna" / "a.TextGrid").unlink()
    labels = ["SIL", "a", "sp", "<p:>", "SIL", "@"]
    lines = [f"{i / 20} {(i + 1) / 20} {label}\n" for i, label in enumerate(labels)]
    (recordings / "anna" / "a.phn").write_text("".join(lines))
    result = run(
        "import", "folder", recordings, "--alignments", recordings, "--out", tmp_path / "c"
    )
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "6 of 5 kinds, in 1 utterance; taken for silence: 'SIL' 2, 'sp' 1, '<p:>' 1" in said


def test_options_from_a_file(recordings: Path, tmp_path: Path) -> None:
    config = tmp_path / "import.yaml"
    config.write_text("speaker-from: folder:1\nlanguage: Mboshi\n")
    result = run("import", "folder", recordings, "--out", tmp_path / "out", "--config", config)
    assert result.exit_code == 0, result.output
    assert read_corpus(tmp_path / "out").speakers == ["anna", "béa"]


def test_bad_files_exit_with_1_and_are_named(recordings: Path, tmp_path: Path) -> None:
    (recordings / "empty.wav").touch()
    arguments = "import", "folder", recordings, "--out", tmp_path / "out"
    result = run(*arguments)
    assert result.exit_code == 1
    assert "empty.wav: the file is empty" in result.stderr
    assert "--skip-bad" in result.stderr
    assert not (tmp_path / "out").exists()
    result = run(*arguments, "--skip-bad")
    assert result.exit_code == 0
    assert "Warning: skipped 1:\n  empty.wav" in result.stderr
    assert read_corpus(tmp_path / "out").record["skipped"][0]["file"] == "empty.wav"


def test_channels(recordings: Path, tmp_path: Path) -> None:
    sides = [voice(np.random.default_rng(0), 0.5, pitch) for pitch in (120, 210)]
    soundfile.write(recordings / "call.wav", np.stack(sides, 1), 16_000)
    result = run("import", "folder", recordings, "--out", tmp_path / "out", "--channel", "each")
    assert result.exit_code == 0, result.output
    assert read_corpus(tmp_path / "out").speakers == ["call_ch1", "call_ch2"]
    result = run("import", "folder", recordings, "--out", tmp_path / "out")
    assert "call: its channels differ" in result.stderr
    result = run(
        "import", "folder", recordings, "--out", tmp_path / "out", "--channel", "2", "--skip-bad"
    )
    assert "skipped         2 utterances" in result.stdout
    assert read_corpus(tmp_path / "out").ids == ["call"]
    (tmp_path / "wav.scp").write_text("u1 call.wav\n")
    arguments = "import", "kaldi", tmp_path, "--recordings", recordings, "--out", tmp_path / "k"
    assert run(*arguments, "--channel", "right").exit_code == 0
    assert read_corpus(tmp_path / "k").utterances[0].channel == 2


def test_sound_that_is_not_read_is_warned_of(recordings: Path, tmp_path: Path) -> None:
    (recordings / "béa" / "phone.amr").touch()
    result = run("import", "folder", recordings, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "1 .amr" in result.stderr
    assert "ffmpeg -i 'béa/phone.amr' 'béa/phone.wav'" in result.stderr


def test_usage_errors_exit_with_2(recordings: Path) -> None:
    assert run("import", "folder", recordings).exit_code == 2
    assert run("import", "folder", "--out", "x").exit_code == 2
    assert run("import", "folder", recordings, "--out", "x", "--jobs", "0").exit_code == 2


@pytest.mark.parametrize("command", ["folder", "kaldi", "pairs"])
def test_help_has_an_example(command: str) -> None:
    result = run("import", command, "--help")
    assert result.exit_code == 0
    assert f"Example:\n    zerochain import {command}" in result.output


def test_kaldi(recordings: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "wav.scp").write_text("u1 anna/a.wav\n")
    arguments = "import", "kaldi", data, "--out", tmp_path / "out", "--split", "train"
    assert run(*arguments).exit_code == 1
    result = run(*arguments, "--recordings", recordings)
    assert result.exit_code == 0, result.output
    assert [(u.id, u.split) for u in read_corpus(tmp_path / "out").utterances] == [("u1", "train")]


def test_pairs(make_corpus: Callable[..., Corpus], tmp_path: Path) -> None:
    left, right = make_corpus(name="left"), make_corpus(name="right")
    (tmp_path / "p.tsv").write_text("en\tes\nu0\tu1\nu2\tu2\n")
    options = ["--source", left.folder, "--target", right.folder, "--out", tmp_path / "p.parquet"]
    columns = ["--source-column", "en", "--target-column", "es"]
    result = run("import", "pairs", tmp_path / "p.tsv", *options, *columns)
    assert result.exit_code == 0, result.output
    assert "2 pairs" in result.output
    assert read_pairs(tmp_path / "p.parquet", left, right).pairs == (("u0", "u1"), ("u2", "u2"))
    assert run("import", "pairs", tmp_path / "p.tsv", *options).exit_code == 1


def test_an_import_over_a_corpus_says_so(recordings: Path, tmp_path: Path) -> None:
    command = ("import", "folder", recordings, "--out", tmp_path / "corpus")
    assert "was there" not in run(*command).output
    again = run(*command)
    assert "the same corpus as was there before" in again.stdout
    assert "replaced" not in again.stderr
    other = run(*command, "--name", "other")
    assert "replaced the corpus 'corpus' of" in other.stderr


def test_recordings_that_moved(recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    run("import", "folder", recordings, "--out", out)
    before = read_corpus(out)
    (tmp_path / "disk").mkdir()
    there = recordings.rename(tmp_path / "disk" / "new")
    with pytest.raises(InputError, match=r"not there any more(.|\n)*zerochain corpus move"):
        next(before.waves())
    for command in (("extract", out), ("discover", "kmeans", out, "--units", 2)):
        assert "zerochain corpus move" in run(*command, "--out", tmp_path / "no").stderr
    wrong = run("corpus", "move", out, tmp_path / "disk").stderr
    assert f"lacks {len({u.audio for u in before.utterances})} recording" in wrong
    assert str(there) in run("corpus", "move", out, there).stdout
    moved = read_corpus(out)
    assert moved.id == before.id
    assert len(list(moved.waves())) == len(before.utterances)
    first = moved.audio_path(moved.utterances[0])
    soundfile.write(first, np.zeros(100), 16_000, format="WAV")
    assert "shorter than at the import" in run("corpus", "move", out, there).stderr


def test_one_recording_has_no_test_fraction(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    soundfile.write(folder / "long.wav", voice(np.random.default_rng(0), 1.0, 120), 16_000)
    command = ("import", "folder", folder, "--out", tmp_path / "c")
    error = run(*command, "--test-fraction", 0.1).stderr
    assert "--test-fraction 0.1 can't divide a single utterance, 'long'" in error
    assert "columns file, start and end" in error
    soundfile.write(folder / "long2.wav", voice(np.random.default_rng(1), 1.0, 120), 16_000)
    said = run(*command, "--test-fraction", 0.001).stderr
    assert "--test-fraction 0.001 leaves no utterance in split 'test'" in said


def test_a_corpus_without_splits_is_told_how_to_get_them(recordings: Path, tmp_path: Path) -> None:
    run("import", "folder", recordings, "--out", tmp_path / "c")
    error = run(
        *("discover", "kmeans", tmp_path / "c", "--split", "train", "--out", tmp_path / "m")
    ).stderr
    assert "has no splits, so no split 'train'" in error
    assert "import it again with --test-fraction 0.1" in error


def test_unit_files_are_parquet(tmp_path: Path) -> None:
    error = run("encode", tmp_path, tmp_path, "--out", "units.csv").stderr
    assert "'units.csv' ends in .csv, but Parquet is written" in " ".join(error.split())
