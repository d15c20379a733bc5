"""Import of folders and tables: ids, speakers, splits, and everything that is wrong with files."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import voice
from zerochain import audio
from zerochain.corpora.folder import import_folder
from zerochain.errors import InputError
from zerochain.formats.corpus import Corpus, CorpusWarning, read_corpus
from zerochain.formats.phones import read_phones

Record = Callable[..., Path]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


@pytest.fixture
def record(recordings: Path) -> Record:
    """Write a synthetic recording: `record("anna/a.wav", seconds=0.5, rate=44_100, channels=2)`."""

    def write(name: str, seconds: float = 0.5, rate: int = 16_000, channels: int = 1) -> Path:
        wave = voice(np.random.default_rng(0), seconds, 120, rate)
        path = recordings / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.column_stack([wave] * channels), rate)
        return path

    return write


def table(recordings: Path, text: str) -> Path:
    path = recordings / "utterances.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def by_id(corpus: Corpus, field: str) -> dict[str, object]:
    return {u.id: getattr(u, field) for u in corpus.utterances}


def test_any_format_rate_and_channels(recordings: Path, record: Record, tmp_path: Path) -> None:
    for name, rate, channels in [
        ("anna/a.wav", 44_100, 2),
        ("anna/deep/b.FLAC", 16_000, 1),
        ("béa/c.ogg", 22_050, 1),
        ("béa/d.mp3", 48_000, 2),
    ]:
        record(name, 1.0, rate, channels)
    (recordings / "notes.txt").write_text("hello")
    corpus = import_folder(recordings, tmp_path / "out", speaker_from="folder:1", jobs=2)
    assert by_id(corpus, "speaker") == {
        "anna/a": "anna",
        "anna/deep/b": "anna",
        "béa/c": "béa",
        "béa/d": "béa",
    }
    for u in corpus.utterances:
        assert u.duration == pytest.approx(1.0, abs=0.06)
        assert u.duration == len(audio.read(corpus.audio_path(u))) / 16_000
    assert corpus.record["sample_rates"] == {"16000": 1, "22050": 1, "44100": 1, "48000": 1}
    assert corpus.record["channels"] == {"1": 2, "2": 2}
    assert corpus.record["other_files"] == {".txt": 1}
    assert corpus == read_corpus(tmp_path / "out")
    assert corpus.name == "out"


def test_order_and_ids_do_not_depend_on_the_file_system(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    decomposed = unicodedata.normalize("NFD", "é.wav")
    for name in ("b.wav", decomposed, "a/z.wav", "a.wav"):
        record(name)
    corpus = import_folder(recordings, tmp_path / "out")
    assert corpus.ids == ["a", "a/z", "b", "é"]
    assert corpus.by_id["é"].audio == decomposed  # the path stays as the disk has it


def test_files_that_differ_in_their_suffix_alone_are_listed(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    for name in ("a.wav", "a.flac", "b.wav"):
        record(name)
    with pytest.raises(InputError, match=r"a\.flac and a\.wav"):
        import_folder(recordings, tmp_path / "out")


def spoil(recordings: Path, record: Record) -> set[str]:
    """One file of every bad kind; their names."""
    (recordings / "empty.wav").touch()
    (recordings / "text.wav").write_text("this is not audio")
    whole = record("cut.wav").read_bytes()
    (recordings / "cut.wav").write_bytes(whole[: len(whole) // 2])
    flac = record("damaged.flac").read_bytes()
    (recordings / "damaged.flac").write_bytes(flac[: len(flac) // 2])
    wave = np.full(8000, np.nan, np.float32)
    soundfile.write(recordings / "nan.wav", wave, 16_000, subtype="FLOAT")
    soundfile.write(recordings / "nothing.wav", np.zeros(0), 16_000)
    return {"empty.wav", "text.wav", "cut.wav", "damaged.flac", "nan.wav", "nothing.wav"}


def test_every_bad_file_is_named_at_once(recordings: Path, record: Record, tmp_path: Path) -> None:
    record("good.wav")
    bad = spoil(recordings, record)
    with pytest.raises(InputError) as caught:
        import_folder(recordings, tmp_path / "out")
    assert "6 files can't be used" in str(caught.value)
    for name in bad:
        assert f"\n    {name}: " in str(caught.value)
    assert "good" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_skip_bad_records_what_it_skips(recordings: Path, record: Record, tmp_path: Path) -> None:
    record("good.wav")
    bad = spoil(recordings, record)
    with pytest.warns(CorpusWarning, match="skipped 6"):
        corpus = import_folder(recordings, tmp_path / "out", skip_bad=True)
    assert corpus.ids == ["good"]
    assert {entry["file"] for entry in corpus.record["skipped"]} == bad
    assert all(entry["reason"] for entry in corpus.record["skipped"])


def test_what_is_skipped_is_listed_by_utterance(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    record("good.wav", 1.0)
    (recordings / "gone.wav").write_text("no sound")
    rows = "".join(f"gone.wav\tu{i}\t{i}\t{i + 1}\n" for i in range(5))
    listed = table(recordings, f"file\tid\tstart\tend\n{rows}good.wav\tgood\t0\t1\n")
    with pytest.raises(InputError, match=r"1 file can't be used(.|\n)*\(5 utterances: u0, u1, u2"):
        import_folder(recordings, tmp_path / "out", table=listed)
    with pytest.warns(CorpusWarning, match="skipped 5:\n  gone.wav: .* and 2 more"):
        corpus = import_folder(recordings, tmp_path / "out", table=listed, skip_bad=True)
    assert [entry["id"] for entry in corpus.record["skipped"]] == [f"u{i}" for i in range(5)]


@pytest.mark.filterwarnings("ignore")
def test_nothing_of_one_file_ends_an_import_that_skips(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    record("x/good.wav")
    for name in ("x/twice.wav", "x/twice.flac", "nobody.wav"):
        record(name)
    spoil(recordings / "x", lambda name: record(f"x/{name}"))
    (recordings / "x/link.wav").symlink_to("nowhere.wav")
    corpus = import_folder(recordings, tmp_path / "out", speaker_from="folder:1", skip_bad=True)
    assert by_id(corpus, "speaker") == {"x/good": "x"}
    skipped = {entry["file"]: entry["reason"] for entry in corpus.record["skipped"]}
    assert len(skipped) == 10
    assert "'x/twice'" in skipped["x/twice.wav"]
    assert "finds no speaker" in skipped["nobody.wav"]
    assert "no file" in skipped["x/link.wav"]


@pytest.mark.filterwarnings("ignore")
def test_no_row_ends_an_import_that_skips(recordings: Path, record: Record, tmp_path: Path) -> None:
    record("a.wav", 1.0)
    (recordings / "b.m4a").touch()
    listed = table(
        recordings,
        "file\tid\tspeaker\tstart\tend\tseconds\tchannel\n"
        "a.wav\tgood\tana\t0\t1\t1\t1\n"
        "../a.wav\tout\t\t\t\t\t\n"
        "/etc/passwd\tabsolute\t\t\t\t\t\n"
        "a.wav\ttwin\t\t\t\t\t\n"
        "a.wav\ttwin\t\t\t\t\t\n"
        "a.wav\tnan\t\tnan\t\t\t\n"
        "a.wav\tlong\t\t0\t1e308\t\t\n"
        "a.wav\tinfinite\t\t\t\tinf\t\n"
        "a.wav\tnegative\t\t\t\t-3\t\n"
        "a.wav\tchannel\t\t\t\t\t7\n"
        "a.wav\tspeaker\ta\x07b\t\t\t\t\n"
        f"{'n' * 300}.wav\tname\t\t\t\t\t\n"
        "b.m4a\tformat\t\t\t\t\t\n",
    )
    corpus = import_folder(recordings, tmp_path / "out", table=listed, skip_bad=True)
    assert corpus.ids == ["good"]
    skipped = {entry["id"]: entry["reason"] for entry in corpus.record["skipped"]}
    bad = "out absolute twin nan long infinite negative channel speaker name format"
    assert set(skipped) == set(bad.split())
    assert "ffmpeg -i b.m4a b.wav" in skipped["format"]


@pytest.mark.filterwarnings("ignore")
def test_a_name_too_long_for_a_copy_is_one_files(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    record("a.wav")
    long = "n" * 251
    record(f"{long}.wav")
    assert import_folder(recordings, tmp_path / "plain").ids == ["a", long]
    corpus = import_folder(recordings, tmp_path / "copied", copy=True, skip_bad=True)
    assert corpus.ids == ["a"]
    assert "too long for the name of a copy" in corpus.record["skipped"][0]["reason"]


def test_sound_of_other_formats_is_a_warning(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    record("a.wav")
    (recordings / "b.m4a").touch()
    with pytest.warns(CorpusWarning, match=r"1 \.m4a\): b\.m4a; .* ffmpeg -i b\.m4a b\.wav"):
        corpus = import_folder(recordings, tmp_path / "out")
    assert corpus.record["unread"] == {".m4a": ["b.m4a"]}


def test_names_compare_composed(recordings: Path, record: Record, tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    for form in (nfc, nfd):
        record(f"{form}/{form.encode().hex()}.wav")
    for pattern in ("folder:1", f"(?P<speaker>{nfd})/", f"name:{nfd}"):
        corpus = import_folder(
            recordings, tmp_path / "out", speaker_from=pattern, split_from="folder:1"
        )
        assert corpus.speakers == [nfc]
        assert {u.split for u in corpus.utterances} == {nfc}
        assert len(corpus.select(speaker=nfd, split=nfd).utterances) == 2
    listed = table(
        recordings,
        f"file\tspeaker\ttext\n{nfc}/{nfd.encode().hex()}.wav\t{nfd}\t{nfd}\n",
    )
    with pytest.warns(CorpusWarning, match="1 recording in the folder"):
        corpus = import_folder(recordings, tmp_path / "out", table=listed)
    (one,) = corpus.utterances
    assert one.audio == f"{nfd}/{nfd.encode().hex()}.wav"  # as the disk has it
    assert (one.speaker, one.text) == (nfc, nfc)
    assert one.id == f"{nfc}/{nfd.encode().hex()}"


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX alone")
def test_a_name_that_is_no_text_is_a_bad_file(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    try:
        record("a.wav").rename(recordings / os.fsdecode(b"caf\xe9.wav"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    record("b.wav")
    named = r"caf\\udce9\.wav: .*can't be an utterance's id: the name's bytes are not UTF-8"
    with pytest.raises(InputError, match=named):
        import_folder(recordings, tmp_path / "out")
    with pytest.warns(CorpusWarning):
        assert import_folder(recordings, tmp_path / "out", skip_bad=True).ids == ["b"]


def test_nothing_but_bad_files_is_no_corpus(recordings: Path, tmp_path: Path) -> None:
    (recordings / "empty.wav").touch()
    with pytest.raises(InputError, match="no usable recording"):
        import_folder(recordings, tmp_path / "out", skip_bad=True)


def test_odd_recordings_are_kept_and_noticed(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    record("good.wav")
    record("telephone.wav", 0.5, 8000)
    record("blink.wav", 0.02)
    soundfile.write(recordings / "silent.wav", np.zeros(8000), 16_000)
    loud = np.clip(3 * np.sin(np.arange(8000) / 20), -1, 1)
    soundfile.write(recordings / "loud.wav", loud, 16_000)
    with pytest.warns(CorpusWarning, match="noticed 4"):
        corpus = import_folder(recordings, tmp_path / "out")
    assert corpus.ids == ["blink", "good", "loud", "silent", "telephone"]
    noticed = {entry["id"]: entry["what"] for entry in corpus.record["noticed"]}
    assert set(noticed) == {"blink", "loud", "silent", "telephone"}
    assert "8000 Hz" in noticed["telephone"]
    assert noticed["silent"].startswith("silent")
    assert noticed["loud"].startswith("clipped")


def test_samples_out_of_step_by_a_byte_are_noticed(recordings: Path, tmp_path: Path) -> None:
    """As a conversion of line ends leaves them; hiss that is as loud, but no noise, passes."""
    rng = np.random.default_rng(0)
    tone = 9000 * np.sin(np.arange(16_000) / 9) + rng.normal(0, 300, 16_000)
    whole = tone.astype("<i2").tobytes()
    soundfile.write(recordings / "whole.wav", np.frombuffer(whole, "<i2"), 16_000)
    lost = np.frombuffer(whole[:16_000] + whole[16_001:] + b"\0", "<i2")
    soundfile.write(recordings / "lost.wav", lost, 16_000)
    with pytest.warns(CorpusWarning, match="noticed 1"):
        corpus = import_folder(recordings, tmp_path / "out")
    (noticed,) = corpus.record["noticed"]
    assert noticed["id"] == "lost"
    assert noticed["what"].startswith("0.50 s of noise at full scale, from 0.50 s on")


def test_copy_holds_the_audio_itself(recordings: Path, record: Record, tmp_path: Path) -> None:
    record("anna/a.wav", 0.5, 44_100, 2)
    plain = import_folder(recordings, tmp_path / "plain")
    copied = import_folder(recordings, tmp_path / "copied", copy=True)
    assert copied.audio_root == "audio"
    path = copied.audio_path(copied.utterances[0])
    assert path == tmp_path / "copied" / "audio" / "anna" / "a.flac"
    assert (audio.info(path).sample_rate, audio.info(path).n_channels) == (16_000, 1)
    original = audio.read(plain.audio_path(plain.utterances[0]))
    np.testing.assert_allclose(audio.read(path), original, atol=2 / 32768)
    assert copied.utterances[0].duration == plain.utterances[0].duration


def test_copies_of_names_that_differ_in_case_are_different_files(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    """Also on disks that take such names for one, as those of macOS do."""
    for name, seconds in (("a/x", 0.5), ("A/X", 0.75), ("a/x-2", 0.25)):
        record(f"{name}.wav", seconds)
    copied = import_folder(recordings, tmp_path / "copied", copy=True)
    files = {u.id: u.audio for u in copied.utterances}
    assert files == {"A/X": "A/X.flac", "a/x": "a/x-3.flac", "a/x-2": "a/x-2.flac"}
    for u in copied.utterances:
        assert len(copied.wave(u)) / audio.SAMPLE_RATE == pytest.approx(u.duration)


def test_table(recordings: Path, record: Record, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "long.wav", "more.wav"):
        record(name, 1.0)
    listed = table(
        recordings,
        "file\tid\tspeaker\tstart\tend\tsplit\ttext\tgloss\n"
        "a.wav\t\tanna\t\t\ttrain\tmwána\tchild\n"
        "b.wav\tsecond\t\t\t\ttest\t\t\n"
        "long.wav\t\tanna\t0.1\t0.4\ttest\tone\t\n"
        "long.wav\t\tanna\t0.5\t\ttest\ttwo\t\n",
    )
    with pytest.warns(CorpusWarning, match="1 recording in the folder but not in the table"):
        corpus = import_folder(recordings, tmp_path / "out", table=listed)
    one, two = "long_00000100-00000400", "long_00000500-end"
    assert by_id(corpus, "text") == {"a": "mwána", "second": None, one: "one", two: "two"}
    assert by_id(corpus, "split")["second"] == "test"
    assert by_id(corpus, "speaker")["second"] is None
    assert by_id(corpus, "duration") == {
        "a": 1.0,
        "second": 1.0,
        one: pytest.approx(0.3),
        two: pytest.approx(0.5),
    }
    assert corpus.record["ignored_columns"] == ["gloss"]
    assert corpus.record["unlisted"] == 1


def test_claimed_seconds_are_compared(recordings: Path, record: Record, tmp_path: Path) -> None:
    record("a.wav", 1.0)
    record("b.wav", 1.0)
    listed = table(recordings, "file\tseconds\na.wav\t1.09\nb.wav\t1.11\n")
    with pytest.warns(CorpusWarning, match=r"b: lasts 1\.000 s, the table says 1\.110 s"):
        corpus = import_folder(recordings, tmp_path / "out", table=listed)
    assert [entry["id"] for entry in corpus.record["noticed"]] == ["b"]


@pytest.mark.parametrize("column", ["seconds", "duration"])
def test_a_duration_after_a_start_gives_the_end(
    recordings: Path, record: Record, tmp_path: Path, column: str
) -> None:
    record("a.wav", 1.0)
    listed = table(recordings, f"File\tStart\tSpeaker\t{column}\na.wav\t0.25\tana\t0.5\n")
    corpus = import_folder(recordings, tmp_path / "out", table=listed)
    (u,) = corpus.utterances
    assert (u.start, u.end, u.duration, u.speaker) == (0.25, 0.75, 0.5, "ana")


@pytest.mark.parametrize("name", ["x/a", "X/A.WAV", "field/x/a.wav", "a.wav", "x/a.mp3"])
def test_a_name_much_like_a_files_is_said_to_be_that(
    recordings: Path, record: Record, tmp_path: Path, name: str
) -> None:
    record("x/a.wav", 1.0)
    for stem in ("x/b", "y/b"):
        record(f"{stem}.wav", 1.0)
    with pytest.raises(InputError, match=r"no such file; is 'x/a\.wav' meant"):
        import_folder(recordings, tmp_path / "out", table=table(recordings, f"file\n{name}\n"))
    with pytest.raises(InputError, match=r"b\.wav: no such file\n"):
        import_folder(recordings, tmp_path / "out", table=table(recordings, "file\nb.wav\n"))


def test_labels_that_may_be_none_or_the_same_are_reported(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    for name in "abc":
        record(f"{name}.wav", 1.0)
    rows = "a.wav\tNA\ttest\nb.wav\tana\tTest\nc.wav\tana\ttrain\n"
    listed = table(recordings, "file\tspeaker\tsplit\n" + rows)
    with pytest.warns(CorpusWarning) as caught:
        corpus = import_folder(recordings, tmp_path / "out", table=listed)
    assert corpus.record["notes"] == [
        "speaker 'NA', of 1 utterance, is taken for a name: leave the cell empty if it means that "
        "nobody knows",
        "splits 'Test' and 'test' differ only in case, and count as 2",
    ]
    assert {*corpus.record["notes"]} <= {str(one.message) for one in caught}


def test_bad_rows_are_listed_with_bad_files(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    record("a.wav", 1.0)
    listed = table(
        recordings,
        "file\tid\tstart\tend\n"
        "a.wav\tgood\t0\t1\n"
        "gone.wav\t\t\t\n"
        "a.wav\tx1\tsoon\t\n"
        "a.wav\tx2\t0.5\t0.4\n"
        "a.wav\tx3\t0.5\t7\n"
        "a.wav\tx4\t-1\t1\n"
        "a.wav\t../x5\t\t\n"
        "\tx6\t\t\n",
    )
    with pytest.raises(InputError) as caught:
        import_folder(recordings, tmp_path / "out", table=listed)
    text = str(caught.value)
    assert "7 files can't be used" in text
    for said in ("gone.wav: no such file", "'soon'", "before it starts", "0.5 … 7.0 s", "'-1'"):
        assert said in text
    assert "line 9" in text
    with pytest.warns(CorpusWarning):
        corpus = import_folder(recordings, tmp_path / "out", table=listed, skip_bad=True)
    assert corpus.ids == ["good"]


@pytest.mark.parametrize("path", ["../secret.wav", "/etc/secret.wav", "x/../../secret.wav"])
def test_paths_out_of_the_folder_are_refused(
    recordings: Path, record: Record, tmp_path: Path, path: str
) -> None:
    record("a.wav")
    with pytest.raises(InputError, match="out of the recordings' folder"):
        import_folder(recordings, tmp_path / "out", table=table(recordings, f"file\n{path}\n"))


def test_a_file_listed_twice_needs_ids(recordings: Path, record: Record, tmp_path: Path) -> None:
    record("a.wav")
    with pytest.raises(InputError, match="1 id would be given twice"):
        import_folder(recordings, tmp_path / "out", table=table(recordings, "file\na.wav\na.wav\n"))


def test_test_fraction_does_not_reshuffle(recordings: Path, record: Record, tmp_path: Path) -> None:
    for i in range(20):
        record(f"{i}.wav", 0.2)
    before = by_id(import_folder(recordings, tmp_path / "a", test_fraction=0.3), "split")
    for i in range(20, 30):
        record(f"{i}.wav", 0.2)
    after = by_id(import_folder(recordings, tmp_path / "b", test_fraction=0.3), "split")
    assert set(before.values()) == {"train", "test"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test_fraction": 0.0}, "between 0 and 1"),
        ({"test_fraction": 0.1, "split_from": "folder:1"}, "both given"),
        ({"test_fraction": 0.1, "listed": True}, "test_fraction= is given as well"),
        ({"split_from": "folder:1", "listed": True}, "split_from= is given as well"),
        ({"speaker_from": "folder:1", "listed": True}, "speaker_from= is given as well"),
    ],
)
def test_options_that_contradict_each_other(
    recordings: Path, record: Record, tmp_path: Path, options: dict[str, object], said: str
) -> None:
    record("x/a.wav")
    listed = table(recordings, "file\tspeaker\tsplit\nx/a.wav\tanna\ttrain\n")
    if options.pop("listed", False):
        options["table"] = listed
    with pytest.raises(InputError, match=said):
        import_folder(recordings, tmp_path / "out", **options)


def test_folders_without_sound_are_refused(recordings: Path, tmp_path: Path) -> None:
    (recordings / "a.m4a").touch()
    with pytest.raises(InputError, match=r"no sound file; it holds 1 \.m4a"):
        import_folder(recordings, tmp_path / "out")
    with pytest.raises(InputError, match="no such folder"):
        import_folder(tmp_path / "gone", tmp_path / "out")


def test_hidden_files_are_counted(recordings: Path, record: Record, tmp_path: Path) -> None:
    record("a.wav")
    (recordings / "._a.wav").write_bytes(b"a Mac was here")
    with pytest.warns(CorpusWarning, match="1 hidden file "):
        assert import_folder(recordings, tmp_path / "out").ids == ["a"]


def test_out_never_replaces_the_recordings(record: Record, tmp_path: Path) -> None:
    record("a.wav")
    out = tmp_path / "corpus"
    import_folder(tmp_path / "recordings", out, copy=True)
    with pytest.raises(InputError, match="inside the corpus to be written"):
        import_folder(out / "audio", out)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "there").symlink_to(out / "audio")
    with pytest.raises(InputError, match="inside the corpus to be written"):
        import_folder(tmp_path / "links", out)
    assert (out / "audio" / "a.flac").exists()
    with pytest.raises(InputError, match="not a folder that zerochain made"):
        import_folder(tmp_path / "recordings", tmp_path)


def test_alignments_come_with_the_corpus(recordings: Path, record: Record, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        record(f"{name}.wav", 1.0)
    (recordings / "a.phn").write_text("0.0 0.5 A\n0.5 1.0 B\n")
    (recordings / "b.phn").write_text("0.0 2.5 A\n")
    with pytest.raises(InputError, match=r"b\.phn: line 1: 'A' ends at 2\.5 s"):
        import_folder(recordings, tmp_path / "out", alignments=recordings)
    with pytest.warns(CorpusWarning) as caught:
        corpus = import_folder(recordings, tmp_path / "out", alignments=recordings, skip_bad=True)
    said = [str(warning.message) for warning in caught]
    assert said[0].startswith("skipped 1:")
    assert said[1:] == ["2 utterances without an alignment"]
    assert corpus.ids == ["a", "b", "c"]
    assert corpus.record["without_alignment"] == 2
    assert list(read_phones(tmp_path / "out" / "phones.parquet").by_id) == ["a"]


def test_mboshi_imports_as_it_is(real_corpora: Callable[[str], Path], tmp_path: Path) -> None:
    folder = real_corpora("mboshi")
    corpus = import_folder(
        folder, tmp_path / "out", table=folder / "utterances.tsv", alignments=folder
    )
    assert len(corpus.utterances) == 1141
    assert len(corpus.speakers) == 3
    assert corpus.record["noticed"] == []
    assert corpus.record["ignored_columns"] == ["french"]
    phones = read_phones(tmp_path / "out" / "phones.parquet").by_id
    assert set(phones) == set(corpus.ids)
    assert len({p.phone for line in phones.values() for p in line}) == 28


@pytest.mark.parametrize(
    "names",
    [
        {"file": "path", "speaker": "client_id", "text": "sentence"},  # Common Voice
        {"file": "file_name", "text": "transcription"},  # Hugging Face's folders
        {"start": "onset", "end": "offset"},
        {"start": "Begin", "end": "Stop"},
        {"start": "tmin", "end": "tmax"},  # Praat's tables
        {"start": "offset", "end": "duration"},  # manifests of NeMo
    ],
)
def test_columns_by_the_names_of_other_programs(
    recordings: Path, record: Record, tmp_path: Path, names: dict[str, str]
) -> None:
    record("anna/a1.wav")
    row = {"file": "anna/a1.wav", "speaker": "ana", "text": "hm", "start": "0.1", "end": "0.4"}
    found = []
    for given in ({}, names):
        row = {**row, "end": "0.3" if "duration" in given.values() else "0.4"}
        text = "\t".join(given.get(n, n) for n in row) + "\n" + "\t".join(row.values())
        corpus = import_folder(recordings, tmp_path / "out", table=table(recordings, text))
        found.append(
            [(u.id, u.audio, u.speaker, u.text, u.start, u.end) for u in corpus.utterances]
        )
        assert corpus.record["renamed_columns"] == {
            ours.lower(): name for name, ours in given.items() if ours != "duration"
        }
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "columns",
    ["start_ms end_ms", "start end_sample", "startTime endTime", "begin_ms end", "offset end"],
)
def test_times_that_would_be_ignored_are_refused(
    recordings: Path, record: Record, tmp_path: Path, columns: str
) -> None:
    record("anna/a1.wav")
    bad = table(recordings, "file\t" + columns.replace(" ", "\t") + "\nanna/a1.wav\t0\t400\n")
    with pytest.raises(
        InputError, match=r"has times, it seems, in (a column|columns) that would be ignored"
    ):
        import_folder(recordings, tmp_path / "out", table=bad)
    rows = "file\tstart\tend\tend_ms\toffset_of_the_tier\nanna/a1.wav\t0\t0.4\t400\t7\n"
    corpus = import_folder(recordings, tmp_path / "out", table=table(recordings, rows))
    assert corpus.record["ignored_columns"] == ["end_ms", "offset_of_the_tier"]


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("0,1", "likely cause: the decimal point is a comma"),
        ("0:00:00.1", "fix: write seconds, such as 61.5 for 1:01.5"),
        ("0.2", "0.2 … 0.20001 s asked for, which holds no sample"),
    ],
)
def test_times_that_can_t_be_used_say_why(
    recordings: Path, record: Record, tmp_path: Path, start: str, said: str
) -> None:
    record("a.wav")
    rows = table(recordings, f"file\tstart\tend\na.wav\t{start}\t0.20001\n")
    with pytest.raises(InputError, match=said):
        import_folder(recordings, tmp_path / "out", table=rows)


@pytest.mark.parametrize(("end", "fits"), [(0.505, True), (0.6, True), (1.0, True), (1.01, False)])
def test_rows_that_end_just_after_the_recording_are_cut_there(
    recordings: Path, record: Record, tmp_path: Path, end: float, fits: bool
) -> None:
    record("a.wav", 0.5)
    rows = table(recordings, f"file\tstart\tend\na.wav\t0.2\t{end}\n")
    if not fits:
        with pytest.raises(InputError, match="asked for, but it lasts"):
            import_folder(recordings, tmp_path / "out", table=rows)
        return
    corpus = import_folder(recordings, tmp_path / "out", table=rows)
    assert corpus.utterances[0].duration == pytest.approx(0.3)
    assert bool(corpus.record.get("notes")) == (end > 0.51)
    assert len(audio.read(recordings / "a.wav", start=0.2, end=corpus.utterances[0].end)) == 4800


def test_other_names_of_speakers_give_way_to_speaker_from(
    recordings: Path, record: Record, tmp_path: Path
) -> None:
    record("a.wav")
    rows = table(recordings, "path\tclient_id\na.wav\tx\n")
    for pattern, speaker in ((None, "x"), ("name:ana", "ana")):
        corpus = import_folder(recordings, tmp_path / "out", table=rows, speaker_from=pattern)
        assert by_id(corpus, "speaker") == {"a": speaker}
